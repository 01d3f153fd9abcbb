"""What the demo's sensors see: the days and pictures that a training run has kept from its model.

They come from the run's own ``windows.npz`` (docs/data.md), so the demo needs to know nothing of where data come from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.cloud.demo.node import SPARE_DAYS
from wayside.contracts.task import TaskSpec

WINDOWS = "windows.npz"


class Series(NamedTuple):
    """Consecutive intervals of one site, NaN where nothing was observed."""

    start_unix_s: float
    interval_s: float
    columns: dict[str, npt.NDArray[np.float64]]  # the task's inputs, by name, (N,)

    @property
    def starts(self) -> list[float]:
        """Unix time at which each interval begins."""
        intervals = len(next(iter(self.columns.values())))
        return [self.start_unix_s + i * self.interval_s for i in range(intervals)]

    def first(self, name: str, seconds: float) -> npt.NDArray[np.float64]:
        """A column's values of the first ``seconds``."""
        return self.columns[name][: round(seconds / self.interval_s)]


def series(run: Path, task: TaskSpec, timezone: str, days: int, *, worst: str = "") -> Series:
    """Whole held-out days of the first site: the first ones, or those ``days`` in a row with the most of a column.

    ``SPARE_DAYS`` more follow, as far as there are so many.

    Args:
        timezone: of the data's local times.
        worst: the column.
    """
    with np.load(run / WINDOWS) as arrays:
        of_first = arrays["holdout_site"] == arrays["holdout_site"].min()
        x, ends = arrays["holdout_x"][of_first], arrays["holdout_end"][of_first].astype("datetime64[s]")
    step = np.timedelta64(round(task.interval_s), "s")
    newest = ends - task.lead * step  # (n,) end of each window's newest row
    rows = newest[:, None] - np.arange(task.window - 1, -1, -1) * step  # (n, T)
    times, at = np.unique(rows.ravel(), return_index=True)
    observed = x.reshape(-1, x.shape[2])[at]  # (m, F)
    midnight, a_day = times[0].astype("datetime64[D]"), round(86400 / task.interval_s)
    first = midnight if midnight + step == times[0] else midnight + np.timedelta64(1, "D")
    whole = int((times[-1] - first) // np.timedelta64(1, "D"))
    wanted = first + np.arange(1, whole * a_day + 1) * step
    where = np.searchsorted(times, wanted).clip(max=len(times) - 1)
    values = np.where((times[where] == wanted)[:, None], observed[where], np.nan).astype(float)
    names, begin = [column.name for column in task.inputs], 0
    if worst:
        daily = np.nanmean(values[:, names.index(worst)].reshape(whole, a_day), axis=1)
        begin = int(np.argmax([daily[d : d + days].sum() for d in range(max(1, whole - days - SPARE_DAYS + 1))]))
    kept = values[begin * a_day : (begin + days + SPARE_DAYS) * a_day]
    start = pd.Timestamp(first + np.timedelta64(begin, "D")).tz_localize(ZoneInfo(timezone)).timestamp()
    return Series(float(start), task.interval_s, {name: kept[:, f] for f, name in enumerate(names)})


def labels(run: Path) -> npt.NDArray[np.int64]:
    """(n,) class of each held-out picture."""
    with np.load(run / WINDOWS) as arrays:
        return arrays["holdout_y"].astype(np.int64)


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A CSV that a device of the demo plays back; NaN is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(["" if isinstance(v, float) and np.isnan(v) else v for v in row] for row in rows)
