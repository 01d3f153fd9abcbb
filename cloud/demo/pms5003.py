"""A Plantower PMS5003 at the end of a pseudo-terminal, fed with hours of real air.

``python -m wayside.cloud.demo.pms5003 --pty-link mast.tty --csv hours.csv --speed 600 --anchor 1780000000 --start
1356998400`` speaks until it is ended. The CSV has a header and the columns ``unix_s``, ``pm2_5`` and, if known,
``pm10`` in µg/m³, oldest first; a row holds from its time to the next one's. Where ``pm2_5`` is empty the sensor is
silent, as one whose power is cut. At the real instant ``anchor`` it is ``start`` in the CSV, and time runs ``speed``
times faster, as under a node's scaled clock.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import csv
import itertools
import os
import pty
import signal
import struct
import sys
import time
import tty
from pathlib import Path
from types import FrameType
from typing import NamedTuple

COUNTS = (160.0, 48.0, 9.0, 1.2, 0.3, 0.1)
"""Particles in 0.1 l over 0.3, 0.5, 1, 2.5, 5 and 10 µm for each µg/m³: as a sensor over a road shows them."""
# CF=1 as it follows from the atmospheric value: the same up to 28, three halves of it from 52 on.
_ATMOSPHERIC, _FACTORY = (0.0, 28.0, 52.0, 2000.0), (0.0, 28.0, 78.0, 3000.0)


class Hour(NamedTuple):
    unix_s: float
    pm2_5: float | None
    pm10: float | None


def read_hours(path: Path) -> list[Hour]:
    """Raises: ValueError, KeyError: a row is no such row; OSError."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            Hour(float(r["unix_s"]), _number(r["pm2_5"]), _number(r.get("pm10") or "")) for r in csv.DictReader(file)
        ]
    if not rows or any(a.unix_s >= b.unix_s for a, b in itertools.pairwise(rows)):
        raise ValueError(f"{path}: rows have to be there, oldest first")
    return rows


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None


def at(hours: list[Hour], unix_s: float) -> Hour | None:
    """The row that holds at ``unix_s``; None: before the first."""
    i = bisect.bisect_right(hours, unix_s, key=lambda h: h.unix_s) - 1
    return hours[i] if i >= 0 else None


def frame(pm2_5: float, pm10: float | None = None) -> bytes:
    """What the sensor says in that air (PMS5003 data manual V2.3, appendix I)."""
    coarse = max(pm2_5, pm10 if pm10 is not None else pm2_5 * 1.2)
    air = (pm2_5 * 0.7, pm2_5, coarse)
    words = [*(_factory(v) for v in air), *air, *(pm2_5 * c for c in COUNTS)]
    body = struct.pack(">12H2B", *(min(65535, round(w)) for w in words), 0x97, 0)
    whole = b"BM" + (len(body) + 2).to_bytes(2, "big") + body
    return whole + (sum(whole) & 0xFFFF).to_bytes(2, "big")


def _factory(air: float) -> float:
    for i in range(1, len(_FACTORY)):
        if air <= _ATMOSPHERIC[i]:
            low, high = _ATMOSPHERIC[i - 1], _ATMOSPHERIC[i]
            share = (air - low) / (high - low)
            return _FACTORY[i - 1] + share * (_FACTORY[i] - _FACTORY[i - 1])
    return air * 1.5


def speak(link: Path, hours: list[Hour], *, speed: float, anchor: float, start: float, every_s: float) -> None:
    """Until the process is ended; ``link`` then goes. Without a listener frames are lost, as a real sensor's are."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    beside = link.with_name(link.name + ".new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(os.ttyname(slave))
    beside.replace(link)
    try:
        while True:
            hour = at(hours, start + (time.time() - anchor) * speed)
            if hour is not None and hour.pm2_5 is not None:
                with contextlib.suppress(BlockingIOError):
                    os.write(master, frame(hour.pm2_5, hour.pm10))
            with contextlib.suppress(BlockingIOError):  # what it is told: it has no ears here
                os.read(master, 4096)
            time.sleep(every_s)
    finally:
        link.unlink(missing_ok=True)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="A Plantower PMS5003 at the end of a pseudo-terminal.")
    parser.add_argument("--pty-link", type=Path, required=True, help="the port that a node opens")
    parser.add_argument("--csv", type=Path, required=True, help="unix_s, pm2_5, pm10")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster time runs")
    parser.add_argument("--anchor", type=float, default=None, help="real Unix time of --start; default: now")
    parser.add_argument("--start", type=float, default=None, help="Unix time in the CSV; default: its first row")
    parser.add_argument("--every-s", type=float, default=0.2, help="real seconds between frames")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    hours = read_hours(options.csv)
    speak(
        options.pty_link,
        hours,
        speed=options.speed,
        anchor=time.time() if options.anchor is None else options.anchor,
        start=hours[0].unix_s if options.start is None else options.start,
        every_s=options.every_s,
    )


if __name__ == "__main__":
    main()
