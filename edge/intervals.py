"""Board events → closed steps. Sans-I/O: it is told events, gaps and the board's clock, and returns what has ended.

A step ends when the board's clock has passed its end **and** everything before that has arrived. The stream is in
order, so an event beyond the end says so too; while the line is down nothing ends, because the board still keeps the
events. Step ends are multiples of ``step_s`` in wall time; where the board's crystal drifts away from the wall the
ends slew after it by at most 1 % of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wayside.contracts.reading import Quality
from wayside.contracts.sensor_config import DetectorConfig
from wayside.edge.quality import DetectorHealth, worst
from wayside.firmware_bridge.line.messages import EventKind

MAX_CATCH_UP = 4096  # steps; a longer silence is one hole, not a row for each step
# Plain integers: comparing with an IntEnum member costs a call for every event.
DETECTOR, GREEN, YELLOW, RED = (
    int(k) for k in (EventKind.DETECTOR, EventKind.PHASE_GREEN, EventKind.PHASE_YELLOW, EventKind.PHASE_RED)
)


class Step(NamedTuple):
    """One closed step; the lists are in the configuration's order of detectors."""

    number: int
    start_ms: int  # board time
    end_ms: int
    counts: list[int | None]  # vehicles; None: nothing is known
    qualities: list[Quality]
    readings: list[int]
    green_ms: dict[int, int]  # served per phase, as the board reported it


class Lost(NamedTuple):
    """Events that will never come: how many, and the board time between which they happened."""

    events: int
    from_ms: int
    to_ms: int


class Intervals:
    """The open step of one board boot."""

    def __init__(self, detectors: Sequence[DetectorConfig], step_s: float) -> None:
        self.step_ms = round(step_s * 1000)
        self._configs = tuple(detectors)
        self._by_channel: dict[int, DetectorHealth] = {}
        self._health: list[DetectorHealth] = []
        self.drift_ms: Callable[[int], float] = lambda _end_ms: 0.0
        """How far a step end in board time lies after its wall-clock multiple; set by who knows the wall."""
        self.index = 0
        self.started = False
        self._reset_health(0)
        self._start_ms = self._end_ms = self._last_ms = 0
        self._partial = False  # the open step began before we could see
        self._gap = 0  # events lost since ``_last_ms``, not yet placed in time
        self._gap_in_step = False
        self._green: dict[int, int] = {}
        self._green_since: dict[int, int] = {}

    @property
    def end_ms(self) -> int:
        return self._end_ms

    @property
    def last_ms(self) -> int:
        return self._last_ms

    def start(self, from_ms: int) -> None:
        """Begin to observe at board time ``from_ms``; the first step is partial unless it begins just there."""
        aligned = from_ms - round(self.drift_ms(from_ms)) % self.step_ms
        self._reset_health(from_ms)
        self._start_ms, self._end_ms, self._last_ms = aligned, aligned + self.step_ms, from_ms
        self._partial = aligned != from_ms
        self._gap, self._gap_in_step = 0, False
        self._green, self._green_since = {}, {}
        self.started = True

    def event(self, ms: int, kind: int, channel: int, value: int, closed: list[Step | Lost]) -> None:
        """One event; appends to ``closed`` what ended before it."""
        if ms >= self._end_ms or self._gap:
            self.pass_time(ms, closed)
        elif ms < self._last_ms:
            ms = self._last_ms  # a board's clock does not run backwards
        self._last_ms = ms
        if kind == DETECTOR:
            health = self._by_channel.get(channel)
            if health is not None:
                health.edge(ms, value)
        elif kind == GREEN:
            if value:
                self._green_since[channel] = ms
        elif kind in (YELLOW, RED) and value:
            since = self._green_since.pop(channel, None)
            if since is not None:
                self._green[channel] = self._green.get(channel, 0) + ms - since

    def lose(self, count: int) -> None:
        """``count`` events are gone; they happened between the last one and the next word of the board."""
        self._gap += count

    def pass_time(self, ms: int, closed: list[Step | Lost]) -> None:
        """The board's clock reads ``ms`` and all that happened before has been told."""
        ms = max(ms, self._last_ms)
        if self._gap:
            closed.append(Lost(self._gap, self._last_ms, ms))
            self._gap_in_step = True
            for health in self._health:
                health.forget(ms)
        if ms >= self._end_ms + MAX_CATCH_UP * self.step_ms:
            skipped = (ms - self._end_ms) // self.step_ms
            self._partial = True
            self._close(closed)
            self.index += skipped
            self._start_ms += skipped * self.step_ms
            self._end_ms += skipped * self.step_ms
            self._partial = True
        while ms >= self._end_ms:
            self._close(closed)
            self._gap_in_step = self._gap > 0 and ms > self._start_ms
        self._gap = 0
        self._last_ms = ms

    def interrupt(self, closed: list[Step | Lost]) -> None:
        """The board restarted: the open step ends here as a gap, and nothing is observed until :meth:`start`."""
        if self._gap:
            closed.append(Lost(self._gap, self._last_ms, self._last_ms))
            self._gap = 0
        self._gap_in_step = True
        self._close(closed)
        self.started = False

    def _close(self, closed: list[Step | Lost]) -> None:
        end = self._end_ms
        counts: list[int | None] = []
        qualities: list[Quality] = []
        readings: list[int] = []
        for health in self._health:
            hits, quality, n = health.close(end)
            if self._gap_in_step:
                quality = worst(quality, Quality.GAP)
            blind = self._partial or (self._gap_in_step and not hits)  # a lower bound of 0 says nothing
            counts.append(None if blind else hits)
            qualities.append(Quality.MISSING if blind else quality)
            readings.append(n)
        for phase, since in self._green_since.items():
            self._green[phase] = self._green.get(phase, 0) + end - since
            self._green_since[phase] = end
        closed.append(Step(self.index, self._start_ms, end, counts, qualities, readings, self._green))
        self.index += 1
        self._green = {}
        self._partial = self._gap_in_step = False
        drift = self.drift_ms(end)
        if drift > self.step_ms / 2:
            drift -= self.step_ms
        slew = max(-self.step_ms / 100, min(self.step_ms / 100, drift))
        self._start_ms, self._end_ms = end, end + self.step_ms - round(slew)

    def _reset_health(self, start_ms: int) -> None:
        self._health = [DetectorHealth(config, start_ms) for config in self._configs]
        self._by_channel = {c.channel: h for c, h in zip(self._configs, self._health, strict=True)}

    def state(self) -> dict[str, Any]:
        """The open step as plain JSON values."""
        return {
            "index": self.index,
            "started": self.started,
            "start_ms": self._start_ms,
            "end_ms": self._end_ms,
            "last_ms": self._last_ms,
            "partial": self._partial,
            "gap": self._gap,
            "gap_in_step": self._gap_in_step,
            "green": list(self._green.items()),
            "green_since": list(self._green_since.items()),
            "detectors": {c.datastream: h.state() for c, h in zip(self._configs, self._health, strict=True)},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state` was taken; a detector that the configuration gained begins now."""
        self.index, self.started = state["index"], state["started"]
        self._start_ms, self._end_ms, self._last_ms = state["start_ms"], state["end_ms"], state["last_ms"]
        self._partial, self._gap, self._gap_in_step = state["partial"], state["gap"], state["gap_in_step"]
        self._green = {int(k): v for k, v in state["green"]}
        self._green_since = {int(k): v for k, v in state["green_since"]}
        self._reset_health(self._last_ms)
        for config, health in zip(self._configs, self._health, strict=True):
            if config.datastream in state["detectors"]:
                health.restore(state["detectors"][config.datastream])
