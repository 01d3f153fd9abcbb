"""Where the vehicles of each lane are, from its loops: who waits, who is on the way, how fast the lane empties.

Two queues a lane. *Near* is between the middle loop and the stop line: what passed the one less what left the other.
*Far* is a conveyor: a vehicle over the advance loop is due at the stop line after the lane's travel time; one that has
not come although the middle loop is free has taken another lane. A loop that stays occupied says how far a queue
reaches at least, a free stop line under green says that there is none. Travel time, saturation headway by phase, flow,
and what comes into a lane or leaves it between two loops are learned from the same edges.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wayside.contracts.actuator_config import LoopConfig
from wayside.contracts.beat import Head, Loop, Shows

SPACING_M = 7.0  # of vehicles that stand
EMPTY_S = 3.0  # the stop line is free for so long under green: nobody waits
GONE_S = 6.0  # … under red: who should stand there has gone
STANDS_S = 2.5  # a loop is occupied for so long: a vehicle stands on it
LATE_S = 3.0  # after its time at a loop that is free: it has taken another lane
MOST_A_SECOND = 3  # vehicles over one loop; more in one step is a gap in what was heard
HEADWAY_S = (1.2, 8.0)
FIRST_HEADWAY_S = 2.0
SPEED_M_S = (5.0, 25.0)
FIRST_SPEED_M_S = 12.0
LEARNS = 0.1  # weight of a new headway or travel time
FLOW_S = 300.0  # over which arrivals are averaged
COUNTS_S = 900.0  # over which what the loops of a lane count is compared
FIRST_COUNT = 3.0  # vehicles; so that a few more here than there mean nothing yet


class Parcel(NamedTuple):
    """Vehicles that come together."""

    due_s: float
    """at the stop line if nothing holds them up, seconds from now; negative: they wait"""
    vehicles: float


class Lane:
    """One lane: its loops, and what is known of it. Times are seconds of the board's clock."""

    def __init__(self, number: int, loops: Sequence[LoopConfig]) -> None:
        self.number = number
        ordered = sorted(loops, key=lambda each: each.at_m)
        self.stop = next((each for each in ordered if each.function == "stop_line"), None)
        upstream = [each for each in ordered if each.function != "stop_line"]
        self.middle = upstream[0] if upstream else None
        self.advance = upstream[-1] if len(upstream) > 1 else None
        own = self.stop or ordered[0]
        self.phases = (own.phase, *own.also)
        self.headway = {p: FIRST_HEADWAY_S * (1.0 if p == own.phase else 1.5) for p in self.phases}
        self.speed = FIRST_SPEED_M_S
        self.flow = 0.0  # vehicles a second
        self.channels = tuple(each.channel for each in loops)
        self.restart()

    def restart(self) -> None:
        """Nothing is known of who is there; what was learned stays."""
        self.usable = False  # its stop-line loop is well
        self.near: deque[float] = deque()  # when each is due at the stop line
        self.far: deque[float] = deque()
        self.hidden = 0.0  # vehicles that came in between the middle loop and the stop line
        self.left_s = -1e9  # when the last one left
        self.blocked_s = 0.0  # for how long its first vehicle stands under green
        self._seen: dict[int, Loop] = {}
        self._green: int | None = None  # phase that is green for it
        self._green_s = 0.0
        self._left_in_green = 0
        self._counts = [0.0, 0.0, 0.0]  # over advance, middle and stop-line loop; fading
        self._counted_s = 0.0

    def take(self, now_s: float, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> None:
        """A second has passed."""
        stop, middle, advance = (self._well(each, loops) for each in (self.stop, self.middle, self.advance))
        green = next((p for p in self.phases if p in heads and heads[p].shows is Shows.GREEN), None)
        if green != self._green:
            self._green, self._green_s, self._left_in_green = green, now_s, 0
        self.usable = stop is not None
        if stop is None:
            self._guess(green)
            return
        came_far, came, came_stop = self._rises(advance), self._rises(middle), self._rises(stop)
        gone = self._gone(stop)
        self._remember((stop, middle, advance))
        self._count(came_far, came, came_stop, middle is not None)
        self._arrive(now_s, came_far, came if middle is not None else came_stop, middle is not None)
        for _ in range(gone):
            self._leave(now_s)
        yellow = any(p in heads and heads[p].shows is Shows.YELLOW for p in self.phases)
        self._correct(now_s, stop[1], middle, advance, yellow)

    def known(self) -> int:
        """Vehicles that some loop has seen."""
        return len(self.near) + len(self.far)

    def parcels(self, now_s: float, until_s: float, flow: float | None = None, every_s: float = 5.0) -> list[Parcel]:
        """Who is there and who is expected within ``until_s``, by the time at which they are due.

        Args:
            flow: vehicles a second that a forecast expects; None: those of the last minutes.
        """
        parcels = [Parcel(due - now_s, 1.0) for due in self.near]
        if self.hidden > 0.05:
            parcels.append(Parcel(parcels[-1].due_s if parcels else 0.0, self.hidden))
        advance, middle, _ = self._counts
        stays = min(1.0, max(0.3, (middle + 2 * FIRST_COUNT) / (advance + FIRST_COUNT)))
        parcels += [Parcel(due - now_s, stays) for due in self.far]
        farthest = self.advance or self.middle
        reach_s = farthest.at_m / self.speed if farthest is not None and self.usable else 0.0
        if self.advance is not None:
            unseen = _more(middle, advance) / (self._counted_s + 60.0)
            parcels += _expected(0.0, reach_s, unseen, every_s)
            parcels.sort()
        # What is expected fades towards the horizon: else a plan gains by moving work beyond it.
        expected = _expected(reach_s, until_s, self.flow if flow is None else flow, every_s)
        parcels += [Parcel(p.due_s, p.vehicles * (1.0 - p.due_s / until_s)) for p in expected]
        return parcels

    # --- one second -----------------------------------------------------------------------------------

    def _well(self, config: LoopConfig | None, loops: Mapping[int, Loop]) -> tuple[LoopConfig, Loop] | None:
        loop = None if config is None else loops.get(config.channel)
        if config is None or loop is None or loop.fault:
            if config is not None:
                self._seen.pop(config.channel, None)
            return None
        return config, loop

    def _rises(self, at: tuple[LoopConfig, Loop] | None) -> int:
        before = None if at is None else self._seen.get(at[0].channel)
        return 0 if at is None or before is None else _plausible(at[1].rises - before.rises)

    def _gone(self, stop: tuple[LoopConfig, Loop]) -> int:
        """A vehicle that waits stands on the loop: it has left once the loop is free or the next one has come."""
        before = self._seen.get(stop[0].channel)
        if before is None:
            return 0
        return _plausible(stop[1].rises - stop[1].occupied - before.rises + before.occupied)

    def _remember(self, there: Sequence[tuple[LoopConfig, Loop] | None]) -> None:
        for each in there:
            if each is not None:
                self._seen[each[0].channel] = each[1]

    def _guess(self, green: int | None) -> None:
        """Without its stop-line loop: as many come as usual, and they leave as fast as usual."""
        self.near.clear()
        self.far.clear()
        self.hidden += self.flow
        if green is not None:
            self.hidden = max(0.0, self.hidden - 1.0 / self.headway[green])
        self.blocked_s = 0.0

    def _count(self, advance: int, middle: int, stop: int, has_middle: bool) -> None:
        fades = 1.0 - 1.0 / COUNTS_S
        self._counts = [count * fades + n for count, n in zip(self._counts, (advance, middle, stop), strict=True)]
        self._counted_s = self._counted_s * fades + 1.0
        if has_middle:
            self.hidden += _more(self._counts[2], self._counts[1]) / (self._counted_s + 60.0)

    def _arrive(self, now_s: float, far: int, near: int, at_middle: bool) -> None:
        for _ in range(far if self.advance is not None else 0):
            assert self.advance is not None  # noqa: S101
            self.far.append(now_s + self.advance.at_m / self.speed)
        to_go_s = self.middle.at_m / self.speed if self.middle is not None and at_middle else 0.0
        for _ in range(near):
            due = now_s + to_go_s
            if self.far:
                planned = self.far.popleft()
                if not self.near and not self.far:
                    self._learn_speed(due - planned)
                due = min(due, max(planned, now_s - 60.0))
            self.near.append(due)
        self.flow += (near - self.flow) / FLOW_S

    def _leave(self, now_s: float) -> None:
        if not self.near:
            self.hidden = max(0.0, self.hidden - 1.0)
        due = self.near.popleft() if self.near else now_s
        if self._green is not None:
            self._left_in_green += 1
            if self._left_in_green > 1 and due < now_s - 1.5:  # it had waited
                low, high = HEADWAY_S
                headway = now_s - max(self.left_s, self._green_s)
                old = self.headway[self._green]
                self.headway[self._green] = min(high, max(low, old + LEARNS * (min(12.0, headway) - old)))
        self.left_s = now_s

    def _learn_speed(self, later_s: float) -> None:
        """From one that had the road for itself, later than was planned by so much."""
        if self.advance is None:
            return
        took_s = self.advance.at_m / self.speed + later_s
        low, high = SPEED_M_S
        if 0.6 < took_s * self.speed / self.advance.at_m < 2.0:
            self.speed = min(high, max(low, self.speed + LEARNS * (self.advance.at_m / took_s - self.speed)))

    def _correct(
        self,
        now_s: float,
        stop: Loop,
        middle: tuple[LoopConfig, Loop] | None,
        advance: tuple[LoopConfig, Loop] | None,
        yellow: bool,
    ) -> None:
        green = self._green is not None
        free_s = 0.0 if stop.occupied else now_s - stop.since_ms / 1000
        if green and free_s >= EMPTY_S and now_s - self._green_s >= EMPTY_S:
            self._drop(now_s - 1.0)
            self.hidden = 0.0
        elif not green and not yellow and free_s > GONE_S:
            self._drop(now_s - GONE_S)
        if stop.occupied and not self.near:
            self.near.append(now_s)
        self.blocked_s = 0.0
        if green and stop.occupied:
            self.blocked_s = max(0.0, now_s - max(stop.since_ms / 1000, self._green_s, self.left_s) - 3.0)
        if middle is None:
            return
        if _stands(now_s, middle[1]):
            self._fill(self.near, 1 + int((middle[0].at_m - 3.0) / SPACING_M), now_s)
        elif not middle[1].occupied and now_s - middle[1].since_ms / 1000 >= 2.0:
            while self.far and self.far[0] - middle[0].at_m / self.speed < now_s - LATE_S:
                self.far.popleft()
        if advance is not None and _stands(now_s, advance[1]):
            self._fill(self.far, int((advance[0].at_m - 3.0) / SPACING_M) - len(self.near), now_s)

    def _drop(self, due_before: float) -> None:
        while self.near and self.near[0] < due_before:
            self.near.popleft()

    @staticmethod
    def _fill(queue: deque[float], at_least: int, due_s: float) -> None:
        while len(queue) < at_least:
            queue.append(due_s)


def lanes_of(loops: Sequence[LoopConfig]) -> list[Lane]:
    by_lane: dict[int, list[LoopConfig]] = {}
    for loop in loops:
        by_lane.setdefault(loop.lane, []).append(loop)
    return [Lane(number, each) for number, each in sorted(by_lane.items())]


def _plausible(count: int) -> int:
    return min(MOST_A_SECOND, max(0, count))


def _more(here: float, there: float) -> float:
    return max(0.0, here - there - 2.0)


def _stands(now_s: float, loop: Loop) -> bool:
    return loop.occupied and now_s - loop.since_ms / 1000 >= STANDS_S


def _expected(from_s: float, until_s: float, flow: float, every_s: float) -> list[Parcel]:
    vehicles = flow * every_s
    if vehicles < 0.01:
        return []
    first = from_s + every_s / 2
    return [Parcel(first + n * every_s, vehicles) for n in range(max(0, int((until_s - first) / every_s) + 1))]
