"""`wayside sim run` and `compare`: what they print, and what they say when something is wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.sim.traffic import needs
from wayside.__main__ import main

pytestmark = [needs.sumo, needs.compiler]
SHORT = ("--seconds", "120")


def sim(*words: str) -> int:
    return main(["sim", *words])


def test_a_run_prints_its_measures_and_keeps_events_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, picture = tmp_path / "events.csv", tmp_path / "hour.svg"
    assert sim("run", "crossing", *SHORT, "--json", "--events", str(events), "--plot", str(picture)) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["policy"] == "board"
    assert result["vehicles"] > 30
    assert result["violation_count"] == 0
    assert picture.read_text().startswith("<?xml")
    rows = list(csv.DictReader(events.open()))
    assert {int(row["kind"]) for row in rows} >= {1, 2, 3, 4}  # detectors, green, yellow, red
    assert {row["light"] for row in rows} == {result["greens"][0]["light"]}
    assert -60_000 < int(rows[0]["ms"]) <= 0
    assert 110_000 < int(rows[-1]["ms"]) <= 120_000


def test_a_comparison_prints_a_line_a_controller_against_the_fixed_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("compare", "crossing", *SHORT, "--seeds", "1,2", "--policy", "fixed,board", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    fixed, board = document["lines"]
    assert (fixed["policy"], fixed["to_fixed"]) == ("fixed", 1.0)
    assert board["to_fixed"] == pytest.approx(board["delay_s"] / fixed["delay_s"])
    assert [run["seed"] for run in document["runs"]] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "nowhere"], "there is no map 'nowhere'"),
        (["run", "cologne1"], "--data or WAYSIDE_DATA"),
        (["run", "crossing", "--policy", "wise"], "there is no policy 'wise'; there are fixed, board, "),
        (
            ["run", "crossing", "--policy", "node:wise"],
            "there is no policy 'node:wise'; there are fixed, board, node:actuated_plus, ",
        ),
        (["run", "crossing", "--settings", "[]"], "is no JSON object"),
        (["run", "crossing", "--policy", "node:horizon", "--settings", '{"horizon": 1}'], "node:horizon: "),
        (["run", "crossing", "--dead", "phase:1@soon"], "comes a number of seconds"),
        (["run", "crossing", "--dead", "phase:77"], "names no detector of"),
        (["run", "crossing", "--plot", "hour.txt"], "is no picture"),
        (["compare", "crossing", "--seeds", "5-1"], "is not a range"),
        (["compare", "crossing", "--seeds", "all"], "say 1-5 or 1,3,7"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAYSIDE_DATA", raising=False)
    assert sim(*words) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"wayside sim {words[0]}: ")
    assert told in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<net/>", "has no traffic light"),
        ("<routes/>", "not a SUMO <net>"),
        ("nonsense", "is no SUMO net"),
    ],
)
def test_a_file_that_is_no_network_with_lights_is_said(
    tmp_path: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "town.net.xml").write_text(text)
    (tmp_path / "town.rou.xml").write_text("<routes/>")
    assert sim("run", str(tmp_path / "town.net.xml")) == 1
    assert told in capsys.readouterr().err


def test_a_network_without_routes_is_said_with_the_option_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "town.net.xml").write_text("<net/>")
    assert sim("run", str(tmp_path / "town.net.xml")) == 1
    assert "--routes" in capsys.readouterr().err
