"""Frames on the serial line: pure functions of bytes.

    | COBS( payload 1..64 | CRC-16 high | CRC-16 low ) 4..67 bytes, none of them 0 | 0x00 |

COBS: Cheshire & Baker, IEEE/ACM ToN 7(2), 1999. CRC-16/CCITT-FALSE: polynomial 0x1021, initial 0xFFFF, no reflection,
over the payload; sent high byte first, so that the CRC over payload and CRC is 0.

The decoder survives anything: a zero byte always ends a frame, so noise costs the frame that it hits and no other.
Empty frames (idle zeros) are not errors.
"""

from __future__ import annotations

import binascii

import msgspec
from cobs import cobs

MAX_PAYLOAD = 64  # bytes
MAX_FRAME = MAX_PAYLOAD + 2 + 1  # CRC, one COBS code byte; without the delimiter
MIN_FRAME = 1 + 2 + 1


def encode(payload: bytes) -> bytes:
    """One frame, delimiter included.

    Raises:
        ValueError: the payload is empty or longer than ``MAX_PAYLOAD``.
    """
    if not 1 <= len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a payload has 1 to {MAX_PAYLOAD} bytes, this one has {len(payload)}")
    stuffed: bytes = cobs.encode(payload + binascii.crc_hqx(payload, 0xFFFF).to_bytes(2, "big"))
    return stuffed + b"\0"


class Counts(msgspec.Struct):
    """What came in, and what was dropped for which reason (frames)."""

    bytes: int = 0
    frames: int = 0  # good ones
    too_short: int = 0
    too_long: int = 0
    bad_cobs: int = 0
    bad_crc: int = 0

    @property
    def dropped(self) -> int:
        return self.too_short + self.too_long + self.bad_cobs + self.bad_crc


class Decoder:
    """Bytes in, payloads out. Holds at most ``MAX_FRAME + 1`` bytes; the result does not depend on the chopping."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the good frames that ``data`` completes, in order."""
        counts = self.counts
        counts.bytes += len(data)
        parts = (self._tail + data).split(b"\0")
        self._tail = parts.pop()[: MAX_FRAME + 1]  # one more than allowed is enough to know that it is too long
        payloads: list[bytes] = []
        decode, crc, keep = cobs.decode, binascii.crc_hqx, payloads.append  # the hot loop: no attribute look-ups
        for part in parts:
            if MIN_FRAME <= len(part) <= MAX_FRAME:
                try:
                    body = decode(part)
                except cobs.DecodeError:
                    counts.bad_cobs += 1
                    continue
                if crc(body, 0xFFFF):
                    counts.bad_crc += 1
                else:
                    keep(body[:-2])
            elif len(part) > MAX_FRAME:
                counts.too_long += 1
            elif part:
                counts.too_short += 1
        counts.frames += len(payloads)
        return payloads
