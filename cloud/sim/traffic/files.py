"""The configuration of an intersection as files: ``node.toml``, ``plan.toml`` and ``map.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic.intersection import Intersection

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write(intersection: Intersection, folder: Path) -> Sequence[Path]:
    """Returns their paths. Raises: NetError: the folder cannot be written."""
    signal = msgspec.to_builtins(intersection.signal)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", intersection.light).lstrip("_.-")[:64] or "intersection"
    node = {
        "node": name,
        "state_dir": "state",
        "board": {"port": "/dev/serial/by-id/usb-board-0"},
        "detectors": [
            {"channel": p.loop.channel, "datastream": f"detector/{p.loop.channel}/volume"} for p in intersection.loops
        ],
        "actuators": [signal],
    }
    texts = {
        "node.toml": _document(node),
        "plan.toml": _document(_given(msgspec.to_builtins(intersection.plan))),
        "map.json": json.dumps(_map(intersection), indent=1) + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise NetError(f"cannot write into {folder}: {exc.strerror}; name another folder with --out") from exc
    return [folder / file for file in texts]


def _map(x: Intersection) -> dict[str, Any]:
    """What neither board nor node need, and a person at the cabinet does: which link and which lane is what."""
    return {
        "light": x.light,
        "phases": {str(phase): {str(link): letter for link, letter in x.phases[phase].items()} for phase in x.phases},
        "overlaps": {str(n): {str(link): letter for link, letter in lamps.items()} for n, lamps in x.overlaps.items()},
        "loops": [
            {
                "channel": p.loop.channel, "phase": p.loop.phase, "function": p.loop.function, "lane": p.lane,
                "at_m": p.at_m, "before_stop_line_m": p.loop.at_m,
            }
            for p in x.loops
        ],
        "crossings": [c._asdict() for c in x.crossings],
    }  # fmt: skip


def _given(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Without what nobody gave: TOML has no null, and an empty list says nothing."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(each) for key, each in value.items() if each is not None and each != []}
        return [strip(each) for each in value] if isinstance(value, list) else value

    return {key: strip(value) for key, value in plan.items() if value is not None and value != []}


def _document(table: Mapping[str, Any]) -> str:
    return "".join(_lines(table, ())).lstrip("\n")


def _lines(table: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[str]:
    """TOML: plain keys first, then tables, then arrays of tables, each under its full name."""
    for key, value in table.items():
        if not _is_table(value):
            yield f"{_key(key)} = {_value(value)}\n"
    for key, value in table.items():
        here = (*at, _key(key))
        if isinstance(value, dict):
            yield f"\n[{'.'.join(here)}]\n"
            yield from _lines(value, here)
        elif _is_table(value):
            for each in value:
                yield f"\n[[{'.'.join(here)}]]\n"
                yield from _lines(each, here)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    return json.dumps(value, ensure_ascii=False)
