"""``wayside agent``, ``wayside node`` and ``wayside doctor``."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wayside.contracts.node_config import NodeConfig
from wayside.edge.configuration.arguments import AsJson, Config, failed, listed, load, read, unreadable
from wayside.edge.errors import EdgeError

if TYPE_CHECKING:
    from wayside.contracts.passport import Passport
    from wayside.edge.configuration.check import Checked

agent = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Run a node's agent."
)
node = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Look at a node and at its file."
)
doctor = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@agent.callback()
def _agent() -> None:
    """Run a node's agent."""


@agent.command("run")
def run(config: Config) -> None:
    """Run until SIGTERM or Ctrl-C; both store what is open. Starting again continues where it was."""
    from wayside.edge.start import run as run_agent

    try:
        run_agent(read(config), config.resolve().parent)
    except EdgeError as exc:
        raise failed(str(exc)) from exc


@node.command()
def check(
    config: Config,
    passport: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="a model's passport.json or .bundle: does it fit? may be repeated"),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="3.N", help="the node's Python, where the node is another computer")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a node's file, each mistake by its field. Changes nothing.

    Looks at the file, at what it names (trust root, authority, folder) and at whether it can work. The exit status is 1
    if it cannot, or if a model of --passport does not fit a task.
    """
    from wayside.edge.configuration.check import check_file

    if python is not None and not re.fullmatch(r"3\.[0-9]{1,2}", python):
        raise failed("--python is a version such as 3.13")
    passports = [_read_passport(path) for path in passport or ()]
    try:
        checked = check_file(config, passports, (3, int(python[2:])) if python else None)
    except OSError as exc:
        raise unreadable(config, exc) from exc
    facts = _facts(checked.config) if checked.config is not None else {}
    if as_json:
        mistakes = [{"field": field, "rule": rule} for field, rule in checked.mistakes]
        misfits = [m._asdict() for m in checked.misfits]
        listing = {"mistakes": mistakes, "misfits": misfits, "fits": checked.fitting, "hints": checked.hints}
        typer.echo(json.dumps({"ok": checked.ok, **facts, **listing}))
    else:
        _print_checked(config, checked, facts)
    if not checked.ok:
        raise typer.Exit(1)


def _read_passport(path: Path) -> Passport:
    from wayside.edge.configuration.check import read_passport

    try:
        return read_passport(path)
    except EdgeError as exc:
        raise failed(f"{path}: {exc}") from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc


def _print_checked(config: Path, checked: Checked, facts: dict[str, Any]) -> None:
    for hint in checked.hints:
        typer.echo(f"hint: {hint}", err=True)
    if checked.mistakes:
        typer.echo(f"wayside: {listed(config, checked.mistakes)}", err=True)
    for misfit in checked.misfits:
        who = f"the task {misfit.task} cannot run {misfit.model}" if misfit.task else misfit.model
        typer.echo(f"wayside: {who}: {misfit.message}", err=True)
    if checked.ok:
        typer.echo(f"{config} is a valid configuration")
        for name, value in facts.items():
            typer.echo(f"  {name:<10} {value if value is not None else '-'}")
        for fitting in checked.fitting:
            typer.echo(f"  {fitting}")


def _facts(config: NodeConfig) -> dict[str, Any]:
    return {
        "node": config.node,
        "detectors": len(config.detectors),
        "contacts": len(config.gpio.contacts),
        "registers": sum(len(line.values) for line in config.modbus),
        "tasks": ", ".join(f"{t.name} ({t.bundle})" for t in config.tasks) or None,
        "actuators": ", ".join(a.name for a in config.actuators) or None,
        "phases": len(config.signal.phases) if config.signal else 0,
        "hub": config.hub.url if config.hub else None,
        "runtime": f"{config.model.runtime} {config.model.precision}",
    }


@node.command()
def migrate(config: Config) -> None:
    """Print a file of the form before [[tasks]] in today's, its comments kept but for those beside what moved.

    Changes nothing: `wayside node migrate node.toml > new.toml`.
    """
    from wayside.contracts.wire import ContractError
    from wayside.edge.configuration.migrate import MigrationError, migrated
    from wayside.text import read_toml

    try:
        typer.echo(migrated(read_toml(config)), nl=False)
    except ContractError as exc:
        raise failed(listed(config, exc.mistakes)) from exc
    except MigrationError as exc:
        raise failed(f"{config}: {exc}") from exc
    except OSError as exc:
        raise unreadable(config, exc) from exc


@node.command()
def status(config: Config, as_json: AsJson = False) -> None:
    """The agent's last status: its tasks and their models, open conditions, counters, readings."""
    from wayside.edge.doctor.running import running_agent
    from wayside.edge.status import STATUS_FILE

    loaded = load(config)
    path = config.resolve().parent / loaded.state_dir / STATUS_FILE
    try:
        text = path.read_text()
        status = json.loads(text)
        if not isinstance(status, dict):
            raise ValueError("is no status")  # noqa: TRY301, TRY004
        age_s = max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError as exc:
        raise failed(f"no agent has run on {path.parent}; start it with `wayside agent run {config}`") from exc
    except (OSError, ValueError) as exc:
        raise failed(f"{path}: {exc}") from exc
    runs = running_agent(path.parent) is not None
    if as_json:
        typer.echo(json.dumps({"agent_runs": runs, "age_s": round(age_s, 1)} | status, indent=1))
        return
    from wayside.edge.doctor.status_lines import lines

    try:
        text = "\n".join(lines(status, age_s=age_s, runs=runs))
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise failed(f"{path} is no status of an agent of this version; is one running?") from exc
    typer.echo(text)


@node.command()
def outbox(config: Config, as_json: AsJson = False, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """Summaries that wait for the hub, in the order in which they will be sent. Safe beside a running agent."""
    from wayside.edge.status import OUTBOX_FILE

    loaded = load(config)
    path = config.resolve().parent / loaded.state_dir / OUTBOX_FILE
    if not path.exists():
        raise failed(f"{path} does not exist: no agent has run here")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            waiting = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
            bodies = db.execute("SELECT body FROM outbox ORDER BY priority, id LIMIT ?", (limit,)).fetchall()
    except sqlite3.DatabaseError as exc:
        raise failed(f"{path}: {exc}") from exc
    rows = [json.loads(body) for (body,) in bodies]
    if as_json:
        typer.echo(json.dumps({"waiting": waiting, "rows": rows}))
        return
    typer.echo(f"{waiting} rows wait")
    for row in rows:
        value, detail = row.get("value"), row.get("detail", {})
        shown = f"{value:g} {row.get('unit', '1')}" if value is not None else row.get("quality", "")
        shown = detail.get("verdict") or detail.get("what") or shown
        typer.echo(f"  {row['seq']:>6}  {row['kind']:<9} {row['datastream']:<28} {shown}")


@node.command()
def why(
    config: Config,
    actuator: Annotated[str | None, typer.Argument(metavar="ACTUATOR", help="its decisions only")] = None,
    last: Annotated[int, typer.Option(min=1, help="how many")] = 10,
    as_json: AsJson = False,
) -> None:
    """What was decided and why, one sentence each, the newest last. Safe beside a running agent.

    The node keeps its last 500 decisions, also those that the hub has.
    """
    import msgspec

    from wayside.contracts.why import sentence
    from wayside.edge.outbox import last_decisions
    from wayside.edge.status import OUTBOX_FILE

    loaded = load(config)
    names = [a.name for a in loaded.actuators]
    if actuator is not None and actuator not in names:
        raise failed(f"{config} has no actuator {actuator}; it has {', '.join(names) or 'none'}")
    path = config.resolve().parent / loaded.state_dir / OUTBOX_FILE
    if not path.exists():
        raise failed(f"{path} does not exist: no agent has run here")
    try:
        rows = last_decisions(path, actuator, last)
    except EdgeError as exc:
        raise failed(str(exc)) from exc
    if as_json:
        typer.echo(json.dumps([{"sentence": sentence(row), "row": msgspec.to_builtins(row)} for row in rows]))
        return
    for row in rows:
        typer.echo(f"{_when(row.at.wall_ms, loaded.clock.timezone)}  {sentence(row)}")
    if not rows:
        typer.echo("nothing has been decided yet")


@node.command()
def events(
    config: Config,
    out: Annotated[Path, typer.Option(metavar="FILE", help="events.csv or events.parquet")],
    hours: Annotated[float | None, typer.Option(min=0, help="only the last so many; else all that are kept")] = None,
    device: Annotated[str | None, typer.Option(help="DeviceId; else the node's name")] = None,
    utc: Annotated[bool, typer.Option("--utc", help="times in UTC; else in the node's time zone")] = False,
) -> None:
    """Write the events of the node's signal in Indiana codes, as ATSPM tools read them. Safe beside a running agent."""
    from datetime import UTC
    from zoneinfo import ZoneInfo

    from wayside.edge.event_export import write_events
    from wayside.edge.event_log import FOLDER, read_log

    loaded = load(config)
    try:
        logged, untimed = read_log(config.resolve().parent / loaded.state_dir / FOLDER)
        if hours is not None and logged:
            logged = [e for e in logged if e[0] > logged[-1][0] - hours * 3_600_000]
        write_events(logged, out, device or loaded.node, UTC if utc else ZoneInfo(loaded.clock.timezone))
    except EdgeError as exc:
        raise failed(str(exc)) from exc
    typer.echo(f"{len(logged)} events written to {out}")
    if untimed:
        typer.echo(f"{untimed} events left out: the node's clock was not known while it ran", err=True)


def _when(wall_ms: int | None, timezone: str) -> str:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    if wall_ms is None:
        return "at a time that is not known"
    return datetime.fromtimestamp(wall_ms / 1000, ZoneInfo(timezone)).strftime("%Y-%m-%d %H:%M")


@doctor.command()
def examine(
    config: Config,
    as_json: AsJson = False,
    listen: Annotated[float, typer.Option(min=0.1, help="seconds to wait for the board")] = 3.0,
) -> None:
    """Check a node at the cabinet: time, disk, power, board, sensors, hub, models; each failure comes with what to do.

    Changes nothing. The exit status is 1 if something fails; a warning does not count.
    """
    loaded = load(config)
    from rich.console import Console

    from wayside.edge.doctor.examine import examine as checks

    colours = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
    screen = Console(highlight=False)
    findings = []
    for finding in checks(loaded, config.resolve().parent, listen_s=listen):
        findings.append(finding)
        if not as_json:
            screen.print(f"[{colours[finding.state]}]{finding.state:<4}[/] {finding.check:<13} ", end="")
            screen.print(finding.said, markup=False, soft_wrap=True)
            if finding.fix:
                screen.print(f"{'':<19}→ {finding.fix}", markup=False, soft_wrap=True)
    failed = [finding.check for finding in findings if finding.state == "fail"]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [f._asdict() for f in findings]}, indent=1))
    elif not failed:
        screen.print("nothing fails", style="green")
    if failed:
        raise typer.Exit(1)
