"""The store in a PostgreSQL: psycopg 3, ``COPY`` for rows, its complaints in our words."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.exc import DBAPIError

from wayside.cloud.hub.errors import (
    ConfigurationError,
    ContractBrokenError,
    HubError,
    StoreFullError,
    StoreUnavailableError,
)

SCHEMES = ("postgresql://", "postgres://")
SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/NAME, where a special character of the password is written as %XX"
# A server that went away without a word is given up after some 30 s; what the address itself says comes first.
DEFAULTS: dict[str, str | int] = {
    "application_name": "wayside hub",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_BY_WORDS = (  # libpq gives no code when it cannot connect
    ("password", "does not take the password of the address: mend it in --database or WAYSIDE_DATABASE"),
    ("pg_hba.conf", "does not let this computer or user in (pg_hba.conf of the server)"),
    ("role ", "does not know the user of the address: create it, or name another in --database"),
    ("starting up", "is starting: run this again in a minute"),
    ("shutting down", "is shutting down: run this again when it is back"),
    ("too many clients", "has no connection left: raise its max_connections, or end what holds them"),
    ("connection slots", "has no connection left: raise its max_connections, or end what holds them"),
    ("resolve host", "is on a host that nobody knows: mend --database or WAYSIDE_DATABASE"),
    ("SSL negotiation", "is no PostgreSQL: another program answers there"),
    ("invalid response", "is no PostgreSQL: another program answers there"),
)


class PostgresStore:
    """Args:
    address: a URI as libpq reads it; it is never told with its password.

    Raises:
        ConfigurationError: it is no such address.
    """

    option = "database"
    other = "name another with --database"

    def __init__(self, data: Path, address: str) -> None:
        if not address.startswith(SCHEMES):
            raise ConfigurationError("database", f"the address of --database is not {SHAPE}")
        try:
            parts = conninfo_to_dict(address)
            self._conninfo = make_conninfo(address, **{k: v for k, v in DEFAULTS.items() if k not in parts})
        except psycopg.Error:  # its words may quote the password
            raise ConfigurationError("database", f"the address of --database cannot be read: {SHAPE}") from None
        self._base = str(parts.get("dbname") or parts.get("user") or "")
        self.name = _told(parts)
        self.init = f"`wayside hub init --data {data}` with the same --database"

    def open(self) -> sa.Engine:
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(self._conninfo), pool_size=8, pool_pre_ping=True
        )
        sa.event.listen(engine, "connect", _configure)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def refuse_none(self) -> None:
        """Whoever connects is told that there is none."""

    def told(self, exc: DBAPIError) -> HubError:
        """What only the person at the hub's computer, or of the database, can mend."""
        words = _first_line(exc)
        if exc.orig is None or getattr(exc.orig, "sqlstate", None) is None:
            if "database" in words and "does not exist" in words:
                why = f"has no database {self._base}: `createdb {self._base}` on that server makes it"
            else:
                why = next(
                    (why for mark, why in _BY_WORDS if mark in words), f"does not answer ({words}): does it run?"
                )
            return StoreUnavailableError("store_unavailable", f"{self.name} {why}")
        if isinstance(exc.orig, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            why = f"cannot be written ({words}): may its user write there, and is it no standby?"
        elif isinstance(exc.orig, errors.DiskFull):
            return StoreFullError("store_full", f"{self.name} cannot be written ({words}): is the server's disk full?")
        elif isinstance(exc.orig, errors.UndefinedColumn | errors.UndefinedTable | errors.DatatypeMismatch):
            why = f"is damaged ({words}): restore it from a backup"
        else:
            return translated(exc)
        return StoreUnavailableError("store_unavailable", f"{self.name} {why}")


def append(connection: sa.Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    each = iter(rows)
    if (first := next(each, None)) is None:
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 it is PostgreSQL's
    try:
        with driver.cursor() as cursor, cursor.copy(_copy(table, columns)) as copy:
            for row in itertools.chain((first,), each):
                copy.write_row(row)
    except psycopg.Error as exc:
        raise DBAPIError.instance(f"COPY {table}", None, exc, psycopg.Error, dialect=connection.dialect) from exc


@functools.cache
def _copy(table: str, columns: tuple[str, ...]) -> bytes:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()


def settle(connection: sa.Connection, table: str) -> None:
    """Wait until every transaction that has numbered a row of ``table`` has ended: numbers are given in order, and
    commits come in any. The lock is the transaction's, so that it should be a short one."""
    connection.execute(sa.text(f"LOCK TABLE {table} IN SHARE MODE"))


def size_of(connection: sa.Connection) -> int:
    """Bytes of the database on the server's disk."""
    return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())


def translated(exc: DBAPIError) -> HubError:
    """PostgreSQL's complaint as one of ours, for a node or whoever reads."""
    words = _first_line(exc)
    if isinstance(exc.orig, psycopg.DataError):  # as a NUL in a text, which SQLite takes
        return ContractBrokenError("broken_contract", f"the hub's database cannot hold a value of it: {words}")
    if isinstance(exc.orig, errors.DiskFull):
        return StoreFullError("store_full", "the hub's disk is full; nothing was stored, send it again later")
    if isinstance(exc.orig, errors.DataCorrupted | errors.IndexCorrupted):
        why = f"is damaged ({words}): restore it from a backup"
    elif isinstance(exc.orig, errors.ReadOnlySqlTransaction):
        why = "takes no writes: is it a standby? Send it again later"
    elif isinstance(exc.orig, errors.InsufficientPrivilege):
        why = f"does not let the hub do this ({words})"
    elif exc.connection_invalidated or getattr(exc.orig, "sqlstate", None) is None:
        why = "is away; send it again later"
    else:
        why = f"does not answer ({words}); send it again later"
    return StoreUnavailableError("store_unavailable", f"the hub's database {why}")


def _configure(connection: psycopg.Connection[Any], _record: Any) -> None:
    # What is acknowledged is on disk, also where the server's owner preferred speed.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def _begin(connection: sa.Connection) -> None:
    """Readers see one state of the store, as SQLite's do; a part of BEGIN itself, so that it costs no round trip."""
    writes = connection.get_execution_options().get("writes", False)
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 it is PostgreSQL's
    driver.read_only = None if writes else True
    driver.isolation_level = psycopg.IsolationLevel.READ_COMMITTED if writes else psycopg.IsolationLevel.REPEATABLE_READ


def _told(parts: dict[str, Any]) -> str:
    """The address without its password and options."""
    user = f"{parts['user']}@" if "user" in parts else ""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"


def _first_line(exc: DBAPIError) -> str:
    lines = str(exc.orig).strip().splitlines() or [type(exc.orig).__name__]
    return lines[0][:300]
