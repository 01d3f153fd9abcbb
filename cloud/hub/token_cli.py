"""``wayside hub token``: enrolment tokens are made, listed and withdrawn."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, Database, DryRun, Token, Url, client_of
from wayside.terminal import Screen

SHOWN = 12  # digits of an id


def token(
    *,
    node: Annotated[str | None, typer.Option(help="Only this node may use it.")] = None,
    site: Annotated[str | None, typer.Option(help="Where the node will stand.")] = None,
    ttl_s: Annotated[float, typer.Option(min=1, help="How long it may be used, seconds.")] = 604_800.0,
    show: Annotated[bool, typer.Option("--list", help="Make none: list those that may still be used.")] = False,
    every: Annotated[bool, typer.Option("--all", help="With --list: used, expired and withdrawn ones, too.")] = False,
    withdraw: Annotated[
        str | None, typer.Option(metavar="ID", help="Make none: nobody enrols with the one that --list calls so.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Write into this data directory.")] = None,
    database: Database = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a one-time enrolment token, through the data directory or the hub's API; list and withdraw them."""
    if show or withdraw is not None:
        if data is not None or node is not None or site is not None or (show and withdraw is not None):
            raise typer.BadParameter("--list and --withdraw ask the hub, each alone")
        if withdraw is not None:
            _withdraw(withdraw, url, operator_token, dry_run, as_json)
        else:
            _list(url, operator_token, every, as_json)
        return
    if dry_run:
        _dry_token(data, database, node, site, ttl_s, url, operator_token, as_json)
        return
    if data is not None:
        made = _token_in(data, database, node, site, ttl_s)
    else:
        made = client_of(url, operator_token).make_token(node, site, ttl_s)
    typer.echo(json.dumps(made) if as_json else made["token"])


def _dry_token(
    data: Path | None,
    database: str | None,
    node: str | None,
    site: str | None,
    ttl_s: float,
    url: str,
    operator_token: str,
    as_json: bool,
) -> None:
    """Everything but the token: what was asked for is in order, and there is a hub or its folder."""
    from wayside.cloud.hub.engine import check_schema
    from wayside.cloud.hub.openapi import decoded
    from wayside.contracts.hub_api import TokenRequest

    decoded(json.dumps({"node": node, "site": site, "ttl_s": ttl_s}).encode(), TokenRequest)
    if data is not None:
        check_schema(data, database)
    else:
        client_of(url, operator_token).nodes()
    where = str(data) if data is not None else url
    if as_json:
        typer.echo(json.dumps({"dry_run": True, "node": node, "site": site, "ttl_s": ttl_s, "hub": where}))
    else:
        typer.echo(f"nothing was made: {where} would give a token for {node or 'any node'}, {ttl_s:g} s long")


def _token_in(data: Path, database: str | None, node: str | None, site: str | None, ttl_s: float) -> dict[str, Any]:
    from wayside.cloud.hub import audit, local
    from wayside.cloud.hub.openapi import decoded
    from wayside.cloud.hub.registry import make_token, shown
    from wayside.contracts.hub_api import TokenRequest

    asked = decoded(json.dumps({"node": node, "site": site, "ttl_s": ttl_s}).encode(), TokenRequest)
    now_ms = time.time_ns() // 1_000_000
    about: dict[str, Any] = {"site": asked.site, "ttl_s": asked.ttl_s}
    with local.changing(data, database) as connection:
        made = make_token(connection, node=asked.node, now_ms=now_ms, **about)
        audit.record(connection, audit.local(), "token.made", asked.node or "", now_ms, id=shown(made), **about)
    return {"wire": 1, "token": made, "node": node, "expires_ms": now_ms + int(ttl_s * 1000)}


def _list(url: str, operator_token: str, every: bool, as_json: bool) -> None:
    found = client_of(url, operator_token).tokens(every=every)["tokens"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("id", "for", "site", "state", "until (UTC)", "what for", box=None, header_style="bold")
    for one in found:
        until = f"{datetime.fromtimestamp(one['expires_ms'] / 1000, UTC):%Y-%m-%d %H:%M}"
        what = "new hardware" if one["replaces"] else "a new node"
        why = f"{what}: {one['reason']}" if one["reason"] else what
        table.add_row(one["id"], one["node"] or "any node", one["site"] or "", one["state"], until, why)
    Screen().print(table)


def _withdraw(id_: str, url: str, operator_token: str, dry_run: bool, as_json: bool) -> None:
    client = client_of(url, operator_token)
    if dry_run:
        found = [t for t in client.tokens(every=True)["tokens"] if t["id"].startswith(id_[:SHOWN].lower())]
        would = f"nothing was changed: {len(found)} tokens are {id_}"
        typer.echo(json.dumps({"dry_run": True, "tokens": found}) if as_json else would)
        return
    (done,) = client.withdraw_token(id_)["tokens"]
    typer.echo(
        json.dumps(done) if as_json else f"nobody enrols with the token {done['id']} for {done['node'] or 'any node'}"
    )
