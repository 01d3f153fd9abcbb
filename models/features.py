"""What every family sees: scaled volumes and an encoded calendar, computed inside the graph.

Normalization constants are buffers, so that a checkpoint, and every file exported from it, takes physical units; the
node cannot get the preprocessing wrong. Only operations that both exporters take and that stay float in int8.

Counts are Poisson-like: their spread grows with the square root of their level (Bartlett, "The square root
transformation in analysis of variance", 1936), so the root of a volume is what is standardized. Hours and weekdays
become harmonics, which makes 23:59 a neighbour of 00:00.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from contracts.task import TaskSpec

HARMONICS = 3  # of the day: 24, 12 and 8 hours


class Features(nn.Module):
    """(B, T, F) physical units → volumes (B, T), standardized, and context (B, C) of the newest row."""

    mean: torch.Tensor  # (1,) of the root of the volume
    std: torch.Tensor  # (1,)
    turns: torch.Tensor  # (HARMONICS,) radians per hour
    other_mean: torch.Tensor  # (E,) of the inputs that are neither output nor calendar
    other_std: torch.Tensor  # (E,)

    def __init__(self, task: TaskSpec) -> None:
        super().__init__()
        names = [i.name for i in task.inputs]
        self.output = names.index(task.output)
        self.hour = names.index("hour") if "hour" in names else None
        self.weekday = names.index("weekday") if "weekday" in names else None
        self.others = [i for i, n in enumerate(names) if n not in (task.output, "hour", "weekday")]
        self.window = task.window
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))
        self.register_buffer("turns", torch.arange(1, HARMONICS + 1) * (2 * math.pi / 24))
        self.register_buffer("other_mean", torch.zeros(len(self.others)))
        self.register_buffer("other_std", torch.ones(len(self.others)))

    @property
    def context_size(self) -> int:
        hour = 2 * HARMONICS if self.hour is not None else 0
        return hour + (3 if self.weekday is not None else 0) + len(self.others)

    def fit(self, x: torch.Tensor) -> None:
        """Take the constants from training windows (N, T, F)."""
        root = torch.sqrt(x[:, :, self.output])
        self.mean.copy_(root.mean())
        self.std.copy_(_spread(root.std()))
        if self.others:
            rows = x[:, -1, self.others]  # (N, E)
            self.other_mean.copy_(rows.mean(0))
            self.other_std.copy_(_spread(rows.std(0)))

    def volumes(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, F) → (B, T), vehicles."""
        return x[:, :, self.output]

    def add_change(self, x: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """The newest volume plus ``change`` (B, H), given in spreads of counts at this window's level → (B, H)."""
        volumes = self.volumes(x)  # (B, T)
        spread = 1 + torch.sqrt(volumes.mean(dim=1, keepdim=True))  # (B, 1), vehicles; 1 keeps silence learnable
        return torch.relu(volumes[:, -1:] + spread * change)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (torch.sqrt(self.volumes(x)) - self.mean) / self.std  # (B, T)
        parts = []
        if self.hour is not None:
            angles = x[:, -1:, self.hour] * self.turns  # (B, 1) → (B, HARMONICS): one sine and one cosine to run
            parts += [torch.sin(angles), torch.cos(angles)]
        if self.weekday is not None:
            day = x[:, -1:, self.weekday]  # (B, 1), 0 = Monday
            angle = day * (2 * math.pi / 7)
            parts += [torch.sin(angle), torch.cos(angle), torch.clamp(day - 4, 0, 1)]  # the last: weekend
        parts += [(x[:, -1:, i] - self.other_mean[n]) / self.other_std[n] for n, i in enumerate(self.others)]
        # A task without calendar or further inputs has an empty context.
        context = torch.cat(parts, dim=1) if parts else scaled[:, :0]
        return scaled, context


def _spread(std: torch.Tensor) -> torch.Tensor:
    # A constant column has no spread: leave it as it is rather than divide by nothing.
    return torch.where(std > 1e-6, std, torch.ones_like(std))
