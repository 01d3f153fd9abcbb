"""After a restart: the history of before is put back, and what was not dealt with is offered to the tasks again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wayside.contracts.reading import ClockState, Stamp
from wayside.edge.journal import KeptAnswers, KeptStep
from wayside.edge.sources.step import Source, Step
from wayside.edge.tasks.forecast import ForecastTask
from wayside.edge.tasks.task import Parts, Task


def put_back(  # noqa: PLR0917 -- the node's own parts
    kept: Sequence[KeptStep | KeptAnswers],
    keys: Sequence[str],
    put: Callable[[int, Step], None],
    sources: Sequence[Source],
    tasks: Sequence[Task],
    parts: Parts,
) -> None:
    """
    Args:
        keys: of the sources, as the journal names them.
        put: takes a step of a source into history and recent steps.
    """
    walls: dict[int, int | None] = {}
    for entry in kept:
        if isinstance(entry, KeptAnswers):
            for task in tasks:
                if entry.task in (None, task.key):
                    task.restore_answers(entry)
        elif entry.source in keys:
            put(keys.index(entry.source), entry.step)
            walls[entry.step.grid] = entry.wall_ms
    now = parts.ledger.now()
    for source, recent in enumerate(parts.recents):
        if not recent.steps:
            continue
        sources[source].next_number(parts.history.newest[source] + 1)
        for step in recent.steps.values():
            if any(step.grid > task.offered for task in tasks):
                at = _stamp(now.boot, step, walls[step.grid])
                for task in tasks:
                    task.offer(source, step.grid, at, now.mono_ns)


def _stamp(boot: str, step: Step, wall_ms: int | None) -> Stamp:
    """Of a step of a run before."""
    mono_ns = max(0, step.end_ns)
    if wall_ms is None:
        return Stamp(boot=boot, mono_ns=mono_ns)
    return Stamp(boot=boot, mono_ns=mono_ns, wall_ms=wall_ms, clock=ClockState.HELD)


def of_older(state: Mapping[str, Any], registers: Any, tasks: Sequence[Task]) -> dict[str, Any]:
    """The state of an agent that had one task, in today's form.

    Raises:
        KeyError: it is no state.
    """
    own: dict[str, Any] = {"decider": {"in_force": state["in_force"]}, "undone": None, "health": None, "strange": []}
    return {
        "grid": {"machine": "", "step_ms": state["step_ms"], "origin_ms": None, "base": 0, "known": True},
        "entries": state["step_no"],
        "sources": {"board": state, "contacts": {"presses": state.get("presses", {})}, "registers": registers},
        "tasks": {t.name: own for t in tasks if isinstance(t, ForecastTask)},
    }
