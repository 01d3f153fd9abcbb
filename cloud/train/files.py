"""Readers of the declared layouts: a user's CSV or the files of a data directory become rows (docs/data.md).

Whatever is wrong is refused by file, row (as an editor counts lines), column and rule.
"""

from __future__ import annotations

import importlib.resources
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.cloud.train.errors import DataError
from wayside.cloud.train.grid import Grid, Rows, clean
from wayside.cloud.train.quality import ByColumn, Quality
from wayside.cloud.train.taskfile import Column, TaskFile

CALENDAR = ("hour", "weekday", "yearday")
ABSENT = ("", "nan", "null", "na")


def find(taskfile: TaskFile, data: Path) -> list[Path]:
    """The task's files under the directory ``data`` (or right in it); a file is itself.

    Raises:
        DataError: there is none.
    """
    if not data.is_dir():
        return [data]
    if not taskfile.data.files:
        raise DataError(f"{data}: the task {taskfile.task.name} reads no directory; give a CSV file")
    for patterns in (taskfile.data.files, [Path(f).name for f in taskfile.data.files]):
        matches = sorted({f for pattern in patterns for f in data.glob(pattern)})
        if matches:
            return matches
    raise DataError(f"{data}: has no {' or '.join(taskfile.data.files)}, which the task {taskfile.task.name} reads")


def observed(taskfile: TaskFile) -> list[str]:
    """Columns that the files must have, by the names of the task: the output first."""
    names = [i.name for i in taskfile.task.inputs if i.name not in (*CALENDAR, "site")]
    return list(dict.fromkeys([taskfile.task.output, *names]))


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


def sample_rows() -> Rows:
    """The sample as :func:`read` returns a file."""
    frame = sample()
    code, sites = _sites(frame["detector"])
    volume = frame["volume"].to_numpy(copy=True)
    return Rows(
        seconds=frame["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64),
        site=code,
        sites=sites,
        values={"volume": volume},
        lines=len(frame),
        empty={"volume": int(np.isnan(volume).sum())},
    )


def read(taskfile: TaskFile, files: Sequence[Path], start: np.datetime64 | None = None) -> Rows:
    """All files as one.

    Args:
        start: time of the first row of files that carry no times; by default the task's own.

    Raises:
        DataError: naming file, row, column and rule.
    """
    parts = [READERS[taskfile.data.layout](f, taskfile, start) for f in files]
    sites = tuple(dict.fromkeys(s for p in parts for s in p.sites))
    if taskfile.data.layout == "long":
        sites = tuple(sorted(sites, key=lambda s: (len(s), s)))  # 2 before 10
    if taskfile.data.sites:
        sites = taskfile.data.sites
    index = {s: i for i, s in enumerate(sites)}
    names = [n for n in parts[0].values if all(n in p.values for p in parts)]
    site = np.concatenate([np.array([index.get(s, -1) for s in p.sites], np.int64)[p.site] for p in parts])
    keep = site >= 0
    if not keep.any():
        raise DataError(f"{files[0]}: has none of the sites {', '.join(sites[:5])}")
    return Rows(
        seconds=np.concatenate([p.seconds for p in parts])[keep],
        site=site[keep],
        sites=sites,
        values={n: np.concatenate([p.values[n] for p in parts])[keep] for n in names},
        lines=sum(p.lines for p in parts),
        **{k: _total([getattr(p, k) for p in parts]) for k in ("empty", "invalid", "unknown")},
    )


class _Table:
    """A CSV as texts, and how its cells are refused."""

    def __init__(self, path: Path, taskfile: TaskFile, wanted: Sequence[str] = ()) -> None:
        self.path, self.data = path, taskfile.data
        header: int | None = None if self.data.header else 0
        names = list(self.data.header) or None
        # Of a wide file of someone else's only what is needed is kept in memory.
        columns = set(wanted) if wanted and not self.data.further else None
        try:
            self.raw = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
                header=header,
                names=names,
                usecols=None if columns is None else lambda c: c in columns,
            )
        except OSError as exc:  # also what is no gzip file
            raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
        except (EOFError, UnicodeDecodeError, zlib.error) as exc:
            raise DataError(f"{path}: cannot be read as a UTF-8 text: {exc}") from exc
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
            raise DataError(f"{path}: is not a CSV with one header line: {exc}") from exc
        self.first = 1 if self.data.header else 2  # row of the first data line
        if not isinstance(self.raw.index, pd.RangeIndex):
            raise DataError(f"{path}: row 2: has more cells than the header; one column has no name")
        self.raw = self.raw.fillna("")  # a row that ends early
        for name in wanted:
            if name not in self.raw.columns:
                begin = ",".join(wanted)
                raise DataError(f"{path}: row 1: column {name} is missing; the header begins {begin}")
        self.raw = self.raw[(self.raw != "").any(axis=1)]  # blank lines
        if self.raw.empty:
            raise DataError(f"{path}: row {self.first}: there is no data after the header")

    def refuse(self, bad: pd.Series, column: str, text: pd.Series, rule: str) -> None:
        if bad.any():
            at = bad.idxmax()
            raise DataError(f"{self.path}: row {at + self.first}: column {column}: {text[at]!r} {rule}")

    def seconds(self, interval_s: float, start: np.datetime64 | None) -> npt.NDArray[np.int64]:
        """(R,) start of each row's interval."""
        if not self.data.time:
            begin = start if start is not None else _moment(self.data.start, self.path)
            return begin.astype("datetime64[s]").astype(np.int64) + np.arange(len(self.raw)) * round(interval_s)
        name, form = " ".join(self.data.time), self.data.time_format
        text = self.raw[self.data.time[0]].str.strip()
        for further in self.data.time[1:]:
            text = text + " " + self.raw[further].str.strip()
        if not self.data.zone and not form:
            zoned = text.str.contains(r"[T ].*[+-]|Z$", regex=True)
            self.refuse(zoned, name, text, "has a time zone; write local time without it")
        how = {"format": form, "exact": self.data.time_exact} if form else {"format": "ISO8601"}
        times = pd.to_datetime(text, utc=bool(self.data.zone), errors="coerce", **how)
        like = f"a time like {form}" if form else "an ISO 8601 time like 2024-04-18T07:15"
        self.refuse(times.isna(), name, text, f"is not {like}")
        if self.data.zone:
            times = times.dt.tz_localize(None)
        if self.data.day_starts:
            times = times + pd.to_timedelta((times.dt.hour < self.data.day_starts).astype(int), unit="D")
        whole = times.astype("datetime64[s]")
        seconds = whole.astype("int64")
        off = (seconds % round(interval_s) != 0) | (times != whole)
        rule = f"is no start of an interval of {interval_s:g} s; sum the counts to that grid first"
        if self.data.layout != "nab":
            self.refuse(off, name, text, rule)
        return seconds.to_numpy()

    def numbers(self, source: str, rule: Column, name: str, rows: Rows) -> npt.NDArray[np.float64]:
        """(R,) a column in physical units; what is missing is counted in ``rows`` under ``name``."""
        cell = self.raw[source].str.strip()
        if rule.words:
            known = {w: float(i) for i, w in enumerate(rule.words)}
            number = cell.map(known).astype(float)
            absent = cell.str.lower().isin(ABSENT) & number.isna()
            unknown = number.isna() & ~absent
            rows.unknown[name] = rows.unknown.get(name, 0) + int(unknown.sum())
        else:
            number = pd.to_numeric(cell, errors="coerce").astype(float)
            absent = cell.str.lower().isin(ABSENT)
            self.refuse(number.isna() & ~absent, source, cell, "is not a number; leave it empty if missing")
        rows.empty[name] = rows.empty.get(name, 0) + int(absent.sum())
        return _physical(number.to_numpy(copy=True), rule, name, rows)


def _read_long(path: Path, taskfile: TaskFile, start: np.datetime64 | None) -> Rows:
    data, names = taskfile.data, observed(taskfile)
    source = {n: data.columns.get(n, Column()).source or n for n in (*names, *data.further)}
    optional = [n for n in data.further if n not in names]
    output = taskfile.task.output
    # A further column that the task names already is still the file's to have or not.
    required = [*data.time, *([data.site] if data.site else []), source[output]]
    required += [] if data.further else [source[n] for n in names if n != output]
    table = _Table(path, taskfile, required)
    if data.further:
        allowed = list(dict.fromkeys([*required, *(source[n] for n in (*optional, *names))]))
        for name in table.raw.columns:
            if name not in allowed:
                raise DataError(f"{path}: row 1: column {name!r} is unknown; known: {', '.join(allowed)}")
    seconds = table.seconds(taskfile.task.interval_s, start)
    if data.site:
        text = table.raw[data.site].str.strip()
        table.refuse(text == "", data.site, text, f"is empty; name the {data.site}")
        code, sites = _sites(text)
    else:
        code, sites = np.zeros(len(seconds), np.int64), (taskfile.task.output,)
    rows = Rows(seconds=seconds, site=code, sites=sites, values={}, lines=len(seconds))
    for name in [*names, *optional]:
        if source[name] in table.raw.columns:
            rows.values[name] = table.numbers(source[name], data.columns.get(name, Column()), name, rows)
    return rows


def _read_wide(path: Path, taskfile: TaskFile, start: np.datetime64 | None) -> Rows:
    data, output = taskfile.data, taskfile.task.output
    table = _Table(path, taskfile)
    sites = tuple(c for c in table.raw.columns if c not in data.time and c not in data.ignore)
    for name in data.time:
        if name not in table.raw.columns:
            raise DataError(f"{path}: row 1: column {name} is missing; the header begins {','.join(data.time)}")
    if not sites:
        raise DataError(f"{path}: row 1: there is no column of a site")
    seconds = table.seconds(taskfile.task.interval_s, start)
    rows = _matrix(seconds, sites)
    rule = data.columns.get(output, Column())
    rows.values[output] = np.concatenate([table.numbers(s, rule, output, rows) for s in sites])
    return rows


def _read_npz(path: Path, taskfile: TaskFile, start: np.datetime64 | None) -> Rows:
    data, output = taskfile.data, taskfile.task.output
    rule = data.columns.get(output, Column())
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = np.asarray(arrays[rule.source or output], np.float64)  # (N, D)
            names = arrays[data.site] if data.site else np.arange(values.shape[1])
            began = str(arrays[data.start]) if data.start in arrays.files else ""
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as exc:
        raise DataError(f"{path}: is no .npz file with the arrays of the task {taskfile.task.name}: {exc}") from exc
    if values.ndim != 2 or values.shape[1] != len(names):
        raise DataError(f"{path}: array {rule.source or output} is not intervals × sites, as {data.site} says")
    # What the file itself says of its start goes before what is supposed.
    begin = start if start is not None and not began else _moment(began or data.start, path)
    seconds = begin.astype("datetime64[s]").astype(np.int64) + np.arange(len(values)) * round(taskfile.task.interval_s)
    rows = _matrix(seconds, tuple(str(n) for n in names))
    flat = values.T.ravel().copy()
    rows.empty[output] = int(np.isnan(flat).sum())
    rows.values[output] = _physical(flat, rule, output, rows)
    return rows


def read_nab(taskfile: TaskFile, files: Sequence[Path]) -> Grid:
    """Series with stamps of their own: a row is a step, whatever the clock says; each file is a site ``folder/file``.

    Raises:
        DataError: naming file, row, column and rule.
    """
    task = taskfile.task
    rule = taskfile.data.columns.get(task.output, Column())
    tables = [_Table(f, taskfile, [*taskfile.data.time, rule.source or task.output]) for f in files]
    longest = max(len(t.raw) for t in tables)
    values = np.full((len(files), longest, 1), np.nan)
    stamps = np.full((len(files), longest), np.datetime64("NaT"), "datetime64[s]")
    out_of_range: ByColumn = {}
    rows = Rows(seconds=np.zeros(0, np.int64), site=np.zeros(0, np.int64), sites=(), values={}, lines=0)
    for i, table in enumerate(tables):
        stamps[i, : len(table.raw)] = table.seconds(task.interval_s, None).astype("datetime64[s]")
        rows.values = {task.output: table.numbers(rule.source or task.output, rule, task.output, rows)}
        out_of_range = _total([out_of_range, clean(rows, taskfile)])
        values[i, : len(table.raw), 0] = rows.values[task.output]
        rows.lines += len(table.raw)
    return Grid(
        source=f"{len(files)} series",
        ends=stamps[0],
        sites=tuple(f"{f.parent.name}/{f.name}" for f in files),
        columns=(task.output,),
        values=values,
        stamps=stamps,
        quality=Quality(
            source=f"{len(files)} series",
            rows=rows.lines,
            sites=len(files),
            first=str(stamps[~np.isnat(stamps)].min()),
            last=str(stamps[~np.isnat(stamps)].max()),
            intervals=longest,
            duplicates=0,
            contradicting=0,
            out_of_range=out_of_range,
            empty=rows.empty,
            silent_intervals=0,
            missing={task.output: int(np.isnan(values).sum()) - (values.size - rows.lines)},
            invalid=rows.invalid,
            allowed=taskfile.data.missing,
        ),
    )


READERS = {"long": _read_long, "wide": _read_wide, "npz": _read_npz}


def _matrix(seconds: npt.NDArray[np.int64], sites: tuple[str, ...]) -> Rows:
    """Rows of a table (N, D), site by site, still without values."""
    return Rows(
        seconds=np.tile(seconds, len(sites)),
        site=np.repeat(np.arange(len(sites)), len(seconds)),
        sites=sites,
        values={},
        lines=len(seconds),
    )


def _physical(number: npt.NDArray[np.float64], rule: Column, name: str, rows: Rows) -> npt.NDArray[np.float64]:
    wrong = np.isin(number, rule.invalid)
    number[wrong] = np.nan
    rows.invalid[name] = rows.invalid.get(name, 0) + int(wrong.sum())
    return number * rule.scale + rule.shift


def _sites(text: pd.Series) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    code, names = pd.factorize(text)
    return code.astype(np.int64), tuple(str(n) for n in names)


def _moment(text: str, path: Path) -> np.datetime64:
    try:
        moment = np.datetime64(text, "s")
    except ValueError as exc:
        raise DataError(f"{path}: carries no times, and the task's start {text!r} is no time") from exc
    if np.isnat(moment):
        raise DataError(f"{path}: carries no times, and the task names neither columns for them nor a start")
    return moment


def _total(parts: Sequence[ByColumn]) -> ByColumn:
    names = dict.fromkeys(n for p in parts for n in p)
    return {n: sum(p.get(n, 0) for p in parts) for n in names}
