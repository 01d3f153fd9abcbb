"""The store in one file of the data directory: SQLite with WAL and ``synchronous=FULL``."""

from __future__ import annotations

import functools
import itertools
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from wayside.cloud.hub.errors import ConfigurationError, HubError, StoreFullError, StoreUnavailableError

DATABASE = "hub.sqlite"
INCREMENTAL = 2  # of PRAGMA auto_vacuum
WAIT_S = 10.0  # for another program that holds the database
_CHUNK = 60  # rows of one statement: some 1300 of SQLite's 32766 parameters


class SqliteStore:
    option = "data"
    other = "name another folder with --data"

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / DATABASE
        self.name = str(self._path)
        self.init = f"`wayside hub init --data {data}`"

    def open(self) -> sa.Engine:
        # An address that is made of parts: pasted into one, a ? or # of a folder's name would end the path.
        address = sa.URL.create("sqlite", database=str(self._path.absolute()))
        engine = sa.create_engine(address, connect_args={"timeout": WAIT_S, "check_same_thread": False}, pool_size=8)
        sa.event.listen(engine, "connect", _configure)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def refuse_none(self) -> None:
        """Raises: ConfigurationError: there is no database, and a look at it would make one."""
        if not self._path.exists():
            raise ConfigurationError("data", f"there is no hub in {self._data}: run {self.init} first")

    def told(self, exc: DBAPIError) -> HubError:
        """What only the person at the hub's computer can mend."""
        code = getattr(exc.orig, "sqlite_errorcode", 0)
        primary = code & 0xFF
        path = self._path
        if path.is_dir():
            why = f"{path} is a folder: remove it, or name another --data"
        elif path.exists() and not path.is_file():
            why = f"{path} is a pipe or a device, not a file: remove it, or name another --data"
        elif primary == sqlite3.SQLITE_CANTOPEN:
            why = f"{path} cannot be opened: may this user read and write in {path.parent}?"
        elif primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            why = f"{path} cannot be written ({exc.orig}): is it, or its disk, read-only for this user?"
        elif primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            why = f"{path} is in use by another program: end it and run this again"
        elif primary == sqlite3.SQLITE_NOTADB:
            why = f"{path} is no database: restore it from a backup, or name another --data"
        elif primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
            why = f"{path} is damaged ({exc.orig}): restore it from a backup"
        elif primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return StoreFullError("store_full", f"{path} cannot be written ({exc.orig}): is the disk full?")
        else:
            return translated(exc)
        return StoreUnavailableError("store_unavailable", why)


def append(connection: sa.Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Many-row INSERTs: one step of SQLite for dozens of rows runs outside Python's lock, while the event loop verifies
    the next request. Measured against ``executemany``: about a third less time for 60 rows.
    """
    each = iter(rows)
    while chunk := tuple(itertools.islice(each, _CHUNK)):
        statement = insert(table, columns, len(chunk))
        connection.exec_driver_sql(statement, tuple(itertools.chain.from_iterable(chunk)))


@functools.cache
def insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    values = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"  # noqa: S608  only constants


def settle(connection: sa.Connection) -> None:
    """There is one writer, and it is asking."""


def size_of(connection: sa.Connection) -> tuple[int, int, bool]:
    """Bytes of the file, of its free pages, and whether these can be given back."""
    said = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("page_size", "page_count", "freelist_count", "auto_vacuum")
    )
    page, count, free, vacuum = said
    return page * count, page * free, vacuum == INCREMENTAL


def reclaim(connection: sa.Connection, pages: int) -> None:
    if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar() == INCREMENTAL:
        for _ in range(pages):  # Python's sqlite3 takes one step of this statement, and a step frees a page
            connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")


def translated(exc: DBAPIError) -> HubError:
    """SQLite's complaint as one of ours, for a node or whoever reads."""
    code = getattr(exc.orig, "sqlite_errorcode", 0)
    # A quota or a file-size limit (EDQUOT, EFBIG) is a failed write to SQLite, where only ENOSPC is "full".
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
        return StoreFullError("store_full", "the hub's disk is full; nothing was stored, send it again later")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreUnavailableError(
            "store_unavailable", f"the hub's database is damaged ({exc.orig}): restore {DATABASE} from a backup"
        )
    return StoreUnavailableError(
        "store_unavailable", f"the hub's database does not answer ({exc.orig}); send it again later"
    )


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are ours: see _begin
    # Vacuum first: it can be chosen only while the file is empty (docs/retention.md). To choose it again is a write: a
    # reader's new connection would wait for the writer.
    if connection.execute("PRAGMA auto_vacuum").fetchone() == (0,):
        connection.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
