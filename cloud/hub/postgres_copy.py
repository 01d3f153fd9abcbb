"""The tables of a PostgreSQL as files, and back: CSV with a head, by ``COPY``, as of one instant.

``pg_dump`` would do, where it is, and of the server's release or a newer one; rows in CSV need neither, and are read in
the transaction that also says what they are.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from wayside.cloud.hub.backups.archive import Told, Writing
from wayside.cloud.hub.engine import migrate, store_at
from wayside.cloud.hub.errors import BackupError
from wayside.cloud.hub.store import metadata

FOLDER = "store"  # of the archive
_CHUNK = 1 << 20


def copy_out(data: Path, database: str, archive: Writing, told: Told) -> dict[str, Any]:
    """Put every table into ``archive``; what the manifest says of them.

    Raises:
        StoreUnavailableError: the server is away.
    """
    store = store_at(data, database)
    engine = store.open()
    try:
        with engine.connect() as connection:  # a reader's transaction is REPEATABLE READ
            revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
            counted = connection.execute(sa.text("SELECT count(*), coalesce(sum(stored), 0) FROM nodes")).one()
            total = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
            done = 0

            def more(read: int) -> None:
                nonlocal done
                done += read
                told("copying the store", done, max(done, total))

            driver = _driver(connection)
            for table in metadata.sorted_tables:
                columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns)
                query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv, HEADER)").format(
                    columns, sql.Identifier(table.name)
                )
                with driver.cursor() as cursor, cursor.copy(query) as copy:
                    archive.add(f"{FOLDER}/{table.name}.csv", map(bytes, copy), more)
    except (DBAPIError, psycopg.Error) as exc:
        raise store.told(_wrapped(exc)) from exc
    finally:
        engine.dispose()
    return {"revision": revision, "nodes": counted[0], "rows": int(counted[1]), "store": "postgresql"}


def copy_in(data: Path, database: str, revision: str) -> None:
    """Fill the empty ``database`` from the files below ``data``, which are removed. On failure it is empty again.

    Raises:
        BackupError: it is not empty.
        StoreFullError, StoreUnavailableError: it is away, or does not take the rows.
    """
    store = store_at(data, database)
    engine = store.open()
    folder = data / FOLDER
    try:
        with engine.connect() as connection:
            if sa.inspect(connection).get_table_names():
                raise BackupError("database", f"{store.name} is not empty: make a new database (createdb), and name it")
        migrate(data, revision, database=database)
        filled = False
        try:
            with engine.connect().execution_options(writes=True) as connection, connection.begin():
                for name in _in_order(connection):
                    if (file := folder / f"{name}.csv").exists():
                        _fill(connection, name, file)
            filled = True
        finally:
            if not filled:
                migrate(data, "base", database=database)
    except (DBAPIError, psycopg.Error) as exc:
        raise store.told(_wrapped(exc)) from exc
    finally:
        engine.dispose()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def _in_order(connection: sa.Connection) -> list[str]:
    """Tables, each behind those that it refers to."""
    ordered = sa.inspect(connection).get_sorted_table_and_fkc_names()
    return [name for name, _ in ordered if name is not None and name != "alembic_version"]


def _fill(connection: sa.Connection, name: str, file: Path) -> None:
    with file.open(newline="", encoding="utf-8") as text:
        columns = next(csv.reader(text))
    table = sql.Identifier(name)
    driver = _driver(connection)
    if driver.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table)).fetchone() == (True,):
        driver.execute(sql.SQL("DELETE FROM {}").format(table))  # what the migrations put there
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with driver.cursor() as cursor, cursor.copy(query) as copy, file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            copy.write(chunk)
    found = driver.execute("SELECT pg_get_serial_sequence(%s, 'id')", (name,)).fetchone() if "id" in columns else None
    if found is not None and found[0] is not None:
        last = sql.SQL("SELECT setval(%s, greatest(coalesce(max(id), 0), 1), max(id) IS NOT NULL) FROM {}")
        driver.execute(last.format(table), (found[0],))


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 it is PostgreSQL's
    return driver


def _wrapped(exc: DBAPIError | psycopg.Error) -> DBAPIError:
    return exc if isinstance(exc, DBAPIError) else DBAPIError("COPY", None, exc)
