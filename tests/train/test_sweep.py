"""Grids of runs: every combination once, failures beside successes, on Ray as one after the other."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.train.conftest import write_csv
from wayside.cloud.train import sweep
from wayside.cloud.train.cli import train as app
from wayside.cloud.train.errors import ClusterError, TaskError
from wayside.cloud.train.sweep import Outcome, by_setting, jobs
from wayside.cloud.train.taskfile import TaskFile

GRID = """
tasks = ["traffic_flow"]
seeds = [0, 1]

[fit]
epochs = [1]
"sizes.hidden" = [8, 16]
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "street.csv", days=10, detectors=1)


def test_a_grid_is_every_combination_in_a_folder_of_its_own(grid: Path) -> None:
    found = jobs(grid)
    assert [j.taskfile.fit.sizes for j in found] == [{"hidden": 8}] * 2 + [{"hidden": 16}] * 2
    assert not any(j.taskfile.fit.refit for j in found)
    assert len({j.folder for j in found}) == 4
    assert found[1].folder == "traffic_flow/epochs=1,sizes.hidden=8,seed=1"


def test_another_family_does_not_inherit_sizes(grid: Path) -> None:
    grid.write_text('tasks = ["traffic_flow"]\n[fit]\nfamily = ["mlp", "gru"]\n')
    assert [j.taskfile.fit.sizes for j in jobs(grid)] == [{"hidden": 64}, {}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("seeds = [0]", "missing required field `tasks`"),
        ('tasks = ["tea"]', "there is no task 'tea'"),
        ('tasks = ["traffic_flow"]\n[fit]\nspeed = [1]', "unknown field `speed`"),
        ('tasks = ["traffic_flow"]\n[fit]\nloss = ["best"]', "Invalid enum value 'best'"),
        ('tasks = ["traffic_flow"]\n[fit]\nrate = []', "length >= 1"),
        ("tasks = [", "no TOML"),
        ('tasks = ["traffic_flow"]\nseeds = [1, 1]', "traffic_flow/seed=1 is there 2 times"),
        ('tasks = ["traffic_flow"]\n[fit]\nfamily = ["cnn"]', "kind forecast, and cnn is not"),
    ],
)
def test_a_wrong_grid_is_refused_by_field(content: str, said: str, grid: Path) -> None:
    grid.write_text(content)
    with pytest.raises(TaskError, match=re.escape(said)):
        jobs(grid)


def test_a_run_that_fails_does_not_stop_the_others(grid: Path, csv: Path, tmp_path: Path) -> None:
    grid.write_text('tasks = ["traffic_flow"]\n[fit]\nepochs = [1]\n"sizes.hidden" = [8]\nloss = ["mse", "pinball"]')
    done = CliRunner().invoke(app, ["--sweep", str(grid), "--data", str(csv), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 1
    good, bad = json.loads(done.stdout)
    assert good["holdout"] > 0
    assert "pinball goes with quantiles" in bad["error"]
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == [good, bad]
    assert (tmp_path / "out" / good["folder"] / "checkpoint.pt").exists()
    assert not (tmp_path / "out" / bad["folder"] / ".partial").exists()


def test_a_sweep_heeds_epochs_and_refuses_what_it_would_not_heed(grid: Path, tmp_path: Path) -> None:
    grid.write_text('tasks = ["traffic_flow"]\n[fit]\nepochs = [1, 9]\n')
    assert [j.taskfile.fit.epochs for j in jobs(grid, epochs=3)] == [1, 3]
    for option in (["--family", "mlp"], ["--task", "traffic_flow"], ["--seed", "4"], ["--generalize", "pairs"]):
        done = CliRunner().invoke(app, ["--sweep", str(grid), "--out", str(tmp_path / "out"), *option])
        assert done.exit_code == 2
        assert f"{option[0]} does not go with --sweep" in done.stderr


def test_ctrl_c_keeps_the_runs_of_a_sweep_that_are_finished(
    grid: Path, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sweep.train

    def stop(taskfile: TaskFile, *args: Any, **options: Any) -> Any:
        if taskfile.fit.sizes["hidden"] == 16:
            raise KeyboardInterrupt
        return real(taskfile, *args, **options)

    monkeypatch.setattr(sweep, "train", stop)
    args = ["--sweep", str(grid), "--data", str(csv), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 130
    assert "2 of 4 runs are finished and kept, listed in" in done.stderr
    assert "sizes.hidden = 8" in done.stdout
    kept = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [o["settings"]["sizes.hidden"] for o in kept] == [8, 8]
    assert all((tmp_path / "out" / o["folder"] / "checkpoint.pt").exists() for o in kept)


def test_the_best_is_chosen_by_validation_not_by_what_is_held_out() -> None:
    def outcome(
        rate: float, seed: int, validation: float | None, holdout: float | None, metric: str = "mae"
    ) -> Outcome:
        made = {"task": "t", "settings": {"rate": rate}, "seed": seed, "folder": f"{rate}/{seed}", "metric": metric}
        return Outcome(**made, validation=validation, holdout=holdout)

    found = by_setting([outcome(1, 0, 5, 1), outcome(1, 1, 7, 1), outcome(2, 0, 4, 9), outcome(3, 0, None, None)])
    assert [(s.settings["rate"], s.runs, s.failed) for s in found] == [(2, 1, 0), (1, 2, 0), (3, 0, 1)]
    assert (found[1].validation, found[1].validation_spread) == (6, 1)
    more = by_setting([outcome(1, 0, 0.8, 0, "accuracy"), outcome(2, 0, 0.9, 0, "accuracy")])
    assert [s.settings["rate"] for s in more] == [2, 1]


def test_ray_with_two_workers_gives_what_one_process_gives(grid: Path, csv: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    alone = sweep.sweep(jobs(grid), csv, tmp_path / "alone")
    args = ["--sweep", str(grid), "--data", str(csv), "--out", str(tmp_path / "ray"), "--ray", "local:2", "--json"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert [o["validation"] for o in json.loads(done.stdout)] == [o.validation for o in alone]
    for outcome in alone:
        a, b = (torch.load(tmp_path / where / outcome.folder / "checkpoint.pt") for where in ("alone", "ray"))
        assert a["config"] == b["config"]
        assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])


def test_a_cluster_that_is_not_there_is_said(grid: Path, csv: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    with pytest.raises(ClusterError, match="no cluster answers"):
        sweep.sweep(jobs(grid), csv, tmp_path, ray="127.0.0.1:1")


def test_what_ray_needs_is_said(grid: Path, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["--ray", "local", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "--sweep FILE" in done.stderr
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"wayside\[cluster\]"):
        sweep.sweep(jobs(grid), csv, tmp_path, ray="local")
