"""Plantower PMS1003, 3003, 5003, 7003, A003: laser counters of particles. 9600 8N1, 3.3 V, a frame about every second.

Source: *PMS5003 series data manual*, Plantower, V2.3 2016, appendix I; the PMS3003's shorter frame after its manual
(2014). Layout, big-endian words::

    42 4D | length | PM1 PM2.5 PM10, CF=1 | PM1 PM2.5 PM10, atmospheric | six counts in 0.1 l | version, error | sum

The sum is of all bytes before it, 16 bits: blind to order, and to a bit that falls in one byte and rises in another.
So three rules more: PM1 ≤ PM2.5 ≤ PM10; counts fall from > 0.3 µm to > 10 µm; the atmospheric value is between two
thirds of the CF=1 value and the whole of it (as all firmware known to us computes it).
"""

from __future__ import annotations

import struct

from wayside.edge.sensors.uart.decoder import Frame, Scanner, in_order

BODIES = {20: 9, 28: 13, 36: 17}  # bytes after the length → words before the sum; PMS3003, PMSx003, PMS5003ST
MASSES = ("pm1_cf1", "pm2_5_cf1", "pm10_cf1", "pm1", "pm2_5", "pm10")
COUNTS = ("n0_3", "n0_5", "n1", "n2_5", "n5", "n10")
ROUNDING = 1.0  # ug/m3


class Plantower(Scanner):
    head, longest = b"\x42\x4d", 40

    def size(self, at: bytes) -> int | None:
        if len(at) < 4:
            return None
        length = int.from_bytes(at[2:4], "big")
        return 4 + length if length in BODIES else 0

    def parse(self, frame: bytes) -> Frame | None:
        length = len(frame) - 4
        if sum(frame[:-2]) & 0xFFFF != int.from_bytes(frame[-2:], "big"):
            return None
        words = struct.unpack_from(f">{BODIES[length]}H", frame, 4)
        values = {name: float(word) for name, word in zip(MASSES, words, strict=False)}
        if length > 20:
            values |= {name: word / 100 for name, word in zip(COUNTS, words[6:], strict=False)}  # of 0.1 l, in 1/cm3
        version, error = frame[-4], frame[-3]  # a PMS5003S has formaldehyde there: below 0x80
        identity = frame[2:4] + bytes([version])
        doubt = f"the sensor reports error {error}" if version >= 0x80 and error else _doubt(values)
        return Frame(values, doubt, identity)


def _doubt(values: dict[str, float]) -> str | None:
    if not (in_order(values, "pm1", "pm2_5", "pm10") and in_order(values, "pm1_cf1", "pm2_5_cf1", "pm10_cf1")):
        return "PM1 <= PM2.5 <= PM10 does not hold"
    if "n10" in values and not in_order(values, *reversed(COUNTS)):
        return "more large particles than small ones"
    for name in ("pm1", "pm2_5", "pm10"):
        factory = values[f"{name}_cf1"]
        if not factory * 2 / 3 - ROUNDING <= values[name] <= factory + ROUNDING:
            return f"{name} does not follow from {name}_cf1"
    return None
