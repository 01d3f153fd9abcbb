"""What a control is worth on our own crossing: nine runs of half an hour, judged by the delay of who drives there."""

from __future__ import annotations

import pytest

from tests.sim.traffic import needs
from wayside.cloud.sim.traffic.compare import Line, lines
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import RunResult, RunSpec

pytestmark = [needs.sumo, needs.compiler]
POLICIES = ("fixed", "board", "node:horizon")
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, int], RunResult]:
    specs = [RunSpec(net="crossing", policy=policy, seed=seed, seconds=1800.0) for policy in POLICIES for seed in SEEDS]
    return {(result.policy, result.seed): result for result in run_all(specs)}


@pytest.fixture(scope="module")
def worth(runs: dict[tuple[str, int], RunResult]) -> dict[str, Line]:
    return {line.policy: line for line in lines(list(runs.values()))}


def test_a_board_that_is_actuated_by_itself_takes_four_tenths_of_the_delay_off(worth: dict[str, Line]) -> None:
    assert worth["board"].to_fixed is not None
    assert worth["board"].to_fixed < 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_the_node_above_it_never_makes_it_worse(seed: int, runs: dict[tuple[str, int], RunResult]) -> None:
    assert runs["node:horizon", seed].delay_s <= 1.05 * runs["board", seed].delay_s


def test_everybody_who_wanted_to_drive_is_counted_under_each_control(runs: dict[tuple[str, int], RunResult]) -> None:
    for seed in SEEDS:
        assert len({runs[policy, seed].vehicles for policy in POLICIES}) == 1
        assert runs["fixed", seed].vehicles > 1000


def test_no_rule_of_the_signals_is_broken_and_nobody_is_locked_in(runs: dict[tuple[str, int], RunResult]) -> None:
    assert [result.violations for result in runs.values() if result.violation_count] == []
    assert sum(result.teleports + result.collisions for result in runs.values()) == 0


def test_nobody_waits_longer_than_the_longest_red(runs: dict[tuple[str, int], RunResult]) -> None:
    assert max(result.longest_red_s for result in runs.values()) <= 180.0
