"""A person's file is read as it is meant, or refused by line and key; the order of its rows decides nothing."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.conftest import write_csv
from tests.train.taskfiles import taskfile
from wayside.cloud.train import datasets
from wayside.cloud.train.errors import DataError, TrainError
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import TaskFile

LONG = 'layout = "long"\ntime = ["at"]\nsite = "name"\n'
WIDE = 'layout = "wide"\ntime = ["at"]\n'
HOURS = [f"2025-03-03T{h:02d}:00" for h in range(4)]


def load(task: TaskFile, path: Path) -> Grid:
    grid = datasets.load(task, path)[0]
    assert isinstance(grid, Grid)
    return grid


def of(task: TaskFile, tmp_path: Path, content: str | bytes) -> Grid:
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(task, path)


def refused(task: TaskFile, tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as refusal:
        of(task, tmp_path, content)
    return str(refusal.value)


# --- encodings, separators, decimal signs ---------------------------------------------------------------------------

PLAIN = "at,name,volume\n" + "".join(f"{at},Süd,{k}.5\n" for k, at in enumerate(HOURS))
EUROPEAN = PLAIN.replace(".5", ";5").replace(",", "|").replace(";", ",").replace("|", ";")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN.encode(), ""),
        (EUROPEAN.encode(), "columns separated by semicolons; decimal comma"),
        (("sep=;\r\n" + EUROPEAN.replace("\n", "\r\n")).encode(), "decimal comma"),
        (EUROPEAN.replace(";", "\t").encode("utf-16"), "encoding utf-16-le, as its first bytes say; columns separated"),
        (PLAIN.encode("cp1252"), "encoding cp1252, since it is not UTF-8"),
        (gzip.compress(PLAIN.encode("utf-8-sig"), mtime=0), ""),
    ],
)
def test_one_table_is_one_table_however_a_spreadsheet_wrote_it(content: bytes, said: str, tmp_path: Path) -> None:
    grid = of(taskfile(LONG), tmp_path, content)
    assert (grid.sites, grid.values[0, :, 0].tolist()) == (("Süd",), [0.5, 1.5, 2.5, 3.5])
    assert said in "; ".join(grid.quality.notes)
    assert any(line.startswith("read as") for line in grid.quality.lines()) == bool(said)


def test_what_a_task_file_declares_is_not_guessed(tmp_path: Path) -> None:
    keys = 'separator = ";"\ndecimal = ","\nencoding = "iso-8859-15"\nmissing_words = ["-", "k.A."]\n'
    text = f"at;name;volume\n{HOURS[0]};Süd €;1.234,5\n{HOURS[1]};Süd €;-\n{HOURS[2]};Süd €;K.A.\n"
    grid = of(taskfile(LONG + keys, inputs=("hour",), lead=0), tmp_path, text.encode("iso-8859-15"))
    assert grid.sites == ("Süd €",)
    assert grid.values[0, 0, 0] == 1234.5
    assert grid.quality.empty == {"volume": 2}
    assert not grid.quality.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'at,name,volume\n{HOURS[0]},a,"1,234"\n', 'write decimal = "," or decimal = "." into [data]'),
        (f"at;name;volume\n{HOURS[0]};a;1.234\n", 'write decimal = "," or decimal = "." into [data]'),
        (f"at;name;volume\n{HOURS[0]};a;1.5\n{HOURS[1]};a;2,5\n", "only one can be meant; write decimal"),
        (f"at,name,volume\n{HOURS[0]},a,-\n", "name such cells in [data] missing_words"),
        (f"at;name;volume\n{HOURS[0]};a\n", "line 2: has 2 cells under 3 columns; is the row cut off?"),
        (f"at:name:volume\n{HOURS[0]}:a:1\n", "column at is missing; separated by commas, the columns are 'at:name:"),
        (f"At,Name,volume\n{HOURS[0]},a,1\n", "column at is missing; 'At' is spelled otherwise"),
        (b"PK\x03\x04xl/workbook.xml", "is no CSV but a zip archive (an Excel workbook is one)"),
        (b"\x1f\x8b\x08\x00broken", "is a damaged gzip archive"),
        (f"at,name,volume\n{HOURS[0]},a\x07b,1\n", "has an invisible character"),
        (f"at,name,volume\n{HOURS[0]},a\u200bb,1\n", "has an invisible character"),
        (f"at,name,volume\n{HOURS[0]},a,\n{HOURS[1]},a,nan\n", "the column volume is empty in all 2 rows"),
    ],
)
def test_what_is_not_clear_is_refused_by_its_real_cause(text: str | bytes, said: str, tmp_path: Path) -> None:
    assert said in refused(taskfile(LONG), tmp_path, text)


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "stamps"),
    [
        ('time_format = "excel"', ["45719", "45719.0416666667", "45719.083333333336"]),
        ('time_format = "epoch_s"\nzone = "UTC"', ["1740960000", "1740963600", "1740967200"]),
        ('time_format = "epoch_ms"\nzone = "UTC"', ["1740960000000", "1740963600000", "1740967200000"]),
        ('time_format = "epoch_s"\nzone = "Asia/Tokyo"', ["1740927600", "1740931200", "1740934800"]),
        ('time_format = "%d.%m.%y %I:%M %p"', ["03.03.25 12:00 AM", "03.03.25 01:00 AM", "03.03.25 02:00 AM"]),
    ],
)
def test_times_are_read_as_the_task_file_says(keys: str, stamps: list[str], tmp_path: Path) -> None:
    text = "at,name,volume\n" + "".join(f"{at},a,{k}\n" for k, at in enumerate(stamps))
    grid = of(taskfile(LONG + keys), tmp_path, text)
    assert grid.ends.astype(str).tolist() == [f"2025-03-03T0{h}:00:00" for h in (1, 2, 3)]


@pytest.mark.parametrize(
    ("stamp", "word"),
    [
        ("45719.0416666667", 'time_format = "excel"'),
        ("1740960000", 'time_format = "epoch_s"'),
        ("1740960000000", 'time_format = "epoch_ms"'),
        ("18.04.2024 07:15", 'time_format = "%d.%m.%Y %H:%M"'),
        ("04/18/2024", 'time_format = "%m/%d/%Y"'),
        ("03/04/2024", '"%d/%m/%Y" or "%m/%d/%Y"'),
        ("now", "is not an ISO 8601 time"),
        ("2024", "is not an ISO 8601 time"),
    ],
)
def test_a_time_of_another_kind_is_refused_with_the_word_to_write(stamp: str, word: str, tmp_path: Path) -> None:
    assert word in refused(taskfile(LONG), tmp_path, f"at,name,volume\n{stamp},a,1\n")


@pytest.mark.parametrize("stamp", ["1970-01-01T00:00", "2099-01-01T00:00", "2052-03-04T00:00", "1999-03-04T05:00"])
def test_a_lone_date_years_away_is_set_apart_and_told(stamp: str, tmp_path: Path, taskfile: TaskFile) -> None:
    path = write_csv(tmp_path / "a.csv")
    grid = load(taskfile, path)
    path.write_text(path.read_text() + f"{stamp},d0,7\n")
    with_it = load(taskfile, path)
    assert with_it.sha256 == grid.sha256
    assert with_it.quality.far == 1
    assert f"far dates     1 rows years away from all others ({stamp}:00) → left out" in with_it.quality.lines()


def test_two_campaigns_years_apart_are_both_kept(tmp_path: Path) -> None:
    rows = [f"{year}-03-{day:02d}T00:00,a,1" for year in (2020, 2023) for day in range(1, 29)]
    grid = of(taskfile(LONG), tmp_path, "at,name,volume\n" + "\n".join(rows))
    assert grid.quality.far == 0
    assert int((~np.isnan(grid.values)).sum()) == 56


def test_few_rows_over_many_years_do_not_fill_the_memory(tmp_path: Path) -> None:
    rows = [f"{year}-01-01T00:00,{site},1" for year in (1700, 2000, 2200) for site in "abcde"]
    said = refused(taskfile(LONG, interval_s=900.0), tmp_path, "at,name,volume\n" + "\n".join(rows))
    assert "is a timestamp wrong?" in said


# --- identities -----------------------------------------------------------------------------------------------------


def test_an_empty_column_without_a_name_is_no_site(tmp_path: Path) -> None:
    text = "at,A,,B,\n" + "".join(f"{at},1,,2,\n" for at in HOURS)
    grid = of(taskfile(WIDE), tmp_path, text)
    assert grid.sites == ("A", "B")
    assert "2 empty columns without a name left out" in grid.quality.notes


def test_a_site_without_a_value_is_left_out_and_told(tmp_path: Path) -> None:
    grid = of(taskfile(WIDE), tmp_path, "at,A,B\n" + "".join(f"{at},1,\n" for at in HOURS))
    assert grid.sites == ("A",)
    assert any("sites left out, since they are empty in all rows: B" in note for note in grid.quality.notes)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("at,A,B,A", "two columns are called 'A'"),
        ("at,A,,B", "line 2: column 3 holds '2' and has no name in the header"),
        ("at,A,B", "line 2: has 4 cells under 3 columns"),
        ("at,A,B,C\x01", "'C\\x01' has an invisible character (U+0001)"),
        ("at,A,B,\u200bA", "has an invisible character (U+200B)"),
        ("at,A,S\u00fcd,Su\u0308d", "written in two ways that look the same"),
    ],
)
def test_no_site_is_invented_from_a_header(header: str, said: str, tmp_path: Path) -> None:
    assert said in refused(taskfile(WIDE), tmp_path, f"{header}\n{HOURS[0]},1,2,3\n")


def test_a_name_that_stands_in_hardly_a_row_is_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", days=3)
    path.write_text(path.read_text() + "2025-03-03T00:00,d00,7\n")
    grid = load(taskfile('layout = "long"\ntime = ["timestamp"]\nsite = "detector"', interval_s=900.0), path)
    assert any("hardly a row" in note and "'d00' (1)" in note for note in grid.quality.notes)


# --- the order of rows ----------------------------------------------------------------------------------------------

values = st.sampled_from(["", "1", "2", "0.1", "0.2", "0.3", "nan", "5000", "-999"])
rows_of = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), values, values), min_size=2, max_size=30)


@settings(max_examples=120, deadline=None)
@given(rows=rows_of, seed=st.integers(0, 9), merge=st.sampled_from(["refuse", "mean", "max", "sum"]))
def test_shuffled_rows_give_the_same_data_and_the_same_report(
    rows: list[tuple[int, str, str, str]], seed: int, merge: str, scratch: Path
) -> None:
    rule = f'[data.columns.{{}}]\nmerge = "{merge}"\ninvalid = [-999.0]\n'
    task = taskfile(LONG + rule.format("volume") + rule.format("rain"), inputs=("volume", "rain"))
    lines = [f"2025-03-03T{h:02d}:00,{site},{a},{b}" for h, site, a, b in rows]
    made = []
    for order in (lines, random.Random(seed).sample(lines, len(lines))):
        (scratch / "rows.csv").write_text("at,name,volume,rain\n" + "\n".join(order) + "\n")
        try:
            grid = load(task, scratch / "rows.csv")
            made.append((grid.sha256, grid.quality.as_dict()))
        except DataError as refusal:
            made.append((str(refusal), {}))
    assert made[0] == made[1]


@pytest.mark.parametrize("merge", ["refuse", "mean", "max", "sum", "first"])
def test_an_empty_twin_takes_nothing_from_the_value_beside_it(merge: str, tmp_path: Path) -> None:
    task = taskfile(LONG + f'[data.columns.volume]\nmerge = "{merge}"\n')
    pairs = [[f"{at},a,", f"{at},a,{k}"] for k, at in enumerate(HOURS)]
    for order in (1, -1):
        grid = of(task, tmp_path, "at,name,volume\n" + "\n".join(row for pair in pairs for row in pair[::order]))
        assert grid.values[0, :, 0].tolist() == [0, 1, 2, 3]
        assert (grid.quality.duplicates, sum(grid.quality.contradicting.values())) == (4, 0)


def test_the_report_counts_what_contradicts_in_every_column(tmp_path: Path) -> None:
    text = f"at,name,volume,rain\n{HOURS[0]},a,1,2\n{HOURS[0]},a,1,3\n{HOURS[1]},a,1,2\n"
    quality = of(taskfile(LONG, inputs=("volume", "rain")), tmp_path, text).quality
    assert quality.contradicting == {"volume": 0, "rain": 1}
    assert any("1 contradicting (1 rain) → missing" in line for line in quality.lines())


def test_rows_of_sites_that_the_task_does_not_list_are_counted(tmp_path: Path) -> None:
    text = "at,name,volume\n" + "".join(f"{at},{site},1\n" for at in HOURS for site in "ab")
    quality = of(taskfile(LONG + 'sites = ["a"]\n'), tmp_path, text).quality
    assert "other sites   4 rows of sites that the task does not list → left out" in quality.lines()


def test_a_column_outside_its_bounds_is_the_cause_and_not_the_number_of_days(tmp_path: Path) -> None:
    rows = "".join(f"2025-03-{d:02d}T{h:02d}:00,a,40000\n" for d in range(1, 9) for h in range(24))
    task = taskfile(LONG)
    grid = of(task, tmp_path, "at,name,volume\n" + rows)
    with pytest.raises(DataError, match=r"volume has no value in 192 of 192 cells \(192 outside low and high\)"):
        datasets.split(grid, task)


def test_an_end_before_the_data_is_said(tmp_path: Path) -> None:
    task = taskfile(LONG + 'until = "2001-01-01T00:00"')
    grid = of(task, tmp_path, "at,name,volume\n" + "".join(f"{at},a,1\n" for at in HOURS))
    with pytest.raises(DataError, match=r"data\.until of the task is 2001-01-01T00:00: nothing is left"):
        datasets.split(grid, task)


# --- damage ---------------------------------------------------------------------------------------------------------


def damaged(content: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(content))
    lines = content.split(b"\n")
    return dice.choice(
        [
            content[:at],
            content[:at] + bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9))) + content[at + 3 :],
            content[:at] + b"\0" * 9 + content[at:],
            content[:at] + b'"' + content[at:],
            content.decode("latin-1").encode("utf-16"),
            content.replace(b",", dice.choice([b";", b"\t", b" ", b",,"])),
            b"\n".join(b",".join(reversed(line.split(b","))) for line in lines),
            b"\n".join([*lines[: at % 9], dice.choice([b"x", b",,,,,", b"sep=;", b"\xff\xfe"]), *lines[at % 9 :]]),
            gzip.compress(content, mtime=0)[: dice.randrange(1, 200)],
            content.replace(b"2025-", dice.choice([b"9999-", b"0000-", b"25-", b"2025/"]), dice.choice([1, 9999])),
        ]
    )


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_refused_in_one_sentence_or_shows_in_the_report(
    seed: int, tmp_path: Path, taskfile: TaskFile
) -> None:
    path = write_csv(tmp_path / "a.csv", days=2)
    good, dice = path.read_bytes(), random.Random(seed)
    whole = load(taskfile, path)
    for _ in range(40):
        path.write_bytes(damaged(good, dice))
        try:
            grid = load(taskfile, path)
        except TrainError as refusal:
            assert "a.csv" in str(refusal)
            continue
        assert grid.sha256 == whole.sha256 or grid.quality.as_dict() != whole.quality.as_dict()
