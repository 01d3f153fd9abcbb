"""A training run as ``cloud.train`` writes it, made in a second: synthetic volumes, a small MLP.

The layout is the real one (``checkpoint.pt``, ``windows.npz``); the model has what makes exporting hard:
normalization and calendar encoding inside the graph, a residual connection, physical units at both ends.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins

TASK = TaskSpec(
    name="traffic_flow",
    domain="traffic",
    inputs=(
        Input(name="volume", unit="{veh}", low=0, high=400),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="weekday", unit="d", low=0, high=6),
    ),
    output="volume",
    output_unit="{veh}",
    window=4,
    horizon=1,
    interval_s=900,
    season=672,
)


class Forecaster(nn.Module):
    """(B, T, 3) volume, hour, weekday → (B, 1) volume of the next interval."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, window: int = 4, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(40.0))
        self.register_buffer("std", torch.tensor(30.0))
        self.net = nn.Sequential(
            nn.Linear(window + 4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        volume = x[:, :, 0]  # (B, T)
        hour = x[:, -1:, 1] * (2 * math.pi / 24)  # (B, 1)
        day = x[:, -1:, 2] * (2 * math.pi / 7)
        z = (volume - self.mean) / self.std
        features = torch.cat([z, torch.sin(hour), torch.cos(hour), torch.sin(day), torch.cos(day)], dim=1)
        return torch.relu(volume[:, -1:] + self.std * self.net(features))  # (B, 1)


def build(config: dict[str, Any]) -> nn.Module:
    """The stand-in for ``models.registry.build``."""
    return Forecaster(config["task"]["window"], config["width"])


def _windows(days: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Windows (N, T, 3) and the next volumes (N, 1) of ``days`` synthetic days at 15 minutes, three detectors."""
    xs, ys = [], []
    for scale in (15.0, 40.0, 90.0):
        t = np.arange(days * 96 + TASK.window + 1)
        hour = (t % 96) / 4
        day = (t // 96) % 7
        busy = 0.15 + np.exp(-((hour - 8) ** 2) / 8) + np.exp(-((hour - 17) ** 2) / 10)
        volume = rng.poisson(scale * busy * np.where(day < 5, 1.0, 0.6)).astype(np.float32)
        rows = np.stack([volume, hour, day], axis=1).astype(np.float32)
        for i in range(days * 96):
            xs.append(rows[i : i + TASK.window])
            ys.append(volume[i + TASK.window])
    return np.stack(xs), np.array(ys, np.float32)[:, None]


def write_run(folder: Path, *, family: str = "mlp", seed: int = 0, steps: int = 250) -> Path:
    """Train the stand-in and write its run directory into ``folder``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = _windows(14, rng)
    held_x, held_y = _windows(3, rng)
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    bx, by = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(steps):
        pick = torch.from_numpy(rng.integers(0, len(x), 256))
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(bx[pick]), by[pick])
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        residual = float((model(bx) - by).std())
    config = {
        "family": family,
        "width": 64,
        "task": to_builtins(TASK),
        "seed": seed,
        "data_sha256": "0" * 64,
        "residual_std": residual,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": model.state_dict(), "config": config}, folder / "checkpoint.pt")
    order = np.argsort(x[:, :, 0].max(axis=1), kind="stable")
    extremes = np.concatenate([order[:8], order[-8:]])
    np.savez(
        folder / "windows.npz",
        calibration=x[np.concatenate([rng.permutation(len(x))[:496], extremes])],
        golden=x[np.concatenate([rng.permutation(len(x))[:24], extremes])],
        holdout_x=held_x,
        holdout_y=held_y,
        holdout_naive=held_x[:, -1:, 0],
        holdout_seasonal=held_x[:, -1:, 0],
        holdout_hour=(held_x[:, -1, 1].astype(np.int64) + 1) % 24,
    )
    return folder
