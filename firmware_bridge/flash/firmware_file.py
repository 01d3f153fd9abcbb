"""What is flashed: an Intel HEX file for an AVR, an application image (.bin) for an ESP32.

A firmware of this protocol carries a label (docs/wire.md 1.11) that says which chip it is for and what it will answer;
the board's name stands in it, so that one image from the office serves every board.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from pathlib import Path
from typing import NamedTuple

from intelhex import IntelHex, IntelHexError

from wayside.contracts.sensor_config import BOARD_NAME_BYTES, is_board_name
from wayside.firmware_bridge.errors import FlashError

MAX_FILE_BYTES = 16 << 20
MAGIC = b"\x89WAYSIDE"
ESP_MAGIC = 0xE9
_END = re.compile(rb"^:00000001FF\s*$", re.IGNORECASE | re.MULTILINE)  # the last record of every Intel HEX file
_LABEL = struct.Struct(f"<8sBIBBB12s{BOARD_NAME_BYTES}s")


class Label(NamedTuple):
    protocol: int
    schema: int
    firmware: str
    chip: str
    board: str


class Image(NamedTuple):
    """``data`` begins at ``base`` of the chip's flash; ``sha256`` is the file's, as it came."""

    file: str
    sha256: str
    kind: str  # avr, esp
    base: int
    data: bytes
    label: Label | None
    label_at: int = 0  # in data

    def named(self, board: str) -> Image:
        """The same firmware for the board ``board``.

        Raises:
            FlashError: no label, or the name does not fit.
        """
        if self.label is None:
            raise FlashError(f"{self.file} has no label, so it cannot be given a board's name; build it with the name")
        name = board_name(board)
        at = self.label_at + _LABEL.size - BOARD_NAME_BYTES
        data = self.data[:at] + name.ljust(BOARD_NAME_BYTES, b"\0") + self.data[at + BOARD_NAME_BYTES :]
        return self._replace(data=data, label=self.label._replace(board=board))

    def hex(self) -> bytes:
        """As an Intel HEX file."""
        out, program = io.StringIO(), IntelHex()
        program.frombytes(self.data, self.base)
        program.write_hex_file(out)
        return out.getvalue().encode()


def board_name(board: str) -> bytes:
    """Raises: FlashError: not 1 to 8 printable ASCII characters."""
    if not is_board_name(board):
        raise FlashError(
            f"a board's name is 1 to {BOARD_NAME_BYTES} ASCII characters without a space; {board!r} is not"
        )
    return board.encode()


def load_image(path: Path) -> Image:
    """Read a firmware file.

    Raises:
        FlashError: unreadable, or neither Intel HEX nor an ESP32's application image.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FlashError(f"{path} is larger than any board's flash: is it the right file?")
        raw = path.read_bytes()
    except OSError as exc:
        raise FlashError(f"cannot read {path}: {exc.strerror}; name the firmware with --hex, or leave it out") from exc
    digest = hashlib.sha256(raw).hexdigest()
    if raw[:1] == b":":
        base, data = _intel_hex(path, raw)
        return _labelled(Image(path.name, digest, "avr", base, data, None))
    if raw[:1] == bytes([ESP_MAGIC]):
        return _labelled(Image(path.name, digest, "esp", 0, raw, None))
    elf = "; that is an ELF file: flash the .hex beside it" if raw[:4] == b"\x7fELF" else ""
    raise FlashError(f"{path} is neither Intel HEX (AVR) nor an ESP32 application image{elf}")


def _intel_hex(path: Path, raw: bytes) -> tuple[int, bytes]:
    program = IntelHex()
    try:
        program.loadhex(io.StringIO(raw.decode("ascii")))
        if not _END.search(raw):
            raise FlashError(f"{path} is damaged: its end is missing; copy it again")
        base, end = program.minaddr(), program.maxaddr()
        if base is None or end is None:
            raise FlashError(f"{path} holds no program")
        if end >= MAX_FILE_BYTES:
            raise FlashError(f"{path} wants to write at {end:#x}, beyond any board's flash")
        return base, bytes(program.tobinstr(start=base, end=end))
    except (IntelHexError, UnicodeDecodeError, ValueError) as exc:
        raise FlashError(f"{path} is damaged: {exc}; copy it again") from exc


def _labelled(image: Image) -> Image:
    at = image.data.find(MAGIC)
    if at < 0 or len(image.data) - at < _LABEL.size:
        return image
    if image.data.find(MAGIC, at + 1) >= 0:
        raise FlashError(f"{image.file} has two labels: it is not one firmware")
    _, protocol, schema, major, minor, patch, chip, board = _LABEL.unpack_from(image.data, at)
    texts = [text.rstrip(b"\0").decode("latin-1") for text in (chip, board)]
    if not all(text.isascii() and text.isprintable() for text in texts):
        raise FlashError(f"the label of {image.file} is damaged: {chip.hex()} and {board.hex()} are no names")
    return image._replace(label=Label(protocol, schema, f"{major}.{minor}.{patch}", *texts), label_at=at)
