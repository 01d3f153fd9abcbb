"""`wayside evaluate`: train, export, judge as a node; again without training; on a later period; and when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wayside.cloud.evaluate.row import Row
from wayside.contracts.wire import from_builtins, to_builtins

VERB = [sys.executable, "wayside.py", "evaluate"]


def evaluate(folder: Path, *more: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    options = ["--task", folder / "small.toml", "--data", folder / "data", "--runs", folder / "runs", *more]
    done = subprocess.run([*VERB, *map(str, options)], check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def row(folder: Path) -> Row:
    return from_builtins(json.loads(evaluate(folder, "--json").stdout)["tasks"][0], Row)


def test_a_task_is_held_against_floors_published_numbers_and_itself_in_int8(row: Row) -> None:
    assert set(row.scores) == {"naive", "seasonal", "fp32", "onnx-int8", "tflite-int8"}
    assert row.value("fp32") is not None
    assert row.value("fp32") < row.value("naive")  # type: ignore[operator]
    assert row.published[0].name == "somebody"
    assert set(row.bytes) == set(row.us) == {"onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8"}
    assert all(us > 0 for us in row.us.values())
    for variant in row.int8:
        assert row.loss[variant] == pytest.approx(row.value(variant) / row.value("fp32") - 1)  # type: ignore[operator]
        assert row.loss[variant] < 0.01


def test_the_second_time_nothing_is_trained_and_the_numbers_are_the_same(folder: Path, row: Row) -> None:
    before = (folder / "runs" / "small" / "checkpoint.pt").stat().st_mtime_ns
    again = from_builtins(json.loads(evaluate(folder, "--json").stdout)["tasks"][0], Row)
    assert (folder / "runs" / "small" / "checkpoint.pt").stat().st_mtime_ns == before
    assert again.scores == row.scores


@pytest.mark.parametrize("unseen", ["later", "later/small_june.csv"])
def test_a_later_period_is_judged_without_training_and_from_nothing_but_its_file(
    folder: Path, row: Row, unseen: str
) -> None:
    runs = {f: f.stat().st_mtime_ns for f in (folder / "runs").rglob("checkpoint.pt")}
    found = from_builtins(json.loads(evaluate(folder, "--test", folder / unseen, "--json").stdout)["tasks"][0], Row)
    assert found.period == "2024-05-27 – 2024-06-02"
    assert found.n == 2 * (7 * 24 - 4 - 1)
    assert {f: f.stat().st_mtime_ns for f in (folder / "runs").rglob("checkpoint.pt")} == runs
    assert found.value("tflite-int8") < found.value("naive")  # type: ignore[operator]


def test_what_is_judged_is_the_exported_file(folder: Path, row: Row, tmp_path: Path) -> None:
    """The same numbers, by hand: the bundle's int8 file on the runtime, and the truth out of the CSV."""
    from wayside.edge.runtimes.load import load_runtime
    from wayside.edge.trusted_bundle import open_bundle

    lines = [line.split(",") for line in (folder / "later" / "small_june.csv").read_text().splitlines()[1:]]
    series = {d: np.array([float(v) for _, who, v in lines if who == d]) for d in ("north", "south")}
    judged = json.loads(evaluate(folder, "--test", folder / "later", "--json").stdout)["tasks"][0]
    (path,) = (folder / "runs" / "small" / "final" / "export").glob("*.bundle")
    bundle = open_bundle(path.read_bytes(), agent_version=None)
    variant = next(v for v in bundle.passport.variants if v.name == "onnx-int8")
    runtime = load_runtime("onnxruntime", bundle.files[variant.file])
    errors = []
    for values in series.values():
        for newest in range(3, len(values) - 2):
            window = np.stack([values[newest - 3 : newest + 1], (np.arange(newest - 3, newest + 1) + 1) % 24], axis=1)
            answer = runtime.run(window[None].astype(np.float32))[0]
            errors += list(np.abs(answer - values[newest + 1 : newest + 3]))
    assert judged["scores"]["onnx-int8"]["mae"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_the_table_and_the_page_say_the_same(folder: Path, row: Row, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps({"tasks": [to_builtins(row)]}))
    page = tmp_path / "models.md"
    shown = evaluate(folder, "--from", tmp_path / "rows.json", "--page", page).stdout
    value = f"{row.value('onnx-int8'):#.4g}"
    assert value in shown
    for column in ("naive", "seasonal", "others", "ours fp32", "int8 ONNX", "int8 TFLite", "parameters", "kB", "µs"):
        assert column in shown  # into a file or a pipe the whole table
    assert value in page.read_text()
    assert page.with_suffix(".svg").read_text().startswith("<svg")


def test_other_data_under_the_same_name_are_trained_anew(folder: Path, row: Row) -> None:
    runs, data = folder / "other-runs", folder / "other"
    data.mkdir()
    options = ["--runs", str(runs), "--data", str(data), "--epochs", "1"]
    content = (folder / "data" / "small_may.csv").read_text()
    (data / "small_may.csv").write_text(content)
    evaluate(folder, *options)
    first = (runs / "small" / "checkpoint.pt").read_bytes()
    (data / "small_may.csv").write_text(content.replace(",60", ",66"))
    evaluate(folder, *options)
    assert (runs / "small" / "checkpoint.pt").read_bytes() != first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--task", "no_such_task"], "there is no task 'no_such_task'"),
        (["--test", "nothing.csv"], "nothing.csv"),
        (["--from", "nothing.json"], "nothing.json cannot be read"),
    ],
)
def test_what_is_missing_is_named_and_the_status_is_1(folder: Path, row: Row, options: list[str], said: str) -> None:
    failed = evaluate(folder, *options, status=1)
    assert said in failed.stderr.replace("\n", " ")
    assert "Traceback" not in failed.stderr


def test_one_task_that_fails_does_not_cost_the_others(folder: Path, row: Row) -> None:
    both = f"{folder / 'small.toml'},no_such_task"
    done = evaluate(folder, "--task", both, "--json", status=1)
    document = json.loads(done.stdout)
    assert [each["task"] for each in document["tasks"]] == ["small"]
    assert "no_such_task" in document["failed"]


def test_interrupted_it_leaves_no_half_run(folder: Path) -> None:
    runs = folder / "interrupted"
    options = ["--task", folder / "small.toml", "--data", folder / "data", "--runs", runs]
    process = subprocess.Popen(
        [*VERB, *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever started these tests in the background made them ignore Ctrl-C, and what they start, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    partial = runs / "small" / ".partial"
    for _ in range(600):
        if partial.exists():
            break
        time.sleep(0.05)
    assert partial.exists()
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said, said
    assert not partial.exists()
    assert not (runs / "small" / "checkpoint.pt").exists()
