"""What a board is compared with drives every light, keeps yellow and minimum green, and serves everybody."""

from __future__ import annotations

import pytest

from tests.sim.traffic import needs
from wayside.cloud.sim.traffic.comparators import COMPARATORS
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import RunResult, RunSpec

pytestmark = [needs.sumo, needs.compiler]
SECONDS = 300.0


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    names = ["fixed", *(name for name in COMPARATORS if name != "fixed_bands")]
    specs = [RunSpec(net="crossing", policy=name, seed=1, seconds=SECONDS) for name in names]
    specs.append(RunSpec(net="arterial", policy="fixed_bands", seed=1, seconds=SECONDS))
    return {result.policy: result for result in run_all(specs)}


@pytest.mark.parametrize("name", COMPARATORS)
def test_every_phase_turns_green_and_no_rule_is_broken(name: str, results: dict[str, RunResult]) -> None:
    assert results[name].violations == ()
    assert {1, 3} <= {green.phase for green in results[name].greens}
    assert results[name].arrived > 50


def test_who_sees_every_vehicle_is_better_than_the_clock(results: dict[str, RunResult]) -> None:
    assert results["greedy"].delay_s < results["fixed"].delay_s
    assert results["max_pressure"].delay_s < results["fixed"].delay_s
