"""A run: reproducible, better than the floors, complete or absent, readable without executing anything."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.simulators.odd_names import ODD
from tests.train.conftest import recipe_of, write_csv
from wayside.cloud.train import datasets, fit, several
from wayside.cloud.train import run as runs
from wayside.cloud.train.cli import train as app
from wayside.cloud.train.errors import FittingError, OutputError
from wayside.cloud.train.evaluate import answers, compare, predict
from wayside.cloud.train.fitted import Epoch
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import Fit, TaskFile, load_task, task_names
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import from_builtins
from wayside.models import registry

Trained = tuple[Path, dict[str, Any]]


def test_the_network_beats_both_floors_on_the_held_out_days(trained: Trained) -> None:
    scores = trained[1]["holdout"]["scores"]
    assert scores["mlp"]["mae"] < 0.95 * scores["naive"]["mae"]
    assert scores["mlp"]["rmse"] < 0.95 * scores["naive"]["rmse"]
    assert scores["mlp"]["mae"] < 0.95 * scores["seasonal"]["mae"]


def test_every_linear_way_beats_naive_and_both_agree(task: TaskSpec, counts: Grid, tmp_path: Path) -> None:
    scores = runs.train(recipe_of(task, "linear"), counts, tmp_path)["holdout"]["scores"]
    closed, walked = scores["linear, least squares"], scores["linear, gradient descent"]
    assert closed["mae"] < scores["naive"]["mae"]
    assert closed["mae"] == pytest.approx(walked["mae"], abs=1e-3)


def test_a_checkpoint_loads_as_plain_data_and_answers_as_reported(trained: Trained) -> None:
    out, report = trained
    checkpoint = torch.load(out / "checkpoint.pt", weights_only=True)
    module = registry.build(checkpoint["config"])
    module.load_state_dict(checkpoint["state_dict"])
    with np.load(out / "windows.npz", allow_pickle=False) as held:
        mae = np.abs(predict(module.eval(), held["holdout_x"]) - held["holdout_y"]).mean()
    assert mae == pytest.approx(report["holdout"]["scores"]["mlp"]["mae"], abs=1e-4)
    config = checkpoint["config"]
    assert from_builtins(config["task"], TaskSpec).name == "traffic_flow"
    assert config["parameters"] == sum(p.numel() for p in module.parameters())
    assert config["residual_std"] > 0


def test_a_checkpoint_names_no_module_of_ours(trained: Trained) -> None:
    with zipfile.ZipFile(trained[0] / "checkpoint.pt") as archive:
        pickled = next(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl"))
    assert b"models" not in pickled
    assert b"cloud" not in pickled
    assert b"wayside" not in pickled


def test_the_windows_are_what_the_exporter_needs(trained: Trained, task: TaskSpec) -> None:
    with np.load(trained[0] / "windows.npz", allow_pickle=False) as w:
        n, shape = len(w["holdout_x"]), (task.window, len(task.inputs))
        assert 512 <= len(w["calibration"]) <= 1024
        assert len(w["golden"]) >= 32
        for name in ("calibration", "golden", "holdout_x"):
            assert w[name].dtype == np.float32
            assert w[name].shape[1:] == shape
            low, high = w[name].min(axis=(0, 1)), w[name].max(axis=(0, 1))
            assert all(i.low <= lo and hi <= i.high for i, lo, hi in zip(task.inputs, low, high, strict=True))
        assert w["golden"][:, :, 0].min() == 0
        assert w["golden"][:, :, 0].max() == w["calibration"][:, :, 0].max()
        assert set(w["golden"][:, -1, 2]) == set(range(7))
        assert w["holdout_y"].shape == w["holdout_naive"].shape == w["holdout_seasonal"].shape == (n, 1)
        assert w["holdout_hour"].shape == (n,)
        assert set(w["holdout_hour"]) == set(range(24))


def test_the_report_holds_splits_floors_hours_and_hash(trained: Trained, counts: Grid) -> None:
    report = json.loads((trained[0] / "report.json").read_text())
    assert report == json.loads(json.dumps(trained[1]))
    assert report["data_sha256"] == counts.sha256
    assert report["splits"]["train"]["last"] <= report["splits"]["validation"]["first"]
    assert set(report["holdout"]["scores"]) == {"naive", "seasonal", "mlp"}
    assert sum(h["n"] for h in report["holdout"]["hours"].values()) == report["holdout"]["n"]


def test_tensorboard_has_the_curve_and_the_floors(trained: Trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[0] / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("validation/loss")) == 2
    assert {"holdout/mae/naive", "holdout/mae/seasonal", "holdout/mae/mlp"} <= set(events.Tags()["scalars"])
    assert (trained[0] / "forecast.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def street(taskfile: TaskFile, tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskSpec, Grid]:
    counts, widened = datasets.load(taskfile, write_csv(tmp_path_factory.mktemp("csv") / "street.csv"))
    assert isinstance(counts, Grid)
    return widened.task, counts


@pytest.mark.parametrize("family", ["linear", "mlp", "gru"])
def test_the_same_seed_gives_the_same_bytes(family: str, street: tuple[TaskSpec, Grid], tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        runs.train(recipe_of(street[0], family, epochs=1), street[1], tmp_path / name, seed=seed)
    a, b, c = ({f: (tmp_path / n / f).read_bytes() for f in ("checkpoint.pt", "windows.npz")} for n in "abc")
    assert a == b
    assert a != c


def test_the_best_weights_are_restored(street: tuple[TaskSpec, Grid]) -> None:
    task, counts = street
    data = datasets.split(counts, recipe_of(task, "mlp"))
    fitted = fit.fit(recipe_of(task, "mlp", epochs=6).fit, task, data)
    kept = compare(task, data.validation, {"mlp": answers(fitted.module, data.validation)})["scores"]["mlp"]["rmse"]
    spread = float(data.train.y.std(ddof=1))
    assert kept**2 == pytest.approx(spread**2 * min(e.validation for e in fitted.epochs), rel=1e-4)


@pytest.mark.parametrize("stop_at", ["first epoch", "picture", "windows"])
def test_a_stopped_run_leaves_the_earlier_one_whole(
    stop_at: str, street: tuple[TaskSpec, Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.train(recipe_of(street[0], "mlp", epochs=1), street[1], tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def on_epoch(_: Epoch) -> None:
        if stop_at == "first epoch":
            raise KeyboardInterrupt

    if stop_at == "picture":
        monkeypatch.setattr(runs, "draw", stop)
    if stop_at == "windows":
        monkeypatch.setattr(runs.np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.train(recipe_of(street[0], "mlp", epochs=1), street[1], tmp_path, seed=1, on_epoch=on_epoch)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    assert not (tmp_path / ".partial").exists()


def test_a_run_touches_nothing_else_in_its_directory(street: tuple[TaskSpec, Grid], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    runs.train(recipe_of(street[0], "linear", refit=True), street[1], tmp_path)
    runs.train(recipe_of(street[0], "linear", refit=True), street[1], tmp_path)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "thesis.tex",
        "checkpoint.pt",
        "windows.npz",
        "report.json",
        "forecast.png",
        "tensorboard",
        "final",
    }
    with pytest.raises(OutputError, match="choose another --out"):
        runs.train(recipe_of(street[0], "linear", refit=True), street[1], tmp_path / "thesis.tex")


def test_the_verb_prints_the_floors_beside_the_result(tmp_path: Path) -> None:
    out = tmp_path / ODD
    out.mkdir(parents=True)
    csv = write_csv(out / "street.csv")
    done = CliRunner().invoke(app, ["--family", "all", "--data", str(csv), "--epochs", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    for name in ("naive", "seasonal", "linear, least squares", "linear, gradient descent", "mlp", "gru"):
        assert name in done.stdout
    assert "street.csv: 2304 rows, 2 sites" in done.stderr
    assert all((out / f / "checkpoint.pt").exists() for f in fit.REFERENCES)


def test_a_family_that_fails_does_not_lose_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = write_csv(tmp_path / "street.csv")
    real = fit.fit

    def no_memory(recipe: Fit, *args: Any, **options: Any) -> Any:
        if recipe.family == "gru":
            raise FittingError("traffic_flow: gru cannot be fitted: no memory")
        return real(recipe, *args, **options)

    monkeypatch.setattr(runs, "fit", no_memory)
    args = ["--family", "gru,mlp", "--data", str(csv), "--epochs", "1", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*args, "--json"])
    assert done.exit_code == 1  # what comes next in a script would miss the gru
    report, failure = json.loads(done.stdout)
    assert (report["family"], failure["family"]) == ("mlp", "gru")
    assert "wayside train: traffic_flow gru: traffic_flow: gru cannot be fitted: no memory" in done.stderr
    assert (tmp_path / "run" / "mlp" / "checkpoint.pt").exists()
    assert not (tmp_path / "run" / "gru" / "checkpoint.pt").exists()
    assert "mlp" in CliRunner().invoke(app, args).stdout


def test_one_tasks_missing_data_do_not_lose_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYSIDE_DATA", raising=False)
    args = ["--task", "pems_5,traffic_flow", "--family", "linear", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 1
    assert "wayside train: pems_5 linear: the task pems_5 reads" in done.stderr
    assert (tmp_path / "traffic_flow" / "checkpoint.pt").exists()


def test_all_tasks_leave_those_of_other_kinds_out_and_say_so(tmp_path: Path) -> None:
    told: list[str] = []
    planned = several.plan("all", "linear", tmp_path, epochs=1, refit=False, on_left_out=told.append)
    kinds = {name: load_task(name).task.kind for name in task_names() if not load_task(name).sampled}
    assert [p.taskfile.task.name for p in planned] == [n for n, kind in kinds.items() if kind == "forecast"]
    assert len(planned) + len(told) == len(kinds)
    assert any("is of kind classify" in sentence for sentence in told)


def test_ctrl_c_keeps_the_families_that_are_finished_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csv = write_csv(tmp_path / "street.csv")
    real = runs.fit

    def stop(recipe: Fit, *args: Any, **options: Any) -> Any:
        if recipe.family == "gru":
            raise KeyboardInterrupt
        return real(recipe, *args, **options)

    monkeypatch.setattr(runs, "fit", stop)
    args = ["--family", "linear,gru", "--data", str(csv), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 130
    assert "1 of 2 runs are finished and kept" in done.stderr
    assert "linear, least squares" in done.stdout
    assert (tmp_path / "run" / "linear" / "checkpoint.pt").exists()
    assert not (tmp_path / "run" / "gru" / ".partial").exists()


@pytest.mark.parametrize(
    "name", [n for n in task_names() if load_task(n).sampled and load_task(n).task.kind == "forecast"]
)
def test_every_task_that_brings_its_data_is_solved_both_linear_ways(name: str) -> None:
    source, taskfile = datasets.load(load_task(name))
    taskfile = runs.with_fit(taskfile, family="linear")
    data = datasets.split(source, taskfile)
    walked, closed = (fit.solve(taskfile.fit, taskfile.task, data, solver=s) for s in reversed(fit.SOLVERS))
    named = {"walked": answers(walked.module, data.holdout), "closed": answers(closed.module, data.holdout)}
    scores = compare(taskfile.task, data.holdout, named)["scores"]
    assert walked.notes["steps"] > 0
    assert scores["walked"]["mae"] == pytest.approx(scores["closed"]["mae"], rel=0.005)
    assert scores["walked"]["mae"] < scores["naive"]["mae"]


def test_a_full_disk_is_said_and_leaves_the_earlier_run_whole(
    street: tuple[TaskSpec, Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.train(recipe_of(street[0], "linear"), street[1], tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:668] . PytorchStreamWriter failed writing file")

    monkeypatch.setattr(runs.torch, "save", full)
    with pytest.raises(OutputError, match=r"cannot write checkpoint\.pt"):
        runs.train(recipe_of(street[0], "linear"), street[1], tmp_path, seed=1)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not (tmp_path / ".partial").exists()


def test_json_on_stdout_is_nothing_but_json(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "street.csv", extra="lanes")
    args = ["--family", "linear", "--data", str(csv), "--out", str(tmp_path / "run"), "--json"]
    (report,) = json.loads(CliRunner().invoke(app, args).stdout)
    assert [i["name"] for i in report["task"]["inputs"]] == ["volume", "hour", "weekday", "lanes"]


def test_a_fault_of_the_user_is_one_message_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("time,count\n1,2\n")
    for args, said in (
        (["--data", str(tmp_path / "bad.csv")], "column timestamp is missing"),
        (["--task", "tea"], "there is no task 'tea'"),
        (["--family", "oracle"], "there is no model family 'oracle'"),
        (["--family", "mlp,gru,mpl"], "there is no model family 'mpl', perhaps mlp"),
        (["--family", "mlp,gru,mlp"], "mlp is named twice"),
        (["--family", "mlp,"], "a name is missing"),
        (["--family", "all,mlp"], "all stands for linear, mlp, gru"),
        (["--family", "cnn"], "traffic_flow is of kind forecast, and cnn is not; choose of linear"),
        (["--task", "traffic_flow,traffic_flow"], "named twice"),
    ):
        done = CliRunner().invoke(app, [*args, "--out", str(tmp_path / "run")])
        assert done.exit_code == 1
        assert said in done.stderr
        assert "Traceback" not in done.output
        assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_final_has_seen_every_day_and_claims_only_what_the_honest_run_found(
    street: tuple[TaskSpec, Grid], tmp_path: Path
) -> None:
    task, counts = street
    report = runs.train(recipe_of(task, "mlp", epochs=2, refit=True), counts, tmp_path)
    honest, final = (torch.load(tmp_path / f / "checkpoint.pt", weights_only=True) for f in ("", "final"))
    assert "seen_until" not in honest["config"]
    assert final["config"]["seen_until"] == str(counts.ends[-1])
    assert final["config"]["honest"]["holdout"] == report["holdout"]["scores"]["mlp"]
    assert final["config"]["residual_std"] == honest["config"]["residual_std"]
    assert not all(torch.equal(honest["state_dict"][k], final["state_dict"][k]) for k in honest["state_dict"])
    later = json.loads((tmp_path / "final" / "report.json").read_text())
    assert later["holdout"] == json.loads(json.dumps(report["holdout"]))
    assert later["splits"]["refit"]["windows"] > report["splits"]["train"]["windows"]
    with np.load(tmp_path / "windows.npz") as a, np.load(tmp_path / "final" / "windows.npz") as b:
        assert a.files == b.files
        assert np.array_equal(a["holdout_x"], b["holdout_x"])


def test_a_run_without_refit_leaves_no_older_final_behind(street: tuple[TaskSpec, Grid], tmp_path: Path) -> None:
    task, counts = street
    runs.train(recipe_of(task, "linear", refit=True), counts, tmp_path)
    assert (tmp_path / "final" / "checkpoint.pt").exists()
    runs.train(recipe_of(task, "linear", refit=False), counts, tmp_path)
    assert not (tmp_path / "final").exists()
