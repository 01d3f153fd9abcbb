"""Multilayer perceptron 64-64-1: card.

Two hidden layers of 64 rectified units (Nair & Hinton, "Rectified linear units improve restricted Boltzmann machines",
2010) predict how the volume will *change*, in multiples of the spread that counts of this level have; the last volume
is added outside (a residual connection, He et al., "Deep residual learning", 2016). Hence an untrained net is the
naive forecast, and what int8 rounds is the small change and not the volume.
"""

from __future__ import annotations

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.features import Features


class MLP(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units."""

    def __init__(self, task: TaskSpec, hidden: int = 64) -> None:
        super().__init__()
        self.features = Features(task)
        self.net = nn.Sequential(
            nn.Linear(self.features.values_size + self.features.context_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, self.features.change_size),
        )

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take the constants from training windows (N, T, F) and targets (N, H)."""
        self.features.prepare(x, y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled, context = self.features(x)  # (B, T), (B, C)
        change = self.net(torch.cat([scaled, context], dim=1))  # (B, H · Q), in spreads
        return self.features.add_change(x, change)
