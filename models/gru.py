"""Gated recurrent network: card.

One layer of gated recurrent units (Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014) reads
the window row by row, each row with the calendar beside it; its last state predicts the change of the volume, as in
``models.mlp``. int8 does not pay for it: runtimes keep or unroll the recurrence in float.
"""

from __future__ import annotations

import torch
from torch import nn

from contracts.task import TaskSpec
from models.features import Features


class GRU(nn.Module):
    """(B, T, F) physical units → (B, H) physical units, never negative."""

    def __init__(self, task: TaskSpec, hidden: int = 32) -> None:
        super().__init__()
        self.features = Features(task)
        self.cell = nn.GRU(1 + self.features.context_size, hidden, batch_first=True)
        self.head = nn.Linear(hidden, task.horizon)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled, context = self.features(x)  # (B, T), (B, C)
        beside = context.unsqueeze(1).expand(-1, scaled.shape[1], -1)  # (B, C) → (B, T, C)
        states, _ = self.cell(torch.cat([scaled.unsqueeze(2), beside], dim=2))  # (B, T, hidden)
        change = self.head(states[:, -1])  # (B, H), in spreads
        return self.features.add_change(x, change)
