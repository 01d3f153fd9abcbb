"""Winsen MH-Z19, MH-Z19B, MH-Z19C: CO₂ by infrared absorption. 9600 8N1, 3.3 V, speaks when asked.

Source: *MH-Z19B user's manual V1.6*, Winsen, 2020. Request ``FF 01 86 00 00 00 00 00 79``; answer::

    FF 86 | CO₂ in ppm, big-endian | 4 bytes | 256 - sum of the seven bytes between, 8 bits

Of the four bytes the manual says nothing. The sensor warms up for 3 minutes (MH-Z19B; C: 1) and tells meanwhile what
it had at the start, or 0. It takes the least CO₂ of a day for 400 ppm: in a hall that is never aired it drifts.
"""

from __future__ import annotations

from wayside.edge.sensors.uart.decoder import Frame, Scanner

READ = bytes.fromhex("ff0186000000000079")
MOST = 10_000  # ppm: the widest range that is sold


class Winsen(Scanner):
    head, longest = b"\xff\x86", 9

    def size(self, at: bytes) -> int | None:
        return self.longest

    def parse(self, frame: bytes) -> Frame | None:
        if -sum(frame[1:8]) & 0xFF != frame[8]:
            return None
        ppm = int.from_bytes(frame[2:4], "big")
        return Frame({"co2": float(ppm)}) if ppm <= MOST else None

    def request(self) -> bytes:
        return READ
