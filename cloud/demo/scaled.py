"""A series that a device of the demo plays back, under the same scaled clock as its node."""

from __future__ import annotations

import argparse
import bisect
import csv
import itertools
import time
from pathlib import Path


class Playback:
    """Rows with a column ``unix_s``, oldest first; a row holds from its time to the next one's."""

    def __init__(self, path: Path, *, speed: float, anchor: float, start: float) -> None:
        """
        Args:
            anchor: real Unix time at which it is ``start`` in the series.

        Raises:
            ValueError, KeyError: a row is no such row.
        """
        with path.open(newline="", encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file))
        self.times = [float(row["unix_s"]) for row in self.rows]
        if not self.rows or any(a >= b for a, b in itertools.pairwise(self.times)):
            raise ValueError(f"{path}: rows have to be there, oldest first")
        self._speed, self._anchor, self._start = speed, anchor, start

    def now(self) -> float:
        """Unix time in the series."""
        return self._start + (time.time() - self._anchor) * self._speed

    def passed(self) -> int:
        """How many rows have begun."""
        return bisect.bisect_right(self.times, self.now())


def options(what: str, *flags: str) -> tuple[argparse.Namespace, Playback]:
    """The command line of a device: ``--csv --speed --anchor --start``, and each of ``flags``, all of them required."""
    parser = argparse.ArgumentParser(description=what)
    for flag in flags:
        parser.add_argument(flag, required=True)
    parser.add_argument("--csv", type=Path, required=True, help="rows with a column unix_s, oldest first")
    for flag, text in (
        ("--speed", "how much faster time runs"),
        ("--anchor", "real Unix time of --start"),
        ("--start", "Unix time in the CSV"),
    ):
        parser.add_argument(flag, type=float, required=True, help=text)
    chosen = parser.parse_args()
    return chosen, Playback(chosen.csv, speed=chosen.speed, anchor=chosen.anchor, start=chosen.start)
