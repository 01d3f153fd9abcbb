"""Files of every layout come onto the same grid, and every declared rule does what it says and is counted."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.taskfiles import taskfile
from wayside.cloud.train import datasets
from wayside.cloud.train.errors import DataError, TaskError
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import TaskFile, load_task, task_names
from wayside.contracts.wire import ContractError


def load(task: TaskFile, path: Path) -> Grid:
    grid = datasets.load(task, path)[0]
    assert isinstance(grid, Grid)
    return grid


LONG = 'layout = "long"\ntime = ["at"]\n'


def test_every_task_that_comes_with_wayside_reads_and_has_a_number_to_beat() -> None:
    tasks = {name: load_task(name) for name in task_names()}
    assert len(tasks) >= 32
    assert all(t.task.name == name for name, t in tasks.items())
    assert all(t.goal or t.task.kind != "forecast" for n, t in tasks.items() if t.published)


def test_a_typing_error_in_a_task_file_is_refused_by_name(tmp_path: Path) -> None:
    text = (Path(datasets.__file__).parent / "tasks" / "i94.toml").read_text()
    (tmp_path / "typo.toml").write_text(text.replace("[data.columns.rain]", "[data.columns.rian]"))
    with pytest.raises(TaskError, match=r"data\.columns\.rian: is neither an input nor the output"):
        load_task(str(tmp_path / "typo.toml"))
    (tmp_path / "typo.toml").write_text(text.replace("day = true", "dya = true"))
    with pytest.raises(TaskError, match="dya"):
        load_task(str(tmp_path / "typo.toml"))


def test_repeated_rows_become_one_by_the_rule_of_each_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "at,volume,temp,sky\n2025-03-03T00:00,7,280,Clouds\n2025-03-03T00:00,7,282,Rain\n2025-03-03T01:00,8,0,Fog\n"
    )
    data = LONG + "\n".join(
        [
            "[data.columns.temperature]",
            'source = "temp"',
            "shift = -273.15",
            'merge = "mean"',
            "invalid = [0.0]",
            "[data.columns.sky]",
            'merge = "max"',
            'words = ["Clear", "Clouds", "Rain"]',
        ]
    )
    grid = load(taskfile(data, inputs=("volume", "temperature", "sky")), tmp_path / "a.csv")
    assert grid.values[0, 0].tolist() == [7, pytest.approx(7.85), 2]
    assert grid.values[0, 1, 0] == 8
    assert np.isnan(grid.values[0, 1, 1:]).all()
    q = grid.quality
    assert (q.duplicates, q.contradicting["volume"]) == (1, 0)
    assert (q.merged["temperature"], q.invalid["temperature"], q.unknown["sky"]) == (1, 1, 1)
    assert any("1 sky → missing" in line for line in q.lines())


def test_a_kelvin_of_zero_and_nine_metres_of_rain_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("at,volume,rain\n2025-03-03T00:00,7,9831.3\n2025-03-03T01:00,7,0.2\n")
    grid = load(taskfile(LONG, inputs=("volume", "rain")), tmp_path / "a.csv")
    assert np.isnan(grid.values[0, 0, 1])
    assert grid.quality.out_of_range == {"volume": 0, "rain": 1}


def test_what_is_given_at_the_days_first_row_holds_for_the_day(tmp_path: Path) -> None:
    rows = [f"2025-03-{3 + h // 24:02d}T{h % 24:02d}:00,{h},{'Easter' if h == 24 else 'None'}" for h in range(72)]
    (tmp_path / "a.csv").write_text("at,volume,holiday\n" + "\n".join(rows))
    data = LONG + '[data.columns.holiday]\nday = true\nwords = ["None", "Easter"]\n'
    grid = load(taskfile(data, inputs=("volume", "holiday")), tmp_path / "a.csv")
    assert grid.values[0, :, 1].tolist() == [0] * 24 + [1] * 24 + [0] * 24
    assert grid.quality.spread == {"holiday": 23}


def test_a_short_gap_takes_the_value_before_and_a_long_one_stays(tmp_path: Path) -> None:
    hours = {0: "5", 3: "6", 4: "", 5: "", 6: "", 7: "9", 8: ""}
    (tmp_path / "a.csv").write_text("at,volume\n" + "\n".join(f"2025-03-03T{h:02d}:00,{v}" for h, v in hours.items()))
    grid = load(taskfile(LONG + "[data.columns.volume]\nfill = 2\n"), tmp_path / "a.csv")
    assert np.nan_to_num(grid.values[0, :, 0], nan=-1).tolist() == [5, 5, 5, 6, -1, -1, -1, 9, -1]
    assert grid.quality.filled == {"volume": 2}


def test_a_column_may_be_the_mean_of_all_sites_that_observed(tmp_path: Path) -> None:
    rows = ["00:00,a,1,10", "00:00,b,2,30", "01:00,a,3,50", "01:00,b,4,", "02:00,a,5,", "02:00,b,6,"]
    (tmp_path / "a.csv").write_text("at,name,volume,rain\n" + "\n".join(f"2025-03-03T{r}" for r in rows))
    data = LONG + 'site = "name"\n[data.columns.rain]\nover_sites = true\n'
    grid = load(taskfile(data, inputs=("volume", "rain")), tmp_path / "a.csv")
    assert np.nan_to_num(grid.values[:, :, 1], nan=-1).tolist() == [[20, 50, -1]] * 2
    assert grid.values[:, :, 0].tolist() == [[1, 3, 5], [2, 4, 6]]


def test_utc_becomes_the_sites_own_hour_and_no_hour_is_lost_when_clocks_change(tmp_path: Path) -> None:
    # Melbourne: summer time ends on 5 April 2026 at 16:00 UTC of the day before, when 3 o'clock becomes 2 o'clock.
    rows = [f"2026-04-04T{h:02d}:00:00Z,{h}" for h in range(24)]
    (tmp_path / "a.csv").write_text("at,volume\n" + "\n".join(rows))
    task = taskfile(LONG + 'zone = "Australia/Melbourne"\nmissing = 0.0', inputs=("volume", "hour"), window=1)
    grid = load(task, tmp_path / "a.csv")
    assert grid.values[0, :, 0].tolist() == list(range(24))
    clock = grid.ends.astype("datetime64[h]").astype(int) % 24
    assert clock[13:18].tolist() == [1, 2, 2, 3, 4]
    windows = datasets.windows(grid, task)
    assert len(windows) == 23
    assert windows.take(slice(None))[0][13:17, 0, 1].tolist() == [1, 2, 2, 3]


def test_offsets_are_read_where_a_zone_is_declared_and_refused_where_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("at,volume\n2025-01-01 04:00:00+00:00,1\n2025-01-01 00:00:00-05:00,2\n")
    grid = load(taskfile(LONG + 'zone = "America/New_York"'), tmp_path / "a.csv")
    assert grid.ends.tolist() == [np.datetime64(f"2025-01-01T0{h}:00:00").item() for h in (0, 1)]
    with pytest.raises(DataError, match=r"line 2: column at: .* has a time zone"):
        load(taskfile(LONG), tmp_path / "a.csv")


def test_the_hours_after_midnight_may_stand_under_the_day_before(tmp_path: Path) -> None:
    text = "date,hour,year,North,South\n2019-01-01,6:00-6:59,2019,1,\n2019-01-01,23:00-23:59,2019,2,3\n"
    text += "2019-01-01,0:00-0:59,2019,4,5\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    data = """layout = "wide"
time = ["date", "hour"]
time_format = "%Y-%m-%d %H:%M"
time_exact = false
day_starts = 6
ignore = ["year"]"""
    grid = load(taskfile(data), tmp_path / "a.csv.gz")
    assert grid.sites == ("North", "South")
    assert grid.ends[[0, -1]].astype(str).tolist() == ["2019-01-01T07:00:00", "2019-01-02T01:00:00"]
    assert np.nan_to_num(grid.values[:, [0, 17, 18], 0], nan=-1).tolist() == [[1, 2, 4], [-1, 3, 5]]
    assert grid.quality.rows == 3
    assert grid.quality.empty == {"volume": 1}


def test_files_without_header_and_times_begin_when_the_task_says(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("5\n6\n7\n")
    task = taskfile('layout = "wide"\nheader = ["power"]\nstart = "1997-01-01T00:00"')
    grid = load(task, tmp_path / "a.txt")
    assert grid.sites == ("power",)
    assert grid.ends[0] == np.datetime64("1997-01-01T01:00:00")
    assert grid.values[0, :, 0].tolist() == [5, 6, 7]
    (tmp_path / "b.txt").write_text("5\nsix\n7\n")
    with pytest.raises(DataError, match="line 2: column power: 'six' is not a number"):
        load(task, tmp_path / "b.txt")
    with pytest.raises(ContractError, match="name the columns that make the time, or the start"):
        taskfile('layout = "wide"\nheader = ["power"]')


def test_arrays_carry_the_names_of_their_sites_and_their_start(tmp_path: Path) -> None:
    flow = np.arange(6, dtype=np.int16).reshape(3, 2)
    np.savez(tmp_path / "a.npz", flow=flow, name=np.array(["x", "y"]), began=np.array("2006-10-01T00:00"))
    data = 'layout = "npz"\nsite = "name"\nstart = "began"\n[data.columns.volume]\nsource = "flow"'
    grid = load(taskfile(data), tmp_path / "a.npz")
    assert (grid.sites, str(grid.ends[0])) == (("x", "y"), "2006-10-01T01:00:00")
    assert grid.values[:, :, 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    np.savez(tmp_path / "b.npz", flow=flow)
    with pytest.raises(DataError, match=r"b\.npz: has no array name; its arrays are flow"):
        load(taskfile(data), tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match=r"c\.npz"):
        load(taskfile(data), tmp_path / "c.npz")


def test_several_files_are_one_data_set_and_their_sites_are_found_by_name(tmp_path: Path) -> None:
    for name, station in (("b", "Süd"), ("a", "Nord")):
        (tmp_path / f"{name}.csv").write_text(
            f"day,hour,station,volume\n3.5.2025,5,{station},1\n3.5.2025,6,{station},2\n"
        )
    data = """layout = "long"
files = ["*.csv"]
time = ["day", "hour"]
time_format = "%d.%m.%Y %H"
site = "station"
"""
    grid, found = datasets.load(taskfile(data, inputs=("volume", "site")), tmp_path)
    assert isinstance(grid, Grid)
    assert grid.sites == found.task.sites == ("Süd", "Nord")
    assert grid.values.shape == (2, 2, 1)
    only = datasets.load(taskfile(data + 'sites = ["Nord"]', inputs=("volume", "site")), tmp_path)[1]
    assert only.task.sites == ("Nord",)
    with pytest.raises(DataError, match=r"none of the sites Ost"):
        datasets.load(taskfile(data + 'sites = ["Ost"]'), tmp_path)
    with pytest.raises(DataError, match=r"has no nothing/\*\.txt, which the task made reads"):
        datasets.load(taskfile(data.replace("*.csv", "nothing/*.txt")), tmp_path)


def test_series_with_their_own_clocks_keep_them(tmp_path: Path) -> None:
    for folder, first in (("one", "2014-04-01 00:00:07"), ("two", "2011-07-01 00:05:00")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.csv").write_text(f"timestamp,value\n{first},1.5\n2014-04-01 09:03:00,2\n")
    data = 'layout = "nab"\nfiles = ["*/s.csv"]\ntime = ["timestamp"]\n[data.columns.volume]\nsource = "value"'
    grid = load(taskfile(data, kind="score", window=2), tmp_path)
    assert grid.sites == ("one/s.csv", "two/s.csv")
    assert str(grid.times[1, 0]) == "2011-07-01T00:05:00"
    assert grid.values[:, :, 0].tolist() == [[1.5, 2], [1.5, 2]]


@pytest.mark.parametrize(
    ("data", "text", "said"),
    [
        (
            LONG,
            "at,count\n2025-03-03T00:00,1\n",
            "line 1: column volume is missing; separated by commas, the columns are 'at', 'count'",
        ),
        (
            LONG + 'time_format = "%d/%m/%Y %H:%M"',
            "at,volume\n2025-03-03,1\n",
            "line 2: column at: '2025-03-03' is not",
        ),
        (LONG, "at,volume\n2025-03-03T00:30,1\n", "no start of an interval of 3600 s"),
        ('layout = "wide"\ntime = ["at"]', "at\n2025-03-03T00:00\n", "no column of a site"),
        ('layout = "wide"\ntime = ["at"]', "when,a\n2025-03-03T00:00,1\n", "column at is missing"),
    ],
)
def test_a_bad_file_of_a_task_is_refused_by_row_column_and_rule(
    data: str, text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=r"a\.csv") as refusal:
        load(taskfile(data), tmp_path / "a.csv")
    assert said in str(refusal.value)


def test_a_task_with_files_wants_a_folder() -> None:
    with pytest.raises(DataError, match=r"give the folder that has them as --data"):
        datasets.load(taskfile(LONG + 'files = ["a.csv"]'))


LAYOUTS = {
    "wide.csv": ('layout = "wide"\ntime = ["at"]', "at,a,b\n"),
    "format.csv": ('layout = "wide"\ntime = ["at", "h"]\ntime_format = "%d/%m/%Y %H:%M"\nday_starts = 6', "at,h,a\n"),
    "zone.csv": (LONG + 'zone = "Europe/Paris"\n[data.columns.volume]\nwords = ["0", "x"]\nday = true', "at,volume\n"),
    "bare.txt": ('layout = "wide"\nheader = ["a"]\nstart = "2025-01-01T00:00"', ""),
    "series.csv": ('layout = "nab"\ntime = ["at"]', "at,volume\n"),
    "some.csv.gz": (LONG, "at,volume\n"),
    "some.npz": ('layout = "npz"\nstart = "2025-01-01T00:00"', ""),
}


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="0123456789-/T: ,\n\"'avx.Z+", max_size=120), good=st.booleans(), zipped=st.booleans())
def test_any_content_is_either_read_or_refused(name: str, text: str, good: bool, zipped: bool, scratch: Path) -> None:
    data, header = LAYOUTS[name]
    content = ((header if good else "") + text).encode()
    path = scratch / name
    path.write_bytes(gzip.compress(content) if zipped else content)
    try:
        datasets.load(taskfile(data), path)
    except DataError as refusal:
        assert name in str(refusal)


def test_infinity_is_no_observation(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("at,volume\n2025-03-03T00:00,inf\n2025-03-03T01:00,-inf\n2025-03-03T02:00,3\n")
    grid = load(taskfile(LONG, inputs=("hour",), lead=0), tmp_path / "a.csv")
    assert np.nan_to_num(grid.values[0, :, 0], nan=-1).tolist() == [-1, -1, 3]
