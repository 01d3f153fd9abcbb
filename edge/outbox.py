"""What must survive a power cut, in one SQLite file: summaries on their way to the hub, counters, the open step.

Everything that belongs together is one transaction (WAL, ``synchronous=FULL``), so that after a cut either all of it
happened or none: a step's summaries, the checkpoint behind them with the last event that it contains, the counters.
Rows leave only when the hub has them, and the newest of those stay for a while (:data:`DELIVERED_BYTES`): a hub that is
restored from a backup asks for them again. A damaged file and a full disk are expected:

- a damaged file is moved aside, a fresh one started, and :attr:`Outbox.recovered` says so;
- a full disk raises :class:`StorageFull`; nothing was written, the caller keeps what it has and tries again.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from wayside.contracts.summary import DECISION, PRIORITY, Kind, Summary
from wayside.contracts.sync import Restored
from wayside.edge.errors import EdgeError
from wayside.paths import sqlite_uri

CHECKED_BYTES = 32_000_000  # a larger file is not read through at every start
DELIVERED_BYTES = 8_000_000  # of rows that the hub has: weeks of an intersection's
KEPT_DECISIONS = 500  # for people at the cabinet, also when the hub has them: `wayside node why`
_ROW_OVERHEAD = 64
_KINDS = {priority: kind for kind, priority in PRIORITY.items()}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, priority INTEGER NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL,
  body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS outbox_order ON outbox (priority, id);
CREATE TABLE IF NOT EXISTS decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS delivered (
  id INTEGER PRIMARY KEY AUTOINCREMENT, hub_ms INTEGER NOT NULL, priority INTEGER NOT NULL, boot TEXT NOT NULL,
  seq INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS history (step INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""
_INTERVAL = PRIORITY[Kind.INTERVAL]
_TOLD = "SELECT id, body FROM outbox WHERE priority < ? %s ORDER BY priority, id LIMIT ?"
_NEWEST = "SELECT id, body FROM outbox WHERE priority = ? %s ORDER BY id DESC LIMIT ?"
_WITHOUT = "AND json_extract(CAST(body AS TEXT), '$.datastream') NOT IN (SELECT value FROM json_each(?))"
log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_decode_summary = msgspec.json.Decoder(Summary).decode


class StorageError(EdgeError):
    """The state directory failed; nothing of the transaction was written."""


class StorageFull(StorageError):  # noqa: N818
    """No room on the disk. What is kept in memory is tried again."""


class Batch(NamedTuple):
    ids: list[int]
    rows: list[Summary]


class Outbox:
    """The node's durable state. Belongs to one thread."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Raises: StorageError."""
        self._path = path
        self._limit = limit_bytes
        self.recovered: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except sqlite3.DatabaseError as exc:
            if isinstance(exc, sqlite3.OperationalError) and "malformed" not in str(exc):
                raise _translated(exc, path) from exc
            self._move_aside(exc)
        except OSError as exc:
            where = exc.filename or path.parent
            raise StorageError(f"{where}: {exc.strerror}; the agent needs to write there") from exc

    def _open(self) -> sqlite3.Connection:
        if self._path.is_fifo():
            raise OSError(errno.EINVAL, "is a pipe", str(self._path))
        db = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
            if self._path.stat().st_size < CHECKED_BYTES:
                verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)  # noqa: TRY301
            self.bytes, self.rows, self._delivered = self._tally(db)
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def _tally(db: sqlite3.Connection) -> tuple[int, int, int]:
        """Bytes and rows on their way, and bytes of those that are delivered."""
        told = dict(db.execute("SELECT key, body FROM state WHERE key IN ('tally', 'delivered')"))
        size, rows = msgspec.json.decode(told.get("tally", b"[0,0]"))
        return int(size), int(rows), int(msgspec.json.decode(told.get("delivered", b"0")))

    def _move_aside(self, exc: Exception) -> None:
        for n in range(100):
            aside = self._path.with_name(f"{self._path.name}.damaged-{n}")
            if not aside.exists():
                break
        try:
            self._path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._db = self._open()
        except (OSError, sqlite3.DatabaseError) as again:
            raise StorageError(f"{self._path} is damaged ({exc}) and could not be replaced: {again}") from again
        self.recovered = f"{self._path.name} was damaged ({exc}); it is kept as {aside.name}, a fresh one started"
        log.error("storage damaged", reason=str(exc), kept=str(aside))

    def close(self) -> None:
        self._db.close()

    def load(self, key: str) -> Any:
        """A piece of state, ``None`` if it was never written or cannot be read."""
        try:
            row = self._db.execute("SELECT body FROM state WHERE key = ?", (key,)).fetchone()
            return None if row is None else msgspec.json.decode(row[0])
        except (sqlite3.DatabaseError, msgspec.DecodeError) as exc:
            log.error("state unreadable", key=key, error=str(exc))
            return None

    def history(self) -> list[Any]:
        """The kept steps, oldest first; none if they cannot be read, the windows then fill anew."""
        try:
            entries = self._db.execute("SELECT body FROM history ORDER BY step").fetchall()
            return [msgspec.json.decode(body) for (body,) in entries]
        except (sqlite3.DatabaseError, msgspec.DecodeError) as exc:
            log.error("history unreadable", error=str(exc))
            return []

    def commit(  # noqa: PLR0917  (the one transaction: everything that belongs together)
        self,
        summaries: Sequence[Summary] = (),
        state: dict[str, Any] | None = None,
        steps: Sequence[tuple[int, Any]] = (),
        acknowledged: Sequence[int] = (),
        kept: int = 2**62,
        hub_ms: int | None = None,
        restored: Restored | None = None,
    ) -> None:
        """Write all of it or nothing. Of the history the last ``kept`` entries stay.

        Args:
            acknowledged: ids of rows that leave.
            hub_ms: when the hub took them, by its own clock; None: they are given up.
            restored: the hub was: what it may have lost is on its way again, and its ``at_ms`` is the piece of state
                "restored".

        Raises:
            StorageFull, StorageError: nothing was written.
        """
        size, rows, delivered = self.bytes, self.rows, self._delivered
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                pieces = [(key, _encode(value)) for key, value in (state or {}).items()]
                if restored is not None:
                    again, length = self._send_again(restored.since_ms)
                    rows, size, delivered = rows + again, size + length, delivered - length
                    pieces.append(("restored", b"%d" % restored.at_ms))
                if acknowledged:
                    gone, freed = self._remove(acknowledged, hub_ms)
                    rows, size = rows - gone, size - freed
                    delivered += freed if hub_ms is not None else 0
                if summaries:
                    batch = [(PRIORITY[s.kind], s.boot, s.seq, _encode(s)) for s in summaries]
                    db.executemany("INSERT INTO outbox (priority, boot, seq, body) VALUES (?, ?, ?, ?)", batch)
                    rows += len(batch)
                    size += sum(len(b[3]) for b in batch) + _ROW_OVERHEAD * len(batch)
                    self._keep_decisions([b[3:] for b, s in zip(batch, summaries, strict=True) if s.kind is DECISION])
                delivered = self._forget(delivered, min(DELIVERED_BYTES, max(0, self._limit - size)))
                pieces += [("tally", b"[%d,%d]" % (size, rows)), ("delivered", b"%d" % delivered)]
                db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", pieces)
                if steps:
                    db.executemany(
                        "INSERT OR REPLACE INTO history VALUES (?, ?)", [(i, _encode(body)) for i, body in steps]
                    )
                    db.execute("DELETE FROM history WHERE step <= ?", (steps[-1][0] - kept,))
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as exc:
            error = _translated(exc, self._path)
            # What is delivered goes first; and an acknowledgement makes room also where none is left to keep its rows.
            if isinstance(error, StorageFull) and (self._give_room() or hub_ms is not None):
                self.commit(summaries, state, steps, acknowledged, kept, None, restored)
                return
            raise error from exc
        self.bytes, self.rows, self._delivered = size, rows, delivered

    def _give_room(self) -> bool:
        """Forget what is delivered; whether there was anything."""
        if not self._delivered:
            return False
        with contextlib.suppress(sqlite3.DatabaseError), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM delivered")
            self._db.execute("INSERT OR REPLACE INTO state VALUES ('delivered', '0')")
        self._delivered = 0 if self._db.execute("SELECT 1 FROM delivered").fetchone() is None else self._delivered
        return self._delivered == 0

    def delivered_since(self, hub_ms: int) -> int:
        """How many of the rows that are still here the hub took at ``hub_ms`` of its clock, or later.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            return int(self._db.execute("SELECT count(*) FROM delivered WHERE hub_ms >= ?", (hub_ms,)).fetchone()[0])
        except sqlite3.DatabaseError as exc:
            raise _translated(exc, self._path) from exc

    def _send_again(self, since_ms: int) -> tuple[int, int]:
        rows, size = self._db.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM delivered WHERE hub_ms >= ?", (since_ms,)
        ).fetchone()
        self._db.execute(
            # Ids below all others: they are older than what waits, and go behind it.
            "INSERT INTO outbox (id, priority, boot, seq, body) "
            "SELECT id - ?, priority, boot, seq, body FROM delivered WHERE hub_ms >= ?",
            (2**53, since_ms),
        )
        self._db.execute("DELETE FROM delivered WHERE hub_ms >= ?", (since_ms,))
        return rows, size + rows * _ROW_OVERHEAD

    def _keep_decisions(self, bodies: Sequence[tuple[bytes]]) -> None:
        if bodies:
            last = self._db.executemany("INSERT INTO decisions (body) VALUES (?)", bodies[-KEPT_DECISIONS:])
            last.execute("DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - ?", (KEPT_DECISIONS,))

    def _remove(self, ids: Sequence[int], hub_ms: int | None) -> tuple[int, int]:
        gone = freed = 0
        for id_ in ids:
            row = self._db.execute(
                "DELETE FROM outbox WHERE id = ? RETURNING priority, boot, seq, body", (id_,)
            ).fetchone()
            if row is not None:
                gone += 1
                freed += len(row[3]) + _ROW_OVERHEAD
                if hub_ms is not None:
                    self._db.execute(
                        "INSERT INTO delivered (hub_ms, priority, boot, seq, body) VALUES (?, ?, ?, ?, ?)",
                        (hub_ms, *row),
                    )
        return gone, freed

    def _forget(self, size: int, limit: int) -> int:
        """Of the delivered rows the newest stay, within ``limit`` bytes; return how many bytes they have."""
        if size <= limit:
            return size
        last = 0
        for id_, length in self._db.execute("SELECT id, length(body) FROM delivered ORDER BY id"):
            if size <= limit * 9 // 10:
                break
            last, size = id_, size - length - _ROW_OVERHEAD
        self._db.execute("DELETE FROM delivered WHERE id <= ?", (last,))
        return size

    def batch(self, limit: int, max_bytes: int, intervals: int | None = None, without: Collection[str] = ()) -> Batch:
        """The next rows to send, at most ``limit`` and about ``max_bytes``.

        What happened comes first, in its order, since the end of a condition follows its beginning. Then intervals, at
        most ``intervals`` of them, the newest: after an outage the hub shows what is, while history follows. Nothing of
        the datastreams ``without``.
        """
        try:
            which, names = ("", ()) if not without else (_WITHOUT, (msgspec.json.encode(sorted(without)).decode(),))
            told = self._db.execute(_TOLD % which, (_INTERVAL, *names, limit)).fetchall()
            room = limit - len(told)
            room = room if intervals is None else min(room, intervals)
            newest = self._db.execute(_NEWEST % which, (_INTERVAL, *names, room))
            taken = list(_fitting(itertools.chain(told, newest), max_bytes))
            taken = taken[: len(told)] + taken[len(told) :][::-1]
            return Batch([id_ for id_, _ in taken], [_decode_summary(body) for _, body in taken])
        except (sqlite3.DatabaseError, msgspec.DecodeError) as exc:
            raise StorageError(f"{self._path}: {exc}") from exc

    def over_limit(self) -> dict[Kind, list[int]]:
        """Ids to sacrifice so that a tenth of the limit is free again: least important kind first, oldest first."""
        doomed: dict[Kind, list[int]] = {}
        excess = self.bytes - self._limit * 9 // 10 if self.bytes > self._limit else 0
        if excess <= 0:
            return doomed
        query = "SELECT id, priority, length(body) FROM outbox ORDER BY priority DESC, id"
        try:
            for id_, priority, length in self._db.execute(query):
                doomed.setdefault(_KINDS[priority], []).append(id_)
                excess -= length + _ROW_OVERHEAD
                if excess <= 0:
                    break
        except sqlite3.DatabaseError as exc:
            raise _translated(exc, self._path) from exc
        return doomed

    def timeless(self, boot: str) -> list[tuple[int, Summary]]:
        """Rows of ``boot`` that have no wall time yet."""
        try:
            stored = self._db.execute("SELECT id, body FROM outbox WHERE boot = ?", (boot,))
            rows = [(id_, _decode_summary(body)) for id_, body in stored]
        except (sqlite3.DatabaseError, msgspec.DecodeError) as exc:
            raise StorageError(f"{self._path}: {exc}") from exc
        return [(id_, row) for id_, row in rows if row.at.wall_ms is None]

    def rewrite(self, rows: Sequence[tuple[int, Summary]]) -> None:
        """Replace rows in place: the one re-stamping of a boot when a trusted time arrives."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for id_, row in rows:
                    self._db.execute("UPDATE outbox SET body = ? WHERE id = ?", (_encode(row), id_))
        except sqlite3.DatabaseError as exc:
            raise _translated(exc, self._path) from exc


def _fitting(rows: Iterable[tuple[int, bytes]], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The first rows, as many as have room, and always one."""
    for i, (id_, body) in enumerate(rows):
        max_bytes -= len(body) + 1
        if max_bytes < 0 and i:
            return
        yield id_, body


def _translated(exc: sqlite3.DatabaseError, path: Path) -> StorageError:
    if "full" in str(exc) or "disk I/O" in str(exc):
        return StorageFull(f"{path}: {exc}; free some space, the agent keeps trying")
    return StorageError(f"{path}: {exc}")


def last_decisions(path: Path, actuator: str | None, limit: int) -> list[Summary]:
    """The last rows of decisions, oldest first, of a store that another program may have open. Changes nothing.

    Raises:
        StorageError: it cannot be read.
    """
    rows: list[Summary] = []
    try:
        with contextlib.closing(sqlite3.connect(sqlite_uri(path), uri=True)) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'decisions'").fetchone() is None:
                if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone() is None:
                    raise StorageError(f"{path} is no store of an agent")
                return []  # of an older agent
            for (body,) in db.execute("SELECT body FROM decisions ORDER BY id DESC"):
                row = _decode_summary(body)
                if actuator is None or row.datastream == actuator:
                    rows.append(row)
                if len(rows) == limit:
                    break
    except (sqlite3.DatabaseError, msgspec.DecodeError, OSError) as exc:
        raise StorageError(f"{path}: {exc}") from exc
    return rows[::-1]


def peek(path: Path, key: str) -> Any:
    """A piece of state of a store that another program may have open; ``None`` if there is none. Changes nothing."""
    try:
        with contextlib.closing(sqlite3.connect(sqlite_uri(path), uri=True)) as db:
            row = db.execute("SELECT body FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])
    except (sqlite3.DatabaseError, msgspec.DecodeError, OSError):
        return None
