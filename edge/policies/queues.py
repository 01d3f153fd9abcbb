"""Where the vehicles of each lane are, from its loops: what waits, what is on its way, how fast the lane empties.

Two counters a lane. The *near* one is between its middle loop and the stop line, where hardly anyone changes lanes:
what passed the middle loop less what left the stop-line loop. The *far* one is a conveyor: a vehicle over the advance
loop is due at the next loop after the lane's travel time; one that has not come although the next loop is free has
taken another lane. Loops that stay occupied say where a queue ends, an empty stop line under green says that there is
none. Travel time, saturation headway of each phase and the flow are learned from the same edges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wayside.contracts.actuator_config import LoopConfig
from wayside.contracts.beat import Head, Loop, Shows

SPACING_M = 7.0  # of vehicles that stand
EMPTY_S = 3.0  # the stop line is free for so long under green: nobody waits
STANDS_S = 2.5  # a loop is occupied for so long: a vehicle stands on it
FLOW_S = 300.0  # over which arrivals are averaged
FIRST_HEADWAY_S = 2.0
FIRST_SPEED_M_S = 12.0
FADE = True
LEARNS = 0.1  # share of a new headway or travel time


class Parcel(NamedTuple):
    """Vehicles that come together."""

    due_s: float  # at the stop line, if nothing held them up; seconds from now, negative: they wait
    vehicles: float


class Lane:
    """One lane: its loops and what is known of it."""

    def __init__(self, number: int, loops: Sequence[LoopConfig]) -> None:
        self.number = number
        by_function: dict[str, LoopConfig] = {}
        for loop in sorted(loops, key=lambda each: each.at_m):
            by_function.setdefault(loop.function, loop)
        self.stop = by_function.get("stop_line")
        self.middle = by_function.get("middle")
        self.advance = by_function.get("advance")
        if self.middle is None and self.advance is not None:
            self.middle, self.advance = self.advance, None
        first = loops[0]
        self.main = (self.stop or first).phase
        self.phases = ((self.stop or first).phase, *(self.stop or first).also)
        self.headway = {p: FIRST_HEADWAY_S if p == self.main else 1.5 * FIRST_HEADWAY_S for p in self.phases}
        self.speed = FIRST_SPEED_M_S
        self.flow = 0.0  # vehicles per second
        self.near: deque[float] = deque()  # when each is due at the stop line, s
        self.far: deque[float] = deque()
        self.left_s = -1e9  # when the last one left
        self.waited_s = 0.0
        self.seen: dict[int, Loop] = {}
        self.usable = self.stop is not None
        self.green_phase: int | None = None
        self.green_s = 0.0
        self.run = 0
        self.started = False
        self.blocked_s = 0.0

    def take(self, now_s: float, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> None:
        """One second of its loops."""
        stop, middle, advance = (
            None if c is None else _well(loops.get(c.channel)) for c in (self.stop, self.middle, self.advance)
        )
        self.usable = stop is not None
        if stop is None:
            self.near.clear()
            self.far.clear()
            self.seen.clear()
            return
        green = [p for p in self.phases if p in heads and heads[p].shows is Shows.GREEN]
        yellow = any(p in heads and heads[p].shows is Shows.YELLOW for p in self.phases)
        came_far = self._rises(self.advance, advance)
        came = self._rises(self.middle, middle)
        before = self.seen.get(self.stop.channel) if self.stop else None
        gone = 0
        if before is not None and self.stop is not None:
            gone = max(0, (stop.rises - stop.occupied) - (before.rises - before.occupied))
            gone = min(gone, 3)
        at_stop = stop.rises - before.rises if before is not None else 0
        if self.stop is not None:
            self.seen[self.stop.channel] = stop
        for c, loop in ((self.middle, middle), (self.advance, advance)):
            if c is not None and loop is not None:
                self.seen[c.channel] = loop
            elif c is not None:
                self.seen.pop(c.channel, None)
        for _ in range(came_far):
            self.far.append(now_s + self.advance.at_m / self.speed)
        entries = came if middle is not None else at_stop
        at_m = self.middle.at_m if self.middle is not None and middle is not None else 0.0
        for _ in range(entries):
            due = now_s + at_m / self.speed
            if self.far:
                was = self.far.popleft()
                if not self.near and not self.far:
                    took = self.advance.at_m / self.speed + (due - was)  # measured
                    if 0.6 < took * self.speed / self.advance.at_m < 2.0:
                        self.speed += LEARNS * (self.advance.at_m / took - self.speed)
                        self.speed = min(25.0, max(5.0, self.speed))
                due = min(due, max(was, now_s - 60.0)) if was < due else due
            self.near.append(due)
        self.flow += (entries - self.flow) / FLOW_S if self.started else 0.0
        for _ in range(gone):
            due = self.near.popleft() if self.near else now_s
            self._learn(now_s, green, due < now_s - 1.5)
            self.left_s = now_s
        self._correct(now_s, stop, middle, advance, bool(green), yellow)
        if green and self.green_phase not in green:
            self.green_phase, self.green_s, self.run = green[0], now_s, 0
        elif not green:
            self.green_phase = None
        self.blocked_s = 0.0
        if green and stop.occupied:
            self.blocked_s = max(0.0, now_s - max(stop.since_ms / 1000, self.green_s, self.left_s) - 3.0)
        self.started = True

    def _rises(self, config: LoopConfig | None, loop: Loop | None) -> int:
        if config is None or loop is None:
            return 0
        before = self.seen.get(config.channel)
        return 0 if before is None else max(0, min(3, loop.rises - before.rises))

    def _learn(self, now_s: float, green: Sequence[int], waiting: bool) -> None:
        """The headway of two that left one after the other, of which the second had waited."""
        if self.green_phase is None or self.green_phase not in green:
            return
        self.run += 1
        if self.run > 1 and waiting:
            headway = min(12.0, now_s - max(self.left_s, self.green_s))
            old = self.headway[self.green_phase]
            self.headway[self.green_phase] = min(8.0, max(1.2, old + LEARNS * (headway - old)))

    def _correct(
        self, now_s: float, stop: Loop, middle: Loop | None, advance: Loop | None, green: bool, yellow: bool
    ) -> None:
        free_s = 0.0 if stop.occupied else now_s - stop.since_ms / 1000
        if green and free_s >= EMPTY_S and now_s - self.green_s >= EMPTY_S:
            while self.near and self.near[0] < now_s - 1.0:
                self.near.popleft()
        if stop.occupied and not self.near:
            self.near.append(now_s)
        if not green and not yellow and not stop.occupied and free_s > 6.0:
            while self.near and self.near[0] < now_s - 6.0:
                self.near.popleft()  # nobody stands at the stop line: they are gone
        if middle is not None and self.middle is not None:
            stands = middle.occupied and now_s - middle.since_ms / 1000 >= STANDS_S
            if stands:
                holds = max(1, int((self.middle.at_m - 3.0) / SPACING_M)+1)
                while len(self.near) < holds:
                    self.near.append(now_s)
            else:
                late = now_s - 3.0
                gap = 0.0 if middle.occupied else now_s - middle.since_ms / 1000
                if gap >= 2.0:
                    while self.far and self.far[0] - self.middle.at_m / self.speed < late:
                        self.far.popleft()
            if advance is not None and self.advance is not None:
                if advance.occupied and now_s - advance.since_ms / 1000 >= STANDS_S:
                    holds = int((self.advance.at_m - 3.0) / SPACING_M)
                    while len(self.near) + len(self.far) < holds:
                        self.far.append(now_s)

    def queue(self, now_s: float) -> int:
        """Those that have reached the queue or would have."""
        return sum(1 for d in self.near if d <= now_s) + sum(1 for d in self.far if d <= now_s)

    def parcels(self, now_s: float, until_s: float, every_s: float = 4.0) -> list[Parcel]:
        """All that is known to come within ``until_s`` seconds, then what is expected by the flow."""
        parcels = [Parcel(d - now_s, 1.0) for d in self.near]
        parcels += [Parcel(d - now_s, 1.0) for d in self.far]
        reach = self.advance or self.middle or self.stop
        at = (reach.at_m if reach is not None else 0.0) / self.speed
        weight = self.flow * every_s
        if weight > 0.002:
            at += every_s / 2
            while at < until_s:
                parcels.append(Parcel(at, weight * (1.0 - at / until_s) if FADE else weight))
                at += every_s
        return parcels


def _well(loop: Loop | None) -> Loop | None:
    return None if loop is None or loop.fault else loop


def lanes_of(loops: Sequence[LoopConfig]) -> list[Lane]:
    by_lane: dict[int, list[LoopConfig]] = {}
    for loop in loops:
        by_lane.setdefault(loop.lane, []).append(loop)
    return [Lane(number, each) for number, each in sorted(by_lane.items())]
