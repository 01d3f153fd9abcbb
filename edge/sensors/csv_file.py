"""A CSV file that somebody else writes: what is new in it, whichever way it was written.

Where reading goes on is told by an offset and a digest of the bytes before it. While those are the same the file was
appended to, be it in place or by a new file in its stead. Otherwise it is read again from its beginning, and what was
taken before has to be recognized. A line counts once its end is there: ``12`` may become ``123``.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

ANCHOR_BYTES = 4096
CHUNK_BYTES = 32_768  # of one look: some hundred lines
LINE_BYTES = 16_384  # a longer one is no row
HEADER_BYTES = 8192


class Mark(NamedTuple):
    """Where reading goes on. ``before_ms``: what is older was not looked for, or cannot be recognized any more."""

    offset: int = 0
    anchor: str = ""
    before_ms: int = 0
    last_ms: int = 0


class Look(NamedTuple):
    """What one look found.

    Attributes:
        header: the first line; None: there is none yet.
        lines: each with the offset behind it.
        again: these lines may have been taken before.
        news: somebody has written the file since the last look.
        more: there are further lines.
        too_long: the one "line" is a part of one that is no row.
        data: what was read, up to offset ``end``.
    """

    header: bytes | None
    lines: list[tuple[bytes, int]]
    again: bool
    news: bool
    more: bool
    too_long: bool
    data: bytes = b""
    end: int = 0

    def anchor(self, offset: int) -> str:
        """Of the bytes before ``offset``, which is behind a line."""
        return _digest(self.data[: len(self.data) - (self.end - offset)])


class WatchedFile:
    """Opened once, and until another file stands in its place: of one that is renamed the rest is still read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._seen: tuple[int, int, int] | None = None  # inode, size, time of change

    def look(self, offset: int, anchor: str) -> Look:
        """Raises: OSError: it is not there, or may not be read."""
        stat = os.stat(self.path)  # noqa: PTH116 -- as below
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        news, self._seen = seen != self._seen and self._seen is not None, seen
        if self._file is not None and os.fstat(self._file.fileno()).st_ino != stat.st_ino:
            rest = self._read(self._file, offset, anchor)
            if rest.lines and not rest.again:
                return rest._replace(news=news, more=True)
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
        return self._read(self._file, offset, anchor)._replace(news=news)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @staticmethod
    def _read(file: BinaryIO, offset: int, anchor: str) -> Look:
        handle = file.fileno()
        size = os.fstat(handle).st_size
        start = os.pread(handle, HEADER_BYTES, 0)
        header_end = start.find(b"\n") + 1
        before = os.pread(handle, min(ANCHOR_BYTES, offset), max(0, offset - ANCHOR_BYTES))
        again = offset > size or _digest(before) != anchor
        if not header_end:
            return Look(None, [], again, False, False, len(start) == HEADER_BYTES)
        if again or offset < header_end:
            offset, before = header_end, start[:header_end]
        chunk = os.pread(handle, CHUNK_BYTES, offset)
        lines, at = [], offset
        for line in chunk[: chunk.rfind(b"\n") + 1].split(b"\n")[:-1]:
            at += len(line) + 1
            lines.append((line, at))
        end = offset + len(chunk)
        too_long = not lines and len(chunk) > LINE_BYTES
        if too_long:
            lines.append((chunk, end))
        more = len(chunk) == CHUNK_BYTES
        return Look(start[: header_end - 1], lines, again, False, more, too_long, before + chunk, end)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data[-ANCHOR_BYTES:], digest_size=12).hexdigest() if data else ""
