"""Frames composed of small pictures, for learning to count where nobody has counted frames (layout ``frames``).

The file has small pictures ``x`` with labels ``y``: 0 shows none of the task's classes, k shows class k once. A frame
is three by three pictures of the first kind that follow each other in the file, with up to :data:`MOST` others laid on
it, larger and smaller, some hidden by a neighbour; pictures without anything are laid on it in the same way, so that
an edge is no sign of a vehicle. What one frame shows depends on its number alone, so that frames need not be kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.cloud.train import images
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.images import Images
from wayside.cloud.train.quality import ImageQuality
from wayside.cloud.train.taskfile import TaskFile

MOST = 6
"""Things on one frame; any number from 0 is as likely."""
DECOYS = 4
"""Pictures without a thing that are laid on a frame at most."""
SIZES = (0.7, 1.3)
"""Of what is laid on, in sides of a small picture."""
APART = 0.7
"""Distance of the centres of two things at least, in sides of a small picture."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """As many frames as there are pictures; every stretch has frames of its own pictures only."""

    pictures: Images
    side: tuple[int, int]  # height, width of a frame
    classes: int
    quality: ImageQuality

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, indices: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Frames (n, H, W, C), 0–255, and counts (n, K)."""
        made = [self._frame(int(i)) for i in np.arange(len(self))[indices]]
        return np.stack([f for f, _ in made]), np.stack([c for _, c in made])

    @cached_property
    def y(self) -> npt.NDArray[np.float32]:
        """(n, K)"""
        return np.stack([self._plan(i).counts for i in range(len(self))])

    @property
    def naive(self) -> npt.NDArray[np.float32]:
        """(n, K) the mean count, always."""
        return np.broadcast_to(self.y.mean(axis=0), self.y.shape)

    @cached_property
    def site(self) -> npt.NDArray[np.int32]:
        """(n,) the source that the background comes from."""
        return self.pictures.site[[self._plan(i).ground[0] for i in range(len(self))]]

    @property
    def sources(self) -> tuple[str, ...]:
        return self.pictures.sources

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"frames {self.side}".encode() + self.pictures.sha256.encode()).hexdigest()

    @cached_property
    def _of(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Indices of the pictures, by label."""
        return tuple(np.flatnonzero(self.pictures.labels == k) for k in range(self.classes + 1))

    def _plan(self, number: int) -> _Plan:
        dice = np.random.default_rng([number, len(self)])
        start = dice.integers(len(self._of[0]))
        ground = self._of[0][np.arange(start, start + 9) % len(self._of[0])]
        small = np.array(self.pictures.pictures.shape[1:3]) / self.side
        places: list[npt.NDArray[np.float64]] = []
        for _ in range(dice.integers(MOST + 1)):
            tried = dice.uniform(small / 2, 1 - small / 2, (50, 2))
            places += [p for p in tried if all(np.linalg.norm((p - q) / small) >= APART for q in places)][:1]
        labels = dice.integers(1, self.classes + 1, len(places))
        counts = np.bincount(labels, minlength=self.classes + 1)[1:].astype(np.float32)
        return _Plan(dice, ground, places, labels, counts)

    def _frame(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        plan, x = self._plan(number), self.pictures.pictures
        dice = plan.dice
        frame = _tiled(x[plan.ground].astype(np.float32), self.side)
        for _ in range(dice.integers(DECOYS + 1)):
            _lay(frame, x[dice.choice(self._of[0])], dice.uniform(0, 1, 2), dice)
        for label, place in zip(plan.labels, plan.places, strict=True):
            _lay(frame, x[dice.choice(self._of[label])], place, dice)
        return (frame * np.float32(dice.uniform(0.6, 1.2))).clip(0, 255), plan.counts


class _Plan(NamedTuple):
    dice: np.random.Generator  # for what else the frame needs
    ground: npt.NDArray[np.int64]  # (9,) pictures of the background
    places: list[npt.NDArray[np.float64]]  # of things: 0–1 of height and width
    labels: npt.NDArray[np.int64]  # of things
    counts: npt.NDArray[np.float32]  # (K,)


def read(taskfile: TaskFile, files: Sequence[Path], *, clean: bool = True) -> Frames:
    """Frames of the pictures in ``files``.

    Raises:
        DataError: the files break a rule, or lack pictures of one kind.
    """
    task = taskfile.task
    height, width, channels = task.image or (0, 0, 0)
    small = msgspec.structs.replace(
        task, kind="classify", image=(height // 3, width // 3, channels), classes=("none", *task.classes)
    )
    pictures = images.read(msgspec.structs.replace(taskfile, task=small), files, clean=clean)
    return _frames(pictures, (height, width), len(task.classes))


def split(frames: Frames, taskfile: TaskFile) -> dict[str, Frames]:
    """``train``, ``validation`` and ``holdout``: the pictures are split, then each stretch composes its own frames."""
    parts = images.split(frames.pictures, taskfile)
    return {name: _frames(part, frames.side, frames.classes) for name, part in parts.items()}


def _frames(pictures: Images, side: tuple[int, int], classes: int) -> Frames:
    missing = set(range(classes + 1)) - set(np.unique(pictures.labels).tolist())
    if missing:
        raise DataError(f"{pictures.quality.source}: no picture of class {min(missing)}; frames need some of each")
    return Frames(pictures=pictures, side=side, classes=classes, quality=pictures.quality)


def _tiled(tiles: npt.NDArray[np.float32], side: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(9, h, w, C) → (H, W, C), every other tile mirrored so that neighbours meet more smoothly."""
    rows = [np.concatenate([t[:, ::-1] if c % 2 else t for c, t in enumerate(tiles[r : r + 3])], 1) for r in (0, 3, 6)]
    whole = np.concatenate([r[::-1] if k % 2 else r for k, r in enumerate(rows)], 0)
    pad = [(0, side[0] - whole.shape[0]), (0, side[1] - whole.shape[1]), (0, 0)]
    return np.pad(whole, pad, mode="edge")


def _lay(
    frame: npt.NDArray[np.float32],
    picture: npt.NDArray[np.uint8],
    place: npt.NDArray[np.float64],
    dice: np.random.Generator,
) -> None:
    """Put ``picture`` on ``frame`` in place, its centre at ``place`` (0–1 of the sides), its border faded out."""
    factor = dice.uniform(*SIZES)
    height, width = (max(4, round(s * factor)) for s in picture.shape[:2])
    if dice.random() < 0.5:
        picture = picture[:, ::-1]
    rows, columns = _resampling(picture.shape[0], height), _resampling(picture.shape[1], width)
    sized = np.tensordot(rows, picture.astype(np.float32), 1)  # (height, w, C)
    sized = np.tensordot(columns, sized, (1, 1)).swapaxes(0, 1)  # (height, width, C)
    fade = [np.minimum(1, (np.minimum(np.arange(n), np.arange(n)[::-1]) + 1) * 8 / n) for n in (height, width)]
    mask = np.outer(*fade).astype(np.float32)[:, :, None]
    top, left = round(place[0] * frame.shape[0] - height / 2), round(place[1] * frame.shape[1] - width / 2)
    down = slice(max(top, 0), min(top + height, frame.shape[0]))
    across = slice(max(left, 0), min(left + width, frame.shape[1]))
    inner = (slice(down.start - top, down.stop - top), slice(across.start - left, across.stop - left))
    part = frame[down, across]
    part += (sized[inner] - part) * mask[inner]


@cache
def _resampling(side: int, to: int) -> npt.NDArray[np.float32]:
    """(to, side): weights of linear interpolation, over as many pixels as one covers when the picture shrinks."""
    reach = max(1.0, side / to)
    centre = (np.arange(to) + 0.5) * side / to
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centre[:, None]) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
