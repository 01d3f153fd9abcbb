"""Split failures of one phase: occupied through its green and still at the beginning of red (GOR and ROR)."""

from __future__ import annotations

import heapq
from collections.abc import Collection

from wayside.edge.measures.layout import Row, Settings

GREEN, YELLOW, RED, BARRIER = 1, 8, 10, 11  # the barrier ends the part of red that is judged
OFF, ON = 81, 82
RAPID_MS = 2000  # two ONs within it: the OFF between them was at the second


class _Cycle:
    __slots__ = ("barriers", "end_ms", "occupied_ms", "state", "total_ms", "unknown", "yellows")

    def __init__(self, unknown: bool) -> None:
        self.state, self.unknown = GREEN, unknown
        self.yellows = self.barriers = self.end_ms = 0
        self.total_ms, self.occupied_ms = {GREEN: 0, RED: 0}, {GREEN: 0, RED: 0}

    def judged(self) -> bool:
        return self.yellows == 1 and self.barriers == 1 and not self.unknown and self.total_ms[GREEN] > 0


class _Bin:
    __slots__ = ("cycles", "failures", "gor", "green_s", "ror")

    def __init__(self) -> None:
        self.cycles = self.failures = 0
        self.green_s = self.gor = self.ror = 0.0


class PhaseOccupancy:
    """Is told the phase's codes 1, 8, 10 and its stop line detectors' 81 and 82, in order of time and then of code.

    An edge whose counterpart was lost is put halfway between its neighbours, as the library does; so what follows a
    detector's last edge is settled only by its next one, and waits in ``_ahead``. Times there are half milliseconds.
    """

    def __init__(self, phase: int, detectors: Collection[int], settings: Settings) -> None:
        self._phase, self._settings, self._bin_ms = phase, settings, settings.bin_ms
        self._last: dict[int, tuple[int, int]] = {}  # detector → ms, code
        self._detectors = frozenset(detectors)
        self._ahead: list[tuple[int, int]] = []  # heap of (half ms, code)
        self._at = -(2**62)  # half ms up to which all is settled
        self._on: int | None = None  # how many detectors are occupied; None: not known
        self._cycle: _Cycle | None = None
        self._bins: dict[int, _Bin] = {}

    def on_phase(self, ms: int, code: int) -> None:
        heapq.heappush(self._ahead, (2 * ms, code))
        if code == RED:
            heapq.heappush(self._ahead, (2 * (ms + self._settings.red_ms), BARRIER))

    def on_edge(self, ms: int, code: int, detector: int) -> None:
        last = self._last.get(detector)
        if last is None:
            if code == OFF:
                self._put(2 * ms - 2, ON)
        elif last[1] == code:
            lasted = ms - last[0]
            self._put(2 * ms if code == ON and lasted <= RAPID_MS else 2 * ms - lasted, OFF if code == ON else ON)
        self._put(2 * ms, code)
        self._last[detector] = (ms, code)

    def _put(self, half_ms: int, code: int) -> None:
        heapq.heappush(self._ahead, (max(half_ms, self._at), code))

    def frontier(self, now_ms: int) -> int:
        """Nothing before it changes any more."""
        patience_ms = self._settings.patience_ms // 2  # for a silent detector, and then as much for the next green
        silent = 2 * (now_ms - patience_ms)
        settled = min((max(2 * ms + 1, silent) for ms, _ in self._last.values()), default=2**62)
        self._settle(min(2 * now_ms - 2, settled))
        cycle, reached = self._cycle, self._at // 2
        if cycle is not None and cycle.barriers:
            if cycle.end_ms >= reached - patience_ms:
                return min(reached, cycle.end_ms)
            self._finish()
        return reached

    def end(self, last_ms: int) -> None:
        """The log ends at ``last_ms``: what its last bin does not hold is not judged."""
        self._settle(2 * (last_ms // self._bin_ms + 1) * self._bin_ms)
        self._ahead.clear()
        self._finish()

    def _settle(self, limit: int) -> None:
        ahead = self._ahead
        while ahead and ahead[0][0] < limit:
            half, code = heapq.heappop(ahead)
            self._pass(half)
            if code < OFF:
                self._show(half // 2, code)
                continue
            change = 1 if code == ON else -1
            while ahead and ahead[0][0] == half:  # edges of one moment count together
                change += 1 if heapq.heappop(ahead)[1] == ON else -1
            self._on = (self._on or 0) + change
        if limit > self._at:
            self._pass(limit)

    def _pass(self, half: int) -> None:
        cycle = self._cycle
        if cycle is not None and cycle.state in cycle.total_ms:
            lasted = half // 2 - self._at // 2
            cycle.total_ms[cycle.state] += lasted
            if self._on:
                cycle.occupied_ms[cycle.state] += lasted
        self._at = max(half, self._at)

    def _show(self, ms: int, code: int) -> None:
        if code == GREEN:
            self._finish()
            self._cycle = _Cycle(self._on is None)
            return
        cycle = self._cycle
        if cycle is None:
            return
        if code == YELLOW:
            cycle.yellows += 1
        elif code == BARRIER:
            cycle.barriers += 1
            cycle.end_ms = ms
        cycle.state = max(cycle.state, code)

    def _finish(self) -> None:
        cycle, self._cycle = self._cycle, None
        if cycle is None or not cycle.judged():
            return
        start = cycle.end_ms // self._bin_ms * self._bin_ms
        one = self._bins.get(start) or self._bins.setdefault(start, _Bin())
        gor = cycle.occupied_ms[GREEN] / cycle.total_ms[GREEN]
        ror = cycle.occupied_ms[RED] / self._settings.red_ms
        one.cycles += 1
        one.green_s += cycle.total_ms[GREEN] / 1000
        one.gor += gor
        one.ror += ror
        one.failures += gor >= self._settings.green_occupancy and ror >= self._settings.red_occupancy

    def rows(self, until_ms: int) -> list[Row]:
        """Of the bins that end by ``until_ms``; they are forgotten."""
        rows: list[Row] = []
        for start in sorted(s for s in self._bins if s + self._bin_ms <= until_ms):
            one = self._bins.pop(start)
            values = {
                "cycles": one.cycles,
                "green_s": one.green_s / one.cycles,
                "green_occupancy": one.gor / one.cycles,
                "red_occupancy": one.ror / one.cycles,
                "failures": one.failures,
            }
            rows.append(Row("split_failures", start, self._phase, values))
        return rows
