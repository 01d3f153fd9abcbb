"""Convolutional net for small pictures at intersections: card.

Depthwise-separable convolutions in inverted residual blocks (Sandler et al., "MobileNetV2: inverted residuals and
linear bottlenecks", 2018) behind a few plain ones. The picture is shown to the net twice: standardized as a whole,
so that exposure does not matter, and contrast-normalized against its neighbourhood, so that shadow does not (Jarrett et
al., "What is the best multi-stage architecture for object recognition?", 2009; Sermanet & LeCun, "Traffic sign
recognition with multi-scale convolutional networks", 2011). That stays float; the convolutions are what int8 takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from wayside.contracts.task import TaskSpec
from wayside.models.errors import ModelConfigError

EVEN = 2.0
"""Of 255, added to a spread: an even grey picture stays grey and its noise small."""
REACH = 9
"""Side of the neighbourhood in pixels."""
MISSING = 127.5
"""What a missing pixel counts as."""


class Contrast(nn.Module):
    """(B, H, W, C) 0–255, NaN = missing → (B, 2C, H, W): standardized as a whole, then each place by what is around."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = standardized(x)
        detail = whole - _around(whole)
        local = (_around(detail.square().mean(dim=1, keepdim=True)) + 0.1).sqrt()  # (B, 1, H, W)
        return torch.cat([whole, detail / local], dim=1)


def standardized(x: torch.Tensor) -> torch.Tensor:
    """(B, H, W, C) 0–255, NaN = missing → (B, C, H, W) with mean 0 and spread 1 over the whole picture."""
    x = torch.where(torch.isnan(x), MISSING, x).clamp(0, 255)
    centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
    spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + EVEN  # (B, 1, 1, 1)
    return (centred / spread).permute(0, 3, 1, 2)


class Plain(nn.Module):
    """A full 3×3 convolution, residual where shapes allow: cheap where channels are few and sides long.

    Tan & Le, "EfficientNetV2: smaller models and faster training", 2021, find the same.
    """

    def __init__(self, width: int, to: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*convolution(width, to, 3, stride))
        self.residual = stride == 1 and width == to

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ``width``, H, W) → (B, ``to``, H / stride, W / stride)."""
        change: torch.Tensor = self.body(x)
        return x + change if self.residual else change


class Inverted(nn.Module):
    """Inverted residual: 1×1 to ``expand`` × the channels, 3×3 each channel alone, 1×1 back without activation."""

    def __init__(self, width: int, to: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = width * expand
        self.body = nn.Sequential(
            *convolution(width, inner, 1),
            *convolution(inner, inner, 3, stride, groups=inner),
            *convolution(inner, to, 1)[:2],
        )
        self.residual = stride == 1 and width == to

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ``width``, H, W) → (B, ``to``, H / stride, W / stride)."""
        change: torch.Tensor = self.body(x)
        return x + change if self.residual else change


class CNN(nn.Module):
    """(B, H, W, C) float32 0–255 → (B, classes) logits.

    Args:
        stem: channels of the first convolution.
        stages: (channels, blocks) each; the first block of each halves the sides.
        plain: how many of the first stages are of :class:`Plain` blocks, the others are of :class:`Inverted`.
        expand: of the inverted blocks.
        head: channels that are classified.
        smooth: of the labels, with ``[fit] loss = "family"``.
        zooms: once trained, the net looks so many more times, at the picture with so many pixels less on every side
            (or more, below 0), and means its answers. It costs time, and no byte.
    """

    def __init__(
        self,
        task: TaskSpec,
        *,
        stem: int = 16,
        stages: Sequence[Sequence[int]] = ((32, 1), (64, 1)),
        plain: int = 1,
        expand: int = 2,
        head: int = 128,
        dropout: float = 0.2,
        smooth: float = 0.05,
        zooms: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if task.image is None or task.kind != "classify":
            raise ModelConfigError(f"task {task.name} is of kind {task.kind}; family cnn takes tasks of kind classify")
        height, width, channels = task.image
        self.contrast = Contrast()
        self.body = trunk(2 * channels, stem, stages, plain=plain, expand=expand)
        left = tuple(-(-side // 2 ** len(stages)) for side in (height, width))
        # One weight for each channel and place instead of a mean: where something is matters (Chen et al.,
        # "MobileFaceNets", 2018). A red light is above, a digit in the middle.
        self.head = nn.Sequential(
            *convolution(stages[-1][0], head, 1),
            nn.Conv2d(head, head, left, groups=head),
        )
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(head, len(task.classes))
        self.smooth = smooth
        self.zooms = tuple(zooms)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.contrast(x)  # (B, 2C, H, W)
        looks = [seen] if self.training else [seen, *(_zoomed(seen, by) for by in self.zooms)]
        features = self.head(self.body(torch.cat(looks))).flatten(1)  # (V·B, head)
        logits: torch.Tensor = self.classes(self.dropout(features))  # (V·B, classes)
        return logits.view(len(looks), -1, logits.shape[1]).mean(dim=0)  # (B, classes)

    def training_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with smoothed labels (Szegedy et al., "Rethinking the Inception architecture", 2016)."""
        return functional.cross_entropy(self(x), y, label_smoothing=self.smooth)


def trunk(
    channels: int, stem: int, stages: Sequence[Sequence[int]], *, plain: int, expand: int, stride: int = 1
) -> nn.Sequential:
    """(B, ``channels``, H, W) → (B, last stage's channels, H', W'), sides cut by ``stride``, then halved by stages."""
    layers = convolution(channels, stem, 3, stride)
    width = stem
    for number, (to, blocks) in enumerate(stages):
        for k in range(blocks):
            step = 2 if k == 0 else 1
            layers.append(Plain(width, to, step) if number < plain else Inverted(width, to, step, expand))
            width = to
    return nn.Sequential(*layers)


def convolution(width: int, to: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution, batch normalization (the exporters fold it into the convolution), ReLU."""
    conv = nn.Conv2d(width, to, side, stride, side // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(to), nn.ReLU()]


def _zoomed(x: torch.Tensor, by: int) -> torch.Tensor:
    """(B, C, H, W) without ``by`` pixels on every side, or with so many zeros more, at its old size."""
    return functional.interpolate(functional.pad(x, [-by] * 4), x.shape[2:], mode="bilinear", align_corners=False)


def _around(x: torch.Tensor) -> torch.Tensor:
    """Mean of each pixel's neighbourhood within the picture: along rows, then columns; both at once cost four times."""
    rows = functional.avg_pool2d(x, (1, REACH), 1, (0, REACH // 2), count_include_pad=False)
    return functional.avg_pool2d(rows, (REACH, 1), 1, (REACH // 2, 0), count_include_pad=False)
