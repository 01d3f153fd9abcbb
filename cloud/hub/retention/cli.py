"""``wayside hub retention``: what is hot and what is cold, and moving it, through the data directory."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from wayside.cloud.hub.cli_options import AsJson, Data, Database
from wayside.command_line import App
from wayside.errors import ExitStatus
from wayside.terminal import Screen

if TYPE_CHECKING:
    import sqlalchemy as sa

retention = App("hub retention", help="Show what the hub keeps where, and move old rows into files.")


@retention.command()
def show(
    data: Data,
    database: Database = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file against its checksum.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show rows, bytes and ages by kind, in the database and in files, and which files are missing or damaged."""
    from wayside.cloud.hub.retention.runs import view

    with _opened(data, database) as engine, engine.connect() as connection:
        said = view(connection, data, _now_ms(), verify=verify)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(said)))
    else:
        _show(said)
    if said.faults:
        raise typer.Exit(ExitStatus.FAILED)


@retention.command()
def run(
    data: Data,
    database: Database = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is due, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move what is old into files, merge files, delete what retention.toml lets go; the hub may run, and does it daily.

    Ends with 3 if nothing is due.
    """
    from wayside.cloud.hub import audit
    from wayside.cloud.hub.retention import runs as work
    from wayside.cloud.hub.writer import Writer

    with _opened(data, database) as engine:
        if dry_run:
            with engine.connect() as connection:
                done = work.would(connection, data, _now_ms())
        else:
            writer = Writer(engine, on_commit=functools.partial(audit.committed, data))
            writer.start()
            try:
                done = work.run(data, engine, lambda job: writer.submit(job).result(), _now_ms())
            finally:
                writer.stop()
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(done)))
    else:
        typer.echo(_told(done))
    if not (done.files or done.merged or done.forgotten or done.rollups):
        raise typer.Exit(ExitStatus.REFUSED)


@contextmanager
def _opened(data: Path, database: str | None) -> Iterator[sa.Engine]:
    from sqlalchemy.exc import DBAPIError

    from wayside.cloud.hub.engine import check_schema, store_at

    check_schema(data, database)
    store = store_at(data, database)
    engine = store.open()
    try:
        yield engine
    except DBAPIError as exc:
        raise store.told(exc) from exc
    finally:
        engine.dispose()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _told(done: Any) -> str:
    would = "would " if done.dry_run else ""
    said = []
    if done.files:
        said.append(f"{would}move {done.rows} rows into {len(done.files)} files")
        if not done.dry_run:
            said[-1] += f" of {done.bytes} bytes, {done.bytes / done.rows:.1f} a row"
    if done.merged:
        said.append(f"{would}merge {done.merged} files")
    if done.forgotten:
        said.append(f"{would}delete {len(done.forgotten)} files: {', '.join(done.forgotten[:3])}")
    if done.rollups:
        said.append(f"{would}delete {done.rollups} rollups")
    return "; ".join(said) if said else "nothing is due"


def _show(said: Any) -> None:
    screen = Screen()
    table = Table()
    for name in (
        "kind",
        "in the database",
        "since",
        "for",
        "in files",
        "since",
        "for",
        "files",
        "bytes",
        "a row",
        "gone",
    ):
        table.add_column(name, justify="left" if name in ("kind", "since", "for") else "right")
    for kind in said.kinds:
        table.add_row(
            kind.kind,
            str(kind.hot_rows),
            kind.oldest_hot or "-",
            _days(kind.hot_days),
            str(kind.cold_rows),
            kind.oldest_cold or "-",
            _days(kind.cold_days) if kind.hot_days is not None else "-",
            str(kind.cold_files),
            str(kind.cold_bytes),
            "-" if kind.cold_bytes_a_row is None else f"{kind.cold_bytes_a_row:.1f}",
            str(kind.forgotten_rows),
        )
    screen.print(table)
    a_row = "" if said.hot_bytes_a_row is None else f", {said.hot_bytes_a_row:.0f} for each row in it"
    gives = "given back to the disk" if said.database_shrinks else "used again (docs/retention.md: how it shrinks)"
    screen.print(f"database: {said.database_bytes} bytes{a_row}; {said.database_free_bytes} are free and are {gives}")
    screen.print(f"rollups: {said.rollups}, {said.not_rolled} rows to come; files due: {said.due_files}")
    for fault in said.faults:
        screen.print(f"{fault.path}: {fault.why} ({fault.rows} rows of kind {fault.kind})")


def _days(days: int | None) -> str:
    return "ever" if days is None else f"{days} days"
