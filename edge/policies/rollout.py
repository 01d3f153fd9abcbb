"""What a plan of stages costs: the vehicles that are there and expected, rolled out until the horizon.

A *stage* is a set of phases that are green together, one a ring. A vehicle leaves when it is due and those before it
have left, one headway apart, from the start of green (and its lost time) into yellow. It costs the seconds by which it
is late, and a stop. A stage lasts until few are left on its lanes; then the next one is tried, those first where most
wait; a stage whose lanes another one serves as well is not. A branch ends where it costs more than the best plan
already (branch and bound). The idea is that of rolling-horizon and schedule-driven control (Sen and Head, COP, 1997;
Xie, Smith and Barlow, SURTRAC, 2012).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wayside.edge.policies.queues import Parcel

LOOKED_AT_S = 28.0  # of one stage's departures
STOPPED_S = 3.0  # a vehicle that is later has stopped, an earlier one has slowed down
SOON_S = 2.0  # who comes by then counts when the next stage is chosen
NOBODY = 0.3  # vehicles
AS_WELL = 0.9  # of the rate of another stage
TRIED = 3  # stages after another
BUDGET = 120  # stages of all plans; from then on only the first of those that may follow


class Costs(NamedTuple):
    """Seconds; ``left`` and ``depth`` are the roll-out's own."""

    horizon_s: float = 60.0
    stop_s: float = 4.0
    lost_s: float = 1.5
    """from green until the first one leaves"""
    yellow_s: float = 2.0
    """into which they still leave"""
    left: float = 1.5
    """vehicles that a later stage leaves behind"""
    depth: int = 3
    """stages that are tried in each order; later ones are where most wait"""


class Stage(NamedTuple):
    phases: tuple[int, ...]
    lanes: Mapping[int, float]
    """that are served, with their headway, s; indices of the snapshot"""
    emptied: frozenset[int]
    """those of them that it lasts for: no other stage serves them much faster"""
    min_s: float
    max_s: float
    clear_s: float
    """yellow and red clearance"""


class Snapshot:
    """Parcels by lane, as they come."""

    def __init__(self, lanes: Sequence[Sequence[Parcel]]) -> None:
        self.due: list[list[float]] = []
        self.vehicles: list[list[float]] = []
        self.total: list[list[float]] = []  # vehicles of the first so many parcels
        self.moment: list[list[float]] = []  # … weighted by when they are due
        for parcels in lanes:
            due, total, moment = [], [0.0], [0.0]
            last, vehicles, weighted = -1e9, 0.0, 0.0
            for at, n in parcels:
                last = max(last, at)  # nobody overtakes
                vehicles += n
                weighted += n * last
                due.append(last)
                total.append(vehicles)
                moment.append(weighted)
            self.due.append(due)
            self.vehicles.append([n for _, n in parcels])
            self.total.append(total)
            self.moment.append(moment)


Served = tuple[list[float], list[float]]  # when each parcel leaves; what the first so many cost


class Rollout:
    def __init__(self, snapshot: Snapshot, stages: Sequence[Stage], costs: Costs) -> None:
        self._at, self._stages, self._costs = snapshot, stages, costs
        self._served: dict[tuple[int, float, int, float], Served] = {}
        self._best = 0.0
        self._budget = BUDGET

    def best(
        self, now: int, extension_s: float, ready: Mapping[int, float], at_most: float, allowed: Sequence[int]
    ) -> tuple[float, int | None]:
        """The cheapest plan that keeps stage ``now`` green for so long: its cost, and the stage that follows.

        Args:
            ready: by lane of that stage, when its next vehicle can leave.
            at_most: a plan that costs more is none; the stage is then None.
            allowed: stages that may follow.
        """
        stage = self._stages[now]
        gone = [0] * len(self._at.due)
        cost = 0.0
        for lane, headway in stage.lanes.items():
            leaves, costs = self._serve(lane, headway, 0, ready[lane])
            n = bisect_right(leaves, extension_s + self._costs.yellow_s)
            gone[lane] = n
            cost += costs[n]
        self._best = at_most
        chosen = None
        for following in self._candidates(now, extension_s + stage.clear_s, gone, allowed):
            before = self._best
            self._go((now, following), extension_s, gone, cost, self._costs.depth)
            if self._best < before:
                chosen = following
        return self._best, chosen

    def _serve(self, lane: int, headway: float, first: int, ready_s: float) -> Served:
        key = (lane, headway, first, ready_s)
        known = self._served.get(key)
        if known is not None:
            return known
        until, stop_s = min(self._costs.horizon_s, ready_s + LOOKED_AT_S), self._costs.stop_s
        leaves: list[float] = []
        costs = [0.0]
        cost = 0.0
        due, vehicles = self._at.due[lane], self._at.vehicles[lane]
        for n in range(first, len(due)):
            own = due[n]
            at = max(own, ready_s)
            if at > until:
                break
            late, weight = at - own, vehicles[n]
            cost += weight * (late + (stop_s if late > STOPPED_S else stop_s * late / STOPPED_S))
            leaves.append(at)
            costs.append(cost)
            ready_s = at + headway * weight
        served = self._served[key] = (leaves, costs)
        return served

    def _go(self, plan: tuple[int, int], ended_s: float, gone: list[int], cost: float, depth: int) -> None:
        """``plan``: the stage that ended, and the one that follows."""
        before, now = plan
        self._budget -= 1
        costs, stage, last = self._costs, self._stages[now], self._stages[before]
        begins_s = ended_s + last.clear_s
        if cost + self._waiting(begins_s, gone) >= self._best:
            return
        served = []
        for lane, headway in stage.lanes.items():
            # A lane that is green in both goes on.
            ready_s = ended_s + costs.yellow_s if lane in last.lanes else begins_s + costs.lost_s
            served.append((lane, *self._serve(lane, headway, gone[lane], ready_s)))
        horizon_s = costs.horizon_s
        ends_s, latest_s = begins_s + stage.min_s, min(horizon_s, begins_s + stage.max_s)
        while ends_s < latest_s and self._left(stage.emptied, served, gone, ends_s) > costs.left:
            ends_s += 1.0
        gone = list(gone)
        for lane, leaves, each in served:
            n = bisect_right(leaves, ends_s + costs.yellow_s)
            gone[lane] += n
            cost += each[n]
        if ends_s + stage.clear_s >= horizon_s:
            self._best = min(self._best, cost + self._waiting(horizon_s, gone))
            return
        candidates = self._candidates(now, ends_s + stage.clear_s, gone, range(len(self._stages)))
        for following in candidates[: TRIED if depth > 1 and self._budget > 0 else 1]:
            self._go((now, following), ends_s, gone, cost, depth - 1)

    def _left(
        self,
        emptied: frozenset[int],
        served: Sequence[tuple[int, list[float], list[float]]],
        gone: Sequence[int],
        at_s: float,
    ) -> float:
        left = 0.0
        for lane, leaves, _ in served:
            if lane not in emptied:
                continue
            total = self._at.total[lane]
            first = gone[lane] + bisect_right(leaves, at_s)
            left += total[bisect_right(self._at.due[lane], at_s, first)] - total[first]
        return left

    def _waiting(self, at_s: float, gone: Sequence[int]) -> float:
        """What those cost at least who are there by ``at_s`` and have not left."""
        cost, stop_s = 0.0, self._costs.stop_s
        for lane, first in enumerate(gone):
            due = self._at.due[lane]
            n = bisect_right(due, at_s, first)
            if n > first:
                total, moment = self._at.total[lane], self._at.moment[lane]
                cost += at_s * (total[n] - total[first]) - (moment[n] - moment[first])
                cost += stop_s * (total[bisect_right(due, at_s - STOPPED_S / 2, first)] - total[first])
        return cost

    def _candidates(self, now: int, at_s: float, gone: Sequence[int], allowed: Sequence[int]) -> list[int]:
        """Stages that may follow, the one first where most can leave; none whose lanes another serves as well."""
        waits: dict[int, float] = {}
        for lane, first in enumerate(gone):
            total = self._at.total[lane]
            n = total[bisect_right(self._at.due[lane], at_s + SOON_S, first)] - total[first]
            if n > NOBODY:
                waits[lane] = n
        rated: list[tuple[float, int, dict[int, float]]] = []
        for number in allowed:
            if number == now:
                continue
            rates = {
                lane: waits[lane] / headway for lane, headway in self._stages[number].lanes.items() if lane in waits
            }
            if rates:
                rated.append((-sum(rates.values()), number, rates))
        rated.sort(key=lambda each: each[:2])
        kept: list[tuple[int, dict[int, float]]] = []
        for _, number, rates in rated:
            if not any(
                all(other.get(lane, 0.0) >= AS_WELL * rate for lane, rate in rates.items()) for _, other in kept
            ):
                kept.append((number, rates))
        if kept:
            return [number for number, _ in kept]
        others = [number for number in allowed if number != now]
        return [max(others, key=lambda number: self._to_come(number, gone))] if others else []

    def _to_come(self, stage: int, gone: Sequence[int]) -> float:
        return sum(self._at.total[lane][-1] - self._at.total[lane][gone[lane]] for lane in self._stages[stage].lanes)
