"""The board's events as high-resolution codes: measures of the signal as rows, and a buffer for the local log.

Sans-I/O. The measures go on through losses, as the definitions allow (a cycle that is not whole is not judged); the
rows of such an interval have the quality ``gap``. After a restart of the agent the open interval begins anew, with the
same quality.
"""

from __future__ import annotations

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.reading import GOOD, Quality
from wayside.contracts.summary import INTERVAL, Kind
from wayside.edge.clock import BoardTime, Clock, stamp
from wayside.edge.ledger import Ledger
from wayside.edge.measures.codes import codes_of
from wayside.edge.measures.layout import Layout, Row, Settings
from wayside.edge.measures.signal import SignalMeasures
from wayside.edge.measures.summary import summaries
from wayside.firmware_bridge.line.messages import Event

GREENS = "{green}"  # UCUM annotation
QUARTER_S = 900
PATIENCE_MS = 300_000  # after an interval's end: who still waits for green then is judged as it stands
ASK_MS = 10_000
JUMP_MS = 1000  # of the wall time, beyond the slow correction of a clock
MAX_BUFFERED = 100_000  # events, while the disk takes nothing: an hour and more of a busy intersection


def measure_interval_s(rows_s: int) -> int:
    """Of the measures: the least multiple of the rows' own that has the quarter of an hour of common practice."""
    return rows_s * max(1, -(-QUARTER_S // rows_s))


class HighResolution:
    """What is made of the events of one board, beside its steps."""

    def __init__(
        self,
        signal: SignalConfig | None,
        clock: Clock,
        boot: str,
        ledger: Ledger,
        time: BoardTime,
        *,
        interval_s: int,
        keeps_events: bool,
    ) -> None:
        """``keeps_events``: somebody takes :meth:`take_events`."""
        self._clock, self._boot, self._ledger, self._time = clock, boot, ledger, time
        bin_ms = interval_s * 1000
        self._settings = Settings(bin_ms=bin_ms, no_data_ms=min(300_000, bin_ms), patience_ms=PATIENCE_MS)
        self._layout = Layout.of(signal.loops) if signal is not None and signal.loops else None
        self._measures: SignalMeasures | None = None
        self._keeps = keeps_events
        self._events: list[tuple[int, int, int]] = []
        self._overflowed = False
        self._offset_ms = 0  # of wall time against mono_ns; 0 while it is not known
        self._timed = False
        self._asked_ms = -ASK_MS  # the board's
        self._last_ms = 0
        self._doubtful: set[int] = set()  # bins that events are missing from
        self._rows: list[Row] = []
        self.told_ms: int | None = None
        """Wall time up to which an interval's rows were told, by this run or, where it was restored, one before."""

    def hear(self, event: Event) -> None:
        codes = codes_of(event.kind, event.value)
        if not codes or not self._time.known:
            return
        mono_ns = self._time.mono_ns(event.ms)
        mono_ms = mono_ns // 1_000_000
        if self._keeps:
            self._events += [(mono_ms, code, event.channel) for code in codes]
        if self._layout is not None:
            measures = self._measures or self._start(mono_ns)
            for code in codes:
                measures.take(mono_ms + self._offset_ms, code, event.channel)
        self._last_ms = mono_ms + self._offset_ms
        if len(self._events) > MAX_BUFFERED:
            del self._events[: MAX_BUFFERED // 10]
            if not self._overflowed:
                self._ledger.alert("storage", "the log of events loses its oldest: the disk takes nothing")
            self._overflowed = True

    def lose(self) -> None:
        """Events are missing between the last one and now."""
        if self._measures is not None:
            bin_ms = self._settings.bin_ms
            now_ms = self._clock.mono_ns() // 1_000_000 + self._offset_ms
            self._doubtful.update(range(self._last_ms // bin_ms * bin_ms, now_ms + 1, bin_ms))

    def pass_time(self, ms: int) -> None:
        """The board's clock reads ``ms`` and all that happened before has been told."""
        if 0 <= ms - self._asked_ms < ASK_MS or self._layout is None or not self._time.known:
            return
        self._asked_ms = ms
        now_ns = self._time.mono_ns(ms)
        measures = self._measures or self._start(now_ns)
        wall_ms = self._clock.wall(now_ns).ms
        if wall_ms is not None:
            offset_ms = wall_ms - now_ns // 1_000_000
            if not self._timed or abs(offset_ms - self._offset_ms) > JUMP_MS:
                self._rows += measures.end()
                self._doubt(self._last_ms)
                self._tell(2**62)
                measures = self._start(now_ns)
            self._offset_ms = offset_ms
        self._last_ms = now_ms = now_ns // 1_000_000 + self._offset_ms
        self._rows += measures.rows(now_ms)
        self._tell(now_ms - PATIENCE_MS)

    def _start(self, mono_ns: int) -> SignalMeasures:
        assert self._layout is not None  # noqa: S101  (asked by the callers)
        wall_ms, mono_ms = self._clock.wall(mono_ns).ms, mono_ns // 1_000_000
        self._timed, self._offset_ms = wall_ms is not None, 0 if wall_ms is None else wall_ms - mono_ms
        self._measures = SignalMeasures(self._layout, self._settings)
        self._last_ms = mono_ms + self._offset_ms
        self._doubt(self._last_ms)
        if self._timed:
            self._tell_lost(mono_ms)
        return self._measures

    def _tell_lost(self, mono_ms: int) -> None:
        """What the run before had in memory: the intervals between what it told and this one."""
        bin_ms = self._settings.bin_ms
        start_ms = self._last_ms // bin_ms * bin_ms
        if self.told_ms is not None and self.told_ms < start_ms:
            self._ledger.row(
                Kind.GAP,
                "signal/measures",
                stamp(self._clock, self._boot, mono_ms * 1_000_000, self._time.error_ms),
                duration_s=(start_ms - self.told_ms) / 1000,
                value=float((start_ms - self.told_ms) // bin_ms),
                unit="{interval}",
                detail={"why": "the agent restarted or its clock jumped before these intervals were told"},
            )
        self.told_ms = start_ms

    def _doubt(self, ms: int) -> None:
        self._doubtful.add(ms // self._settings.bin_ms * self._settings.bin_ms)

    def _tell(self, until_ms: int) -> None:
        """Write the rows of the bins that ended by ``until_ms``."""
        bin_ms = self._settings.bin_ms
        if self._timed and until_ms < 2**62:
            self.told_ms = max(self.told_ms or 0, until_ms // bin_ms * bin_ms)
        ready = [r for r in self._rows if r.start_ms + bin_ms <= until_ms or r.measure == "preemption"]
        if not ready:
            return
        self._rows = [r for r in self._rows if r.start_ms + bin_ms > until_ms and r.measure != "preemption"]
        for row in ready:
            if row.measure == "preemption":
                lasted_s = float(row.values["duration_s"])
                end_ms = row.start_ms + round(lasted_s * 1000)
                self._row(f"preempt/{row.phase}", end_ms, lasted_s, lasted_s, "s", good=bool(row.values["valid"]))
        for each in summaries(ready):
            end_ms, greens = each.start_ms + bin_ms, float(each.numbers.get("greens") or 0)
            good = each.start_ms not in self._doubtful
            name = f"phase/{each.phase}/measures"
            self._row(name, end_ms, bin_ms / 1000, greens, GREENS, good=good, numbers=each.numbers)
        self._doubtful = {start for start in self._doubtful if start + bin_ms > until_ms}

    def _row(
        self, name: str, end_ms: int, seconds: float, value: float, unit: str, *, good: bool, numbers: object = None
    ) -> None:
        self._ledger.row(
            INTERVAL,
            name,
            stamp(self._clock, self._boot, (end_ms - self._offset_ms) * 1_000_000, self._time.error_ms),
            duration_s=seconds,
            value=value,
            unit=unit,
            quality=GOOD if good else Quality.GAP,
            n=round(value) if unit == GREENS else 1,
            detail=dict(numbers) if isinstance(numbers, dict) else None,
        )

    def take_events(self) -> tuple[list[tuple[int, int, int]], int | None]:
        """Events that became durable, as (monotonic ms, code, parameter), and what makes wall time of monotonic ms."""
        events, self._events = self._events, []
        self._overflowed = False
        now_ns = self._clock.mono_ns()
        wall_ms = self._clock.wall(now_ns).ms
        return events, None if wall_ms is None else wall_ms - now_ns // 1_000_000
