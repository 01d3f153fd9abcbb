"""From a task file to windows that a model learns from and is judged on (docs/data.md)."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.cloud.train import files, generated
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.files import observed
from wayside.cloud.train.grid import FURTHER, Grid, on_grid
from wayside.cloud.train.quality import ImageQuality
from wayside.cloud.train.taskfile import TaskFile
from wayside.cloud.train.windows import Array, Windows, windows
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import to_builtins

__all__ = ["Array", "Examples", "Source", "Split", "Windows", "every", "load", "split", "test_windows", "windows"]
MAX_SITES = 4096  # as in contracts.task
PICTURES = {"images": "wayside.cloud.train.images", "frames": "wayside.cloud.train.frames"}
"""Layouts without a time: modules with ``read(taskfile, files, clean=…)`` and ``split(source, taskfile)``."""


class Examples(Protocol):
    """What training and evaluation take of windows, pictures and frames alike."""

    def __len__(self) -> int: ...

    def take(self, indices: Any) -> tuple[Array, npt.NDArray[Any]]:
        """Inputs (n, …), NaN where one is missing, and targets (n, …)."""

    @property
    def y(self) -> npt.NDArray[Any]:
        """All targets."""

    @property
    def site(self) -> npt.NDArray[Any]:
        """(N,) index of the site or source."""


class Pictures(Examples, Protocol):
    """Pictures or frames of one file format: at once the source and its examples."""

    @property
    def quality(self) -> ImageQuality: ...

    @property
    def sha256(self) -> str: ...


Source = Grid | Pictures


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three stretches, one after the other in time, or of different sites, tracks or videos.

    No target of one is in another; no input either, unless the task says ``reach_back``.
    """

    train: Examples
    validation: Examples
    holdout: Examples
    statistics: dict[str, Any] = field(default_factory=dict)
    """Of the training stretch, per site: ``mean``, ``std``; then ``seen``, where the held-out days begin, and
    ``until``, where the data end. Goes into the checkpoint, for files that follow (:func:`test_windows`)."""


def load(
    taskfile: TaskFile, data: Path | None = None, *, override: Sequence[Path] = (), start: str = ""
) -> tuple[Source, TaskFile]:
    """The task's data, cleaned, and the task as the data make it: further columns as inputs, and the sites' names.

    Args:
        data: a directory with the task's files, or one file; by default what the task generates, else the sample of
            ``traffic-anomaly``.
        override: files to read instead, in the same format, to be judged by: pictures stay as they are.
        start: time of the first row of files that carry no times.

    Raises:
        DataError: naming file, row, column and rule.
    """
    if data is None and not override and taskfile.data.generated is not None:
        with tempfile.TemporaryDirectory(prefix="wayside-generated-") as folder:
            generated.write(Path(folder), **to_builtins(taskfile.data.generated))
            return load(taskfile, Path(folder))
    if data is None and not override and taskfile.data.files:
        wanted = ", ".join(taskfile.data.files)
        raise DataError(f"the task {taskfile.task.name} reads {wanted}; give the folder that has them as --data")
    if data is not None and data.is_dir() and not taskfile.data.files:
        data = None  # its sample comes with a package; a folder of data for the other tasks has nothing of it
    paths = list(override) or (files.find(taskfile, data) if data is not None else [])
    if taskfile.data.layout in PICTURES:
        return _pictures(taskfile).read(taskfile, paths, clean=not override), taskfile
    if not paths:
        grid = on_grid(files.sample_rows(), taskfile, "traffic-anomaly sample_counts")
    elif taskfile.data.layout == "nab":
        grid = files.read_nab(taskfile, paths)
    else:
        rows = files.read(taskfile, paths, np.datetime64(start, "s") if start else None)
        grid = on_grid(rows, taskfile, paths[0].name if len(paths) == 1 else f"{len(paths)} files")
    return grid, _as_found(taskfile, grid)


def _pictures(taskfile: TaskFile) -> Any:
    return importlib.import_module(PICTURES[taskfile.data.layout])


def _as_found(taskfile: TaskFile, grid: Grid) -> TaskFile:
    task = taskfile.task
    known = {i.name for i in task.inputs}
    absent = [n for n in observed(taskfile) if n not in grid.columns]
    if absent:
        raise DataError(f"{grid.source}: column {absent[0]}: the task {task.name} needs it; add it")
    further = tuple(FURTHER[c] for c in grid.columns if c not in known and c != task.output)
    task = msgspec.structs.replace(task, inputs=task.inputs + further)
    if "site" in known:
        task = msgspec.structs.replace(task, sites=task.sites or grid.sites)
        if len(task.sites) > MAX_SITES:
            raise DataError(f"{grid.source}: has {len(task.sites)} sites; a model takes {MAX_SITES} at most")
        unknown = [s for s in grid.sites if s not in task.sites]
        if unknown:
            count = len(task.sites)
            raise DataError(f"{grid.source}: site {unknown[0]!r} is none of the {count} that the model knows")
    return msgspec.structs.replace(taskfile, task=task)


def every(source: Source, taskfile: TaskFile, statistics: dict[str, Any] | None = None) -> Examples:
    """All windows that training may use, for weights that have seen every day: up to ``data.until``.

    Raises:
        DataError: there is none.
    """
    if not isinstance(source, Grid):
        return source
    whole = windows(source, taskfile, statistics)
    return whole.where(whole.newest + whole.reach < _limit(source, taskfile))


def split(source: Source, taskfile: TaskFile) -> Split:
    """Training days, then validation days, then held-out days; whole local days, counted from the end.

    A window belongs to a stretch only when all of it, inputs and targets, lies inside (with ``reach_back``, all
    targets). A task that holds out sites is cut by them instead, pictures by groups.

    Raises:
        DataError: too few days, none of the sites, too few groups.
    """
    if not isinstance(source, Grid):
        return Split(**_pictures(taskfile).split(source, taskfile))
    return _split_by_site(source, taskfile) if taskfile.data.holdout_sites else _split_in_time(source, taskfile)


def _limit(grid: Grid, taskfile: TaskFile) -> int:
    """Intervals of the grid that training may use."""
    until = taskfile.data.until
    return int(np.searchsorted(grid.ends, np.datetime64(until, "s"), side="right")) if until else grid.values.shape[1]


def _split_in_time(grid: Grid, taskfile: TaskFile) -> Split:
    task = taskfile.task
    limit, day = _limit(grid, taskfile), np.timedelta64(1, "D")
    if not limit:
        raise DataError(
            f"{grid.source}: begins with {grid.quality.first}, and data.until of the task is {taskfile.data.until}: "
            "nothing is left"
        )
    # An interval that ends at midnight belongs to the day before.
    days = (grid.ends[:limit] - np.timedelta64(1, "s")).astype("datetime64[D]")
    held = int(np.searchsorted(days, days[-1] + day - task.holdout_days * day))
    validated = int(np.searchsorted(days, days[-1] + day - (task.holdout_days + task.validation_days) * day))
    statistics = _statistics(grid, taskfile, validated)
    statistics |= {"seen": str(grid.ends[held - 1]), "until": str(grid.ends[limit - 1])}
    every = windows(grid, taskfile, statistics)
    begin = every.newest + every.lead if taskfile.data.reach_back else every.newest - every.window + 1
    final = every.newest + every.reach
    parts = {
        "training": every.where(final < validated),
        "validation": every.where((begin >= validated) & (final < held)),
        "held-out": every.where((begin >= held) & (final < limit)),
    }
    for name, part in parts.items():
        if not len(part):
            cause = grid.quality.cause()
            more = "give more days, or a task file with fewer" if cause == "give more data" else cause
            raise DataError(
                f"{grid.source}: no {name} window between {grid.quality.first} and {grid.quality.last}: the task "
                f"keeps {task.validation_days} days for validation and {task.holdout_days} held out; {more}"
            )
    return Split(
        train=parts["training"], validation=parts["validation"], holdout=parts["held-out"], statistics=statistics
    )


def _split_by_site(grid: Grid, taskfile: TaskFile) -> Split:
    def matching(patterns: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        return np.array([any(fnmatch(s, p) for p in patterns) for s in grid.sites])

    held = matching(taskfile.data.holdout_sites)
    validated = matching(taskfile.data.validation_sites) & ~held
    statistics = _statistics(grid, taskfile, grid.values.shape[1], ~(held | validated))
    every = windows(grid, taskfile, statistics)
    parts = {"training": ~(held | validated), "validation": validated, "held-out": held}
    stretches = [every.where(mask[every.site]) for mask in parts.values()]
    for name, stretch in zip(parts, stretches, strict=True):
        if not len(stretch):
            raise DataError(f"{grid.source}: none of the sites {', '.join(grid.sites[:5])}, … is {name}")
    return Split(train=stretches[0], validation=stretches[1], holdout=stretches[2], statistics=statistics)


def _statistics(grid: Grid, taskfile: TaskFile, rows: int, of: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Mean and standard deviation of the output, per site, over the first ``rows`` intervals."""
    output = grid.values[:, :rows, grid.columns.index(taskfile.task.output)]
    counted = {
        s: v[~np.isnan(v)] for d, (s, v) in enumerate(zip(grid.sites, output, strict=True)) if of is None or of[d]
    }
    # A site that is silent or constant has no spread to count errors in.
    return {
        "mean": {s: float(v.mean()) for s, v in counted.items() if len(v)},
        "std": {s: float(v.std()) or 1.0 for s, v in counted.items() if len(v)},
    }


def test_windows(
    taskfile: TaskFile, task: TaskSpec, override: Sequence[Path], statistics: dict[str, Any] | None = None
) -> Examples:
    """Windows of a period that training never saw, from files in the training data's format and from nothing else.

    The first ``window`` rows warm up, as does everything up to the time that the model has ``seen``. Sites are matched
    by name with those of the model; some may be absent. Files without times follow where the training data ended.

    Args:
        task: of the checkpoint, with its sites.
        override: files, or one directory that holds files named like the task's.
        statistics: of the checkpoint (:attr:`Split.statistics`).

    Raises:
        DataError: naming file, row, column and rule; a site that the model does not know; nothing that is unseen.
    """
    known = statistics or {}
    taskfile = msgspec.structs.replace(taskfile, task=task)
    paths = [f for path in override for f in files.find(taskfile, path)]
    start = known.get("until", "") if not taskfile.data.time else ""
    source, taskfile = load(taskfile, override=paths, start=start)
    if not isinstance(source, Grid):
        return source
    later = windows(source, taskfile, known)
    if known.get("seen"):
        later = later.where(later.end > np.datetime64(known["seen"]))
    if not len(later):
        raise DataError(f"{source.source}: nothing of it is later than {known['seen']}, until when the model has seen")
    return later
