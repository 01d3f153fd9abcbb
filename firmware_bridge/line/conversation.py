"""A conversation with a board: open the line, say HELLO, give signs of life, read, notice silence.

::

    with open_conversation(port, baud, BoardLink(identity)) as conversation:
        while True:
            for message in await conversation.turn():
                ...

The rhythm of it is :class:`Rhythm`, without I/O. What the messages mean, what is acknowledged, and what follows a lost
or silent line is the caller's. Who passes no ``durable`` acknowledges nothing: the board keeps every event.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from wayside.firmware_bridge.errors import BoardSilent
from wayside.firmware_bridge.line.board import BoardLink, Heard
from wayside.firmware_bridge.line.transport import Line, open_transport

HEARTBEAT_S = 0.2
HELLO_S = 1.0  # between two HELLOs, as long as no board has ever answered this link
SILENT_S = 5.0  # without a good frame

Durable = Callable[[], tuple[int, int]]
"""(boot of the board, last seq of it that is durable at the host); (0, 0) acknowledges nothing."""


def _nothing_durable() -> tuple[int, int]:
    return 0, 0


class Rhythm:
    """When the host speaks, and when the board has been silent for too long. Times are seconds of one clock."""

    def __init__(
        self, port: str, link: BoardLink, durable: Durable = _nothing_durable, silent_s: float = SILENT_S
    ) -> None:
        """``port`` is only for the words of an error."""
        self.heard_s = float("-inf")  # time of the last good frame
        self._port, self._link, self._durable, self._silent_s = port, link, durable, silent_s
        self._spoke_s: float | None = None
        self._silent_since = 0.0
        self._good_frames = link.counts.frames

    def speak(self, now_s: float) -> bytes:
        """What is to be sent now: HELLO, a heartbeat, or nothing."""
        first = self._spoke_s is None
        if not first and now_s < self._due_s():
            return b""
        if first:
            self._silent_since = now_s
        self._spoke_s = now_s
        boot, seq = self._durable()
        request = self._link.hello if first or self._link.identity is None else self._link.heartbeat
        return request(seq if boot else 0, boot or None)

    def wait_s(self, now_s: float) -> float:
        """How long to wait for bytes before the next :meth:`speak`; at most a heartbeat."""
        return min(max(0.0, self._due_s() - now_s), HEARTBEAT_S)

    def _due_s(self) -> float:
        # To a port where no board has answered yet nothing is sent but HELLO: another device may be there.
        return (self._spoke_s or 0.0) + (HELLO_S if self._link.identity is None else HEARTBEAT_S)

    def receive(self, data: bytes, now_s: float) -> list[Heard]:
        """The messages that ``data`` completes; ``data`` may be empty.

        Raises:
            BoardSilent: no good frame for ``silent_s``; may be ignored, the time then starts anew.
            WrongBoard: see :meth:`BoardLink.receive`.
        """
        messages = self._link.receive(data) if data else []
        if self._link.counts.frames != self._good_frames:
            self._good_frames = self._link.counts.frames
            self.heard_s = self._silent_since = now_s
        elif now_s - self._silent_since > self._silent_s:
            self._silent_since = now_s
            raise BoardSilent(
                f"no board was heard on {self._port} for {self._silent_s:g} s: look at its power, cable and baud rate"
            )
        return messages


class Conversation:
    """One opened line and the link that speaks over it. Closes the line at the end of its ``with`` block."""

    def __init__(self, line: Line, link: BoardLink, rhythm: Rhythm, before_heartbeat: Callable[[], None]) -> None:
        """``before_heartbeat`` may raise, which ends the conversation: the port is wanted by somebody else."""
        self.link = link
        self._line, self._rhythm, self._before_heartbeat = line, rhythm, before_heartbeat

    @property
    def heard_s(self) -> float:
        """Time of the last good frame on :func:`time.monotonic`, minus infinity before the first."""
        return self._rhythm.heard_s

    def send(self, request: bytes) -> None:
        """Raises: LineLost."""
        self._line.write(request)

    async def turn(self) -> list[Heard]:
        """Speak if it is time to, then listen: what arrived, or nothing after a heartbeat's time.

        Raises:
            BoardSilent, WrongBoard: see :meth:`Rhythm.receive`. LineLost: the line went away.
        """
        now_s = time.monotonic()
        if request := self._rhythm.speak(now_s):
            self._before_heartbeat()
            self._line.write(request)
        data = b""
        with contextlib.suppress(TimeoutError):
            # Not wait_for: up to Python 3.11 it loses a cancellation that comes together with data.
            async with asyncio.timeout(self._rhythm.wait_s(now_s)):
                data = await self._line.read()
        return self._rhythm.receive(data, time.monotonic())

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._line.close()


def open_conversation(
    port: str,
    baud: int,
    link: BoardLink,
    *,
    durable: Durable = _nothing_durable,
    silent_s: float = SILENT_S,
    before_heartbeat: Callable[[], None] = lambda: None,
    record: Path | None = None,
) -> Conversation:
    """Open ``port`` for a conversation; HELLO is said at its first turn. Call it where an event loop runs.

    Raises:
        LineUnavailable: no such port, or it is taken.
    """
    line = open_transport(port, baud, record)
    return Conversation(line, link, Rhythm(port, link, durable, silent_s), before_heartbeat)
