"""Alarms of a detector, judged: the alarm stage that its bundle carries, run over series as a node would run it.

What counts is where an alarm *begins*: people are told then. One that begins in a labelled stretch, or at most
:data:`LATE` rows after it, finds it; any other is false. Beside the stage stands the rule of a model without one, a
fixed limit, at the node's default and at the lowest limit that gives no more false alarms than the stage; the latter
knows the judged rows, which nobody does beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.cloud.train.windows import Windows
from wayside.contracts.alarm import Alarm, AlarmSpec, Judgement, Limit
from wayside.contracts.past import usual_scores
from wayside.contracts.task import TaskSpec
from wayside.contracts.task_config import TaskConfig

Floats = npt.NDArray[np.float64]

LATE = 2  # rows after a labelled stretch
WEEK_S = 7 * 86400
LIMITS = 100  # fixed limits that are tried
DEFAULT_LIMIT = next(float(f.default) for f in msgspec.structs.fields(TaskConfig) if f.name == "alert_sigma")


class Series(NamedTuple):
    """Rows of one site in order of time, without holes: a missing row has no score."""

    values: Floats  # (N,) NaN where missing
    scores: Floats  # (N,) NaN where missing
    labels: npt.NDArray[np.int64]  # (N,) number of the stretch that the row is in, from 1; 0 outside
    judged: npt.NDArray[np.bool_]  # (N,) the others come before, so that the stage has a past


def judgements(stage: Alarm | Limit, series: Series) -> Iterator[Judgement]:
    """One for each row."""
    for value, score in zip(series.values.tolist(), series.scores.tolist(), strict=True):
        yield stage.step(value, score)


def begins(stage: Alarm | Limit, series: Series) -> npt.NDArray[np.int64]:
    """Judged rows at which an alarm begins."""
    rows = [row for row, judgement in enumerate(judgements(stage, series)) if judgement.change == "begins"]
    at = np.array(rows, np.int64)
    return at[series.judged[at]]


def judge(spec: AlarmSpec | None, interval_s: float, many: Sequence[Series]) -> dict[str, Any]:
    """An alarm stage on ``many`` series, each as on a node where the model has just come in; beside fixed limits.

    Returns:
        ``stage`` (None without ``spec``), ``fixed`` (the node's default limit) and ``best_fixed`` (no more false alarms
        than ``stage``; None if no limit has), each ``found``: the share of labelled stretches; ``false_per_week``:
        false alarms of one series; ``delay``: rows from a stretch's first to its alarm, mean; ``begun``: alarms; the
        fixed ones also their ``limit``. ``stretches``, ``series``: how many.
    """

    def of(make: Callable[[], Alarm | Limit]) -> dict[str, float]:
        return _counts(interval_s, many, [begins(make(), s) for s in many])

    def fixed(limit: float) -> dict[str, float]:
        return of(lambda: Limit(limit)) | {"limit": limit}

    stage = None if spec is None else of(lambda: Alarm(spec))
    return {
        "stage": stage,
        "fixed": fixed(DEFAULT_LIMIT),
        "best_fixed": None if stage is None else _lowest(fixed, many, stage["false_per_week"]),
        "stretches": sum(len(_stretches(s)) for s in many),
        "series": len(many),
    }


def _lowest(
    fixed: Callable[[float], dict[str, float]], many: Sequence[Series], false_per_week: float
) -> dict[str, float] | None:
    scores = np.concatenate([s.scores[s.judged & np.isfinite(s.scores)] for s in many])
    limits = np.unique(np.quantile(scores, 1 - np.geomspace(0.5, 1 / len(scores), LIMITS)))
    limits = limits[limits > 0]
    best, low, high = None, 0, len(limits) - 1
    while low <= high:  # false alarms fall with the limit, but for a few
        at = (low + high) // 2
        tried = fixed(float(limits[at]))
        if tried["false_per_week"] <= false_per_week:
            best, high = tried, at - 1
        else:
            low = at + 1
    return best


def _stretches(series: Series) -> list[tuple[int, int]]:
    """First and last row of each labelled stretch that reaches into what is judged."""
    found = []
    for number in range(1, int(series.labels.max(initial=0)) + 1):
        rows = np.flatnonzero((series.labels == number) & series.judged)
        if len(rows):
            found.append((int(rows[0]), int(rows[-1])))
    return found


def _counts(interval_s: float, many: Sequence[Series], begun: Sequence[npt.NDArray[np.int64]]) -> dict[str, float]:
    stretches, delays, false = 0, list[int](), 0
    for series, at in zip(many, begun, strict=True):
        taken = np.zeros(len(at), bool)
        for first, last in _stretches(series):
            inside = (at >= first) & (at <= last + LATE)
            stretches += 1
            if inside.any():
                delays.append(int(at[inside][0]) - first)
            taken |= inside
        false += int((~taken).sum())
    weeks = sum(int(s.judged.sum()) for s in many) * interval_s / WEEK_S
    return {
        "found": len(delays) / stretches if stretches else 0.0,
        "false_per_week": false / weeks,
        "delay": float(np.mean(delays)) if delays else 0.0,
        "begun": float(sum(map(len, begun))),
    }


def series_of(windows: Windows, scores: Floats, labels: npt.NDArray[np.bool_] | None = None) -> list[Series]:
    """A series for each site of ``windows``, whose ``scores`` and ``labels`` are (N,); all of it is judged."""
    marked = np.zeros(len(windows), bool) if labels is None else labels
    many = []
    for site in np.unique(windows.site):
        here = windows.site == site
        newest = windows.newest[here]
        first, end = int(newest.min()), int(newest.max()) + 1
        rows, inside = np.full(end - first, np.nan), np.zeros(end - first, bool)
        rows[newest - first], inside[newest - first] = scores[here], marked[here]
        numbers = np.cumsum(inside & ~np.append(False, inside[:-1])) * inside
        values = windows.output[site, first:end].astype(float)
        many.append(Series(values, rows, numbers, np.ones(end - first, bool)))
    return many


def with_usual(task: TaskSpec, many: Iterable[Series]) -> TaskSpec:
    """``task`` with the usual scores of ``many`` in its alarm stage, if that asks for some."""
    spec = task.alarm
    if spec is None or not spec.usual_rows:
        return task
    bare = msgspec.structs.replace(spec, usual=())
    smoothed = [j.moment.smoothed for series in many for j in judgements(Alarm(bare), series) if j.moment is not None]
    usual = tuple(float(f"{s:.6g}") for s in usual_scores(smoothed, spec.usual_rows))
    return msgspec.structs.replace(task, alarm=msgspec.structs.replace(spec, usual=usual))
