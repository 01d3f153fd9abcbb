"""Data: the convention shared with the node, gaps that stay gaps, splits in time, files refused by row and column."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.conftest import write_csv
from wayside.cloud.train import datasets
from wayside.cloud.train.errors import DataError, TaskError
from wayside.cloud.train.files import sample
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import TaskFile, load_task


def test_a_row_holds_the_volume_of_the_interval_that_ends_at_its_time(taskfile: TaskFile, counts: Grid) -> None:
    raw = sample()
    windows = datasets.windows(counts, taskfile)
    at = int(np.flatnonzero((windows.end == np.datetime64("2024-05-02T17:15:00")) & (windows.site == 2))[0])
    detector = counts.sites[2]
    of = raw[raw["detector"] == detector].set_index("timestamp")["volume"].sort_index()
    # The target ends at 17:15: it started at 17:00. The newest row ends at 17:00: it started at 16:45.
    assert windows.y[at, 0] == of["2024-05-02 17:00"]
    assert windows.x[at, :, 0].tolist() == of["2024-05-02 16:00":"2024-05-02 16:45"].tolist()
    assert windows.x[at, :, 1].tolist() == [16.25, 16.5, 16.75, 17.0]
    assert windows.x[at, :, 2].tolist() == [3.0] * 4  # a Thursday
    assert windows.naive[at, 0] == of["2024-05-02 16:45"]
    assert windows.seasonal[at, 0] == of["2024-04-25 17:00"]
    assert windows.hour[at] == 17


def test_midnight_is_hour_zero_of_the_new_day(taskfile: TaskFile, counts: Grid) -> None:
    windows = datasets.windows(counts, taskfile)
    at = windows.end == np.datetime64("2024-05-05T00:15:00")
    assert (windows.x[at][:, -1, 1] == 0).all()
    assert (windows.x[at][:, -1, 2] == 6).all()  # Sunday


def test_missing_rows_never_become_zeros(taskfile: TaskFile, counts: Grid) -> None:
    gap = counts.ends == np.datetime64("2024-05-07T05:00:00")  # the package has no row that starts at 04:45
    assert np.isnan(counts.values[:, gap]).all()
    assert counts.quality.silent_intervals == 4
    windows = datasets.windows(counts, taskfile)
    touching = (windows.first < np.datetime64("2024-05-07T05:00:00")) & (
        windows.last >= np.datetime64("2024-05-07T05:00:00")
    )
    assert not touching.any()
    assert np.isfinite(windows.x).all()
    assert np.isfinite(windows.seasonal).all()


def test_splits_are_in_time_and_never_overlap(taskfile: TaskFile, counts: Grid) -> None:
    parts = datasets.split(counts, taskfile)
    assert parts.train.last.max() <= parts.validation.first.min()
    assert parts.validation.last.max() <= parts.holdout.first.min()
    assert parts.holdout.first.min() == np.datetime64("2024-05-10T00:00:00")
    assert parts.holdout.last.max() == np.datetime64("2024-05-14T00:00:00")
    assert parts.validation.first.min() == np.datetime64("2024-05-06T00:00:00")


@settings(max_examples=15, deadline=None)
@given(window=st.integers(1, 8), horizon=st.integers(1, 4), holdout=st.integers(1, 5), validation=st.integers(1, 5))
def test_splits_never_overlap_whatever_the_task(
    window: int, horizon: int, holdout: int, validation: int, taskfile: TaskFile, counts: Grid
) -> None:
    days = {"holdout_days": holdout, "validation_days": validation}
    few = msgspec.structs.replace(taskfile.task, window=window, horizon=horizon, **days)
    parts = datasets.split(counts, msgspec.structs.replace(taskfile, task=few))
    assert parts.train.last.max() <= parts.validation.first.min()
    assert parts.validation.last.max() <= parts.holdout.first.min()
    assert parts.train.x.shape[1:] == (window, 3)
    assert parts.train.y.shape[1:] == (horizon,)


def test_the_seasonal_floor_is_naive_where_a_week_before_is_missing(taskfile: TaskFile, counts: Grid) -> None:
    windows = datasets.windows(counts, taskfile)
    first_week = windows.end <= np.datetime64("2024-04-25T00:00:00")
    assert (windows.seasonal[first_week] == windows.naive[first_week]).all()
    assert (windows.seasonal[~first_week] != windows.naive[~first_week]).any()


def test_the_data_hash_does_not_depend_on_the_order_of_rows(taskfile: TaskFile, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv")
    header, *rows = path.read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join([header, *reversed(rows)]))
    (tmp_path / "c.csv").write_text("\n".join([header, *rows[:-1]]))
    hashes = [datasets.load(taskfile, tmp_path / f"{n}.csv")[0].sha256 for n in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_optional_columns_become_inputs(taskfile: TaskFile, tmp_path: Path) -> None:
    counts, widened = datasets.load(taskfile, write_csv(tmp_path / "a.csv", extra="lanes"))
    assert [i.name for i in widened.task.inputs] == ["volume", "hour", "weekday", "lanes"]
    windows = datasets.windows(counts, widened)
    assert set(windows.x[windows.site == 1, -1, 3]) == {2.0}


def test_dirty_rows_are_counted_and_become_missing(taskfile: TaskFile, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", days=2, detectors=1)
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ",4000"  # out of range
    lines[4] = lines[4].rsplit(",", 1)[0] + ","  # empty
    lines.append(lines[6])  # repeats
    lines.append(lines[7].rsplit(",", 1)[0] + ",399")  # contradicts
    del lines[9]  # a gap
    path.write_text("\n".join([*lines, "", ""]))
    counts, _ = datasets.load(taskfile, path)
    q = counts.quality
    assert (q.duplicates, q.contradicting["volume"], q.out_of_range["volume"], q.empty["volume"]) == (2, 1, 1, 1)
    assert q.silent_intervals == q.missing["volume"] == 4
    assert np.flatnonzero(np.isnan(counts.values[0, :, 0])).tolist() == [2, 3, 6, 8]
    assert any("1 volume → missing" in line for line in q.lines())


HEAD = "timestamp,detector,volume\n"
FINE = HEAD + "2025-03-03T00:00,a,1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timestamp,volume\n2025-03-03T00:00,1\n", "line 1: column detector is missing"),
        ("timestamp,detector,volume,colour\n2025-03-03T00:00,a,1,red\n", "line 1: column 'colour' is unknown"),
        (HEAD, "line 2: there is no data"),
        ("", "is empty; a CSV begins with a header line"),
        (FINE + "yesterday,a,1\n", "line 3: column timestamp: 'yesterday' is not an ISO 8601 time"),
        (FINE + "2025-03-03T00:15+01:00,a,1\n", "line 3: column timestamp: '2025-03-03T00:15+01:00' has a time zone"),
        (FINE + "2025-03-03T00:07,a,1\n", "line 3: column timestamp: '2025-03-03T00:07' is no start of an interval"),
        (FINE + "2025-03-03T00:15,,1\n", "line 3: column detector: '' is empty"),
        (FINE + "\n2025-03-03T00:15,a,many\n", "line 4: column volume: 'many' is not a number"),
        (FINE + "2025-03-03T00:15,a,1,2,3\n", "line 3: has 5 cells under 3 columns"),
        (HEAD + "2025-03-03T00:00,a,1,9\n", "line 2: has 4 cells under 3 columns"),
        (FINE + "1025-03-03T00:15\n", "line 3: has 1 cells under 3 columns; is the row cut off?"),
        (HEAD + "1700-01-01T00:00,a,1\n2200-01-01T00:00,a,1\n2200-01-01T00:00,b,1\n2200-01-01T00:00,c,1\n", "wrong?"),
    ],
)
def test_a_bad_file_is_refused_by_row_column_and_rule(text: str, said: str, taskfile: TaskFile, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError) as refusal:
        datasets.load(taskfile, path)
    assert said in str(refusal.value)


def test_a_file_that_is_no_text_is_refused(taskfile: TaskFile, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(DataError):
        datasets.load(taskfile, path)
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load(taskfile, tmp_path / "absent.csv")


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="0123456789-T:,\n\"'avx.", max_size=200))
def test_any_text_is_either_read_or_refused(text: str, taskfile: TaskFile, scratch: Path) -> None:
    path = scratch / "any.csv"
    path.write_text(HEAD + text)
    try:
        datasets.load(taskfile, path)
    except DataError as refusal:
        assert "any.csv" in str(refusal)


def test_too_few_days_are_refused_with_the_task_s_numbers(taskfile: TaskFile, tmp_path: Path) -> None:
    counts, _ = datasets.load(taskfile, write_csv(tmp_path / "a.csv", days=6))
    with pytest.raises(DataError, match=r"no training window .* 4 days for validation and 4 held out"):
        datasets.split(counts, taskfile)


def test_an_unknown_task_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"known: .*traffic_flow"):
        load_task("tea")
    (tmp_path / "bad.toml").write_text("name = 1")
    with pytest.raises(TaskError, match=r"bad\.toml"):
        load_task(str(tmp_path / "bad.toml"))
