"""Tracking: Weights & Biases only when asked for, and offline nothing leaves the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.train.conftest import write_csv
from wayside.cloud.train import tracking
from wayside.cloud.train.errors import TrackingError
from wayside.cloud.train.fitted import Epoch
from wayside.cloud.train.taskfile import load_task

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_wandb_is_not_even_imported_unless_asked_for(
    mode: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would raise
    with tracking.Tracker(tmp_path, load_task("traffic_flow"), 0) as tracker:
        tracker.epoch(Epoch(number=1, of=1, train=1.0, validation=1.0))
    assert [p.name for p in tmp_path.iterdir()] == ["tensorboard"]


def test_offline_the_run_is_kept_beside_the_model_and_nothing_leaves(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra `tracking` is not installed")
    csv, out = write_csv(tmp_path / "street.csv", days=10, detectors=1), tmp_path / "run"
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def listen() -> None:
            while True:
                try:
                    calls.append(door.accept())
                except OSError:  # closed
                    return

        threading.Thread(target=listen, daemon=True).start()
        # Whatever calls the world, from Python or not, would have to come through this door.
        proxy = f"http://127.0.0.1:{door.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY")
        home = {"HOME": str(tmp_path), "WANDB_MODE": "offline", "NO_PROXY": "", "no_proxy": ""}
        done = subprocess.run(
            [sys.executable, "-m", "wayside", "train", "--data", str(csv), "--epochs", "2", "--out", str(out)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | home | dict.fromkeys(names, proxy),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert calls == []
    (kept,) = (out / "wandb").glob("offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    for said in (b"validation/loss", b"holdout/mae/naive", b"traffic_flow"):
        assert said in content
    assert not (out / ".partial").exists()


def test_asking_for_wandb_where_it_is_not_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TrackingError, match=r"wayside\[tracking\]"):
        tracking.Tracker(tmp_path, load_task("traffic_flow"), 0)
