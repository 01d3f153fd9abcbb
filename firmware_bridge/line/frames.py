"""Frames on the serial line: pure functions of bytes.

    | COBS( payload 1..64 | CRC-32, little-endian ) 6..69 bytes, none of them 0 | 0x00 |

COBS: Cheshire & Baker, IEEE/ACM ToN 7(2), 1999. CRC-32/ISO-HDLC (zlib's) over the payload, lowest byte first, so that
the CRC over payload and CRC is always the same number. Why not 16 bits: a flipped bit in a COBS code moves the bytes
behind it, no CRC is built for that, and one in 65,536 of such frames would pass.

The decoder survives anything: a zero byte always ends a frame, so noise costs the frame that it hits and no other.
Empty frames (idle zeros) are not errors.
"""

from __future__ import annotations

import zlib

import msgspec
from cobs import cobs

MAX_PAYLOAD = 64  # bytes
CRC_BYTES = 4
MAX_FRAME = MAX_PAYLOAD + CRC_BYTES + 1  # CRC, one COBS code byte; without the delimiter
MIN_FRAME = 1 + CRC_BYTES + 1
RESIDUE = 0x2144DF1C  # CRC over a payload and its CRC


def encode(payload: bytes) -> bytes:
    """One frame, delimiter included.

    Raises:
        ValueError: the payload is empty or longer than ``MAX_PAYLOAD``.
    """
    if not 1 <= len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a payload has 1 to {MAX_PAYLOAD} bytes, this one has {len(payload)}")
    stuffed: bytes = cobs.encode(payload + zlib.crc32(payload).to_bytes(CRC_BYTES, "little"))
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
        decode, crc, keep = cobs.decode, zlib.crc32, payloads.append  # the hot loop: no attribute look-ups
        for part in parts:
            if MIN_FRAME <= len(part) <= MAX_FRAME:
                try:
                    body = decode(part)
                except cobs.DecodeError:
                    counts.bad_cobs += 1
                    continue
                if crc(body) == RESIDUE:
                    keep(body[:-CRC_BYTES])
                else:
                    counts.bad_crc += 1
            elif len(part) > MAX_FRAME:
                counts.too_long += 1
            elif part:
                counts.too_short += 1
        counts.frames += len(payloads)
        return payloads
