"""The hub's database, its schema, and its complaints in our words.

A hub keeps its rows in a SQLite file of its data directory (:mod:`sqlite`), or in a PostgreSQL (:mod:`postgres`): what
differs between the two is here and there, and nowhere else. Readers use pooled connections; all writes go through a
:class:`wayside.cloud.hub.writer.Writer`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError

from wayside.cloud.hub import sqlite
from wayside.cloud.hub.errors import ConfigurationError, HubError, StoreUnavailableError
from wayside.cloud.hub.sqlite import DATABASE, SqliteStore
from wayside.cloud.hub.store import metadata, summaries
from wayside.durable import replace_file

MARK = "hub.postgresql"  # where the rows of a data directory are; without the password
MIGRATIONS = Path(__file__).parent / "migrations"
APPENDED = tuple(column.name for column in summaries.columns if column.name != "id")


class Store(Protocol):
    """One kind of database, at its place."""

    name: str  # as people are told it: without a password
    option: str  # by which it is named
    other: str  # what to type where it is another program's
    init: str  # what to type where it is not this release's

    def open(self) -> sa.Engine: ...

    def refuse_none(self) -> None: ...

    def told(self, exc: DBAPIError) -> HubError: ...


def store_at(data: Path, database: str | None = None) -> Store:
    """Args:
        database: PostgreSQL's address; None: the SQLite file in ``data``.

    Raises:
        ConfigurationError: it is no such address, or ``data`` holds a SQLite hub beside it.
    """
    if database is None:
        if (data / MARK).exists() and not (data / DATABASE).exists():  # else it would begin anew, empty
            what = f"{data} has its rows in a PostgreSQL: name it with --database or WAYSIDE_DATABASE"
            raise ConfigurationError("database", f"{what}; {data / MARK} says which it was")
        return SqliteStore(data)
    from wayside.cloud.hub.postgres import PostgresStore  # its driver is loaded only where it is used

    store = PostgresStore(data, database)
    if (data / DATABASE).exists():
        what = f"{data} has its rows in {DATABASE} already: name another --data for {store.name}"
        raise ConfigurationError("database", f"{what}, or leave --database and WAYSIDE_DATABASE away")
    return store


def mark(data: Path, database: str) -> None:
    """Note in ``data`` that its rows are in a PostgreSQL, for whoever forgets to say so.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(data / MARK, f"{store_at(data, database).name}\n".encode(), mode=0o600)


def open_engine(data: Path, database: str | None = None) -> sa.Engine:
    """An engine on the store of :func:`store_at`; nothing is opened yet."""
    return store_at(data, database).open()


def has_other_writers(connection: sa.Connection) -> bool:
    """Whether other processes may write into the store while this one serves."""
    return connection.dialect.name == "postgresql"


def is_contended(exc: DBAPIError) -> bool:
    """Whether another process was in the way, and the same again may succeed."""
    return getattr(exc.orig, "sqlstate", None) in ("40001", "40P01", "55P03")  # PostgreSQL, appendix A


def append_summaries(connection: sa.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """Rows in the order of :data:`APPENDED`; making them uses no connection: one is busy with those before."""
    if connection.dialect.name == "sqlite":
        sqlite.append(connection, "summaries", APPENDED, rows)
    else:
        from wayside.cloud.hub import postgres

        postgres.append(connection, "summaries", APPENDED, rows)


def settled_id(connection: sa.Connection) -> int:
    """The last row of ``summaries`` before which none will come any more; asked in a writing transaction of its own."""
    if connection.dialect.name == "sqlite":
        sqlite.settle(connection)
    else:
        from wayside.cloud.hub import postgres

        postgres.settle(connection, "summaries")
    return connection.execute(sa.select(sa.func.max(summaries.c.id))).scalar() or 0


class Size(NamedTuple):
    bytes: int  # of the database on disk
    free: int  # of these, waiting to be used again
    shrinks: bool  # free ones can be given back: :func:`reclaim`


def size_of(connection: sa.Connection) -> Size:
    if connection.dialect.name == "sqlite":
        return Size(*sqlite.size_of(connection))
    from wayside.cloud.hub import postgres

    return Size(postgres.size_of(connection), 0, False)


def reclaim(connection: sa.Connection, pages: int) -> None:
    """Give free pages at the end of the file back to the disk, in a writing transaction; PostgreSQL has its own way."""
    if connection.dialect.name == "sqlite":
        sqlite.reclaim(connection, pages)


@contextlib.contextmanager
def transaction(data: Path, database: str | None = None, *, writes: bool = True) -> Iterator[sa.Connection]:
    """A transaction of a verb that runs beside the hub, or without it; committed at the block's end.

    Raises:
        ConfigurationError: as :func:`check_schema`.
        StoreFullError, StoreUnavailableError: the database cannot be written.
    """
    check_schema(data, database)
    with (
        _opened(store_at(data, database)) as engine,
        engine.connect().execution_options(writes=writes) as connection,
        connection.begin(),
    ):
        yield connection


def migrate(data: Path, revision: str = "head", *, down: bool = False, database: str | None = None) -> None:
    """Bring the schema up to ``revision``, or ``down`` to it; ``base`` takes everything away.

    Raises:
        ConfigurationError: the database is no hub's, or a newer hub's.
        StoreFullError, StoreUnavailableError: it cannot be written.
    """
    config = _alembic()
    store = store_at(data, database)
    with _opened(store) as engine, engine.connect() as connection:
        _refuse_others(connection, store, config)
        config.attributes["connection"] = connection
        if down or revision == "base":
            alembic.command.downgrade(config, revision)
        else:
            alembic.command.upgrade(config, revision)
            if revision == "head":
                _refuse_parts(connection, store)


def check_schema(data: Path, database: str | None = None) -> None:
    """Whether this release can write into the database as it is.

    Raises:
        ConfigurationError: there is none, it is no hub's, or another release's.
        StoreUnavailableError: it cannot be read.
    """
    refuse_no_folder(data)
    config = _alembic()
    store = store_at(data, database)
    store.refuse_none()
    with _opened(store) as engine, engine.connect() as connection:
        revision = _refuse_others(connection, store, config)
        if revision == ScriptDirectory.from_config(config).get_current_head():
            _refuse_parts(connection, store)
            return
    what = f"{store.name} is empty" if revision is None else f"{store.name} is an earlier release's"
    raise ConfigurationError(store.option, f"{what}: {store.init} brings it up to date")


def refuse_no_folder(data: Path) -> None:
    """Raises: ConfigurationError: something is at ``data``, and no folder can be."""
    if data.is_symlink() and not data.exists():
        raise ConfigurationError("data", f"{data} is a link that leads nowhere: remove it, or name another --data")
    if data.exists() and not data.is_dir():
        raise ConfigurationError("data", f"{data} is a file, not a folder: name another --data")


@contextlib.contextmanager
def _opened(store: Store) -> Iterator[sa.Engine]:
    """Everything that alembic, SQLAlchemy and the database complain of in the block is one of our errors."""
    engine = store.open()
    try:
        yield engine
    except DBAPIError as exc:
        raise store.told(exc) from exc
    except (SQLAlchemyError, CommandError) as exc:
        raise StoreUnavailableError("store_unavailable", f"{store.name} cannot be used: {exc}") from exc
    finally:
        engine.dispose()


def head() -> str | None:
    """The revision of this release's schema."""
    return ScriptDirectory.from_config(_alembic()).get_current_head()


def _alembic() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # it is interpolated
    return config


def _refuse_others(connection: sa.Connection, store: Store, config: alembic.config.Config) -> str | None:
    """The database's revision; None: it is empty.

    Raises:
        ConfigurationError: it belongs to another program or to a newer hub, and is left as it is.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        connection.rollback()
        if tables:
            what = f"{store.name} is another program's database (it has {', '.join(sorted(tables)[:3])})"
            raise ConfigurationError(store.option, f"{what}: {store.other}")
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    connection.rollback()
    if revision is None and len(tables) > 1:
        what = f"{store.name} is damaged (it does not say of which release it is)"
        raise StoreUnavailableError("store_unavailable", f"{what}: restore it from a backup")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        what = f"{store.name} was written by another release of wayside (revision {str(revision)[:40]!r})"
        what += ", or by another program"
        raise ConfigurationError(store.option, f"{what}: run that release, restore a backup, or {store.other}")
    return revision


def _refuse_parts(connection: sa.Connection, store: Store) -> None:
    """Raises: StoreUnavailableError: the database is of this release, and tables are gone."""
    gone = set(metadata.tables) - set(sa.inspect(connection).get_table_names())
    connection.rollback()
    if gone:
        what = f"{store.name} is damaged (it lacks {', '.join(sorted(gone)[:3])})"
        raise StoreUnavailableError("store_unavailable", f"{what}: restore it from a backup")


def translated(exc: DBAPIError | TimeoutError) -> HubError:
    """The database's complaint, or that no connection to it got free, as one of ours, for a node or whoever reads."""
    if isinstance(exc, TimeoutError):
        return StoreUnavailableError("store_unavailable", "the hub's database is busy; send it again later")
    if isinstance(exc.orig, sqlite3.Error):
        return sqlite.translated(exc)
    from wayside.cloud.hub import postgres

    return postgres.translated(exc)
