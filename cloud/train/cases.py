"""Windows that travel with a checkpoint: to calibrate int8 with, and to check the model's answers on every node."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cloud.train.windows import Array, Windows
from contracts.task import TaskSpec

CALIBRATION, GOLDEN, EXTREMES = 1024, 48, 32


def calibration(windows: Windows, task: TaskSpec, seed: int) -> Array:
    """Up to ``CALIBRATION`` training windows (N, T, F): extremes of every input and of its change, the golden ones,
    and a random draw.

    Min/max calibration clips what it has not seen, inside the network too, where a steep rise counts more than a
    high level: so both are always among them.
    """
    rng = np.random.default_rng(seed)
    columns = [windows.x[:, :, f] for f in range(len(task.inputs))]  # of (N, T)
    steps = [np.diff(c, axis=1) for c in columns] if task.window > 1 else []
    extremes = np.concatenate([_ends(c, EXTREMES) for c in [*columns, *steps]])
    always = np.unique(np.concatenate([extremes, _golden(windows, task, seed)]))
    drawn = rng.permutation(len(windows))[: max(0, CALIBRATION - len(always))]
    return windows.x[np.unique(np.concatenate([drawn, always]))]


def golden(windows: Windows, task: TaskSpec, seed: int) -> Array:
    """``GOLDEN`` windows (N, T, F), typical and extreme, all observed: nothing that the model never met.

    Busiest, quietest, quantiles of the level in between, steepest rise and fall, both sides of midnight, every
    weekday; the rest is drawn at random.
    """
    return windows.x[_golden(windows, task, seed)]


def _golden(windows: Windows, task: TaskSpec, seed: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(seed + 1)
    volume = windows.x[:, :, [i.name for i in task.inputs].index(task.output)]  # (N, T)
    level, rise = volume.mean(axis=1), volume[:, -1] - volume[:, 0]
    by_level = np.argsort(level, kind="stable")
    quantiles = by_level[np.linspace(0, len(by_level) - 1, 12).astype(int)]
    chosen = [*quantiles, *_ends(volume, 2), *_ends(rise[:, None], 2)]
    for name in ("hour", "weekday"):
        column = [f for f, i in enumerate(task.inputs) if i.name == name]
        if column:
            newest = windows.x[:, -1, column[0]]
            values = np.unique(newest)
            for value in values if name == "weekday" else values[[0, -1]]:
                # Of each, the busiest: silence says little about a calendar.
                there = np.flatnonzero(newest == value)
                chosen.append(there[np.argmax(level[there])])
    distinct = list(dict.fromkeys(int(i) for i in chosen))
    drawn = [int(i) for i in rng.permutation(len(windows))[:GOLDEN] if i not in distinct]
    return np.array([*distinct, *drawn[: max(0, GOLDEN - len(distinct))]])


def _ends(values: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Indices of the rows of (N, T) with the smallest minima and the largest maxima."""
    low = np.argsort(values.min(axis=1), kind="stable")[:count]
    high = np.argsort(-values.max(axis=1), kind="stable")[:count]
    return np.concatenate([low, high])
