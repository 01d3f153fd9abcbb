"""The hub's database: one SQLite file, WAL, ``synchronous=FULL``; its schema, and its complaints in our words.

Readers use pooled connections; all writes go through one :class:`wayside.cloud.hub.writer.Writer`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from wayside.cloud.hub.errors import HubError, StoreFullError, StoreUnavailableError

DATABASE = "hub.sqlite"
MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(data: Path) -> sa.Engine:
    """An engine on ``data``'s database; nothing is opened yet."""
    engine = sa.create_engine(
        f"sqlite:///{data / DATABASE}", connect_args={"timeout": 10.0, "check_same_thread": False}, pool_size=8
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are ours: see _begin
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32000"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def migrate(data: Path, revision: str = "head", *, down: bool = False) -> None:
    """Bring ``data``'s schema up to ``revision``, or ``down`` to it; ``base`` takes everything away.

    Raises:
        StoreFullError, StoreUnavailableError: the database cannot be written.
    """
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = open_engine(data)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            if down or revision == "base":
                alembic.command.downgrade(config, revision)
            else:
                alembic.command.upgrade(config, revision)
    except DBAPIError as exc:
        raise translated(exc) from exc
    finally:
        engine.dispose()


def translated(exc: DBAPIError) -> HubError:
    """SQLite's complaint as one of ours."""
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
