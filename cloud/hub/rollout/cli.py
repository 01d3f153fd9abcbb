"""``wayside rollout``: a thin skin over the hub's API."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, DryRun, Token, Url, client_of
from wayside.cloud.hub.client import HubClient
from wayside.cloud.hub.errors import ConfigurationError
from wayside.command_line import App
from wayside.errors import ExitStatus
from wayside.terminal import Screen

rollout = App("rollout", help="Bring a version to the nodes that can take it, watch it, take it back, withdraw it.")

Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="Name of the bundle, as in its passport.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="Of the bundle: MAJOR.MINOR.PATCH.")]
Which = Annotated[str, typer.Argument(metavar="ID|BUNDLE", help="As `rollout list` shows it; of a bundle, its newest.")]
RELEASE = "`wayside rollout release-hold`"
MAX_NODES = 40  # that a card names; --json has all


@rollout.command()
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
    console = Screen()
    console.print(table)
    if answer.get("held"):
        console.print(Text(f"held since a restore, nobody is ordered anything: {RELEASE} ends that", "yellow"))
    for w in client.withdrawals()["withdrawals"]:
        console.print(Text(f"withdrawn: {w['bundle']} {w['version']}: {w['reason']}", "red"))


@rollout.command()
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
    screen = Screen()
    if watch and not as_json and not screen.plain:
        with Live(_card(shown), console=screen, refresh_per_second=4) as live:
            while shown["state"] == "running":
                time.sleep(1)
                shown = client.rollout(rollout_id)
                live.update(_card(shown))
    else:
        told = ""
        while watch and shown["state"] == "running":
            if shown["summary"] != told:  # in a log: a line whenever there is news
                told = shown["summary"]
                typer.echo(f"rollout {rollout_id}: {told}", err=True)
            time.sleep(1)
            shown = client.rollout(rollout_id)
        _show(shown, as_json)
    if watch and (shown["state"] != "completed" or shown["useless"]):
        raise typer.Exit(ExitStatus.FAILED)


@rollout.command()
def pause(
    which: Which,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Offer it to nobody new; nodes that run it keep it."""
    _change(which, "pause", url, operator_token, dry_run, as_json)


@rollout.command()
def resume(
    which: Which,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Go on without the nodes that fail: they are excused, and named at the end."""
    _change(which, "resume", url, operator_token, dry_run, as_json)


@rollout.command()
def abort(
    which: Which,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Offer it to nobody any more. Nodes that run it keep it: `rollout back` returns them to the version before."""
    _change(which, "abort", url, operator_token, dry_run, as_json)


@rollout.command()
def back(
    which: Which,
    *,
    now: Annotated[bool, typer.Option("--now", help="All nodes at once; else in the phases that it came by.")] = False,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Return its nodes to the version that they ran before, by a rollout of that version.

    If it is still under way, it is aborted. A second time does nothing more. The version itself stays a version like
    any other: `rollout withdraw` keeps everybody from getting it again.
    """
    client = client_of(url, operator_token)
    rollout_id = _resolved(client, which, back=True)
    if dry_run:
        _would("back", client.rollout(rollout_id), as_json)
    else:
        _show(client.take_back(rollout_id, now), as_json)


@rollout.command("release-hold")
def release_hold(
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """After a restore of the hub: nodes are ordered what the rollouts say again.

    Before it, publish and roll out again what was rolled out since the backup: else nodes go back to what the backup
    knows. --dry-run says which nodes would go from which version to which.
    """
    client = client_of(url, operator_token)
    if dry_run:
        moves, state = client.moves()["moves"], client.restored()
        if as_json:
            typer.echo(json.dumps({"dry_run": True, "restored": state, "moves": moves}))
            return
        if not state["held"]:
            typer.echo("nothing is held: the hub was not restored, or its rollouts were released already")
            return
        for line in (*state["missing"], *map(_move, moves)):
            typer.echo(line)
        typer.echo(f"nothing was released: {len(moves)} moves would be ordered")
        return
    done = client.release_hold()
    typer.echo(json.dumps(done) if as_json else "nodes are ordered what the rollouts say; paused ones stay paused")


def _move(move: dict[str, Any]) -> str:
    runs = move["runs"] or "none"
    return f"{len(move['nodes'])} nodes would go from {move['bundle']} {runs} to {move['to']}: {_few(move['nodes'])}"


@rollout.command()
def withdraw(
    bundle: Bundle,
    version: Version,
    *,
    reason: Annotated[str, typer.Option(help="Why, for everybody who sees it; up to 256 characters.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="It was a mistake. No node moves by that.")] = False,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Nobody gets this version again; nodes that run it go back to what they ran before, all at once.

    Its rollouts are aborted, and none can start. A second time does nothing more.
    """
    _check_version(version)
    client = client_of(url, operator_token)
    if not (reason or undo):
        raise ConfigurationError("reason", f'say why: wayside rollout withdraw {bundle} {version} --reason "…"')
    if dry_run:
        _would_withdraw(client, bundle, version, undo, as_json)
        return
    done = client.undo_withdrawal(bundle, version) if undo else client.withdraw(bundle, version, reason)
    typer.echo(json.dumps(done) if as_json else done["summary"])


def _would_withdraw(client: HubClient, bundle: str, version: str, undo: bool, as_json: bool) -> None:
    """Whether it is withdrawn now, and the rollouts that brought it."""
    withdrawn = any(w["bundle"] == bundle and w["version"] == version for w in client.withdrawals()["withdrawals"])
    brought = [r["id"] for r in client.rollouts()["rollouts"] if r["bundle"] == bundle and r["version"] == version]
    if as_json:
        document = {"dry_run": True, "undo": undo, "withdrawn": withdrawn, "rollouts": brought}
        typer.echo(json.dumps(document))
        return
    now = "is withdrawn" if withdrawn else "is not withdrawn"
    by = f"rollouts {', '.join(map(str, brought))} brought it" if brought else "no rollout brought it"
    typer.echo(f"nothing was changed: {bundle} {version} {now}; {by}")


def _check_version(version: str) -> None:
    """Raises: ConfigurationError."""
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        raise ConfigurationError("version", f"{version!r} is no version: it is MAJOR.MINOR.PATCH, like 1.2.0")


def _change(which: str, act: str, url: str, operator_token: str, dry_run: bool, as_json: bool) -> None:
    client = client_of(url, operator_token)
    rollout_id = _resolved(client, which)
    if dry_run:
        _would(act, client.rollout(rollout_id), as_json)
    else:
        _show(client.change_rollout(rollout_id, act), as_json)


def _would(act: str, rollout: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"dry_run": True, "would": act, "rollout": rollout}))
        return
    screen = Screen()
    screen.print(_card(rollout))
    screen.print(f"nothing was changed: {act} would be asked of rollout {rollout['id']}", markup=False)


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
        Screen().print(_card(shown))


def _preview(preview: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(preview))
        return
    console = Screen()
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
