"""Counting head for frames: card.

A density map whose sum is the count (Lempitsky & Zisserman, "Learning to count objects in images", 2010), from a fully
convolutional trunk that looks at every place in the same way. The map is summed inside the graph, so that a node never
holds anything but the count: frames in, counts out. Trained on counts alone; where things are is not told.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from wayside.contracts.task import TaskSpec
from wayside.models.cnn import convolution, standardized, trunk
from wayside.models.errors import ModelConfigError


class Count(nn.Module):
    """(B, H, W, C) float32 0–255 → (B, K) counts, not negative. Sizes as of :class:`wayside.models.cnn.CNN`."""

    def __init__(
        self,
        task: TaskSpec,
        *,
        stem: int = 16,
        stages: Sequence[Sequence[int]] = ((32, 2), (64, 2)),
        plain: int = 1,
        expand: int = 2,
        head: int = 64,
    ) -> None:
        super().__init__()
        if task.image is None or task.kind != "count":
            raise ModelConfigError(f"task {task.name} is of kind {task.kind}; family count takes tasks of kind count")
        self.body = trunk(task.image[2], stem, stages, plain=plain, expand=expand, stride=2)
        self.head = nn.Sequential(*convolution(stages[-1][0], head, 1))
        self.density = nn.Conv2d(head, len(task.classes), 1)
        nn.init.constant_(self.density.bias, 0.02)  # above zero everywhere, so that no place is deaf from the start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.head(self.body(standardized(x)))  # (B, head, H', W')
        density = functional.relu(self.density(seen))  # (B, K, H', W')
        counts: torch.Tensor = density.sum(dim=(2, 3))
        return counts

    def training_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Huber loss of the counts (Huber 1964): one crowded frame must not outweigh the street."""
        return functional.smooth_l1_loss(self(x), y)
