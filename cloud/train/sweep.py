"""Many runs, tasks × seeds × hyper-parameters, one after the other or on a Ray cluster.

A grid is a TOML file::

    tasks = ["scats_15", "pems_5"]
    seeds = [0, 1, 2]

    [fit]                       # keys of a task file's [fit], each with the values to try; "sizes.NAME" of the model
    rate = [0.001, 0.003]
    "sizes.hidden" = [32, 64]

Every combination is a run directory under OUT of its own. Runs are not fitted again on all days: that is for the one
that is chosen, and chosen it is by its validation days. Ray schedules, places and restarts them; wayside does not.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from wayside.cloud.train import datasets
from wayside.cloud.train.errors import ClusterError, OutputError, TaskError, TrainError
from wayside.cloud.train.run import STAGE, check_family, folder_of, train
from wayside.cloud.train.taskfile import Fit, TaskFile, load_task
from wayside.contracts.wire import ContractError, Document, decode, decode_toml, encode
from wayside.durable import replace_file
from wayside.models.errors import ModelError
from wayside.text import read_toml

RESULT = "sweep.json"
OBJECTS = 100_000_000  # bytes that Ray shares between processes here: reports are small, data are read by each


class Grid(Document, frozen=True, kw_only=True):
    tasks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] = (0,)
    fit: dict[str, Annotated[list[Any], msgspec.Meta(min_length=1)]] = {}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run."""

    taskfile: TaskFile
    settings: dict[str, Any]  # what of the grid was chosen
    seed: int

    @property
    def folder(self) -> str:
        """Under OUT: TASK/KEY=VALUE,…,seed=N."""
        chosen = [f"{key}={value}" for key, value in self.settings.items()]
        return f"{self.taskfile.task.name}/" + ",".join([*chosen, f"seed={self.seed}"]).replace("/", "-")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    task: str
    settings: dict[str, Any]
    seed: int
    folder: str
    metric: str = ""  # of the next two: the goal's if the report has it, else the report's first
    validation: float | None = None
    holdout: float | None = None
    seconds: float | None = None
    error: str = ""


def jobs(path: Path, *, epochs: int | None = None) -> list[Job]:
    """The runs of the grid in the file ``path``, each of at most ``epochs``.

    Raises:
        TaskError: the file breaks its contract, names an unknown task, a setting that ``[fit]`` does not have, or one
            run twice.
        ModelConfigError: an unknown family.
    """
    try:
        grid = decode_toml(read_toml(path), Grid)
    except OSError as exc:
        raise TaskError(f"{path}: cannot be read: {exc}") from exc
    except ContractError as exc:
        raise TaskError(f"{path}: {exc}") from exc
    planned = []
    for name in grid.tasks:
        taskfile = load_task(name)
        for values in itertools.product(*grid.fit.values()):
            settings = dict(zip(grid.fit, values, strict=True))
            recipe = _changed(taskfile.fit, settings, path)
            check_family(taskfile.task, recipe.family)
            if epochs is not None:
                recipe = msgspec.structs.replace(recipe, epochs=min(epochs, recipe.epochs))
            one = msgspec.structs.replace(taskfile, fit=recipe)
            planned += [Job(taskfile=one, settings=settings, seed=seed) for seed in grid.seeds]
    folders = Counter(job.folder for job in planned)
    if twice := [folder for folder, times in folders.items() if times > 1]:
        raise TaskError(f"{path}: the run {twice[0]} is there {folders[twice[0]]} times: name each value once")
    return planned


def _changed(recipe: Fit, settings: dict[str, Any], path: Path) -> Fit:
    raw = msgspec.to_builtins(recipe) | {"refit": False}
    if settings.get("family", recipe.family) != recipe.family:
        raw["sizes"] = {}  # of the task's own family
    for key, value in settings.items():
        whole, _, part = key.partition(".")
        if part:
            raw[whole] = {**raw.get(whole, {}), part: value}
        else:
            raw[whole] = value
    try:
        return msgspec.convert(raw, Fit)
    except msgspec.ValidationError as exc:
        raise TaskError(f"{path}: [fit] {settings}: {exc}") from exc


def act(job: Job, data: Path | None, out: Path) -> Outcome:
    """Run one job. A failure is an outcome: the other runs go on."""
    of_job = {"task": job.taskfile.task.name, "settings": job.settings, "seed": job.seed, "folder": job.folder}
    try:
        source, taskfile = datasets.load(job.taskfile, folder_of(job.taskfile, data))
        report = train(taskfile, source, out / job.folder, seed=job.seed)
    except (TrainError, ModelError) as exc:
        return Outcome(**of_job, error=str(exc))
    own = {part: report[part]["scores"][report["model"]] for part in ("validation", "holdout")}
    goal = taskfile.goal.metric if taskfile.goal else ""
    metric = goal if goal in own["holdout"] else next(iter(own["holdout"]))
    values = {part: scores[metric] for part, scores in own.items()}
    return Outcome(**of_job, **values, metric=metric, seconds=report["seconds"])


def sweep(
    chosen: list[Job],
    data: Path | None,
    out: Path,
    *,
    ray: str | None = None,
    on_done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run all jobs and write their outcomes to ``out/sweep.json``, after each: what stops the rest loses nothing.

    Args:
        ray: none: one after the other, here. ``local``: on all processors of this machine; ``local:2``: on two.
            Else the address of a running cluster, where wayside is installed and ``data`` and ``out`` are the same
            folders.

    Raises:
        ClusterError: Ray is not installed, or not there.
        OutputError: ``out`` cannot be written.
    """
    place = {job.folder: number for number, job in enumerate(chosen)}
    done: list[Outcome] = []
    ways = _one_by_one(chosen, data, out) if ray is None else _on_ray(chosen, data, out, ray)
    for outcome in ways:
        done.append(outcome)
        done.sort(key=lambda o: place[o.folder])
        _keep(done, out)
        on_done(outcome)
    return done


def _keep(done: list[Outcome], out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / RESULT, json.dumps([asdict(o) for o in done], indent=1).encode() + b"\n")
    except OSError as exc:
        raise OutputError(f"cannot write {out / RESULT}: {exc}; choose another --out") from exc


def _one_by_one(chosen: list[Job], data: Path | None, out: Path) -> Iterator[Outcome]:
    for job in chosen:
        yield act(job, data, out)


def _on_ray(chosen: list[Job], data: Path | None, out: Path, address: str) -> Iterator[Outcome]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report home
    try:
        import ray
    except ModuleNotFoundError as exc:
        raise ClusterError('--ray needs Ray: pip install "wayside[cluster]"') from exc
    where, _, detail = address.partition(":")
    given: dict[str, Any] = {"address": address}
    if where == "local":
        if detail and not detail.isdecimal():
            raise ClusterError(f"--ray {address}: after local: stands a number of processes")
        # Nobody else is to use it: no page, little memory.
        given = {"address": "local", "num_cpus": int(detail) if detail else None}
        given |= {"include_dashboard": False, "object_store_memory": OBJECTS}
    else:
        _knock(address)
    try:
        ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as exc:
        raise ClusterError(f"--ray {address}: no cluster answers: {exc}") from exc
    running: dict[Any, Job] = {}
    try:
        remote = ray.remote(num_cpus=1)(_act_there)
        # Paths are relative to this process alone.
        data, out = data and data.absolute(), out.absolute()
        running |= {remote.remote(encode(job.taskfile), job.settings, job.seed, data, out): job for job in chosen}
        while running:
            (ready, *_), _ = ray.wait(list(running))
            job = running.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayError as exc:
                of_job = {"task": job.taskfile.task.name, "settings": job.settings, "seed": job.seed}
                yield Outcome(**of_job, folder=job.folder, error=f"Ray: {str(exc).strip().splitlines()[-1]}")
    finally:
        ray.shutdown()
        for job in running.values():  # stopped by Ctrl-C, and its process with it
            shutil.rmtree(out / job.folder / STAGE, ignore_errors=True)


def _act_there(taskfile: bytes, settings: dict[str, Any], seed: int, data: Path | None, out: Path) -> Outcome:
    # As on every wire of ours: a pickled document would spell out its defaults.
    return act(Job(taskfile=decode(taskfile, TaskFile), settings=settings, seed=seed), data, out)


def _knock(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # "auto": Ray looks on this machine
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as exc:
        raise ClusterError(f"--ray {address}: no cluster answers: {exc}") from exc


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The runs of one task with one choice of settings: mean and spread over seeds."""

    task: str
    settings: dict[str, Any]
    runs: int
    failed: int
    metric: str
    validation: float
    validation_spread: float
    holdout: float
    holdout_spread: float


def by_setting(outcomes: Iterable[Outcome]) -> list[Setting]:
    """Outcomes put together over seeds; of each task the best first, judged by validation alone."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(json.dumps([outcome.task, outcome.settings], sort_keys=True), []).append(outcome)
    settings = []
    for group in groups.values():
        ran = [o for o in group if o.validation is not None and o.holdout is not None]
        validation, holdout = ([float(getattr(o, n)) for o in ran] or [np.nan] for n in ("validation", "holdout"))
        settings.append(
            Setting(
                task=group[0].task,
                settings=group[0].settings,
                runs=len(ran),
                failed=len(group) - len(ran),
                metric=ran[0].metric if ran else "",
                validation=float(np.mean(validation)),
                validation_spread=float(np.std(validation)),
                holdout=float(np.mean(holdout)),
                holdout_spread=float(np.std(holdout)),
            )
        )
    order = list(dict.fromkeys(s.task for s in settings))
    more = ("accuracy", "balanced")  # is better
    return sorted(
        settings,
        key=lambda s: (
            order.index(s.task),
            np.isnan(s.validation),
            -s.validation if s.metric in more else s.validation,
        ),
    )
