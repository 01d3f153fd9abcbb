"""``wayside hub backup`` and ``restore``: a thin skin over their modules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wayside.cloud.hub.cli_options import AsJson, Data, Database
from wayside.cloud.hub.errors import ConfigurationError

if TYPE_CHECKING:
    from wayside.cloud.hub.backups.archive import Manifest

SECRETS = "It holds the hub's secrets (its online key, tokens, passwords' hashes): keep it as safe as the hub."


def backup(
    file: Annotated[Path, typer.Argument(help="The backup: a new file, or with --check one that is there.")],
    data: Annotated[Path | None, typer.Option("--data", help="The hub's data directory.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Read FILE through: whether every byte is as it was.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write all that a hub is into one file, while it runs. Ctrl-C leaves nothing.

    The store, published bundles, signed metadata, keys and tokens, each with its SHA-256.
    """
    from wayside.cloud.hub.backups.archive import verify
    from wayside.cloud.hub.backups.backup import make

    if check == (data is not None):
        raise ConfigurationError("data", "give --data DIR to make a backup of it, or --check to look at one")
    with bar() as told:
        manifest = verify(file, told) if data is None else make(data, file, told, database)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "checked": check, **_about(manifest)}))
        return
    verb = "is whole" if check else "is written"
    typer.echo(f"{file} {verb}: {_sentence(manifest)}")
    if not check:
        typer.echo(f"{SECRETS} This user alone may read it.")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup that `wayside hub backup` made.")],
    data: Data,
    replace: Annotated[
        bool, typer.Option("--replace", help="A hub's data are there: put them aside, beside the folder.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a backup a hub's data again: all of it verified first, then in one step.

    Rollouts are held: no node is ordered another version until `wayside rollout release-hold`. Nodes send again what
    they still have of the time since the backup.
    """
    from wayside.cloud.hub.backups.restore import restore as restored

    with bar() as told:
        done = restored(file, data, told, replace=replace, database=database)
    if as_json:
        aside = None if done.aside is None else str(done.aside)
        typer.echo(json.dumps({"data": str(data), "aside": aside, "held": True, **_about(done.manifest)}))
        return
    typer.echo(f"{data} is as it was {_sentence(done.manifest)}")
    if done.aside is not None:
        typer.echo(f"what was there before is in {done.aside}")
    typer.echo(
        "what was changed since is not in it: publish again what was published, and do again what was revoked, "
        "withdrawn or changed"
    )
    typer.echo("rollouts are held: no node is ordered another version until `wayside rollout release-hold`")
    typer.echo(f"next: wayside hub run --data {data}")


def _sentence(manifest: Manifest) -> str:
    made = datetime.fromtimestamp(manifest.made_ms / 1000, UTC)
    size = f"{manifest.bytes / 1e6:.1f} MB in {len(manifest.files)} files"
    return (
        f"on {made:%Y-%m-%d %H:%M:%S} UTC, {manifest.nodes} nodes and {manifest.rows} rows, {size}, "
        f"schema {manifest.revision} of wayside {manifest.release}"
    )


def _about(manifest: Manifest) -> dict[str, object]:
    names = ("made_ms", "release", "revision", "store", "nodes", "rows", "bytes")
    return {name: getattr(manifest, name) for name in names} | {"files": len(manifest.files)}


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

    from wayside.terminal import Bars, Screen

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Bars(*columns, screen=Screen(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)

        def told(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total or None)

        yield told
