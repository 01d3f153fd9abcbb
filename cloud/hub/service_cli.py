"""``wayside hub install-service``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from wayside.cloud.hub.cli_options import AsJson


def install_service(
    context: typer.Context,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Of `wayside hub run`, as in -- --port 8443.")
    ] = None,
    *,
    data: Annotated[Path, typer.Option("--data", help="The hub's data directory.")] = Path("/var/lib/wayside-hub"),
    user: Annotated[str, typer.Option(metavar="NAME", help="Whom the hub runs as.")] = "wayside-hub",
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where units stand.")] = Path("/etc/systemd/system"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit, write nothing.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop it and take the unit away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the hub as a service of systemd: writes its unit for this computer, and says what to type next.

    The same command again changes nothing, or brings the unit up to date. --uninstall keeps the data.
    """
    from wayside import systemd
    from wayside.cloud.hub import service

    path = folder / service.UNIT.name
    if uninstall:
        there = path.exists() if dry_run else systemd.uninstall(service.UNIT, folder)
        if as_json:
            typer.echo(json.dumps({"dry_run": dry_run, "file": str(path), "removed": there}))
        elif dry_run:
            typer.echo(f"{path} {'would be removed' if there else 'is not there'}")
        else:
            typer.echo(f"{path} is {'removed; the data stay' if there else 'not there: nothing to do'}")
        return
    data = data.absolute()
    given = tuple(options or ())
    asked = _parsed(context, data, given)
    command = systemd.this_command(Path("/opt/wayside/bin/wayside"))
    made = service.Service(data, command, given, asked["port"], user)
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
    typer.echo("  sudo systemctl enable wayside-hub")
    typer.echo("  sudo systemctl restart wayside-hub")
    typer.echo("  journalctl -u wayside-hub -f")


def _parsed(context: typer.Context, data: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """What ``wayside hub run`` would make of its options: a mistake is told here, not in a log at night."""
    group: Any = context.parent
    run = group.command.commands["run"]
    with run.make_context("wayside hub run", ["--data", str(data), *options]) as asked:
        return dict(asked.params)
