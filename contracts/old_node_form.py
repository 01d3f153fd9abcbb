"""The form of a node's file before ``[[tasks]]``: read for one release (ADR 0018), with hints what to write.

``[task]`` and ``[signal]`` were one table each; ``[[detectors]]`` had ``phase``, ``lanes`` and ``max_per_interval``.
From ``phase`` of the detectors followed a policy that gave green times each interval. There is none any more: such a
file is accepted, its signal keeps its fixed plan, and a hint says so.
"""

from __future__ import annotations

import copy
import json
from typing import Annotated, Any, NamedTuple

import msgspec

from wayside.contracts.mistakes import Mistake, Place, mistakes_of, spelled
from wayside.contracts.quantities import Phase, Seconds
from wayside.contracts.reading import Name
from wayside.contracts.wire import Document

TASK, SIGNAL, TOTAL = "flow", "intersection/signal", "intersection/volume"
SATURATION = "saturation_flow_veh_h"
FIXED = (
    "[signal]: green times from forecasts each interval are no longer made: the board keeps its own plan. For greens "
    "that follow vehicles give it a plan with `detectors` (docs/board.md, actuated); for what goes beyond, give the "
    "signal `loops` and a `beat` (docs/policies.md)"
)
MAX_VEH_H = 100_000.0  # the bound of DetectorConfig.max_veh_h
MOVED: dict[str, Any] = {
    "phase": Phase,
    "lanes": Annotated[int, msgspec.Meta(ge=1, le=8)],
    "max_per_interval": Annotated[int, msgspec.Meta(ge=1, le=2**53)],
}


class OldTask(Document, frozen=True, kw_only=True):
    bundle: Name
    interval_s: Seconds = 900.0
    step_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 900.0
    alert_sigma: Annotated[float, msgspec.Meta(gt=0)] = 6.0


class Modern(NamedTuple):
    """A file in today's form. ``written``: beginnings of places in it → the place that the person wrote."""

    raw: dict[str, Any]
    mistakes: list[Mistake]  # in what the old form alone has, at the places that the person wrote
    written: dict[Place, Place]
    hints: tuple[str, ...]  # what still works and should be written otherwise


def is_old(raw: dict[str, Any]) -> bool:
    """Whether a file has ``[task]`` or ``[signal]``, or no tasks and, in its detectors, what is a task's today."""
    moved = any(key in d for _, d in _detectors(raw) for key in MOVED)
    return "task" in raw or "signal" in raw or (moved and "tasks" not in raw and "actuators" not in raw)


def left_behind(raw: dict[str, Any]) -> list[Mistake]:
    """Keys of the old form in a file of today's."""
    return [Mistake(("detectors", i, k), _today(k, d, 900.0)) for i, d in _detectors(raw) for k in MOVED if k in d]


def modernized(raw: dict[str, Any]) -> Modern:
    """A file of the old form in today's; ``raw`` stays as it is. Further mistakes are the contracts' to refuse."""
    raw = copy.deepcopy(raw)
    mistakes = [
        Mistake((new,), "belongs to today's form, and this file has [task], [signal] or keys of the old one, too")
        for new in ("tasks", "actuators")
        if new in raw
    ]
    task, signal = raw.pop("task", None), raw.pop("signal", None)
    written: dict[Place, Place] = {("rows_s",): ("task", "step_s")}
    if task is not None:
        mistakes += mistakes_of(task, OldTask, ("task",))
    timing = task if isinstance(task, dict) and not any(m.place[0] == "task" for m in mistakes) else {}
    hints = ["[task] and [signal] are read for this release only: `wayside node migrate FILE` prints today's form"]
    parts: dict[int, dict[str, Any]] = {}  # of the detectors: what moved
    for i, d in _detectors(raw):
        interval_s = timing.get("interval_s", 900.0)
        hints += [f"{spelled(('detectors', i, k))}: {_today(k, d, interval_s)}" for k in MOVED if k in d]
        parts[i], wrong = _moved(d, ("detectors", i))
        mistakes += wrong
        if "max_per_interval" in parts[i]:
            d["max_veh_h"] = _per_hour(parts[i]["max_per_interval"], interval_s)
            written["detectors", i, "max_veh_h"] = ("detectors", i, "max_per_interval")
    if isinstance(signal, dict):
        mistakes += [Mistake(("signal", k), "is unknown in [signal]") for k in ("name", "kind") if k in signal]
        if SATURATION in signal:
            kind = Annotated[float, msgspec.Meta(gt=0)]
            mistakes += mistakes_of(signal.pop(SATURATION), kind, ("signal", SATURATION))
        raw["actuators"] = [{**signal, "name": SIGNAL, "kind": "signal"}]
        written["actuators", 0] = ("signal",)
        hints.append(FIXED)
    elif signal is not None:
        mistakes.append(Mistake(("signal",), "is a table"))
    names: dict[int, str] = {}  # a name that is given twice is a mistake that the contracts find
    for i, d in _detectors(raw):
        if isinstance(d.get("datastream"), str) and d["datastream"] not in names.values():
            names[i] = d["datastream"]
    if timing and names:
        raw["tasks"] = [_task(timing, names=names, parts=parts, written=written)]
    elif timing:
        step_s = timing.get("step_s", 900.0)
        raw["rows_s"] = int(step_s) if step_s == int(step_s) else step_s
    if len(names) > 1 and TOTAL not in names.values() and isinstance(raw.setdefault("sums", []), list):
        written["sums", len(raw["sums"])] = ("detectors",)
        raw["sums"].append({"name": TOTAL, "of": list(names.values())})
    return Modern(raw, mistakes, written, tuple(hints))


def _detectors(raw: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    rows = raw.get("detectors")
    return [(i, d) for i, d in enumerate(rows) if isinstance(d, dict)] if isinstance(rows, list) else []


def _moved(detector: dict[str, Any], place: Place) -> tuple[dict[str, Any], list[Mistake]]:
    """What is no longer a detector's, taken out of it."""
    mistakes: list[Mistake] = []
    kept = {}
    for key, kind in MOVED.items():
        if key in detector:
            value = detector.pop(key)
            wrong = list(mistakes_of(value, kind, (*place, key)))
            mistakes += wrong
            if not wrong:
                kept[key] = value
    return kept, mistakes


def _task(
    old: dict[str, Any],
    *,
    names: dict[int, str],
    parts: dict[int, dict[str, Any]],
    written: dict[Place, Place],
) -> dict[str, Any]:
    """The one task; ``names`` and ``parts`` by number of the detector. Fills ``written``."""
    sites = []
    for k, (i, name) in enumerate(names.items()):
        sites.append({"output": name, "constants": {"lanes": parts[i].get("lanes", 1)}})
        written["tasks", 0, "sites", k] = ("detectors", i)
        written["tasks", 0, "sites", k, "output"] = ("detectors", i, "datastream")
        written["tasks", 0, "sites", k, "constants", "lanes"] = ("detectors", i, "lanes")
    written["tasks", 0] = ("task",)
    return {"name": TASK, "step_s": 900.0, **old, "sites": sites}


def _per_hour(limit: int, interval_s: float) -> float:
    return min(MAX_VEH_H, limit * 3600 / interval_s)


def _today(key: str, detector: dict[str, Any], interval_s: float) -> str:
    """How what ``key`` of a detector says is written today."""
    stream, value = detector.get("datastream"), detector[key]
    name = json.dumps(stream if isinstance(stream, str) else "the detector's datastream", ensure_ascii=False)
    if key == "phase":
        return (
            f"is no detector's any more: phase {value} of the board's plan names its detectors, "
            "and each loop of [[actuators.loops]] its phase"
        )
    if key == "lanes":
        return f"stands in the task now: [[tasks.sites]] with output = {name}, constants = {{ lanes = {value} }}"
    if list(mistakes_of(value, MOVED[key], ())):
        return "is max_veh_h now, in vehicles per hour"
    return f"is max_veh_h = {_per_hour(value, interval_s):g} now, in vehicles per hour"
