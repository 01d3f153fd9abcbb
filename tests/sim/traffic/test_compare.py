"""Controllers are compared by their means over the same seeds, and each seed against its own fixed plan."""

from __future__ import annotations

import msgspec
import pytest

from tests.bench import signals
from wayside.cloud.sim.traffic.compare import lines
from wayside.cloud.sim.traffic.spec import RunResult

RESULT = RunResult(
    net="town", policy="fixed", seed=1, seconds=3600.0, delay_s=30.0, vehicles=100, arrived=99, undeparted=0,
    stops=1.0, queue_mean=5.0, queue_max=9, longest_red_s=60.0, longest_red_phase="a/1", pedestrians=0,
    ped_wait_s=0.0, ped_wait_max_s=0.0, co2_kg=10.0, nox_g=1.0, fuel_kg=1.0, teleports=0, collisions=0,
    violations=(), violation_count=0, requests={}, greens=(), queue=(5.0,), wall_s=1.0,
)  # fmt: skip


def result(policy: str, seed: int, delay_s: float, **others: object) -> RunResult:
    return msgspec.structs.replace(RESULT, policy=policy, seed=seed, delay_s=delay_s, **others)


def test_the_ratio_is_that_of_the_means_and_the_worst_is_of_one_seed() -> None:
    fixed, board = lines(
        [result("fixed", 1, 30.0), result("fixed", 2, 50.0), result("board", 1, 33.0), result("board", 2, 27.0)]
    )
    assert (fixed.to_fixed, fixed.worst_to_fixed) == (1.0, 1.0)
    assert (board.delay_s, board.delay_median_s, board.delay_of) == (30.0, 30.0, (33.0, 27.0))
    assert board.to_fixed == pytest.approx(60 / 80)
    assert board.worst_to_fixed == pytest.approx(33 / 30)


def test_without_the_fixed_plan_of_each_seed_there_is_no_ratio() -> None:
    assert lines([result("board", 1, 33.0)])[0].to_fixed is None
    assert lines([result("fixed", 1, 30.0), result("board", 1, 33.0), result("board", 2, 33.0)])[1].to_fixed is None


def test_what_is_locked_or_broken_is_summed_and_the_longest_is_of_all_seeds() -> None:
    (line,) = lines(
        [result("board", 1, 9.0, teleports=3, longest_red_s=90.0), result("board", 2, 9.0, violation_count=2)]
    )
    assert (line.teleports, line.locked, line.longest_red_s, line.violations) == (3, 1, 90.0, 2)


def test_the_page_names_the_best_of_the_others_and_shows_numbers_between_its_marks_alone() -> None:
    delays = {"fixed": 30.0, "board": 15.0, signals.POLICY: 12.0, "greedy": 13.0, "slow": 14.0}
    found = lines([result(policy, 11, delay_s) for policy, delay_s in delays.items()])
    written = msgspec.json.encode(signals.Numbers((11,), found, (11,), {"all is dark": found}))
    numbers = msgspec.json.decode(written, type=signals.Numbers)
    begin, end = (mark.format("worth") for mark in (signals.BEGIN, signals.END))
    text = signals.page(f"before\n{begin}old\n{end}after\n", numbers)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| town | 30.0 | 15.0, 0.50 × | 12.0, 0.40 × | 13.0, 0.43 × (greedy) |" in text
