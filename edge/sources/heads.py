"""What the board drove at each signal head, a few minutes back: a camera's frame is compared with it afterwards."""

from __future__ import annotations

from collections import deque

from wayside.firmware_bridge.line.messages import EventKind

GREEN, YELLOW, RED, UNKNOWN = "green", "yellow", "red", "unknown"
SHOWS = {int(EventKind.PHASE_GREEN): GREEN, int(EventKind.PHASE_YELLOW): YELLOW, int(EventKind.PHASE_RED): RED}
CHANGES = 64  # of each phase that are remembered: more than a quarter of an hour of a quick cycle
MARGIN_NS = 1_000_000_000
"""Around a change a frame may show either: exposure, the lamp, and the error of both clocks."""


class Heads:
    """Changes of the watched phases, in the node's monotonic time."""

    def __init__(self, phases: frozenset[int]) -> None:
        self.phases = phases
        self._changes: dict[int, deque[tuple[int, str]]] = {p: deque(maxlen=CHANGES) for p in phases}
        self.told_ns = -1
        """Every change up to here has been told."""

    def change(self, phase: int, shows: str, at_ns: int) -> None:
        if phase in self._changes:
            self._changes[phase].append((at_ns, shows))
        self.told_ns = max(self.told_ns, at_ns)

    def pass_time(self, at_ns: int) -> None:
        """The board has told everything before ``at_ns``."""
        self.told_ns = max(self.told_ns, at_ns)

    def lose(self, at_ns: int) -> None:
        """From here on nothing is known: events were lost, the board restarted, or it does not run its plan."""
        for changes in self._changes.values():
            if changes and changes[-1][1] != UNKNOWN:
                changes.append((at_ns, UNKNOWN))

    def at(self, phase: int, taken_ns: int) -> str | None:
        """What the head of ``phase`` was driven to show at ``taken_ns``; None: the board has not told so far."""
        if self.told_ns < taken_ns + MARGIN_NS:
            return None
        shown = UNKNOWN
        for at_ns, shows in self._changes.get(phase, ()):
            if at_ns > taken_ns + MARGIN_NS:
                break
            shown = shows if at_ns <= taken_ns - MARGIN_NS else UNKNOWN
        return shown
