"""The node's own log of high-resolution events: bounded, whole after a power cut, and never sent by itself.

A folder of segments. A segment is a row of blocks; a block is a header, its checksum, and compressed events. A torn or
damaged block is passed over. What is not written yet at a power cut (:data:`BLOCK_S`) is missing, never wrong.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from wayside.edge.clock import machine_boot
from wayside.edge.errors import EdgeError
from wayside.text import read_file

FOLDER = "events"  # of the state directory
LARGEST_SEGMENT = 256 << 20  # compressed; the events of a larger one would not go into a memory
SEGMENTS = 16  # the oldest goes when there are more
BLOCK_S = 10.0
BLOCK_EVENTS = 4096
MAGIC = b"wEv1"
UNKNOWN_MS = -(2**63)
_HEADER = struct.Struct("<8sqqHI")  # boot, first event's monotonic ms, offset to wall time, events, payload bytes
_CRC = struct.Struct("<I")
_EVENT = struct.Struct("<IHH")  # ms after the first, code, parameter
Logged = tuple[int, int, int]  # monotonic ms, code, parameter
log = structlog.get_logger(__name__)


class EventLogError(EdgeError):
    """The event log cannot be read."""


class Block(NamedTuple):
    boot: bytes
    offset_ms: int | None  # wall time - monotonic; None: the clock was not known
    events: list[Logged]


class EventLog:
    """Writes; one program at a time."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._segment_bytes = folder, max(65_536, max_bytes // SEGMENTS)
        self._boot = hashlib.sha256(machine_boot().encode()).digest()[:8]
        self._waiting: list[Logged] = []
        self._offset_ms: int | None = None
        self._written_ms = 0
        self._failed = False

    def append(self, events: Sequence[Logged], offset_ms: int | None) -> None:
        """Write what waits once it is enough. A disk that fails loses events of this log and nothing else."""
        self._waiting += events
        self._offset_ms = offset_ms
        if not self._waiting:
            return
        first, last = self._waiting[0][0], self._waiting[-1][0]
        if len(self._waiting) >= BLOCK_EVENTS or last - first >= BLOCK_S * 1000:
            self.flush()

    def flush(self) -> None:
        events, self._waiting = self._waiting, []
        try:
            for i in range(0, len(events), BLOCK_EVENTS):
                self._write(block_bytes(Block(self._boot, self._offset_ms, events[i : i + BLOCK_EVENTS])))
            self._failed = False
        except OSError as exc:
            if not self._failed:
                log.error("event log not written", error=str(exc))
            self._failed = True

    def _write(self, block: bytes) -> None:
        self._folder.mkdir(exist_ok=True)
        segments = segments_of(self._folder)
        path = segments[-1] if segments else self._folder / "00000001.log"
        if path.exists() and path.stat().st_size + len(block) > self._segment_bytes:
            with path.open("rb") as full:
                os.fsync(full.fileno())
            path = self._folder / f"{int(path.stem) + 1:08}.log"
        with path.open("ab") as file:
            file.write(block)
        for oldest in segments_of(self._folder)[:-SEGMENTS]:
            oldest.unlink()


def segments_of(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(p for p in folder.glob("*.log") if p.stem.isdigit())


def block_bytes(block: Block) -> bytes:
    first = block.events[0][0]
    packed = b"".join(
        _EVENT.pack(min(max(0, ms - first), 2**32 - 1), c & 0xFFFF, p & 0xFFFF) for ms, c, p in block.events
    )
    payload = zlib.compress(packed, 6)
    offset = UNKNOWN_MS if block.offset_ms is None else block.offset_ms
    header = _HEADER.pack(block.boot, first, offset, len(block.events), len(payload))
    return MAGIC + header + _CRC.pack(zlib.crc32(header + payload)) + payload


def blocks_of(data: bytes) -> Iterator[Block]:
    """The whole blocks of a segment; what is damaged is passed over."""
    at = 0
    while (at := data.find(MAGIC, at)) >= 0:
        body = at + len(MAGIC) + _HEADER.size + _CRC.size
        header = data[at + len(MAGIC) : at + len(MAGIC) + _HEADER.size]
        if len(header) == _HEADER.size:
            boot, first, offset, n, size = _HEADER.unpack(header)
            payload = data[body : body + size]
            crc = data[at + len(MAGIC) + _HEADER.size : body]
            if len(payload) == size and crc == _CRC.pack(zlib.crc32(header + payload)):
                events = [(first + ms, code, parameter) for ms, code, parameter in _unpacked(payload, n)]
                yield Block(boot, None if offset == UNKNOWN_MS else offset, events)
                at = body + size
                continue
        at += 1


def _unpacked(payload: bytes, n: int) -> Iterator[tuple[int, int, int]]:
    decoder = zlib.decompressobj()
    data = decoder.decompress(payload, n * _EVENT.size)
    yield from _EVENT.iter_unpack(data[: len(data) // _EVENT.size * _EVENT.size])


class Read(NamedTuple):
    events: list[Logged]  # Unix ms, code, parameter; in order of time
    untimed: int  # events of a run whose clock was never known


def read_log(folder: Path) -> Read:
    """All events of a log that another program may be writing.

    Raises:
        EventLogError: there is none, or it cannot be read.
    """
    blocks: list[Block] = []
    try:
        for path in segments_of(folder):
            blocks += blocks_of(read_file(path, LARGEST_SEGMENT))
    except OSError as exc:
        raise EventLogError(f"{folder}: {exc}") from exc
    if not blocks:
        raise EventLogError(
            f"{folder} has no events: the node logs them where its signal has loops, or with storage.event_log_bytes"
        )
    known: dict[bytes, int] = {}
    events: list[Logged] = []
    untimed = 0
    for block in reversed(blocks):  # a clock that came later tells the time of what was before it in the same run
        if block.offset_ms is not None:
            known[block.boot] = block.offset_ms
        offset = known.get(block.boot)
        if offset is None:
            untimed += len(block.events)
        else:
            events += [(ms + offset, code, parameter) for ms, code, parameter in block.events]
    return Read(sorted(events), untimed)
