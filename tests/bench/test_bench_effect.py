"""What policies are worth: the capture of what perfect foresight would gain, on real months that no training saw.

With `WAYSIDE_DATA`; models are trained in ``var/simulate`` the first time. Without it: made-up months with made-up
forecasts, whose captures only show that something changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.real_data import DATA
from tests.sim.months import air_month, load_month
from wayside.cloud.sim import controls
from wayside.cloud.sim.comparison import Comparison
from wayside.cloud.sim.kept import Kept
from wayside.cloud.sim.model import Model, open_model
from wayside.cloud.sim.report import percent
from wayside.cloud.sim.scenario import load_air, load_energy
from wayside.cloud.sim.tariff import load_tariff

RUNS = Path(os.environ.get("WAYSIDE_RUNS", "var/simulate"))


def shown(compared: Comparison) -> str:
    captures = "; ".join(f"{line.control} {percent(line.capture)}" for line in compared.lines[1:-1])
    return f"\n{compared.title}, {', '.join(compared.months)}{' (made up)' if compared.generated else ''}: {captures}"


def opened(name: str) -> Model:
    return open_model(name, "all", Kept(DATA, RUNS), lambda what, share: None)


@pytest.mark.benchmark(group="a month through policy and guard")
@pytest.mark.parametrize("scenario", ["energy", "energy_time_of_use"])
def test_bench_capture_of_a_shifted_load(benchmark: BenchmarkFixture, scenario: str) -> None:
    chosen = load_energy(scenario)
    tariff = load_tariff(chosen.plant.tariff)
    model = opened(chosen.plant.model) if DATA.is_dir() else made_up()
    replays = model.replays(None) if DATA.is_dir() else [load_month()]
    compared, _, _ = benchmark.pedantic(
        lambda: controls.energy_comparison(
            chosen, tariff, model, replays, lambda what, share: None, generated=not DATA.is_dir()
        )
    )
    print(shown(compared))


@pytest.mark.benchmark(group="a month through policy and guard")
def test_bench_capture_of_warnings_and_abatement(benchmark: BenchmarkFixture) -> None:
    chosen = load_air(None)
    model = opened(chosen.plant.model) if DATA.is_dir() else made_up()
    replays = model.replays(chosen.tasks[0].sites[0].site) if DATA.is_dir() else [air_month()]
    found = benchmark.pedantic(
        lambda: controls.air_comparisons(chosen, model, replays, lambda what, share: None, generated=not DATA.is_dir())
    )
    for compared, _ in found:
        print(shown(compared))


def made_up() -> Model:
    """Only its words are used: the forecasts are made up, too."""
    from wayside.cloud.train.taskfile import load_task

    taskfile = load_task("beijing_day")
    return Model(label="made-up forecasts", taskfile=taskfile, grid=None, bundle=Path(), months=())  # type: ignore[arg-type]
