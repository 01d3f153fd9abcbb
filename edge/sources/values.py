"""Values that sensors give again and again → closed steps. Sans-I/O: told readings, failures and the time.

A failure is never a value: a step in which nothing was read has none; nor has one in which a device answered that it
has no value (a NaN, what SunSpec calls not implemented). Counters count what happened between two polls,
however far apart: through a wrap-around, and not through a reset of the meter. What a meter counted while nobody could
read it is told apart (a :class:`~wayside.edge.sources.step.Loss`), not thrown upon the step in which it came back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wayside.contracts.quantities import is_noise
from wayside.contracts.reading import Quality, Reading, Stamp
from wayside.contracts.sensor_config import ValueConfig
from wayside.edge.clock import Clock
from wayside.edge.ledger import Ledger
from wayside.edge.sources.beat import Beat
from wayside.edge.sources.step import Closed, Grid, Loss, Step

PATIENCE_POLLS = 3  # failed polls in a row that are a condition; a step without as many ends is not whole
SLACK_MS = 2000
FAILS = {"registers": "register_fails", "uart": "uart_fails"}
"""Of each kind of source, the condition that holds while a value cannot be read."""


class Live(NamedTuple):
    """The last reading, for people.

    ``quality`` is MISSING before the first and while the sensor says that it has no value, STALE while it is silent.
    """

    value: float | None
    quality: Quality


class Value:
    """One value during the open step, and what outlives a step."""

    def __init__(self, config: ValueConfig) -> None:
        self.config = config
        self.bounds = config.bounds
        self.wraps_at: float | None = config.wraps_at
        self.failures = 0  # in a row
        self.absent = 0  # answers in a row that said: no value
        self.doubtful = False  # the last reading
        self.last: float | None = None  # raw
        self.last_ms: int | None = None  # None beside a ``last``: read before a restart of the machine
        self.moved_ms = 0
        self.total = 0.0
        self.n = self.outside = 0
        self.outside_total = 0.0
        self.partial = False  # the step's count is a lower bound

    @property
    def live(self) -> Live:
        if self.last is None or self.absent:
            return Live(None, Quality.MISSING)
        if self.failures:
            return Live(None, Quality.STALE)
        value = self.last * self.config.scale + self.config.offset
        return Live(value, Quality.GOOD if self._inside(value) and not self.doubtful else Quality.OUT_OF_RANGE)

    def read(self, ms: int, raw: float, start_ms: int, *, doubtful: bool) -> tuple[int, float] | None:
        """A reading at ``ms``, while the step that began at ``start_ms`` is open. A ``doubtful`` one counts as one out
        of range: it is never part of a good value, and a counter does not move by it.

        Returns:
            What a counter grew by while nobody read it, and since when.
        """
        self.failures = self.absent = 0
        self.doubtful = doubtful
        if doubtful and self.config.kind == "counter":
            return None
        if raw != self.last:
            self.moved_ms = ms
        late = None
        if self.config.kind == "counter":
            late = self._count(ms, raw, start_ms)
        else:
            self._average(raw, doubtful=doubtful)
        self.last, self.last_ms = raw, ms
        return late

    def _average(self, raw: float, *, doubtful: bool) -> None:
        value = raw * self.config.scale + self.config.offset
        if self._inside(value) and not doubtful:
            self.n += 1
            self.total += value
        else:
            self.outside += 1
            self.outside_total += value

    def _inside(self, value: float) -> bool:
        low, high = self.bounds
        return low <= value <= high and not is_noise(value)

    def _count(self, ms: int, raw: float, start_ms: int) -> tuple[int, float] | None:
        self.n += 1
        if self.last is None:
            self.partial = True
            return None
        if self.last_ms is None:  # how long ago cannot be known, so neither whether it wrapped
            self.partial = True
            return None
        delta = self._grown(raw, (ms - self.last_ms) / 1000)
        if delta is None:
            self.partial = True
            return None
        if self.last_ms < start_ms - self._patience_ms:
            self.partial = True
            return (self.last_ms, delta * self.config.scale) if delta else None
        self.total += delta * self.config.scale
        return None

    def _grown(self, raw: float, elapsed_s: float) -> float | None:
        """Counts since the last reading; None: it was reset, or is another meter."""
        assert self.last is not None  # noqa: S101  (the caller looked)
        possible = (self.config.max_per_s or 0.0) * (elapsed_s + 1) + self.config.least
        delta = raw - self.last
        if delta < 0:
            delta += self.wraps_at or 0
        return delta if 0 <= delta <= possible else None

    @property
    def _patience_ms(self) -> float:
        return PATIENCE_POLLS * self.config.poll_s * 1000 + SLACK_MS

    def close(self, end_ms: int) -> tuple[float | None, Quality, int]:
        """End the step: ``(value, quality, readings)``; the next one begins empty."""
        n, outside = self.n, self.outside
        unread = Quality.MISSING if self.last is None or self.absent else Quality.STALE
        value: float | None
        if self.config.kind == "counter":
            cut = self.last_ms is None or self.last_ms < end_ms - self._patience_ms
            value, quality = self.total, Quality.GAP if self.partial or cut else Quality.GOOD
            if n == 0:
                value, quality = None, unread
            elif quality is Quality.GAP and not value:
                value, quality = None, Quality.MISSING  # a lower bound of 0 says nothing
        elif n:
            value, quality = self.total / n, Quality.SUSPECT if outside else Quality.GOOD
        elif outside:
            value, quality = self.outside_total / outside, Quality.OUT_OF_RANGE
        else:
            value, quality = None, unread
        stuck_s = self.config.stuck_s
        if value is not None and stuck_s is not None and end_ms - self.moved_ms > stuck_s * 1000:
            quality = Quality.STUCK_ON
        self.total = self.outside_total = 0.0
        self.n = self.outside = 0
        self.partial = False
        return value, quality, n + outside

    def state(self) -> list[Any]:
        """What a restart needs, as plain JSON values."""
        return [
            self.last,
            self.last_ms,
            self.moved_ms,
            self.total,
            self.n,
            self.outside,
            self.outside_total,
            self.partial,
        ]

    def restore(self, state: Sequence[Any]) -> None:
        self.last, self.last_ms, self.moved_ms, self.total, self.n = state[:5]
        self.outside, self.outside_total, self.partial = state[5:]


class ValueSource:
    """All values of one kind of sensor, on the node's own clock: a board that is unplugged does not stop them."""

    def __init__(self, name: str, configs: Sequence[ValueConfig], clock: Clock, grid: Grid, ledger: Ledger) -> None:
        """``name`` is one of :data:`FAILS`."""
        self.name = name
        self.each = tuple(Value(c) for c in configs)
        self.datastreams = tuple(c.stream() for c in configs)
        self._ledger = ledger
        self._beat = Beat(clock, grid)
        self._closed: Closed = []

    def read(self, index: int, raw: float | None, *, doubtful: bool = False, wraps_at: float | None = None) -> None:
        """Value ``index`` of the configuration was read.

        Args:
            raw: None: the sensor answers, and says that it has no value now.
            doubtful: a rule of its sensor does not believe it.
            wraps_at: where a counter begins again at 0, where only its device knows.
        """
        ms = self._beat.now_ms()
        self.pass_time(ms)
        sensed = self.each[index]
        if raw is None:
            self._absent(sensed)
            return
        if wraps_at is not None:
            sensed.wraps_at = wraps_at
        late = sensed.read(ms, raw, self._beat.start_ms, doubtful=doubtful)
        self._ledger.end(FAILS[self.name], sensed.config.datastream)
        if late is not None:
            since_ms, value = late
            self._closed.append(
                Loss(
                    sensed.config.datastream,
                    since_ms * 1_000_000,
                    ms * 1_000_000,
                    0,
                    value,
                    sensed.config.unit,
                    {"what": "counted by the meter while it could not be read"},
                )
            )

    def _absent(self, sensed: Value) -> None:
        """One that has had a value says so in its quality alone: every inverter has none at night."""
        sensed.failures = 0
        sensed.absent += 1
        name = sensed.config.datastream
        if sensed.last is not None:
            self._ledger.end(FAILS[self.name], name)
        elif sensed.absent >= PATIENCE_POLLS:
            why = f"{name} answers, and has never had a value: is it there, and are its type and byte order right?"
            self._ledger.begin(FAILS[self.name], name, why, severe=False)

    def fail(self, index: int, why: str) -> None:
        """Value ``index`` could not be read."""
        sensed = self.each[index]
        sensed.absent = 0
        sensed.failures += 1
        if sensed.failures >= PATIENCE_POLLS:
            self._ledger.begin(FAILS[self.name], sensed.config.datastream, why[:256], severe=False)

    def pass_time(self, ms: int | None = None) -> None:
        """The node's clock reads ``ms``, or whatever it reads now."""
        ms = self._beat.now_ms() if ms is None else ms
        if not self._beat.started:
            for sensed in self.each:
                sensed.partial = sensed.config.kind == "counter"
                sensed.moved_ms = ms
        for ended in self._beat.pass_time(ms):
            closed = [sensed.close(ended.end_ms) for sensed in self.each]
            self._closed.append(
                Step(
                    ended.grid,
                    ended.start_ms * 1_000_000,
                    ended.end_ms * 1_000_000,
                    0,
                    [value for value, _, _ in closed],
                    [quality for _, quality, _ in closed],
                    [n for _, _, n in closed],
                )
            )

    def readings(self, at: Stamp) -> list[Reading]:
        """What each shows now, for people at the cabinet."""
        readings: list[Reading] = []
        for sensed in self.each:
            value, quality = sensed.live
            name, unit = sensed.config.datastream, sensed.config.unit
            readings.append(Reading(datastream=name, value=value, unit=unit, quality=quality, at=at))
        return readings

    def closed(self) -> Closed:
        closed, self._closed = self._closed, []
        return closed

    def next_number(self, grid: int) -> None:
        self._beat.next_number(grid)

    def state(self) -> dict[str, Any]:
        return self._beat.state() | {"each": {r.config.key: r.state() for r in self.each}}

    def restore(self, state: Mapping[str, Any]) -> None:
        same = self._beat.restore(state)
        for sensed in self.each:
            known = state["each"].get(sensed.config.key)
            if known is not None and same:
                sensed.restore(known)
            elif known is not None:
                sensed.last = known[0]
