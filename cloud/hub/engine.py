"""The hub's database: one SQLite file, WAL, ``synchronous=FULL``; its schema, and its complaints in our words.

Readers use pooled connections; all writes go through one :class:`wayside.cloud.hub.writer.Writer`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from wayside.cloud.hub.errors import ConfigurationError, HubError, StoreFullError, StoreUnavailableError
from wayside.cloud.hub.store import metadata

DATABASE = "hub.sqlite"
WAIT_S = 10.0  # for another program that holds the database
MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(data: Path) -> sa.Engine:
    """An engine on ``data``'s database; nothing is opened yet."""
    # An address that is made of parts: pasted into one, a ? or # of a folder's name would end the path.
    address = sa.URL.create("sqlite", database=str((data / DATABASE).absolute()))
    engine = sa.create_engine(address, connect_args={"timeout": WAIT_S, "check_same_thread": False}, pool_size=8)

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
        ConfigurationError: the file is no hub's database, or a newer hub's.
        StoreFullError, StoreUnavailableError: the database cannot be written.
    """
    config = _alembic()
    with _opened(data) as engine, engine.connect() as connection:
        _refuse_others(connection, data, config)
        config.attributes["connection"] = connection
        if down or revision == "base":
            alembic.command.downgrade(config, revision)
        else:
            alembic.command.upgrade(config, revision)
            if revision == "head":
                _refuse_parts(connection, data)


def check_schema(data: Path) -> None:
    """Whether this release can write into ``data``'s database as it is.

    Raises:
        ConfigurationError: there is none, it is no hub's, or another release's.
        StoreUnavailableError: it cannot be read.
    """
    refuse_no_folder(data)
    if not (data / DATABASE).exists():
        raise ConfigurationError("data", f"there is no hub in {data}: run `wayside hub init --data {data}` first")
    config = _alembic()
    with _opened(data) as engine, engine.connect() as connection:
        revision = _refuse_others(connection, data, config)
        if revision == ScriptDirectory.from_config(config).get_current_head():
            _refuse_parts(connection, data)
            return
    what = f"{data / DATABASE} is empty" if revision is None else f"{data / DATABASE} is an earlier release's"
    raise ConfigurationError("data", f"{what}: `wayside hub init --data {data}` brings it up to date")


def refuse_no_folder(data: Path) -> None:
    """Raises: ConfigurationError: something is at ``data``, and no folder can be."""
    if data.is_symlink() and not data.exists():
        raise ConfigurationError("data", f"{data} is a link that leads nowhere: remove it, or name another --data")
    if data.exists() and not data.is_dir():
        raise ConfigurationError("data", f"{data} is a file, not a folder: name another --data")


@contextlib.contextmanager
def _opened(data: Path) -> Iterator[sa.Engine]:
    """Everything that alembic, SQLAlchemy and SQLite complain of in the block is one of our errors."""
    engine = open_engine(data)
    try:
        yield engine
    except DBAPIError as exc:
        raise translated(exc, data / DATABASE) from exc
    except (SQLAlchemyError, CommandError) as exc:
        raise StoreUnavailableError("store_unavailable", f"{data / DATABASE} cannot be used: {exc}") from exc
    finally:
        engine.dispose()


def _alembic() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # it is interpolated
    return config


def _refuse_others(connection: sa.Connection, data: Path, config: alembic.config.Config) -> str | None:
    """The database's revision; None: it is empty.

    Raises:
        ConfigurationError: it belongs to another program or to a newer hub, and is left as it is.
    """
    tables = set(sa.inspect(connection).get_table_names())
    path = data / DATABASE
    if "alembic_version" not in tables:
        connection.rollback()
        if tables:
            what = f"{path} is another program's database (it has {', '.join(sorted(tables)[:3])})"
            raise ConfigurationError("data", f"{what}: name another folder with --data")
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    connection.rollback()
    if revision is None and len(tables) > 1:
        what = f"{path} is damaged (it does not say of which release it is)"
        raise StoreUnavailableError("store_unavailable", f"{what}: restore it from a backup")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        what = f"{path} was written by another release of wayside (revision {str(revision)[:40]!r})"
        raise ConfigurationError("data", f"{what}, or by another program: run that release, or restore a backup")
    return revision


def _refuse_parts(connection: sa.Connection, data: Path) -> None:
    """Raises: StoreUnavailableError: the database is of this release, and tables are gone."""
    gone = set(metadata.tables) - set(sa.inspect(connection).get_table_names())
    connection.rollback()
    if gone:
        what = f"{data / DATABASE} is damaged (it lacks {', '.join(sorted(gone)[:3])})"
        raise StoreUnavailableError("store_unavailable", f"{what}: restore it from a backup")


def translated(exc: DBAPIError, path: Path | None = None) -> HubError:
    """SQLite's complaint as one of ours.

    Args:
        path: the database's, for who has its folder before them; None: the message goes to a node.
    """
    code = getattr(exc.orig, "sqlite_errorcode", 0)
    if path is not None and (known := _at_the_hub(code, exc, path)) is not None:
        return known
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


def _at_the_hub(code: int, exc: DBAPIError, path: Path) -> HubError | None:
    """What only the person at the hub's computer can mend."""
    primary = code & 0xFF
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
        return None
    return StoreUnavailableError("store_unavailable", why)
