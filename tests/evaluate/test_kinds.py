"""Pictures and detectors go the same way as forecasts: trained, exported, judged as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.evaluate.conftest import write
from wayside.cloud.evaluate import table
from wayside.cloud.evaluate.evaluate import evaluate
from wayside.cloud.evaluate.job import Job
from wayside.edge.trusted_bundle import open_bundle

PICTURES = """
[task]
wire = 1
name = "colours"
domain = "safety"
kind = "classify"
output = "class"
output_unit = "1"
window = 1
horizon = 1
interval_s = 1.0
season = 1
image = [16, 16, 3]
classes = ["red", "green"]
[[task.inputs]]
name = "pixel"
unit = "1"
low = 0.0
high = 255.0
[data]
layout = "images"
files = ["colours*.npz"]
blocks = 8
[fit]
family = "cnn"
sizes = { stem = 4, stages = [[8, 2]], plain = 1, head = 16 }
loss = "cross-entropy"
epochs = 6
batch = 16
rate = 0.01
"""
DETECTOR = """
[task]
wire = 1
name = "unusual"
domain = "incident"
kind = "score"
output = "volume"
output_unit = "{veh}"
window = 6
horizon = 1
interval_s = 3600.0
season = 24
holdout_days = 6
validation_days = 4
[task.alarm]
usual_rows = 500
[[task.inputs]]
name = "volume"
unit = "{veh}"
low = 0.0
high = 400.0
[[task.inputs]]
name = "hour"
unit = "h"
low = 0.0
high = 24.0
[data]
layout = "long"
files = ["small_*.csv"]
time = ["timestamp"]
site = "detector"
[fit]
family = "gan"
epochs = 2
batch = 64
rate = 0.002
[fit.sizes]
hidden = 8
"""


def test_pictures_are_judged_by_accuracy_beside_the_commonest_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(240) // 30 % 2
    x = rng.integers(0, 60, (240, 16, 16, 3))
    x[np.arange(240), :, :, y] += 150
    np.savez(tmp_path / "colours.npz", x=x.astype(np.uint8), y=y.astype(np.uint8))
    (tmp_path / "colours.toml").write_text(PICTURES)
    row = evaluate(Job(task=str(tmp_path / "colours.toml"), data=tmp_path, runs=tmp_path / "runs", refit=False))
    assert row.metric == "accuracy"
    assert row.value("fp32") == row.value("onnx-int8") == row.value("tflite-int8") == 1.0
    assert row.value("naive") == pytest.approx(0.5, abs=0.2)


def test_a_detector_is_judged_by_the_incidents_that_it_finds(tmp_path: Path) -> None:
    write(tmp_path / "small_may.csv", "2024-05-06", 28, 0)
    (tmp_path / "unusual.toml").write_text(DETECTOR)
    row = evaluate(Job(task=str(tmp_path / "unusual.toml"), data=tmp_path, runs=tmp_path / "runs", refit=False))
    assert row.metric == "vus_pr"
    assert row.int8 or row.refused  # so small a net may not pay
    assert 0 < row.scores[row.shipped]["vus_pr"] <= 1
    assert row.scores[row.shipped]["vus_pr"] == pytest.approx(row.scores["fp32"]["vus_pr"], abs=0.1)
    assert "incidents put in" in row.period
    for judged in row.alarms.values():
        assert judged["stage"]["false_per_week"] >= 0 and 0 <= judged["stage"]["found"] <= 1
        assert judged["stretches"] > 0
    screen = Console(width=120, file=io.StringIO())
    screen.print(table.alarms([row]))
    told = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "the bundle's stage" in told and f"of {judged['stretches']}" in told
    assert "## Alarms" in table.markdown([row], "picture.svg")
    bundle = next((tmp_path / "runs" / "unusual" / "export").glob("*.bundle"))
    alarm = open_bundle(bundle.read_bytes(), agent_version=None).passport.task.alarm
    assert alarm is not None and len(alarm.usual) > 5 and alarm.usual_rows == 500


def test_without_a_detector_there_is_no_table_of_alarms() -> None:
    assert table.alarms([]) is None
