"""What a board's events tell of its heads and loops: from one event to the next, without I/O."""

from __future__ import annotations

from collections.abc import Iterable

from wayside.contracts.beat import Head, Loop, Shows, Walk
from wayside.firmware_bridge.line.messages import Event, EventKind, PreemptState, SignalMode

_SHOWS = {
    EventKind.PHASE_GREEN: Shows.GREEN,
    EventKind.PHASE_YELLOW: Shows.YELLOW,
    EventKind.PHASE_RED: Shows.RED,
}


class Watch:
    """Of one board. ``heads`` by phase, ``loops`` by channel; times are the board's, ms."""

    def __init__(self, phases: Iterable[int], channels: Iterable[int]) -> None:
        self.heads: dict[int, Head] = {phase: Head() for phase in phases}
        self.loops: dict[int, Loop] = {channel: Loop() for channel in channels}
        self.runs = False
        """its signals run"""
        self.preempted = False

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
        elif (head := self.heads.get(channel)) is not None:
            self.heads[channel] = _changed(head, event)


def _changed(head: Head, event: Event) -> Head:
    kind, value = event.kind, event.value
    if kind in _SHOWS:
        return head._replace(shows=_SHOWS[EventKind(kind)], since_ms=event.ms)
    if kind == EventKind.PED:
        return head._replace(walk=Walk(value)) if value in Walk._value2member_map_ else head
    if kind == EventKind.CALL:
        return head._replace(called=value == 1)
    if kind == EventKind.PED_CALL:
        return head._replace(ped_called=value == 1)
    return head
