"""What could have been reached by one who knew everything: exact optima, which no policy can pass.

They leave out the guard's limits on pace: whoever keeps those reaches at most as much. So a capture that is measured
against them is never flattered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
GOLDEN = (5**0.5 - 1) / 2
SECTIONS = 40


def cheapest_running(
    base_kw: Numbers,
    prices: Numbers,
    own_kw: float,
    days: Sequence[tuple[int, int, float]],
    demand_per_kw: float,
    step_h: float,
) -> Numbers:
    """When a load of ``own_kw`` should have run, for the least charges of energy and demand together.

    Exact, as a linear programme whose one coupling is the highest demand: under a given cap each day takes its cheapest
    steps, each as far as the cap leaves room; the bill is convex in the cap, so that a search by golden sections ends at
    the best one.

    Args:
        base_kw, prices: (N,) of the rest of the site, and per kWh.
        days: (first, end, need): in the steps ``first`` to before ``end`` it runs for ``need`` steps. They do not overlap.

    Returns:
        (N,) share of each step.
    """
    highest = float(base_kw.max())

    def bill(cap: float) -> tuple[float, Numbers]:
        on = _under(cap, base_kw, prices, own_kw, days)
        if on is None:
            return np.inf, np.zeros(len(base_kw))
        total = float((base_kw + own_kw * on).max())
        return total * demand_per_kw + float((prices * on).sum()) * own_kw * step_h, on

    low, high = highest, highest + own_kw
    best = bill(high)
    for _ in range(SECTIONS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        at_left, at_right = bill(left), bill(right)
        best = min(best, at_left, at_right, key=lambda each: each[0])
        if at_left[0] <= at_right[0] and np.isfinite(at_left[0]):
            high = right
        else:
            low = left
    return min(best, bill(highest), key=lambda each: each[0])[1]


def _under(
    cap: float, base_kw: Numbers, prices: Numbers, own_kw: float, days: Sequence[tuple[int, int, float]]
) -> Numbers | None:
    room = np.clip((cap - base_kw) / own_kw, 0.0, 1.0)
    on = np.zeros(len(base_kw))
    for first, end, need in days:
        cheapest = first + np.argsort(prices[first:end], kind="stable")
        taken = np.minimum(np.cumsum(room[cheapest]), need)
        if taken[-1] < need - 1e-9:
            return None
        on[cheapest] = np.diff(taken, prepend=0.0)
    return on


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
