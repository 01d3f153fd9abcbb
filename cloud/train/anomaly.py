"""Judging whatever scores windows: a torch module, or the int8 file of one, behind a function.

What is known of the truth says how: labelled windows (layout ``nab``: the benchmark's score), days known to be unusual
(their ranks among all days), or nothing; then incidents are put into the counts by a declared, seeded rule
(cloud.train.incidents), other ones than training may have known.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.train import alarms, incidents
from wayside.cloud.train.cases import INCIDENTS_SEED
from wayside.cloud.train.datasets import every, load, split, test_windows
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.nab import evaluate_nab
from wayside.cloud.train.taskfile import TaskFile
from wayside.cloud.train.vus import vus_pr
from wayside.cloud.train.windows import Windows
from wayside.contracts.alarm import AlarmSpec
from wayside.contracts.task import TaskSpec

ScoreFn = Callable[[npt.NDArray[np.float32]], npt.ArrayLike]
"""Windows (n, T, F), NaN where missing → scores (n,) or (n, 1), ≥ 0."""
Floats = npt.NDArray[np.float64]

SEED = INCIDENTS_SEED  # of the incidents that detectors are judged by
FALSE_ALARMS = 0.01  # of the windows without incident: the rate at which recall and precision are stated
BUFFER = 8  # intervals, of VUS-PR
BATCH = 8192


def evaluate(
    taskfile: TaskFile,
    data: Path | None,
    score_fn: ScoreFn,
    test: Path | None = None,
    *,
    statistics: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Metrics of ``score_fn`` on the hold-out, or on the later period ``test`` in the same format.

    Args:
        taskfile: with the task as the model knows it, sites included.
        data: the data directory; None: of a task with a packaged sample.
        test: a file or folder. Layout ``nab``: a folder of series, with the JSON of their windows in it or above it, or
            a JSON alone, whose series lie in ``data``.
        statistics: of the checkpoint, for files that carry no times.

    Returns:
        ``vus_pr``, ``precision``, ``recall`` of scores, ``alarms`` (:func:`alarms.judge`), and what else the kind of
        truth allows (:func:`evaluate_nab`, :func:`rank_days`, :func:`find_incidents`).

    Raises:
        DataError: the data or the labels are missing or broken.
    """
    task = taskfile.task
    if taskfile.data.layout == "nab":
        series, labels = _labelled(taskfile, data or Path(), test)
        return evaluate_nab(
            score_fn,
            series,
            labels,
            window=task.window,
            spec=task.alarm or AlarmSpec(),
            interval_s=task.interval_s,
            held_out=taskfile.data.holdout_sites,
        )
    if not taskfile.incidents:
        # All of it, training days too: nobody told the model which days were unusual.
        whole = _windows(taskfile, data, test, statistics, whole=True)
        return rank_days(whole, taskfile.data.unusual_days, score_fn, task)
    return find_incidents(_windows(taskfile, data, test, statistics, whole=False), score_fn, task=task)


def score(windows: Windows, score_fn: ScoreFn) -> Floats:
    """(N,) scores of ``windows``.

    Raises:
        DataError: a score is negative or no number.
    """
    if not len(windows):
        raise DataError("there is no window to score")
    parts = [
        np.asarray(score_fn(windows.take(slice(a, a + BATCH))[0]), float).ravel() for a in range(0, len(windows), BATCH)
    ]
    scores = np.concatenate(parts)
    if scores.shape != (len(windows),) or not (scores >= 0).all():
        raise DataError(f"the model gave {scores.shape} scores for {len(windows)} windows, or scores below 0")
    return scores


def find_incidents(
    windows: Windows,
    score_fn: ScoreFn,
    rule: incidents.Rule | None = None,
    seed: int = SEED,
    task: TaskSpec | None = None,
) -> dict[str, Any]:
    """Put incidents into ``windows``, and see which are found.

    Returns:
        ``auc`` (ROC) and ``vus_pr`` over all thresholds; at the threshold that ``FALSE_ALARMS`` of the windows without
        incident exceed: ``recall`` and ``precision`` of windows, and ``found``, the share of incidents with an alarm
        while they last; ``n``, ``incidents``; with ``task`` also ``alarms``.

    Raises:
        DataError: there is no incident among the windows.
    """
    changed, labels = incidents.into(windows, rule or incidents.Rule(), seed)
    if not labels.any() or labels.all():
        raise DataError("too few windows to put an incident into; give more days")
    order = np.lexsort((changed.newest, changed.site))
    changed, labels = changed.where(order), labels[order]
    scores = score(changed, score_fn)
    threshold = float(np.quantile(scores[~labels], 1 - FALSE_ALARMS, method="higher"))
    alarms = scores > threshold
    breaks = np.flatnonzero((np.diff(changed.site) != 0) | (np.diff(changed.newest) != 1)) + 1
    piece = np.searchsorted(breaks, np.arange(len(labels)), side="right")
    begins = labels & ~(np.append(False, labels[:-1]) & (np.diff(piece, prepend=-1) == 0))
    incident = np.cumsum(begins)[labels]  # number of the incident of each labelled window
    detected = np.bincount(incident, weights=alarms[labels])[1:] > 0
    return {
        "auc": _auc(labels, scores),
        "vus_pr": vus_pr(labels, scores, buffer=BUFFER, breaks=breaks),
        "false_alarm_rate": float(alarms[~labels].mean()),
        "threshold": threshold,
        "precision": float(labels[alarms].mean()) if alarms.any() else 0.0,
        "recall": float(alarms[labels].mean()),
        "found": float(detected.mean()),
        "incidents": int(begins.sum()),
        "n": len(labels),
    } | _alarms(task, changed, scores, labels)


def rank_days(
    windows: Windows, unusual: tuple[str, ...], score_fn: ScoreFn, task: TaskSpec | None = None
) -> dict[str, Any]:
    """How far up the days known to be ``unusual`` come when days are ranked by their mean score.

    Returns:
        ``ranks``, from 1, of the unusual days among the data's; ``days``: how many there are; ``highest``: the first
        ten with their scores; ``precision``: unusual days among the first ones, as many as there are unusual days;
        ``auc`` (ROC) of days; ``vus_pr`` of windows; with ``task`` also ``alarms``, whose stretches are unusual days.

    Raises:
        DataError: none of the unusual days is among the data's.
    """
    scores = score(windows, score_fn)
    # A window is about the day of its middle row; an alarm is told at its newest.
    day = _day(windows, windows.window // 2)
    days, which = np.unique(day, return_inverse=True)
    mean = np.bincount(which, weights=scores) / np.bincount(which)
    listed = np.array(unusual, "datetime64[D]")
    known = np.isin(days, listed)
    if not known.any() or known.all():
        raise DataError(f"none of the unusual days {', '.join(unusual)} is among {days[0]} to {days[-1]}")
    order = np.argsort(-mean, kind="stable")
    rank = np.empty(len(days), int)
    rank[order] = np.arange(1, len(days) + 1)
    return {
        "ranks": {str(days[i]): int(rank[i]) for i in np.flatnonzero(known)},
        "days": len(days),
        "highest": [[str(days[i]), float(mean[i])] for i in order[:10]],
        "precision": float(known[order[: known.sum()]].mean()),
        "recall": float(known[order[: known.sum()]].mean()),
        "auc": _auc(known, mean),
        "vus_pr": vus_pr(known[which], scores, buffer=BUFFER),
        "n": len(scores),
    } | _alarms(task, windows, scores, np.isin(_day(windows, 0), listed))


def _alarms(
    task: TaskSpec | None, windows: Windows, scores: Floats, labels: npt.NDArray[np.bool_]
) -> dict[str, dict[str, Any]]:
    if task is None:
        return {}
    return {"alarms": alarms.judge(task.alarm, task.interval_s, alarms.series_of(windows, scores, labels))}


def _day(windows: Windows, back: int) -> npt.NDArray[np.datetime64]:
    """(N,) local day of the row ``back`` before the newest; an interval that ends at midnight is of the day before."""
    end = windows.times[windows.site, windows.newest - back]
    return (end - np.timedelta64(1, "s")).astype("datetime64[D]")


def _auc(labels: npt.NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve: the chance that a labelled one scores above another (Mann & Whitney 1947)."""
    ordered = np.sort(scores[~labels])
    below = np.searchsorted(ordered, scores[labels], side="left")
    equal = np.searchsorted(ordered, scores[labels], side="right") - below
    return float((below + equal / 2).mean() / len(ordered))


def _windows(
    taskfile: TaskFile, data: Path | None, test: Path | None, statistics: dict[str, Any] | None, *, whole: bool
) -> Windows:
    if test is not None:
        windows = test_windows(taskfile, taskfile.task, [test], statistics)
    else:
        grid, taskfile = load(taskfile, data)
        windows = every(grid, taskfile) if whole else split(grid, taskfile).holdout
    if not isinstance(windows, Windows):
        raise DataError(f"{taskfile.task.name} is a task of pictures; only windows of series are scored")
    return windows


def _labelled(taskfile: TaskFile, data: Path, test: Path | None) -> tuple[Path, Path]:
    """The folder with the series, and the JSON with their windows."""
    if test is not None and test.suffix == ".json":
        return _home(taskfile, data), test
    home = _home(taskfile, data if test is None else test)
    for at in (home, home.parent):
        labels = sorted(at.glob("*windows*.json")) or sorted(at.glob("labels/*windows*.json"))
        if labels:
            return home, labels[0]
    raise DataError(f"{home}: has no JSON of labelled windows (combined_windows.json); put it there")


def _home(taskfile: TaskFile, folder: Path) -> Path:
    """Where the series are in a folder laid out like the data directory; else the folder itself."""
    laid = folder / Path(taskfile.data.files[0]).parent.parent if taskfile.data.files else folder
    return laid if laid.is_dir() else folder
