"""Errors of a forecaster beside the floors that it must beat, over all and per hour of day.

MAE and RMSE are in output units. Floors: *naive* repeats the last value, *seasonal* the value a season (a week) before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cloud.train.datasets import Array, Windows

FLOORS = ("naive", "seasonal")


def predict(module: nn.Module, x: Array, batch: int = 8192) -> Array:
    """Windows (N, T, F) → forecasts (N, H)."""
    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(x[i : i + batch])).numpy() for i in range(0, len(x), batch)])


def score(forecast: Array, truth: Array) -> dict[str, float]:
    """``mae`` and ``rmse`` of (N, H) against (N, H)."""
    error = forecast.astype(np.float64) - truth
    return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}


def compare(windows: Windows, forecasts: Mapping[str, Array]) -> dict[str, Any]:
    """Score ``forecasts`` (name → (N, H)) and both floors on ``windows``.

    Returns:
        ``n``, ``scores`` (name → mae, rmse) and ``hours``: the same per hour at which the target interval ends.
    """
    every = {name: getattr(windows, name) for name in FLOORS} | dict(forecasts)

    def within(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
        scores = {name: score(f[mask], windows.y[mask]) for name, f in every.items()}
        return {"n": int(mask.sum()), "scores": scores}

    hours = {f"{hour:02d}": within(windows.hour == hour) for hour in np.unique(windows.hour)}
    return within(np.ones(len(windows), bool)) | {"hours": hours}
