"""Generalization: what is left out is really left out, and an unknown site is shown as unknown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.train.conftest import write_csv
from wayside.cloud.train import datasets, generalize
from wayside.cloud.train.cli import train as app
from wayside.cloud.train.errors import DataError, TaskError
from wayside.cloud.train.generalize import SEEN, UNSEEN, Fold
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import Fit, TaskFile, load_task
from wayside.contracts.task import Input

Street = tuple[TaskFile, Grid]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Three detectors; the task knows which is which."""
    taskfile = load_task("traffic_flow")
    task = taskfile.task
    task = msgspec.structs.replace(
        task, sites=("d0", "d1", "d2"), inputs=(*task.inputs, Input(name="site", unit="1", low=0, high=4095))
    )
    fit = Fit(family="light", sizes={"hidden": 8}, loss="mae", epochs=2, batch=256, refit=False)
    taskfile = msgspec.structs.replace(taskfile, task=task, fit=fit)
    grid, taskfile = datasets.load(taskfile, write_csv(tmp_path_factory.mktemp("csv") / "s.csv", days=10, detectors=3))
    assert isinstance(grid, Grid)
    return taskfile, grid


def test_a_site_that_is_left_out_leaves_no_trace_in_the_model(street: Street) -> None:
    taskfile, grid = street
    groups = generalize.groups(taskfile, grid, None)
    assert groups == {"d0": [0], "d1": [1], "d2": [2]}
    folds = generalize.leave_out(taskfile, grid, groups, folds=0)
    assert [f.group for f in folds] == ["d0", "d1", "d2"]
    # Other days of the site that is left out change the model that knows it, and not the one that does not.
    values = grid.values.copy()
    values[1, : 2 * 96] = values[1, : 2 * 96][::-1] * 3
    other = generalize.leave_out(taskfile, dataclasses.replace(grid, values=values), groups, folds=0)
    assert other[1].scores[UNSEEN] == folds[1].scores[UNSEEN]
    assert other[1].scores[SEEN] != folds[1].scores[SEEN]
    assert other[0].scores[UNSEEN] != folds[0].scores[UNSEEN]


def test_an_unknown_site_carries_the_index_after_the_last(street: Street) -> None:
    taskfile, grid = street
    windows = datasets.split(grid, taskfile).holdout
    column = [i.name for i in taskfile.task.inputs].index("site")
    assert set(windows.take(np.arange(len(windows)))[0][:, :, column].ravel()) == {0, 1, 2}
    unknown = generalize.at_unknown_site(taskfile.task, windows)
    assert set(unknown.take(np.arange(len(windows)))[0][:, :, column].ravel()) == {3}
    assert np.array_equal(unknown.y, windows.y)


def test_some_folds_are_drawn_by_the_seed(street: Street) -> None:
    taskfile, grid = street
    groups = generalize.groups(taskfile, grid, None)
    told: list[str] = []

    def begin(name: str, number: int, of: int) -> generalize.OnEpoch:
        told.append(f"{number}/{of} {name}")
        return lambda _: None

    (one,) = generalize.leave_out(taskfile, grid, groups, folds=1, seed=1, on_model=begin)
    assert told == ["1/2 all sites", f"2/2 without {one.group}"]


def test_from_one_site_to_the_others(street: Street) -> None:
    taskfile, grid = street
    found = generalize.pairs(taskfile, grid, generalize.groups(taskfile, grid, None))
    assert [(p.trained_on, p.tested_on) for p in found[:4]] == [("d0", "d0"), ("d0", "d1"), ("d0", "d2"), ("d1", "d0")]
    assert len(found) == 9
    assert all(0 < p.mae <= p.rmse for p in found)


def test_scores_are_pooled_over_windows() -> None:
    folds = [
        Fold(group="a", sites=1, n=100, scores={"x": {"mae": 1.0, "rmse": 3.0}}),
        Fold(group="b", sites=2, n=300, scores={"x": {"mae": 5.0, "rmse": 5.0}}),
    ]
    assert generalize.pooled(folds) == {"x": {"mae": 4.0, "rmse": pytest.approx(np.sqrt((9 + 3 * 25) / 4))}}


def test_what_belongs_together_is_left_out_together(street: Street, tmp_path: Path) -> None:
    taskfile, grid = street
    data = msgspec.structs.replace(taskfile.data, layout="npz", files=("a.npz",), site="name", group="corner")
    taskfile = msgspec.structs.replace(taskfile, data=data)
    np.savez(tmp_path / "a.npz", name=np.array(["d0", "d1", "d2"]), corner=np.array([7, 9, 7]))
    assert generalize.groups(taskfile, grid, tmp_path) == {"7": [0, 2], "9": [1]}
    np.savez(tmp_path / "a.npz", name=np.array(["d0", "d1", "d2"]))
    with pytest.raises(DataError, match="no array 'corner'"):
        generalize.groups(taskfile, grid, tmp_path)


def test_one_site_alone_cannot_be_left_out(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "s.csv", days=10, detectors=1)
    grid, taskfile = datasets.load(load_task("traffic_flow"), csv)
    with pytest.raises(TaskError, match="no sites of which one could be left out"):
        generalize.groups(taskfile, grid, csv)


@pytest.mark.parametrize(("way", "key", "rows"), [("leave-out", "folds", 1), ("pairs", "pairs", 4)])
def test_the_verb_writes_what_it_prints(way: str, key: str, rows: int, tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "s.csv", days=10)
    args = ["--data", str(csv), "--epochs", "1", "--out", str(tmp_path / "out"), "--generalize", way, "--folds", "1"]
    printed = CliRunner().invoke(app, [*args, "--json"])
    assert printed.exit_code == 0, printed.output
    result = json.loads(printed.stdout)
    assert len(result[key]) == rows
    assert json.loads((tmp_path / "out" / "generalize.json").read_text()) == result
    shown = CliRunner().invoke(app, args).stdout
    assert "MAE" in shown
    assert result[key][0].get("group", "d0") in shown
