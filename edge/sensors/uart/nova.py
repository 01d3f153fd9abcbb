"""Nova SDS011, SDS018, SDS021: laser counters of particles. 9600 8N1, 3.3 V, a frame every second.

Source: *Laser Dust Sensor Control Protocol V1.3*, Nova Fitness, 2015. Little-endian, tenths of µg/m³::

    AA C0 | PM2.5 | PM10 | device id, 2 bytes | sum of the six bytes between, 8 bits | AB

What the sum lets pass, two fixed bytes at each end, the device's own id and PM2.5 ≤ PM10 mostly do not.
"""

from __future__ import annotations

import struct

from wayside.edge.sensors.uart.decoder import Frame, Scanner


class Nova(Scanner):
    head, longest = b"\xaa\xc0", 10

    def size(self, at: bytes) -> int | None:
        return self.longest

    def parse(self, frame: bytes) -> Frame | None:
        if frame[9] != 0xAB or sum(frame[2:8]) & 0xFF != frame[8]:
            return None
        fine, coarse = struct.unpack_from("<2H", frame, 2)
        doubt = "PM2.5 <= PM10 does not hold" if fine > coarse else None
        return Frame({"pm2_5": fine / 10, "pm10": coarse / 10}, doubt, frame[6:8])
