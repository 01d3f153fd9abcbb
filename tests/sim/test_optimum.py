"""What could have been reached is exact: nothing that is tried does better."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.cloud.sim.optimum import (
    Shifting,
    best_hours,
    cheapest_running,
    cheapest_whole_steps,
    effective,
)


def problem(seed: int, demand_per_kw: float = 2.0) -> Shifting:
    rng = np.random.default_rng(seed)
    return Shifting(
        base_kw=rng.uniform(50, 200, 12).round(1),
        prices=rng.uniform(0, 1, 12).round(2),
        own_kw=float(rng.uniform(20, 150)),
        days=[(0, 6, float(rng.integers(0, 5))), (6, 12, float(rng.integers(0, 5)))],
        demand_per_kw=demand_per_kw,
        step_h=0.5,
    )


def schedules(load: Shifting) -> list[np.ndarray]:
    """Every way to be on or off."""
    each = [
        [np.array([i in chosen for i in range(end - first)], float)
         for chosen in itertools.combinations(range(end - first), round(need))]
        for first, end, need in load.days
    ]  # fmt: skip
    return [np.concatenate(parts) for parts in itertools.product(*each)]


@pytest.mark.parametrize("demand_per_kw", [0.0, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("seed", range(8))
def test_of_whole_steps_the_cheapest_is_found(seed: int, demand_per_kw: float) -> None:
    load = problem(seed, demand_per_kw)
    found = cheapest_whole_steps(load)
    assert [found[a:b].sum() for a, b, _ in load.days] == [need for _, _, need in load.days]
    assert load.bill(found) == pytest.approx(min(load.bill(on) for on in schedules(load)))


@pytest.mark.parametrize("seed", range(8))
def test_a_load_that_can_be_throttled_is_never_dearer_and_never_dearer_than_anything_tried(seed: int) -> None:
    load, rng = problem(seed), np.random.default_rng(seed)
    found = cheapest_running(load)
    assert [found[a:b].sum() for a, b, _ in load.days] == pytest.approx([need for _, _, need in load.days])
    assert ((found >= 0) & (found <= 1)).all()
    assert load.bill(found) <= load.bill(cheapest_whole_steps(load)) + 1e-6
    for _ in range(500):
        on = np.zeros(12)
        for first, end, need in load.days:
            share = rng.dirichlet(np.full(end - first, 0.7)) * need
            on[first:end] = share if share.max() <= 1 else np.minimum(1, np.full(end - first, need / (end - first)))
        assert load.bill(found) <= load.bill(on) + 1e-6


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=9),
    st.floats(0.1, 2),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_hours_of_equipment_are_the_best_of_all_that_there_are(gains: list[float], cost: float, lag: int) -> None:
    worth = np.array(gains)

    def gain(on: np.ndarray) -> float:
        return float(worth[effective(on, lag)].sum()) - cost * float(on.sum())

    best = max(gain(np.array(on, bool)) for on in itertools.product([False, True], repeat=len(gains)))
    assert gain(best_hours(worth, cost, lag)) == pytest.approx(best)


def test_what_needs_two_hours_to_help_helps_from_the_third_on() -> None:
    on = np.array([1, 1, 1, 1, 0, 1, 1], bool)
    assert effective(on, 2).tolist() == [False, False, True, True, False, False, False]
