"""What every source hands over, and the one numbering of steps that lays them beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from wayside.contracts.reading import Quality
from wayside.contracts.task_config import Datastream
from wayside.edge.clock import Clock, machine_boot

KEEP = 0.75
"""Of a step: how far the end of a source's step may lie from where its number says before the number is doubted."""


class Extra(NamedTuple):
    """A value of one step that belongs to no configured datastream: what the board says of its own accord."""

    name: str  # of the row
    value: float | None
    unit: str
    quality: Quality
    n: int
    mean: bool = False  # over several steps it is averaged, not added up
    detail: Mapping[str, str | float | int | bool | None] = {}


class Step(NamedTuple):
    """One closed step of one source. The lists are in the source's own order of datastreams."""

    grid: int  # its number, the same for every source (:class:`Grid`)
    start_ns: int  # node's monotonic time
    end_ns: int
    error_ms: int  # of both, beyond the clock's own error
    values: list[float | None]  # None: nothing is known
    qualities: list[Quality]
    n: list[int]  # readings behind each value
    extras: list[Extra] = []

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


class Loss(NamedTuple):
    """What can be placed in no step: events that will never come, a counter's growth while nobody could read it."""

    datastream: str
    start_ns: int
    end_ns: int
    error_ms: int
    value: float
    unit: str
    detail: Mapping[str, str | float | int | bool | None] = {}


Closed = list[Step | Loss]


class Source(Protocol):
    """Something that is told readings and the time, and closes steps. It does no I/O."""

    @property
    def name(self) -> str: ...
    @property
    def datastreams(self) -> tuple[Datastream, ...]: ...
    def closed(self) -> Closed:
        """What has ended since the last call, in order."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that a restart needs, as plain JSON values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None: ...
    def next_number(self, grid: int) -> None:
        """The history knows the steps before number ``grid`` of this source: its open step takes that number."""
        ...


class Grid:
    """The numbers of the node's steps.

    A step's number is its end's place among the multiples of the step length. While the wall time is not known it
    is counted in monotonic time from beyond the history; when the time arrives, or jumps, the numbers stay as they
    are and :attr:`base` changes: ``number + base`` is the place among the multiples of wall time, so that not one
    number that somebody remembers has to be rewritten.
    """

    def __init__(self, clock: Clock, step_s: int) -> None:
        self.step_ms = step_s * 1000
        self.base = 0
        self.known = False
        """Whether ``number + base`` is wall time."""
        self._clock = clock
        self._machine = machine_boot()
        self._origin_ms: float | None = None  # number x step_ms - monotonic ms
        self._used = False  # somebody remembers a number of this run

    def number(self, end_ns: int, expected: int | None = None) -> int:
        """The number of the step that ends at ``end_ns``; ``expected`` follows the source's step before.

        A source counts on where nothing contradicts, so that neither the jitter of a board's clock nor the slow way
        of a first step toward the wall's multiples leaves a number out or gives one twice.
        """
        self.look(end_ns)
        exact = (end_ns / 1e6 + self._origin(end_ns)) / self.step_ms
        self._used = True
        if expected is None:
            return round(exact)
        return round(exact) if exact - expected >= KEEP else expected  # never back: order counts more

    def look(self, now_ns: int) -> bool:
        """Follow the clock. True: the wall time of every number is another one now, or is known at last."""
        wall_ms = self._clock.wall(now_ns).ms
        if wall_ms is None:
            return False
        offset = wall_ms - now_ns / 1e6
        if self._origin_ms is None or (not self.known and not self._used):
            self._origin_ms, self.known = offset - self.base * self.step_ms, True
            return True
        delta = offset - (self._origin_ms + self.base * self.step_ms)
        moved = round(delta / self.step_ms)
        self._origin_ms += delta - moved * self.step_ms
        self.base += moved
        news = moved != 0 or not self.known
        self.known = True
        return news

    def _origin(self, now_ns: int) -> float:
        if self._origin_ms is None:
            self._origin_ms = -now_ns / 1e6
        return self._origin_ms

    def state(self) -> dict[str, Any]:
        return {
            "machine": self._machine,
            "step_ms": self.step_ms,
            "origin_ms": self._origin_ms,
            "base": self.base,
            "known": self.known,
        }

    def restore(self, state: Mapping[str, Any] | None, beyond: int) -> None:
        """Continue the numbers of a run before; ``beyond``: none of its steps has a number as high."""
        now_ns = self._clock.mono_ns()
        if state is not None and state["step_ms"] == self.step_ms:
            if state["machine"] == self._machine:  # the same monotonic time
                self._origin_ms, self.base, self.known = state["origin_ms"], state["base"], state["known"]
                self._used = True
                self.look(now_ns)
                return
            if state["known"]:
                self.base = state["base"]
                if self.look(now_ns):
                    return
        # How long the node was off nobody knows: nothing of before reaches into a window.
        self._origin_ms = beyond * self.step_ms - now_ns / 1e6
