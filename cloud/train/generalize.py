"""How a model does where it was never trained: on sites left out, and from one place to all others.

A site that training did not have cannot have an embedding or a profile of its own. Its windows carry the index
``len(task.sites)`` instead, which stands for "unknown" in every family. Training and test days are cut in time as
always, so that an unseen site is also judged on unseen days; beside it stands the same model trained with that site.

Sites that belong together (approaches of one intersection) are left out together: ``[data] group`` names the array that
says so; without it each site is alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from wayside.cloud.train import datasets, files, sites
from wayside.cloud.train.datasets import Source, Split
from wayside.cloud.train.errors import DataError, OutputError, TaskError
from wayside.cloud.train.evaluate import FLOORS, answers, point, score
from wayside.cloud.train.fit import fit
from wayside.cloud.train.fitted import OnEpoch
from wayside.cloud.train.taskfile import TaskFile
from wayside.cloud.train.windows import Array, Windows
from wayside.contracts.task import TaskSpec
from wayside.durable import replace_file

Mask = npt.NDArray[np.bool_]
OnModel = Callable[[str, int, int], OnEpoch]
"""(what is trained, its number from 1, of how many) → who hears of its epochs."""
RESULT = "generalize.json"
SEEN, UNSEEN = "trained with it", "trained without it"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One group of sites on held-out days; scores are name → mae, rmse."""

    group: str
    sites: int
    n: int
    scores: dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    trained_on: str
    tested_on: str
    n: int
    mae: float
    rmse: float


def groups(taskfile: TaskFile, source: Source, data: Path | None) -> dict[str, list[int]]:
    """Group → indices into ``source.sites``, in the order of the sites.

    Raises:
        TaskError: the task has no sites to leave out.
        DataError: the array of ``[data] group`` is missing.
    """
    if taskfile.task.kind != "forecast" or len(source.sites) < 2:
        raise TaskError(f"task {taskfile.task.name} has no sites of which one could be left out")
    labels: Sequence[Any] = source.sites
    if taskfile.data.group and data is not None:
        path = files.find(taskfile, data)[0]
        with np.load(path, allow_pickle=False) as archive:
            if not {taskfile.data.group, taskfile.data.site} <= set(archive.files):
                raise DataError(f"{path}: there is no array {taskfile.data.group!r}, which [data] group names")
            of = dict(zip(archive[taskfile.data.site].tolist(), archive[taskfile.data.group].tolist(), strict=True))
        labels = [of[s] for s in source.sites]
    members: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(str(label), []).append(index)
    return members


def leave_out(
    taskfile: TaskFile,
    source: Source,
    of: dict[str, list[int]],
    *,
    folds: int = 5,
    seed: int = 0,
    on_model: OnModel = lambda *_: lambda _: None,
) -> list[Fold]:
    """Leave one group of sites out, train on all others, and test on the one; for ``folds`` groups, drawn at random.

    Args:
        of: as `groups` gives them.
        folds: 0: every group.

    Raises:
        TrainError: the data or the recipe do not fit.
    """
    torch.set_num_threads(1)
    drawn = np.random.default_rng(seed).permutation(len(of))[: folds or len(of)]
    chosen = [list(of)[i] for i in sorted(drawn)]
    split = datasets.split(source, taskfile)
    with_all = _trained(taskfile, split, seed, on_model("all sites", 1, len(chosen) + 1))
    measured = []
    for number, name in enumerate(chosen, start=2):
        here = of[name]
        cut = replace(split, train=_of(split.train, here, inside=False), validation=_of(split.validation, here, False))
        without = _trained(taskfile, cut, seed, on_model(f"without {name}", number, len(chosen) + 1))
        known = _of(split.holdout, here)
        y = known.y
        forecasts = {floor: getattr(known, floor) for floor in FLOORS} | {
            SEEN: _forecast(taskfile.task, with_all, known),
            UNSEEN: _forecast(taskfile.task, without, at_unknown_site(taskfile.task, known)),
        }
        scores = {n: score(f, y) for n, f in forecasts.items()}
        measured.append(Fold(group=name, sites=len(here), n=len(known), scores=scores))
    return measured


def pairs(
    taskfile: TaskFile,
    source: Source,
    of: dict[str, list[int]],
    *,
    seed: int = 0,
    on_model: OnModel = lambda *_: lambda _: None,
) -> list[Pair]:
    """Train on each group alone and test on every one: the held-out days of its own, and of all that it never saw.

    Raises:
        TrainError: the data or the recipe do not fit.
    """
    torch.set_num_threads(1)
    split = datasets.split(source, taskfile)
    measured = []
    for number, (name, here) in enumerate(of.items(), start=1):
        cut = replace(split, train=_of(split.train, here), validation=_of(split.validation, here))
        module = _trained(taskfile, cut, seed, on_model(f"{name} alone", number, len(of)))
        for other, there in of.items():
            windows = _of(split.holdout, there)
            shown = windows if other == name else at_unknown_site(taskfile.task, windows)
            scores = score(_forecast(taskfile.task, module, shown), windows.y)
            measured.append(Pair(trained_on=name, tested_on=other, n=len(windows), **scores))
    return measured


def pooled(folds: Sequence[Fold]) -> dict[str, dict[str, float]]:
    """Scores over the windows of all ``folds``."""
    n = np.array([f.n for f in folds], float)

    def mean(name: str, measure: str, power: int) -> float:
        values = np.array([f.scores[name][measure] for f in folds])
        return float(((values**power * n).sum() / n.sum()) ** (1 / power))

    return {name: {"mae": mean(name, "mae", 1), "rmse": mean(name, "rmse", 2)} for name in folds[0].scores}


def write(out: Path, result: dict[str, Any]) -> Path:
    """Put ``result`` into ``out/generalize.json``, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    except OSError as exc:
        raise OutputError(f"cannot write {out / RESULT}: {exc}; choose another --out") from exc
    return out / RESULT


def _trained(taskfile: TaskFile, split: Split, seed: int, on_epoch: OnEpoch) -> nn.Module:
    recipe = msgspec.structs.replace(taskfile.fit, refit=False)
    return fit(recipe, taskfile.task, split, seed=seed, on_epoch=on_epoch).module


def _of(windows: Windows, sites: list[int], inside: bool = True) -> Windows:
    mask: Mask = np.isin(windows.site, sites) == inside
    if not mask.any():
        raise DataError("a group of sites has no window of its own in one of the stretches; give more data")
    return windows.where(mask)


def at_unknown_site(task: TaskSpec, windows: Windows) -> Windows:
    """The same windows, as if of a site that the model does not know."""
    at = sites.column(task)
    if at is None:
        return windows
    rows = windows.rows.copy()  # (D, M, F)
    rows[:, :, at] = len(task.sites)
    return replace(windows, rows=rows)


def _forecast(task: TaskSpec, module: nn.Module, windows: Windows) -> Array:
    return point(task, answers(module, windows))
