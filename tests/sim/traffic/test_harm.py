"""A node that is wrong, lies or falls silent costs little more than the board alone, and breaks no rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from tests.sim.traffic import needs
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import Fault, RunResult, RunSpec

pytestmark = [needs.sumo, needs.compiler]
SEEDS = (11, 12, 13)


def runs(
    seeds: Sequence[int],
    seconds: float,
    kind: Literal["lying", "harmful", "silent", "wild"] | None = None,
    *,
    compare: bool = True,
    from_s: float = 0.0,
) -> list[RunResult]:
    """On our own crossing; ``kind`` None: the board alone."""
    faults = () if kind is None else (Fault(kind=kind, from_s=from_s),)
    policy = "board" if kind is None else "node:horizon"
    specs = [
        RunSpec(net="crossing", policy=policy, seed=seed, seconds=seconds, faults=faults, compare=compare)
        for seed in seeds
    ]
    return run_all(specs)


def delay_s(results: Sequence[RunResult]) -> float:
    return sum(result.delay_s for result in results) / len(results)


@pytest.mark.parametrize("kind", ["lying", "harmful", "wild"])
def test_whatever_a_node_asks_for_no_rule_of_the_signals_is_broken(kind: Literal["lying", "harmful", "wild"]) -> None:
    (result,) = runs((11,), 600, kind, compare=False)
    assert result.violation_count == 0, result.violations
    assert result.collisions == 0
    assert result.requests["sent"] > 50


def test_a_node_that_falls_silent_leaves_the_board_alone() -> None:
    (silent,) = runs((11,), 900, "silent", compare=False, from_s=60.0)
    (alone,) = runs((11,), 900)
    assert silent.violation_count == 0
    assert silent.delay_s <= 1.1 * alone.delay_s


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lying", "harmful"])
def test_an_hour_with_it_costs_at_most_a_tenth_more_than_the_board_alone(kind: Literal["lying", "harmful"]) -> None:
    alone, watched, unwatched = runs(SEEDS, 3600), runs(SEEDS, 3600, kind), runs(SEEDS, 3600, kind, compare=False)
    assert delay_s(unwatched) > 1.3 * delay_s(alone), "it is no test if it does no harm"
    assert delay_s(watched) <= 1.1 * delay_s(alone)
    assert sum(result.violation_count for result in watched) == 0
