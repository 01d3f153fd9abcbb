"""A SQLite hub's rows into an empty PostgreSQL, and the SQLite file put aside. The hub is stopped meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub import audit
from wayside.cloud.hub.backups.archive import Told
from wayside.cloud.hub.engine import check_schema, has_other_writers, mark, transaction
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.lock import take
from wayside.cloud.hub.postgres_copy import FOLDER, copy_in
from wayside.cloud.hub.sqlite import DATABASE
from wayside.cloud.hub.store import metadata
from wayside.durable import rename

ASIDE = f"{DATABASE}.moved"
_AT_ONCE = 5000  # rows


class Moved(NamedTuple):
    rows: int  # of all tables
    aside: Path


def move(data: Path, database: str, told: Told) -> Moved:
    """Copy everything that ``data``'s SQLite holds into ``database``; then the file is put aside.

    Until then nothing of ``data`` changes, and a ``database`` that could not be filled is empty again.

    Raises:
        ConfigurationError: a hub runs on ``data``, or it holds no SQLite hub of this release.
        BackupError: ``database`` is not empty.
        StoreFullError, StoreUnavailableError: it is away, or does not take the rows.
    """
    check_schema(data)
    with take(data), tempfile.TemporaryDirectory(dir=data, prefix=".move-") as folder:
        (Path(folder) / FOLDER).mkdir()
        with transaction(data) as connection:  # nobody else writes meanwhile
            assert not has_other_writers(connection)  # noqa: S101
            revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
            rows = sum(_write(connection, table, Path(folder) / FOLDER, told) for table in metadata.sorted_tables)
            told("filling the PostgreSQL", 0, 0)
            copy_in(Path(folder), database, revision)
        try:
            rename(data / DATABASE, data / ASIDE)
        except OSError as exc:
            raise ConfigurationError("data", f"cannot rename {data / DATABASE} to {ASIDE}: {exc.strerror}") from exc
        mark(data, database)
        with transaction(data, database) as connection:
            audit.record(connection, audit.local(), "hub.moved", "", rows=rows)
        audit.committed(data, connection)
    return Moved(rows, data / ASIDE)


def _write(connection: sa.Connection, table: sa.Table, folder: Path, told: Told) -> int:
    """``table`` as CSV in which a NULL is empty and every value is quoted; the number of its rows."""
    total = int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
    done = 0
    with (folder / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(_line(column.name for column in table.columns))
        for some in connection.execution_options(yield_per=_AT_ONCE).execute(sa.select(table)).partitions():
            file.writelines(map(_line, some))
            done += len(some)
            told(f"reading {table.name}", done, total)
    return done


def _line(values: Iterable[object]) -> str:
    return ",".join(["" if value is None else f'"{_text(value)}"' for value in values]) + "\n"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return str(value).replace('"', '""')
