"""What could have been reached by one who knew everything: exact optima, which no policy can pass.

They leave out the guard's limits on pace: whoever keeps those reaches at most as much. So a capture that is measured
against them is never flattered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
GOLDEN = (5**0.5 - 1) / 2
SECTIONS = 40


class Shifting(NamedTuple):
    """A load that has to run some steps of each day, beside others, for the least charges of energy and demand.

    ``days``: (first, end, need): in the steps ``first`` to before ``end`` it runs for ``need`` steps; no two overlap.
    """

    base_kw: Numbers  # (N,) of the rest of the site
    prices: Numbers  # (N,) per kWh
    own_kw: float
    days: Sequence[tuple[int, int, float]]
    demand_per_kw: float
    step_h: float

    def bill(self, on: Numbers) -> float:
        """Demand, and the own load's energy, of a load that runs such a share of each step (N,)."""
        highest = float((self.base_kw + self.own_kw * on).max())
        return highest * self.demand_per_kw + float((self.prices * on).sum()) * self.own_kw * self.step_h


def cheapest_running(load: Shifting) -> Numbers:
    """(N,) the share of each step in which ``load`` should have run.

    Exact, as a linear programme whose one coupling is the highest demand: under a given cap each day takes its cheapest
    steps, each as far as the cap leaves room; the bill is convex in the cap, so that a search by golden sections ends
    at the best one.
    """
    highest = float(load.base_kw.max())

    def under(cap: float) -> tuple[float, Numbers]:
        on = _under(cap, load)
        return (np.inf, np.zeros(len(load.base_kw))) if on is None else (load.bill(on), on)

    low, high = highest, highest + load.own_kw
    best = min(under(high), under(low), key=_cost)
    for _ in range(SECTIONS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        at_left, at_right = under(left), under(right)
        best = min(best, at_left, at_right, key=_cost)
        if at_left[0] <= at_right[0] and np.isfinite(at_left[0]):
            high = right
        else:
            low = left
    return best[1]


def _cost(found: tuple[float, Numbers]) -> float:
    return found[0]


def _under(cap: float, load: Shifting) -> Numbers | None:
    room = np.clip((cap - load.base_kw) / load.own_kw, 0.0, 1.0)
    on = np.zeros(len(load.base_kw))
    for first, end, need in load.days:
        cheapest = first + np.argsort(load.prices[first:end], kind="stable")
        taken = np.minimum(np.cumsum(room[cheapest]), need)
        if taken[-1] < need - 1e-9:
            return None
        on[cheapest] = np.clip(np.diff(taken, prepend=0.0), 0.0, 1.0)  # a sum's last digit may be over
    return on


def cheapest_whole_steps(load: Shifting) -> Numbers:
    """The same for a load that is on or off for a whole step: exact, every cap that makes a difference is tried."""
    highest = float(load.base_kw.max())
    best, least = np.zeros(len(load.base_kw)), np.inf
    days = [(first + np.argsort(load.prices[first:end], kind="stable"), need) for first, end, need in load.days]
    for cap in np.unique(np.maximum(load.base_kw + load.own_kw, highest)):  # rising
        if cap * load.demand_per_kw >= least:
            break
        on = np.zeros(len(load.base_kw))
        under = load.base_kw + load.own_kw <= cap + 1e-9
        for cheapest, need in days:
            room = cheapest[under[cheapest]]
            whole = math.ceil(need - 1e-9)
            if len(room) < whole:
                break
            on[room[:whole]] = 1.0
        else:
            if load.bill(on) < least:
                best, least = on, load.bill(on)
    return best


def best_hours(gains: Numbers, cost: float, lag: int) -> Flags:
    """When something should have been on that costs ``cost`` a step and gains ``gains`` (N,) only after ``lag`` steps.

    Exact, by dynamic programming over how long it has been on (Bellman 1957): 0, 1 … ``lag`` steps and more.

    Returns:
        (N,) on or off.
    """
    n, states = len(gains), lag + 2  # off, then on for 1, 2 … lag, more than lag steps
    value = np.full(states, -np.inf)
    value[0] = 0.0
    came = np.zeros((n, states), np.int16)
    for t in range(n):
        after = np.empty(states)
        came[t, 0] = int(value.argmax())
        after[0] = value[came[t, 0]]
        for state in range(1, states):
            source = state - 1
            if state == states - 1 and value[state] > value[source]:
                source = state
            came[t, state] = source
            after[state] = value[source] - cost + (gains[t] if state == states - 1 else 0.0)
        value = after
    on = np.zeros(n, bool)
    state = int(value.argmax())
    for t in range(n - 1, -1, -1):
        on[t] = state > 0
        state = int(came[t, state])
    return on


def effective(on: Flags, lag: int) -> Flags:
    """(N,) where it has been on for more than ``lag`` steps, this one included."""
    since = np.zeros(len(on), np.int64)
    length = 0
    for t, each in enumerate(on.tolist()):
        length = length + 1 if each else 0
        since[t] = length
    return since > lag
