"""Examples that travel with a checkpoint: they hold what is extreme, what is missing, and where the model errs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.taskfiles import taskfile
from tests.train.test_pictures import pictures, task, write
from tests.train.test_windows import LONG, grid_of
from wayside.cloud.train import cases, datasets
from wayside.cloud.train.taskfile import load_task


def test_calibration_holds_the_extremes_and_the_gaps_and_the_golden_ones() -> None:
    made = taskfile(LONG, inputs=("volume", "hour", "weekday", "rain"), window=4)
    grid = grid_of(made, gaps=0.05)
    grid.values[1, 20, 0] = 999
    train = datasets.split(grid, made).train
    stored = cases.stored(made, train, train, 0, np.array([5, 3]))
    calibration, golden = stored["calibration"], stored["golden"]
    assert len(calibration) <= cases.CALIBRATION
    assert len(golden) == cases.GOLDEN
    assert np.nanmax(calibration[:, :, 0]) == 999
    assert np.isnan(calibration).any(axis=(1, 2)).sum() >= cases.GAPPY
    assert np.array_equal(calibration[: len(golden)], golden, equal_nan=True)
    nothing = np.isnan(golden).all(axis=(1, 2))
    assert np.flatnonzero(nothing).tolist() == [cases.GOLDEN - 1]
    assert np.isnan(golden[-2][:, [0, 3]]).all()
    assert np.isfinite(golden[-2][:, [1, 2]]).all()
    worst = train.take(np.array([5, 3]))[0]
    assert np.array_equal(golden[-4:-2], worst, equal_nan=True)
    assert np.isfinite(golden[:-4]).all()
    again = cases.stored(made, train, train, 0, np.array([5, 3]))
    assert all(np.array_equal(again[n], stored[n], equal_nan=a.dtype.kind == "f") for n, a in stored.items())


def test_a_task_that_allows_no_gap_is_checked_without() -> None:
    made = taskfile(LONG + "missing = 0.0")
    train = datasets.split(grid_of(made, gaps=0.01), made).train
    stored = cases.stored(made, train, train, 0)
    assert np.isfinite(stored["golden"]).all()
    assert np.isfinite(stored["calibration"]).all()


def test_of_many_held_out_windows_some_are_kept_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "HELD", 20)
    made = taskfile(LONG)
    train = datasets.split(grid_of(made), made).train
    stored = cases.stored(made, train, train, 0)
    assert {len(a) for n, a in stored.items() if n.startswith("holdout")} == {20}
    assert stored["holdout_end"][[0, -1]].tolist() == train.end[[0, -1]].tolist()
    assert np.array_equal(stored["holdout_naive"], train.naive[cases.evenly(len(train), 20)])


def test_pictures_of_every_class_and_a_covered_lens_are_checked(tmp_path: Path) -> None:
    x = pictures(200)
    x[7] //= 8
    images = datasets.load(task("blocks = 5"), write(tmp_path / "a.npz", x, [0] * 190 + [1] * 10))[0]
    stored = cases.stored(task(), images, images, 0, np.array([4]))
    golden = stored["golden"]
    assert len(golden) == cases.GOLDEN
    assert len(stored["calibration"]) <= cases.CALIBRATION
    assert golden[-2].max() == 0
    assert golden[-1].min() == 255
    assert np.array_equal(golden[-3], x[4])
    assert np.array_equal(golden[0], x[7])
    rare = x[190:].astype(np.float32)
    assert all((golden == picture).all(axis=(1, 2, 3)).any() for picture in rare)
    assert stored["holdout_y"].dtype.kind == "i"


@pytest.mark.parametrize("missing", ["graph", "last"])
def test_a_model_whose_gaps_are_filled_is_checked_with_filled_windows(missing: str) -> None:
    """What trains, calibrates, checks and judges it holds no gap: on a node it is given none either."""
    made = taskfile(LONG, inputs=("volume", "hour", "weekday", "rain"), window=4, missing=missing)
    train = datasets.split(grid_of(made, gaps=0.05), made).train
    stored = cases.stored(made, train, train, 0)
    for windows in (train.x, *(stored[name] for name in ("calibration", "golden", "holdout_x"))):
        assert np.isnan(windows).any() == (missing == "graph")


def test_scores_are_judged_by_incidents_of_which_the_window_says_whether_it_is_in_one() -> None:
    made = load_task("traffic_score")
    grid = datasets.load(made)[0]
    held = datasets.split(grid, made).holdout
    stored = cases.stored(made, held, held, 0)
    labels = stored["holdout_label"]
    assert 0 < labels.sum() < len(labels) // 20
    changed = np.any(stored["holdout_x"] != held.x, axis=(1, 2))
    assert changed[labels].all()
