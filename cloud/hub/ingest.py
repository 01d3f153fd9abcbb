"""Sync requests into the store: each row once by (node, boot, seq), and counted where it is new.

What pages show is counted here, in the transaction of the rows: nothing on their way reads the rows again.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.door.quotas import Charge
from wayside.cloud.hub.engine import append_summaries
from wayside.cloud.hub.heartbeats import Heartbeats
from wayside.cloud.hub.received import Received
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import SyncRequest

_SEEN = sa.text("""
UPDATE nodes SET heartbeat = :heartbeat, said = :said, sync_ms = :sync_ms, backlog = :backlog, allowed = :allowed,
  refused = :refused, signal_fault = :signal_fault, extra = coalesce(:extra, extra), stored = stored + :stored,
  duplicates = duplicates + :duplicates, serial = serial + 1, requests = requests + 1, bytes = bytes + :bytes,
  intervals = intervals + :interval, alerts = alerts + :alert, decisions = decisions + :decision, gaps = gaps + :gap,
  missing = missing + :missing, scored = scored + :scored, forecast_error = forecast_error + :forecast,
  naive_error = naive_error + :naive,
  day_rows = CASE WHEN day = :day THEN day_rows ELSE 0 END + :stored,
  day_bytes = CASE WHEN day = :day THEN day_bytes ELSE 0 END + :bytes,
  day_boots = CASE WHEN day = :day THEN day_boots ELSE 0 END + :boots,
  day = :day, over_quota = :over,
  gap_ms = CASE
    WHEN last_seen_ms IS NULL THEN NULL
    WHEN :now < last_seen_ms THEN gap_ms
    WHEN gap_ms IS NULL THEN :now - last_seen_ms
    WHEN :now - last_seen_ms > 4 * gap_ms + 1000 THEN 0.8 * gap_ms + 0.2 * (4 * gap_ms + 1000)
    ELSE 0.8 * gap_ms + 0.2 * (:now - last_seen_ms) END,
  last_seen_ms = :now
WHERE id = :node
""")
_SHOWN = sa.text("UPDATE datastreams SET unit = :unit, derived = :derived WHERE id = :id")
_NEW_BOOT = sa.text("INSERT INTO boots (node_id, boot, first_ms) VALUES (:node, :name, :now) ON CONFLICT DO NOTHING")
_BOOT = sa.text("SELECT id, rows, last_seq FROM boots WHERE node_id = :node AND boot = :name")
_COUNTED = sa.text("UPDATE boots SET rows = :rows, last_seq = :last WHERE id = :id")
_STREAMS = sa.text("SELECT name, id, unit, derived FROM datastreams WHERE node_id = :node")
_NEW_STREAM = sa.text("INSERT INTO datastreams (node_id, name) VALUES (:node, :name) ON CONFLICT DO NOTHING")
_STREAM = sa.text("SELECT id FROM datastreams WHERE node_id = :node AND name = :name")

MAX_WAITING = 20_000  # rows of several requests: some 40 MB


class Stored(NamedTuple):
    stored: int
    duplicates: int


class _Boot(NamedTuple):
    id: int
    rows: int
    last_seq: int  # -1: none came yet

    @property
    def missing(self) -> int:
        return self.last_seq + 1 - self.rows


class _Known:
    """What is remembered of a node."""

    __slots__ = ("boots", "node", "shown", "streams")

    def __init__(self, node: int) -> None:
        self.node = node  # its row
        self.boots: dict[str, _Boot] = {}
        self.streams: dict[str, int] = {}
        self.shown: dict[int, tuple[str, bool]] = {}  # of a datastream: unit and derived of its last interval


class Ingest:
    """The writer thread's: remembers boots, datastreams and pages of received rows. ``forget`` after a rollback."""

    def __init__(self, *, grouped: bool = False) -> None:
        """Args:
        grouped: :meth:`flush` is called before each commit, and writes what all requests of the transaction brought in
            a few statements, where each by itself would wait for the database some six times.
        """
        self._nodes: dict[int, _Known] = {}
        self._received = Received()
        self._heartbeats = Heartbeats()
        self._grouped = grouped
        self._rows: list[Iterator[tuple[object, ...]]] = []
        self._waiting = 0  # rows
        self._counted: dict[int, dict[str, int]] = {}  # by boot

    def forget(self, node: int | None = None) -> None:
        if node is None:
            self._nodes.clear()
            self._received.forget()
            self._heartbeats.forget()
            self._rows, self._waiting = [], 0
            self._counted.clear()
        elif (known := self._nodes.pop(node, None)) is not None:
            self._received.forget(frozenset(boot.id for boot in known.boots.values()))
            self._heartbeats.forget(node)

    def store(  # noqa: PLR0917  a request and its circumstances
        self,
        connection: sa.Connection,
        node_id: int,
        request: SyncRequest,
        body_bytes: int,
        now_ms: int,
        charge: Charge = Charge(),  # noqa: B008  immutable
    ) -> Stored:
        """Store what is new and count what is not; the heartbeat replaces the last one."""
        known = self._nodes.get(node_id)
        if known is None:
            known = self._nodes[node_id] = _known(connection, node_id)
        by_boot: dict[str, list[Summary]] = {}
        for row in request.summaries:
            by_boot.setdefault(row.boot, []).append(row)
        new: list[Summary] = []
        missing = 0
        for name, rows in by_boot.items():
            taken, grown = self._take(connection, known, name, rows, now_ms)
            new += taken
            missing += grown
        self._rows.append(_rows(connection, known, new, now_ms))
        self._waiting += len(new)
        if not self._grouped or self._waiting > MAX_WAITING:
            self.flush(connection)
        kinds = Counter([row.kind._value_ for row in new])  # of names: an Enum's own hash is Python's
        scored = [r for r in new if _is_scored(r)]
        duplicates = len(request.summaries) - len(new)
        connection.execute(
            _SEEN,
            {
                **self._heartbeats.note(connection, node_id, request.heartbeat),
                "extra": json.encode(request.extra).decode() if request.extra else None,
                "stored": len(new),
                "duplicates": duplicates,
                "bytes": body_bytes,
                **{kind.value: kinds[kind.value] for kind in Kind},
                "missing": missing,
                "scored": len(scored),
                "forecast": sum(abs(r.value - r.forecast) for r in scored),  # type: ignore[operator]
                "naive": sum(abs(r.value - r.naive) for r in scored),  # type: ignore[operator]
                "now": now_ms,
                "node": node_id,
                **charge._asdict(),
            },
        )
        return Stored(len(new), duplicates)

    def _take(
        self, connection: sa.Connection, known: _Known, name: str, rows: Sequence[Summary], now_ms: int
    ) -> tuple[list[Summary], int]:
        """The rows of one boot that are new, and by how many more are missing before the last one."""
        boot = known.boots.get(name) or self._boot(connection, known, name, now_ms)
        new = self._received.take(connection, boot.id, [row.seq for row in rows])
        taken = [row for row, is_new in zip(rows, new, strict=True) if is_new]
        if not taken:
            return taken, 0
        last = max(boot.last_seq, *(row.seq for row in taken))
        counted = known.boots[name] = _Boot(boot.id, boot.rows + len(taken), last)
        self._counted[boot.id] = {"rows": counted.rows, "last": last, "id": boot.id}
        return taken, counted.missing - boot.missing

    def flush(self, connection: sa.Connection) -> None:
        """Write what is not written yet."""
        self._received.save(connection)
        self._count(connection)
        rows, self._rows, self._waiting = self._rows, [], 0
        append_summaries(connection, itertools.chain.from_iterable(rows))

    def _count(self, connection: sa.Connection) -> None:
        if self._counted:
            counted, self._counted = self._counted, {}
            connection.execute(_COUNTED, [counted[boot] for boot in sorted(counted)])

    def _boot(self, connection: sa.Connection, known: _Known, name: str, now_ms: int) -> _Boot:
        self._count(connection)  # else one that was forgotten would be read as it was
        found = connection.execute(_BOOT, {"node": known.node, "name": name}).one_or_none()
        if found is None:
            connection.execute(_NEW_BOOT, {"node": known.node, "name": name, "now": now_ms})
            found = connection.execute(_BOOT, {"node": known.node, "name": name}).one()
        id_, rows, last = found
        boot = known.boots[name] = _Boot(id_, rows, -1 if last is None else last)
        return boot


def _rows(
    connection: sa.Connection, known: _Known, rows: Sequence[Summary], now_ms: int
) -> Iterator[tuple[object, ...]]:
    """In the order of ``store.summaries``, without their numbers; made one by one, while the store takes those before.

    No statement is left to run then: a COPY is under way on the connection.
    """
    streams, shown = known.streams, known.shown
    for row in rows:
        stream = streams.get(row.datastream) or _stream(connection, known, row.datastream)
        if row.kind is Kind.INTERVAL and shown.get(stream) != (row.unit, row.derived):
            connection.execute(_SHOWN, {"unit": row.unit, "derived": row.derived, "id": stream})
            shown[stream] = (row.unit, row.derived)
    return (_row(known.node, streams[row.datastream], known.boots[row.boot].id, row, now_ms) for row in rows)


def _row(node: int, stream: int, boot: int, row: Summary, now_ms: int) -> tuple[object, ...]:
    at = row.at
    wall_ms = at.wall_ms
    return (
        node,
        now_ms if wall_ms is None else wall_ms,
        boot,
        row.seq,
        stream,
        row.kind._value_,
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


def _known(connection: sa.Connection, node: int) -> _Known:
    """In one query: where several processes serve a node, each reads it anew after the other."""
    known = _Known(node)
    for name, stream, unit, derived in connection.execute(_STREAMS, {"node": node}):
        known.streams[name] = stream
        if unit is not None:
            known.shown[stream] = (unit, bool(derived))
    return known


def _stream(connection: sa.Connection, known: _Known, name: str) -> int:
    connection.execute(_NEW_STREAM, {"node": known.node, "name": name})
    stream = int(connection.execute(_STREAM, {"node": known.node, "name": name}).scalar_one())
    known.streams[name] = stream
    return stream


def _is_scored(row: Summary) -> bool:
    """Whether the node had forecast the interval, and it is no sum of others."""
    if row.forecast is None or row.naive is None or row.value is None:
        return False
    return row.kind is Kind.INTERVAL and not row.derived


def _extra(row: Summary) -> str | None:
    """Unknown fields, and a stamp of another boot than the row's: kept as they came."""
    if not row.extra and not row.at.extra and row.at.boot == row.boot:
        return None
    kept = dict(row.extra)
    if row.at.extra or row.at.boot != row.boot:
        kept["at"] = {**row.at.extra, **({"boot": row.at.boot} if row.at.boot != row.boot else {})}
    return json.encode(kept).decode()
