"""Answers of a model beside the truth and beside the floors that it must beat, over all and per slice.

Forecasts: MAE and RMSE in output units, per hour of day; *naive* repeats the last value, *seasonal* the value a season
(a week) before. Counts: MAE and RMSE per class. Classes: accuracy, and per class the share that was recognized.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from wayside.cloud.train.datasets import Examples
from wayside.cloud.train.windows import Array
from wayside.contracts.task import TaskSpec

FLOORS = ("naive", "seasonal")
GATHERED = 32 << 20  # bytes of windows that lie in memory at once


def predict(module: nn.Module, x: Array, batch: int = 8192) -> Array:
    """Examples (N, …) → answers (N, …)."""
    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(x[i : i + batch])).numpy() for i in range(0, len(x), batch)])


def answers(module: nn.Module, windows: Examples) -> Array:
    """``module``'s answers (N, …) to all ``windows``, gathered piece by piece."""
    row = windows.take(np.arange(1))[0].nbytes
    pieces = np.array_split(np.arange(len(windows)), max(1, -(-len(windows) * row // GATHERED)))
    return np.concatenate([predict(module, windows.take(piece)[0]) for piece in pieces])


def point(task: TaskSpec, forecast: Array) -> Array:
    """One number per target (N, H): of quantiles (N, H, Q) the median."""
    return forecast[..., task.median] if task.quantiles else forecast


def score(forecast: Array, truth: Array) -> dict[str, float]:
    """``mae`` and ``rmse`` of (N, H) against (N, H)."""
    error = forecast.astype(np.float64) - truth
    return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}


def compare(task: TaskSpec, windows: Examples, of: Mapping[str, Array]) -> dict[str, Any]:
    """Score answers (name → (N, …), as `answers` gives them) on ``windows``, and for forecasts both floors.

    Returns:
        ``n``, ``scores`` (name → metric → value), and the same per slice: ``hours`` at which the target interval ends,
        or ``classes``. A task of kind score has no truth to compare with: quantiles of its scores.
    """
    if task.kind == "score":
        levels = (0.5, 0.9, 0.99, 1.0)
        return {
            "n": len(windows),
            "scores": {n: {f"q{q:g}": float(np.quantile(a, q)) for q in levels} for n, a in of.items()},
        }
    y = windows.y
    if task.kind == "classify":
        return _classes(task, y, of)
    if task.kind == "count":
        classes = {
            c: {"n": len(y), "scores": {n: score(a[:, k : k + 1], y[:, k : k + 1]) for n, a in of.items()}}
            for k, c in enumerate(task.classes)
        }
        return {"n": len(y), "scores": {n: score(a, y) for n, a in of.items()}, "classes": classes}
    every = {name: getattr(windows, name) for name in FLOORS} | {n: point(task, a) for n, a in of.items()}

    def within(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {"n": int(mask.sum()), "scores": {name: score(f[mask], y[mask]) for name, f in every.items()}}

    hours = {f"{hour:02d}": within(windows.hour == hour) for hour in np.unique(windows.hour)}
    return within(np.ones(len(windows), bool)) | {"hours": hours}


def _classes(task: TaskSpec, y: npt.NDArray[np.int64], of: Mapping[str, Array]) -> dict[str, Any]:
    right = {name: logits.argmax(axis=1) == y for name, logits in of.items()}
    shares = {
        label: {
            "n": int((y == k).sum()),
            "scores": {n: {"accuracy": float(r[y == k].mean())} for n, r in right.items()},
        }
        for k, label in enumerate(task.classes)
        if (y == k).any()
    }
    scores = {
        n: {
            "accuracy": float(r.mean()),
            "balanced": float(np.mean([part["scores"][n]["accuracy"] for part in shares.values()])),
        }
        for n, r in right.items()
    }
    return {"n": len(y), "scores": scores, "classes": shares}
