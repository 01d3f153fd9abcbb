"""A task file is judged by using it: every mistake is named at once, by its key, before any data are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from wayside.cloud.train.errors import TaskError
from wayside.cloud.train.taskfile import load_task, task_of
from wayside.text import loads_toml

GOOD = """
[task]
wire = 1
name = "mine"
domain = "traffic"
output = "volume"
output_unit = "{veh}"
window = 4
horizon = 1
interval_s = 900.0
season = 672
[[task.inputs]]
name = "volume"
unit = "{veh}"
low = 0.0
high = 2000.0
[data]
layout = "long"
files = ["*.csv"]
time = ["timestamp"]
[fit]
family = "mlp"
sizes = {hidden = 16}
"""


def refused(text: str) -> str:
    with pytest.raises(TaskError) as refusal:
        task_of(loads_toml(text), "task mine")
    return str(refusal.value)


def test_the_file_without_a_mistake_is_taken() -> None:
    assert task_of(loads_toml(GOOD), "task mine").fit.sizes == {"hidden": 16}
    dated = task_of(loads_toml(GOOD.replace("[fit]", "until = 2024-04-30T12:00:00\n[fit]")), "task mine")
    assert dated.data.until == "2024-04-30T12:00:00"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('zone = "America"', "data.zone: 'America' is no time zone; it is an area of"),
        ('zone = "America/New_Yrok"', "is America/New_York"),
        ('zone = "berlin"', "is Europe/Berlin meant?"),
        ('zone = "../../etc/passwd"', "data.zone: "),
        ('zone = "localtime"', "data.zone: "),
        (
            'time_format = "%s"',
            "data.time_format: '%s' is no format: it has no directive %s; seconds since 1970 are \"ep",
        ),
        ('time_format = "%Q"', "it has no directive %Q"),
        ('time_format = "%d.%m.%Y"', "does not tell the hour"),
        ('time_format = "%d.%m. %H:%M"', "does not tell the year, month and day"),
        ('time_format = "%I:%M %d.%m.%Y"', "does not tell the hour"),
        ('time_format = "%d-%m-%Y %H:%m"', "it has one directive twice; hours are %H, minutes %M"),
        ('time_format = "mixed"', "is neither a format of strptime"),
        ('time_format = "epoch_s"', "name the zone whose clock the hours follow"),
        ('time_format = "%Y-%m-%dT%H:%M:%S%z"', "reads an offset: name the zone"),
        ('until = "31.12.2024"', "data.until: '31.12.2024' is no time: write it like 2024-12-31T00:00"),
        ('until = "2024-02-30"', "data.until"),
        ('start = "now"', "data.start"),
        ('unusual_days = ["2024-13-01"]', "data.unusual_days[0]"),
        ('separator = ":"', "data.separator: is one of"),
        ('decimal = ";"', 'data.decimal: is "." or ","'),
        ('encoding = "utf-9"', "data.encoding: no encoding is called 'utf-9'"),
        ('encoding = "rot13"', "data.encoding: 'rot13' is no encoding of text"),
        ('missing = ["-"]', "words that mean no value stand in missing_words"),
        ("missing = nan", "data.missing"),
        ("naive = -1", "data.naive"),
        ("day_starts = 24", "data.day_starts"),
        ('header = ["a"]', "has no column 'timestamp'"),
        ('holdout_sites = ["a"]', "data.validation_sites"),
        ("[data.columns.volume]\nscale = 0", "data.columns.volume.scale: is 0"),
        ("[data.columns.volume]\nshift = inf", "data.columns.volume.shift"),
        ("[data.columns.rian]", "data.columns.rian: is neither an input nor the output"),
        ("layuot = 1", "data.layuot: is unknown here; is layout meant?"),
    ],
)
def test_a_mistake_of_the_data_is_named_by_its_key(line: str, said: str) -> None:
    assert said in refused(GOOD.replace("[fit]", f"{line}\n[fit]"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"mlp"', '"mlp"\nrate = -0.01', "fit.rate"),
        ('"mlp"', '"mlp"\nrate = nan', "fit.rate"),
        ('"mlp"', '"mlp"\nrate = 1e9', "fit.rate"),
        ('"mlp"', '"mlp"\nbatch = 0', "fit.batch"),
        ('"mlp"', '"mlp"\nepochs = 10000000000', "fit.epochs"),
        ('"mlp"', '"mlp"\naugment = ["miror"]', "fit.augment[0]: 'miror' is unknown"),
        ('"mlp"', '"mpl"', "fit.family: 'mpl' is no family for a task of kind forecast"),
        ('"mlp"', '"cnn"', "fit.family"),
        ("hidden = 16", "hidden = -16", "fit.sizes.hidden"),
        ("hidden = 16", "hidden = 0", "make a layer without weights"),
        ("hidden = 16", "hidden = 1.5", "fit.sizes.hidden: is a whole number, not 1.5"),
        ("hidden = 16", "hiden = 16", "is no size of family mlp: hidden; is hidden meant?"),
        ("hidden = 16", "hidden = 50000", "make a model of 2500350001 weights"),
        ("900.0", "0.5", "task.interval_s: is a whole number of seconds"),
        ("900.0", "inf", "task.interval_s"),
        ("672", "99999999999999999999999", "task.season"),
        ("672", "672\nholdout_days = 99999999999999", "task.holdout_days"),
        ("2000.0", "inf", "low and high are finite"),
        ("wire = 1", "wire = 2", "task.wire: is 2"),
        ('"long"', '"images"', "data.layout: is images, and the task is of kind forecast"),
        ('["*.csv"]', '["/counts/*.csv"]', "data.files[0]: '/counts/*.csv' is no pattern"),
        ('time = ["timestamp"]', "", "data.time: name the columns that make the time"),
    ],
)
def test_a_value_that_training_could_not_use_is_named_by_its_key(old: str, new: str, said: str) -> None:
    assert said in refused(GOOD.replace(old, new, 1))


def test_all_mistakes_are_named_at_once() -> None:
    text = GOOD.replace("[fit]", 'zone = "Europe/Berln"\nuntil = "31.12.2024"\n[fit]').replace(
        "hidden = 16", "hidden = -1"
    )
    said = refused(text.replace("900.0", "0"))
    assert said.startswith("task mine: 4 mistakes:\n  ")
    assert all(f"  {key}: " in said for key in ("task.interval_s", "data.zone", "data.until", "fit.sizes.hidden"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# Straße\n".encode("cp1252"), "line 1: 'ß' is not written in UTF-8"),
        (b"\0\0", "NUL"),
        (b"[task\n", "no TOML"),
        (b"", "3 mistakes"),
        (b"task = 3\ndata = []\nfit = 1979-05-27", "task: is a table"),
    ],
)
def test_what_is_no_task_file_is_refused_by_its_name(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(TaskError, match=r"mine\.toml") as refusal:
        load_task(str(path))
    assert said in str(refusal.value)
    with pytest.raises(TaskError, match="Is a directory"):
        (tmp_path / "folder.toml").mkdir()
        load_task(str(tmp_path / "folder.toml"))
