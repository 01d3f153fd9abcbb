"""What a board's events tell of its heads and loops: from one event to the next, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wayside.contracts.beat import Head, Loop, Shows, Walk
from wayside.firmware_bridge.line.messages import Event, EventKind, PreemptState, SignalMode

_SHOWS = {
    int(EventKind.PHASE_GREEN): Shows.GREEN,
    int(EventKind.PHASE_YELLOW): Shows.YELLOW,
    int(EventKind.PHASE_RED): Shows.RED,
}


class Watch:
    """Of one board. ``heads`` by phase, ``loops`` by channel; times are the board's, ms.

    A board starts with everything red. Once events are missing (:meth:`lose`) only those heads are there that have
    been told since: where one phase of a ring turns green, all others of it are red.
    """

    def __init__(
        self, phases: Iterable[int], channels: Iterable[int], rings: Sequence[Iterable[int]] | None = None
    ) -> None:
        """``rings``: the phases of each; None: one phase tells nothing of another."""
        self._phases = frozenset(phases)
        self._rings = [frozenset(ring) for ring in rings or ()]
        self.heads: dict[int, Head] = {phase: Head() for phase in self._phases}
        self.loops: dict[int, Loop] = {channel: Loop() for channel in channels}
        self.runs = False
        """its signals run"""
        self.preempted = False
        self.overlaps: dict[int, Shows] = {}  # that have been told of

    @property
    def complete(self) -> bool:
        return self.heads.keys() == self._phases

    def take(self, event: Event) -> None:
        """Events of phases and channels that it was not told of are passed over."""
        ms, kind, channel, value = event.ms, event.kind, event.channel, event.value
        if kind == EventKind.DETECTOR:
            loop = self.loops.get(channel)
            if loop is not None:
                self.loops[channel] = loop._replace(occupied=value == 1, since_ms=ms, rises=loop.rises + (value == 1))
        elif kind == EventKind.DETECTOR_FAULT:
            if channel in self.loops:
                self.loops[channel] = self.loops[channel]._replace(fault=value)
        elif kind == EventKind.SIGNAL_MODE:
            self.runs = value == SignalMode.RUN
        elif kind == EventKind.PREEMPT:
            self.preempted = value != PreemptState.OFF
        elif kind == EventKind.OVERLAP:
            if value in Shows._value2member_map_:
                self.overlaps[channel] = Shows(value)
        elif channel in self._phases:
            self._change(event)

    def _change(self, event: Event) -> None:
        head = self.heads.get(event.channel)
        if event.kind in _SHOWS and event.value:
            shows = _SHOWS[event.kind]
            self.heads[event.channel] = (head or Head())._replace(shows=shows, since_ms=event.ms)
            if shows is Shows.GREEN and not self.complete:
                for phase in next((ring for ring in self._rings if event.channel in ring), ()):
                    self.heads.setdefault(phase, Head(since_ms=event.ms))
        elif head is not None:
            self.heads[event.channel] = _served(head, event)

    def lose(self, ms: int) -> None:
        """Events are missing before ``ms``, or the board has restarted."""
        self.heads, self.overlaps = {}, {}
        self.preempted = False
        self.loops = {channel: loop._replace(occupied=False, since_ms=ms) for channel, loop in self.loops.items()}

    def state(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "heads": [[phase, *head] for phase, head in self.heads.items()],
            "loops": [[channel, *loop] for channel, loop in self.loops.items()],
            "overlaps": list(self.overlaps.items()),
            "runs": self.runs,
            "preempted": self.preempted,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises: KeyError, TypeError, ValueError: it is no such state."""
        heads = {
            int(phase): Head(Shows(shows), int(since), Walk(walk), bool(called), bool(ped))
            for phase, shows, since, walk, called, ped in state["heads"]
        }
        loops = {int(channel): Loop(bool(o), int(s), int(r), int(f)) for channel, o, s, r, f in state["loops"]}
        self.heads = {phase: head for phase, head in heads.items() if phase in self._phases}
        self.loops |= {channel: loop for channel, loop in loops.items() if channel in self.loops}
        self.overlaps = {int(overlap): Shows(shows) for overlap, shows in state["overlaps"]}
        self.runs, self.preempted = bool(state["runs"]), bool(state["preempted"])


def _served(head: Head, event: Event) -> Head:
    """A call, or who crosses."""
    kind, value = event.kind, event.value
    if kind == EventKind.PED:
        return head._replace(walk=Walk(value)) if value in Walk._value2member_map_ else head
    if kind == EventKind.CALL:
        return head._replace(called=value == 1)
    if kind == EventKind.PED_CALL:
        return head._replace(ped_called=value == 1)
    return head
