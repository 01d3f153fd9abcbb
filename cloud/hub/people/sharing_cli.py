"""``wayside hub department|open``: what a department sees, and what anybody may."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, DryRun, Token, Url, client_of, day, tell
from wayside.cloud.hub.people.account_cli import Name, listed, would
from wayside.command_line import App

department = App("hub department", help="Say what a department sees.")
open_ = App("hub open", help="Release datastreams as open data.")

Node = Annotated[str, typer.Argument(help="The node's name.")]
Datastream = Annotated[str, typer.Argument(help="The datastream's name.")]


@department.command("list")
def list_departments(*, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """What each department sees."""
    found = client_of(url, operator_token).read("/api/v1/departments")["departments"]
    rows = [(d["department"], "; ".join(_entry(e) for e in d["sees"])) for d in found]
    listed(found, ("department", "sees"), rows, as_json)


@department.command("set")
def set_department(
    name: Name,
    *,
    site: Annotated[list[str] | None, typer.Option(help="All nodes of this site; several times: of each.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="This node.")] = None,
    datastream: Annotated[
        list[str] | None, typer.Option(metavar="NODE:DATASTREAM", help="This datastream of a node, nothing else of it.")
    ] = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say all that a department sees from now on; nothing, without options."""
    sees: list[dict[str, str]] = [{"site": s} for s in site or ()] + [{"node": n} for n in node or ()]
    for one in datastream or ():
        of, colon, stream = one.partition(":")
        if not colon:
            raise typer.BadParameter(f"{one!r} is not NODE:DATASTREAM")
        sees.append({"node": of, "datastream": stream})
    what = "; ".join(_entry(e) for e in sees) or "nothing"
    if dry_run:
        would(f"{name} would see {what}", {"sees": sees}, None, None, url, operator_token, as_json)
        return
    done = client_of(url, operator_token).change("PUT", f"/api/v1/departments/{name}", {"sees": sees})
    tell(done, f"{name} sees {what}", as_json)


@open_.command("list")
def list_open(*, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """What anybody may read at a hub that runs with --public-read."""
    found = client_of(url, operator_token).read("/api/v1/open")["datastreams"]
    rows = [(d["node"], d["datastream"], day(d["released_ms"])) for d in found]
    listed(found, ("node", "datastream", "since"), rows, as_json)


@open_.command("add")
def release(
    node: Node,
    datastream: Datastream,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Release a datastream as open data: its intervals, past and to come."""
    if dry_run:
        would(f"{datastream} of {node} would be open", {}, None, None, url, operator_token, as_json)
        return
    done = client_of(url, operator_token).change("POST", "/api/v1/open", {"node": node, "datastream": datastream})
    tell(done, f"{datastream} of {node} is open data where the hub runs with --public-read", as_json)


@open_.command("remove")
def close(
    node: Node,
    datastream: Datastream,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a datastream back; who has read it has it."""
    if dry_run:
        would(f"{datastream} of {node} would be closed", {}, None, None, url, operator_token, as_json)
        return
    client = client_of(url, operator_token)
    done = client.change("DELETE", "/api/v1/open", query={"node": node, "datastream": datastream})
    tell(done, f"{datastream} of {node} is no longer open data", as_json)


def _entry(entry: dict[str, Any]) -> str:
    if entry.get("site") is not None:
        return f"site {entry['site']}"
    return " ".join(filter(None, (entry["node"], entry.get("datastream"))))
