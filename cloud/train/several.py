"""Several tasks and families in one call: planned as a whole before the first begins, and none stops the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wayside.cloud.train import datasets, run
from wayside.cloud.train.datasets import Source
from wayside.cloud.train.errors import TaskError, TrainError
from wayside.cloud.train.fit import REFERENCES
from wayside.cloud.train.fitted import OnEpoch
from wayside.cloud.train.taskfile import TaskFile, load_task, task_names
from wayside.models import registry
from wayside.models.errors import ModelError
from wayside.paths import listed

Report = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One run."""

    taskfile: TaskFile  # its [fit] is the run's
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.taskfile.task.name} {self.taskfile.fit.family}"


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A run that left nothing, and why."""

    planned: Planned
    error: TrainError | ModelError

    def as_dict(self) -> Report:
        of = self.planned.taskfile
        return {"family": of.fit.family, "task": {"name": of.task.name}, "error": str(self.error)}


def plan(
    tasks: str,
    families: str | None,
    out: Path,
    *,
    epochs: int | None,
    refit: bool,
    on_left_out: Callable[[str], None] = lambda _: None,
) -> list[Planned]:
    """Every task with every family; folders inside ``out``, one per task and family where there are several.

    Args:
        tasks: names or paths with commas between, or ``all``.
        families: names with commas between, ``all`` for the references, or None for each task's own.
        on_left_out: told of each task that ``all`` leaves out, since it is of another kind than one of the families.

    Raises:
        TaskError: an unknown task, one named twice, a family for another kind of task.
        ModelConfigError: an unknown family.
    """
    names = _listed("--task", tasks)
    if names == ["all"]:  # all that need the folder: what is sampled or generated is no part of it
        names = [n for n in task_names() if not load_task(n).sampled]
    chosen = _listed("--family", families) if families is not None else [None]
    if "all" in chosen and len(chosen) > 1:
        raise TaskError(f"--family {families}: all stands for {', '.join(REFERENCES)}; it is named alone")
    for family in chosen:
        if family not in (None, "all"):
            registry.family(str(family))
    planned = []
    for taskfile in map(load_task, names):
        folder = out / taskfile.task.name if len(names) > 1 else out
        of_kind = registry.families(taskfile.task.kind)
        if tasks == "all" and chosen not in ([None], ["all"]) and not {*chosen} <= {*of_kind}:
            on_left_out(f"{taskfile.task.name} is of kind {taskfile.task.kind}, and not every one of {families} is")
            continue
        for each in [f for f in REFERENCES if f in of_kind] or [None] if chosen == ["all"] else chosen:
            one = run.with_fit(taskfile, family=each, epochs=epochs, refit=refit)
            inside = folder / one.fit.family if chosen == ["all"] or len(chosen) > 1 else folder
            planned.append(Planned(taskfile=one, folder=inside))
    for path, count in Counter(p.folder for p in planned).items():
        if count > 1:
            raise TaskError(f"--task {tasks}: {count} runs would be {path}: their task files have one name")
    return planned


def _listed(option: str, text: str) -> list[str]:
    names = listed(text)
    for name, count in Counter(names).items():
        if not name:
            raise TaskError(f"{option} {text!r}: a name is missing between the commas")
        if count > 1:
            raise TaskError(f"{option} {text}: {name} is named twice")
    return names


def train(
    planned: Sequence[Planned],
    data: Path | None,
    *,
    seed: int = 0,
    on_source: Callable[[Source], None] = lambda _: None,
    on_run: Callable[[Planned], OnEpoch] = lambda _: lambda _: None,
) -> Iterator[Report | Failed]:
    """Run one after the other; each task's data are read once. Yields a report or a failure for each run."""
    source: Source | None = None
    read: TaskFile | None = None  # as the data made it
    before: Planned | None = None
    for each in planned:
        try:
            if read is None or before is None or before.taskfile.task != each.taskfile.task:
                source = read = None
                before = each
                source, read = datasets.load(each.taskfile, run.folder_of(each.taskfile, data))
                on_source(source)
            whole = msgspec.structs.replace(read, fit=each.taskfile.fit)
            yield run.train(whole, source, each.folder, seed=seed, on_epoch=on_run(each))
        except (TrainError, ModelError) as exc:
            yield Failed(planned=each, error=exc)
