"""``wayside rollout``: a thin skin over the hub's API."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wayside.cloud.hub.cli import DEFAULT_URL, AsJson, Token, Url, client_of, plainly
from wayside.cloud.hub.client import HubClient
from wayside.cloud.hub.errors import ConfigurationError

rollout = typer.Typer(
    help="Bring a version to the nodes that can take it, watch it, take it back, withdraw it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="Name of the bundle, as in its passport.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="MAJOR.MINOR.PATCH")]
Which = Annotated[str, typer.Argument(metavar="ID|BUNDLE", help="As `rollout list` shows it; of a bundle, its newest.")]
MAX_NODES = 40  # that a card names; --json has all


@rollout.command()
@plainly
def start(
    bundle: Bundle,
    version: Version,
    *,
    url: Url = DEFAULT_URL,
    phases: Annotated[
        str, typer.Option(help="Percent of the nodes that can take it at each phase, rising.")
    ] = "5,25,100",
    deadline_s: Annotated[
        float, typer.Option(min=1, help="Of each phase, seconds: several times what nodes take from sync to sync.")
    ] = 3600.0,
    max_failed_percent: Annotated[
        float, typer.Option(min=0, max=100, help="Nodes that may refuse it or be late before it pauses.")
    ] = 0.0,
    max_silent_percent: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="Nodes of a phase that may be silent at its deadline before it pauses; one always may. They are "
            "passed over, and offered it when they come back.",
        ),
    ] = 20.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which nodes can take it, and start nothing.")] = False,
    operator_token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Offer a published version to the nodes that have a task which it fits, canary first.

    The first phase ends only with a node that runs it. A node that comes later takes part if the last phase is 100.
    """
    try:
        percents = [int(p) for p in phases.split(",")]
    except ValueError as exc:
        raise ConfigurationError("phases", f"--phases {phases!r} is not a list of percentages like 5,25,100") from exc
    if any(a >= b for a, b in itertools.pairwise(percents)) or not all(1 <= p <= 100 for p in percents):
        raise ConfigurationError("phases", f"--phases {phases!r}: percentages from 1 to 100 that rise, like 5,25,100")
    _check_version(version)
    target = f"models/{bundle}-{version}.bundle"
    client = client_of(url, operator_token)
    if dry_run:
        _preview(client.preview(target), as_json)
        return
    tolerances = {"max_failed_percent": max_failed_percent, "max_silent_percent": max_silent_percent}
    _show(client.start_rollout(bundle, version, target, percents, deadline_s, **tolerances), as_json)


@rollout.command("list")
@plainly
def list_(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Every rollout, newest first, and the withdrawn versions."""
    client = client_of(url)
    answer = client.rollouts()
    if as_json:
        typer.echo(json.dumps(answer))
        return
    table = Table("id", "bundle", "version", "state", "why", box=None, header_style="bold")
    for r in answer["rollouts"]:
        table.add_row(str(r["id"]), r["bundle"], r["version"], _state(r), Text(r["useless"] or r["reason"] or ""))
    console = Console()
    console.print(table)
    for w in client.withdrawals()["withdrawals"]:
        console.print(Text(f"withdrawn: {w['bundle']} {w['version']}: {w['reason']}", "red"))


@rollout.command()
@plainly
def show(
    which: Which,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Until it ends or pauses; status 1 unless every node runs it to some use.")
    ] = False,
) -> None:
    """One rollout with its phases and nodes, and those that cannot take it."""
    client = client_of(url)
    rollout_id = _resolved(client, which)
    shown = client.rollout(rollout_id)
    if watch and not as_json:
        with Live(_card(shown), refresh_per_second=4) as live:
            while shown["state"] == "running":
                time.sleep(1)
                shown = client.rollout(rollout_id)
                live.update(_card(shown))
    else:
        while watch and shown["state"] == "running":
            time.sleep(1)
            shown = client.rollout(rollout_id)
        _show(shown, as_json)
    if watch and (shown["state"] != "completed" or shown["useless"]):
        raise typer.Exit(1)


@rollout.command()
@plainly
def pause(which: Which, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """Offer it to nobody new; nodes that run it keep it."""
    _change(which, "pause", url, operator_token, as_json)


@rollout.command()
@plainly
def resume(which: Which, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """Go on without the nodes that fail: they are excused, and named at the end."""
    _change(which, "resume", url, operator_token, as_json)


@rollout.command()
@plainly
def abort(which: Which, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """Offer it to nobody any more. Nodes that run it keep it: `rollout back` returns them to the version before."""
    _change(which, "abort", url, operator_token, as_json)


@rollout.command()
@plainly
def back(
    which: Which,
    *,
    now: Annotated[bool, typer.Option("--now", help="All nodes at once; else in the phases that it came by.")] = False,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Return its nodes to the version that they ran before, by a rollout of that version.

    If it is still under way, it is aborted. A second time does nothing more. The version itself stays a version like
    any other: `rollout withdraw` keeps everybody from getting it again.
    """
    client = client_of(url, operator_token)
    _show(client.take_back(_resolved(client, which, back=True), now), as_json)


@rollout.command()
@plainly
def withdraw(
    bundle: Bundle,
    version: Version,
    *,
    reason: Annotated[str, typer.Option(help="Why, for everybody who sees it; up to 256 characters.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="It was a mistake. No node moves by that.")] = False,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Nobody gets this version again; nodes that run it go back to what they ran before, all at once.

    Its rollouts are aborted, and none can start. A second time does nothing more.
    """
    _check_version(version)
    client = client_of(url, operator_token)
    if undo:
        done = client.undo_withdrawal(bundle, version)
    elif not reason:
        raise ConfigurationError("reason", f'say why: wayside rollout withdraw {bundle} {version} --reason "…"')
    else:
        done = client.withdraw(bundle, version, reason)
    typer.echo(json.dumps(done) if as_json else done["summary"])


def _check_version(version: str) -> None:
    """Raises: ConfigurationError."""
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        raise ConfigurationError("version", f"{version!r} is no version: it is MAJOR.MINOR.PATCH, like 1.2.0")


def _change(which: str, act: str, url: str, operator_token: str, as_json: bool) -> None:
    client = client_of(url, operator_token)
    _show(client.change_rollout(_resolved(client, which), act), as_json)


def _resolved(client: HubClient, which: str, *, back: bool = False) -> int:
    """The number of a rollout; of a bundle, its newest.

    Args:
        back: to take it back: if the newest already takes one back, that one, so that twice is once.
    """
    if which.isdigit():
        return int(which)
    for r in client.rollouts()["rollouts"]:
        if r["bundle"] == which:
            return int(r["back_of"] if back and r["back_of"] is not None and r["state"] != "aborted" else r["id"])
    raise ConfigurationError("rollout", f"there is no rollout of {which!r}; `wayside rollout list` shows all")


def _show(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(shown))
    else:
        Console().print(_card(shown))


def _preview(preview: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(preview))
        return
    console = Console()
    console.print(Text(preview["summary"].partition("; ")[0]))  # the others stand below, all of them
    candidates = preview["candidates"]
    console.print(_others(candidates.get("cannot", []), candidates.get("unknown", [])))
    if preview.get("withdrawn"):
        console.print(Text(f"it does not begin: the version was withdrawn: {preview['withdrawn']}", "red"))
    if preview.get("live") is not None:
        console.print(Text(f"it does not begin before rollout {preview['live']} of this bundle has ended", "yellow"))


def _card(r: dict[str, Any]) -> Group:
    title = Text.assemble((f"rollout {r['id']}: {r['bundle']} {r['version']} ", "bold"), _state(r))
    table = Table("phase", "of nodes", "state", "nodes", box=None, header_style="bold")
    for i, phase in enumerate(r["phases"], 1):
        nodes = Text("\n").join(_member(n, r) for n in phase["nodes"][:MAX_NODES])
        if len(phase["nodes"]) > MAX_NODES:
            nodes.append(f"\nand {len(phase['nodes']) - MAX_NODES} more: --json names all")
        table.add_row(str(i), f"{phase['percent']} %", phase["state"], nodes)
    parts: list[Any] = [title]
    if r["reason"]:
        parts.append(Text(r["reason"]))
    if r["useless"]:
        parts.append(Text(r["useless"], "red"))
    if r["withdrawn"]:
        parts.append(Text(f"withdrawn: {r['withdrawn']}", "red"))
    if r["back_of"] is not None:
        parts.append(Text(f"takes rollout {r['back_of']} back"))
    parts.append(table)
    if r["joined_later"]:
        parts.append(Text("joined later: ") + Text(", ").join(_member(n, r) for n in r["joined_later"][:MAX_NODES]))
    parts.append(_others(r["cannot"], r["unknown"]))
    if r["state"] == "paused":
        parts.append(Text(f"next: wayside rollout resume {r['id']}, abort {r['id']} or back {r['id']}", "dim"))
    elif r["useless"] or r["state"] in ("aborted", "completed_with_exceptions"):
        parts.append(Text(f"next: wayside rollout back {r['id']} returns its nodes to the version before", "dim"))
    return Group(*parts)


def _others(cannot: list[dict[str, Any]], unknown: list[str]) -> Group:
    lines = [Text(f"{len(group['nodes'])} cannot take it: {group['why']} ({_few(group['nodes'])})") for group in cannot]
    if unknown:
        lines.append(
            Text(f"{len(unknown)} have not said what they offer (older agents, or never synced): {_few(unknown)}")
        )
    return Group(*lines)


def _few(nodes: list[str], most: int = 5) -> str:
    return ", ".join(nodes[:most]) + (f" and {len(nodes) - most} more" if len(nodes) > most else "")


def _member(n: dict[str, Any], r: dict[str, Any]) -> Text:
    text = f"{n['node']} {n['state']}" + (f" ({n['reason']})" if n["reason"] else "")
    runs = n.get("runs")
    ended = r["state"] not in ("running", "paused")
    if n["useless"] and n["state"] != "useless":
        text += f", of no use now: {n['useless']}"
    if ended and (runs == r["version"]) != (n["state"] in ("active", "useless")):
        text += f", runs {runs or 'none'} now"
    return Text(text)


def _state(r: dict[str, Any]) -> Text:
    colour = {"running": "cyan", "completed": "green", "aborted": "red"}.get(r["state"], "yellow")
    return Text(r["summary"], colour if r["useless"] is None else "red")
