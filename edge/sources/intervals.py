"""Board events → closed intervals. Sans-I/O: it is told events, gaps and the board's clock, and returns what has ended.

An interval ends when the board's clock has passed its end **and** everything before that has arrived. The stream is in
order, so an event beyond the end says so too; while the line is down nothing ends, because the board still keeps the
events. Ends are multiples of the step in wall time; where the board's crystal drifts away from the wall they slew
after it by at most 1 % of a step. Without detectors and events it is the node's own beat (:meth:`Intervals.pass_time`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from wayside.contracts.node_config import PRESSES
from wayside.contracts.reading import GOOD, MISSING, Quality
from wayside.contracts.sensor_config import AnalogConfig, DetectorConfig
from wayside.edge.sources.level import Level
from wayside.edge.sources.quality import DetectorHealth, worst
from wayside.edge.sources.step import Extra
from wayside.firmware_bridge.line.messages import EventKind

MAX_CATCH_UP = 4096  # steps; a longer silence is one hole, not a row for each step
WALK = 1  # value of a PED event
# Plain integers: comparing with an IntEnum member costs a call for every event.
DETECTOR, GREEN, YELLOW, RED, INPUT, PED, ANALOG = (
    int(k)
    for k in (
        EventKind.DETECTOR,
        EventKind.PHASE_GREEN,
        EventKind.PHASE_YELLOW,
        EventKind.PHASE_RED,
        EventKind.INPUT,
        EventKind.PED,
        EventKind.ANALOG,
    )
)


class Interval(NamedTuple):
    """One closed interval; the lists are in the configuration's order of detectors, then of analogue inputs."""

    start_ms: int  # board time
    end_ms: int
    counts: list[float | None]  # vehicles, then analogue values; None: nothing is known
    qualities: list[Quality]
    readings: list[int]
    extras: list[Extra]  # greens and walks served, inputs, analogue values


class Lost(NamedTuple):
    """Events that will never come: how many, and the board time between which they happened."""

    events: int
    from_ms: int
    to_ms: int


class Served:
    """For how long each phase had something, in the open interval."""

    def __init__(self) -> None:
        self.total: dict[int, int] = {}  # ms
        self.since: dict[int, int] = {}

    def begin(self, phase: int, ms: int) -> None:
        self.since[phase] = ms

    def end(self, phase: int, ms: int) -> None:
        since = self.since.pop(phase, None)
        if since is not None:
            self.total[phase] = self.total.get(phase, 0) + ms - since

    def close(self, end_ms: int, what: str, quality: Quality, extras: list[Extra]) -> None:
        for phase, since in self.since.items():
            self.total[phase] = self.total.get(phase, 0) + end_ms - since
            self.since[phase] = end_ms
        for phase, ms in self.total.items():
            extras.append(Extra(f"phase/{phase}/{what}", ms / 1000, "s", quality, 1))
        self.total = {}

    def state(self) -> list[Any]:
        return [list(self.total.items()), list(self.since.items())]

    def restore(self, total: Iterable[Any], since: Iterable[Any]) -> None:
        self.total = {int(phase): ms for phase, ms in total}
        self.since = {int(phase): ms for phase, ms in since}


class Intervals:
    """The open interval of one board boot."""

    def __init__(self, detectors: Sequence[DetectorConfig], step_s: float, analog: Sequence[AnalogConfig] = ()) -> None:
        self.step_ms = round(step_s * 1000)
        self._configs = tuple(detectors)
        self._levels = {a.channel: Level(a) for a in analog}
        self._by_channel: dict[int, DetectorHealth] = {}
        self._health: list[DetectorHealth] = []
        self.drift_ms: Callable[[int], float] = lambda _end_ms: 0.0
        """How far an end in board time lies after its wall-clock multiple; set by who knows the wall."""
        self.closed = 0  # intervals since the state was created
        self.started = False
        self._reset_health(0)
        self._start_ms = self._end_ms = self._last_ms = 0
        self._partial = False  # the open interval began before we could see
        self._gap = 0  # events lost since ``_last_ms``, not yet placed in time
        self._gap_inside = False
        self._green, self._walk = Served(), Served()
        self._inputs: dict[int, list[int]] = {}  # channel → closures in the open interval, level; once heard, for ever
        self._analog: dict[int, list[int]] = {}  # channel → sum, readings
        self._others = False  # one of the four has something

    @property
    def end_ms(self) -> int:
        return self._end_ms

    def start(self, from_ms: int) -> None:
        """Begin to observe at board time ``from_ms``; the first interval is partial unless it begins just there."""
        aligned = from_ms - round(self.drift_ms(from_ms)) % self.step_ms
        self._reset_health(from_ms)
        for level in self._levels.values():
            level.begin(aligned, from_ms)
        self._start_ms, self._end_ms, self._last_ms = aligned, aligned + self.step_ms, from_ms
        self._partial = aligned != from_ms
        self._gap, self._gap_inside = 0, False
        self._green, self._walk = Served(), Served()
        self.started = True

    def event(self, ms: int, kind: int, channel: int, value: int, closed: list[Interval | Lost]) -> None:
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
        else:
            self._other(ms, kind, channel, value)

    def _other(self, ms: int, kind: int, channel: int, value: int) -> None:
        self._others = True
        if kind == GREEN:
            if value:
                self._green.begin(channel, ms)
        elif kind in (YELLOW, RED):
            if value:
                self._green.end(channel, ms)
        elif kind == PED:
            if value == WALK:
                self._walk.begin(channel, ms)
            else:
                self._walk.end(channel, ms)
        elif kind == INPUT:
            seen = self._inputs.setdefault(channel, [0, 0])
            seen[0] += bool(value)
            seen[1] = int(bool(value))
        elif kind == ANALOG and channel in self._levels:
            self._levels[channel].read(ms, value)
        elif kind == ANALOG:
            read = self._analog.setdefault(channel, [0, 0])
            read[0] += value
            read[1] += 1

    def lose(self, count: int) -> None:
        """``count`` events are gone; they happened between the last one and the next word of the board."""
        self._gap += count

    def pass_time(self, ms: int, closed: list[Interval | Lost]) -> None:
        """The board's clock reads ``ms`` and all that happened before has been told."""
        ms = max(ms, self._last_ms)
        if self._gap:
            closed.append(Lost(self._gap, self._last_ms, ms))
            self._gap_inside = True
            for health in self._health:
                health.forget(ms)
            for level in self._levels.values():
                level.forget(ms)
        if ms >= self._end_ms + MAX_CATCH_UP * self.step_ms:
            skipped = (ms - self._end_ms) // self.step_ms
            self._partial = True
            self._close(closed)
            self._start_ms += skipped * self.step_ms
            self._end_ms += skipped * self.step_ms
            self._partial = True
        while ms >= self._end_ms:
            self._close(closed)
            self._gap_inside = self._gap > 0 and ms > self._start_ms
        self._gap = 0
        self._last_ms = ms

    def interrupt(self, closed: list[Interval | Lost]) -> None:
        """The board restarted: the open interval ends here as a gap, nothing is observed until :meth:`start`."""
        if self._gap:
            closed.append(Lost(self._gap, self._last_ms, self._last_ms))
            self._gap = 0
        self._gap_inside = True
        self._close(closed, self._last_ms)  # a detector that was occupied then is not stuck until the end
        self.started = False

    def _close(self, closed: list[Interval | Lost], seen_ms: int | None = None) -> None:
        """``seen_ms``: what was after it nobody saw."""
        end, gap, partial = self._end_ms, self._gap_inside, self._partial
        seen = end if seen_ms is None else seen_ms
        counts: list[float | None] = []
        qualities: list[Quality] = []
        readings: list[int] = []
        for health in self._health:
            hits, quality, n = health.close(seen)
            if gap:
                quality = worst(quality, Quality.GAP)
            blind = partial or (gap and not hits)  # a lower bound of 0 says nothing
            counts.append(None if blind else float(hits))
            qualities.append(MISSING if blind else quality)
            readings.append(n)
        for level in self._levels.values():
            value, quality, n = level.close(seen)
            counts.append(value)
            qualities.append(worst(quality, Quality.GAP) if gap and value is not None else quality)
            readings.append(n)
        extras = self._close_others(seen) if self._others else []
        closed.append(Interval(self._start_ms, end, counts, qualities, readings, extras))
        self.closed += 1
        self._partial = self._gap_inside = False
        drift = self.drift_ms(end)
        if drift > self.step_ms / 2:
            drift -= self.step_ms
        slew = max(-self.step_ms / 100, min(self.step_ms / 100, drift))
        self._start_ms, self._end_ms = end, end + self.step_ms - round(slew)

    def _close_others(self, end: int) -> list[Extra]:
        extras: list[Extra] = []
        doubtful = Quality.GAP if self._gap_inside else GOOD
        self._green.close(end, "green", doubtful, extras)
        self._walk.close(end, "walk", doubtful, extras)
        for channel, seen in self._inputs.items():
            blind = self._partial or (self._gap_inside and not seen[0])
            extras.append(
                Extra(
                    f"input/{channel}",
                    None if blind else float(seen[0]),
                    PRESSES,
                    MISSING if blind else doubtful,
                    seen[0],
                    detail={"closed": bool(seen[1])},
                )
            )
            seen[0] = 0
        for channel, (total, n) in self._analog.items():
            value = total / n if n else None
            extras.append(Extra(f"analog/{channel}", value, "1", doubtful if n else MISSING, n, mean=True))
            self._analog[channel] = [0, 0]
        self._others = bool(self._green.since or self._walk.since or self._inputs or self._analog)
        return extras

    def _reset_health(self, start_ms: int) -> None:
        self._health = [DetectorHealth(config, start_ms, self.step_ms) for config in self._configs]
        self._by_channel = {c.channel: h for c, h in zip(self._configs, self._health, strict=True)}

    def state(self) -> dict[str, Any]:
        """The open interval as plain JSON values."""
        green, green_since = self._green.state()
        return {
            "index": self.closed,
            "started": self.started,
            "start_ms": self._start_ms,
            "end_ms": self._end_ms,
            "last_ms": self._last_ms,
            "partial": self._partial,
            "gap": self._gap,
            "gap_in_step": self._gap_inside,
            "green": green,
            "green_since": green_since,
            "walk": self._walk.state(),
            "inputs": [[channel, *seen] for channel, seen in self._inputs.items()],
            "analog": [[channel, *read] for channel, read in self._analog.items()],
            "levels": {level.config.datastream: level.state() for level in self._levels.values()},
            "detectors": {c.datastream: h.state() for c, h in zip(self._configs, self._health, strict=True)},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state` was taken; a detector that the configuration gained begins now."""
        self.closed, self.started = state["index"], state["started"]
        self._start_ms, self._end_ms, self._last_ms = state["start_ms"], state["end_ms"], state["last_ms"]
        self._partial, self._gap, self._gap_inside = state["partial"], state["gap"], state["gap_in_step"]
        self._green.restore(state["green"], state["green_since"])
        self._walk.restore(*state.get("walk", ((), ())))
        self._inputs = {int(channel): [n, level] for channel, n, level in state.get("inputs", ())}
        self._analog = {int(channel): [total, n] for channel, total, n in state.get("analog", ())}
        for level in self._levels.values():
            level.restore(state.get("levels", {}).get(level.config.datastream), self._last_ms)
        self._others = True
        self._reset_health(self._last_ms)
        for config, health in zip(self._configs, self._health, strict=True):
            if config.datastream in state["detectors"]:
                health.restore(state["detectors"][config.datastream])
