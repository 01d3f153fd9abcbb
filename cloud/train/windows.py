"""Windows of a grid: what a model sees and what it must say, gathered when they are asked for.

Convention, shared with the node: row k of a window holds the observations of the interval that *ends* at ``t_k``, and
the local calendar of ``t_k``; the first target is the output of the interval that ends ``lead`` intervals later. An
input known ahead holds, in row k, its value for the last target of a forecast made at ``t_k``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.train.errors import DataError
from wayside.cloud.train.files import CALENDAR
from wayside.cloud.train.grid import Grid, Times
from wayside.cloud.train.taskfile import TaskFile
from wayside.contracts.windows import fill_last

Array = npt.NDArray[np.float32]
Index = npt.NDArray[np.integer[Any]]
CHUNK = 8192


@dataclass(frozen=True, kw_only=True)
class Windows:
    """One entry per site and time, in order of time, then site. T = window, F = inputs, H = horizon; physical units.

    Only the grid and two indices are kept; :meth:`take` gathers. ``len``, ``take``, ``site``, ``end``, ``hour``,
    ``naive``, ``seasonal`` and ``spread`` are all that training and evaluation use.
    """

    rows: Array  # (D, M, F) inputs of every interval
    output: Array  # (D, M)
    times: Times  # (D, M) end of each interval, local
    site: npt.NDArray[np.int32]  # (N,) index into the sites
    newest: npt.NDArray[np.int32]  # (N,) index of the window's newest interval
    window: int
    horizon: int
    lead: int  # of the first target after the newest row; 0: the newest interval itself
    step: np.timedelta64
    season: int  # intervals of the seasonal floor
    before: int  # the naive floor is the output so many intervals before the target; 0: the newest observed
    column: int | None  # of the output among the inputs
    mean: Array  # (D,) training mean: the naive floor of a task without lags
    deviation: Array  # (D,) in which errors are counted; 1 unless the task standardizes
    fill: bool = False  # gaps take the value before (TaskSpec.missing is "last"): as on the node

    def __len__(self) -> int:
        return len(self.site)

    def take(self, indices: Index | slice) -> tuple[Array, Array]:
        """Windows (n, T, F), NaN where an input is missing and nobody fills it, and targets (n, H), never NaN."""
        site, newest = self.site[indices], self.newest[indices]
        base = site.astype(np.int64) * self.output.shape[1] + newest  # of the flat grid
        x = self.rows.reshape(-1, self.rows.shape[2]).take(base[:, None] + np.arange(1 - self.window, 1), axis=0)
        if self.fill:
            fill_last(x)
        return x, self._targets(base, 0)

    @property
    def x(self) -> Array:
        """(N, T, F) all at once: for small data only."""
        return self.take(slice(None))[0]

    @property
    def y(self) -> Array:
        """(N, H)"""
        return self._targets(self.site.astype(np.int64) * self.output.shape[1] + self.newest, 0)

    @property
    def naive(self) -> Array:
        """(N, H) the last observed value of the window, or the value ``before`` intervals before each target; without
        lags the site's training mean.
        """
        if self.column is None:
            return np.repeat(self.mean[self.site][:, None], self.horizon, axis=1)
        last = np.empty(len(self), np.float32)
        for a in range(0, len(self), CHUNK):
            part = self.take(slice(a, a + CHUNK))[0][:, ::-1, self.column]  # (n, T) newest first
            last[a : a + CHUNK] = part[np.arange(len(part)), (~np.isnan(part)).argmax(axis=1)]
        repeated = np.repeat(last[:, None], self.horizon, axis=1)
        return self._or(self._earlier(self.before), repeated) if self.before else repeated

    @property
    def seasonal(self) -> Array:
        """(N, H) the value one season before each target, or as many as it takes to be known by then; naive where
        that is missing.
        """
        return self._or(self._earlier(self.season), self.naive)

    @property
    def spread(self) -> Array:
        """(N,) in which errors are counted."""
        return self.deviation[self.site]

    @property
    def end(self) -> Times:
        """(N,) end of the first target interval."""
        return self.times[self.site, self.newest + self.lead]

    @property
    def first(self) -> Times:
        """(N,) start of the oldest interval of the window."""
        return self.times[self.site, self.newest - self.window + 1] - self.step

    @property
    def last(self) -> Times:
        """(N,) end of the last target interval."""
        return self.times[self.site, self.newest + self.reach]

    @property
    def hour(self) -> npt.NDArray[np.int64]:
        """(N,) hour of day at which the first target interval ends."""
        return self.end.astype("datetime64[h]").astype(np.int64) % 24

    @property
    def reach(self) -> int:
        """Intervals from the newest row to the last target."""
        return max(self.lead + self.horizon - 1, 0)

    def where(self, mask: npt.NDArray[np.bool_] | Index) -> Windows:
        """Some of them, by mask or by index."""
        return replace(self, site=self.site[mask], newest=self.newest[mask])

    def _targets(self, base: npt.NDArray[np.int64], earlier: int) -> Array:
        at = base[:, None] + self.lead + np.arange(self.horizon) - earlier
        return self.output.ravel().take(at)

    def _earlier(self, intervals: int) -> Array:
        """(N, H) the output so many intervals before each target, NaN before the grid begins."""
        ahead = self.newest[:, None] + self.lead + np.arange(self.horizon) - intervals
        values = self.output[self.site[:, None], np.maximum(ahead, 0)]
        return np.where(ahead < 0, np.float32(np.nan), values)

    @staticmethod
    def _or(first: Array, second: Array) -> Array:
        return np.where(np.isnan(first), second, first)


def windows(grid: Grid, taskfile: TaskFile, statistics: dict[str, Any] | None = None) -> Windows:
    """Every window of ``grid`` that the task's rule on missing values allows.

    Targets are observed; of the output's column of a window at most ``data.missing`` is missing (with 0, no input is).
    Where gaps are filled with the value before, there is one.

    Args:
        statistics: of the training stretch, as :func:`statistics` gives them.

    Raises:
        DataError: there is none.
    """
    task, data = taskfile.task, taskfile.data
    m = grid.values.shape[1]
    lead = 0 if task.kind == "score" else task.lead
    reach, t = max(lead + task.horizon - 1, 0), task.window
    span = t + reach
    if m < span:
        raise DataError(f"{grid.source}: {m} intervals; one window and its target take {span}: give more data")
    rows = _rows(grid, taskfile, reach)
    names = [i.name for i in task.inputs]
    output = np.ascontiguousarray(grid.values[:, :, grid.columns.index(task.output)], np.float32)
    column = names.index(task.output) if task.output in names else None
    absent = np.isnan(output)
    gaps = _running(absent)  # (D, M + 1)
    newest = np.arange(t - 1, m - reach)  # (K,)
    allowed = (gaps[:, newest + reach + 1] - gaps[:, newest + lead]) == 0  # targets observed
    if data.missing == 0:
        whole = _running(np.isnan(rows).any(axis=2))
        allowed &= (whole[:, newest + 1] - whole[:, newest + 1 - t]) == 0
    elif column is not None:
        allowed &= (gaps[:, newest + 1] - gaps[:, newest + 1 - t]) <= data.missing * t
    if task.missing == "last":
        allowed &= ~np.isnan(rows).any(axis=2)[:, newest + 1 - t]
    if not allowed.any():
        cause = grid.quality.cause()
        raise DataError(f"{grid.source}: no site has {span} intervals in a row without too many gaps: {cause}")
    k, site = np.nonzero(allowed.T)
    if data.naive and data.naive < reach:
        raise DataError(f"task {task.name}: data.naive {data.naive} is not known {reach} intervals ahead")
    known = statistics or {}
    everywhere = float(np.nanmean(output))
    mean = [known.get("mean", {}).get(s, everywhere) for s in grid.sites]
    deviation = [known.get("std", {}).get(s, 1.0) if taskfile.standardize else 1.0 for s in grid.sites]
    return Windows(
        rows=rows,
        output=output,
        times=grid.times,
        site=site.astype(np.int32),
        newest=newest[k].astype(np.int32),
        window=t,
        horizon=task.horizon,
        lead=lead,
        step=np.timedelta64(round(task.interval_s), "s"),
        season=-(-max(reach, 1) // task.season) * task.season,
        before=data.naive,
        column=column,
        mean=np.array(mean, np.float32),
        deviation=np.array(deviation, np.float32),
        fill=task.missing == "last",
    )


def _rows(grid: Grid, taskfile: TaskFile, reach: int) -> Array:
    """(D, M, F) the inputs of every interval."""
    task = taskfile.task
    d, m, _ = grid.values.shape
    rows = np.empty((d, m, len(task.inputs)), np.float32)
    calendar = _calendar(grid.ends if grid.stamps is None else grid.stamps)
    for f, i in enumerate(task.inputs):
        if i.name in CALENDAR:
            rows[:, :, f] = calendar[i.name]
        elif i.name == "site":
            index = {s: n for n, s in enumerate(task.sites)}
            rows[:, :, f] = np.array([index[s] for s in grid.sites], np.float32)[:, None]
        elif i.ahead:
            rows[:, : m - reach, f] = grid.values[:, reach:, grid.columns.index(i.name)]
            rows[:, m - reach :, f] = np.nan
        else:
            rows[:, :, f] = grid.values[:, :, grid.columns.index(i.name)]
    return rows


def _calendar(times: Times) -> dict[str, npt.NDArray[np.float64]]:
    days = times.astype("datetime64[D]")
    clock = (times - days).astype("timedelta64[s]").astype(np.float64)
    of_year = (days - times.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.float64)
    columns = {
        "hour": clock / 3600,
        "weekday": (days.astype(np.int64) + 3) % 7.0,  # 1 January 1970 was a Thursday
        "yearday": of_year + clock / 86400,
    }
    unknown = np.isnat(times)
    return {name: np.where(unknown, np.nan, values) for name, values in columns.items()}


def _running(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """(D, M) → (D, M + 1) how many are set before each interval."""
    total = np.zeros((flags.shape[0], flags.shape[1] + 1), np.int32)
    np.cumsum(flags, axis=1, out=total[:, 1:])
    return total
