"""Readers of the declared layouts: a user's CSV or the files of a data directory become rows (docs/data.md).

Whatever is wrong is refused by file, line (as an editor counts them), column and rule.
"""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside import csv_dialect
from wayside.cloud.train import arrays, stamps
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.grid import Grid, Rows, clean
from wayside.cloud.train.quality import ByColumn, Quality
from wayside.cloud.train.table import Table
from wayside.cloud.train.taskfile import Column, Data, TaskFile

CALENDAR = ("hour", "weekday", "yearday")


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
    # duckdb comes with the package; pandas' own Parquet engine needs NumPy 2, which tflite-runtime cannot have.
    try:
        import duckdb

        path = importlib.resources.files("traffic_anomaly") / "data" / "sample_counts.parquet"
    except ModuleNotFoundError as exc:
        raise DataError(
            f"the sample of counts comes with {exc.name}, which is not installed: install wayside[train], or give "
            "--data FILE.csv"
        ) from exc
    try:
        frame = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
    except duckdb.Error as exc:
        raise DataError(f"{path}: the sample of traffic-anomaly cannot be read: {exc}; install it anew") from exc
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
    code, names = pd.factorize(frame["detector"])
    volume = frame["volume"].to_numpy(copy=True)
    return Rows(
        seconds=frame["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64),
        site=code.astype(np.int64),
        sites=tuple(names),
        values={"volume": volume},
        lines=len(frame),
        empty={"volume": int(np.isnan(volume).sum())},
    )


def read(taskfile: TaskFile, files: Sequence[Path], start: np.datetime64 | None = None) -> Rows:
    """All files as one.

    Args:
        start: time of the first row of files that carry no times; by default the task's own.

    Raises:
        DataError: naming file, line, column and rule.
    """
    parts = [READERS[taskfile.data.layout](f, taskfile, start) for f in files]
    sites = tuple(dict.fromkeys(s for p in parts for s in p.sites))
    if taskfile.data.layout == "long":
        sites = tuple(sorted(sites, key=lambda s: (len(s), s)))  # 2 before 10
    if taskfile.data.sites:
        sites = taskfile.data.sites
    index = {s: i for i, s in enumerate(sites)}
    names = [n for n in parts[0].values if all(n in p.values for p in parts)]
    some = [n for n in dict.fromkeys(n for p in parts for n in p.values) if n not in names]
    notes = [f"column {n} left out: {sum(n in p.values for p in parts)} of {len(parts)} files have it" for n in some]
    site = np.concatenate([np.array([index.get(s, -1) for s in p.sites], np.int64)[p.site] for p in parts])
    keep = site >= 0  # all, unless the task names its sites
    if not keep.any():
        raise DataError(f"{files[0]}: has none of the sites {', '.join(sites[:5])}")
    rare = _rare(sites, np.bincount(site[keep], minlength=len(sites)))
    notes += [f"sites with hardly a row, is each of them one? {rare}"] if rare else []
    return Rows(
        seconds=np.concatenate([p.seconds for p in parts])[keep],
        site=site[keep],
        sites=sites,
        values={n: np.concatenate([p.values[n] for p in parts])[keep] for n in names},
        lines=sum(p.lines for p in parts),
        unlisted=int((~keep).sum()) if taskfile.data.layout == "long" else 0,
        notes=(*_merged(p.notes for p in parts), *notes),
        **{k: _total([getattr(p, k) for p in parts]) for k in ("empty", "invalid", "unknown")},
    )


def _read_long(path: Path, taskfile: TaskFile, start: np.datetime64 | None) -> Rows:
    data, names = taskfile.data, observed(taskfile)
    source = {n: data.columns.get(n, Column()).source or n for n in (*names, *data.further)}
    optional = [n for n in data.further if n not in names]
    output = taskfile.task.output
    # A further column that the task names already is still the file's to have or not.
    required = [*data.time, *([data.site] if data.site else []), source[output]]
    required += [] if data.further else [source[n] for n in names if n != output]
    table = Table(path, data, list(dict.fromkeys(required)), every=bool(data.further))
    if data.further:
        allowed = list(dict.fromkeys([*required, *(source[n] for n in (*optional, *names))]))
        for name in table.columns:
            if name not in allowed:
                raise DataError(f"{path}: line {table.header}: column {name!r} is unknown; known: {', '.join(allowed)}")
    present = [n for n in (*names, *optional) if source[n] in table.columns]
    numeric = [source[n] for n in present if not data.columns.get(n, Column()).words]
    _learn_decimal(table, data, numeric)
    seconds = _seconds(table, taskfile, start)
    code, sites = table.names(data.site) if data.site else (np.zeros(len(table), np.int64), (output,))
    rows = Rows(seconds=seconds, site=code, sites=sites, values={}, lines=len(table))
    for name in present:
        column = _numbers(table, source[name], data.columns.get(name, Column()), name, rows)
        if rows.empty[name] < len(table):
            rows.values[name] = column
        elif name in optional:
            table.notes.append(f"column {source[name]} left out: it is empty in all rows")
            for counts in (rows.empty, rows.invalid, rows.unknown):
                counts.pop(name, None)
        else:
            raise DataError(f"{path}: the column {source[name]} is empty in all {len(table)} rows")
    rows.notes = _notes(table)
    return rows


def _read_wide(path: Path, taskfile: TaskFile, start: np.datetime64 | None) -> Rows:
    data, output = taskfile.data, taskfile.task.output
    table = Table(path, data, data.time, every=True)
    given = tuple(c for c in table.columns if c not in data.time and c not in data.ignore)
    rule = data.columns.get(output, Column())
    if not given:
        raise DataError(f"{path}: there is no column of a site beside {', '.join(data.time) or 'none'}")
    _learn_decimal(table, data, () if rule.words else given)
    silent = [s for s in given if table.is_empty(s)]
    sites = tuple(s for s in given if s not in silent)
    if not sites:
        raise DataError(f"{path}: the columns of all {len(given)} sites are empty in all {len(table)} rows")
    if silent:
        table.notes.append(f"sites left out, since they are empty in all rows: {', '.join(silent)}")
    rows = _matrix(_seconds(table, taskfile, start), sites)
    rows.values[output] = np.concatenate([_numbers(table, s, rule, output, rows) for s in sites])
    rows.notes = _notes(table)
    return rows


def _read_npz(path: Path, taskfile: TaskFile, start: np.datetime64 | None) -> Rows:
    data, output = taskfile.data, taskfile.task.output
    rule = data.columns.get(output, Column())
    name = rule.source or output
    given = arrays.read(path, name, *([data.site] if data.site else []), optional=(data.start,))
    values = given[name]
    names = [str(n) for n in given[data.site].ravel()] if data.site else list(map(str, range(values.shape[-1])))
    began = str(given[data.start]) if data.start in given else ""
    if values.ndim != 2 or values.shape[1] != len(names) or not values.size:
        shape = " x ".join(map(str, values.shape)) or "one number"
        says = f", and {data.site} names {len(names)}" if data.site else ""
        raise DataError(f"{path}: array {name} is {shape}: it must be intervals × sites{says}")
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: array {name} holds {values.dtype}, not numbers")
    if again := csv_dialect.twice(names):
        raise DataError(f"{path}: array {data.site}: {again!r} stands there twice")
    if wrong := csv_dialect.misnamed(names):
        raise DataError(f"{path}: array {data.site}: {wrong}")
    # What the file itself says of its start goes before what is supposed.
    begin = start if start is not None and not began else _moment(began or data.start, path)
    seconds = begin.astype("datetime64[s]").astype(np.int64) + np.arange(len(values)) * round(taskfile.task.interval_s)
    rows = _matrix(seconds, tuple(names))
    flat = values.T.astype(np.float64).ravel()
    rows.empty[output] = int(np.isnan(flat).sum())
    rows.values[output] = _physical(flat, rule, output, rows)
    return rows


def read_nab(taskfile: TaskFile, files: Sequence[Path]) -> Grid:
    """Series with stamps of their own: a row is a step, whatever the clock says; each file is a site ``folder/file``.

    Raises:
        DataError: naming file, line, column and rule.
    """
    task = taskfile.task
    rule = taskfile.data.columns.get(task.output, Column())
    source = rule.source or task.output
    tables = [Table(f, taskfile.data, [*taskfile.data.time, source]) for f in files]
    longest = max(map(len, tables))
    values = np.full((len(files), longest, 1), np.nan)
    times = np.full((len(files), longest), np.datetime64("NaT"), "datetime64[s]")
    out_of_range: ByColumn = {}
    rows = Rows(seconds=np.zeros(0, np.int64), site=np.zeros(0, np.int64), sites=(), values={}, lines=0)
    for i, table in enumerate(tables):
        _learn_decimal(table, taskfile.data, () if rule.words else [source])
        times[i, : len(table)] = table.seconds(task.interval_s).astype("datetime64[s]")
        rows.values = {task.output: _numbers(table, source, rule, task.output, rows)}
        out_of_range = _total([out_of_range, clean(rows.values, taskfile)])
        values[i, : len(table), 0] = rows.values[task.output]
        rows.lines += len(table)
    return Grid(
        source=f"{len(files)} series",
        ends=times[0],
        sites=tuple(f"{f.parent.name}/{f.name}" for f in files),
        columns=(task.output,),
        values=values,
        stamps=times,
        quality=Quality(
            source=f"{len(files)} series",
            rows=rows.lines,
            sites=len(files),
            first=str(times[~np.isnat(times)].min()),
            last=str(times[~np.isnat(times)].max()),
            intervals=longest,
            duplicates=0,
            contradicting={},
            out_of_range=out_of_range,
            empty=rows.empty,
            silent_intervals=0,
            missing={task.output: int(np.isnan(values).sum()) - (values.size - rows.lines)},
            invalid=rows.invalid,
            allowed=taskfile.data.missing,
            notes=_merged(_notes(t) for t in tables),
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


def _numbers(table: Table, source: str, rule: Column, name: str, rows: Rows) -> npt.NDArray[np.float64]:
    """(R,) a column in physical units; what is missing is counted in ``rows`` under ``name``."""
    numbers = table.numbers(source, rule)
    rows.empty[name] = rows.empty.get(name, 0) + numbers.empty
    if rule.words:
        rows.unknown[name] = rows.unknown.get(name, 0) + numbers.unknown
    return _physical(numbers.values, rule, name, rows)


def _learn_decimal(table: Table, data: Data, numeric: Sequence[str]) -> None:
    table.learn_decimal([*numeric, *(data.time if data.time_format == stamps.EXCEL else ())])


def _seconds(table: Table, taskfile: TaskFile, start: np.datetime64 | None) -> npt.NDArray[np.int64]:
    """(R,) start of each row's interval: as the row says, or by its place where rows carry no times."""
    interval_s, data = taskfile.task.interval_s, taskfile.data
    if data.time:
        return table.seconds(interval_s)
    begin = start if start is not None else _moment(data.start, table.path)
    return begin.astype("datetime64[s]").astype(np.int64) + np.arange(len(table)) * round(interval_s)


def _notes(table: Table) -> tuple[str, ...]:
    unnamed = (f"{table.unnamed} empty columns without a name left out",) if table.unnamed else ()
    return (*table.notes, *unnamed)


def _rare(sites: Sequence[str], rows: npt.NDArray[np.int64]) -> str:
    """Sites that have less than a hundredth of a usual site's rows: perhaps a name that is misspelt."""
    few = np.flatnonzero((rows * 100 < np.median(rows)) & (rows > 0))
    listed = ", ".join(f"{sites[i]!r} ({rows[i]})" for i in few[:5])
    return f"{listed}, …" if len(few) > 5 else listed


def _merged(notes: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Of all files; what is not true of each is counted."""
    of_files = list(notes)
    counts = Counter(note for each in of_files for note in each)
    return tuple(note if n == len(of_files) else f"{note} ({n} of {len(of_files)} files)" for note, n in counts.items())


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
