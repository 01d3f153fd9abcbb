"""One task from data to its row: train unless that was done, export past the gate, judge the bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wayside.cloud.evaluate import judge as judging
from wayside.cloud.evaluate.errors import NothingToJudge
from wayside.cloud.evaluate.job import Job
from wayside.cloud.evaluate.metrics import loss, measure
from wayside.cloud.evaluate.row import Row
from wayside.cloud.train import anomaly, datasets, run
from wayside.cloud.train.task_rules import is_moment
from wayside.cloud.train.taskfile import TaskFile, load_task
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import ContractError, encode, from_builtins
from wayside.edge import golden
from wayside.edge.trusted_bundle import Bundle
from wayside.export import checkpoint, pipeline
from wayside.text import loads_json, read_file

Tell = Callable[[str, float], None]
"""Told what is being done, and how much of it, 0 to 1."""
METRICS = {"forecast": "mae", "classify": "accuracy", "count": "mae", "score": "vus_pr"}
"""By kind, for tasks without a goal."""
UNLABELLED = (
    "judged on all labelled series, most of which were trained on; the numbers of others are of realTraffic alone, "
    "whose labels are not in the data"
)
MARK = "evaluated.sha256"
"""In a run directory: of what the run was made from."""


class Statistics(msgspec.Struct):
    """What a checkpoint says of its training days (:attr:`cloud.train.datasets.Split.statistics`)."""

    mean: dict[str, float] = {}  # by site
    std: dict[str, float] = {}
    seen: str = ""  # local time
    until: str = ""

    def __post_init__(self) -> None:
        if not all(is_moment(time) for time in (self.seen, self.until) if time):
            raise ValueError("seen and until are local times")


def evaluate(job: Job, tell: Tell = lambda what, share: None) -> Row:
    """Train what is missing, then judge on the held-out part of the data, or on ``job.unseen``.

    Raises:
        EvaluateError: nothing to judge.
        TrainError, ExportError, EdgeError, ModelError: with their own words.
    """
    taskfile = run.with_fit(load_task(job.task), epochs=job.epochs, refit=job.refit)
    folder = job.runs / taskfile.task.name
    if job.unseen is None or job.retrain or not (folder / run.CHECKPOINT).exists():
        tell("reading the data", 0)
        source, taskfile = datasets.load(taskfile, job.data)
        trained(job, taskfile, source, folder, tell)
        if job.unseen is None and taskfile.task.kind == "score":
            return _scored(job, taskfile, folder, tell)
        if job.unseen is None:
            return _judged(job, taskfile, folder, datasets.split(source, taskfile).holdout, tell)
    # The weights that saw all the days that there were: what would be on the node when the later period begins.
    final = folder / run.FINAL
    folder = final if (final / run.CHECKPOINT).exists() else folder
    tell("reading the unseen period", 0)
    if taskfile.task.kind == "score":
        return _scored(job, taskfile, folder, tell)
    task, statistics = _known(folder)
    examples = datasets.test_windows(taskfile, task, [job.unseen], statistics)
    return _judged(job, taskfile, folder, examples, tell)


def trained(job: Job, taskfile: TaskFile, source: datasets.Source, folder: Path, tell: Tell) -> None:
    """A run of ``taskfile`` in ``folder``; one of the same task file, data and seed is kept."""
    mark = hashlib.sha256(encode(taskfile) + f"{source.sha256} {job.seed}".encode()).hexdigest()
    marked = folder / MARK
    same = marked.is_file() and marked.read_bytes() == mark.encode()
    if same and not job.retrain and (folder / run.CHECKPOINT).exists():
        return
    epochs = taskfile.fit.epochs * (2 if taskfile.fit.refit else 1)
    seen = 0

    def on_epoch(epoch: Any) -> None:
        nonlocal seen
        seen += 1
        tell(f"training, epoch {seen} of at most {epochs}", seen / epochs)

    tell(f"training, epoch 1 of at most {epochs}", 0)
    marked.unlink(missing_ok=True)
    run.train(taskfile, source, folder, seed=job.seed, on_epoch=on_epoch)
    marked.write_text(mark)


def exported(folder: Path, tell: Tell) -> Path:
    """The bundle of the run in ``folder``; made unless there is one that is newer than the checkpoint."""
    out = folder / "export"
    made = (folder / run.CHECKPOINT).stat().st_mtime_ns
    for path in out.glob("*.bundle"):
        if path.stat().st_mtime_ns > made:
            return path
    stages = pipeline.plan("bundle")
    work = pipeline.run(folder, before=lambda stage: tell(f"export: {stage}", stages.index(stage) / len(stages)))
    return next(path for path in pipeline.write(work, out) if path.suffix == ".bundle")


def _judged(job: Job, taskfile: TaskFile, folder: Path, examples: datasets.Examples, tell: Tell) -> Row:
    if not len(examples):
        raise NothingToJudge(f"{job.unseen or job.data}: no window of the task {taskfile.task.name} is complete in it")
    trained = checkpoint.load(folder)
    bundle = _bundle_of(trained, folder, tell)
    task = bundle.passport.task
    metric = taskfile.goal.metric if taskfile.goal else METRICS[task.kind]
    of = taskfile.goal.of if taskfile.goal else ""
    # In float32, as all that is divided; classes stay whole numbers.
    scale = np.float32(examples.spread[:, None]) if taskfile.standardize else None
    judge = judging.Judge(task, _in(judging.truth(examples), scale), metric, of)
    tell("torch", 0)
    fp32 = _in(judging.torch_answers(trained.model, examples), scale)
    scores = {"fp32": measure(fp32, judge.truth, task, of)}
    if task.kind == "forecast":
        floors = {name: _in(getattr(examples, name), scale) for name in ("naive", "seasonal")}
        scores = {name: measure(each, judge.truth, task, of) for name, each in floors.items()} | scores
    elif task.kind == "classify":
        scores["naive"] = measure(_commonest(judge.truth, task), judge.truth, task)
    lost, worst, us = dict[str, float](), dict[str, Any](), dict[str, float]()
    sample = np.ascontiguousarray(examples.take(np.arange(1))[0], np.float32)
    for name, runtime in judging.runtimes(bundle):
        us[name] = judging.microseconds(runtime, sample)
        if name.endswith("-fp32"):
            continue  # the gate holds it equal to torch
        int8 = _in(judging.answers(runtime, examples, lambda share, name=name: tell(name, share)), scale)
        scores[name] = measure(int8, judge.truth, task, of)
        lost[name] = loss(metric, scores[name][metric], scores["fp32"][metric])
        worst[name] = judge.worst(_slices(examples, task, judge.truth), int8, fp32)
    return Row(
        **_who(job, taskfile, folder, bundle),
        period=_period(examples, task),
        n=len(examples),
        metric=metric,
        of=of,
        scores=scores,
        us=us,
        loss=lost,
        worst=worst,
    )


def _scored(job: Job, taskfile: TaskFile, folder: Path, tell: Tell) -> Row:
    """A detector: the same judge for torch and for each int8 file."""
    trained = checkpoint.load(folder)
    bundle = _bundle_of(trained, folder, tell)
    task, statistics = _known(folder)
    taskfile = msgspec.structs.replace(taskfile, task=task)
    if job.data is None and taskfile.data.files:
        raise NothingToJudge(f"the task {task.name} is judged with its data at hand; name their folder as --data")
    metric = taskfile.goal.metric if taskfile.goal else METRICS[task.kind]

    def judged(score: anomaly.ScoreFn) -> dict[str, Any]:
        return anomaly.evaluate(taskfile, job.data, score, job.unseen, statistics=statistics)

    tell("torch", 0)
    judgements = {"fp32": judged(lambda x: trained.answers(np.asarray(x, np.float32), batch=1024))}
    lost, us = dict[str, float](), dict[str, float]()
    for name, runtime in judging.runtimes(bundle):
        us[name] = judging.microseconds(runtime, bundle.golden_inputs[:1])
        if name.endswith("-int8"):
            tell(name, 0.5)
            judgements[name] = judged(lambda x, runtime=runtime: golden.run_all(runtime, x))
            lost[name] = loss(metric, judgements[name][metric], judgements["fp32"][metric])
    ours = judgements["fp32"]
    return Row(
        **_who(job, taskfile, folder, bundle),
        period=f"{ours['incidents']} incidents put in" if "incidents" in ours else "labelled",
        n=int(ours.get("n", 0)),
        metric=metric,
        scores={
            who: {m: v for m, v in measures.items() if isinstance(v, float)} for who, measures in judgements.items()
        },
        us=us,
        loss=lost,
        alarms={who: measures["alarms"] for who, measures in judgements.items()},
        notes=(
            *(f"{day} is number {rank} of {ours['days']} days" for day, rank in ours.get("ranks", {}).items()),
            *((UNLABELLED,) if taskfile.data.layout == "nab" and job.unseen is None else ()),
        ),
    )


def _bundle_of(trained: checkpoint.Trained, folder: Path, tell: Tell) -> Bundle:
    """The bundle of the run in ``folder``, opened.

    Raises:
        NothingToJudge: what lies there is damaged, or another model's.
    """
    path = exported(folder, tell)
    bundle = judging.open_model(path)
    told, own = ((of.task.name, of.family, of.data_sha256, of.seed) for of in (bundle.passport, trained))
    if told != own:
        raise NothingToJudge(f"{path} is the bundle of another run than {folder}: remove it, and it is made again")
    return bundle


def _who(job: Job, taskfile: TaskFile, folder: Path, bundle: Bundle) -> dict[str, Any]:
    """What a row says of the model itself."""
    passport, task = bundle.passport, taskfile.task
    return {
        "task": task.name,
        "domain": task.domain,
        "kind": task.kind,
        "family": passport.family,
        "unseen": job.unseen.name if job.unseen else "",
        "unit": task.output_unit,
        "goal": taskfile.goal.value if taskfile.goal else None,
        "published": taskfile.published,
        "parameters": passport.parameters,
        "bytes": {v.name: v.bytes for v in passport.variants},
        "kept_float": {v.name: ", ".join(v.float_layers) for v in passport.variants if v.float_layers},
        "refused": passport.left_out,
        "seconds": _seconds(folder / run.REPORT),
    }


def _seconds(report: Path) -> float:
    try:
        return float(loads_json(read_file(report), finite=False)["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise NothingToJudge(f"{report} is no report of a run: {exc}; train again with --retrain") from exc


def _known(folder: Path) -> tuple[TaskSpec, dict[str, Any]]:
    """The task as it was trained, with the sites that the data had, and the statistics of the training days.

    Raises:
        NothingToJudge: the checkpoint lacks them.
    """
    path = folder / run.CHECKPOINT
    config = checkpoint.read(path)["config"]
    try:
        msgspec.convert(config.get("statistics"), Statistics)
        return from_builtins(config.get("task"), TaskSpec), config["statistics"]
    except (ContractError, msgspec.ValidationError) as exc:
        raise NothingToJudge(
            f"{path}: its task or the statistics of its training days are none: {exc}; evaluate again with --retrain"
        ) from exc


def _slices(examples: datasets.Examples, task: TaskSpec, truth: Any) -> judging.Slices:
    """By hour of day and site; of pictures, by class."""
    if task.kind == "classify":
        for index, name in enumerate(task.classes):
            yield name, truth == index
        return
    if task.kind != "forecast":
        return
    for hour in range(24):
        yield f"hour {hour:02d}", examples.hour == hour
    for index, name in enumerate(task.sites):
        yield f"site {name}", examples.site == index


def _in(values: Any, scale: Any) -> Any:
    """``values`` in units of ``scale``, if the task counts errors so."""
    return values if scale is None else values / scale


def _period(examples: datasets.Examples, task: TaskSpec) -> str:
    if task.image is not None:
        return "groups that no training saw"
    last = examples.last.max() - np.timedelta64(1, "s")  # what ends at midnight belongs to the day before
    return f"{str(examples.first.min())[:10]} – {str(last)[:10]}"


def _commonest(truth: Any, task: TaskSpec) -> Any:
    """Answers (N, K) of one who always says the most frequent class."""
    counts = np.bincount(truth, minlength=len(task.classes))
    return np.tile(counts.astype(np.float32), (len(truth), 1))
