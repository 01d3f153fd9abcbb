"""What training leaves goes through the exporter's own gate: the module converts, and int8 costs next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import recipe_of
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.run import train
from wayside.contracts.task import TaskSpec
from wayside.export import pipeline


def test_the_int8_network_passes_the_gate_in_both_formats(trained: tuple[Path, dict[str, Any]]) -> None:
    passport = pipeline.run(trained[0], until="passport").passport
    assert passport is not None
    assert {v.name for v in passport.variants} == {"onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8"}
    everything = passport.accuracy[0].mae
    for variant in passport.variants:
        assert everything[variant.name] < 1.01 * everything["torch"] < everything["naive"]


@pytest.mark.parametrize("family", ["linear", "gru"])
def test_every_other_family_converts_to_both_formats(family: str, task: TaskSpec, counts: Grid, tmp_path: Path) -> None:
    train(recipe_of(task, family, epochs=2), counts, tmp_path)
    passport = pipeline.run(tmp_path, until="passport").passport
    assert passport is not None
    assert {"onnx-fp32", "tflite-fp32"} <= {v.name for v in passport.variants}
