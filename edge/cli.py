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

from wayside.command_line import App
from wayside.contracts.node_config import NODE_FILE, NodeConfig
from wayside.edge.configuration.arguments import (
    DEFAULT,
    AsJson,
    Config,
    default_file,
    failed,
    listed,
    load,
    read,
    unreadable,
)
from wayside.edge.errors import EdgeError
from wayside.errors import ExitStatus
from wayside.paths import placed, sqlite_uri
from wayside.text import TextError, loads_json, read_file

if TYPE_CHECKING:
    from wayside.contracts.passport import Passport
    from wayside.edge.configuration.check import Checked

agent = App("agent", help="Run a node's agent.", interrupted="what was open is stored")
node = App("node", help="Look at a node and at its file.")
doctor = App("doctor")


@agent.callback()
def _agent() -> None:
    """Run a node's agent."""


@agent.command("run")
def run(config: Config) -> None:
    """Run until SIGTERM or Ctrl-C; both store what is open. Starting again continues where it was."""
    from wayside.edge.start import run as run_agent

    run_agent(read(config), config.resolve().parent)


@node.command()
def check(
    config: Config,
    passport: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A model's passport.json or .bundle: does it fit? May be given again."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="3.N", help="The node's Python, where the node is another computer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a node's file, each mistake by its field. Changes nothing.

    Looks at the file, at what it names (trust root, authority, folder) and at whether it can work. The exit status is 1
    if it cannot, or if a model of --passport does not fit a task.
    """
    from wayside.edge.configuration.check import check_file

    if python is not None and not re.fullmatch(r"3\.[0-9]{1,2}", python):
        raise typer.BadParameter("it is a version such as 3.13", param_hint="--python")
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
        raise typer.Exit(ExitStatus.FAILED)


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
        typer.echo(f"wayside node check: {listed(config, checked.mistakes)}", err=True)
    for misfit in checked.misfits:
        who = f"the task {misfit.task} cannot run {misfit.model}" if misfit.task else misfit.model
        typer.echo(f"wayside node check: {who}: {misfit.message}", err=True)
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
    path = placed(config.resolve().parent, loaded.state_dir) / STATUS_FILE
    try:
        status = loads_json(read_file(path))
        if not isinstance(status, dict) or not status.keys() & {"node", "pid", "healthy"}:
            raise TextError("is no status of an agent")  # noqa: TRY301
        age_s = max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError as exc:
        raise failed(f"no agent has run on {path.parent}; start it with `wayside agent run {config}`") from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc
    except TextError as exc:
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
def outbox(
    config: Config,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, metavar="ROWS", help="How many are shown.")] = 20,
) -> None:
    """Summaries that wait for the hub, in the order in which they will be sent. Safe beside a running agent."""
    from wayside.edge.status import OUTBOX_FILE

    loaded = load(config)
    path = placed(config.resolve().parent, loaded.state_dir) / OUTBOX_FILE
    if not path.exists():
        raise failed(f"{path} does not exist: no agent has run here")
    try:
        with contextlib.closing(sqlite3.connect(sqlite_uri(path), uri=True)) as db:
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
    actuator: Annotated[str | None, typer.Argument(metavar="ACTUATOR", help="Its decisions only.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """What was decided and why, one sentence each, the newest last. Safe beside a running agent.

    The node keeps its last 500 decisions, also those that the hub has.
    """
    import msgspec

    from wayside.contracts.why import sentence
    from wayside.edge.outbox import last_decisions
    from wayside.edge.status import OUTBOX_FILE

    if actuator is None and DEFAULT.exists() and not config.exists():
        config, actuator = DEFAULT, str(config)  # `wayside node why heater`, on a card
    loaded = load(config)
    names = [a.name for a in loaded.actuators]
    if actuator is not None and actuator not in names:
        raise failed(f"{config} has no actuator {actuator}; it has {', '.join(names) or 'none'}")
    path = placed(config.resolve().parent, loaded.state_dir) / OUTBOX_FILE
    if not path.exists():
        raise failed(f"{path} does not exist: no agent has run here")
    rows = last_decisions(path, actuator, last)
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
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write: events.csv or events.parquet.")],
    hours: Annotated[float | None, typer.Option(min=0, help="Only the last so many; else all that are kept.")] = None,
    device: Annotated[str | None, typer.Option(help="DeviceId; else the node's name.")] = None,
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC; else in the node's time zone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the events of the node's signal in Indiana codes, as ATSPM tools read them. Safe beside a running agent."""
    from datetime import UTC
    from zoneinfo import ZoneInfo

    from wayside.edge.event_export import write_events
    from wayside.edge.event_log import FOLDER, read_log

    loaded = load(config)
    logged, untimed = read_log(placed(config.resolve().parent, loaded.state_dir) / FOLDER)
    if hours is not None and logged:
        logged = [e for e in logged if e[0] > logged[-1][0] - hours * 3_600_000]
    write_events(logged, out, device or loaded.node, UTC if utc else ZoneInfo(loaded.clock.timezone))
    if as_json:
        typer.echo(json.dumps({"file": str(out), "events": len(logged), "left_out": untimed}))
    else:
        typer.echo(f"{len(logged)} events written to {out}")
    if untimed:
        typer.echo(f"{untimed} events left out: the node's clock was not known while it ran", err=True)


@node.command("install-service")
def install_service(
    config: Annotated[
        Path | None, typer.Argument(help="The node's TOML file.", metavar="CONFIG", show_default=NODE_FILE)
    ] = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whom the agent runs as.")] = "wayside",
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Its group; else the user's own.")] = None,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where units stand.")] = Path("/etc/systemd/system"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit, write nothing.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop it and take the unit away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the agent as a service of systemd: writes its unit for this computer, and says what to type next.

    The same command again changes nothing, or brings the unit up to date. The agent is in the groups dialout and gpio
    where they exist. --uninstall keeps configuration and state.
    """
    from wayside import systemd
    from wayside.edge import service

    path = folder / service.UNIT.name
    if uninstall:
        there = path.exists() if dry_run else systemd.uninstall(service.UNIT, folder)
        if as_json:
            typer.echo(json.dumps({"dry_run": dry_run, "file": str(path), "removed": there}))
        elif dry_run:
            typer.echo(f"{path} {'would be removed' if there else 'is not there'}")
        else:
            typer.echo(f"{path} is {'removed; configuration and state stay' if there else 'not there: nothing to do'}")
        return
    at = (config or default_file()).resolve()
    loaded = load(at)
    state_dir = placed(at.parent, loaded.state_dir).resolve()
    made = service.Service(at, state_dir, systemd.this_command(service.CARD), user, group)
    text = service.unit_text(made)
    for doubt in service.doubts(made):
        typer.echo(f"hint: {doubt}", err=True)
    changed = None if dry_run else systemd.install(service.UNIT, text, folder)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "file": str(path), "changed": changed, "unit": text}))
        return
    if dry_run:
        typer.echo(text, nl=False)
        return
    typer.echo(f"{path} {'is written' if changed else 'was so already'}; what to type next:")
    typer.echo("  sudo systemctl enable wayside-agent")
    typer.echo("  sudo systemctl restart wayside-agent")
    typer.echo(f"  wayside doctor{'' if at == DEFAULT else f' {at}'}")


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
    listen: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How long to wait for the board.")] = 3.0,
) -> None:
    """Check a node at the cabinet: time, disk, power, board, sensors, hub, models; each failure comes with what to do.

    Changes nothing. The exit status is 1 if something fails; a warning does not count.
    """
    loaded = load(config)
    from wayside.edge.doctor.examine import examine as checks

    colours = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
    from wayside.terminal import Screen

    screen = Screen()
    findings = []
    for finding in checks(loaded, config.resolve().parent, listen_s=listen):
        findings.append(finding)
        if not as_json:
            screen.print(f"{finding.state:<4}", style=colours[finding.state], end="")
            screen.print(f" {finding.check:<13} ", end="")
            screen.print(finding.said, soft_wrap=True)
            if finding.fix:
                screen.print(f"{'':<19}→ {finding.fix}", soft_wrap=True)
    failed = [finding.check for finding in findings if finding.state == "fail"]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [f._asdict() for f in findings]}, indent=1))
    elif not failed:
        screen.print("nothing fails", style="green")
    if failed:
        raise typer.Exit(ExitStatus.FAILED)
