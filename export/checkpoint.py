"""A training run: what ``cloud.train`` left behind, checked before anything is made from it."""

from __future__ import annotations

import functools
import hashlib
import json
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

from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import ContractError, from_builtins
from wayside.export.errors import RunDirectoryError

CHECKPOINT, WINDOWS, REPORT = "checkpoint.pt", "windows.npz", "report.json"
OPTIONAL = ("naive", "seasonal", "hour", "site", "end", "label")
INTEGERS = ("holdout_hour", "holdout_site", "holdout_end", "holdout_label")
Float32 = npt.NDArray[np.float32]
Build = Callable[[dict[str, Any]], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """Examples that no training saw; physical units. Missing inputs are NaN, truths are always observed.

    ``None`` where the kind has none: images have no floors, hour, site or end.
    """

    x: Float32  # (N, *task.input_shape)
    y: npt.NDArray[Any]  # forecast (N, H), count (N, K) float32; classify (N,) int64; score: not looked at
    naive: Float32 | None  # (N, H)
    seasonal: Float32 | None  # (N, H)
    hour: npt.NDArray[np.int64] | None  # (N,) local hour of the target
    site: npt.NDArray[np.int64] | None  # (N,) index into task.sites
    end: npt.NDArray[np.int64] | None  # (N,) end of the first target interval, local, seconds since 1970
    label: npt.NDArray[np.int64] | None = None  # (N,) score: 1 for a window that is unusual, 0 for a usual one


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with its weights, and the windows to calibrate and judge it with."""

    model: nn.Module  # (B, *task.input_shape) → (B, *task.output_shape), physical units
    task: TaskSpec
    family: str
    seed: int
    parameters: int
    data_sha256: str
    residual_std: float  # output units
    calibration: Float32  # (N, *task.input_shape), training examples
    golden: Float32  # (N, *task.input_shape)
    heldout: Heldout
    report: dict[str, Any]  # what training said of itself
    site_dropout: float  # share of the training windows whose site was hidden
    seen_until: str  # set if the weights were fitted again on all days, the held-out ones too
    honest: dict[str, dict[str, float]]  # then: the scores of the run that had not seen them

    @property
    def calibration_sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.calibration).tobytes()).hexdigest()

    @functools.cached_property
    def golden_answers(self) -> Float32:
        """torch's, one example at a time, as a node asks."""
        return self.answers(self.golden, batch=1)

    @functools.cached_property
    def heldout_answers(self) -> Float32:
        """torch's to the held-out examples."""
        return self.answers(self.heldout.x, batch=1024)

    def not_finite(self) -> str | None:
        """What of the model is no finite number: its weights, or its answers; None: everything is."""
        for name, weight in self.model.state_dict().items():
            bad = int((~torch.isfinite(weight)).sum()) if weight.is_floating_point() else 0
            if bad:
                return f"{bad} of {weight.numel()} numbers of its weight {name} are not finite"
        for what, given in (("golden", self.golden_answers), ("held-out", self.heldout_answers)):
            bad = int((~np.isfinite(given)).reshape(len(given), -1).any(axis=1).sum())
            if bad:
                return f"it gives no finite number for {bad} of {len(given)} {what} windows"
        return None

    def sample(self) -> torch.Tensor:
        """An example (1, *task.input_shape) that fixes the exported shape."""
        return torch.from_numpy(self.golden[:1].copy())

    def answers(self, windows: Float32, *, batch: int) -> Float32:
        """torch's outputs (N, *task.output_shape) of ``windows`` (N, *task.input_shape), ``batch`` at a time."""
        with torch.inference_mode():
            parts = [self.model(torch.from_numpy(windows[i : i + batch].copy())) for i in range(0, len(windows), batch)]
        return torch.cat(parts).numpy()


def load(path: Path, *, build: Build | None = None) -> Trained:
    """Load the run in the directory ``path``, or the one whose checkpoint ``path`` is.

    Args:
        build: makes the module from the checkpoint's config; ``models.registry.build`` unless given.

    Raises:
        RunDirectoryError: a file is missing or damaged, or does not fit the task; nothing in it was executed.
    """
    run_dir = path.parent if path.name == CHECKPOINT and not path.is_dir() else path
    checkpoint = read(run_dir / CHECKPOINT)
    config = checkpoint["config"]
    windows = _read_windows(run_dir / WINDOWS)
    try:
        task = from_builtins(config["task"], TaskSpec)
        if build is None:
            from wayside.models.registry import build as registered

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
                **{name: windows.get(f"holdout_{name}") for name in OPTIONAL},
            ),
            report=_read_report(run_dir / REPORT),
            site_dropout=_site_dropout(config),
            seen_until=str(config.get("seen_until", "")),
            honest=config.get("honest", {}),
        )
    except KeyError as exc:
        raise RunDirectoryError(f"{run_dir}: the run has no {exc}; train again with this version") from exc
    except ContractError as exc:
        raise RunDirectoryError(f"{run_dir}: the task in {CHECKPOINT} breaks its contract: {exc}") from exc
    except (RuntimeError, TypeError, ValueError) as exc:
        raise RunDirectoryError(f"{run_dir}: weights and configuration do not fit: {exc}") from exc
    _check_shapes(trained, run_dir)
    return trained


def _site_dropout(config: dict[str, Any]) -> float:
    """Earlier checkpoints have it among the sizes."""
    return float(config.get("site_dropout") or config.get("sizes", {}).get("site_dropout", 0.0))


def read(path: Path) -> dict[str, Any]:
    """``state_dict`` and ``config`` of the file ``path``; nothing in it is executed.

    Raises:
        RunDirectoryError: it is missing, damaged, or something else.
    """
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


def _read_windows(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: _plain(name, archive[name]) for name in archive.files}
    except FileNotFoundError as exc:
        raise RunDirectoryError(f"{path} is missing; `wayside train --out DIR` writes it") from exc
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as exc:
        raise RunDirectoryError(f"{path} is not an archive of plain arrays: {exc}") from exc


def _plain(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if name in INTEGERS or (name == "holdout_y" and array.dtype.kind in "iu"):
        return array.astype("datetime64[s]").astype(np.int64) if array.dtype.kind == "M" else array.astype(np.int64)
    return np.ascontiguousarray(array, np.float32)


def _read_report(path: Path) -> dict[str, Any]:
    """Empty if there is none: the report is for people."""
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise RunDirectoryError(f"{path} is no JSON document: {exc}") from exc
    return report if isinstance(report, dict) else {}


def _check_shapes(trained: Trained, run_dir: Path) -> None:
    task, held = trained.task, trained.heldout
    n = len(held.x)
    truth = {"forecast": (task.horizon,), "score": held.y.shape[1:], "classify": ()}
    of_y = truth.get(task.kind, task.output_shape)
    floors = (task.horizon,)
    for name, array, rows, shape, missing in (
        ("calibration", trained.calibration, None, task.input_shape, True),
        ("golden", trained.golden, None, task.input_shape, True),
        ("holdout_x", held.x, n, task.input_shape, True),
        ("holdout_y", held.y, n, of_y, False),
        ("holdout_naive", held.naive, n, floors, False),
        ("holdout_seasonal", held.seasonal, n, floors, False),
        ("holdout_hour", held.hour, n, (), False),
        ("holdout_site", held.site, n, (), False),
        ("holdout_end", held.end, n, (), False),
        ("holdout_label", held.label, n, (), False),
    ):
        if array is None:
            continue
        if array.shape[1:] != shape or len(array) == 0 or (rows is not None and len(array) != rows):
            raise RunDirectoryError(f"{run_dir}: {name} in {WINDOWS} is {array.shape}, not ({rows or 'N'}, *{shape})")
        bad = np.isinf(array) if missing else ~np.isfinite(array)
        if bad.any():
            raise RunDirectoryError(f"{run_dir}: {name} in {WINDOWS} has values that are not finite")
    if task.kind == "forecast" and (held.naive is None or held.seasonal is None or held.hour is None):
        raise RunDirectoryError(f"{run_dir}: {WINDOWS} lacks holdout_naive, holdout_seasonal or holdout_hour")
