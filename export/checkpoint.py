"""A training run: what ``cloud.train`` left behind, checked before anything is made from it."""

from __future__ import annotations

import functools
import hashlib
import stat
import warnings
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
from wayside.text import loads_json, open_file, read_file

CHECKPOINT, WINDOWS, REPORT = "checkpoint.pt", "windows.npz", "report.json"
OPTIONAL = ("naive", "seasonal", "hour", "site", "end", "label")
INTEGERS = ("holdout_hour", "holdout_site", "holdout_end", "holdout_label")
LARGEST = 1 << 30  # bytes of a checkpoint or of the windows, unpacked
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
        """Which of the model's answers are no finite numbers; None: all are."""
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
        try:
            with torch.inference_mode():
                taken = (torch.from_numpy(windows[i : i + batch].copy()) for i in range(0, len(windows), batch))
                return torch.cat([self.model(x) for x in taken]).numpy()
        except (RuntimeError, IndexError, TypeError) as exc:  # torch's, of weights whose numbers index something
            why = next(iter(str(exc).splitlines()), "")
            raise RunDirectoryError(f"the model of {self.task.name} cannot answer its own windows: {why}") from exc


def load(path: Path, *, build: Build | None = None) -> Trained:
    """Load the run in the directory ``path``, or the one whose checkpoint ``path`` is.

    Args:
        build: makes the module from the checkpoint's config; ``models.registry.build`` unless given.

    Raises:
        RunDirectoryError: a file is missing or damaged, or does not fit the task; nothing in it was executed.
    """
    if path.is_file() and path.name != CHECKPOINT:
        raise RunDirectoryError(f"{path} is a file: give the run's folder, or the {CHECKPOINT} in it")
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
        _set_weights(model, checkpoint["state_dict"], run_dir / CHECKPOINT)
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
            honest=_honest(config.get("honest", {})),
        )
    except RunDirectoryError:
        raise
    except KeyError as exc:
        raise RunDirectoryError(f"{run_dir}: the run has no {exc}; train again with this version") from exc
    except ContractError as exc:
        raise RunDirectoryError(f"{run_dir}: the task in {CHECKPOINT} breaks its contract: {exc}") from exc
    except (AttributeError, OverflowError, RuntimeError, TypeError, ValueError) as exc:
        why = next(iter(str(exc).splitlines()), "")
        raise RunDirectoryError(f"{run_dir}: weights and configuration do not fit: {why}") from exc
    _check_shapes(trained, run_dir)
    return trained


def _set_weights(model: nn.Module, given: dict[str, torch.Tensor], path: Path) -> None:
    """Put the weights of a checkpoint into ``model``: every one of its own kind, and no other.

    Raises:
        RunDirectoryError: naming the first weight that is missing, unknown, of another shape or type, or not finite.
    """
    unfit = f"{path}: weights and configuration do not fit: "
    wanted = model.state_dict()
    missing, unknown = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
    if missing and unknown and all(name.startswith("module.") for name in given):
        raise RunDirectoryError(
            f"{unfit}each name begins with 'module.', as DataParallel saves them: "
            "save model.module.state_dict() instead"
        )
    if missing or unknown:
        what = [f"{len(missing)} are missing ({missing[0]})"] if missing else []
        what += [f"{len(unknown)} are of no use to it ({unknown[0]})"] if unknown else []
        raise RunDirectoryError(f"{unfit}of what the family needs, {' and '.join(what)}; is it another model's file?")
    for name, own in wanted.items():
        weight = given[name]
        if weight.shape != own.shape:
            raise RunDirectoryError(f"{unfit}{name} is {tuple(weight.shape)}, not {tuple(own.shape)}")
        if weight.dtype != own.dtype or weight.layout != own.layout or weight.is_meta:
            kind = "without values" if weight.is_meta else f"{weight.dtype}, {weight.layout}"
            raise RunDirectoryError(
                f"{unfit}{name} is {kind}, not {own.dtype}: save what the model was trained with, unconverted"
            )
        bad = int((~torch.isfinite(weight)).sum())
        if bad:
            raise RunDirectoryError(
                f"{path}: this model cannot be used: {bad} of {weight.numel()} numbers of its weight {name} are not "
                "finite. Its training diverged, or overflowed in half precision: train again, with a lower [fit] rate"
            )
    model.load_state_dict(given)


def _honest(given: Any) -> dict[str, dict[str, float]]:
    """Scores by split.

    Raises:
        ValueError: something else.
    """
    if not isinstance(given, dict) or not all(isinstance(scores, dict) for scores in given.values()):
        raise ValueError("`honest` is no table of scores")
    return {str(split): {str(n): float(v) for n, v in scores.items()} for split, scores in given.items()}


def _site_dropout(config: dict[str, Any]) -> float:
    """Earlier checkpoints have it among the sizes."""
    return float(config.get("site_dropout") or config.get("sizes", {}).get("site_dropout", 0.0))


def read(path: Path) -> dict[str, Any]:
    """``state_dict`` and ``config`` of the file ``path``; nothing in it is executed.

    Raises:
        RunDirectoryError: it is missing, damaged, or something else.
    """
    try:
        _check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that others wrote
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except RunDirectoryError:
        raise
    except Exception as exc:
        # Whatever torch's readers stumble over in bytes that anybody may have written. Not in torch's own words: they
        # advise loading what may run code.
        raise RunDirectoryError(
            f"{path} is damaged, or no checkpoint of plain weights (what would run code is not read); "
            "`wayside train --out DIR` writes a good one"
        ) from exc
    if not (isinstance(checkpoint, dict) and {"state_dict", "config"} <= checkpoint.keys()):
        raise RunDirectoryError(f"{path} has no state_dict and config; `wayside train --out DIR` writes both")
    weights, config = checkpoint["state_dict"], checkpoint["config"]
    if not isinstance(config, dict) or not isinstance(weights, dict):
        raise RunDirectoryError(f"{path}: state_dict and config are no tables")
    for name, weight in weights.items():
        if not isinstance(name, str) or not isinstance(weight, torch.Tensor):
            raise RunDirectoryError(f"{path}: {str(name)[:60]!r} in its state_dict is no tensor by its name")
    return checkpoint


def _check_file(path: Path) -> None:
    """Refuse what should not even be opened.

    Raises:
        RunDirectoryError: no file, an empty one, or one that holds more than `LARGEST` bytes, packed or not.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no file"
            raise RunDirectoryError(f"{path} is {what}, where a file is wanted; `wayside train --out DIR` writes it")
        if not status.st_size:
            raise RunDirectoryError(f"{path} is empty; `wayside train --out DIR` writes it")
        unpacked, bad = status.st_size, None
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = max(unpacked, sum(entry.file_size for entry in archive.infolist()))
                bad = archive.testzip() if unpacked <= LARGEST else None  # torch itself looks at no checksum
    except FileNotFoundError as exc:
        raise RunDirectoryError(f"{path} is missing; `wayside train --out DIR` writes it") from exc
    except OSError as exc:
        raise RunDirectoryError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    if unpacked > LARGEST:
        raise RunDirectoryError(f"{path} holds {unpacked} bytes, more than any run of ours ({LARGEST}); it is not read")
    if bad:
        raise RunDirectoryError(f"{path} is damaged: the checksum of {bad} in it is wrong; copy it, or train, again")


def _read_windows(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        _check_file(path)
        with open_file(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: _plain(name, archive[name]) for name in archive.files}
    except RunDirectoryError:
        raise
    except Exception as exc:  # numpy, zipfile and zlib each have errors of their own for damaged bytes
        why = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise RunDirectoryError(f"{path} is not an archive of plain arrays: {why}") from exc


def _plain(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if name in INTEGERS or (name == "holdout_y" and array.dtype.kind in "iu"):
        return array.astype("datetime64[s]").astype(np.int64) if array.dtype.kind == "M" else array.astype(np.int64)
    return np.ascontiguousarray(array, np.float32)


def _read_report(path: Path) -> dict[str, Any]:
    """Empty if there is none: the report is for people."""
    try:
        report = loads_json(read_file(path), finite=False)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as exc:
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
