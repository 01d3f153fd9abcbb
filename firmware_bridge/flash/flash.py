"""Flash a board and see that it runs what it was given.

borrow the port → read the identity → detect the chip → write, verify → read the identity again → record. A board keeps
its name and its plan table. Every step may be interrupted: the bootloader is never written, so the same command can be
run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge import avr_build
from wayside.firmware_bridge.errors import (
    BuildError,
    FlashError,
    LineError,
    LineUnavailable,
    MessageError,
    NotAgreed,
    WrongPart,
)
from wayside.firmware_bridge.flash import avr, esp
from wayside.firmware_bridge.flash import record as flash_record
from wayside.firmware_bridge.flash.avr import Progress
from wayside.firmware_bridge.flash.firmware_file import Image, board_name, load_image
from wayside.firmware_bridge.flash.record import Record, Seen
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.borrow import Loan, borrowed
from wayside.firmware_bridge.line.finder import find_board, is_pattern, matching
from wayside.firmware_bridge.line.messages import SCHEMA, Hello, Identity
from wayside.firmware_bridge.line.transport import open_transport

BEFORE_S = 8.0  # for a board to send its identity; it may have to start first. Without an answer it would lose its name
AFTER_S = 15.0
ASK_EVERY_S = 2.0  # an unlinked board sends IDENTITY every second by itself


class Order(NamedTuple):
    port: str
    file: Path | None = None  # None: build the firmware of this release
    mcu: str | None = None
    board: str | None = None  # the name that it shall have; None: the one that it has
    baud: int = 115_200
    rename: bool = False
    records: Path | None = None
    address: int = esp.APP_AT  # of an ESP32's application
    foreign: bool = False  # a file that nothing shows to be whole is flashed all the same


class Plan(NamedTuple):
    """What would be done: shown, asked about, and then done."""

    port: str
    chip: str
    image: Image
    before: Seen | None
    recovers: str | None


class Done(NamedTuple):
    record: Record
    path: Path | None  # None: nothing was written


def flash(order: Order, agree: Callable[[Plan], bool], progress: Progress, *, dry_run: bool = False) -> Done:
    """Flash as ``order`` says, if ``agree`` does.

    Args:
        progress: called with a stage ("ask", "detect", "build", "write", "verify", "start") and how far it is, 0 to 1.
        dry_run: stop before the first byte.

    Raises:
        WrongPart: the chip or the board is another; nothing was written.
        NotAgreed: ``agree`` did not; nothing was written.
        FlashError: anything else; the message says whether anything was written.
        LineUnavailable: the port is not there, not ours to open, or an agent or a command does not give it up.
    """
    if order.board is not None:
        board_name(order.board)
    image = load_image(order.file) if order.file is not None else None
    if image is None and order.mcu is not None:
        image = _built(order.mcu, progress)
    if image is not None:
        _fits(image, order.mcu, foreign=order.foreign)
    if image is None or image.kind == "avr":
        avr.tool()  # before the port is opened: that resets the board
    folder = order.records or flash_record.default_folder()
    port = _port_of(order)
    with borrowed(port) as loan:
        progress("ask", 0)
        identity = asyncio.run(_identity(port, order.baud, BEFORE_S))
        before = Seen.of(identity) if identity is not None else None
        progress("ask", 1)
        cut = flash_record.unfinished(folder, port)
        image, chip = _image_and_chip(order, image, loan, progress, certain=dry_run)
        image = _named(image, order, before, cut[1] if cut else None)
        plan = Plan(port, chip, image, before, cut[0] if cut else None)
        record = _begun(plan)
        if dry_run:
            return Done(record, None)
        if not agree(plan):
            raise NotAgreed("not agreed to: nothing was written")
        return _write(plan, record, folder, order, loan, progress)


def _write(plan: Plan, record: Record, folder: Path, order: Order, loan: Loan, progress: Progress) -> Done:  # noqa: PLR0917
    path = flash_record.new_path(folder, record)
    flash_record.save(path, record)
    try:
        if plan.image.kind == "esp":
            esp.write(plan.port, plan.image, order.address, progress)
        else:
            avr.write(plan.port, plan.chip, plan.image.hex(), order.baud, progress, loan.fds)
        progress("start", 0)
        identity = asyncio.run(_identity(plan.port, order.baud, AFTER_S))
        record.after = Seen.of(identity) if identity is not None else None
        _check(plan, record.after)
        progress("start", 1)
    except BaseException as exc:
        record.outcome = "refused" if isinstance(exc, WrongPart) else "failed"
        record.error = str(exc) or type(exc).__name__
        record.finished_at = flash_record.now()
        flash_record.save(path, record)
        raise
    record.outcome, record.finished_at = "done", flash_record.now()
    flash_record.save(path, record)
    return Done(record, path)


def _port_of(order: Order) -> str:
    port = order.port
    if "://" in port:
        raise FlashError(f"{port} is an address: flash at the port itself, where the board can be reset")
    if not is_pattern(port):
        if not Path(port).exists():
            raise LineUnavailable(f"{port} is not there: is the board plugged in? `ls /dev/serial/by-id`")
        return port
    ports = matching(port)
    if len(ports) == 1:
        return ports[0]
    if not ports:
        raise LineUnavailable(f"nothing matches {port}: is the board plugged in?")
    if order.board is None:
        raise FlashError(f"{port} names {', '.join(ports)}: say which, or which board with --id")
    return asyncio.run(find_board(port, order.baud, order.board))


def _fits(image: Image, mcu: str | None, *, foreign: bool) -> None:
    """Refuse what the file alone shows to be wrong, before the port is touched."""
    label = image.label
    if mcu is not None and label is not None and label.chip != mcu:
        raise WrongPart(f"{image.file} is firmware for {label.chip}, not for {mcu}: nothing was written")
    if image.kind == "esp":
        esp.check(image, mcu, foreign=foreign)
        return
    if not image.sealed and not foreign:
        lacks = "no label" if label is None else "a label without length and CRC-32"
        holes = f", and bytes {image.holes[0][0]:#x} to {image.holes[0][1]:#x} are empty" if image.holes else ""
        raise FlashError(
            f"{image.file} has {lacks}{holes}: it is another maker's or an older release's, or it is damaged, and "
            "nothing shows which. --foreign flashes it as it is; nothing was written"
        )
    chip = label.chip if label is not None else mcu
    if chip is None:
        raise FlashError(f"{image.file} has no label that says what it is for: name the chip with --mcu")
    if chip not in avr.PARTS:
        raise FlashError(f"{image.file} is firmware for {chip}; this flashes {', '.join(avr.PARTS)} and ESP32s")
    if image.base != 0 or len(image.data) > avr.PARTS[chip].room:
        span = f"{image.base:#x} to {image.base + len(image.data):#x}"
        raise WrongPart(f"{image.file} fills {span}, that does not fit an {chip} below its bootloader")


def _image_and_chip(
    order: Order, image: Image | None, loan: Loan, progress: Progress, *, certain: bool
) -> tuple[Image, str]:
    """The image and the chip. avrdude compares the signature again before it writes."""
    if image is not None and image.kind == "esp":
        return image, esp.detect(loan.port, image) if certain else esp.chip_of(image)
    known = image.label.chip if image is not None and image.label is not None else order.mcu
    chip = known
    if chip is None or certain:
        progress("detect", 0)
        chip = avr.detect(loan.port, order.baud, known if known in avr.PARTS else None, loan.fds)
        progress("detect", 1)
    if known is not None and chip != known:
        raise WrongPart(f"the board at {loan.port} is an {chip}, the firmware is for {known}: nothing was written")
    return image or _built(chip, progress), chip


def _built(chip: str, progress: Progress) -> Image:
    if chip not in avr_build.AVR:
        raise FlashError(f"this release has no firmware for {chip}: give a file of its maker with --hex")
    progress("build", 0)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            image = load_image(avr_build.build_avr(chip, Path(scratch)).hex)
    except BuildError as exc:
        raise FlashError(
            f"{exc}; or let the office run `wayside board build --mcu {chip} --out DIR`, "
            f"and flash DIR/{chip}.hex with --hex"
        ) from exc
    progress("build", 1)
    return image


def _named(image: Image, order: Order, before: Seen | None, cut: Record | None) -> Image:
    """The image with the board's name: the one ordered, else its present one, else that of the interrupted flash."""
    has = before.board if before is not None else cut.board if cut is not None else None
    unnamed = image.label.board if image.label is not None else None  # as the firmware is built
    another = order.board is not None and before is not None and before.board not in (order.board, unnamed)
    if another and not order.rename:
        raise WrongPart(
            f"board {has!r} answers at {order.port}, not {order.board!r}: is it the right cable? "
            "`--rename` gives it the new name; nothing was written"
        )
    name = order.board or has
    if image.label is None or image.kind == "esp" or name is None or name == image.label.board:
        return image
    return image.named(name)


def _begun(plan: Plan) -> Record:
    image, label = plan.image, plan.image.label
    return Record(
        port=plan.port,
        device=os.path.realpath(plan.port),
        by=_user(),
        tool=esp.tool() if image.kind == "esp" else avr.tool(),
        chip=plan.chip,
        file=image.file,
        sha256=image.sha256,
        firmware=label.firmware if label else None,
        schema=f"{label.schema:08x}" if label else None,
        board=label.board if label else None,
        bytes=len(image.data),
        before=plan.before,
        recovers=plan.recovers,
        started_at=flash_record.now(),
    )


def _check(plan: Plan, after: Seen | None) -> None:
    """The board runs what was written."""
    label = plan.image.label
    if after is None:
        raise FlashError(
            f"the firmware was written and verified, and nobody answers at {plan.port} within {AFTER_S:.0f} s: "
            "cut the board's power for a moment, then run the same command again"
        )
    wanted = (
        (label.board, label.firmware, f"{label.schema:08x}")
        if label
        else (after.board, after.firmware, f"{SCHEMA:08x}")
    )
    if (after.board, after.firmware, after.schema) != wanted:
        raise FlashError(
            f"the firmware was written and verified, but {after.board!r} with firmware {after.firmware}, schema "
            f"{after.schema} answers instead of {wanted[0]!r} with {wanted[1]}, schema {wanted[2]}: "
            "is it the same board?"
        )


async def _identity(port: str, baud: int, patience_s: float) -> Identity | None:
    """The identity of the board at ``port``, whatever its release; ``None`` when it sends none in time.

    No ``Conversation``: that refuses firmware of another release, and it speaks at once, which a bootloader would take
    for its own protocol.
    """
    line = open_transport(port, baud)
    decoder = frames.Decoder()
    began = time.monotonic()
    next_ask, has_asked = began + ASK_EVERY_S, False  # bytes sent earlier would fall to the bootloader
    try:
        while (now := time.monotonic()) < began + patience_s:
            if now >= next_ask:
                line.write(b"\0" + frames.encode(messages.encode(Hello(0, 0))))  # acknowledges nothing
                next_ask, has_asked = now + ASK_EVERY_S, True
            try:
                async with asyncio.timeout(min(next_ask, began + patience_s) - now):
                    payloads = decoder.feed(await line.read())
            except TimeoutError:
                continue
            for payload in payloads:
                with contextlib.suppress(MessageError):
                    message = messages.decode(payload)
                    if isinstance(message, Identity):
                        return message
            if payloads and not has_asked:
                next_ask = now  # it still takes its former host for present, and sends IDENTITY only after a HELLO
        return None
    except LineError as exc:
        raise FlashError(
            f"the line broke while the board was asked who it is: {exc}; run the same command again"
        ) from exc
    finally:
        line.close()


def _user() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
