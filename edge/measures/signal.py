"""All measures of one signal, event by event."""

from __future__ import annotations

from wayside.edge.measures.arrivals import PhaseArrivals
from wayside.edge.measures.change import PhaseChange
from wayside.edge.measures.greens import Greens
from wayside.edge.measures.intervals import Intervals
from wayside.edge.measures.layout import Layout, Row, Settings
from wayside.edge.measures.occupancy import PhaseOccupancy

OFF, ON = 81, 82
HEADS = frozenset((1, 8, 10))
GREENS = frozenset((1, 4, 5, 6, 8))
NEVER = 2**62
DEFAULTS = Settings()


class SignalMeasures:
    """Is told events in order of time; rows come when nothing that they are made of can change any more.

    Memory is bounded by the layout, :attr:`Settings.patience_ms` and the events of that time whose detector is silent.
    """

    def __init__(self, layout: Layout, settings: Settings = DEFAULTS) -> None:
        self._layout, self._bin_ms = layout, settings.bin_ms
        self._arrivals = {p: PhaseArrivals(p, settings) for p in layout.by_phase(layout.advance)}
        self._occupancy = {p: PhaseOccupancy(p, d, settings) for p, d in layout.by_phase(layout.presence).items()}
        self._change = {p: PhaseChange(p, settings) for p in layout.by_phase(layout.yellow_red)}
        self._greens = Greens(settings)
        self._intervals = Intervals(settings)
        self._now_ms = -NEVER
        self._moment: set[tuple[int, int]] = set()  # (code, parameter) of ``_now_ms``

    def take(self, ms: int, code: int, parameter: int) -> None:
        """One event. One that comes twice counts once; one that comes late counts now."""
        if ms > self._now_ms:
            if self._moment:
                self._flush()
            self._now_ms = ms
        self._moment.add((code, parameter))

    def _flush(self) -> None:
        ms, layout = self._now_ms, self._layout
        for code, parameter in sorted(self._moment):
            self._intervals.take(ms, code, parameter)
            if code in GREENS:
                self._greens.take(ms, code, parameter)
            if code in HEADS:
                for parts in (self._arrivals, self._occupancy, self._change):
                    if (part := parts.get(parameter)) is not None:
                        part.on_phase(ms, code)
            elif code in (ON, OFF):
                for phase in layout.presence.get(parameter, ()):
                    self._occupancy[phase].on_edge(ms, code, parameter)
                if code == ON:
                    for phase in layout.advance.get(parameter, ()):
                        self._arrivals[phase].on_arrival(ms)
                    for phase in layout.yellow_red.get(parameter, ()):
                        self._change[phase].on_crossing(ms)
        self._moment.clear()

    def rows(self, now_ms: int) -> list[Row]:
        """What became final by ``now_ms``, up to which all events were told."""
        self._flush()
        self._now_ms = max(now_ms, self._now_ms)
        self._intervals.pass_time(now_ms)
        rows = self._greens.rows(now_ms) + self._intervals.rows()
        for parts in (self._arrivals, self._occupancy, self._change):
            for part in parts.values():
                rows += part.rows(part.frontier(now_ms))
        return rows

    def end(self) -> list[Row]:
        """The rest, as the library judges the end of a log."""
        self._flush()
        last_ms = self._now_ms
        self._intervals.end()
        rows = self._greens.rows(NEVER) + self._intervals.rows()
        for arrivals in self._arrivals.values():
            arrivals.frontier(last_ms)
            arrivals.end()
            rows += arrivals.rows(NEVER)
        for occupancy in self._occupancy.values():
            occupancy.end(last_ms)
            rows += occupancy.rows(NEVER)
        for change in self._change.values():
            change.frontier(last_ms)
            change.end()
            rows += change.rows(NEVER)
        return rows
