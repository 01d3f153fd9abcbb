"""``wayside flash``: firmware onto a board, and the proof that it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn

from wayside.command_line import App
from wayside.firmware_bridge.flash import flash as flashing
from wayside.firmware_bridge.flash.avr import Progress as Step
from wayside.firmware_bridge.flash.record import Record, Seen
from wayside.terminal import Bars, Screen

flash = App("flash", interrupted="run the same command again")
STAGES = {
    "build": "building the firmware",
    "ask": "asking who is there",
    "detect": "looking for the bootloader",
    "write": "writing",
    "verify": "verifying",
    "start": "waiting for the new firmware",
}


@flash.command()
def run(
    port: Annotated[str, typer.Argument(help="Device path, or a pattern such as '/dev/serial/by-id/*'.")],
    mcu: Annotated[
        str | None, typer.Option(help="Its chip: atmega328p, atmega2560, esp32, esp32s3 …; else it is detected.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--hex", help="Firmware: .hex for an ATmega, .bin for an ESP32. Else this release's is built."),
    ] = None,
    board: Annotated[
        str | None, typer.Option("--id", help="The board's name, at most 8 characters. Else it keeps the one it has.")
    ] = None,
    rename: Annotated[
        bool, typer.Option("--rename", help="Give a board that has another name the one of --id.")
    ] = False,
    baud: Annotated[int, typer.Option(help="Bits per second, of bootloader and firmware.")] = 115_200,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Flash a file of another maker, which cannot show that it is whole.")
    ] = False,
    address: Annotated[
        str, typer.Option(help="Where an ESP32's flash has its application.")
    ] = f"{flashing.Order(port='').address:#x}",
    record: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Flash a board: detect its chip, write, verify, wait for its identity.

    A running agent lends its port and takes it back. The board keeps its
    name and its plan table. Whatever cuts this short, the bootloader stays:
    run the same command again. Each flash leaves a record.

    ATmega328P and ATmega2560 go through avrdude and the Arduino bootloader.
    ESP32s go through esptool: checks and --dry-run are tested, writing is
    not, for want of an emulator.
    """
    order = flashing.Order(port, file, mcu, board, baud, rename, record, _number(address), foreign)

    def agree(plan: flashing.Plan) -> bool:
        if yes:
            return True
        typer.echo(_plan(plan), err=True)
        if not sys.stdin.isatty():
            typer.echo("wayside flash: nobody can be asked here; add --yes", err=True)
            return False
        return typer.confirm("Flash it?", default=True, err=True)

    with _shown_progress() as (step, pause):
        confirm = agree if yes else lambda plan: pause(lambda: agree(plan))
        done = flashing.flash(order, confirm, step, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(done.record), indent=2))
    else:
        typer.echo(_outcome(done))


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number such as 0x10000", param_hint="--address") from None


def _plan(plan: flashing.Plan) -> str:
    label = plan.image.label
    now = f"{plan.before.board}, firmware {plan.before.firmware}" if plan.before else "nobody answers"
    becomes = f"{label.board}, firmware {label.firmware}" if label else f"{plan.image.file}, without a label"
    again = f"\nafter     {plan.recovers}, which did not come to its end" if plan.recovers else ""
    return f"port      {plan.port} ({plan.chip})\nnow       {now}\nbecomes   {becomes}{again}"


def _outcome(done: flashing.Done) -> str:
    record = done.record
    if done.path is None:
        what = f"firmware {record.firmware} as {record.board!r}" if record.firmware else "firmware without a label"
        there = f"{_named(record.before)} now" if record.before else "nobody answers now"
        return f"{record.port}: {record.chip}, {there}; would write {record.bytes} bytes of {record.file}, {what}"
    assert record.after is not None  # noqa: S101  (it is done)
    again = f"\nrecovers {record.recovers}" if record.recovers else ""
    return f"{record.port}: {_named(record.after)} runs, {_table(record)}{again}\nrecord {done.path}"


def _named(seen: Seen) -> str:
    return f"board {seen.board!r} with firmware {seen.firmware}"


def _table(record: Record) -> str:
    table = record.after.table if record.after else "00000000"
    return "no plan table" if table == "00000000" else f"plan table {table}"


@contextmanager
def _shown_progress() -> Iterator[tuple[Step, Callable[[Callable[[], bool]], bool]]]:
    """A bar for each stage on the error stream, while that is a terminal; and how to step aside for a question."""
    columns = (
        TextColumn("{task.description:<30}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, screen=Screen(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def step(stage: str, part: float) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=1)
                tasks[stage] = bars.add_task(STAGES[stage], total=1)
            bars.update(tasks[stage], completed=part)

        def pause(question: Callable[[], bool]) -> bool:
            bars.stop()
            for task in tasks.values():
                bars.remove_task(task)  # what is done stays on the screen above the question
            tasks.clear()
            try:
                return question()
            finally:
                bars.start()

        yield step, pause
