"""``wayside agent`` and ``wayside node``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.errors import EdgeError

agent = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Run a node's agent."
)
node = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Look at a node.")


class _WalkUnlessNamed(TyperGroup):
    """``wayside commission CONFIG`` is ``wayside commission walk CONFIG``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ("--help", "-h"))
        return super().parse_args(ctx, args if named or not args else ["walk", *args])


commission = typer.Typer(
    cls=_WalkUnlessNamed,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Commission a node at the cabinet. `wayside commission CONFIG` walks its sensors.",
)
doctor = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Config = Annotated[Path, typer.Argument(help="the node's TOML file", metavar="CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def _fail(message: str) -> typer.Exit:
    typer.echo(f"wayside: {message}", err=True)
    return typer.Exit(1)


def _load(path: Path) -> NodeConfig:
    try:
        return load_node_config(path.read_text())
    except ContractError as exc:
        raise _fail(f"{path}: {exc}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise _fail(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc


@agent.callback()
def _agent() -> None:
    """Run a node's agent."""


@agent.command("run")
def run(config: Config) -> None:
    """Run until SIGTERM or Ctrl-C; both store what is open. Starting again continues where it was."""
    loaded = _load(config)
    _log_for(sys.stderr.isatty())
    from wayside.edge.agent import Agent

    async def life() -> None:
        await Agent(loaded, config.resolve().parent).run()

    try:
        with asyncio.Runner() as runner:
            runner.run(life())
            _leave_threads()
    except EdgeError as exc:
        raise _fail(str(exc)) from exc


def _leave_threads() -> None:
    """End here where a thread would hold the end up: it waits for a name server, or is inside a model's native code.

    All that matters is on disk, and systemd would kill the agent anyway, a little later.
    """
    import os
    import threading

    if any(t is not threading.main_thread() for t in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _log_for(people: bool) -> None:
    import structlog

    render: Any = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@node.command()
def check(config: Config, as_json: AsJson = False) -> None:
    """Validate a configuration; a mistake is named by its field and the rule that it breaks."""
    loaded = _load(config)
    from wayside.edge.clock import LocalCalendar

    try:
        LocalCalendar(loaded.clock.timezone)
    except EdgeError as exc:
        raise _fail(f"{config}: {exc}") from exc
    facts = {
        "node": loaded.node,
        "detectors": len(loaded.detectors),
        "contacts": len(loaded.gpio.contacts),
        "phases": len(loaded.signal.phases) if loaded.signal else 0,
        "hub": loaded.hub.url if loaded.hub else None,
        "runtime": f"{loaded.model.runtime} {loaded.model.precision}",
    }
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"{config} is a valid configuration")
        for name, value in facts.items():
            typer.echo(f"  {name:<10} {value if value is not None else '-'}")


@node.command()
def status(config: Config, as_json: AsJson = False) -> None:
    """What the agent last said about itself."""
    from wayside.edge.status import STATUS_FILE

    loaded = _load(config)
    path = config.resolve().parent / loaded.state_dir / STATUS_FILE
    try:
        text = path.read_text()
        said = json.loads(text)
    except FileNotFoundError as exc:
        raise _fail(f"no agent has run on {path.parent}; start it with `wayside agent run {config}`") from exc
    except (OSError, ValueError) as exc:
        raise _fail(f"{path}: {exc}") from exc
    if as_json:
        typer.echo(text)
        return
    reported = said.get("reported", {})
    rows = {
        "node": said.get("node"),
        "healthy": said.get("healthy"),
        "uptime": f"{said.get('uptime_s', 0):.0f} s",
        "board": said.get("board", {}).get("identity"),
        "model": f"{reported.get('bundle', '-')} {reported.get('version', '')} ({reported.get('state', 'idle')})",
        "memory": f"{(said.get('rss_bytes') or 0) / 1e6:.0f} MB",
        "waiting": f"{said.get('backlog', 0)} rows",
        "notices": "; ".join(str(n.get("message")) for n in said.get("notices", [])) or "none",
        "trouble": "; ".join(v for v in said.get("trouble", {}).values() if v) or "none",
        **said.get("counters", {}),
    }
    for name, value in rows.items():
        typer.echo(f"{name:<24} {value if value is not None else '-'}")
    for reading in said.get("readings", []):
        value = "-" if reading["value"] is None else f"{reading['value']:g} {reading['unit']}"
        typer.echo(f"{reading['datastream']:<24} {value} ({reading['quality']})")


@node.command()
def outbox(config: Config, as_json: AsJson = False, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """Summaries that wait for the hub, in the order in which they will be sent. Safe beside a running agent."""
    from wayside.edge.status import OUTBOX_FILE

    loaded = _load(config)
    path = config.resolve().parent / loaded.state_dir / OUTBOX_FILE
    if not path.exists():
        raise _fail(f"{path} does not exist: no agent has run here")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            waiting = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
            bodies = db.execute("SELECT body FROM outbox ORDER BY priority, id LIMIT ?", (limit,)).fetchall()
    except sqlite3.DatabaseError as exc:
        raise _fail(f"{path}: {exc}") from exc
    rows = [json.loads(body) for (body,) in bodies]
    if as_json:
        typer.echo(json.dumps({"waiting": waiting, "rows": rows}))
        return
    typer.echo(f"{waiting} rows wait")
    for row in rows:
        value = row.get("value")
        said = f"{value:g} {row.get('unit', '1')}" if value is not None else row.get("quality", row.get("detail", ""))
        typer.echo(f"  {row['seq']:>6}  {row['kind']:<9} {row['datastream']:<28} {said}")


@doctor.command()
def examine(
    config: Config,
    as_json: AsJson = False,
    listen: Annotated[float, typer.Option(min=0.1, help="seconds to wait for the board")] = 3.0,
) -> None:
    """Check a node at the cabinet: time, disk, power, board, sensors, hub, model; what fails comes with its fix.

    Changes nothing. The exit status is 1 if something fails; a warning does not count.
    """
    loaded = _load(config)
    from rich.console import Console

    from wayside.edge.doctor.examine import examine as checks

    colours = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
    screen = Console(highlight=False)
    found = []
    for finding in checks(loaded, config.resolve().parent, listen_s=listen):
        found.append(finding)
        if not as_json:
            screen.print(f"[{colours[finding.state]}]{finding.state:<4}[/] {finding.check:<13} ", end="")
            screen.print(finding.said, markup=False, soft_wrap=True)
            if finding.fix:
                screen.print(f"{'':<19}→ {finding.fix}", markup=False, soft_wrap=True)
    failed = [finding.check for finding in found if finding.state == "fail"]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [f._asdict() for f in found]}, indent=1))
    elif not failed:
        screen.print("nothing fails", style="green")
    if failed:
        raise typer.Exit(1)


@commission.command("walk")
def walk(
    config: Config,
    by: Annotated[str | None, typer.Option(help="who walks; asked for if it is not given", show_default=False)] = None,
    site: Annotated[str | None, typer.Option(help="the site's own name or number")] = None,
    only: Annotated[list[str] | None, typer.Option(help="only this datastream; may be repeated")] = None,
    again: Annotated[bool, typer.Option("--again", help="forget a walk that was begun")] = False,
    seconds_per_sensor: Annotated[float, typer.Option(min=1, help="after so long without a movement, say so")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Walk the sensors one by one, ask the doctor, write a signed record. Run again, it goes on where it stopped.

    Single keys answer: y n, r again, s skip with a reason, f note as failed, q stop.

    Works beside a running agent, which lends its board meanwhile. The exit status is 0 if everything passed.
    """
    loaded = _load(config)
    import hashlib

    from rich.console import Console

    from wayside.edge.commission.walk import Options, Stopped, is_label
    from wayside.edge.commission.walk import commission as walked

    screen = Console(highlight=False, stderr=as_json)
    for name, label in (("--by", by), ("--site", site)):
        if label is not None and not is_label(label):
            raise _fail(f"{name} has 1 to 64 characters that can be printed")
    options = Options(by, site, tuple(only or ()), again, seconds_per_sensor)
    try:
        digest = hashlib.sha256(config.read_bytes()).hexdigest()
        record, path = walked(loaded, digest, config.resolve().parent, options, screen)
    except Stopped as exc:
        raise _fail(f"{exc}; what is walked is kept: run the same command to go on") from exc
    except KeyboardInterrupt:
        typer.echo("\nwayside: interrupted; what is walked is kept: run the same command to go on", err=True)
        raise typer.Exit(130) from None
    except (EdgeError, OSError) as exc:
        raise _fail(str(exc)) from exc
    from wayside.edge.commission.page import lines, summary

    if as_json:
        from wayside.contracts.wire import to_builtins

        typer.echo(json.dumps(to_builtins(record), indent=1))
    else:
        for line in lines(record):
            screen.print(line, markup=False, soft_wrap=True)
    screen.print(f"{summary(record)}  {path}", markup=False, soft_wrap=True)
    if not record.passed:
        raise typer.Exit(1)


@commission.command()
def show(
    config: Config,
    html: Annotated[Path | None, typer.Option(help="write a page to print")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest record of this node, its signature verified."""
    loaded = _load(config)
    from wayside.contracts.wire import to_builtins
    from wayside.durable import replace_file
    from wayside.edge.commission.page import lines, page, summary
    from wayside.edge.commission.record import records

    state_dir = (config.resolve().parent / loaded.state_dir).resolve()
    try:
        found = list(records(state_dir))
        if not found:
            raise _fail(f"no record in {state_dir}: `wayside commission {config}` makes one")
        newest = found[-1]
        if newest.record is None:
            raise _fail(f"{newest.path}: {newest.trouble}")
        if html is not None:
            replace_file(html, page(newest).encode())
    except (EdgeError, OSError) as exc:
        raise _fail(str(exc)) from exc
    if as_json:
        said = {"record": to_builtins(newest.record), "file": str(newest.path), "trouble": newest.trouble}
        typer.echo(json.dumps(said, indent=1))
    else:
        for line in (*lines(newest.record), summary(newest.record), newest.state):
            typer.echo(line)
    if html is not None:
        typer.echo(f"{html}: print it", err=as_json)
    if newest.trouble is not None:
        raise typer.Exit(1)
