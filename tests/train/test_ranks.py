"""Training in two processes: the same losses as in one, and one run directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.train.conftest import write_csv
from wayside.cloud.train.cli import train as app

ROOT = Path(__file__).parents[2]


def test_two_processes_lose_what_one_loses_and_the_first_writes(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "street.csv", days=10, detectors=1)
    verb = ["-m", "wayside", "train", "--data", str(csv), "--epochs", "2", "--json", "--out"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    (alone,) = json.loads(CliRunner().invoke(app, [*verb[3:], str(tmp_path / "alone")]).stdout)
    out = tmp_path / "together"
    for name in ("models", "cloud", "contracts"):  # where it is run there may be other people's packages
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('{name} of somebody else')\n")
    command = [sys.executable, *torchrun, *verb, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("data          street.csv") == 1  # one of them talks
    (together,) = json.loads(done.stdout)
    assert (out / "checkpoint.pt").exists()
    assert not (out / ".partial").exists()
    assert len(together["epochs"]) == 2
    for (train_1, validation_1), (train_2, validation_2) in zip(alone["epochs"], together["epochs"], strict=True):
        assert train_2 == pytest.approx(train_1, rel=1e-3)
        assert validation_2 == pytest.approx(validation_1, rel=1e-3)
