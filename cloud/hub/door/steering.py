"""When a node comes again, and with how much: the hub's answer to ten thousand nodes that come back at once.

What is fresh always has room: a node's regular sync is never put off while the hub keeps up. History is drained in
turns. Each is booked behind the last one, as long as its rows take at the rate that the hub grants in all; so nodes
that came at one instant come again one after another. The rate follows what the hub measures of itself: it rises while
syncs are quick and falls as soon as they are not (additive increase would take minutes to find a rate; both are
multiplicative here, and the fall is the steeper one).

Where turns are booked out beyond a node's next sync, that one carries its newest rows, at a phase that is the node's
own: a hash of its name spreads a fleet evenly.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

from wayside.contracts.sync import BACKLOG_ROWS, FRESH_ROWS, MAX_SUMMARIES

QUICK_S = 0.25  # from a body that is complete to its COMMIT; the slowest twentieth of a window is held to it
WINDOW_S = 1.0
RATE, LEAST_RATE, MOST_RATE = 10_000.0, 1_000.0, 200_000.0  # rows/s
RISE, FALL = 1.2, 0.6
HORIZON_S = 10.0  # turns are booked no further ahead: they were given at the rate of the moment, which rises


class Turn(NamedTuple):
    """Of a :class:`~wayside.contracts.sync.SyncReply`."""

    not_before_s: float = 0.0
    grant: int | None = None  # rows of kind interval


class Steering:
    """The event loop's. :meth:`note` what each sync took, and ask for its node's next :meth:`turn`."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._window_end = clock_s() + WINDOW_S
        self._took: list[float] = []
        self._booked = 0.0  # when the last turn that was given is over
        self.rate = RATE
        self.strained = False  # syncs of the last window were slow

    def note(self, seconds: float) -> None:
        """A sync was answered so long after its body was complete."""
        now = self._clock_s()
        if now >= self._window_end:
            self._judge(now)
        self._took.append(seconds)

    def _judge(self, now: float) -> None:
        took = sorted(self._took)
        self.strained = bool(took) and took[len(took) * 95 // 100] > QUICK_S
        if self.strained:
            self.rate = max(LEAST_RATE, self.rate * FALL)
        elif self._booked > now - WINDOW_S:  # a rate that nobody uses says nothing of what the hub can do
            self.rate = min(MOST_RATE, self.rate * RISE)
        self._took = []
        self._window_end = now + WINDOW_S

    def turn(self, node: str, sync_s: float, left: int) -> Turn:
        """``left`` rows are still at ``node``, which syncs every ``sync_s``."""
        now = self._clock_s()
        if left < BACKLOG_ROWS:
            return Turn(sync_s * (1 + phase(node))) if self.strained else Turn()
        wait = max(0.0, self._booked - now)
        if wait > min(sync_s, HORIZON_S):
            return Turn(self._next_phase(node, sync_s, now), FRESH_ROWS)
        rows = min(left, MAX_SUMMARIES)
        self._booked = now + wait + rows / self.rate
        return Turn(wait, rows)

    @staticmethod
    def _next_phase(node: str, sync_s: float, now: float) -> float:
        """Seconds until ``node``'s phase of its ``sync_s``, half of one at the least."""
        ahead = (phase(node) * sync_s - now) % sync_s
        return ahead if ahead >= sync_s / 2 else ahead + sync_s


def phase(node: str) -> float:
    """A node's own place in 0 … 1, the same for ever."""
    return zlib.crc32(node.encode()) / 2**32
