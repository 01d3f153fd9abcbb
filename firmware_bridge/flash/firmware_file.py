"""What is flashed: an Intel HEX file for an AVR, an application image (.bin) for an ESP32.

A firmware of this protocol carries a label (docs/wire.md 1.11) that says which chip it is for and what it will answer;
the board's name stands in it, so that one image from the office serves every board. The label's seal (length, CRC-32)
shows what the records' own checksums cannot: that some are missing.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import itertools
import re
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from intelhex import IntelHex, IntelHexError

from wayside.contracts.sensor_config import BOARD_NAME_BYTES, is_board_name
from wayside.firmware_bridge.errors import FlashError
from wayside.text import TextError, decode, read_file

MAX_FILE_BYTES = 16 << 20
MAGIC = b"\x89WAYSIDE"
ESP_MAGIC = 0xE9
_END = re.compile(rb"^:00[0-9A-F]{4}01[0-9A-F]{2}[ \t\r]*$", re.IGNORECASE | re.MULTILINE)  # the last record
_LABEL = struct.Struct(f"<8sBIBBB12s{BOARD_NAME_BYTES}s")
SEAL = b"SEAL"
_SEAL = struct.Struct("<4sII")  # after the label: mark, length, CRC-32


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
    sealed: bool = False  # its length and its CRC-32 are known, and right
    holes: tuple[tuple[int, int], ...] = ()  # addresses that no record fills, first and last

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
        raw = read_file(path)
    except OSError as exc:
        raise FlashError(f"cannot read {path}: {exc.strerror}; name the firmware with --hex, or leave it out") from exc
    digest = hashlib.sha256(raw).hexdigest()
    if raw.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # an editor saved it
        with contextlib.suppress(TextError, UnicodeEncodeError):
            raw = decode(raw).text.encode("ascii")
    if raw[:1] == b":":
        base, data, holes = _intel_hex(path, raw)
        return _checked(_labelled(Image(path.name, digest, "avr", base, data, None, holes=holes)))
    if raw[:1] == bytes([ESP_MAGIC]):
        return _labelled(Image(path.name, digest, "esp", 0, raw, None))
    elf = "; that is an ELF file: flash the .hex beside it" if raw[:4] == b"\x7fELF" else ""
    raise FlashError(f"{path} is neither Intel HEX (AVR) nor an ESP32 application image{elf}")


class _Program(NamedTuple):
    base: int
    data: bytes
    holes: tuple[tuple[int, int], ...]


def _intel_hex(path: Path, raw: bytes) -> _Program:
    program = IntelHex()
    try:
        end = _END.search(raw)
        if end is not None and raw[end.end() :].strip(b"\x1a \t\r\n"):  # \x1a: the end of a file of DOS
            line = raw.count(b"\n", 0, end.start()) + 1
            raise FlashError(f"{path} is damaged: its end is in line {line}, and more follows; copy it again")
        program.loadhex(io.StringIO(raw.decode("ascii")))
        if end is None:
            raise FlashError(f"{path} is damaged: its end is missing; copy it again")
        base, last = program.minaddr(), program.maxaddr()
        if base is None or last is None:
            raise FlashError(f"{path} holds no program")
        if last >= MAX_FILE_BYTES:
            raise FlashError(f"{path} wants to write at {last:#x}, beyond any board's flash")
        start = program.start_addr or {}
        entry = start.get("EIP", start.get("CS", 0) * 16 + start.get("IP", 0))
        if start and not (base <= entry <= last):
            raise FlashError(f"{path} is damaged: it starts at {entry:#x}, where it has no program; copy it again")
        pieces = program.segments()
        holes = tuple((before[1], after[0] - 1) for before, after in itertools.pairwise(pieces))
        return _Program(base, bytes(program.tobinstr(start=base, end=last)), holes)
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise FlashError(f"{path} is damaged: line {line} has what is no text; copy it again") from exc
    except (IntelHexError, ValueError) as exc:
        raise FlashError(f"{path} is damaged: {exc}; copy it again") from exc


def _checked(image: Image) -> Image:
    """The image with what its seal says.

    Raises:
        FlashError: it is sealed, and not whole.
    """
    seal = _seal_of(image)
    if seal is None:
        return image
    length, crc = seal
    again = "copy it again"
    if (length, crc) == (0, 0):
        raise FlashError(f"{image.file} was built without its length: `wayside board build` fills it in")
    if image.holes:
        first, last = image.holes[0]
        more = f" and {len(image.holes) - 1} more pieces" if len(image.holes) > 1 else ""
        raise FlashError(f"{image.file} is damaged: bytes {first:#x} to {last:#x}{more} are missing; {again}")
    if length != len(image.data):
        raise FlashError(f"{image.file} is damaged: it has {len(image.data)} bytes of {length}; {again}")
    if crc != _crc(image):
        raise FlashError(f"{image.file} is damaged: its CRC-32 is {_crc(image):08x}, not {crc:08x}; {again}")
    return image._replace(sealed=True)


def _seal_of(image: Image) -> tuple[int, int] | None:
    at = image.label_at + _LABEL.size
    if image.label is None or len(image.data) - at < _SEAL.size:
        return None
    mark, length, crc = _SEAL.unpack_from(image.data, at)
    return (length, crc) if mark == SEAL else None


def _crc(image: Image) -> int:
    """Of all bytes; those of the board's name, which a flash writes, and of the CRC itself count as zeros."""
    name, end = image.label_at + _LABEL.size - BOARD_NAME_BYTES, image.label_at + _LABEL.size + _SEAL.size
    data = bytearray(image.data)
    data[name : name + BOARD_NAME_BYTES] = bytes(BOARD_NAME_BYTES)
    data[end - 4 : end] = bytes(4)
    return zlib.crc32(data)


def seal_hex(path: Path) -> None:
    """Write length and CRC-32 into the label of a firmware that was just built.

    Raises:
        FlashError: it has no label with room for them.
    """
    base, data, holes = _intel_hex(path, path.read_bytes())
    image = _labelled(Image(path.name, "", "avr", base, data, None))
    if _seal_of(image) is None or holes:
        raise FlashError(f"{path.name} has no label that can be sealed: its sources are not this release's")
    at = image.label_at + _LABEL.size
    head, tail = data[:at], data[at + _SEAL.size :]
    image = image._replace(data=head + _SEAL.pack(SEAL, len(data), 0) + tail)
    image = image._replace(data=head + _SEAL.pack(SEAL, len(data), _crc(image)) + tail)
    path.write_bytes(image.hex())


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
