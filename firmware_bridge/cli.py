"""``wayside board``: build, run and watch a board."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from wayside.command_line import App
from wayside.errors import ExitStatus
from wayside.firmware_bridge import avr_build, native, signal_plan
from wayside.firmware_bridge.errors import BoardSilent, BridgeError, LineLost, PlanError
from wayside.firmware_bridge.line import header as c_header
from wayside.firmware_bridge.line.board import BoardLink, Gap, Heard
from wayside.firmware_bridge.line.borrow import borrowed
from wayside.firmware_bridge.line.conversation import open_conversation
from wayside.firmware_bridge.line.messages import SCHEMA, Event, EventKind, Identity, PlanCode, PlanResult
from wayside.terminal import Screen, working
from wayside.text import TextError, decode, read_file

board = App("board", help="Build, run and watch a board.", interrupted="run the same command again")
WATCH_SILENT_S = 3.0
MAX_FEED_BYTES = 512 << 20
PLAN_S = 10.0  # for a board to take a plan
ASK_AGAIN = (PlanCode.BUSY, PlanCode.TABLE_CRC, PlanCode.NO_HOST)  # not the last word on a plan
Out = Annotated[Path, typer.Option(help="Folder of what is built.")]


@board.command()
def build(
    out: Out = native.BUILD,
    mcu: Annotated[str | None, typer.Option(help="Build for this chip instead: atmega328p, atmega2560.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print file and sizes as JSON.")] = False,
) -> None:
    """Build the firmware, as a native process or for a real board."""
    with working("building the firmware"):
        native_file = native.build(out) if mcu is None else None
        program = None if mcu is None else avr_build.build_avr(mcu, out)
    if program is None:
        print(json.dumps({"file": str(native_file)}) if as_json else native_file)
    elif as_json:
        print(json.dumps({"file": str(program.hex), "flash_bytes": program.flash, "ram_bytes": program.ram}))
    else:
        print(f"{program.hex}: {program.flash} bytes of flash, {program.ram} of memory besides the stack")


@board.command()
def run(
    pty_link: Annotated[Path | None, typer.Option(help="Link to the board's pty, e.g. /tmp/board.tty.")] = None,
    feed: Annotated[Path | None, typer.Option(help="CSV of edges: ms,kind,channel,value, sorted by ms.")] = None,
    speed: Annotated[float, typer.Option(help="Board seconds per second.")] = 1.0,
    anchor: Annotated[float | None, typer.Option(help="Unix time at which the board's clock shows 0.")] = None,
    board_id: Annotated[str, typer.Option("--id", help="Identity, at most 8 ASCII characters.")] = "wayside",
    ring: Annotated[int, typer.Option(help="Events that it holds until they are acknowledged.")] = 8192,
    stats: Annotated[Path | None, typer.Option(help="Write counters here, every second and at the end.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="CSV of limits and fixed plan: phase,ring,min_green,max_green,clearance,green in 0.1 s."),
    ] = None,
    end: Annotated[float | None, typer.Option(help="The board's clock stands still at this many ms.")] = None,
    store: Annotated[Path | None, typer.Option(help="File that stands for its non-volatile memory.")] = None,
    reset: Annotated[int | None, typer.Option(help="Reset cause that it reports, as in docs/wire.md.")] = None,
    out: Out = native.BUILD,
) -> None:
    """Run a board as a process on a pty; Ctrl-C ends it. Its first line names the pty."""
    for name, file in (("--feed", feed), ("--plan", plan)):
        if file is not None:
            _check_plain(file, name)
    program = str(native.build(out))
    options = {"pty-link": pty_link, "feed": feed, "speed": speed, "anchor": anchor, "id": board_id}
    options |= {"ring": ring, "stats": stats, "plan": plan, "end": end, "store": store, "reset": reset}
    command = [program]
    for name, value in options.items():
        if value is not None:
            # %.6f: str() of a float may turn to exponents, and an anchor needs its fraction.
            command += [f"--{name}", f"{value:.6f}" if isinstance(value, float) else str(value)]
    sys.stdout.flush()
    os.execv(program, command)  # noqa: S606 -- this process becomes the board: signals reach it, nothing is left over


def _check_plain(file: Path, name: str) -> None:
    """Raises: BridgeError: the board's process, which reads bytes, would wait for ever, or not understand them."""
    try:
        encoding = decode(read_file(file, MAX_FEED_BYTES)).encoding
    except OSError as exc:
        raise BridgeError(f"{name} {file} cannot be read: {exc.strerror}") from exc
    except TextError as exc:
        raise BridgeError(f"{name} {file} is no CSV: {exc}") from exc
    if encoding != "utf-8":
        raise BridgeError(f"{name} {file} is written in {encoding}: save it with the encoding UTF-8")


@board.command()
def watch(
    port: Annotated[str, typer.Argument(help="Device path or pyserial address.")],
    baud: Annotated[int, typer.Option(help="Bits per second.")] = 115_200,
    board_id: Annotated[str | None, typer.Option("--id", help="Refuse any other board.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    record: Annotated[Path | None, typer.Option(help="Keep the session in this file; replay://FILE plays it.")] = None,
) -> None:
    """Show a board's readings live. Nothing is acknowledged: the agent still gets every event."""
    asyncio.run(_watch(port, baud, board_id, as_json, seconds, record))


async def _watch(
    port: str, baud: int, board_id: str | None, as_json: bool, seconds: float | None, record: Path | None
) -> None:
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    console = Screen()
    link = BoardLink(board_id)
    with open_conversation(port, baud, link, silent_s=WATCH_SILENT_S, record=record) as conversation:
        while time.monotonic() < deadline:
            try:
                messages = await conversation.turn()
            except BoardSilent:
                print(f"{port}: no board answers ({link.counts.bytes} bytes came)", file=sys.stderr)
                continue
            except LineLost:
                if port.startswith("replay://"):
                    return  # seen to its end
                raise
            for message in messages:
                if as_json:
                    print(json.dumps({"type": type(message).__name__, **message._asdict()}), flush=True)
                elif text := _line(message):
                    console.print(text)
    if link.identity is None:
        raise BoardSilent(f"{port}: no board answered within {seconds:g} s ({link.counts.bytes} bytes came)")


def _line(message: Heard) -> Text:
    if isinstance(message, Identity):
        again = " (restarted)" if message.rebooted else ""
        words = f" firmware {message.firmware} boot {message.boot:08x}{again}"
        return Text.assemble("board ", (message.board, "bold"), words)
    if isinstance(message, Event):
        kind = message.kind
        name = EventKind(kind).name.lower().replace("_", " ") if kind in list(EventKind) else f"kind {kind}"
        seconds, ms = divmod(message.ms, 1000)
        return Text(f"{seconds:>8}.{ms:03} s  #{message.seq:<8} {name} {message.channel} = {message.value}")
    if isinstance(message, Gap):
        return Text(f"lost: events {message.first} to {message.last}", "red")
    return Text()


@board.command()
def plan(
    file: Annotated[Path, typer.Argument(help="Plan in TOML: phases, start, detectors (docs/wire.md, plan table).")],
    port: Annotated[str, typer.Argument(help="Device path or pyserial address.")],
    store: Annotated[bool, typer.Option("--store", help="Keep it and put it in force, not only check it.")] = False,
    baud: Annotated[int, typer.Option(help="Bits per second.")] = 115_200,
    board_id: Annotated[str | None, typer.Option("--id", help="Refuse any other board.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The board's answer as JSON.")] = False,
) -> None:
    """Have a board check a plan table and, with --store, keep and run it. A running agent lends its port."""
    table = signal_plan.load(file).encode()
    with borrowed(port), working("waiting for the board's answer"):
        result = asyncio.run(_plan(port, baud, board_id, table, store))
    good = result.code == PlanCode.OK
    code = PlanCode(result.code).name.lower() if result.code in list(PlanCode) else f"code {result.code}"
    if as_json:
        print(json.dumps({"code": code, "phase": result.phase, "table": f"{zlib.crc32(table):08x}"}))
    elif good:
        print(f"{file}: {'kept and put in force' if store else 'would be accepted'}, table {zlib.crc32(table):08x}")
    else:
        about = f", phase {result.phase}" if result.phase else ""
        raise PlanError(f"the board refuses {file}: {code.replace('_', ' ')}{about}; see docs/wire.md")
    if not good:
        raise typer.Exit(ExitStatus.FAILED)


async def _plan(port: str, baud: int, board_id: str | None, table: bytes, store: bool) -> PlanResult:
    deadline, ask_s, request = time.monotonic() + PLAN_S, 0.0, os.getpid() & 0xFFFF
    busy = False
    with open_conversation(port, baud, BoardLink(board_id), silent_s=math.inf) as conversation:
        while (now := time.monotonic()) < deadline:
            if now >= ask_s and conversation.link.identity is not None:
                conversation.send(conversation.link.plan_table(request, table, store=store))
                ask_s = now + 1.0
            for message in await conversation.turn():
                if isinstance(message, PlanResult) and message.request == request:
                    if message.code not in ASK_AGAIN:
                        return message
                    busy = message.code == PlanCode.BUSY
    if busy:
        raise PlanError(f"{port}: the plan before waits for its greens to end; run this again in a minute")
    raise PlanError(
        f"{port}: the board gave no answer to the plan within {PLAN_S:.0f} s; does it answer `wayside board watch`?"
    )


@board.command()
def header(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the committed header is current.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the schema as JSON.")] = False,
) -> None:
    """Write the C header of the message table (a source checkout only)."""
    current = c_header.HEADER.exists() and c_header.HEADER.read_text() == c_header.header()
    if check and not current:
        print(f"wayside board: {c_header.HEADER.name} is not current; run `wayside board header`", file=sys.stderr)
        raise typer.Exit(ExitStatus.FAILED)
    if not check:
        c_header.HEADER.write_text(c_header.header())
    if as_json:
        print(json.dumps({"file": str(c_header.HEADER), "schema": f"{SCHEMA:08x}", "written": not (check or current)}))
    else:
        print(f"{c_header.HEADER.name}: schema {SCHEMA:08x}, {'current' if current else 'written'}")
