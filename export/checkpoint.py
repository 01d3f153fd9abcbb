"""A training run: what ``cloud.train`` left behind, checked before anything is made from it."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from contracts.task import TaskSpec
from contracts.wire import ContractError, from_builtins
from export.errors import RunDirectoryError

CHECKPOINT, WINDOWS = "checkpoint.pt", "windows.npz"
Float32 = npt.NDArray[np.float32]
Build = Callable[[dict[str, Any]], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """Windows of the days that no training saw; volumes in output units."""

    x: Float32  # (N, T, F)
    y: Float32  # (N, H)
    naive: Float32  # (N, H)
    seasonal: Float32  # (N, H)
    hour: npt.NDArray[np.int64]  # (N,) local hour of the target


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with its weights, and the windows to calibrate and judge it with."""

    model: nn.Module  # (B, T, F) → (B, H), physical units
    task: TaskSpec
    family: str
    seed: int
    parameters: int
    data_sha256: str
    residual_std: float  # output units
    calibration: Float32  # (N, T, F), training windows
    golden: Float32  # (N, T, F)
    heldout: Heldout

    @property
    def calibration_sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.calibration).tobytes()).hexdigest()

    def sample(self) -> torch.Tensor:
        """A window (1, T, F) that fixes the exported shape."""
        return torch.from_numpy(self.golden[:1].copy())

    def answers(self, windows: Float32, *, batch: int) -> Float32:
        """torch's outputs (N, H) of ``windows`` (N, T, F), ``batch`` at a time."""
        with torch.inference_mode():
            parts = [self.model(torch.from_numpy(windows[i : i + batch].copy())) for i in range(0, len(windows), batch)]
        return torch.cat(parts).numpy()  # (N, H)


def load(run_dir: Path, *, build: Build | None = None) -> Trained:
    """Load the run in ``run_dir``.

    Args:
        build: makes the module from the checkpoint's config; ``models.registry.build`` unless given.

    Raises:
        RunDirectoryError: a file is missing or damaged, or does not fit the task; nothing in it was executed.
    """
    checkpoint = _read_checkpoint(run_dir / CHECKPOINT)
    config = checkpoint["config"]
    windows = _read_windows(run_dir / WINDOWS)
    try:
        task = from_builtins(config["task"], TaskSpec)
        if build is None:
            from models.registry import build as registered

            build = registered
        model = build(config)
        model.load_state_dict(checkpoint["state_dict"])
        trained = Trained(
            model=model.eval(),
            task=task,
            family=str(config["family"]),
            seed=int(config["seed"]),
            parameters=int(config.get("parameters") or sum(p.numel() for p in model.parameters())),
            data_sha256=str(config["data_sha256"]),
            residual_std=float(config["residual_std"]),
            calibration=windows["calibration"],
            golden=windows["golden"],
            heldout=Heldout(
                x=windows["holdout_x"],
                y=windows["holdout_y"],
                naive=windows["holdout_naive"],
                seasonal=windows["holdout_seasonal"],
                hour=windows["holdout_hour"].astype(np.int64),
            ),
        )
    except KeyError as exc:
        raise RunDirectoryError(f"{run_dir}: the run has no {exc}; train again with this version") from exc
    except ContractError as exc:
        raise RunDirectoryError(f"{run_dir}: the task in {CHECKPOINT} breaks its contract: {exc}") from exc
    except (RuntimeError, TypeError, ValueError) as exc:
        raise RunDirectoryError(f"{run_dir}: weights and configuration do not fit: {exc}") from exc
    _check_shapes(trained, run_dir)
    return trained


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise RunDirectoryError(f"{path} is missing; `wayside train --out DIR` writes it") from exc
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as exc:
        # Not torch's own words: they advise loading what may run code.
        raise RunDirectoryError(
            f"{path} is damaged, or no checkpoint of plain weights; `wayside train --out DIR` writes a good one"
        ) from exc
    if not (isinstance(checkpoint, dict) and {"state_dict", "config"} <= checkpoint.keys()):
        raise RunDirectoryError(f"{path} has no state_dict and config")
    return checkpoint


def _read_windows(path: Path) -> dict[str, Float32]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {
                name: archive[name] if name == "holdout_hour" else np.ascontiguousarray(archive[name], np.float32)
                for name in archive.files
            }
    except FileNotFoundError as exc:
        raise RunDirectoryError(f"{path} is missing; `wayside train --out DIR` writes it") from exc
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as exc:
        raise RunDirectoryError(f"{path} is not an archive of plain arrays: {exc}") from exc


def _check_shapes(trained: Trained, run_dir: Path) -> None:
    task, held = trained.task, trained.heldout
    window, horizon = task.input_shape, task.output_shape
    n = len(held.x)
    for name, array, rows, shape in (
        ("calibration", trained.calibration, None, window),
        ("golden", trained.golden, None, window),
        ("holdout_x", held.x, n, window),
        ("holdout_y", held.y, n, horizon),
        ("holdout_naive", held.naive, n, horizon),
        ("holdout_seasonal", held.seasonal, n, horizon),
        ("holdout_hour", held.hour, n, ()),
    ):
        if array.shape[1:] != shape or len(array) == 0 or (rows is not None and len(array) != rows):
            raise RunDirectoryError(f"{run_dir}: {name} in {WINDOWS} is {array.shape}, not ({rows or 'N'}, *{shape})")
        if not np.isfinite(array).all():
            raise RunDirectoryError(f"{run_dir}: {name} in {WINDOWS} has values that are not finite")
