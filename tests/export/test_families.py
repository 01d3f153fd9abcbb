"""Every family of ``models`` goes through the whole line: both formats, every runtime, the node's own checks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contracts.wire import to_builtins
from edge.trusted_bundle import open_bundle
from export.pipeline import Options, run
from models.registry import build, families
from tests.simulators.exported_bundle import trained
from tests.simulators.trained_run import TASK


@pytest.mark.parametrize("family", families("forecast"))
def test_a_checkpoint_of_the_family_becomes_a_bundle(family, tmp_path):
    torch.manual_seed(1)
    (tmp_path / "windows.npz").write_bytes((trained() / "windows.npz").read_bytes())
    windows = torch.from_numpy(np.load(tmp_path / "windows.npz")["calibration"])
    config = {
        "family": family,
        "task": to_builtins(TASK),
        "seed": 1,
        "data_sha256": "0" * 64,
        "residual_std": 5.0,
    }
    model = build(config)
    model.features.fit(windows)
    torch.save({"state_dict": model.state_dict(), "config": config}, tmp_path / "checkpoint.pt")

    work = run(tmp_path, Options(int8=family == "mlp"))
    bundle = open_bundle(work.bundle, agent_version="0.1.0")
    assert bundle.passport.family == family
    assert bundle.passport.parameters == sum(p.numel() for p in model.parameters())
    names = {v.name for v in bundle.passport.variants}
    assert names >= {"onnx-fp32", "tflite-fp32"}
    assert ("onnx-int8" in names and "tflite-int8" in names) == (family == "mlp")
