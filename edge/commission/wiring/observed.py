"""The events of a board (or of any controller's log) as intervals: who was occupied when, which phase was green when.

Sans-I/O. Events are hostile: unknown kinds and channels are left out, a clock that jumps begins a new stretch, and the
longest stretch is what is judged. Times are ms of the board's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wayside.firmware_bridge.line.messages import EventKind

Array = npt.NDArray[np.float64]

LONGEST_GAP_MS = 600_000  # between two events; more is another stretch
LONGEST_MS = 4 * 3_600_000  # what is judged of a stretch: its end
MOST_EVENTS = 400_000  # of a stretch: four hours of 64 busy detectors
CHANNELS = range(256)
PHASES = range(1, 17)
SETTLED_MS = 240_000  # by then every phase has changed once

_HEADS = (EventKind.PHASE_GREEN, EventKind.PHASE_YELLOW, EventKind.PHASE_RED)


class Observed(NamedTuple):
    """A stretch of events."""

    occupied: Mapping[int, Array]
    """(n, 2) by channel: from, until; each interval ended within the stretch"""
    greens: Mapping[int, Array]
    """(n, 2) by phase: begin of green, begin of red"""
    start_ms: float
    end_ms: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.end_ms - self.start_ms) / 1000


NOTHING = Observed({}, {}, 0.0, 0.0)


class Observer:
    """Takes events as they come."""

    def __init__(self) -> None:
        self._stretches: list[list[tuple[int, int, int, int]]] = [[]]

    def take(self, ms: int, kind: int, channel: int, value: int) -> None:
        """One event; ``kind`` is an :class:`EventKind`, anything else is left out."""
        known = CHANNELS if kind == EventKind.DETECTOR else PHASES if kind in _HEADS else ()
        if channel not in known:
            return
        stretch = self._stretches[-1]
        if stretch and not 0 <= ms - stretch[-1][0] <= LONGEST_GAP_MS:
            self.interrupt()
            stretch = self._stretches[-1]
        if len(stretch) < MOST_EVENTS:
            stretch.append((ms, kind, channel, value))

    def interrupt(self) -> None:
        """What follows does not continue what was: the board started anew, or events were lost."""
        if self._stretches[-1]:
            longest = max(self._stretches, key=_duration)
            self._stretches = [longest, []]

    def observed(self) -> Observed:
        """The longest stretch so far."""
        stretch = max(self._stretches, key=_duration)
        return _observed(stretch) if stretch else NOTHING


def _duration(stretch: list[tuple[int, int, int, int]]) -> int:
    return stretch[-1][0] - stretch[0][0] if stretch else -1


def _observed(events: list[tuple[int, int, int, int]]) -> Observed:
    end = events[-1][0]
    events = [e for e in events if e[0] >= end - LONGEST_MS]
    began: dict[int, int] = {}
    occupied: dict[int, list[tuple[int, int]]] = {}
    green: dict[int, int] = {}
    greens: dict[int, list[tuple[int, int]]] = {}
    first: dict[int, int] = {}
    for ms, kind, channel, value in events:
        if kind == EventKind.DETECTOR:
            if value:
                began.setdefault(channel, ms)
            elif channel in began:
                since = began.pop(channel)
                if ms > since:
                    occupied.setdefault(channel, []).append((since, ms))
            continue
        first.setdefault(channel, ms)
        if kind == EventKind.PHASE_GREEN:
            green.setdefault(channel, ms)
        elif kind == EventKind.PHASE_RED and channel in green:
            greens.setdefault(channel, []).append((green.pop(channel), ms))
    for phase, since in green.items():
        greens.setdefault(phase, []).append((since, end))
    # Of a phase that has not changed yet nobody knows whether it is green.
    start = min(max(first.values(), default=end), events[0][0] + SETTLED_MS)
    return Observed(
        {c: rows[rows[:, 1] >= start] for c, rows in _arrays(occupied).items()},
        _arrays(greens),
        float(start),
        float(end),
    )


def _arrays(rows: Mapping[int, list[tuple[int, int]]]) -> dict[int, Array]:
    return {key: np.array(value, dtype=np.float64).reshape(-1, 2) for key, value in rows.items()}
