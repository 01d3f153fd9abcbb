"""The status of an agent as lines for people: `wayside node status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wayside.edge.doctor.conditions import open_conditions, sentence, since
from wayside.edge.doctor.model import model_sentence, task_states

BEAT_STATES = {
    "in_force": "is in force",
    "rests": "rests",
    "let_go": "is let go",
    "away": "is away",
    "blind": "cannot be asked",
}


def lines(status: dict[str, Any], *, age_s: float, runs: bool) -> Iterator[str]:
    """Name and value, one a line: the node, its tasks and conditions, its counters, its last readings.

    Args:
        age_s: of the status.
        runs: whether an agent runs that wrote it.
    """
    board = status.get("board") or {}
    yield _row("node", status.get("node"))
    health = {True: "yes", False: "no"}.get(status.get("healthy", ""), "-")
    if not runs:
        yield _row("agent", f"is not running, or is stuck: what follows it said {_ago(age_s)}")
        health = f"not known (it said {health})"
    yield _row("healthy", health)
    yield _row("uptime", f"{status.get('uptime_s', 0):.0f} s")
    yield _row("board", board.get("identity"))
    tasks = task_states(status)
    for task in tasks:
        model = model_sentence(task, status) if task.model else f"runs no model, because {task.why or 'none came yet'}"
        yield _row(f"task {task.name}", model)
    if not tasks:
        reported = status.get("reported") or {}
        yield _row(
            "model", f"{reported.get('bundle', '-')} {reported.get('version', '')} ({reported.get('state', 'idle')})"
        )
    for condition in open_conditions(status):
        yield _row("wrong" if condition.severe else "notable", f"{sentence(condition)}, since {since(condition)}")
    yield _row("memory", f"{(status.get('rss_bytes') or 0) / 1e6:.0f} MB")
    yield _row("waiting", f"{status.get('backlog', 0)} rows")
    yield _row("notices", "; ".join(str(n.get("message")) for n in status.get("notices", [])) or "none")
    yield _row("trouble", "; ".join(v for v in status.get("trouble", {}).values() if v) or "none")
    for name, value in status.get("counters", {}).items():
        yield _row(name, value)
    for setpoint in status.get("setpoints", []):
        held = "-" if setpoint["held"] is None else f"{setpoint['held']:g} {setpoint['unit']}"
        yield _row(setpoint["name"], f"{held} ({'confirmed' if setpoint['confirmed'] else 'not confirmed'})")
    if beat := status.get("beat"):
        said = BEAT_STATES.get(str(beat.get("state")), str(beat.get("state")))
        yield _row(f"signal {beat.get('signal')}", f"policy {beat.get('policy')} {said}{_because(beat.get('why'))}")
        if beat.get("comparisons"):
            ratio = f"{100 * float(beat['ratio']):.0f} % of the waiting without it"
            yield _row("compared", f"{beat['comparisons']} times with the board alone, the last time {ratio}")
    for reading in status.get("readings", []):
        value = "-" if reading["value"] is None else f"{reading['value']:g} {reading['unit']}"
        yield _row(reading["datastream"], f"{value} ({reading['quality']})")


def _ago(age_s: float) -> str:
    for unit, seconds in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if age_s >= 2 * seconds:
            return f"{age_s / seconds:.0f} {unit} ago"
    return f"{age_s:.0f} seconds ago"


def _because(why: object) -> str:
    return f": {why}" if why else ""


def _row(name: str, value: object) -> str:
    return f"{name:<24} {value if value is not None else '-'}"
