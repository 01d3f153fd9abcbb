"""The cameras: what a running agent says of them, else one frame of each. A picture is neither shown nor kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wayside.contracts.camera_config import CameraConfig
from wayside.edge.doctor.finding import Finding
from wayside.edge.sensors.camera import MIN_SIDE, first_look
from wayside.edge.sensors.folder import CameraError, CameraMissing
from wayside.edge.sources.frames import TROUBLES
from wayside.edge.sources.view import Seen

WORDS = {quality.value: what for _, quality, what in TROUBLES}


def check_cameras(
    configs: tuple[CameraConfig, ...], folder: Path, agent: dict[str, Any] | None, listen_s: float
) -> Iterator[Finding]:
    """
    Args:
        folder: the configuration's.
        listen_s: how long to wait for a picture.
    """
    told = {c.get("camera"): c for c in (agent or {}).get("cameras", [])}
    for config in configs:
        if config.name in told:
            yield _as_told(config, told[config.name])
        else:
            yield _looked_at(config, folder, listen_s)


def _as_told(config: CameraConfig, said: dict[str, Any]) -> Finding:
    check = f"camera {config.name}"
    if said.get("trouble"):
        return Finding(check, "fail", f"the agent sees nothing: {said['trouble']}", _fix(config))
    if said.get("age_s") is None:
        return Finding(check, "warn", "the agent has seen no picture yet", _fix(config))
    counts = "; ".join(
        f"{task}: " + ", ".join(f"{name} {n:g}" for name, n in of.items())
        for task, of in said.get("counts", {}).items()
    )
    seen = f"{_size(said.get('size'))}, {said['age_s']:.0f} s ago" + (f"; {counts}" if counts else "")
    if said.get("dropped"):
        seen += f"; {said['dropped']} frames were not looked at"
    what = WORDS.get(str(said.get("quality")))
    if what is not None:
        return Finding(check, "warn", f"{seen}; {what}", "clean, light or aim it; cameras.view has the limits")
    return Finding(check, "ok", seen)


def _looked_at(config: CameraConfig, folder: Path, listen_s: float) -> Finding:
    check = f"camera {config.name}"
    try:
        size, seen = first_look(config, folder, time.monotonic() + listen_s)
    except CameraMissing as exc:
        return Finding(check, "fail", str(exc), _fix(config))
    except CameraError as exc:
        state = "warn" if config.folder is not None else "fail"  # a folder is empty where nothing drives by
        return Finding(check, state, str(exc), _fix(config))  # type: ignore[arg-type]
    if min(size) < MIN_SIDE:
        return Finding(
            check, "fail", f"gives {_size(size)}: too small to look at", "set the camera to a larger picture"
        )
    return Finding(check, "ok", f"gives {_size(size)}; {_numbers(seen)}")


def _numbers(seen: Seen | None) -> str:
    return "" if seen is None else f"brightness {seen.brightness:.0f} of 255, sharpness {seen.sharpness:.3f}"


def _size(size: Any) -> str:
    return f"{size[0]} x {size[1]} pixels" if size else "a picture"


def _fix(config: CameraConfig) -> str:
    if config.folder is not None:
        return f"does the camera put its pictures into {config.folder}?"
    return "check its cable, its power and cameras.url"
