"""The model that a simulation asks: a bundle's int8 file on the node's runtime, and the days that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wayside.cloud.evaluate import evaluate, judge
from wayside.cloud.evaluate.job import Job
from wayside.cloud.sim.errors import NothingToReplay
from wayside.cloud.sim.kept import Kept
from wayside.cloud.sim.replay import OnShare, Replay, choose, replays
from wayside.cloud.train import datasets, run
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import TaskFile, load_task

Tell = evaluate.Tell


@dataclass(frozen=True, kw_only=True)
class Model:
    """A bundle beside the data that it is replayed on."""

    label: str
    taskfile: TaskFile
    grid: Grid
    bundle: Path
    months: Sequence[str]  # held out, whole, and asked for

    @property
    def zone(self) -> str:
        return self.taskfile.data.zone or "UTC"

    def replays(self, site: str | None, on_share: OnShare = lambda share: None) -> list[Replay]:
        """The months at ``site`` (None: the only one).

        Raises:
            NothingToReplay: no such site.
        """
        with _int8(self.bundle) as runtime:
            return replays(self.grid, self.taskfile, runtime, site=site, wanted=self.months, on_share=on_share)


def open_model(name: str, wanted: str, kept: Kept, tell: Tell) -> Model:
    """The bundle given, or one that is trained and exported as ``wayside evaluate`` does it.

    Args:
        name: the training task, or the path of its .toml file.
        wanted: months: ``last``, ``all``, or some, by comma.

    Raises:
        NothingToReplay: no such month was held out; the bundle has seen the held-out days, or is for another task.
        TrainError, EvaluateError, ExportError: with their own words.
    """
    bundle = kept.bundle
    job = Job(task=name, data=kept.data, runs=kept.runs, seed=kept.seed, refit=False)
    taskfile = run.with_fit(load_task(name), refit=False)
    tell("reading the data", 0.0)
    if bundle is not None:
        passport = judge.open_model(bundle).passport
        if passport.task.name != taskfile.task.name:
            raise NothingToReplay(f"{bundle} is a model of the task {passport.task.name}, not of {taskfile.task.name}")
        if passport.seen_until:
            raise NothingToReplay(
                f"{bundle} has been trained on every day until {passport.seen_until}: none of the data are new to "
                "it; export the run itself and not its final/"
            )
        grid, taskfile = datasets.load(msgspec.structs.replace(taskfile, task=passport.task), kept.data)
        months = _months(wanted, grid, taskfile)
    else:
        grid, taskfile = datasets.load(taskfile, kept.data)
        months = _months(wanted, grid, taskfile)  # what is wrong is said before anything is trained
        folder = kept.runs / taskfile.task.name
        evaluate.trained(job, taskfile, grid, folder, tell)
        bundle = evaluate.exported(folder, tell)
        passport = judge.open_model(bundle).passport
    assert isinstance(grid, Grid)  # noqa: S101  (_months looked)
    label = f"{passport.bundle} {passport.version}"
    return Model(label=label, taskfile=taskfile, grid=grid, bundle=bundle, months=months)


def _months(wanted: str, source: datasets.Source, taskfile: TaskFile) -> Sequence[str]:
    if taskfile.task.kind != "forecast" or not isinstance(source, Grid):
        raise NothingToReplay(f"the task {taskfile.task.name} is of kind {taskfile.task.kind}; forecasts are replayed")
    return choose(wanted, source, taskfile)


@contextmanager
def _int8(path: Path) -> Iterator[judge.Runtime]:
    """The first int8 variant that this machine runs; float where the gate left none."""
    bundle = judge.open_model(path)
    variants = sorted(bundle.passport.variants, key=lambda v: v.precision != "int8")
    chosen = msgspec.structs.replace(bundle.passport, variants=variants[:1])
    for _, runtime in judge.runtimes(type(bundle)(**{**vars(bundle), "passport": chosen})):
        yield runtime
