"""Changes that a picture may undergo without changing what it shows; drawn anew for every batch.

Each takes and returns ``x`` (B, H, W, C) float32 0–255 and the labels ``y`` (B, …), and draws from the generator
alone: the same seed gives the same batches. Names of :data:`AUGMENT` go into ``[fit] augment`` and apply in that order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from wayside.cloud.train.errors import TaskError

Pair = tuple[torch.Tensor, torch.Tensor]

LEFT_RIGHT = (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)
"""GTSRB signs that are their own mirror image (Stallkamp et al. 2012 number the classes)."""
UPSIDE_DOWN = (1, 5, 12, 15, 17)
"""… that look the same when top and bottom change places."""
HALF_TURN = (12, 15, 17, 32, 40)
"""… that look the same after half a turn."""
PARTNERS = ((19, 20), (33, 34), (36, 37), (38, 39))
"""… whose mirror image is another sign: left and right."""


def augment(names: Sequence[str], x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """Apply ``names`` in their order.

    Raises:
        TaskError: a name is unknown.
    """
    for name in names:
        if name not in AUGMENT:
            raise TaskError(f"[fit] augment: {name!r} is unknown; known: {', '.join(AUGMENT)}")
        x, y = AUGMENT[name](x, y, generator)
    return x, y


def mirror(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """Half of the pictures left for right: where a mirrored thing stays what it is (vehicles, lights)."""
    turned = _uniform(generator, 0, 1, len(x), 1, 1, 1) < 0.5
    return torch.where(turned, x.flip(2), x), y


def mirror_signs(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """GTSRB: mirror, overturn or turn those signs that stay signs, with the label that they then have.

    After Ciresan et al., "Multi-column deep neural network for traffic sign classification", 2012, who name the task's
    symmetries; rare signs gain most.
    """
    y = y.clone()
    for member, dims in ((LEFT_RIGHT, (2,)), (UPSIDE_DOWN, (1,)), (HALF_TURN, (1, 2))):
        may = torch.isin(y, torch.tensor(member)) & (_uniform(generator, 0, 1, len(y)) < 0.5)
        x = torch.where(may[:, None, None, None], x.flip(dims), x)
    other = torch.arange(43)
    for a, b in PARTNERS:
        other[a], other[b] = b, a
    swap = (other[y] != y) & (_uniform(generator, 0, 1, len(y)) < 0.5)
    return torch.where(swap[:, None, None, None], x.flip(2), x), torch.where(swap, other[y], y)


def affine(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """Seen from elsewhere: turned ±15°, 0.8–1.2 × as large, sheared, moved by up to a tenth, a little perspective."""
    return _warp(x, generator, turn=15, zoom=0.2, shear=0.15, shift=0.1, tilt=0.1), y


def nudge(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """As :func:`affine`, a third as strong."""
    return _warp(x, generator, turn=5, zoom=0.07, shear=0.05, shift=0.05, tilt=0.03), y


def light(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """Another hour: exposure × 0.4–1.8 (clipped as a camera clips), gamma 0.7–1.4, haze, colour cast."""
    n = len(x)
    level = _uniform(generator, math.log(0.4), math.log(1.8), n, 1, 1, 1).exp()
    cast = _uniform(generator, 0.85, 1.18, n, 1, 1, 3)
    gamma = _uniform(generator, math.log(0.7), math.log(1.4), n, 1, 1, 1).exp()
    haze = _uniform(generator, -0.15, 0.15, n, 1, 1, 1)
    x = (x / 255).clamp(min=1e-4).pow(gamma) * level * cast + haze
    grey = x.mean(3, keepdim=True)
    x = grey + (x - grey) * _uniform(generator, 0.5, 1.4, n, 1, 1, 1)
    return x.clamp(0, 1) * 255, y


def focus(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """Out of focus, far away or sharpened: mixed with its own blur; a fifth are blurred along a line by motion."""
    n = len(x)
    pixels = x.permute(0, 3, 1, 2)  # (B, C, H, W)
    soft = functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
    softer = functional.avg_pool2d(soft, 3, 1, 1, count_include_pad=False)
    moved = functional.avg_pool2d(pixels, (1, 5), 1, (0, 2), count_include_pad=False)
    which = _uniform(generator, 0, 1, n, 1, 1, 1)
    blurred = torch.where(which < 0.5, soft, torch.where(which < 0.8, softer, moved))
    pixels = pixels + (blurred - pixels) * _uniform(generator, -0.4, 1, n, 1, 1, 1)
    return pixels.permute(0, 2, 3, 1).clamp(0, 255), y


def noise(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """A dark camera's grain, up to 6 of 255 (one standard deviation)."""
    grain = torch.empty_like(x).normal_(generator=generator) * _uniform(generator, 0, 6, len(x), 1, 1, 1)
    return (x + grain).clamp(0, 255), y


def cutout(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> Pair:
    """Something in front: in half of the pictures a rectangle of up to a third of the side takes one grey.

    DeVries & Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """
    n, height, width, _ = x.shape
    side = _uniform(generator, 0.1, 0.35, n, 2)
    centre = _uniform(generator, 0, 1, n, 2)
    rows = ((torch.arange(height) + 0.5) / height - centre[:, :1]).abs() < side[:, :1] / 2  # (B, H)
    columns = ((torch.arange(width) + 0.5) / width - centre[:, 1:]).abs() < side[:, 1:] / 2  # (B, W)
    hidden = rows[:, :, None, None] & columns[:, None, :, None]  # (B, H, W, 1)
    chosen = _uniform(generator, 0, 1, n, 1, 1, 1) < 0.5
    return torch.where(hidden & chosen, _uniform(generator, 0, 255, n, 1, 1, 1), x), y


AUGMENT: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Generator], Pair]] = {
    "mirror": mirror,
    "mirror_signs": mirror_signs,
    "affine": affine,
    "nudge": nudge,
    "light": light,
    "focus": focus,
    "noise": noise,
    "cutout": cutout,
}


def _warp(
    x: torch.Tensor, generator: torch.Generator, *, turn: float, zoom: float, shear: float, shift: float, tilt: float
) -> torch.Tensor:
    """Projective resampling with bilinear interpolation; beyond the border the border goes on."""
    n, height, width, _ = x.shape
    angle = _uniform(generator, -turn, turn, n) * (math.pi / 180)
    size = _uniform(generator, -zoom, zoom, n).exp()
    stretch = _uniform(generator, -zoom / 2, zoom / 2, n).exp()
    slant = _uniform(generator, -shear, shear, n)
    dx, dy = _uniform(generator, -2 * shift, 2 * shift, 2, n)  # [-1, 1] is the whole side
    px, py = _uniform(generator, -tilt, tilt, 2, n)
    cos, sin, one = angle.cos() * size, angle.sin() * size, torch.ones(n)
    matrix = torch.stack([cos * stretch, -sin + slant, dx, sin, cos / stretch, dy, px, py, one], dim=1).view(n, 3, 3)
    rows = (torch.arange(height) * 2 + 1) / height - 1
    columns = (torch.arange(width) * 2 + 1) / width - 1
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([u, v, torch.ones_like(u)], dim=2).view(1, -1, 3)  # (1, H·W, 3)
    seen = points @ matrix.transpose(1, 2)  # (B, H·W, 3)
    grid = (seen[..., :2] / seen[..., 2:]).view(n, height, width, 2)
    pixels = functional.grid_sample(x.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return pixels.permute(0, 2, 3, 1)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low
