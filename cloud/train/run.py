"""One training run from data to its directory: ``checkpoint.pt``, ``windows.npz``, ``report.json``, ``forecast.png``,
``tensorboard/``.

Everything is made in ``OUT/.partial`` and then moved, the checkpoint last: a directory with a checkpoint is complete,
whenever the run was stopped. Nothing else in ``OUT`` is touched.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cloud.train import cases
from cloud.train.datasets import Counts, Split, Windows, split
from cloud.train.errors import OutputError
from cloud.train.evaluate import compare, predict
from cloud.train.fit import SOLVERS, Epoch, Fitted, fit
from cloud.train.tracking import Tracker, draw
from contracts.task import TaskSpec

CHECKPOINT = "checkpoint.pt"
PARTS = ("windows.npz", "report.json", "forecast.png", "tensorboard")


def train(
    family: str,
    task: TaskSpec,
    counts: Counts,
    out: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> dict[str, Any]:
    """Train ``family`` on ``counts`` and write the run into ``out``.

    Returns:
        The report, as written.

    Raises:
        DataError: too few data for the task's days.
        OutputError: ``out`` cannot be written.
        ModelConfigError: unknown family.
    """
    # Batches of 32 are too small to share between cores, and one thread makes the weights reproducible.
    torch.set_num_threads(1)
    data = split(counts, task)
    with _staged(out) as stage:
        with Tracker(stage / "tensorboard") as tracker:

            def seen(epoch: Epoch) -> None:
                tracker.epoch(epoch)
                on_epoch(epoch)

            begun = time.perf_counter()
            fitted = fit(family, task, data, seed=seed, epochs=epochs, on_epoch=seen)
            seconds = time.perf_counter() - begun
            models = {family: fitted}
            if "solver" in fitted.notes:  # the linear family is solved both ways
                models = {f"{family}, {s}": fit(family, task, data, seed=seed, solver=s) for s in SOLVERS}
            named = {
                n: {p: predict(m.module, getattr(data, p).x) for p in ("validation", "holdout")}
                for n, m in models.items()
            }
            own = next(iter(named))
            results = {
                p: compare(getattr(data, p), {n: f[p] for n, f in named.items()}) for p in ("validation", "holdout")
            }
            for part, comparison in results.items():
                tracker.result(part, comparison)
            figure = draw(data.holdout, named[own]["holdout"], task, counts.detectors, family)
            tracker.figure(figure)
            figure.savefig(stage / "forecast.png", dpi=110)
        config = _config(fitted, counts, seed, float(np.std(named[own]["validation"] - data.validation.y)))
        report = {
            "family": family,
            "model": own,
            "task": config["task"],
            "seed": seed,
            "data_sha256": config["data_sha256"],
            "data": counts.quality.as_dict(),
            "splits": {p: _stretch(getattr(data, p)) for p in ("train", "validation", "holdout")},
            "parameters": config["parameters"],
            "residual_std": config["residual_std"],
            "seconds": round(seconds, 2),
            "epochs": [[e.train_mse, e.validation_rmse] for e in fitted.epochs],
            "notes": {n: m.notes for n, m in models.items()},
            **results,
        }
        torch.save({"state_dict": fitted.module.state_dict(), "config": config}, stage / CHECKPOINT)
        np.savez(stage / "windows.npz", **_windows(data, task, seed))
        (stage / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _config(fitted: Fitted, counts: Counts, seed: int, residual_std: float) -> dict[str, Any]:
    return fitted.config | {
        "seed": seed,
        "data_sha256": counts.sha256,
        # A perfect fit on a tiny file must not make every later residual an infinite anomaly.
        "residual_std": max(residual_std, 1e-6),
        "parameters": sum(p.numel() for p in fitted.module.parameters()),
    }


def _stretch(windows: Windows) -> dict[str, Any]:
    return {"first": str(windows.first.min()), "last": str(windows.last.max()), "windows": len(windows)}


def _windows(data: Split, task: TaskSpec, seed: int) -> dict[str, Any]:
    return {
        "calibration": cases.calibration(data.train, task, seed),
        "golden": cases.golden(data.train, task, seed),
        "holdout_x": data.holdout.x,
        "holdout_y": data.holdout.y,
        "holdout_naive": data.holdout.naive,
        "holdout_seasonal": data.holdout.seasonal,
        "holdout_hour": data.holdout.hour,
    }


@contextlib.contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A folder to write into; its content replaces that of ``out`` when the block ends well, else it vanishes."""
    stage = out / ".partial"
    try:
        shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
        stage.mkdir(parents=True)
        try:
            yield stage
            (out / CHECKPOINT).unlink(missing_ok=True)  # from here on the directory is incomplete, and says so
            for name in PARTS:
                if (out / name).is_dir():
                    shutil.rmtree(out / name)
                (stage / name).replace(out / name)
            (stage / CHECKPOINT).replace(out / CHECKPOINT)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as exc:
        raise OutputError(f"cannot write the run into {out}: {exc}; choose another --out") from exc
