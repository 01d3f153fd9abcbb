"""Sensirion SPS30: a laser counter of particles. 115200 8N1, 5 V supply, 3.3 V levels, speaks when asked.

Source: *Datasheet SPS30*, Sensirion, version 1.0, March 2020, chapter 5 (SHDLC). Between two ``7E``, with ``7D``
before what is escaped::

    address 00 | command | state | length | data | not (sum of all before), 8 bits

Data of command 03 are ten big-endian floats: PM1, 2.5, 4, 10 in µg/m³, counts over 0.3 up to 0.5, 1, 2.5, 4, 10 µm in
1/cm³, typical size in µm. After its power was cut it is idle, refuses to be read and has to be started again.
"""

from __future__ import annotations

import math
import struct

from wayside.edge.sensors.uart.decoder import Frame, in_order

START = bytes.fromhex("7e0000020103f97e")  # floats, big-endian
READ = bytes.fromhex("7e000300fc7e")
ESCAPED = {0x5E: 0x7E, 0x5D: 0x7D, 0x31: 0x11, 0x33: 0x13}
WRONG_STATE = 0x43  # "command not allowed in current state"
LONGEST = 2 * 48
MASSES, COUNTS = ("pm1", "pm2_5", "pm4", "pm10"), ("n0_5", "n1", "n2_5", "n4", "n10")
NAMES = (*MASSES, *COUNTS, "typical_size")


class Sensirion:
    def __init__(self) -> None:
        self.refused = 0
        self.note = ""
        self._buffer = bytearray()
        self._idle = True

    def reset(self) -> None:
        self._buffer.clear()
        self._idle = True

    def request(self) -> bytes:
        return START if self._idle else READ

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data
        *pieces, rest = bytes(self._buffer).split(b"\x7e")
        self._buffer[:] = rest[-LONGEST:]
        return [frame for piece in pieces if piece and (frame := self._take(piece)) is not None]

    def _take(self, piece: bytes) -> Frame | None:
        frame = _unescaped(piece)
        if (
            frame is None
            or len(frame) < 5
            or frame[0]
            or frame[3] != len(frame) - 5
            or ~sum(frame[:-1]) & 0xFF != frame[-1]
        ):
            self.refused += 1
            return None
        command, state = frame[1], frame[2] & 0x7F  # the highest bit: the device has an error to tell
        if command == 0x00 and not frame[3]:
            self._idle = False  # it was started, or was running
        elif command == 0x03 and state == WRONG_STATE:
            self._idle = True
        elif command == 0x03 and not state and frame[3] == 40:
            return self._read(frame)
        elif not (command == 0x03 and not state and not frame[3]):  # empty: nothing new since it was asked last
            self.refused += 1
        return None

    def _read(self, frame: bytes) -> Frame | None:
        numbers = struct.unpack_from(">10f", frame, 4)
        if not all(math.isfinite(n) and 0 <= n < 1e5 for n in numbers):
            self.refused += 1
            return None
        values = dict(zip(NAMES, numbers, strict=True))
        ordered = in_order(values, *MASSES) and in_order(values, *COUNTS)
        return Frame(values, None if ordered else "PM1 <= PM2.5 <= PM4 <= PM10 does not hold")


def _unescaped(piece: bytes) -> bytes | None:
    frame, escape = bytearray(), False
    for byte in piece:
        if escape:
            if byte not in ESCAPED:
                return None
            frame.append(ESCAPED[byte])
            escape = False
        elif byte == 0x7D:
            escape = True
        else:
            frame.append(byte)
    return None if escape else bytes(frame)
