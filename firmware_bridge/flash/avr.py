"""ATmega boards, through avrdude and the bootloader that they come with.

avrdude is trusted with the protocols; here is what it does not do: tell in one sentence what is wrong, and end. Without
a bootloader it tries for a minute, and beside a device that never stops talking for ever.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge.errors import FlashError, WrongPart

Progress = Callable[[str, float], None]  # "write" or "verify", 0 to 1

SYNC_S = 12.0  # for the bootloader to answer: two of avrdude's attempts
IDLE_S = 10.0  # without progress while it writes
ATTEMPTS = 3  # when the first answers are garbled
HASHES = 50  # avrdude's bar at 100 %
_READY = b"initialized and ready"
_SIGNATURE = re.compile(r"device signature = (?:0x)?([0-9a-f ]+)", re.IGNORECASE)


class Part(NamedTuple):
    name: str  # avrdude's
    programmer: str
    signature: str
    room: int  # bytes of flash below the bootloader


PARTS = {
    "atmega328p": Part("m328p", "arduino", "1e950f", 32_768 - 512),
    "atmega2560": Part("m2560", "wiring", "1e9801", 262_144 - 8_192),
}


def chip_of(signature: str) -> str:
    return next((chip for chip, part in PARTS.items() if part.signature == signature), f"chip {signature}")


def tool() -> str:
    """The version of avrdude. Raises: FlashError: it is not installed."""
    if shutil.which("avrdude") is None:
        raise FlashError("avrdude is not installed: `sudo apt install avrdude`")
    output = subprocess.run(["avrdude", "-?"], capture_output=True, text=True, check=False).stderr
    match = re.search(r"version (\S+?),", output)
    return f"avrdude {match[1] if match else '?'}"


def detect(port: str, baud: int, chip: str | None = None, fds: tuple[int, ...] = ()) -> str:
    """Read the signature that the bootloader at ``port`` reports; ``chip`` is tried first. Writes nothing.

    Raises:
        FlashError: no bootloader answers, or the port cannot be used.
    """
    first = chip or next(iter(PARTS))
    silent: FlashError | None = None
    for candidate in (first, *(other for other in PARTS if other != first)):
        output = _Avrdude(candidate, port, baud, fds).run_steadily(["-n"])
        if signature := _signature(output.text):
            return chip_of(signature)
        silent = _translated(output, candidate, port)
        if not output.silent:
            raise silent
    raise silent or FlashError(f"no bootloader answers at {port}")


def write(  # noqa: PLR0917
    port: str, chip: str, program: bytes, baud: int, progress: Progress, fds: tuple[int, ...] = ()
) -> None:
    """Write the Intel HEX file ``program`` and verify it. The EEPROM, where the plan table lies, is left alone.

    Raises:
        WrongPart: another chip; nothing was written.
        FlashError: anything else; the message says whether the board may have half a firmware.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "firmware.hex"
        file.write_bytes(program)
        # -D: no erasure of the whole chip; the bootloader erases page by page.
        output = _Avrdude(chip, port, baud, fds).run_steadily(["-D", "-U", f"flash:w:{file}:i"], progress)
    if output.status == 0 and output.verified:
        return
    if output.silent:
        _name_another(port, chip, baud, fds)
    raise _translated(output, chip, port)


def _name_another(port: str, chip: str, baud: int, fds: tuple[int, ...]) -> None:
    """Raise WrongPart if the bootloader of another chip answers: each kind of board has its own."""
    for other in PARTS:
        if other != chip and (signature := _signature(_Avrdude(other, port, baud, fds).run(["-n"]).text)):
            raise _wrong_part(chip_of(signature), chip, port)


class _Output(NamedTuple):
    """Result of one run of avrdude."""

    status: int | None  # None: it made no progress and was killed
    text: str
    ready: bool  # the bootloader answered
    writing: bool
    verified: bool

    @property
    def silent(self) -> bool:
        return not self.ready and (self.status is None or "not in sync" in self.text or "timeout" in self.text)


class _Avrdude(NamedTuple):
    """avrdude for one chip at one port."""

    chip: str
    port: str
    baud: int
    fds: tuple[int, ...]  # of the loan

    def run_steadily(self, what: list[str], progress: Progress = lambda stage, part: None) -> _Output:
        """Run avrdude, again from the start where bytes lost while the bootloader started garbled its first answers."""
        for attempt in range(1, ATTEMPTS + 1):
            output = self.run(what, progress)
            known = _signature(output.text) in {part.signature for part in PARTS.values()}
            garbled = output.ready and not known
            if output.status == 0 or output.writing or attempt == ATTEMPTS:
                break
            if not (garbled or "sync byte" in output.text):
                break
        return output

    def run(self, what: list[str], progress: Progress = lambda stage, part: None) -> _Output:
        tool()
        part = PARTS[self.chip]
        command = ["avrdude", "-p", part.name, "-c", part.programmer, "-P", self.port, "-b", str(self.baud), *what]
        environment = {**os.environ, "LC_ALL": "C"}
        # avrdude inherits the lock: if this process is killed, the agent stays off the port until avrdude has ended.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=self.fds,
        ) as process:
            assert process.stderr is not None  # noqa: S101
            output = bytearray()
            status: int | None = None
            moved = time.monotonic()
            try:
                while (left := moved + (IDLE_S if _READY in output else SYNC_S) - time.monotonic()) > 0:
                    if not select.select([process.stderr], [], [], left)[0]:
                        continue
                    data = os.read(process.stderr.fileno(), 4096)
                    if not data:
                        status = process.wait(IDLE_S)
                        break
                    before = _marks(output)
                    output += data
                    if _marks(output) != before:
                        moved = time.monotonic()
                        _tell(output, progress)
            except subprocess.TimeoutExpired:
                pass
            finally:
                process.kill()  # no progress, or interrupted; otherwise it has ended already
        text = output.decode(errors="replace")
        return _Output(status, text, _READY in output, "Writing |" in text, "bytes of flash verified" in text)


def _marks(output: bytes | bytearray) -> int:
    """What counts as progress: that the bootloader answered, and each step of avrdude's bars."""
    return output.count(b"#") + (_READY in output)


def _tell(output: bytearray, progress: Progress) -> None:
    for stage, title in (("verify", b"Reading |"), ("write", b"Writing |")):
        at = output.rfind(title)
        if at >= 0:
            progress(stage, min(1.0, output.count(b"#", at, at + len(title) + HASHES + 2) / HASHES))
            return


def _signature(text: str) -> str | None:
    match = _SIGNATURE.search(text)
    return match[1].replace(" ", "").lower() if match else None


def _wrong_part(there: str, chip: str, port: str) -> WrongPart:
    return WrongPart(f"the board at {port} is an {there}, the firmware is for {chip}: nothing was written")


def _translated(output: _Output, chip: str, port: str) -> FlashError:  # noqa: PLR0911 -- one per trouble
    text, part = output.text, PARTS[chip]
    signature = _signature(text)
    if signature is not None and signature != part.signature and not output.writing:
        return _wrong_part(chip_of(signature), chip, port)
    opened = re.search(r"(?:cannot|can't) open (?:device|port)[^:]*: (.+)", text)
    if opened:
        why = opened[1].strip()
        fixes = {
            "Permission denied": "`sudo usermod -aG dialout $USER`, then log in again",
            "No such file or directory": "is the board plugged in? `ls /dev/serial/by-id`",
            "Device or resource busy": "end the program that uses it",
        }
        return FlashError(f"cannot open {port}: {why}; {fixes.get(why, 'is the board plugged in?')}")
    half = "the board has half a firmware now; run the same command again" if output.writing else "nothing was written"
    if output.silent:
        return FlashError(
            f"no bootloader answers at {port}: is it a board with an {chip} and its Arduino bootloader, "
            f"and does opening the port reset it? {half}"
        )
    if re.search(r"verification (error|mismatch)|mismatch", text):
        return FlashError(f"what was read back from {port} is not what was written; {half}")
    if output.status is None:
        return FlashError(f"{port} fell silent for {IDLE_S:.0f} s; {half}")
    if re.search(r"Input/output error|No such device|(read|write) error|unable to (read|write)", text):
        return FlashError(f"the line to {port} broke: was it unplugged? {half}")
    lines = [line.strip() for line in text.splitlines() if line.strip() and "TIOCM" not in line and "Thank" not in line]
    return FlashError(f"avrdude failed at {port}: {' / '.join(lines[-3:]) or f'status {output.status}'}; {half}")
