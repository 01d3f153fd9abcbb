"""What the windows and the comparisons need after a restart: closed steps and answers, one JSON array each.

=======  =====================================================================================================
``"s"``  step length, source, number, start and end (node's ns), error, wall time of the end, values, qualities,
         readings, extras
``"a"``  step length, task, number, distance to the first target, values, forecasts, model, bands
=======  =====================================================================================================

Sources and tasks are named with a sum over their datastreams (:func:`key`): values of another configuration are not
taken for this one's. Arrays of an agent before there were several tasks begin with a number, and hold a step and its
answers in one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import structlog

from wayside.contracts.reading import Quality
from wayside.edge.sources.step import Extra, Step

log = structlog.get_logger(__name__)


def key(name: str, datastreams: Iterable[str]) -> str:
    """Of a source or task with exactly these datastreams, in this order."""
    return f"{name}#{zlib.crc32(chr(10).join(datastreams).encode()):08x}"


class Journal:
    """Entries since the last commit, numbered for ever."""

    def __init__(self, step_ms: int) -> None:
        self.step_ms = step_ms
        self.entries: list[tuple[int, Any]] = []
        self.last = 0

    def step(self, source: str, step: Step, wall_ms: int | None) -> None:
        self._append(
            [
                "s",
                self.step_ms,
                source,
                step.grid,
                step.start_ns,
                step.end_ns,
                step.error_ms,
                wall_ms,
                step.values,
                [q._value_ for q in step.qualities],  # ``value`` is a property that costs a call
                step.n,
                [[*e[:3], e.quality._value_, *e[4:]] for e in step.extras],
            ]
        )

    def answers(self, task: str, number: int, shift: int, past: Sequence[Any]) -> None:
        self._append(["a", self.step_ms, task, number, shift, *past])

    def _append(self, body: list[Any]) -> None:
        self.last += 1
        self.entries.append((self.last, body))


class KeptStep(NamedTuple):
    source: str
    step: Step
    wall_ms: int | None


class KeptAnswers(NamedTuple):
    task: str | None  # None: of the one task of an older agent
    number: int
    shift: int | None
    values: list[float | None]
    forecasts: list[float | None]
    model: str | None
    bands: list[list[float] | None] | None


def read(bodies: Iterable[Any], step_ms: int, base: int, board_key: str) -> list[KeptStep | KeptAnswers]:
    """The entries of this step length, oldest first. One that cannot be read is left out, and logged.

    Args:
        base: of the grid, for entries that know only the wall time.
        board_key: of the board whose detectors an older agent's entries are about; empty: leave those out.
    """
    kept: list[KeptStep | KeptAnswers] = []
    before: int | None = None
    timeless: list[int] = []  # where in ``kept`` the steps stand whose number is not known yet
    for body in bodies:
        try:
            if body[0] == "s":
                kept.extend(_step(body, step_ms))
            elif body[0] == "a":
                if body[1] == step_ms:
                    kept.append(KeptAnswers(*body[2:]))
            elif board_key and abs(body[3] - body[2] - step_ms) <= step_ms // 50:
                wall_ms = body[1]
                number = before + 1 if before is not None else len(timeless)
                if wall_ms is not None:
                    number = round(wall_ms / step_ms) - base
                    _settle(kept, timeless, number)
                elif before is None:
                    timeless.append(len(kept))
                before = number if wall_ms is not None or before is not None else None
                kept += _of_older(body, number, board_key)
        except (TypeError, ValueError, KeyError, IndexError) as exc:
            log.error("a step of the history is unreadable", error=repr(exc))
    return kept


def _settle(kept: list[KeptStep | KeptAnswers], timeless: list[int], number: int) -> None:
    """The steps before the first of a known time are those just before it."""
    first = number - len(timeless)
    for i, at in enumerate(timeless):
        for place in (at, at + 1):
            entry = kept[place]
            if isinstance(entry, KeptStep):
                kept[place] = entry._replace(step=entry.step._replace(grid=first + i))
            else:
                kept[place] = entry._replace(number=first + i)
    timeless.clear()


def _step(body: Sequence[Any], step_ms: int) -> list[KeptStep]:
    _, length, source, grid, start_ns, end_ns, error_ms, wall_ms, values, qualities, n, extras = body
    if length != step_ms:
        return []
    made = [
        Extra(name, value, unit, Quality(q), count, mean, detail)
        for name, value, unit, q, count, mean, detail in extras
    ]
    step = Step(grid, start_ns, end_ns, error_ms, values, [Quality(q) for q in qualities], n, made)
    return [KeptStep(source, step, wall_ms)]


def _of_older(body: Sequence[Any], number: int, board_key: str) -> list[KeptStep | KeptAnswers]:
    _, wall_ms, start_ms, end_ms, counts, qualities, readings, values, _, forecasts, label, *bands = body
    step = Step(
        number,
        start_ms * 1_000_000,
        end_ms * 1_000_000,
        0,
        [None if c is None else float(c) for c in counts],
        [Quality(q) for q in qualities],
        readings,
    )
    answers = KeptAnswers(None, number, None, values, forecasts, label, bands[0] if bands else None)
    return [KeptStep(board_key, step, wall_ms), answers]
