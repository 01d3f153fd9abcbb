"""Replayed months of made-up data with made-up forecasts, so that no model has to be trained."""

from __future__ import annotations

import numpy as np

from wayside.cloud.sim.replay import Replay
from wayside.cloud.train import generated
from wayside.contracts.task import Input, TaskSpec

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
SPREAD = (-1.28, -0.67, 0.0, 0.67, 1.28)  # standard deviations of a normal distribution at these levels


def load_month(seed: int = 1, error: float = 0.03) -> Replay:
    """Half a December, half-hourly; a day ahead is forecast with relative errors of ``error`` that stay for hours."""
    rows = generated.load_curve(120, seed)
    # The file's times are UTC of a zone without summer time, ten hours ahead.
    starts = np.array([t.removesuffix("Z") for t in rows["Time"]], "datetime64[s]")
    ends = starts + np.timedelta64(10 * 3600 + 1800, "s")
    return _month("load", "MW", ends, rows["Demand"].to_numpy(), "2013-12", horizon=48, error=error, seed=seed).cut(
        0, 15 * 48
    )


def air_month(seed: int = 1, error: float = 0.25) -> Replay:
    """A February, hourly, of one station."""
    rows = generated.air(120, seed)[generated.STATIONS[1]]
    ends = np.arange(len(rows)) * np.timedelta64(1, "h") + np.datetime64("2016-03-01T00", "s")
    ends -= np.timedelta64(len(rows) - 1, "h")
    return _month("pm2.5", "ug/m3", ends, rows["PM2.5"].to_numpy(), "2016-02", horizon=24, error=error, seed=seed)


def _month(
    output: str,
    unit: str,
    ends: np.ndarray,
    values: np.ndarray,
    month: str,
    *,
    horizon: int,
    error: float,
    seed: int,
) -> Replay:
    rng = np.random.default_rng(seed + 1000)
    steps = np.flatnonzero((ends - np.timedelta64(1, "s")).astype("datetime64[M]").astype(str) == month)
    at = steps[:, None] + 1 + np.arange(horizon)
    truth = np.where(at < len(values), values[np.minimum(at, len(values) - 1)], np.nan)
    filled = np.where(np.isnan(truth), np.nanmedian(values), truth)
    grows = np.sqrt(np.arange(1, horizon + 1) / horizon)
    wrong = np.convolve(rng.normal(0, 1, len(steps) + 24), np.ones(24) / np.sqrt(24), "valid")[: len(steps)]
    size = error * grows * filled
    bands = filled[:, :, None] + size[:, :, None] * (wrong[:, None, None] + np.array(SPREAD))
    task = TaskSpec(
        name="made",
        domain="made",
        inputs=(Input(name=output, unit=unit, low=0.0, high=1e6),),
        output=output,
        output_unit=unit,
        window=8,
        horizon=horizon,
        interval_s=86400.0 / (48 if horizon == 48 else 24),
        season=horizon,
        quantiles=LEVELS,
    )
    return Replay(
        task=task,
        site="",
        month=month,
        ends=ends[steps],
        values=values[steps],
        truth=truth,
        bands=np.maximum(bands, 0.0),
        before=values[: steps[0]],
        before_ends=ends[: steps[0]],
    )
