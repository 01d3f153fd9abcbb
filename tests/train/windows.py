"""Windows that lie in memory, as training takes them: a made-up street with two sites, one busy, one quiet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wayside.cloud.train.datasets import Split
from wayside.cloud.train.windows import Array
from wayside.contracts.task import Input, TaskSpec

TASK = TaskSpec(
    name="street",
    domain="traffic",
    inputs=(
        Input(name="volume", unit="{veh}", low=0, high=400),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="weekday", unit="d", low=0, high=6),
    ),
    output="volume",
    output_unit="{veh}",
    window=4,
    horizon=2,
    interval_s=900,
    season=672,
)


@dataclass(frozen=True)
class Rows:
    x: Array  # (N, …)
    y: npt.NDArray[np.float32 | np.int64]  # (N, …)
    site: npt.NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: npt.NDArray[np.int64]) -> tuple[Array, npt.NDArray[np.float32 | np.int64]]:
        return self.x[indices], self.y[indices]


def street(windows: int = 256, *, seed: int = 0, horizon: int = TASK.horizon) -> Rows:
    rng = np.random.default_rng(seed)
    site = np.arange(windows) % 2
    hour = rng.uniform(0, 24, (windows, 1)) + np.arange(TASK.window + horizon) / 4  # (N, T + H)
    level = np.where(site == 0, 80, 8)[:, None] * (1.2 + np.sin(hour / 24 * 2 * np.pi))
    volume = rng.poisson(level)
    t = TASK.window
    x = np.stack([volume[:, :t], hour[:, :t] % 24, np.zeros((windows, t))], axis=2)
    return Rows(x.astype(np.float32), volume[:, t:].astype(np.float32), site)


def streets(windows: int = 256, *, horizon: int = TASK.horizon) -> Split:
    parts = [street(windows, seed=seed, horizon=horizon) for seed in range(3)]
    return Split(train=parts[0], validation=parts[1], holdout=parts[2])  # type: ignore[arg-type]
