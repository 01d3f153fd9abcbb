"""Recordings of what crossed the serial line, to inspect and to replay: one JSON object a line.

First ``{"format": 1, "port": …, "baud": …}``, then ``{"s": seconds, "from": "board" | "host", "hex": bytes}``. A
recording that was cut off can be replayed up to there. ``replay://FILE`` is a port like any other: it delivers what the
board sent, at the recorded pace or ``?speed=`` times faster. What the host sends meanwhile is ignored.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from wayside.firmware_bridge.errors import LineLost, LineUnavailable
from wayside.text import read_file

FORMAT = 1
LARGEST = 512 << 20  # some days of a line; it is read whole


class Head(msgspec.Struct):
    format: int
    port: str
    baud: int


class Transmission(msgspec.Struct, rename={"speaker": "from"}):
    s: float
    speaker: str
    hex: str


class Recorder:
    """Writes a recording."""

    def __init__(self, path: Path, port: str, baud: int) -> None:
        """Raises:
        LineUnavailable: the file cannot be written.
        """
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as exc:
            raise LineUnavailable(
                f"cannot record to {path}: {exc.strerror}; an old recording is never replaced"
            ) from exc
        self._begun = time.monotonic()
        self._put(Head(FORMAT, port, baud))

    def keep_received(self, data: bytes) -> None:
        self._put(Transmission(round(time.monotonic() - self._begun, 6), "board", data.hex()))

    def keep_sent(self, data: bytes) -> None:
        self._put(Transmission(round(time.monotonic() - self._begun, 6), "host", data.hex()))

    def close(self) -> None:
        self._file.close()

    def _put(self, row: Head | Transmission) -> None:
        self._file.write(msgspec.json.encode(row) + b"\n")


def load(path: Path) -> list[Transmission]:
    """The transmissions in order; a last line that was cut off is ignored.

    Raises:
        LineUnavailable: no such file, or it is no recording; the message names the line.
    """
    try:
        lines = read_file(path, LARGEST).split(b"\n")[:-1]
    except OSError as exc:
        raise LineUnavailable(
            f"cannot replay {path}: {exc.strerror}; `wayside board watch PORT --record FILE` makes a recording"
        ) from exc
    rows: list[Transmission] = []
    for number, line in enumerate(lines, 1):
        try:
            if number == 1:
                if msgspec.json.decode(line, type=Head).format != FORMAT:
                    raise ValueError("another format")  # noqa: TRY301
            else:
                rows.append(msgspec.json.decode(line, type=Transmission))
                bytes.fromhex(rows[-1].hex)
        except (msgspec.MsgspecError, ValueError) as exc:
            raise LineUnavailable(f"{path}, line {number}, is no recording: {exc}") from exc
    if not lines:
        raise LineUnavailable(f"{path} is no recording: it is empty")
    return rows


class ReplayLine:
    """A recording as a line: reads return at the recorded times, writes are dropped, at the end the line is lost."""

    def __init__(self, url: str) -> None:
        """Raises:
        LineUnavailable: the recording cannot be read, or the speed is no positive number.
        """
        # By hand: to urlsplit a ? or # of a file's name would end the path.
        path, mark, speed = url.removeprefix("replay://").rpartition("?speed=")
        self.url = url
        try:
            self._speed = float(speed) if mark else 1.0
        except ValueError:
            self._speed = 0.0
        if not 0 < self._speed < float("inf"):
            raise LineUnavailable(f"{url}: the speed is a positive number")
        self._rows = [row for row in load(Path(path if mark else speed)) if row.speaker == "board"]
        self._begun = time.monotonic()
        self._closed = asyncio.Event()

    async def read(self) -> bytes:
        """Raises:
        LineLost: the recording ended, or the line was closed.
        """
        if not self._closed.is_set() and self._rows:
            wait_s = self._begun + self._rows[0].s / self._speed - time.monotonic()
            if wait_s > 0:
                try:
                    await asyncio.wait_for(self._closed.wait(), wait_s)
                except TimeoutError:
                    return bytes.fromhex(self._rows.pop(0).hex)
            else:
                return bytes.fromhex(self._rows.pop(0).hex)
        raise LineLost(f"{self.url}: {'closed' if self._closed.is_set() else 'the recording ends'}")

    def write(self, data: bytes) -> None:
        """Dropped. Raises: LineLost: after :meth:`close`."""
        if self._closed.is_set():
            raise LineLost(f"{self.url}: closed")

    def close(self) -> None:
        self._closed.set()
