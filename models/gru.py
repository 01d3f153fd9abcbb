"""Gated recurrent network: card.

One layer of gated recurrent units (Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014) reads
the window row by row, each row with the calendar beside it; its last state predicts the change of the volume, as in
``models.mlp``. int8 does not pay for it: runtimes keep or unroll the recurrence in float.
"""

from __future__ import annotations

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.features import Features


class GRU(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units."""

    def __init__(self, task: TaskSpec, hidden: int = 32) -> None:
        super().__init__()
        self.features = Features(task)
        self.cell = nn.GRU(1 + self.features.context_size, hidden, batch_first=True)
        self.head = nn.Linear(hidden, self.features.change_size)

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take the constants from training windows (N, T, F) and targets (N, H)."""
        self.features.prepare(x, y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled, context = self.features(x)  # (B, T), (B, C)
        if not self.features.values_size:
            scaled = context[:, :1] * 0  # (B, 1): one row, the calendar alone
        beside = context.unsqueeze(1).expand(-1, scaled.shape[1], -1)  # (B, C) → (B, T, C)
        states, _ = self.cell(torch.cat([scaled.unsqueeze(2), beside], dim=2))  # (B, T, hidden)
        change = self.head(states[:, -1])  # (B, H · Q), in spreads
        return self.features.add_change(x, change)
