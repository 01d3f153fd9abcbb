"""Observations of many sites on a regular grid of time, cleaned by declared rules (docs/data.md).

Files name an interval by its *start*, as counters usually do; the grid names it by its *end*, as the node does. The
shift happens here, once. Missing stays missing: a gap is NaN.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.cloud.train.errors import DataError
from wayside.cloud.train.quality import ByColumn, Quality
from wayside.cloud.train.taskfile import Column, TaskFile
from wayside.contracts.task import Input

Times = npt.NDArray[np.datetime64]
MAX_CELLS = 50_000_000
"""Intervals × sites of a grid: one wrong year must not take all the memory."""
FURTHER = {
    i.name: i
    for i in (
        Input(name="lanes", unit="1", low=1, high=16),
        Input(name="speed", unit="km/h", low=0, high=250),
        Input(name="occupancy", unit="%", low=0, high=100),
        Input(name="temperature", unit="Cel", low=-60, high=60),
        Input(name="rain", unit="mm", low=0, high=500),
    )
}
"""Columns that a file may have beside the required ones, where the task says so; those it has become inputs."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Observations, NaN where there is none."""

    source: str
    ends: Times  # (N,) local time at which each interval ends, seconds
    sites: tuple[str, ...]  # (D,)
    columns: tuple[str, ...]  # (C,) the first is the task's output
    values: npt.NDArray[np.float64]  # (D, N, C)
    quality: Quality
    stamps: Times | None = None  # (D, N) where every site has a time of its own (layout nab); NaT after its last row

    @property
    def times(self) -> Times:
        """(D, N) local time at which each interval ends."""
        return np.broadcast_to(self.ends, self.values.shape[:2]) if self.stamps is None else self.stamps

    @property
    def sha256(self) -> str:
        """Of the content in canonical order, whatever the file's order and spelling."""
        digest = hashlib.sha256()
        digest.update(msgspec.json.encode([self.sites, self.columns]))
        digest.update((self.ends if self.stamps is None else self.stamps).astype("<i8").tobytes())
        digest.update(np.where(np.isnan(self.values), np.nan, self.values).astype("<f8").tobytes())
        return digest.hexdigest()


@dataclass(kw_only=True)
class Rows:
    """What the readers hand over: one entry per observation, in any order."""

    seconds: npt.NDArray[np.int64]  # (R,) since 1970, start of the interval; UTC where the task has a zone
    site: npt.NDArray[np.int64]  # (R,) index into ``sites``
    sites: tuple[str, ...]
    values: dict[str, npt.NDArray[np.float64]]  # name → (R,), the output first
    lines: int  # of the files
    empty: ByColumn = field(default_factory=dict)
    invalid: ByColumn = field(default_factory=dict)
    unknown: ByColumn = field(default_factory=dict)


def bounds(taskfile: TaskFile, name: str) -> tuple[float, float]:
    """Declared limits of a column; an output that is no input has those of a count."""
    declared = FURTHER | {i.name: i for i in taskfile.task.inputs}
    return (declared[name].low, declared[name].high) if name in declared else (0.0, np.inf)


def clean(rows: Rows, taskfile: TaskFile) -> ByColumn:
    """Values outside the declared bounds become missing, in place; returns how many of each column."""
    counts = {}
    for name, column in rows.values.items():
        low, high = bounds(taskfile, name)
        outside = (column < low) | (column > high) | np.isinf(column)
        column[outside] = np.nan
        counts[name] = int(outside.sum())
    return counts


def on_grid(rows: Rows, taskfile: TaskFile, source: str) -> Grid:
    """Clean ``rows`` and lay them on a regular grid.

    Each step is counted in the quality report: values outside the declared bounds become missing; of equal
    duplicates one is kept; contradicting ones become one by the column's ``merge`` rule, or missing without one,
    since nobody knows which is right; then values given once a day are spread, and short gaps filled where declared.

    Raises:
        DataError: the grid would be absurdly long.
    """
    step = round(taskfile.task.interval_s)
    out_of_range = clean(rows, taskfile)
    first, last = int(rows.seconds.min()), int(rows.seconds.max())
    intervals, sites = (last - first) // step + 1, len(rows.sites)
    if intervals * sites > MAX_CELLS:
        begin, end = np.datetime64(first, "s"), np.datetime64(last, "s")
        raise DataError(
            f"{source}: {begin} to {end} is {intervals * sites} intervals over all sites, more than {MAX_CELLS}; is a "
            "timestamp wrong?"
        )
    cell = rows.site * intervals + (rows.seconds - first) // step  # (R,) of the flat grid (D * N)
    cells, of, count = np.unique(cell, return_index=True, return_counts=True)
    repeated = np.isin(cell, cells[count > 1])
    values = np.full((len(rows.values), sites * intervals), np.nan)  # (C, D * N)
    contradicting, merged, filled, spread = 0, {}, {}, {}
    starts = np.arange(first, last + step, step)  # (N,)
    local = _local(starts + step, taskfile.data.zone)
    for c, (name, column) in enumerate(rows.values.items()):
        rule = taskfile.data.columns.get(name, Column())
        values[c, cells] = column[of]
        if repeated.any():
            groups = pd.Series(column[repeated]).groupby(cell[repeated])
            if rule.merge == "refuse":
                unclear = groups.nunique()
                unclear = unclear.index[unclear > 1].to_numpy()
                values[c, unclear] = np.nan
                contradicting += len(unclear) if c == 0 else 0
            else:
                # Of only missing values the sum is missing, not 0.
                together = groups.sum(min_count=1) if rule.merge == "sum" else groups.agg(rule.merge)
                values[c, together.index] = together
                merged[name] = len(together)
        if rule.day:
            spread[name] = _spread(values[c].reshape(sites, intervals), (local - step).astype("datetime64[D]"))
        if rule.over_sites:
            _average(values[c].reshape(sites, intervals))
        if rule.fill:
            filled[name] = _fill(values[c].reshape(sites, intervals), rule.fill)
    shaped = np.ascontiguousarray(values.reshape(-1, sites, intervals).transpose(1, 2, 0))  # (D, N, C)
    return Grid(
        source=source,
        ends=local,
        sites=rows.sites,
        columns=tuple(rows.values),
        values=shaped,
        quality=Quality(
            source=source,
            rows=rows.lines,
            sites=sites,
            first=str(local[0] - step),
            last=str(local[-1]),
            intervals=intervals,
            duplicates=(len(cell) - len(cells)) * rows.lines // len(cell),  # a line of a wide file has many cells
            contradicting=contradicting,
            out_of_range=out_of_range,
            empty=rows.empty,
            silent_intervals=int(np.isnan(shaped[:, :, 0]).all(axis=0).sum()),
            missing={c: int(np.isnan(shaped[:, :, i]).sum()) for i, c in enumerate(rows.values)},
            merged=merged,
            invalid=rows.invalid,
            unknown=rows.unknown,
            filled=filled,
            spread=spread,
            allowed=taskfile.data.missing,
        ),
    )


def _local(seconds: npt.NDArray[np.int64], zone: str) -> Times:
    times = seconds.astype("datetime64[s]")
    if not zone:
        return times
    return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy("datetime64[s]")


def _spread(values: npt.NDArray[np.float64], days: Times) -> int:
    """Every cell of a day takes the day's first observed value, in place (D, N); returns how many changed."""
    edges = np.append(np.flatnonzero(np.r_[True, days[1:] != days[:-1]]), len(days))
    changed = 0
    for row in values:
        for a, b in itertools.pairwise(edges):
            seen = row[a:b][~np.isnan(row[a:b])]
            if len(seen):
                changed += int((row[a:b] != seen[0]).sum())
                row[a:b] = seen[0]
    return changed


def _average(values: npt.NDArray[np.float64]) -> None:
    """Every site takes the mean of those that observed, in place (D, N)."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=0)
    total = np.where(seen, values, 0.0).sum(axis=0)
    values[:] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _fill(values: npt.NDArray[np.float64], limit: int) -> int:
    """Gaps of at most ``limit`` intervals take the value before, in place (D, N); returns how many cells."""
    changed = 0
    for row in values:
        gap = np.isnan(row)
        edges = np.flatnonzero(np.diff(np.r_[False, gap, False]))  # begin, end, begin, end, …
        for a, b in edges.reshape(-1, 2):
            if a and b - a <= limit and b < len(row):
                row[a:b] = row[a - 1]
                changed += int(b - a)
    return changed
