"""The real files, where they are present (tests/real_data.py): what is known of them is what the loaders find."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.real_data import ABSENT, DATA
from wayside.cloud.train import datasets
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import load_task
from wayside.cloud.train.windows import Windows

if not DATA.is_dir():
    pytest.skip(ABSENT, allow_module_level=True)

SIZES = {
    "auckland": (21, 52608),
    "beijing_24": (9, 26304),
    "dutch": (1, 8640),
    "ed_arrivals": (1, 33312),
    "etth1_96": (7, 17420),
    "i94": (1, 45999),
    "junctions": (4, 12408),
    "los_60": (207, 1612),
    "melbourne": (4, 17544),
    "nab": (58, 22695),
    "pems_5": (1, 16416),
    "pjm": (5, 7027),
    "scats_15": (105, 2304),
    "victoria": (1, 35088),
}
"""Sites and intervals."""


def grid_of(name: str) -> tuple[Grid, datasets.Split]:
    grid, taskfile = datasets.load(load_task(name), DATA)
    assert isinstance(grid, Grid)
    return grid, datasets.split(grid, taskfile)


@pytest.mark.parametrize("name", SIZES)
def test_a_file_is_read_whole(name: str) -> None:
    grid, parts = grid_of(name)
    assert grid.values.shape[:2] == SIZES[name]
    for part in (parts.train, parts.validation, parts.holdout):
        x, y = part.take(np.arange(0, len(part), max(1, len(part) // 50)))
        assert np.isfinite(y).all()
        assert not np.isinf(x).any()
        assert np.isnan(x).mean() < 0.2


def test_hours_are_the_streets_own() -> None:
    """Demand, traffic and pedestrians are lowest in the small hours of the local day, all the year round."""
    for name in ("victoria", "i94", "junctions", "melbourne", "auckland", "scats_15", "pjm", "pems_5"):
        grid, _ = grid_of(name)
        hour = grid.ends.astype("datetime64[h]").astype(int) % 24
        for half in np.array_split(np.arange(len(hour)), 2):
            mean = [np.nanmean(grid.values[:, half][:, hour[half] == h, 0]) for h in range(24)]
            assert 1 <= int(np.argmin(mean)) <= 6, (name, np.argmin(mean))


def test_the_dirt_that_is_known_is_found() -> None:
    q = grid_of("i94")[0].quality
    assert q.duplicates == 6213
    assert {c: n for c, n in q.out_of_range.items() if n} == {"temperature": 10, "rain": 1}
    assert q.silent_intervals == 11957
    assert grid_of("pems_5")[0].quality.silent_intervals == 8640  # fifteen days of weekends
    assert grid_of("auckland")[0].quality.duplicates == 1
    assert grid_of("beijing_1")[0].quality.empty["pm2.5"] == 4699


def test_new_year_is_celebrated_at_midnight() -> None:
    grid, _ = grid_of("auckland")
    queen = grid.values[grid.sites.index("210 Queen Street"), :, 0]
    assert queen[grid.ends == np.datetime64("2020-01-01T01:00:00")] == 2822


def test_etth1_is_cut_and_counted_as_the_benchmark_does() -> None:
    """Zeng et al. 2023: repeating the last value gives an MSE of 1.295 at 96 hours."""
    _, parts = grid_of("etth1_96")
    held = parts.holdout
    assert isinstance(held, Windows)
    assert [len(p) // 7 for p in (parts.train, parts.validation, held)] == [8640 - held.window - 96 + 1, 2785, 2785]
    error = (held.naive - held.y) / held.spread[:, None]
    assert np.square(error, dtype=np.float64).mean() == pytest.approx(1.295, abs=0.002)


@pytest.mark.parametrize(
    ("name", "pictures"), [("gtsrb", 13069), ("vehicles", 8747), ("lights", 1187), ("vehicle_count", 8747)]
)
def test_pictures_are_read_whole(name: str, pictures: int) -> None:
    images, taskfile = datasets.load(load_task(name), DATA)
    assert not isinstance(images, Grid)
    parts = datasets.split(images, taskfile)
    assert pictures - 120 <= len(parts.train) + len(parts.validation) + len(parts.holdout) <= pictures
    for part in (parts.train, parts.validation, parts.holdout):
        if taskfile.task.kind == "classify":
            assert set(part.y.tolist()) == set(range(len(taskfile.task.classes)))


def test_the_largest_tasks_stay_small_in_memory() -> None:
    code = """
import sys
from pathlib import Path
from wayside.cloud.train import datasets
from wayside.cloud.train.taskfile import load_task
for name in ("etth1_720", "beijing_24"):
    parts = datasets.split(*datasets.load(load_task(name), Path(sys.argv[1])))
    parts.train.take(range(256))
# Not getrusage: what it calls its maximum begins with that of the process that started it.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    done = subprocess.run([sys.executable, "-c", code, str(DATA)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.5 * 2**20  # kB
