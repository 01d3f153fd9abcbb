"""The record of a flash: one JSON file each, begun before the board is touched, finished when its outcome is known.

A record that was never finished is that of an interrupted flash; the next on the same port says that it recovers it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from wayside.durable import replace_file
from wayside.firmware_bridge.errors import FlashError
from wayside.firmware_bridge.line.messages import Identity
from wayside.paths import placed
from wayside.text import read_file

VERSION = 1
MAX_RECORD_BYTES = 65_536


class Seen(msgspec.Struct, frozen=True):
    """Who answered on the line."""

    board: str
    firmware: str
    schema: str  # hexadecimal
    boot: int
    table: str  # CRC-32 of the plan table that it keeps, "00000000": none

    @classmethod
    def of(cls, identity: Identity) -> Seen:
        schema, table = f"{identity.schema:08x}", f"{identity.table:08x}"
        return cls(identity.board, identity.firmware, schema, identity.boot, table)


class Record(msgspec.Struct, kw_only=True):
    version: int = VERSION
    outcome: Literal["started", "done", "refused", "failed"] = "started"  # refused: nothing was written
    error: str | None = None
    port: str
    device: str  # the device that the port's name pointed to
    by: str
    tool: str
    chip: str
    file: str
    sha256: str  # of the file as it was given
    firmware: str | None = None  # version in the file's label
    schema: str | None = None
    board: str | None = None  # the name that the board was given
    bytes: int
    before: Seen | None = None  # None: nobody answered
    after: Seen | None = None
    recovers: str | None = None  # the record of the interrupted or failed flash before this one
    started_at: str = ""
    finished_at: str | None = None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def default_folder() -> Path:
    """The XDG base directory specification's place for state."""
    given = os.environ.get("XDG_STATE_HOME", "")
    state = given if given.startswith("/") else "~/.local/state"  # a relative one is invalid, the specification says
    return placed(Path(), state) / "wayside" / "flashes"


def new_path(folder: Path, record: Record) -> Path:
    """Names sort by time; of two in one millisecond each has its own."""
    port = re.sub(r"[^A-Za-z0-9]+", "-", record.port).strip("-")[-60:]
    return folder / f"{re.sub(r'[^0-9]', '', record.started_at[:23])}-{port}-{secrets.token_hex(2)}.json"


def save(path: Path, record: Record) -> None:
    """Raises: FlashError: the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    except OSError as exc:
        raise FlashError(f"cannot write the record {path}: {exc.strerror}; choose a folder with --record") from exc


def unfinished(folder: Path, port: str) -> tuple[str, Record] | None:
    """The flash of ``port`` that began to write, was not done, and that no other recovers yet; with its file's name.

    Which came first is not asked of the clock: a node without one goes back in time with a power cut.
    """
    left: dict[str, Record] = {}
    mended: set[str | None] = set()
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # not ours, or damaged: no record
            if path.stat().st_size > MAX_RECORD_BYTES:
                continue
            record = msgspec.json.decode(read_file(path), type=Record)
            if record.port != port or record.outcome == "refused":
                continue
            mended.add(record.recovers)
            if record.outcome != "done":
                left[path.name] = record
    return next(((name, record) for name, record in reversed(left.items()) if name not in mended), None)
