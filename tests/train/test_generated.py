"""Generated data: the same from the same seed, in the layout of the real files, and worth a forecast."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from wayside.cloud.train import datasets, fit, generated
from wayside.cloud.train.cli import train as app
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.images import Images
from wayside.cloud.train.taskfile import Generated, TaskFile, load_task, task_names

TASKS = [name for name in task_names() if load_task(name).data.generated is not None]
SERIES = [name for name in TASKS if load_task(name).task.image is None]
FORECAST = {"kiosk_load": "victoria", "mast_pm25": "beijing_6", "forecourt_arrivals": "ed_arrivals"}
"""Each with the shipped task that reads the same files."""


def small(name: str, seed: int) -> TaskFile:
    """The task on little data."""
    taskfile = load_task(name)
    made = Generated(seed=seed, **{MADE[name]: 60})
    task = msgspec.structs.replace(taskfile.task, holdout_days=10, validation_days=10)
    return msgspec.structs.replace(taskfile, task=task, data=msgspec.structs.replace(taskfile.data, generated=made))


MADE = {
    "kiosk_load": "load_days",
    "mast_pm25": "air_days",
    "forecourt_arrivals": "arrival_days",
    "corner_vehicles": "drawings",
}


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_data_and_another_one_others(name: str) -> None:
    first, again, other = (datasets.load(small(name, seed))[0].sha256 for seed in (7, 7, 8))
    assert first == again != other


@pytest.mark.parametrize("name", TASKS)
def test_the_source_says_that_it_is_generated(name: str, tmp_path: Path) -> None:
    generated.write(tmp_path, 7, **{MADE[name]: 60})
    files = [f.name for f in tmp_path.rglob("*.*")]
    assert files
    assert all("generated" in f or "Made" in f for f in files)


@pytest.mark.parametrize(("name", "real"), FORECAST.items())
def test_the_task_of_the_real_files_reads_them_too(name: str, real: str, tmp_path: Path) -> None:
    generated.write(tmp_path, 7, **{MADE[name]: 60})
    grid, _ = datasets.load(load_task(real), tmp_path)
    assert isinstance(grid, Grid)
    assert np.isfinite(grid.values[:, :, 0]).mean() > 0.95


@pytest.mark.parametrize("name", SERIES)
def test_nothing_is_out_of_range_and_every_stretch_has_windows(name: str) -> None:
    grid, taskfile = datasets.load(small(name, 7))
    assert not any(grid.quality.out_of_range.values())
    parts = datasets.split(grid, taskfile)
    assert min(len(parts.train), len(parts.validation), len(parts.holdout)) > 100


def test_coarse_dust_holds_the_fine() -> None:
    for station in generated.air(200, 7).values():
        seen = station[["PM2.5", "PM10"]].dropna()
        assert (seen["PM2.5"] > seen["PM10"]).mean() < 0.01


def test_arrivals_are_counts_with_quiet_nights_and_some_crowded_hours() -> None:
    made = generated.arrivals(200, 7)
    counts, hour = made["Arrivals"].to_numpy(), made["Hour"].to_numpy()
    assert (counts == counts.astype(int)).all()
    assert counts[(hour >= 2) & (hour < 6)].mean() < 0.6 * counts[(hour >= 12) & (hour < 20)].mean()
    assert counts.max() > 3 * counts.mean()


def test_half_of_the_drawings_are_vehicles_in_either_stretch() -> None:
    pictures, taskfile = datasets.load(small("corner_vehicles", 7))
    parts = datasets.split(pictures, taskfile)
    for part in (parts.train, parts.validation, parts.holdout):
        assert isinstance(part, Images)
        assert part.labels.mean() == pytest.approx(0.5)


def test_given_files_go_before_what_would_be_generated(tmp_path: Path) -> None:
    generated.write(tmp_path, 1, arrival_days=70)
    given, _ = datasets.load(load_task("forecourt_arrivals"), tmp_path)
    assert isinstance(given, Grid)
    assert given.values.shape[1] == 70 * 24


def test_no_generated_task_claims_a_published_number() -> None:
    for name in TASKS:
        assert load_task(name).published == ()
        assert load_task(name).goal is None
        assert not load_task(name).fit.refit, f"{name}: the demo feeds held-out days to a model that never saw them"


@pytest.mark.slow
def test_all_reference_families_train_on_every_task_that_comes_with_data(tmp_path: Path) -> None:
    forecasts = [n for n in task_names() if load_task(n).sampled and load_task(n).task.kind == "forecast"]
    assert {*FORECAST, "traffic_flow"} <= {*forecasts}
    options = ["--task", ",".join(forecasts), "--family", "all", "--epochs", "1", "--no-refit", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*options, "--json"])
    assert done.exit_code == 0, done.stderr
    assert "diverge" not in done.stderr
    reports = json.loads(done.stdout)
    assert [r["family"] for r in reports] == [*fit.REFERENCES] * len(forecasts)
