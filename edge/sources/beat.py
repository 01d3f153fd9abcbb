"""Steps on the node's own clock, for sources that have none of their own: meters, dry contacts, counts of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wayside.edge.clock import Clock, machine_boot
from wayside.edge.sources.intervals import Interval, Intervals, Lost
from wayside.edge.sources.step import Grid


class Ended(NamedTuple):
    """A step that has ended; milliseconds of the node's monotonic time."""

    grid: int
    start_ms: int
    end_ms: int


class Beat:
    """The open step. Its ends are multiples of the step in wall time, as a board's are."""

    def __init__(self, clock: Clock, grid: Grid) -> None:
        self._clock, self._grid = clock, grid
        self._steps = Intervals((), grid.step_ms / 1000)
        self._steps.drift_ms = self._drift_ms
        self._machine = machine_boot()
        self._next: int | None = None

    @property
    def started(self) -> bool:
        return self._steps.started

    @property
    def start_ms(self) -> int:
        """Where the open step would begin were it whole."""
        return self._steps.end_ms - self._steps.step_ms

    def now_ms(self) -> int:
        return self._clock.mono_ns() // 1_000_000

    def pass_time(self, ms: int) -> list[Ended]:
        """The node's clock reads ``ms``; begins to count at the first call."""
        if not self._steps.started:
            self._steps.start(ms)
            return []
        if ms < self._steps.end_ms:
            return []
        closed: list[Interval | Lost] = []
        self._steps.pass_time(ms, closed)
        ended = []
        for each in closed:
            if type(each) is Interval:
                grid = self._grid.number(each.end_ms * 1_000_000, self._next)
                self._next = grid + 1
                ended.append(Ended(grid, each.start_ms, each.end_ms))
        return ended

    def next_number(self, grid: int) -> None:
        self._next = grid

    def _drift_ms(self, end_ms: int) -> float:
        wall = self._clock.wall(end_ms * 1_000_000).ms
        return 0.0 if wall is None else float(wall % self._steps.step_ms)

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        return {"machine": self._machine, "steps": self._steps.state()}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Continue where :meth:`state` was taken. False: the machine restarted, its times mean nothing any more."""
        same = bool(state["machine"] == self._machine and state["steps"]["last_ms"] <= self.now_ms())
        if same:
            self._steps.restore(state["steps"])
        return same
