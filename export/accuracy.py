"""How accurate answers are on the held-out examples, by slice, and what int8 loses, with an interval.

Metrics fit the kind; each is a function of a mean over examples, so that one bootstrap serves all:

=========  ============  ====================================================================================
kind       metric        of one example
=========  ============  ====================================================================================
forecast   ``mae``       mean absolute error over the horizon; of the median if there are quantiles
           ``rmse``      root of the mean squared error, likewise
           ``pinball``   quantile loss over horizon and quantiles (Koenker & Bassett 1978)
count      ``mae``       mean absolute error over the classes
classify   ``accuracy``  the largest logit is the class
score      ``auc``       with labels: the share of usual windows that score below an unusual one (Hanley & McNeil 1982)
           ``rank``      without: Spearman's rank correlation with torch's scores
=========  ============  ====================================================================================

The loss of a variant is relative to torch's value: 0.01 is one per cent worse. Its interval is a paired bootstrap
(Efron & Tibshirani 1993, §8) over blocks: whole days for series (Künsch 1989: neighbours in time are not
independent), tracks or single pictures for images. It is seeded: the same examples give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from wayside.contracts.fit import UNKNOWN_SITE
from wayside.contracts.task import TaskSpec
from wayside.export.checkpoint import Float32, Heldout

Float64 = npt.NDArray[np.float64]
Values = dict[str, dict[str, float]]
RESAMPLES = 400
INTERVAL = (2.5, 97.5)  # per cent
TRACKS = 20  # fewer say nothing of how tracks differ
HUNDREDFOLD = 100.0  # one error where torch makes none is no number that JSON knows
UNKNOWN_MOST = 4_000  # held-out examples that are also asked about as of an unknown site
MAX_CATEGORIES = 12  # an input with more distinct values is cut into thirds
CALENDAR = ("hour", "weekday", "yearday", "site")


@dataclass(frozen=True)
class Metric:
    """``value`` turns the mean of ``parts`` over the examples of a slice into the number that is reported."""

    name: str
    parts: Callable[[Float32], Float64]  # answers (N, …) → (N,)
    value: Callable[[Float64], Float64]
    good: int  # 1: more is better, −1: less is better
    counts: npt.NDArray[np.bool_]  # (N,) the examples that have a part

    def loss(self, base: Float64, other: Float64) -> Float64:
        """How much worse the mean ``other`` is than ``base``, relative; at most :data:`HUNDREDFOLD` either way."""
        was, now = self.value(base), self.value(other)
        with np.errstate(divide="ignore", invalid="ignore"):
            worse = self.good * (was - now) / np.abs(was)
        nothing = (was == now) | ((was == 0) & (self.good > 0))  # equal, or torch itself gets nothing right there
        return np.where(nothing, 0.0, np.clip(worse, -HUNDREDFOLD, HUNDREDFOLD))


@dataclass(frozen=True)
class Slice:
    """``group`` is what the examples were cut by: "all", "hour", "site", "class", or an input's name."""

    group: str
    name: str
    pick: npt.NDArray[np.bool_]  # (N,)


@dataclass(frozen=True)
class Loss:
    """What a variant loses against torch in one slice; ``low`` and ``high`` bound the 95 % interval."""

    metric: str
    n: int
    base: float
    value: float
    loss: float
    low: float
    high: float


def metrics(task: TaskSpec, held: Heldout, torch: Float32) -> list[Metric]:
    """The metrics of ``task``; the first is the one to name. ``torch`` are the reference answers."""
    y, everywhere = held.y, np.ones(len(held.x), bool)
    if task.kind == "classify":
        return [Metric("accuracy", lambda a: (a.argmax(axis=1) == y).astype(np.float64), _same, 1, everywhere)]
    if task.kind == "score":
        label = None if held.label is None else held.label > 0
        if label is not None and label.any() and not label.all():
            return [Metric("auc", lambda a: _placements(a, label), _same, 1, label)]
        return [Metric("rank", lambda a: _rank_distance(a, torch), lambda mean: 1 - mean, 1, everywhere)]
    y64 = y.astype(np.float64)
    chosen = [Metric("mae", lambda a: _mean(np.abs(middle(a, task) - y64)), _same, -1, everywhere)]
    if task.kind == "forecast":
        chosen.append(Metric("rmse", lambda a: _mean((middle(a, task) - y64) ** 2), np.sqrt, -1, everywhere))
    if task.quantiles:
        chosen.append(Metric("pinball", lambda a: _pinball(a, y64, task.quantiles), _same, -1, everywhere))
    return chosen


def slices(task: TaskSpec, held: Heldout) -> list[Slice]:
    """All examples; then by hour of day, site, class, and every further input of the window's newest row."""
    cut = [Slice("all", "all", np.ones(len(held.x), bool))]
    if held.hour is not None:
        cut += [Slice("hour", f"hour {h:02d}", held.hour == h) for h in range(24)]
    if held.site is not None and len(task.sites) > 1:
        cut += [Slice("site", f"site {name}"[:64], held.site == i) for i, name in enumerate(task.sites)]
    if task.kind == "classify":
        cut += [Slice("class", f"class {name}"[:64], held.y == i) for i, name in enumerate(task.classes)]
    if task.image is None:
        for column, each in enumerate(task.inputs):
            if each.name not in (*CALENDAR, task.output):
                cut += _by_input(each.name, held.x[:, -1, column])
    return [s for s in cut if s.pick.any()]


def at_unknown_site(task: TaskSpec, held: Heldout) -> Heldout:
    """The held-out examples, of more than ``UNKNOWN_MOST`` so many, evenly drawn, as if their site were never seen."""
    n = len(held.x)
    some = np.arange(n) if n <= UNKNOWN_MOST else np.linspace(0, n - 1, UNKNOWN_MOST).astype(np.int64)
    arrays = {f.name: getattr(held, f.name) for f in fields(held)}
    picked = Heldout(**{name: None if array is None else array[some] for name, array in arrays.items()})
    x = picked.x.copy()
    x[:, :, [i.name for i in task.inputs].index("site")] = len(task.sites)
    return replace(picked, x=x)


def unknown_slice(held: Heldout) -> Slice:
    """All that :func:`at_unknown_site` gives."""
    return Slice("site", UNKNOWN_SITE, np.ones(len(held.x), bool))


def _by_input(name: str, newest: Float32) -> Iterator[Slice]:
    there = np.isfinite(newest)
    values = np.unique(newest[there])
    if len(values) < 2:
        return
    if len(values) <= MAX_CATEGORIES:
        yield from (Slice(name, f"{name} {value:g}"[:64], newest == value) for value in values)
    else:
        low, high = np.quantile(newest[there], [1 / 3, 2 / 3])
        yield Slice(name, f"{name} low", there & (newest <= low))
        yield Slice(name, f"{name} middle", there & (newest > low) & (newest <= high))
        yield Slice(name, f"{name} high", there & (newest > high))
    if not there.all():
        yield Slice(name, f"{name} missing", ~there)


def values(by: Sequence[Metric], cut: Sequence[Slice], answers: Mapping[str, Float32]) -> list[Values]:
    """For each slice, metric → name of ``answers`` → value; no metric that has no example there."""
    parts = [{name: metric.parts(a) for name, a in answers.items()} for metric in by]
    result = []
    for each in cut:
        here: Values = {}
        for metric, named in zip(by, parts, strict=True):
            pick = each.pick & metric.counts
            if pick.any():
                here[metric.name] = {name: float(metric.value(part[pick].mean())) for name, part in named.items()}
        result.append(here)
    return result


def losses(
    by: Sequence[Metric], cut: Sequence[Slice], held: Heldout, torch: Float32, int8: Float32, *, seed: int = 0
) -> dict[str, list[Loss]]:
    """Slice name → the loss of ``int8`` against ``torch`` by each metric."""
    block = blocks(held)
    drawn = _draws(int(block.max()) + 1, seed)  # (R, K) how often each block is in each resample
    result: dict[str, list[Loss]] = {each.name: [] for each in cut}
    for metric in by:
        pair = np.stack([metric.parts(torch), metric.parts(int8)], axis=1)  # (N, 2)
        for each in cut:
            pick = each.pick & metric.counts
            n = int(pick.sum())
            if not n:
                continue
            sums = np.zeros((drawn.shape[1], 3))  # (K, 3): torch, int8, examples
            np.add.at(sums, block[pick], np.column_stack([pair[pick], np.ones(n)]))
            resampled = drawn @ sums  # (R, 3)
            resampled = resampled[resampled[:, 2] > 0]
            spread = metric.loss(resampled[:, 0] / resampled[:, 2], resampled[:, 1] / resampled[:, 2])
            base, other = pair[pick].mean(axis=0)
            low, high = np.percentile(spread, INTERVAL)
            loss = float(metric.loss(np.float64(base), np.float64(other)))
            result[each.name].append(
                Loss(
                    metric.name, n, float(metric.value(base)), float(metric.value(other)), loss, float(low), float(high)
                )
            )
    return result


def blocks(held: Heldout) -> npt.NDArray[np.int64]:
    """(N,) the block of each example: its day; without dates, a fiftieth of the series; of pictures the track, or else
    the picture itself."""
    n = len(held.x)
    if held.end is not None:
        # An interval that ends at midnight belongs to the day before.
        return np.unique((held.end - 1) // 86_400, return_inverse=True)[1].astype(np.int64)
    if held.x.ndim == 4:
        track = np.arange(n) if held.site is None else np.unique(held.site, return_inverse=True)[1]
        return track.astype(np.int64) if len(np.unique(track)) >= TRACKS else np.arange(n)
    return np.arange(n) * min(n, 50) // n


def _draws(count: int, seed: int) -> Float64:
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def _same(mean: Float64) -> Float64:
    return mean


def _mean(errors: Float64) -> Float64:
    """(N, …) → (N,)"""
    return errors.reshape(len(errors), -1).mean(axis=1)


def middle(answers: Float32, task: TaskSpec) -> Float64:
    """(N, H[, Q]) → (N, H); floors have no quantiles."""
    picked = answers[..., task.median] if task.quantiles and answers.ndim == 3 else answers
    return picked.astype(np.float64)


def _pinball(answers: Float32, y: Float64, quantiles: Sequence[float]) -> Float64:
    """(N, H, Q) against (N, H) → (N,); a floor (N, H) stands for every quantile."""
    q = np.asarray(quantiles)
    forecasts = answers if answers.ndim == 3 else answers[:, :, None]
    error = y[:, :, None] - forecasts.astype(np.float64)  # (N, H, Q)
    return _mean(np.maximum(q * error, (q - 1) * error))


def _placements(answers: Float32, label: npt.NDArray[np.bool_]) -> Float64:
    """(N, 1) → (N,): of each unusual window, the share of usual ones that score lower, half for equal."""
    score = answers.reshape(len(answers)).astype(np.float64)
    usual = np.sort(score[~label])
    return (np.searchsorted(usual, score, "left") + np.searchsorted(usual, score, "right")) / (2 * len(usual))


def _rank_distance(answers: Float32, torch: Float32) -> Float64:
    """(N, 1) twice → (N,) whose mean is one minus Spearman's correlation."""
    n = len(answers)
    difference = _ranks(answers) - _ranks(torch)
    return 6 * difference**2 / max(n * n - 1, 1)


def _ranks(answers: Float32) -> Float64:
    """Ranks from 0; equal scores share their mean rank."""
    score = answers.reshape(len(answers))
    order = np.sort(score)
    return (np.searchsorted(order, score, "left") + np.searchsorted(order, score, "right") - 1) / 2
