"""One training run from data to its directory: ``checkpoint.pt``, ``windows.npz``, ``report.json``, ``forecast.png``,
``tensorboard/``, ``wandb/`` if asked for, and, inside it, ``final/``.

The run itself is the honest one: its weights never saw the held-out days that its report is about. ``final/`` is what a
city would deploy: the same model fitted again on all days for as many epochs, in a run directory of its own
(``checkpoint.pt``, ``windows.npz``, ``report.json``). Its held-out days were trained on, so it makes no claim about
them: its configuration says until when it has seen (``seen_until``) and carries the honest run's numbers (``honest``).

Everything is made in ``OUT/.partial`` and then moved, the checkpoint last: a directory with a checkpoint is complete,
whenever the run was stopped. Nothing else in ``OUT`` is touched. Of several processes (`torchrun`) the first writes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from wayside.cloud.train import alarms, cases, datasets, ranks
from wayside.cloud.train.datasets import Examples, Source
from wayside.cloud.train.errors import OutputError, TaskError, TrainError
from wayside.cloud.train.evaluate import answers, compare, point, predict
from wayside.cloud.train.fit import RECIPES, SOLVERS, fit, refit, solve
from wayside.cloud.train.fitted import Epoch, Fitted, OnEpoch
from wayside.cloud.train.taskfile import Fit, TaskFile
from wayside.cloud.train.tracking import Tracker, draw
from wayside.cloud.train.windows import Windows
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.paths import placed

CHECKPOINT, WINDOWS, REPORT, PICTURE, FINAL = "checkpoint.pt", "windows.npz", "report.json", "forecast.png", "final"
STAGE = ".partial"
PARTS = (WINDOWS, REPORT, PICTURE, "tensorboard", "wandb", FINAL)


def with_fit(
    taskfile: TaskFile, *, family: str | None = None, epochs: int | None = None, refit: bool = True
) -> TaskFile:
    """``taskfile`` with some of its ``[fit]`` replaced; another family than its own comes with that family's recipe.

    Raises:
        ModelConfigError: unknown family.
        TaskError: a family for another kind of task.
    """
    recipe = taskfile.fit
    if family is not None and family != recipe.family:
        check_family(taskfile.task, family)
        recipe = RECIPES.get(family, Fit(family=family))
    changes = {"epochs": epochs or recipe.epochs, "refit": refit and taskfile.fit.refit}
    return msgspec.structs.replace(taskfile, fit=msgspec.structs.replace(recipe, **changes))


def check_family(task: TaskSpec, family: str) -> None:
    """Refuse what cannot be trained for ``task``.

    Raises:
        ModelConfigError: unknown family.
        TaskError: a family for another kind of task.
    """
    registry.family(family)
    if family not in registry.families(task.kind):
        known = ", ".join(registry.families(task.kind))
        raise TaskError(f"task {task.name} is of kind {task.kind}, and {family} is not; choose of {known}")


def folder_of(taskfile: TaskFile, data: Path | None) -> Path | None:
    """Where the task's data are: ``data`` if given, else ``WAYSIDE_DATA`` for a task that reads files."""
    if data is None and taskfile.data.files and os.environ.get("WAYSIDE_DATA"):
        return placed(Path(), os.environ["WAYSIDE_DATA"])
    return data


def train(
    taskfile: TaskFile, source: Source, out: Path, *, seed: int = 0, on_epoch: OnEpoch = lambda _: None
) -> dict[str, Any]:
    """Fit ``taskfile.fit`` on ``source`` and write the run into ``out``.

    Returns:
        The report, as written; nothing in processes but the first.

    Raises:
        DataError: too few data for the task's days.
        OutputError: ``out`` cannot be written.
        ModelConfigError: unknown family.
        TaskError: the recipe does not fit the task.
        DivergedError: the loss is no number any more.
        TrackingError: Weights & Biases is asked for, and not installed.
    """
    # Batches of 32 are too small to share between cores, and one thread makes the weights reproducible.
    torch.set_num_threads(1)
    task, recipe = taskfile.task, taskfile.fit
    data = datasets.split(source, taskfile)
    with ranks.joined(), _staged(out) as stage, Tracker(stage, taskfile, seed) as tracker:

        def tell(epoch: Epoch) -> None:
            tracker.epoch(epoch)
            on_epoch(epoch)

        begun = time.perf_counter()
        fitted = fit(recipe, task, data, seed=seed, on_epoch=tell)
        between = time.perf_counter()
        every = datasets.every(source, taskfile, data.statistics) if recipe.refit else None
        last = every and refit(recipe, task, every, fitted, data, seed=seed, on_epoch=tell)
        done = time.perf_counter()
        if ranks.rank():
            return {}
        models = {recipe.family: fitted}
        if "solver" in fitted.notes:  # the linear family is solved both ways
            models = {f"{recipe.family}, {s}": solve(recipe, task, data, seed=seed, solver=s) for s in SOLVERS}
        own = next(iter(models))
        judged = {"validation": data.validation, "holdout": data.holdout}
        named = {p: {n: answers(m.module, windows) for n, m in models.items()} for p, windows in judged.items()}
        results = {p: compare(task, judged[p], of) for p, of in named.items()}
        config = fitted.config | {
            "task": to_builtins(_with_usual(task, data.validation, named["validation"][own])),
            "seed": seed,
            "data_sha256": source.sha256,
            "statistics": data.statistics,
            "site_dropout": recipe.site_dropout,
            "residual_std": _residual_std(task, data.validation, named["validation"][own]),
            "parameters": sum(p.numel() for p in fitted.module.parameters()),
        }
        report = {
            "family": recipe.family,
            "model": own,
            "task": config["task"],
            "fit": msgspec.to_builtins(recipe),
            "seed": seed,
            "data_sha256": config["data_sha256"],
            "data": source.quality.as_dict(),
            "splits": {"train": _stretch(data.train)} | {p: _stretch(windows) for p, windows in judged.items()},
            "parameters": config["parameters"],
            "residual_std": config["residual_std"],
            "seconds": round(between - begun, 2),
            "epochs": [[e.train, e.validation] for e in fitted.epochs],
            "notes": {n: m.notes for n, m in models.items()},
            **results,
        }
        for part, comparison in results.items():
            tracker.result(part, comparison)
        if task.kind == "forecast":
            forecast = point(task, named["holdout"][own])
            figure = draw(data.holdout, forecast, task, source.sites, recipe.family)
            tracker.figure(figure)
            figure.savefig(stage / PICTURE, dpi=110)
        _write(stage, fitted, config, report, _windows(taskfile, fitted, data.train, data.holdout, seed))
        if every and last:
            claims = {
                "seen_until": _stretch(every).get("last", "the end"),  # pictures have no times
                "honest": {p: result["scores"][own] for p, result in results.items()},
            }
            again = {
                "splits": report["splits"] | {"refit": _stretch(every)},
                "seconds": round(done - between, 2),
                "epochs": [[e.train, None] for e in last.epochs],
            }
            windows = _windows(taskfile, last, every, data.holdout, seed)
            seen = {"statistics": data.statistics | {"seen": data.statistics.get("until", "")}}
            _write(stage / FINAL, last, config | claims | seen, report | claims | again, windows)
    return report


def _write(
    folder: Path, fitted: Fitted, config: dict[str, Any], report: dict[str, Any], windows: dict[str, Any]
) -> None:
    folder.mkdir(exist_ok=True)
    np.savez(folder / WINDOWS, **windows)
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n")
    try:
        torch.save({"state_dict": fitted.module.state_dict(), "config": config}, folder / CHECKPOINT)
    except RuntimeError as exc:  # torch's own writer says so of a full disk
        raise OutputError(f"cannot write {CHECKPOINT}: {next(iter(str(exc).splitlines()), 'no space')}") from exc


def _with_usual(task: TaskSpec, windows: Examples, scores: datasets.Array) -> TaskSpec:
    """``task`` with what its alarm stage has to know of usual scores."""
    if task.alarm is None or not isinstance(windows, Windows):
        return task
    return alarms.with_usual(task, alarms.series_of(windows, scores[:, 0].astype(float)))


def _residual_std(task: TaskSpec, windows: Examples, own: datasets.Array) -> float:
    """Of the forecasts' errors, output units; 1 where a task has no such errors."""
    if task.kind not in ("forecast", "count"):
        return 1.0
    # A perfect fit on a tiny file must not make every later residual an infinite anomaly.
    return max(float(np.std(point(task, own) - windows.y)), 1e-6)


def _stretch(windows: Examples) -> dict[str, Any]:
    times = {"first": str(windows.first.min()), "last": str(windows.last.max())} if isinstance(windows, Windows) else {}
    return times | {"windows": len(windows)}


def _windows(taskfile: TaskFile, fitted: Fitted, seen: Examples, held: Examples, seed: int) -> dict[str, Any]:
    return cases.stored(taskfile, seen, held, seed, _worst(taskfile.task, fitted, seen))


def _worst(task: TaskSpec, fitted: Fitted, seen: Examples) -> npt.NDArray[np.int64]:
    """Indices of the training examples on which the model errs most, of some that are evenly drawn."""
    drawn = cases.evenly(len(seen), min(4096, cases.POOL // math.prod(task.input_shape)))
    x, y = seen.take(drawn)
    given = predict(fitted.module, x)
    if task.kind == "score":
        error = given[:, 0]
    elif task.kind == "classify":
        error = _doubt(given, y)
    else:
        error = np.abs(point(task, given) - y).reshape(len(y), -1).mean(axis=1)
    return drawn[np.argsort(-error, kind="stable")[: cases.WORST]]


def _doubt(logits: datasets.Array, y: npt.NDArray[np.int64]) -> datasets.Array:
    """(N,) by how much the best wrong class stands above the right one."""
    rows = np.arange(len(y))
    right, others = logits[rows, y], logits.copy()
    others[rows, y] = -np.inf
    best: datasets.Array = others.max(axis=1) - right
    return best


@contextlib.contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A folder to write into; its content replaces that of ``out`` when the block ends well, else it vanishes."""
    stage = out / STAGE
    if ranks.rank():
        yield stage  # nothing is written there
        return
    try:
        shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
        stage.mkdir(parents=True)
        try:
            yield stage
            (out / CHECKPOINT).unlink(missing_ok=True)  # from here on the directory is incomplete, and says so
            for name in PARTS:
                _replace(stage / name, out / name)
            (stage / CHECKPOINT).replace(out / CHECKPOINT)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except TrainError:
        raise
    except OSError as exc:
        raise OutputError(f"cannot write the run into {out}: {exc}; choose another --out") from exc


def _replace(made: Path, old: Path) -> None:
    """Put ``made`` where ``old`` was; a part that this run has not made is gone."""
    if old.is_dir():
        shutil.rmtree(old)
    elif not made.exists():
        old.unlink(missing_ok=True)
    if made.exists():
        made.replace(old)
