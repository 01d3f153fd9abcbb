"""Observations of many sites on a regular grid of time, cleaned by declared rules (docs/data.md).

Files name an interval by its *start*, as counters usually do; the grid names it by its *end*, as the node does. The
shift happens here, once. Missing stays missing: a gap is NaN.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

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
"""Intervals × sites × columns of a grid: what a file holds must not take all the memory."""
SPARSE, FREELY = 50, 1_000_000
"""A grid of more cells than the second has at most so many intervals for one that is in the data."""
YEAR_S = 366 * 86_400
FEW, MANY = 100, 10
"""Rows set apart are less than a hundredth of the others, or of one moment, beside at least ten."""
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
    unlisted: int = 0  # rows of sites that the task does not list, which are left out
    notes: tuple[str, ...] = ()  # what the readers guessed or left out, as sentences
    empty: ByColumn = field(default_factory=dict)
    invalid: ByColumn = field(default_factory=dict)
    unknown: ByColumn = field(default_factory=dict)


def bounds(taskfile: TaskFile, name: str) -> tuple[float, float]:
    """Declared limits of a column; an output that is no input has those of a count."""
    declared = FURTHER | {i.name: i for i in taskfile.task.inputs}
    return (declared[name].low, declared[name].high) if name in declared else (0.0, np.inf)


def clean(values: dict[str, npt.NDArray[np.float64]], taskfile: TaskFile) -> ByColumn:
    """Values outside the declared bounds become missing, in place; returns how many of each column."""
    counts = {}
    for name, column in values.items():
        low, high = bounds(taskfile, name)
        outside = (column < low) | (column > high) | np.isinf(column)
        column[outside] = np.nan
        counts[name] = int(outside.sum())
    return counts


def on_grid(rows: Rows, taskfile: TaskFile, source: str) -> Grid:
    """Clean ``rows`` and lay them on a regular grid, which is the same in whatever order they come.

    Each step is counted in the quality report: a few rows years away from all others are left out; values outside the
    declared bounds become missing; of several rows of one site and time those with a value count, of equal ones one is
    kept, contradicting ones become one by the column's ``merge`` rule, or missing without one, since nobody knows which
    is right; then values given once a day are spread, and short gaps filled where declared.

    Raises:
        DataError: the grid would be absurdly long.
    """
    step = round(taskfile.task.interval_s)
    far = far_from_all(rows.seconds)
    far_times = np.unique(rows.seconds[far])
    kept = ~far
    seconds, site = (rows.seconds[kept], rows.site[kept]) if far.any() else (rows.seconds, rows.site)
    given = {n: v[kept] for n, v in rows.values.items()} if far.any() else rows.values
    out_of_range = clean(given, taskfile)
    first, last = int(seconds.min()), int(seconds.max())
    intervals, sites = (last - first) // step + 1, len(rows.sites)
    begin, end = np.datetime64(first, "s"), np.datetime64(last, "s")
    if intervals * sites * len(given) > MAX_CELLS:
        raise DataError(
            f"{source}: {begin} to {end} is {intervals * sites} intervals over all sites, more than "
            f"{MAX_CELLS // len(given)}; is a timestamp wrong?"
        )
    if intervals > SPARSE * len(np.unique(seconds)) and intervals * sites > FREELY:
        raise DataError(
            f"{source}: {begin} to {end} is {intervals} intervals of {step} s, and only {len(np.unique(seconds))} of "
            "them are in the data; is a timestamp wrong, or interval_s?"
        )
    cell = site * intervals + (seconds - first) // step  # (R,) of the flat grid (D * N)
    values = np.full((len(given), sites * intervals), np.nan)  # (C, D * N)
    contradicting, merged, filled, spread = {}, {}, {}, {}
    starts = np.arange(first, last + step, step)  # (N,)
    local = _local(starts + step, taskfile.data.zone)
    for c, (name, column) in enumerate(given.items()):
        rule = taskfile.data.columns.get(name, Column())
        together = _merge(cell, column, rule.merge, values[c])
        if rule.merge == "refuse":
            contradicting[name] = together
        elif together:
            merged[name] = together
        if rule.day:
            spread[name] = _spread(values[c].reshape(sites, intervals), (local - step).astype("datetime64[D]"))
        if rule.over_sites:
            _average(values[c].reshape(sites, intervals))
        if rule.fill:
            filled[name] = _fill(values[c].reshape(sites, intervals), rule.fill)
    shaped = np.ascontiguousarray(values.reshape(-1, sites, intervals).transpose(1, 2, 0))  # (D, N, C)
    repeated = len(cell) - len(np.unique(cell))
    across = 1 if taskfile.data.layout == "long" else sites  # cells of one line
    return Grid(
        source=source,
        ends=local,
        sites=rows.sites,
        columns=tuple(given),
        values=shaped,
        quality=Quality(
            source=source,
            rows=rows.lines,
            sites=sites,
            first=str(local[0] - step),
            last=str(local[-1]),
            intervals=intervals,
            duplicates=repeated // across,
            contradicting=contradicting,
            out_of_range=out_of_range,
            empty=rows.empty,
            silent_intervals=int(np.isnan(shaped[:, :, 0]).all(axis=0).sum()),
            missing={c: int(np.isnan(shaped[:, :, i]).sum()) for i, c in enumerate(given)},
            merged=merged,
            invalid=rows.invalid,
            unknown=rows.unknown,
            filled=filled,
            spread=spread,
            allowed=taskfile.data.missing,
            far=int(far.sum()) // across,
            far_times=tuple(map(str, far_times.astype("datetime64[s]")[:3])),
            unlisted=rows.unlisted,
            notes=rows.notes,
        ),
    )


def far_from_all(seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(R,) which rows stand years away from the rest: few, behind a gap of more than a year (a clock that began at
    1970, a 2 in place of a 1)."""
    times, of, count = np.unique(seconds, return_inverse=True, return_counts=True)
    group = np.cumsum(np.diff(times, prepend=times[0]) > YEAR_S)  # (T,) of times without such a gap between them
    rows = np.bincount(group, weights=count)
    moments = np.bincount(group)
    main = int(rows.argmax())
    few = (rows * FEW < rows[main]) | ((moments == 1) & (moments[main] >= MANY))
    few[main] = False
    outside: npt.NDArray[np.bool_] = few[group][of]
    return outside


def _merge(
    cell: npt.NDArray[np.int64], column: npt.NDArray[np.float64], rule: str, values: npt.NDArray[np.float64]
) -> int:
    """Put ``column`` (R,) into the cells of ``values``; what is missing says nothing beside what is not.

    Returns:
        Cells with several values that are one now; with ``refuse``, those whose values contradict each other.
    """
    seen = ~np.isnan(column)
    cell, column = cell[seen], column[seen]
    # In order of value, so that a sum has the same last bit in whatever order the rows come; `first` heeds the file's.
    order = np.argsort(cell, kind="stable") if rule == "first" else np.lexsort((column, cell))
    cell, column = cell[order], column[order]
    begin = np.flatnonzero(np.diff(cell, prepend=-1))  # (K,) of each run of one cell
    if not len(begin):
        return 0
    end = np.append(begin[1:], len(cell)) - 1
    several = end > begin
    if rule == "refuse":
        clear = column[begin] == column[end]
        values[cell[begin]] = np.where(clear, column[begin], np.nan)
        return int((~clear).sum())
    if rule in ("sum", "mean"):
        total = np.add.reduceat(column, begin)
        values[cell[begin]] = total if rule == "sum" else total / (end - begin + 1)
    else:
        values[cell[begin]] = column[end if rule == "max" else begin]
    return int(several.sum())


def _local(seconds: npt.NDArray[np.int64], zone: str) -> Times:
    times = seconds.astype("datetime64[s]")
    if not zone:
        return times
    return (
        pd.DatetimeIndex(times)
        .tz_localize("UTC")
        .tz_convert(ZoneInfo(zone))
        .tz_localize(None)
        .to_numpy("datetime64[s]")
    )


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
