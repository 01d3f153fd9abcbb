"""A sync request into the store: idempotent on (node, boot, seq).

Rows go in with many-row INSERTs: one step of SQLite for dozens of rows runs outside Python's lock, while the event
loop verifies the next request. Measured against ``executemany``: about a third less time for 60 rows.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import SyncRequest
from wayside.contracts.wire import encode

_COLUMNS = (
    "boot_id, seq, datastream_id, kind, wall_ms, mono_ns, clock, error_ms, duration_s, value, unit, quality, n, "
    "forecast, naive, anomaly, model, detail, extra, received_ms, derived"
)
_ROW = f"({', '.join('?' * len(_COLUMNS.split(',')))})"
_CHUNK = 60  # rows of one statement: 1260 of SQLite's 32766 parameters


@functools.cache
def _insert(rows: int) -> str:
    return (
        f"INSERT INTO summaries ({_COLUMNS}) VALUES {', '.join([_ROW] * rows)} "  # noqa: S608 only constants
        "ON CONFLICT (boot_id, seq) DO NOTHING"
    )


_SEEN = """
UPDATE nodes SET heartbeat = ?, extra = coalesce(?, extra), stored = stored + ?, duplicates = duplicates + ?,
  requests = requests + 1, bytes = bytes + ?,
  gap_ms = CASE WHEN last_seen_ms IS NULL THEN NULL WHEN gap_ms IS NULL THEN max(0, ? - last_seen_ms)
    ELSE 0.8 * gap_ms + 0.2 * min(max(0, ? - last_seen_ms), 4 * gap_ms + 1000) END,
  last_seen_ms = ?
WHERE id = ?
"""


class Stored(NamedTuple):
    stored: int
    duplicates: int


class Ingest:
    """The writer thread's: remembers the row ids of boots and datastreams. ``forget`` after a rollback."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, int, str], int] = {}
        self._shown: dict[int, tuple[str, bool]] = {}  # of a datastream: unit and derived of its last interval

    def forget(self) -> None:
        self._ids.clear()
        self._shown.clear()

    def store(
        self, connection: sa.Connection, node_id: int, request: SyncRequest, body_bytes: int, now_ms: int
    ) -> Stored:
        """Store what is new and count what is not; the heartbeat replaces the last one."""
        rows = request.summaries
        stored = 0
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            flat: list[object] = []
            for row in chunk:
                flat += self._row(connection, node_id, row, now_ms)
            stored += connection.exec_driver_sql(_insert(len(chunk)), tuple(flat)).rowcount
        duplicates = len(rows) - stored
        heartbeat = encode(request.heartbeat).decode()
        extra = json.encode(request.extra).decode() if request.extra else None
        seen = (heartbeat, extra, stored, duplicates, body_bytes, now_ms, now_ms, now_ms, node_id)
        connection.exec_driver_sql(_SEEN, seen)
        return Stored(stored, duplicates)

    def _row(self, connection: sa.Connection, node_id: int, row: Summary, now_ms: int) -> tuple[object, ...]:
        at = row.at
        stream = self._ids.get(("datastreams", node_id, row.datastream)) or self._id(
            connection, "datastreams", node_id, row.datastream, now_ms
        )
        if row.kind is Kind.INTERVAL and self._shown.get(stream) != (row.unit, row.derived):
            self._show(connection, stream, row.unit, row.derived)
        return (
            self._ids.get(("boots", node_id, row.boot)) or self._id(connection, "boots", node_id, row.boot, now_ms),
            row.seq,
            stream,
            row.kind._value_,
            at.wall_ms,
            at.mono_ns,
            at.clock._value_,
            at.error_ms,
            row.duration_s,
            row.value,
            row.unit,
            row.quality._value_,
            row.n,
            row.forecast,
            row.naive,
            row.anomaly,
            row.model,
            json.encode(row.detail).decode() if row.detail else None,
            _extra(row),
            now_ms,
            row.derived,
        )

    def _show(self, connection: sa.Connection, stream: int, unit: str, derived: bool) -> None:
        update = "UPDATE datastreams SET unit = ?, derived = ? WHERE id = ?"
        connection.exec_driver_sql(update, (unit, derived, stream))
        self._shown[stream] = (unit, derived)

    def _id(self, connection: sa.Connection, table: str, node_id: int, name: str, now_ms: int) -> int:
        if table == "boots":
            insert = "INSERT INTO boots (node_id, boot, first_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            connection.exec_driver_sql(insert, (node_id, name, now_ms))
            select = "SELECT id FROM boots WHERE node_id = ? AND boot = ?"
        else:
            insert = "INSERT INTO datastreams (node_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING"
            connection.exec_driver_sql(insert, (node_id, name))
            select = "SELECT id FROM datastreams WHERE node_id = ? AND name = ?"
        row_id = int(connection.exec_driver_sql(select, (node_id, name)).scalar_one())
        self._ids[table, node_id, name] = row_id
        return row_id


def _extra(row: Summary) -> str | None:
    """Unknown fields, and a stamp of another boot than the row's: kept as they came."""
    kept = dict(row.extra)
    if row.at.extra or row.at.boot != row.boot:
        kept["at"] = {**row.at.extra, **({"boot": row.at.boot} if row.at.boot != row.boot else {})}
    return json.encode(kept).decode() if kept else None
