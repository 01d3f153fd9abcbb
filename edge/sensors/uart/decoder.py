"""What every protocol is to the line: bytes go in, frames come out. Sans-I/O.

A decoder accepts a frame when everything in it that can be checked is right: length, fixed bytes, checksum. Whether its
*values* may be believed is judged twice more: by a rule of the protocol (``doubt``), and by the frames around it
(:mod:`.confirm`), because an 8-bit sum lets one damaged frame of 256 pass.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, Protocol


class Frame(NamedTuple):
    """One accepted frame."""

    values: dict[str, float]  # by measure (contracts.uart_config)
    doubt: str | None = None  # the rule that the values break
    identity: bytes = b""  # what is the same in every frame of one sensor
    unix_ms: int | None = None  # the time that it tells


class Decoder(Protocol):
    """One sensor's bytes, in whatever pieces they come."""

    refused: int
    """Frames that were begun and are none."""
    note: str
    """What keeps it from giving frames though its sensor speaks; empty: nothing."""

    def feed(self, data: bytes) -> list[Frame]: ...

    def reset(self) -> None:
        """The line was opened anew: what was begun is not continued."""
        ...


class Asked(Decoder, Protocol):
    """One that speaks when it is asked."""

    def request(self) -> bytes:
        """What to send now."""
        ...


class Scanner:
    """Frames that begin with fixed bytes and say, or have, a length.

    Garbage costs nothing but itself: a frame that is none is looked through again from its second byte, and a false
    beginning holds up no good frame that stands within it.
    """

    head: bytes
    longest: int

    def __init__(self) -> None:
        self.refused = 0
        self.note = ""
        self._buffer = bytearray()

    def reset(self) -> None:
        self._buffer.clear()

    def size(self, at: bytes) -> int | None:
        """Bytes of the frame that begins with ``at``; 0: none begins so; None: not enough of it is here."""
        raise NotImplementedError

    def parse(self, frame: bytes) -> Frame | None:
        """None: it is damaged."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        at, keep = 0, -1  # keep: where the first unfinished frame begins
        while (at := buffer.find(self.head, at)) >= 0:
            size = self.size(bytes(buffer[at : at + self.longest]))
            if size is None or at + size > len(buffer):
                keep = at if keep < 0 else keep
                at += 1
                continue
            frame = self.parse(bytes(buffer[at : at + size])) if size else None
            if frame is None:
                self.refused += 1
                at += 1
                continue
            self.refused += keep >= 0
            frames.append(frame)
            at, keep = at + size, -1
            del buffer[:at]
            at = 0
        if keep < 0:
            keep = len(buffer) - (len(self.head) - 1)
        if keep > 0:
            del buffer[:keep]
        return frames


def in_order(values: dict[str, float], *names: str) -> bool:
    """Whether none of the named values is greater than the next one."""
    return all(values[a] <= values[b] for a, b in pairwise(names))
