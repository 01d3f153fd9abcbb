"""Labelled pictures, the same way round as windows: ``len``, ``take``, and a split that keeps neighbours together.

A file holds them as arrays of the model's size; a folder has one folder for each class, full of a camera's pictures,
which become the model's as on the node (:mod:`wayside.contracts.picture`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.train import arrays
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.quality import ImageQuality
from wayside.cloud.train.taskfile import TaskFile
from wayside.contracts.picture import WHOLE, decoded, prepared
from wayside.contracts.wire import ContractError
from wayside.text import read_file

FIFTHS = {"validation": 2, "holdout": 4}
"""Of five groups that follow each other, which goes where; the other three are trained on."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Pictures uint8 (n, height, width, channels) with a label each."""

    pictures: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]  # (n,) index into the task's classes
    group: npt.NDArray[np.int64]  # (n,) what must stay together
    order: npt.NDArray[np.int64]  # (n,) place of the group within its class or run
    site: npt.NDArray[np.int32]  # (n,) index of the source that the file names, 0 without
    sources: tuple[str, ...]
    quality: ImageQuality
    majority: int = 0  # the most frequent class of the training pictures

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Pictures (n, H, W, C) float32, 0–255, and labels (n,)."""
        return self.pictures[indices].astype(np.float32), self.labels[indices]

    @property
    def y(self) -> npt.NDArray[np.int64]:
        return self.labels

    @property
    def naive(self) -> npt.NDArray[np.int64]:
        """(n,) the most frequent class, always."""
        return np.full(len(self), self.majority)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.pictures.tobytes() + self.labels.astype("<i8").tobytes()).hexdigest()

    def where(self, mask: Any) -> Images:
        """Some of them, by mask or by index."""
        parts = {n: getattr(self, n)[mask] for n in ("pictures", "labels", "group", "order", "site")}
        return replace(self, **parts)


def read(taskfile: TaskFile, files: Sequence[Path], *, clean: bool = True) -> Images:
    """The arrays ``x`` (n, H, W, C) uint8 and ``y`` (n,) of all files, and the declared ``group``.

    Args:
        clean: of equal pictures of one class keep one, of equal pictures of different classes none. A test file is
            judged as it is.

    Raises:
        DataError: naming file, array and rule.
    """
    task, data = taskfile.task, taskfile.data
    parts = [_arrays(f, taskfile, clean) for f in files]
    x, y, names = (np.concatenate(p) for p in zip(*parts, strict=True))
    doubles = np.zeros(len(x), bool)
    unclear = np.zeros(len(x), bool)
    seen: dict[bytes, int] = {}
    for i, picture in enumerate(x):
        of = seen.setdefault(hashlib.blake2b(picture.tobytes(), digest_size=16).digest(), i)
        if of != i:
            doubles[i] = y[of] == y[i]
            unclear[[of, i]] |= y[of] != y[i]
    doubles &= ~unclear
    keep = ~(doubles | unclear) if clean else np.ones(len(x), bool)
    sources, site = np.unique(names, return_inverse=True)
    group, order = _groups(y[keep], site[keep], data.blocks)
    return Images(
        pictures=x[keep],
        labels=y[keep],
        group=group,
        order=order,
        site=site[keep].astype(np.int32),
        sources=tuple(str(s) for s in sources),
        quality=ImageQuality(
            source=", ".join(f.name for f in files),
            images=len(x),
            classes={c: int((y == i).sum()) for i, c in enumerate(task.classes)},
            groups=len(np.unique(group)),
            duplicates=int(doubles.sum()),
            contradicting=int(unclear.sum()),
        ),
    )


def split(images: Images, taskfile: TaskFile) -> dict[str, Images]:
    """``train``, ``validation`` and ``holdout``: whole groups, every fifth of a class (or of a class's run) each.

    Raises:
        DataError: a stretch is empty.
    """
    of = {name: images.order % 5 == place for name, place in FIFTHS.items()}
    of = {"train": ~np.any(list(of.values()), axis=0)} | of
    for name, mask in of.items():
        if not mask.any():
            raise DataError(f"{images.quality.source}: too few groups: none is left for {name}; lower data.blocks")
    majority = int(np.bincount(images.labels[of["train"]]).argmax())
    return {name: replace(images.where(mask), majority=majority) for name, mask in of.items()}


def _groups(
    labels: npt.NDArray[np.int64], site: npt.NDArray[np.int64], blocks: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What stays together, (n,), and the place of each group within its class or run, (n,)."""
    group, order = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    number = 0
    for label in np.unique(labels):
        here = np.unique(site[labels == label])
        for place, source in enumerate(here):
            run = np.flatnonzero((labels == label) & (site == source))  # in file order
            cut = np.arange(len(run)) * blocks // len(run) if blocks else np.full(len(run), place)
            order[run] = cut
            group[run] = number + (cut if blocks else 0)
            number += max(blocks, 1)
    return group, order


def _folder(path: Path, taskfile: TaskFile) -> tuple[Any, Any, Any]:
    """Pictures in folders that are named after the task's classes, each class in the order of the names."""
    task = taskfile.task
    x: list[npt.NDArray[np.uint8]] = []
    y: list[int] = []
    if taskfile.data.group:
        raise DataError(f"{path}: a folder of pictures says nothing of data.group; use data.blocks")
    for label, name in enumerate(task.classes):
        for file in sorted(p for p in (path / name).glob("*") if p.is_file()):
            try:
                made = prepared(decoded(read_file(file)), WHOLE, task.seen_as, task.image or (1, 1, 1))
            except (ContractError, OSError) as exc:
                raise DataError(f"{file}: {exc}") from exc
            x.append(made.astype(np.uint8))  # whole numbers: nothing is lost
            y.append(label)
    if not x:
        wanted = ", ".join(task.classes[:6])
        raise DataError(f"{path}: has no pictures in folders named after the classes ({wanted})")
    return np.stack(x), np.array(y, np.int64), np.full(len(y), "")


def _labels(path: Path, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if y.dtype.kind not in "biuf" or not np.isfinite(y).all() or (y != np.floor(y)).any():
        raise DataError(f"{path}: array y holds {y.dtype}, not whole numbers of classes")
    return y.astype(np.int64)


def _arrays(path: Path, taskfile: TaskFile, grouped: bool) -> tuple[Any, Any, Any]:
    if path.is_dir():
        return _folder(path, taskfile)
    task, name = taskfile.task, taskfile.data.group
    # Only training needs to know what belongs together.
    needed, asked = (("x", "y", name), ()) if name and grouped else (("x", "y"), (name,) if name else ())
    given = arrays.read(path, *needed, optional=asked)
    x, y = given["x"], _labels(path, given["y"])
    names = given[name].astype(str) if name in given else np.full(y.shape, "")
    if x.ndim == 0 or x.dtype != np.uint8 or x.shape[1:] != (task.image or ()):
        expected = " x ".join(map(str, task.image or ()))
        raise DataError(f"{path}: array x is {x.dtype} {x.shape[1:]}; the task {task.name} takes uint8 {expected}")
    if y.ndim != 1 or names.ndim != 1 or not len(x) == len(y) == len(names) or not len(y):
        raise DataError(f"{path}: arrays have {len(x)}, {y.size} and {names.size} entries; they must be as many")
    if y.min() < 0 or y.max() >= len(task.classes):
        wrong = y.min() if y.min() < 0 else y.max()
        raise DataError(f"{path}: array y: class {wrong} is none of the {len(task.classes)} of task {task.name}")
    return x, y, names
