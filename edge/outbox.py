"""What must survive a power cut, in one SQLite file: summaries on their way to the hub, counters, the open step.

Everything that belongs together is one transaction (WAL, ``synchronous=FULL``), so that after a cut either all of it
happened or none: a step's summaries, the checkpoint behind them with the last event that it contains, the counters.
Rows leave only when the hub has them. A damaged file and a full disk are expected:

- a damaged file is moved aside, a fresh one started, and :attr:`Outbox.recovered` says so;
- a full disk raises :class:`StorageFull`; nothing was written, the caller keeps what it has and tries again.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from wayside.contracts.summary import DECISION, PRIORITY, Kind, Summary
from wayside.edge.errors import EdgeError
from wayside.paths import sqlite_uri

CHECKED_BYTES = 32_000_000  # a larger file is not read through at every start
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
CREATE TABLE IF NOT EXISTS history (step INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""
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
            self.bytes, self.rows = self._tally(db)
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def _tally(db: sqlite3.Connection) -> tuple[int, int]:
        row = db.execute("SELECT body FROM state WHERE key = 'tally'").fetchone()
        if row is not None:
            size, rows = msgspec.json.decode(row[0])
            return int(size), int(rows)
        return 0, 0

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

    def commit(
        self,
        summaries: Sequence[Summary] = (),
        state: dict[str, Any] | None = None,
        steps: Sequence[tuple[int, Any]] = (),
        acknowledged: Sequence[int] = (),
        kept: int = 2**62,
    ) -> None:
        """Write all of it or nothing. Of the history the last ``kept`` entries stay.

        Raises:
            StorageFull, StorageError: nothing was written.
        """
        size, rows = self.bytes, self.rows
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                if acknowledged:
                    gone, freed = self._delete(acknowledged)
                    rows, size = rows - gone, size - freed
                if summaries:
                    batch = [(PRIORITY[s.kind], s.boot, s.seq, _encode(s)) for s in summaries]
                    db.executemany("INSERT INTO outbox (priority, boot, seq, body) VALUES (?, ?, ?, ?)", batch)
                    rows += len(batch)
                    size += sum(len(b[3]) for b in batch) + _ROW_OVERHEAD * len(batch)
                    self._keep_decisions([b[3:] for b, s in zip(batch, summaries, strict=True) if s.kind is DECISION])
                pieces = [(key, _encode(value)) for key, value in (state or {}).items()]
                pieces.append(("tally", b"[%d,%d]" % (size, rows)))
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
            raise _translated(exc, self._path) from exc
        self.bytes, self.rows = size, rows

    def _keep_decisions(self, bodies: Sequence[tuple[bytes]]) -> None:
        if bodies:
            last = self._db.executemany("INSERT INTO decisions (body) VALUES (?)", bodies[-KEPT_DECISIONS:])
            last.execute("DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - ?", (KEPT_DECISIONS,))

    def _delete(self, ids: Sequence[int]) -> tuple[int, int]:
        gone = freed = 0
        for id_ in ids:
            row = self._db.execute("DELETE FROM outbox WHERE id = ? RETURNING length(body)", (id_,)).fetchone()
            if row is not None:
                gone += 1
                freed += row[0] + _ROW_OVERHEAD
        return gone, freed

    def batch(self, limit: int, max_bytes: int) -> Batch:
        """The next rows to send, most important first, at most ``limit`` and about ``max_bytes``."""
        ids: list[int] = []
        rows: list[Summary] = []
        try:
            for id_, body in self._db.execute("SELECT id, body FROM outbox ORDER BY priority, id LIMIT ?", (limit,)):
                max_bytes -= len(body) + 1
                if max_bytes < 0 and ids:
                    break
                ids.append(id_)
                rows.append(_decode_summary(body))
        except (sqlite3.DatabaseError, msgspec.DecodeError) as exc:
            raise StorageError(f"{self._path}: {exc}") from exc
        return Batch(ids, rows)

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
