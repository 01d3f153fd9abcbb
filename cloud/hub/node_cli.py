"""``wayside hub node``: who belongs to the fleet."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, DryRun, Token, Url, client_of, tell
from wayside.cloud.hub.errors import ConfigurationError
from wayside.command_line import App
from wayside.terminal import Screen

node = App("hub node", help="Shut out, retire, label and list nodes.")
Name = Annotated[str, typer.Argument(metavar="NODE", help="The node's name.")]
Reason = Annotated[
    str | None, typer.Option(help="Why, up to 64 characters: told to whoever holds the node, and kept with its key.")
]


@node.command("list")
def list_(
    *,
    retired: Annotated[bool, typer.Option("--retired", help="Those that have left, instead of the fleet.")] = False,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Nodes with their labels and sites, and whether they are shut out."""
    nodes = client_of(url, operator_token).nodes(retired=retired)["nodes"]
    if as_json:
        typer.echo(json.dumps(nodes))
        return
    table = Table("node", "label", "site", "state", "since", "why", box=None, header_style="bold")
    for one in nodes:
        out_ms = one["retired_ms"] or one["revoked_ms"]
        state = "retired" if one["retired_ms"] else "revoked" if one["revoked_ms"] else one["health"]
        since = _day(out_ms or one["enrolled_ms"])
        table.add_row(one["node"], one["label"] or "", one["site"] or "", state, since, one["out_reason"] or "")
    Screen().print(table)


@node.command()
def revoke(
    name: Name,
    *,
    reason: Reason = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Shut a stolen or lost node out: its key, and every token made for it, are refused at once.

    What it delivered stays, and so does its place: `wayside replace NODE` puts hardware into it.
    """
    client = client_of(url, operator_token)
    if dry_run:
        _would(client.node(name), "would be shut out", as_json)
        return
    done = client.revoke(name, reason)
    tell(done, f"{name} is shut out; `wayside replace {name}` puts hardware in its place", as_json)


@node.command()
def retire(
    name: Name,
    *,
    reason: Reason = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a node leave the fleet: lists, counts and rollouts go on without it, its history stays readable.

    Rows that it has not delivered yet are refused from now on: let it sync first. Its name stays with its history and
    is not given to another node.
    """
    client = client_of(url, operator_token)
    if dry_run:
        _would(client.node(name), "would leave the fleet", as_json)
        return
    done = client.retire(name, reason)
    tell(done, f"{name} has left the fleet with {done['stored']} rows, which stay", as_json)


@node.command()
def rename(
    name: Name,
    label: Annotated[str | None, typer.Argument(help="What people call it; none: no label.")] = None,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a node a label, which is shown beside its name.

    The name itself is what the node signs with, and stays. A place that needs another name needs another node:
    retire this one and enrol that one.
    """
    _describe(name, "label", label, url, operator_token, dry_run, as_json)


@node.command()
def site(
    name: Name,
    where: Annotated[str | None, typer.Argument(metavar="SITE", help="Where it stands; none: nowhere known.")] = None,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say where a node stands."""
    _describe(name, "site", where, url, operator_token, dry_run, as_json)


def _describe(
    name: str, field: str, value: str | None, url: str, operator_token: str, dry_run: bool, as_json: bool
) -> None:
    if value is not None and not 0 < len(value) <= 64:
        raise ConfigurationError(field, f"a {field} has 1 to 64 characters")
    client = client_of(url, operator_token)
    said = f"have no {field}" if value is None else f"have the {field} {value!r}"
    if dry_run:
        _would(client.node(name), f"would {said}", as_json)
        return
    tell(client.describe(name, **{field: value}), f"{name}: {field} {value or 'taken away'}", as_json)


def _would(found: dict[str, Any], what: str, as_json: bool) -> None:
    document = {"dry_run": True, "node": found["node"], "label": found["label"], "site": found["site"]}
    tell(document, f"nothing was changed: {found['node']} {what}", as_json)


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"
