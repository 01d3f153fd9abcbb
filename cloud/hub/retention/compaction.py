"""Old rows become Parquet files: written, read back against the rows, named, then deleted from the database.

What a crash leaves: before the name, a part in a folder that the next run empties; after it, a file that nobody has
registered, which the next run writes again; after that, a file whose rows are deleted piece by piece, and each piece's
transaction moves ``moved_id``, up to which readers take the file. So a row is in one place at every instant.
"""

from __future__ import annotations

import datetime
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside import durable
from wayside.cloud.hub.errors import StoreUnavailableError
from wayside.cloud.hub.retention.cold import COLUMNS, NAMES, WORK, Cold, ColdFile, connect, pattern, quoted, sha256_of
from wayside.cloud.hub.store import boots, cold_files, datastreams, nodes, summaries

if TYPE_CHECKING:
    import duckdb

MEMORY = "512MB"
MAX_ROWS = 1_000_000  # of a file that is written from rows
MAX_MERGED = 4_000_000  # of one that is made of files
READ = 5_000  # rows that are in Python's memory at once
PIECE = 100_000  # rows that lie as JSON before DuckDB takes them
DELETED = 1_000  # rows of one transaction
_FORMAT = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 9, ROW_GROUP_SIZE 61440"
_SORTED = "ORDER BY node_id, datastream_id, time_ms, id"
_TYPES = COLUMNS | dict.fromkeys(NAMES, "VARCHAR")

Write = Callable[[Callable[[sa.Connection], Any]], Any]
"""Runs a job in a writing transaction of its own, and returns what it returns after COMMIT."""


class Unit(NamedTuple):
    """Rows of one kind that become a file: all whose number is in ``first_id`` … ``last_id``."""

    kind: str
    first_id: int
    last_id: int
    label: str  # of the file's name: "2026-01-31"


class Compactor:
    """
    Args:
        write: for registering and deleting; reads use connections of ``engine``.
        step: told after each step, with its name: a test stops there.
    """

    def __init__(
        self, engine: sa.Engine, cold: Cold, write: Write, now_ms: int, step: Callable[[str], None] = lambda _name: None
    ) -> None:
        self._engine, self._cold, self._write, self._now_ms, self._step = engine, cold, write, now_ms, step
        self._work = cold.folder / WORK
        self._open: duckdb.DuckDBPyConnection | None = None

    @property
    def _duck(self) -> duckdb.DuckDBPyConnection:
        if self._open is None:
            self._open = connect(self._cold.folder, MEMORY)
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def sweep(self) -> None:
        """Remove what an unfinished run left, and files that no row of the database is in."""
        shutil.rmtree(self._work, ignore_errors=True)
        with self._engine.connect() as connection:
            query = sa.select(cold_files.c.path).where(cold_files.c.forgotten_ms.is_(None))
            known = set(connection.execute(query).scalars())
        for path in self._cold.folder.glob("*.parquet"):
            if path.name not in known:
                durable.remove(path)

    def compact(self, unit: Unit) -> ColdFile | None:
        """All steps for one unit; None: it has no rows.

        Raises:
            StoreUnavailableError: what was read back is not what was written; the rows stay where they are.
            OSError, StoreFullError: the disk failed or is full; the same.
        """
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._work / "part.parquet"
        if not self._fill(unit):
            return None
        _copy(self._duck, "rows", part)
        self._step("written")
        self._duck.execute("DROP TABLE rows")
        self._verify(part, unit)
        self._step("verified")
        file = self._registered(self._named(part, unit), replacing=())
        self._step("registered")
        return self.move(file)

    def move(self, file: ColdFile) -> ColdFile:
        """Delete from the database what ``file`` has, a piece at a time; also what an earlier run began."""
        while file.moved_id < file.last_id:
            file = self._write(functools.partial(_move_piece, file=file))
            self._step("moved")
        if file.moved_rows != file.rows:
            raise StoreUnavailableError(
                "cold_file", f"{file.path} has {file.rows} rows, and {file.moved_rows} of them were in the database"
            )
        return file

    def merge(self, kind: str, parts: list[ColdFile], label: str) -> ColdFile:
        """One file instead of several that follow one another; the old ones are removed by the next :meth:`sweep`.

        Raises:
            StoreUnavailableError: one of them is damaged, or what was read back is not what they say.
        """
        for each in parts:
            self._cold.check(each)
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._work / "part.parquet"
        sources = [pattern(self._cold.folder / each.path) for each in parts]
        every = ", ".join(_TYPES)
        _copy(self._duck, f"read_parquet([{', '.join(map(quoted, sources))}])", part)
        self._step("written")
        said = f"SELECT count(*), sum(CAST(hash({every}) AS HUGEINT)) FROM read_parquet(?)"  # noqa: S608
        if self._duck.execute(said, [sources]).fetchone() != self._duck.execute(said, [pattern(part)]).fetchone():
            raise StoreUnavailableError("cold_file", f"{len(parts)} files could not be merged: try again")
        self._step("verified")
        made = self._named(part, Unit(kind, parts[0].first_id, parts[-1].last_id, label))
        made = made._replace(moved_id=made.last_id, moved_rows=made.rows)
        made = self._registered(made, replacing=[each.id for each in parts])
        self._step("merged")
        return made

    def forget(self, file: ColdFile) -> None:
        """Delete a file for good, as its kind's ``cold_days`` says; what it held stays told of in ``cold_files``."""
        forgotten = sa.update(cold_files).where(cold_files.c.id == file.id).values(forgotten_ms=self._now_ms)
        self._write(lambda connection: connection.execute(forgotten) and None)
        self._step("forgotten")
        durable.remove(self._cold.folder / file.path)

    def _fill(self, unit: Unit) -> int:
        """The unit's rows into DuckDB's table ``rows``; how many."""
        columns = ", ".join(f"{name} {kind}" for name, kind in _TYPES.items())
        self._duck.execute(f"CREATE OR REPLACE TABLE rows ({columns})")
        piece, count, waiting = self._work / "rows.json", 0, 0
        out = piece.open("wb")
        for chunk in _chunks(self._engine, unit):
            out.write(b"\n".join(json.encode(dict(zip(_TYPES, row, strict=True))) for row in chunk) + b"\n")
            count, waiting = count + len(chunk), waiting + len(chunk)
            if waiting >= PIECE:
                out.close()
                _take(self._duck, piece)
                out, waiting = piece.open("wb"), 0
        out.close()
        if waiting:
            _take(self._duck, piece)
        piece.unlink()
        return count

    def _verify(self, part: Path, unit: Unit) -> None:
        """Each row of the file against the row in the database, in the order of their numbers."""
        names = ", ".join(COLUMNS)
        cursor = self._duck.execute(f"SELECT {names} FROM read_parquet(?) ORDER BY id", [pattern(part)])  # noqa: S608
        for chunk in _chunks(self._engine, unit):
            if cursor.fetchmany(len(chunk)) != [tuple(row[: len(COLUMNS)]) for row in chunk]:
                break
        else:
            if cursor.fetchone() is None:
                return
        raise StoreUnavailableError(
            "cold_file", f"rows {unit.first_id} to {unit.last_id} were written to a file and read back otherwise: none "
            "was deleted; is the disk sound?"
        )  # fmt: skip

    def _named(self, part: Path, unit: Unit) -> ColdFile:
        """The part under its name, durable; what is to be said of it."""
        said = "count(*), min(time_ms), max(time_ms), min(received_ms), max(received_ms)"
        found = self._duck.execute(f"SELECT {said} FROM read_parquet(?)", [pattern(part)]).fetchone()  # noqa: S608
        assert found is not None  # noqa: S101  an aggregate has one row
        rows, min_ms, max_ms, first_ms, last_ms = found
        path = self._cold.folder / named(unit)
        durable.finish_file(part, path)
        self._step("named")
        return ColdFile(
            id=0,
            kind=unit.kind,
            first_id=unit.first_id,
            last_id=unit.last_id,
            moved_id=unit.first_id - 1,
            rows=rows,
            moved_rows=0,
            min_ms=min_ms,
            max_ms=max_ms,
            first_received_ms=first_ms,
            last_received_ms=last_ms,
            path=path.name,
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
            made_ms=self._now_ms,
            forgotten_ms=None,
        )

    def _registered(self, file: ColdFile, replacing: list[int] | tuple[()]) -> ColdFile:
        def job(connection: sa.Connection) -> ColdFile:
            if replacing:
                connection.execute(sa.delete(cold_files).where(cold_files.c.id.in_(replacing)))
            values = {k: v for k, v in file._asdict().items() if k != "id"}
            made = connection.execute(sa.insert(cold_files).values(values).returning(cold_files.c.id)).scalar_one()
            return file._replace(id=made)

        registered: ColdFile = self._write(job)
        return registered


def _copy(duck: duckdb.DuckDBPyConnection, rows: str, part: Path) -> None:
    duck.execute(f"COPY (SELECT * FROM {rows} {_SORTED}) TO {quoted(part)} ({_FORMAT})")  # noqa: S608  our own words


def _take(duck: duckdb.DuckDBPyConnection, piece: Path) -> None:
    types = ", ".join(f"{name}: {quoted(kind)}" for name, kind in _TYPES.items())
    duck.execute(
        f"INSERT INTO rows SELECT * FROM read_json({quoted(pattern(piece))}, format='newline_delimited', "  # noqa: S608
        f"columns={{{types}}}, maximum_object_size=67108864)"
    )


def _chunks(engine: sa.Engine, unit: Unit) -> Iterator[list[Any]]:
    """The unit's rows with the names of :data:`NAMES`; each chunk in a transaction of its own, so that none lasts."""
    row, after = summaries.c, unit.first_id - 1
    query = (
        sa.select(*(row[name] for name in COLUMNS), nodes.c.name, datastreams.c.name, boots.c.boot)
        .outerjoin_from(summaries, nodes, row.node_id == nodes.c.id)
        .outerjoin(datastreams, row.datastream_id == datastreams.c.id)
        .outerjoin(boots, row.boot_id == boots.c.id)
        .where(*of_kind(unit.kind), row.id <= unit.last_id)
        .order_by(row.id)
        .limit(READ)
    )
    while True:
        with engine.connect() as connection:
            chunk = list(connection.execute(query.where(row.id > after)))
        if not chunk:
            return
        yield chunk
        after = chunk[-1].id


def of_kind(kind: str) -> list[sa.ColumnElement[bool]]:
    rare = [] if kind == "interval" else [summaries.c.kind != "interval"]  # lets the partial index serve
    return [*rare, summaries.c.kind == kind]


def _move_piece(connection: sa.Connection, file: ColdFile) -> ColdFile:
    row = summaries.c
    piece = [*of_kind(file.kind), row.id > file.moved_id, row.id <= file.last_id]
    ends = sa.select(row.id).where(*piece).order_by(row.id).limit(1).offset(DELETED - 1)
    end = connection.execute(ends).scalar() or file.last_id
    gone = connection.execute(sa.delete(summaries).where(*piece, row.id <= end)).rowcount
    moved = file._replace(moved_id=end, moved_rows=file.moved_rows + gone)
    values = {"moved_id": end, "moved_rows": moved.moved_rows}
    connection.execute(sa.update(cold_files).where(cold_files.c.id == file.id).values(values))
    return moved


def named(unit: Unit) -> str:
    return f"{unit.kind}-{unit.label}-{unit.first_id}-{unit.last_id}.parquet"


def day_of(ms: int) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d")
