"""What travels with a checkpoint in ``windows.npz``: examples to calibrate int8 with, to check the model's answers on
every node, and to measure every exported variant by (docs/data.md lists the arrays).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.train import incidents, sites
from wayside.cloud.train.datasets import Examples
from wayside.cloud.train.taskfile import TaskFile
from wayside.cloud.train.windows import Array, Windows
from wayside.contracts.task import TaskSpec

CALIBRATION, GOLDEN = 512, 48
UNKNOWN_EVERY = 8  # of the calibration windows of a model for unknown sites, one in so many is of one
INCIDENTS_SEED = 1  # of the incidents in the held-out windows of a score: others than training may have known
HELD, HELD_BYTES = 20_000, 64 << 20
EXTREMES = 256  # of the calibration windows at most
GAPPY = 32  # of them have gaps, if there are so many
WORST = 8  # of the golden ones are those on which the model errs most
POOL = 20_000_000  # numbers: of larger data a share, evenly drawn, is looked through

Indices = npt.NDArray[np.int64]


def stored(
    taskfile: TaskFile, seen: Examples, held: Examples, seed: int, worst: Indices | None = None
) -> dict[str, Any]:
    """The arrays of ``windows.npz``. Of more than ``HELD`` held-out examples, or ``HELD_BYTES`` of inputs and targets,
    so many, evenly drawn.

    Args:
        seen: examples that the model was trained on.
        worst: indices of those on which it errs most, the worst first.
    """
    labels = None
    if taskfile.incidents and isinstance(held, Windows):
        held, labels = incidents.into(held, incidents.Rule(), INCIDENTS_SEED)
    x, y = held.take(np.arange(1))
    kept = evenly(len(held), min(HELD, HELD_BYTES // (x.nbytes + y.nbytes)))
    x, y = held.take(kept)
    checked = golden(taskfile, seen, seed, worst)
    arrays = {
        "calibration": calibration(taskfile, seen, seed, checked),
        "golden": checked,
        "holdout_x": x,
        "holdout_y": y,
        "holdout_site": held.site[kept],
    }
    if labels is not None:
        arrays["holdout_label"] = labels[kept]
    if isinstance(held, Windows):
        held = held.where(kept)
        arrays |= {"holdout_hour": held.hour, "holdout_end": held.end}
        if taskfile.task.kind == "forecast":
            arrays |= {"holdout_naive": held.naive, "holdout_seasonal": held.seasonal}
    return arrays


def evenly(total: int, most: int) -> Indices:
    """Up to ``most`` of ``total`` indices, evenly spread, in order."""
    return np.arange(total) if total <= most else np.linspace(0, total - 1, most).astype(np.int64)


def calibration(taskfile: TaskFile, seen: Examples, seed: int, known: Array) -> Array:
    """Up to ``CALIBRATION`` training examples: the ``known`` (golden) ones, extremes of every input and of its change,
    windows with gaps, and a random draw.

    Min/max calibration clips what it has not seen, inside the network too, where a steep rise counts more than a
    high level: so both are always among them. Declared bounds are not: nothing real is there, and a range that holds
    them has few steps left for what is.
    """
    rng = np.random.default_rng(seed)
    x, y = _pool(taskfile, seen)
    if not isinstance(seen, Windows):
        return np.concatenate([known, x[_by_class(y, CALIBRATION - len(known), rng)]])
    columns = [x[:, :, f] for f in range(x.shape[2])]  # of (N, T)
    steps = [np.diff(c, axis=1) for c in columns] if x.shape[1] > 1 else []
    each = max(1, EXTREMES // (2 * len(columns + steps)))
    chosen = [_ends(c, each) for c in [*columns, *steps]]
    gappy = np.flatnonzero(np.isnan(x).any(axis=(1, 2)))
    chosen.append(gappy[evenly(len(gappy), GAPPY)])
    always = np.unique(np.concatenate(chosen))[: CALIBRATION - len(known)]
    drawn = rng.permutation(len(x))[: CALIBRATION - len(known) - len(always)]
    windows = x[np.unique(np.concatenate([drawn, always]))]
    at = sites.column(taskfile.task)
    if taskfile.fit.site_dropout and at is not None:
        windows[::UNKNOWN_EVERY, :, at] = len(taskfile.task.sites)
    return np.concatenate([known, windows])


def golden(taskfile: TaskFile, seen: Examples, seed: int, worst: Indices | None = None) -> Array:
    """``GOLDEN`` examples that the node itself is tested with.

    Windows: busiest, quietest, quantiles of the level in between, steepest rise and fall, both sides of midnight, every
    weekday, then a random draw; the ``worst``; and, where the model is given gaps, one without any observation and
    one without even a calendar. Pictures: of every class, the darkest and the brightest, the worst, and a black and a
    white one.
    """
    rng = np.random.default_rng(seed + 1)
    worst = np.zeros(0, np.int64) if worst is None else worst[:WORST]
    erring = seen.take(worst)[0]
    x, y = _pool(taskfile, seen)
    if not isinstance(seen, Windows):
        made = np.zeros((2, *taskfile.task.input_shape), np.float32)
        made[1] = 255
        room = GOLDEN - len(made) - len(worst)
        light = x.mean(axis=(1, 2, 3))
        chosen = [*np.argsort(light, kind="stable")[[0, -1]], *_by_class(y, room - 2, rng)]
        return np.concatenate([x[chosen], erring, made])
    gaps = taskfile.data.missing and taskfile.task.missing == "graph"
    made = _without(x, taskfile.task) if gaps else x[:0]
    room = GOLDEN - len(made) - len(worst)
    return np.concatenate([x[_telling(x, taskfile.task, rng, room)], erring, made])


def _pool(taskfile: TaskFile, seen: Examples) -> tuple[Array, npt.NDArray[Any]]:
    """What is looked through: all if that is little, else evenly drawn, in order."""
    return seen.take(evenly(len(seen), max(CALIBRATION, POOL // math.prod(taskfile.task.input_shape))))


def _telling(x: Array, task: TaskSpec, rng: np.random.Generator, room: int) -> Indices:
    """Indices of up to ``room`` of the windows (N, T, F), all observed if possible."""
    whole = np.flatnonzero(~np.isnan(x).any(axis=(1, 2)))
    whole = whole if len(whole) else np.arange(len(x))
    x = np.nan_to_num(x[whole])
    names = [i.name for i in task.inputs]
    level = x[:, :, names.index(task.output) if task.output in names else 0]  # (N, T)
    mean, rise = level.mean(axis=1), level[:, -1] - level[:, 0]
    quantiles = np.argsort(mean, kind="stable")[np.linspace(0, len(x) - 1, 12).astype(int)]
    chosen = [*quantiles, *_ends(level, 2), *_ends(rise[:, None], 2)]
    for name in ("hour", "weekday"):
        if name in names:
            newest = x[:, -1, names.index(name)]
            values = np.unique(newest)
            for value in values if name == "weekday" else values[[0, -1]]:
                # Of each, the busiest: silence says little about a calendar.
                there = np.flatnonzero(newest == value)
                chosen.append(there[np.argmax(mean[there])])
    distinct = list(dict.fromkeys(int(i) for i in chosen))[:room]
    drawn = [int(i) for i in rng.permutation(len(x))[:GOLDEN] if i not in distinct]
    return whole[np.array([*distinct, *drawn[: max(0, room - len(distinct))]], np.int64)]


def _without(x: Array, task: TaskSpec) -> Array:
    """(2, T, F): a window with its calendar and site alone, and one with nothing at all."""
    typical = x[len(x) // 2].copy()
    observed = [f for f, i in enumerate(task.inputs) if i.name not in ("hour", "weekday", "yearday", "site")]
    typical[:, observed] = np.nan
    return np.stack([typical, np.full_like(typical, np.nan)])


def _by_class(y: npt.NDArray[Any], count: int, rng: np.random.Generator) -> Indices:
    """Up to ``count`` pictures, of every label or number of things as many as there are or as are due."""
    labels = y if y.ndim == 1 else y.sum(axis=1)
    shuffled = rng.permutation(len(labels))
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        here = shuffled[labels[shuffled] == label]
        turn[here] = np.arange(len(here))
    return shuffled[np.argsort(turn[shuffled], kind="stable")][: max(count, 0)]


def _ends(values: Array, count: int) -> Indices:
    """Indices of the rows of (N, T) with the smallest minima and the largest maxima, missing values aside."""
    low = np.where(np.isnan(values), np.inf, values).min(axis=1)
    high = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.concatenate([np.argsort(low, kind="stable")[:count], np.argsort(-high, kind="stable")[:count]])
