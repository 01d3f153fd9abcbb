"""After a restart: the history of before is put back, and what was not dealt with is offered to the tasks again."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.condition import MODEL_CONDITIONS, Condition
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.uart_config import uart_values
from wayside.edge.journal import KeptAnswers, KeptStep
from wayside.edge.sources.frames import CAMERA_CONDITIONS
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


def owners(config: NodeConfig, restored: Container[str], *, board_restored: bool) -> Callable[[Condition], bool]:
    """Whether somebody ends a condition that the run before left open.

    Nobody does where the configuration no longer has what it is about. Nor where its owner lost its state and begins
    anew: what is ended only by the one who remembers that it holds would hold for ever.

    Args:
        restored: names of the tasks that have their state again.
    """
    board = {"board"} if config.board is not None else set()
    known_board = board if board_restored else set()
    detectors = {d.datastream for d in config.detectors} if board_restored else set()
    told = {v.datastream for v in config.manual.values} if config.manual is not None else set()
    tasks = {t.name for t in config.tasks}
    cameras = {c.name for c in config.cameras}
    outputs = {s.output for t in config.tasks if t.name in restored for s in t.sites}
    own_rows = {f"{t.name}/{s.output}" for t in config.tasks if t.name in restored for s in t.sites}
    uart = {u.subject for u in config.uart}
    beat = {config.signal.name} if config.signal is not None and config.signal.beat is not None else set()
    subjects = {
        **dict.fromkeys(("line_lost", "wrong_board", "line_noisy", "fail_safe"), board),
        "signal_fault": known_board,
        "plan_unsendable": board if config.signal is not None else set(),
        **dict.fromkeys(("detector_stuck_on", "detector_no_hit", "detector_chatter", "detector_dead"), detectors),
        "register_fails": {v.datastream for line in config.modbus for v in line.values},
        "uart_fails": {v.datastream for v in uart_values(config.uart)},
        **dict.fromkeys(("uart_noisy", "uart_doubtful"), uart),
        "gps_doubted": uart,
        **dict.fromkeys(CAMERA_CONDITIONS, cameras),
        **dict.fromkeys(("feeder_silent", "feeder_ahead", "file_unreadable"), told),
        "door_open": {c.datastream for c in config.gpio.contacts if c.role == "cabinet_door"},
        **dict.fromkeys(("no_model", *MODEL_CONDITIONS), tasks),
        "install_fails": set(),  # counted from anew
        "routine_fails": set(),
        "policy_failed": {t.name for t in config.tasks if t.actuator is not None} | beat,
        "signal_let_go": beat,
        "signal_preempted": known_board,
        "actuator_unconfirmed": {a.name for a in config.actuators if isinstance(a, SetpointConfig)},
        "deadline_missed": {a.name for a in config.actuators if isinstance(a, SetpointConfig) and a.must_run_s},
        "forecast_strange": outputs | own_rows,
        **dict.fromkeys(("score_high", "score_alarm"), own_rows),
    }

    def is_owned(condition: Condition) -> bool:
        code, subject = condition.code, condition.subject
        if code.startswith("notice_"):
            task = subject.partition("/")[0]
            return task in restored and task in subjects["policy_failed"]
        return code not in subjects or subject in subjects[code]

    return is_owned


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
