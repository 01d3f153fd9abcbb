"""Windows: what is asked for is what the grid holds, targets are observed, and no stretch sees another's targets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.taskfiles import taskfile
from wayside.cloud.train import datasets
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.grid import Grid, Rows, on_grid
from wayside.cloud.train.taskfile import TaskFile
from wayside.cloud.train.windows import Windows

HOURS = 24 * 8
NAMES = ("south", "north", "east")
LONG = 'layout = "long"\ntime = ["at"]\nsite = "name"\n'


def grid_of(
    task: TaskFile, *, seed: int = 0, gaps: float = 0.0, hours: int = HOURS, names: tuple[str, ...] = NAMES
) -> Grid:
    rng = np.random.default_rng(seed)
    columns = ["volume", *(i.name for i in task.task.inputs if i.name in ("rain", "holiday"))]
    values = {c: rng.integers(0, 500, len(names) * hours).astype(float) for c in columns}
    for column in values.values():
        column[rng.random(len(column)) < gaps] = np.nan
    monday = int(np.datetime64("2025-03-03T00:00", "s").astype(int))
    rows = Rows(
        seconds=np.tile(monday + 3600 * np.arange(hours), len(names)),
        site=np.repeat(np.arange(len(names)), hours),
        sites=names,
        values=values,
        lines=len(names) * hours,
    )
    return on_grid(rows, task, "made")


def prepared(task: TaskFile, grid: Grid) -> TaskFile:
    sites = grid.sites if "site" in [i.name for i in task.task.inputs] else ()
    return msgspec.structs.replace(task, task=msgspec.structs.replace(task.task, sites=sites))


shapes = st.fixed_dictionaries(
    {
        "window": st.integers(1, 9),
        "horizon": st.integers(1, 5),
        "lead": st.integers(1, 6),
        "season": st.sampled_from([3, 24]),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes,
    gaps=st.sampled_from([0.0, 0.05, 0.4]),
    missing=st.sampled_from([0.0, 0.3, 0.5]),
    seed=st.integers(0, 99),
)
def test_every_window_is_the_plain_slice_of_its_site(
    shape: dict[str, int], gaps: float, missing: float, seed: int
) -> None:
    inputs, ahead = ("volume", "hour", "site", "rain"), ()
    if shape["window"] >= shape["horizon"]:
        inputs, ahead = (*inputs, "holiday"), ("holiday",)
    task = taskfile(LONG + f"missing = {missing}", inputs=inputs, ahead=ahead, **shape)
    grid = grid_of(task, seed=seed, gaps=gaps)
    task = prepared(task, grid)
    try:
        windows = datasets.windows(grid, task)
    except DataError:
        windows = None
    t, lead, horizon = shape["window"], shape["lead"], shape["horizon"]
    reach, hours = lead + horizon - 1, np.arange(1, HOURS + 1) % 24
    found = []
    for k in range(t - 1, HOURS - reach):
        for d in range(len(NAMES)):
            volume, rain = grid.values[d, :, 0], grid.values[d, :, grid.columns.index("rain")]
            columns = [volume[k - t + 1 : k + 1], hours[k - t + 1 : k + 1], np.full(t, d), rain[k - t + 1 : k + 1]]
            if ahead:
                columns.append(grid.values[d, k - t + 1 + reach : k + 1 + reach, grid.columns.index("holiday")])
            y = volume[k + lead : k + lead + horizon]
            gone = np.isnan(columns[0]).sum()
            whole = gone <= missing * t if missing else not np.isnan(columns).any()
            if whole and not np.isnan(y).any():
                found.append((d, k, np.stack(columns, axis=1), y))
    assert windows is not None or not found
    if windows is None:
        return
    assert [(int(s), int(k)) for s, k in zip(windows.site, windows.newest, strict=True)] == [f[:2] for f in found]
    x, y = windows.take(np.arange(len(windows))[::-1])  # any order
    assert np.array_equal(x, np.stack([f[2] for f in found[::-1]]).astype(np.float32), equal_nan=True)
    assert np.array_equal(y, np.stack([f[3] for f in found[::-1]]).astype(np.float32))
    assert np.isfinite(windows.y).all()
    for floor in (windows.naive, windows.seasonal):
        assert floor.shape == windows.y.shape
        assert np.isfinite(floor).all()


@settings(max_examples=25, deadline=None)
@given(shape=shapes, gaps=st.sampled_from([0.0, 0.2]))
def test_the_floors_know_nothing_after_the_newest_row(shape: dict[str, int], gaps: float) -> None:
    task = taskfile(LONG, **shape)
    grid = grid_of(task, gaps=gaps)
    windows = datasets.windows(grid, task)
    at = len(windows) // 2
    one = windows.where(np.array([at]))
    later = grid.values.copy()
    later[:, one.newest[0] + 1 :, 0] = 777
    again = datasets.windows(msgspec_replace(grid, later), task)
    same = np.flatnonzero((again.site == one.site[0]) & (again.newest == one.newest[0]))
    assert np.array_equal(again.naive[same], one.naive)
    assert np.array_equal(again.seasonal[same], one.seasonal)
    assert np.array_equal(again.take(same)[0], one.take(slice(None))[0], equal_nan=True)


def msgspec_replace(grid: Grid, values: np.ndarray) -> Grid:
    return Grid(**{f: getattr(grid, f) for f in grid.__dataclass_fields__} | {"values": values})


@settings(max_examples=25, deadline=None)
@given(shape=shapes, back=st.booleans(), days=st.tuples(st.integers(1, 2), st.integers(1, 2)))
def test_no_target_of_a_stretch_is_anywhere_in_an_earlier_one(
    shape: dict[str, int], back: bool, days: tuple[int, int]
) -> None:
    data = LONG + f"reach_back = {str(back).lower()}"
    task = taskfile(data, holdout_days=days[0], validation_days=days[1], **shape)
    parts = datasets.split(grid_of(task), task)

    def cells(windows: Windows, *, targets: bool) -> set[tuple[int, int]]:
        low, high = (windows.lead, windows.reach) if targets else (1 - windows.window, 0)
        return {
            (int(s), int(k) + j)
            for s, k in zip(windows.site, windows.newest, strict=True)
            for j in range(low, high + 1)
        }

    parts_in_order = [parts.train, parts.validation, parts.holdout]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        a, b = parts_in_order[earlier], parts_in_order[later]
        seen = cells(a, targets=True) | cells(a, targets=False)
        assert not seen & cells(b, targets=True)
        if not back:
            assert not seen & cells(b, targets=False)
    assert len(datasets.every(grid_of(task), task)) >= sum(map(len, parts_in_order))


def test_missing_newest_rows_are_allowed_and_naive_takes_the_last_that_is_there() -> None:
    task = taskfile(LONG, window=4)
    grid = grid_of(task, names=("a",), hours=24 * 4)
    grid.values[0, 9:11, 0] = np.nan
    windows = datasets.windows(grid, task)
    at = np.flatnonzero(windows.newest == 10)
    assert np.isnan(windows.take(at)[0][0, :, 0]).tolist() == [False, False, True, True]
    assert windows.naive[at, 0] == grid.values[0, 8, 0]
    assert not np.flatnonzero(windows.newest == 9 - 1).size  # its target is missing


def test_a_task_without_lags_has_the_training_mean_as_its_naive_floor() -> None:
    task = taskfile(LONG, inputs=("hour", "yearday"), lead=0, window=1)
    grid = grid_of(task)
    parts = datasets.split(grid, task)
    days = HOURS // 24 - 2
    expected = grid.values[:, : 24 * days, 0].mean(axis=1)
    assert np.allclose(parts.holdout.naive[:3, 0], expected[parts.holdout.site[:3]])
    x, y = parts.train.take(slice(3))
    assert x[:, 0].tolist() == [[1.0, pytest.approx(61 + 1 / 24)]] * 3  # 3 March is day 61 of the year, counted from 0
    assert y[:, 0].tolist() == grid.values[:, 0, 0].tolist()


def test_a_score_task_is_about_its_newest_value() -> None:
    task = taskfile(LONG, kind="score", window=4)
    grid = grid_of(task)
    windows = datasets.windows(grid, task)
    x, y = windows.take(slice(None))
    assert np.array_equal(x[:, -1, 0], y[:, 0])
    assert windows.newest.max() == HOURS - 1


def test_errors_count_in_deviations_of_the_training_rows_where_the_task_says_so() -> None:
    task = taskfile(LONG, top="standardize = true")
    grid = grid_of(task)
    parts = datasets.split(grid, task)
    expected = grid.values[:, : 24 * (HOURS // 24 - 2), 0].std(axis=1)
    assert np.allclose(parts.holdout.spread, expected[parts.holdout.site])
    assert np.allclose(datasets.split(grid, taskfile(LONG)).holdout.spread, 1)


def test_sites_may_be_held_out_whole() -> None:
    task = taskfile(LONG + 'holdout_sites = ["nor*"]\nvalidation_sites = ["east"]')
    parts = datasets.split(grid_of(task), task)
    assert [set(w.site.tolist()) for w in (parts.train, parts.validation, parts.holdout)] == [{0}, {2}, {1}]
    assert set(parts.statistics["mean"]) == {"south"}
    with pytest.raises(DataError, match="is held-out"):
        datasets.split(grid_of(task), taskfile(LONG + 'holdout_sites = ["x"]\nvalidation_sites = ["east"]'))


def test_nothing_after_the_tasks_end_is_trained_on_or_held_out() -> None:
    task = taskfile(LONG + 'until = "2025-03-09T00:00"')
    parts = datasets.split(grid_of(task), task)
    assert parts.holdout.last.max() == np.datetime64("2025-03-09T00:00:00")
    assert datasets.every(grid_of(task), task).last.max() == np.datetime64("2025-03-09T00:00:00")


def test_an_unseen_file_is_read_by_the_names_of_the_models_sites(tmp_path: Path) -> None:
    task = taskfile(LONG, inputs=("volume", "site"))
    known = msgspec.structs.replace(task.task, sites=NAMES)

    def write(names: list[str]) -> Path:
        lines = [f"2025-04-01T{h:02d}:00,{n},{h}" for n in names for h in range(6)]
        (tmp_path / "later.csv").write_text("at,name,volume\n" + "\n".join(lines))
        return tmp_path / "later.csv"

    windows = datasets.test_windows(task, known, [write(["east", "north"])])
    x, y = windows.take(slice(None))
    assert len(windows) == 2 * 3  # the first window's rows warm up, and nothing else is known before
    assert set(x[:, :, 1].ravel().tolist()) == {1.0, 2.0}  # north and east, wherever they stand in the file
    assert sorted(y[:, 0].tolist()) == [3, 3, 4, 4, 5, 5]
    with pytest.raises(DataError, match="site 'west' is none of the 3 that the model knows"):
        datasets.test_windows(task, known, [write(["west"])])


def test_files_without_times_follow_where_training_ended(tmp_path: Path) -> None:
    task = taskfile(
        'layout = "wide"\nheader = ["a"]\nfiles = ["*.txt"]\nstart = "2025-03-03T00:00"', inputs=("volume", "hour")
    )
    (tmp_path / "train.txt").write_text("\n".join(str(v) for v in range(24 * 5 + 7)))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "later.txt").write_text("\n".join("12345"))
    grid, found = datasets.load(task, tmp_path / "train.txt")
    parts = datasets.split(grid, found)
    windows = datasets.test_windows(task, found.task, [tmp_path / "test"], parts.statistics)
    assert windows.take(slice(None))[0][0, :, 1].tolist() == [8, 9, 10]
    assert windows.end[0] == np.datetime64("2025-03-08T11:00:00")


def test_what_the_model_has_seen_is_no_test(tmp_path: Path) -> None:
    task = taskfile(LONG.replace('site = "name"\n', ""))
    lines = [f"2025-03-{3 + h // 24:02d}T{h % 24:02d}:00,{h}" for h in range(24 * 5)]
    (tmp_path / "all.csv").write_text("at,volume\n" + "\n".join(lines))
    grid, found = datasets.load(task, tmp_path / "all.csv")
    parts = datasets.split(grid, found)
    windows = datasets.test_windows(task, found.task, [tmp_path / "all.csv"], parts.statistics)
    assert windows.end.min() == np.datetime64("2025-03-07T01:00:00")  # of the held-out day, warmed up by the one before
    assert len(windows) == 24
    everything = parts.statistics | {"seen": parts.statistics["until"]}
    with pytest.raises(
        DataError, match="nothing of it is later than 2025-03-08T00:00:00, until when the model has seen"
    ):
        datasets.test_windows(task, found.task, [tmp_path / "all.csv"], everything)


def test_an_array_files_own_start_goes_before_what_is_supposed(tmp_path: Path) -> None:
    task = taskfile('layout = "npz"\nstart = "began"')
    for name, more in (("own", {"began": np.array("2025-03-05T00:00")}), ("without", {})):
        np.savez(tmp_path / f"{name}.npz", volume=np.ones((9, 1)), **more)
    follows = {"until": "2025-03-04T00:00:00"}
    ends = [datasets.test_windows(task, task.task, [tmp_path / f"{n}.npz"], follows).end[0] for n in ("own", "without")]
    assert ends == [np.datetime64("2025-03-05T04:00:00"), np.datetime64("2025-03-04T04:00:00")]
