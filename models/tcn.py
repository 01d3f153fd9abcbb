"""Temporal convolutional network: card.

Causal dilated convolutions in residual blocks (Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional
and recurrent networks for sequence modeling", 2018) read the window; the calendar joins at the head, which predicts
the change of the value, as in ``models.mlp``. Weights are static and activations rectified, so int8 costs it little.

Two departures from the paper: no weight normalization (folded at inference anyhow), and no padding where a window is
short. Convolutions run as (B, C, 1, T): one-dimensional ones are no operation of TFLite.
"""

from __future__ import annotations

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.features import Features


class Block(nn.Module):
    """(B, C, 1, T) → (B, C, 1, T): two causal convolutions, rows ``dilation`` apart, and a way by."""

    def __init__(self, into: int, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.first = nn.Conv2d(into, channels, (1, kernel), dilation=(1, dilation))
        self.second = nn.Conv2d(channels, channels, (1, kernel), dilation=(1, dilation))
        self.by = nn.Conv2d(into, channels, 1) if into != channels else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(nn.functional.pad(x, (self.reach, 0))))
        h = torch.relu(self.second(nn.functional.pad(h, (self.reach, 0))))
        return torch.relu(h + self.by(x))


class TCN(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units."""

    def __init__(self, task: TaskSpec, channels: int = 24, kernel: int = 3, hidden: int = 64) -> None:
        super().__init__()
        self.features = Features(task)
        blocks: list[nn.Module] = []
        dilation = 1
        # As many blocks as it takes for the newest row to see the oldest.
        while 1 + 2 * (kernel - 1) * (dilation - 1) < self.features.values_size:
            blocks.append(Block(channels if blocks else 1, channels, kernel, dilation))
            dilation *= 2
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Linear((channels if blocks else self.features.values_size) + self.features.context_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, self.features.change_size),
        )

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take the constants from training windows (N, T, F) and targets (N, H)."""
        self.features.prepare(x, y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled, context = self.features(x)  # (B, T), (B, C)
        if len(self.blocks):
            states = self.blocks(scaled.unsqueeze(1).unsqueeze(1))  # (B, 1, 1, T) → (B, channels, 1, T)
            scaled = states[:, :, 0, -1]  # (B, channels) of the newest row
        change = self.head(torch.cat([scaled, context], dim=1))  # (B, H · Q), in spreads
        return self.features.add_change(x, change)
