"""``wayside hub move``: a thin skin over :mod:`wayside.cloud.hub.move`."""

from __future__ import annotations

import json

import typer

from wayside.cloud.hub.backups.cli import bar
from wayside.cloud.hub.cli_options import AsJson, Data, Database
from wayside.cloud.hub.errors import ConfigurationError


def move(data: Data, database: Database = None, as_json: AsJson = False) -> None:
    """Move a stopped hub's rows from SQLite into an empty PostgreSQL. The SQLite file is kept, under another name.

    The data directory needs room for a copy of the rows while they are on their way.
    """
    from wayside.cloud.hub.engine import store_at
    from wayside.cloud.hub.move import move as moved
    from wayside.cloud.hub.postgres import PostgresStore

    if database is None:
        raise ConfigurationError("database", "name an empty PostgreSQL database with --database or WAYSIDE_DATABASE")
    store_at(data)  # has it its rows here?
    to = PostgresStore(data, database).name
    with bar() as told:
        done = moved(data, database, told)
    if as_json:
        typer.echo(json.dumps({"data": str(data), "database": to, "rows": done.rows, "aside": str(done.aside)}))
        return
    typer.echo(f"{done.rows} rows are in {to}; what was in SQLite is kept in {done.aside}: remove it when you like")
    typer.echo(f"next: wayside hub run --data {data} with the same --database")
