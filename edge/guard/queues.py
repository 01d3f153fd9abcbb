"""How many vehicles wait at a signal, as far as its loops tell: what a policy costs, in vehicle seconds.

By Little's law the vehicles that wait, summed over time, are the delay. Between a lane's farthest loop and its stop
line they are counted in and out (input-output method); the count is put right where a loop says more than it does: a
green with nobody on the line means that nobody is left, a standing vehicle on the far loop that the queue reaches it.
A lane with a stop line alone has one vehicle that is seen and as many behind it as come in that time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from wayside.contracts.actuator_config import LoopConfig
from wayside.contracts.beat import Head, Loop, Shows

APPROACH_M_S = 11.0  # how fast vehicles come to the stop line
VEHICLE_M = 7.5  # of road for each that stands
EMPTY_MS = 3000  # of green and nobody on the stop line: the lane is empty
STANDS_MS = 4000  # on a loop: it does not drive over it, it stands there
RATE_TAU_S = 1800.0  # of the mean arrivals
FIRST_RATE = 0.05  # vehicles a second and lane, until some have come


class Lane:
    """One lane's queue."""

    def __init__(self, loops: Sequence[LoopConfig]) -> None:
        lines = [each for each in loops if each.function == "stop_line"]
        others = sorted((each for each in loops if each.function != "stop_line"), key=lambda each: each.at_m)
        self.phases = frozenset(phase for each in loops for phase in (each.phase, *each.also))
        self._channels = tuple(each.channel for each in loops)
        self._line = tuple(each.channel for each in lines)
        self._far = others[-1].channel if others and lines else None
        self._at_m = others[-1].at_m if others else 0.0
        self._coming: deque[int] = deque()  # when those on their way from the far loop passed it, ms
        self._before: tuple[int, int] | None = None  # vehicles at the far loop, at the line
        self._inside = 0.0
        self._rate = FIRST_RATE  # arrivals a second
        self._empty_since: int | None = None
        self.waiting = 0.0  # vehicles
        self.arrived = 0  # in the last second

    def faulty(self, loops: Mapping[int, Loop]) -> bool:
        return any(loops[c].fault for c in self._channels)

    def step(self, now_ms: int, green: bool, loops: Mapping[int, Loop]) -> None:
        """A second has passed."""
        line = [loops[c] for c in self._line]
        far = loops[self._far] if self._far is not None else None
        at_line, at_far = sum(each.rises for each in line), far.rises if far is not None else 0
        came, left = self._since_before(at_far, at_line)
        self.arrived = came if far is not None else left
        self._rate += (self.arrived - self._rate) / RATE_TAU_S
        occupied = any(each.occupied for each in line)
        if occupied or not green:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now_ms
        empty = self._empty_since is not None and now_ms - self._empty_since >= EMPTY_MS
        if far is not None:
            self._count(now_ms, came, left, far, occupied=occupied, green=green, empty=empty)
        elif empty:
            self.waiting = 0.0
        elif green:
            self.waiting = max(float(occupied), self.waiting - left + self._rate)
        elif occupied or self.waiting:
            self.waiting = max(1.0, self.waiting + self._rate)

    def _since_before(self, at_far: int, at_line: int) -> tuple[int, int]:
        before, self._before = self._before, (at_far, at_line)
        if before is None or at_far < before[0] or at_line < before[1]:
            return 0, 0  # the first word, or counted from anew
        return at_far - before[0], at_line - before[1]

    def _count(self, now_ms: int, came: int, left: int, far: Loop, *, occupied: bool, green: bool, empty: bool) -> None:
        self._coming.extend([now_ms] * came)
        while self._coming and now_ms - self._coming[0] > 1000 * self._at_m / APPROACH_M_S:
            self._coming.popleft()
        self._inside = max(0.0, self._inside + came - left)
        if empty:
            self._inside = min(self._inside, float(len(self._coming)))
        standing = max(self._inside - len(self._coming), 0.0) + float(occupied)
        if occupied and not green:
            standing = max(standing, 1.0)
        if far.occupied and now_ms - far.since_ms >= STANDS_MS:
            beyond = self._rate * (now_ms - far.since_ms - STANDS_MS) / 1000
            standing = max(standing, self._at_m / VEHICLE_M + beyond)
        self.waiting = standing


class Queues:
    """Of a whole signal."""

    def __init__(self, loops: Sequence[LoopConfig]) -> None:
        by_lane: dict[int, list[LoopConfig]] = {}
        for each in loops:
            by_lane.setdefault(each.lane, []).append(each)
        self._lanes = [Lane(each) for each in by_lane.values() if any(one.function == "stop_line" for one in each)]
        self._well: list[bool] = [True] * len(self._lanes)
        self.waiting = 0.0  # vehicles, now
        self.arrived = 0  # in the last second

    @property
    def sees(self) -> bool:
        """There is a lane with a loop at its stop line: else nothing is known of who waits."""
        return bool(self._lanes)

    def step(self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> bool:
        """A second has passed. A lane with a faulty loop is left out; True: other lanes than before are counted."""
        before, self._well = self._well, [not lane.faulty(loops) for lane in self._lanes]
        green = {phase for phase, head in heads.items() if head.shows is Shows.GREEN}
        self.waiting, self.arrived = 0.0, 0
        for lane, well in zip(self._lanes, self._well, strict=True):
            lane.step(now_ms, not green.isdisjoint(lane.phases), loops)
            if well:
                self.waiting += lane.waiting
                self.arrived += lane.arrived
        return before != self._well
