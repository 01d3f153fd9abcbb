"""The serial line for asyncio, over pyserial's addresses: a device path, ``socket://host:port``, ``loop://``, …

Reads take what is waiting. Where the address has a file descriptor the event loop watches it; where it has none
(``loop://``, ``rfc2217://``) a thread does. ``replay://FILE`` plays a recording (``firmware_bridge.line.recording``).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
import threading
from pathlib import Path
from typing import Any, Protocol

import serial

from wayside.firmware_bridge.errors import LineLost, LineUnavailable
from wayside.firmware_bridge.line.recording import Recorder, ReplayLine

READ_BYTES = 65_536
PAUSE_BYTES = 1 << 20  # unread bytes at which the line waits for its reader; the board holds the rest


class Line(Protocol):
    """A serial line: a device, an address or a recording."""

    url: str

    async def read(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


def open_transport(url: str, baud: int, record: Path | None = None) -> Line:
    """Open ``url``; with ``record``, write all that is received and sent there. Call it where an event loop runs.

    Raises:
        LineUnavailable: no such port, it is taken, or the address is not one that pyserial knows.
    """
    if url.startswith("replay://"):
        return ReplayLine(url)
    line = _open_port(url, baud)
    return line if record is None else _RecordedLine(line, Recorder(record, url, baud))


def _open_port(url: str, baud: int) -> SerialLine:
    # Two agents on one line would each get half of the bytes. Only real ports can be locked, addresses cannot.
    exclusive = {} if "://" in url else {"exclusive": True}
    try:
        port = serial.serial_for_url(url, baudrate=baud, timeout=0, **exclusive)
    except (OSError, ValueError, LookupError) as exc:
        number = _error_number(exc)
        reason = os.strerror(number) if number else str(exc)
        remedy = _REMEDIES.get(number, "is the board plugged in, and is it free?")
        raise LineUnavailable(f"cannot open {url}: {reason}; {remedy}") from exc
    if exclusive:
        _leave_dtr_up(port.fileno())
    return SerialLine(port, url)


_REMEDIES = {
    errno.EACCES: "`sudo usermod -aG dialout $USER`, then log in again",
    errno.ENOTTY: "it is no serial port: `ls /dev/serial/by-id` shows those that are plugged in",
    errno.EISDIR: "it is a folder: name the port in it, or a pattern with board.identity",
    errno.ECONNREFUSED: "nothing listens there: start what serves the line, or correct the address",
}


def _error_number(exc: BaseException | None) -> int:
    """The system's error number, 0 if there is none. pyserial puts its own words around it, and often drops it."""
    while exc is not None:
        number = exc.errno if isinstance(exc, OSError) else exc.args[0] if isinstance(exc, termios.error) else None
        if isinstance(number, int) and number:
            return number
        exc = exc.__context__
    return 0


def _leave_dtr_up(fd: int) -> None:
    """Keep DTR high after closing: its rise resets an Arduino and its signals, also when an agent merely restarts."""
    with contextlib.suppress(termios.error):
        attributes = termios.tcgetattr(fd)
        attributes[2] &= ~termios.HUPCL
        termios.tcsetattr(fd, termios.TCSANOW, attributes)


class _RecordedLine:
    def __init__(self, line: Line, recorder: Recorder) -> None:
        self.url = line.url
        self._line, self._recorder = line, recorder

    async def read(self) -> bytes:
        data = await self._line.read()
        self._recorder.keep_received(data)
        return data

    def write(self, data: bytes) -> None:
        self._line.write(data)
        self._recorder.keep_sent(data)

    def close(self) -> None:
        self._line.close()
        self._recorder.close()


class SerialLine:
    """Bytes from and to an open port. Belongs to the event loop in which it was made."""

    def __init__(self, port: Any, url: str) -> None:
        self.url = url
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._read = bytearray()
        self._unsent = bytearray()
        self._arrived = asyncio.Event()
        self._lost: str | None = None
        self._paused = False
        try:
            self._fd: int | None = port.fileno()
        except (AttributeError, OSError):
            self._fd = None
        if self._fd is None:
            self._thread = threading.Thread(target=self._read_in_thread, name=f"read {url}", daemon=True)
            self._thread.start()
        else:
            self._loop.add_reader(self._fd, self._readable, self._fd)

    async def read(self) -> bytes:
        """At least one byte, as soon as there is one.

        Raises:
            LineLost: the line went away, and everything that came before was read.
        """
        while not self._read:
            if self._lost is not None:
                raise LineLost(self._lost)
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._read)
        self._read.clear()
        if self._paused and self._fd is not None and self._lost is None:
            self._paused = False
            self._loop.add_reader(self._fd, self._readable, self._fd)
        return data

    def write(self, data: bytes) -> None:
        """Send ``data``, later where the line is busy now.

        Raises:
            LineLost: the line went away.
        """
        if self._lost is not None:
            raise LineLost(self._lost)
        if self._fd is None:
            try:
                self._port.write(data)
            except OSError as exc:
                self._lose(str(exc))
                raise LineLost(self._lost) from exc
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._writable(self._fd)

    def close(self) -> None:
        """Give the port back. A pending or later read raises :class:`LineLost`. May be called again."""
        self._lose("closed")
        with contextlib.suppress(OSError):
            self._port.close()

    def _readable(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:  # EIO: the other end of a pty hung up; ENXIO, ENODEV: unplugged
            self._lose(str(exc))
            return
        if not data:
            self._lose("hung up")
            return
        self._read += data
        self._arrived.set()
        if len(self._read) >= PAUSE_BYTES:
            self._paused = True
            self._loop.remove_reader(fd)

    def _writable(self, fd: int) -> None:
        try:
            sent = os.write(fd, self._unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as exc:
            self._lose(str(exc))
            return
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(fd, self._writable, fd)
        else:
            self._loop.remove_writer(fd)

    def _lose(self, why: str) -> None:
        if self._lost is not None:
            return
        self._lost = f"{self.url}: {why}"
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._arrived.set()

    def _read_in_thread(self) -> None:
        self._port.timeout = 0.1  # also how long close() may leave this thread behind
        while self._lost is None:
            try:
                data = self._port.read(self._port.in_waiting or 1)
            except (OSError, TypeError, AttributeError) as exc:  # pyserial's ports lose attributes when they close
                data, why = b"", str(exc)
            else:
                why = ""
            with contextlib.suppress(RuntimeError):  # the loop ended first
                if data:
                    self._loop.call_soon_threadsafe(self._take, data)
                elif why:
                    self._loop.call_soon_threadsafe(self._lose, why)
                    return

    def _take(self, data: bytes) -> None:
        self._read += data
        self._arrived.set()
