"""``wayside commission``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from wayside.command_line import App
from wayside.edge.configuration.arguments import DEFAULT, AsJson, Config, failed, load
from wayside.errors import ExitStatus
from wayside.paths import settled
from wayside.text import read_file


class _WalkUnlessNamed(TyperGroup):
    """``wayside commission CONFIG`` is ``wayside commission walk CONFIG``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ("--help", "-h"))
        asks = not args and not DEFAULT.exists()  # what there is; on a card the walk needs no more words
        return super().parse_args(ctx, args if named or asks else ["walk", *args])


commission = App(
    "commission",
    cls=_WalkUnlessNamed,
    help="Commission a node at the cabinet. `wayside commission CONFIG` walks its sensors.",
    interrupted="what is walked is kept: run the same command to go on",
)


@commission.command("walk")
def walk(
    config: Config,
    by: Annotated[str | None, typer.Option(help="Who walks; asked for if it is not given.", show_default=False)] = None,
    site: Annotated[str | None, typer.Option(help="The site's own name or number.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this datastream; may be given again.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Forget a walk that was begun.")] = False,
    seconds_per_sensor: Annotated[float, typer.Option(min=1, help="After so long without a movement, say so.")] = 60.0,
    wiring: Annotated[
        str | None, typer.Option(help="Then listen to the traffic for so long (30m) and find mis-wired detectors.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk the sensors one by one, ask the doctor, write a signed record. Run again, it goes on where it stopped.

    Single keys answer: y n, r again, s skip with a reason, f note as failed, q stop.

    Works beside a running agent, which lends its board meanwhile. The exit status is 0 if everything passed.
    """
    loaded = load(config)
    import hashlib

    from wayside.edge.commission.walk import Options, Stopped, is_label
    from wayside.edge.commission.walk import commission as walked
    from wayside.terminal import Screen

    screen = Screen(stderr=as_json)
    for name, label in (("--by", by), ("--site", site)):
        if label is not None and not is_label(label):
            raise failed(f"{name} has 1 to 64 characters that can be printed")
    wiring_s = None if wiring is None else _seconds(wiring)
    options = Options(by, site, tuple(only or ()), again, seconds_per_sensor, wiring_s)
    try:
        digest = hashlib.sha256(read_file(config)).hexdigest()
        record, path = walked(loaded, digest, config.resolve().parent, options, screen)
    except Stopped as exc:
        raise failed(f"{exc}; what is walked is kept: run the same command to go on") from exc
    from wayside.edge.commission.page import lines, summary

    if as_json:
        from wayside.contracts.wire import to_builtins

        typer.echo(json.dumps(to_builtins(record), indent=1))
    else:
        for line in lines(record):
            screen.print(line, markup=False, soft_wrap=True)
    screen.print(f"{summary(record)}  {path}", markup=False, soft_wrap=True)
    if not record.passed:
        raise typer.Exit(ExitStatus.FAILED)


def _seconds(text: str) -> float:
    from wayside.edge.commission.wiring.step import seconds_of

    try:
        return seconds_of(text)
    except ValueError as exc:
        raise failed(str(exc)) from exc


@commission.command("wiring")
def wiring_alone(
    config: Config,
    listen: Annotated[str, typer.Option("--for", help="How long, of the board's time.")] = "30m",
    events: Annotated[
        Path | None, typer.Option(help="A recording of the line or a CSV of events, not the board.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find mis-wired detectors from half an hour of traffic: which phase and function each channel has.

    Nothing is driven over and no record is written: `wayside commission CONFIG --wiring 30m` puts it into one. The exit
    status is 1 if a channel is suspect.
    """
    loaded = load(config)
    from wayside.contracts.wire import to_builtins
    from wayside.edge.commission.wiring.lines import wiring_lines
    from wayside.edge.commission.wiring.step import wiring_of_board, wiring_of_file
    from wayside.terminal import Screen

    screen = Screen(stderr=as_json)
    if events is not None:
        check = wiring_of_file(loaded, events)
    else:
        state_dir = settled(config.resolve().parent, loaded.state_dir)
        check = wiring_of_board(loaded, state_dir, _seconds(listen), screen)
    if as_json:
        typer.echo(json.dumps(to_builtins(check), indent=1))
    else:
        for line in wiring_lines(check):
            screen.print(line, markup=False, soft_wrap=True)
    if check.suspects:
        raise typer.Exit(ExitStatus.FAILED)


@commission.command()
def show(
    config: Config,
    html: Annotated[Path | None, typer.Option(help="Write a page to print.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest record of this node, its signature verified."""
    loaded = load(config)
    from wayside.contracts.wire import to_builtins
    from wayside.durable import replace_file
    from wayside.edge.commission.page import lines, page, summary
    from wayside.edge.commission.record import records

    state_dir = settled(config.resolve().parent, loaded.state_dir)
    stored = list(records(state_dir))
    if not stored:
        raise failed(f"no record in {state_dir}: `wayside commission {config}` makes one")
    newest = stored[-1]
    if newest.record is None:
        raise failed(f"{newest.path}: {newest.trouble}")
    if html is not None:
        replace_file(html, page(newest).encode())
    if as_json:
        document = {"record": to_builtins(newest.record), "file": str(newest.path), "trouble": newest.trouble}
        typer.echo(json.dumps(document, indent=1))
    else:
        for line in (*lines(newest.record), summary(newest.record), newest.state):
            typer.echo(line)
    if html is not None:
        typer.echo(f"{html}: print it", err=as_json)
    if newest.trouble is not None:
        raise typer.Exit(ExitStatus.FAILED)
