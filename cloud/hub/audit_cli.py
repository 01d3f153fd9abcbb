"""``wayside hub audit``: read the log of changes, and hold its chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, Data, Database, Token, Url, client_of
from wayside.cloud.hub.errors import ConfigurationError
from wayside.command_line import App
from wayside.errors import ExitStatus
from wayside.terminal import Screen

log = App("hub audit", help="The log of changes: read it, and see whether it is whole.")


@log.command("list")
def list_(
    *,
    data: Annotated[Path | None, typer.Option("--data", help="Read this data directory, without a hub.")] = None,
    database: Database = None,
    actor: Annotated[str | None, typer.Option(help="Only what this one did, as user:ada.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, as node.revoked.")] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this, as a node's name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 50,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    as_json: AsJson = False,
) -> None:
    """The newest changes first: when, who, from where, what."""
    wanted: dict[str, Any] = {"actor": actor, "action": action, "target": target, "limit": limit}
    found = _in(data, database, wanted) if data else client_of(url, operator_token).audit(**wanted)["entries"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("no.", "when (UTC)", "who", "from", "what", "of", "more", box=None, header_style="bold")
    for e in found:
        at = f"{datetime.fromtimestamp(e['at_ms'] / 1000, UTC):%Y-%m-%d %H:%M:%S}"
        more = ", ".join(f"{k} {v}" for k, v in e["detail"].items())
        table.add_row(str(e["id"]), at, e["actor"], e["address"], e["action"], e["target"], more)
    Screen().print(table)


def _in(data: Path, database: str | None, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    from wayside.cloud.hub import audit
    from wayside.cloud.hub.engine import transaction

    with transaction(data, database, writes=False) as connection:
        found = audit.entries(connection, **wanted)
    return [e._asdict() | {"detail": json.loads(e.detail)} for e in found]


@log.command()
def verify(
    data: Data,
    database: Database = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:HASH", help="A head that you noted: up to it the log must be the same."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether an entry was changed, taken out, swapped or cut off; status 1 if so. The hub may run.

    It prints the head, which is the number and hash of the last entry. Note it where nobody of the hub's computer can
    change it, and give it as --head the next time: so a log that was written anew is found out, too.
    """
    from wayside.cloud.hub import audit
    from wayside.cloud.hub.engine import transaction

    try:
        known = audit.parsed(head) if head is not None else None
    except ValueError as exc:
        raise ConfigurationError("head", f"--head {exc}: give what `verify` printed before") from exc
    with transaction(data, database, writes=False) as connection:
        found = audit.verify(connection, data, known)
    if as_json:
        typer.echo(json.dumps({"whole": not found.wrong, "head": str(found.head), "wrong": found.wrong}))
    else:
        for sentence in found.wrong:
            typer.echo(sentence)
        state = "the log is damaged" if found.wrong else f"the log is whole: {found.head.id} entries"
        typer.echo(f"{state}; head {found.head}")
    if found.wrong:
        raise typer.Exit(ExitStatus.FAILED)
