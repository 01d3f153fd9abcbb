"""Bundles as the hub sees them: an archive with a passport, and what several domains' models are like."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from tests.simulators.node import STREAM, offer
from wayside.contracts.task_config import Datastream, SiteConfig, TaskOffer

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "Passport.json"
CALENDAR = [
    {"name": "hour", "unit": "h", "low": 0.0, "high": 24.0},
    {"name": "weekday", "unit": "d", "low": 0.0, "high": 6.0},
]
AIR = {
    "name": "air-pm25",
    "domain": "environment",
    "inputs": [{"name": "pm25", "unit": "ug/m3", "low": 0.0, "high": 500.0}, *CALENDAR],
    "output": "pm25",
    "output_unit": "ug/m3",
    "interval_s": 3600.0,
    "season": 168,
}
PICTURES = {
    "name": "street-pictures",
    "domain": "safety",
    "kind": "classify",
    "inputs": [{"name": "pixels", "unit": "1", "low": 0.0, "high": 255.0}],
    "output": "scene",
    "output_unit": "1",
    "image": [32, 32, 3],
    "classes": ["empty", "vehicle"],
}
MAST = Datastream(name="mast/pm25", unit="ug/m3", aggregate="mean")
AIR_TASK = TaskOffer(name="air", bundle="air-pm25", interval_s=3600.0, sites=(SiteConfig(output="mast/pm25"),))


def air_offer(**about: Any) -> Any:
    return offer(AIR_TASK, datastreams=(MAST, STREAM), **about)


def passport(version: str, bundle: str = "traffic-flow", **task: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(GOLDEN.read_bytes())
    return plain | {"bundle": bundle, "version": version, "task": plain["task"] | task}


def archive(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return out.getvalue()


def bundle_of(version: str, bundle: str = "traffic-flow", **task: Any) -> bytes:
    """Enough of a bundle for the hub, which reads the passport and leaves the rest to the nodes."""
    document = json.dumps(passport(version, bundle, **task)).encode()
    return archive({"passport.json": document, "model.int8.onnx": version.encode()})
