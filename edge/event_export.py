"""Logged events as the files that engineers' tools read: TimeStamp, DeviceId, EventId, Parameter."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from wayside.edge.errors import EdgeError
from wayside.edge.event_log import Logged

COLUMNS = ("TimeStamp", "DeviceId", "EventId", "Parameter")


class ExportError(EdgeError):
    """The events cannot be written as asked."""


def write_events(events: Sequence[Logged], out: Path, device: str, zone: tzinfo) -> None:
    """Write ``.csv`` or ``.parquet``, by the name of ``out``. Times are local in ``zone``, to the millisecond.

    Raises:
        ExportError: another ending, a file that cannot be written, or Parquet without DuckDB.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise ExportError(f"{out}: ends in .csv or .parquet")
    try:
        if out.suffix == ".csv":
            _write_csv(events, out, device, zone)
        else:
            _write_parquet(events, out, device, zone)
    except OSError as exc:
        raise ExportError(f"{out}: {exc.strerror or exc}") from exc


def _write_csv(events: Sequence[Logged], out: Path, device: str, zone: tzinfo) -> None:
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for ms, code, parameter in events:
            at = datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone)
            writer.writerow((f"{at:%Y-%m-%d %H:%M:%S}.{ms % 1000:03}", device, code, parameter))


def _write_parquet(events: Sequence[Logged], out: Path, device: str, zone: tzinfo) -> None:
    try:
        import duckdb
    except ImportError as exc:
        raise ExportError(
            "Parquet needs DuckDB, which is not installed here: pip install 'duckdb<2' (the extra 'train' has it), "
            "or write --out events.csv"
        ) from exc
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        text, made = Path(folder) / "events.csv", Path(folder) / "events.parquet"
        _write_csv(events, text, device, zone)
        columns = "{'TimeStamp': 'TIMESTAMP', 'DeviceId': 'VARCHAR', 'EventId': 'SMALLINT', 'Parameter': 'SMALLINT'}"
        try:
            with duckdb.connect() as db:
                rows = db.from_query(f"SELECT * FROM read_csv('{_quoted(text)}', header = true, columns = {columns})")  # noqa: S608  (our own paths)
                rows.write_parquet(str(made), compression="zstd")
        except duckdb.Error as exc:
            raise ExportError(f"{out}: {exc}") from exc
        made.replace(out)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
