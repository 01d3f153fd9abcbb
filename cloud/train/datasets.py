"""Counts of many detectors, as a regular grid, and the windows that a model learns from (docs/data.md).

Convention, shared with the node: row k of a window holds the volume of the interval that *ends* at ``t_k``, and the
local hour and weekday of ``t_k``; the target is the volume of the interval that ends at ``t_{k+1}``. Files name an
interval by its *start*, as counters usually do; the shift happens here, once.

Missing stays missing: a gap is NaN on the grid, and no window with a NaN is ever made.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from cloud.train import taskfile
from cloud.train.errors import DataError
from cloud.train.quality import Quality
from contracts.task import Input, TaskSpec

Array = npt.NDArray[np.float32]
CALENDAR = ("hour", "weekday")
MAX_CELLS = 50_000_000
"""Intervals × detectors of a grid: one wrong year must not take all the memory."""
OPTIONAL = {
    i.name: i
    for i in (
        Input(name="lanes", unit="1", low=1, high=16),
        Input(name="speed", unit="km/h", low=0, high=250),
        Input(name="occupancy", unit="%", low=0, high=100),
        Input(name="temperature", unit="Cel", low=-60, high=60),
        Input(name="rain", unit="mm", low=0, high=500),
    )
}
"""Columns that a user's file may have beside ``timestamp,detector,volume``; those it has become inputs."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """A regular grid of observations, NaN where there is none."""

    source: str
    ends: npt.NDArray[np.datetime64]  # (N,) local time at which each interval ends, seconds
    detectors: tuple[str, ...]  # (D,)
    columns: tuple[str, ...]  # (C,) the first is the task's output
    values: npt.NDArray[np.float64]  # (D, N, C)
    quality: Quality

    @property
    def sha256(self) -> str:
        """Of the content in canonical order, whatever the file's order and spelling."""
        digest = hashlib.sha256()
        digest.update(msgspec.json.encode([self.detectors, self.columns]))
        digest.update(self.ends.astype("<i8").tobytes())
        digest.update(np.where(np.isnan(self.values), np.nan, self.values).astype("<f8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Windows:
    """One row per detector and time. T = task.window, F = inputs, H = task.horizon; physical units."""

    x: Array  # (N, T, F)
    y: Array  # (N, H)
    naive: Array  # (N, H) the last value of the window
    seasonal: Array  # (N, H) the value a season before the target; naive where that is missing
    end: npt.NDArray[np.datetime64]  # (N,) end of the first target interval
    first: npt.NDArray[np.datetime64]  # (N,) start of the oldest interval of the window
    last: npt.NDArray[np.datetime64]  # (N,) end of the last target interval
    detector: npt.NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """x (n, T, F) and y (n, H) of those windows."""
        return self.x[indices], self.y[indices]

    @property
    def site(self) -> npt.NDArray[np.int64]:
        return self.detector

    @property
    def hour(self) -> npt.NDArray[np.int64]:
        """(N,) hour of day at which the first target interval ends."""
        return self.end.astype("datetime64[h]").astype(np.int64) % 24

    def where(self, mask: npt.NDArray[np.bool_]) -> Windows:
        return Windows(**{f: getattr(self, f)[mask] for f in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three stretches of time, one after the other. No value of one is in another, neither as input nor as target."""

    train: Windows
    validation: Windows
    holdout: Windows


def load_task(name: str) -> TaskSpec:
    """The task part of :func:`cloud.train.taskfile.load_task`."""
    return taskfile.load_task(name).task


def load(task: TaskSpec, path: Path | None = None) -> tuple[Counts, TaskSpec]:
    """The user's CSV at ``path``, or the sample of the package ``traffic-anomaly``.

    Returns:
        The counts, and the task with the optional columns that the data have as further inputs.

    Raises:
        DataError: naming row, column and rule.
    """
    counts = on_grid(sample(), task, "traffic-anomaly sample_counts") if path is None else read_csv(path, task)
    known = {i.name for i in task.inputs}
    further = tuple(OPTIONAL[c] for c in counts.columns if c not in known)
    absent = known - set(counts.columns) - set(CALENDAR)
    if absent:
        raise DataError(f"{counts.source}: column {min(absent)}: the task {task.name} needs it; add it")
    return counts, msgspec.structs.replace(task, inputs=task.inputs + further)


def sample() -> pd.DataFrame:
    """Counts of 22 detectors of one intersection, 18 April to 13 May 2024, 15 minutes; stamps are interval starts."""
    import duckdb

    # duckdb comes with the package; pandas' own Parquet engine needs NumPy 2, which tflite-runtime cannot have.
    path = importlib.resources.files("traffic_anomaly") / "data" / "sample_counts.parquet"
    frame = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
    return pd.DataFrame(
        {
            "timestamp": frame["timestamp"].astype("datetime64[s]"),
            "detector": frame["detector"].astype(str),
            "volume": frame["total"].astype(float),
        }
    )


def read_csv(path: Path, task: TaskSpec) -> Counts:
    """A user's file: ``timestamp,detector,volume[,lanes][,speed][,occupancy][,temperature][,rain]``.

    Raises:
        DataError: naming row (as an editor counts lines), column and rule.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{path}: cannot be read as a UTF-8 text: {exc}") from exc
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
        raise DataError(f"{path}: is not a CSV with one header line: {exc}") from exc
    if not isinstance(raw.index, pd.RangeIndex):
        raise DataError(f"{path}: row 2: has more cells than the header; one column has no name")
    raw = raw.fillna("")  # a row that ends early
    raw = raw[(raw != "").any(axis=1)]  # blank lines
    required = ["timestamp", "detector", task.output]
    allowed = [*required, *OPTIONAL, *(i.name for i in task.inputs if i.name not in CALENDAR)]
    for name in required:
        if name not in raw.columns:
            raise DataError(f"{path}: row 1: column {name} is missing; the header begins {','.join(required)}")
    for name in raw.columns:
        if name not in allowed:
            raise DataError(f"{path}: row 1: column {name!r} is unknown; known: {', '.join(dict.fromkeys(allowed))}")
    if raw.empty:
        raise DataError(f"{path}: row 2: there is no data after the header")

    def refuse(bad: pd.Series, column: str, rule: str) -> None:
        if bad.any():
            at = bad.idxmax()
            raise DataError(f"{path}: row {at + 2}: column {column}: {raw[column][at]!r} {rule}")

    text = raw["timestamp"].str.strip()
    refuse(text.str.contains(r"[T ].*[+-]|Z$", regex=True), "timestamp", "has a time zone; write local time without it")
    times = pd.to_datetime(text, format="ISO8601", errors="coerce")
    refuse(times.isna(), "timestamp", "is not an ISO 8601 time like 2024-04-18T07:15")
    frame = pd.DataFrame({"timestamp": times.astype("datetime64[s]"), "detector": raw["detector"].str.strip()})
    refuse(frame["detector"] == "", "detector", "is empty; name the detector")
    off = (frame["timestamp"].astype("int64") % round(task.interval_s) != 0) | (times != frame["timestamp"])
    refuse(off, "timestamp", f"is no start of an interval of {task.interval_s:g} s; sum the counts to that grid first")
    for name in [c for c in raw.columns if c not in ("timestamp", "detector")]:
        cell = raw[name].str.strip()
        number = pd.to_numeric(cell, errors="coerce")
        absent = cell.str.lower().isin(["", "nan", "null"])
        refuse(number.isna() & ~absent, name, "is not a number; leave it empty if missing")
        frame[name] = number.astype(float)
    return on_grid(frame, task, path.name)


def on_grid(frame: pd.DataFrame, task: TaskSpec, source: str) -> Counts:
    """Clean ``frame`` (``timestamp`` = start of the interval, ``detector``, columns) and lay it on a regular grid.

    Cleaning, each step counted in the quality report: values outside the declared bounds become missing; of equal
    duplicates one is kept; of contradicting ones none, since nobody knows which is right.

    Raises:
        DataError: the grid would be absurdly long.
    """
    step = np.timedelta64(round(task.interval_s), "s")
    others = [c for c in frame.columns if c not in ("timestamp", "detector", task.output)]
    columns = (task.output, *others)
    bounds = OPTIONAL | {i.name: i for i in task.inputs}
    out_of_range = {}
    frame = frame.copy()
    for name in columns:
        outside = ~frame[name].between(bounds[name].low, bounds[name].high) & frame[name].notna()
        out_of_range[name] = int(outside.sum())
        frame.loc[outside, name] = np.nan
    keys = ["timestamp", "detector"]
    repeated = frame.duplicated(keys)
    groups = frame[frame.duplicated(keys, keep=False)].groupby(keys)[list(columns)]
    contradicting = groups.nunique() > 1
    kept = frame[~repeated].set_index(keys)
    for name in columns:
        kept.loc[contradicting.index[contradicting[name]], name] = np.nan

    first, last = frame["timestamp"].min().to_datetime64(), frame["timestamp"].max().to_datetime64()
    cells = ((last - first) // step + 1) * frame["detector"].nunique()
    if cells > MAX_CELLS:
        raise DataError(
            f"{source}: {first} to {last} is {cells} intervals over all detectors, more than {MAX_CELLS}; is a "
            "timestamp wrong?"
        )
    starts = np.arange(first, last + step, step)
    detectors = sorted(frame["detector"].unique(), key=lambda d: (len(d), d))  # 2 before 10
    grid = pd.MultiIndex.from_product([detectors, starts.astype("datetime64[s]")], names=["detector", "timestamp"])
    full = kept.swaplevel().reindex(grid)[list(columns)]
    values = full.to_numpy(np.float64).reshape(len(detectors), len(starts), len(columns))  # (D, N, C)
    return Counts(
        source=source,
        ends=(starts + step).astype("datetime64[s]"),
        detectors=tuple(detectors),
        columns=columns,
        values=values,
        quality=Quality(
            source=source,
            rows=len(frame),
            detectors=len(detectors),
            first=str(starts[0].astype("datetime64[s]")),
            last=str((starts[-1] + step).astype("datetime64[s]")),
            intervals=len(starts),
            duplicates=int(repeated.sum()),
            contradicting=int(contradicting[task.output].sum()),
            out_of_range=out_of_range,
            empty={c: int(frame[c].isna().sum()) - out_of_range[c] for c in columns},
            silent_intervals=int(np.isnan(values[:, :, 0]).all(axis=0).sum()),
            missing={c: int(np.isnan(values[:, :, i]).sum()) for i, c in enumerate(columns)},
        ),
    )


def windows(counts: Counts, task: TaskSpec) -> Windows:
    """Every complete window of ``counts``, in order of time, then detector.

    Raises:
        DataError: there is none.
    """
    t, h = task.window, task.horizon
    span = t + h
    d, n, _ = counts.values.shape
    if n < span:
        raise DataError(f"{counts.source}: {n} intervals; one window and its target take {span}; give more data")
    seconds = counts.ends.astype(np.int64)
    calendar = {
        "hour": (seconds % 86400) / 3600,
        "weekday": (seconds // 86400 + 3) % 7,  # 1 January 1970 was a Thursday
    }
    observed = dict(zip(counts.columns, np.moveaxis(counts.values, 2, 0), strict=True))
    rows = np.stack(
        [np.broadcast_to(calendar[i.name], (d, n)) if i.name in calendar else observed[i.name] for i in task.inputs],
        axis=2,
    )  # (D, N, F)
    x = np.lib.stride_tricks.sliding_window_view(rows[:, : n - h], t, axis=1).transpose(1, 0, 3, 2)  # (K, D, T, F)
    output = observed[task.output]  # (D, N)
    y = np.lib.stride_tricks.sliding_window_view(output[:, t:], h, axis=1).transpose(1, 0, 2)  # (K, D, H)
    before = np.concatenate([np.full((d, task.season), np.nan), output], axis=1)[:, :n]  # (D, N) a season earlier
    seasonal = np.lib.stride_tricks.sliding_window_view(before[:, t:], h, axis=1).transpose(1, 0, 2)  # (K, D, H)
    naive = np.repeat(x[:, :, -1:, [i.name for i in task.inputs].index(task.output)], h, axis=2)  # (K, D, H)
    complete = ~(np.isnan(x).any(axis=(2, 3)) | np.isnan(y).any(axis=2))  # (K, D)
    if not complete.any():
        raise DataError(f"{counts.source}: no detector has {span} intervals in a row without a gap; give more data")
    k, detector = np.nonzero(complete)
    step = np.timedelta64(round(task.interval_s), "s")
    return Windows(
        x=x[complete].astype(np.float32),
        y=y[complete].astype(np.float32),
        naive=naive[complete].astype(np.float32),
        seasonal=np.where(np.isnan(seasonal), naive, seasonal)[complete].astype(np.float32),
        end=counts.ends[k + t],
        first=counts.ends[k] - step,
        last=counts.ends[k + span - 1],
        detector=detector,
    )


def split(counts: Counts, task: TaskSpec) -> Split:
    """Training days, then validation days, then held-out days; whole local days, counted from the end.

    A window belongs to a stretch only when all of it, inputs and targets, lies inside.

    Raises:
        DataError: too few days.
    """
    every = windows(counts, task)
    day = np.timedelta64(1, "D")
    # An interval that ends at midnight belongs to the day before.
    last_day = (counts.ends[-1] - np.timedelta64(1, "s")).astype("datetime64[D]")
    holdout = (last_day + day - task.holdout_days * day).astype("datetime64[s]")
    validation = (holdout - task.validation_days * day).astype("datetime64[s]")
    parts = {
        "training": every.where(every.last <= validation),
        "validation": every.where((every.first >= validation) & (every.last <= holdout)),
        "held-out": every.where(every.first >= holdout),
    }
    for name, part in parts.items():
        if not len(part):
            raise DataError(
                f"{counts.source}: no {name} window between {counts.quality.first} and {counts.quality.last}: the task "
                f"keeps {task.validation_days} days for validation and {task.holdout_days} held out; give more days, "
                "or a task file with fewer"
            )
    return Split(train=parts["training"], validation=parts["validation"], holdout=parts["held-out"])
