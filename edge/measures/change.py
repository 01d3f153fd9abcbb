"""Actuations in yellow and red of one phase: when vehicles cross the stop line, against the beginning of red."""

from __future__ import annotations

from collections import deque

from wayside.edge.measures.layout import Row, Settings

GREEN, YELLOW, RED = 1, 8, 10
MAX_OFFSETS = 4096  # different ones of one cycle; one with more is not judged


class _Cycle:
    __slots__ = ("offsets", "red_ms", "reds", "state", "yellows")

    def __init__(self) -> None:
        self.state = GREEN
        self.yellows = self.reds = self.red_ms = 0
        self.offsets: dict[tuple[int, float], int] = {}  # (state, offset in s)

    def judged(self) -> bool:
        return self.yellows == 1 and self.reds == 1 and len(self.offsets) < MAX_OFFSETS


class PhaseChange:
    """Is told the phase's codes 1, 8, 10 and its stop line detectors' 82, in order of time and then of code."""

    def __init__(self, phase: int, settings: Settings) -> None:
        self._phase, self._settings, self._bin_ms = phase, settings, settings.bin_ms
        self._queue: deque[tuple[int, int]] = deque()
        self._before_red: deque[tuple[int, int]] = deque()  # (ms, state)
        self._keep_ms = round(-settings.min_red_offset_s * 1000) + 250
        self._cycle: _Cycle | None = None
        self._bins: dict[int, dict[tuple[int, float], int]] = {}

    def on_phase(self, ms: int, code: int) -> None:
        if self._settings.latency_ms:
            self._queue.append((ms, code))
        else:
            self._show(ms, code)

    def on_crossing(self, ms: int) -> None:
        at = ms - self._settings.latency_ms
        self._release(at)
        cycle = self._cycle
        if cycle is None:
            return
        if cycle.reds:
            self._count(cycle, at, cycle.state)
            return
        while self._before_red and self._before_red[0][0] < at - self._keep_ms:
            self._before_red.popleft()
        self._before_red.append((at, cycle.state))

    def _count(self, cycle: _Cycle, at: int, state: int) -> None:
        offset = half_seconds(at - cycle.red_ms)
        if offset >= self._settings.min_red_offset_s and len(cycle.offsets) < MAX_OFFSETS:
            cycle.offsets[state, offset] = cycle.offsets.get((state, offset), 0) + 1

    def _release(self, until_ms: int) -> None:
        while self._queue and self._queue[0][0] <= until_ms:
            self._show(*self._queue.popleft())

    def _show(self, ms: int, code: int) -> None:
        if code == GREEN:
            self._finish()
            self._cycle = _Cycle()
            return
        cycle = self._cycle
        if cycle is None:
            return
        cycle.state = max(cycle.state, code)
        if code == YELLOW:
            cycle.yellows += 1
            return
        cycle.reds += 1
        if cycle.reds == 1:
            cycle.red_ms = ms
            for at, state in self._before_red:
                self._count(cycle, at, state)
            self._before_red.clear()

    def _finish(self) -> None:
        cycle, self._cycle = self._cycle, None
        self._before_red.clear()
        if cycle is None or not cycle.judged():
            return
        bins = self._bins.setdefault(cycle.red_ms // self._bin_ms * self._bin_ms, {})
        for key, n in cycle.offsets.items():
            bins[key] = bins.get(key, 0) + n

    def frontier(self, now_ms: int) -> int:
        """Nothing before it changes any more."""
        now_ms -= self._settings.latency_ms
        self._release(now_ms)
        cycle = self._cycle
        if cycle is not None and cycle.reds:
            if cycle.red_ms >= now_ms - self._settings.patience_ms:
                return cycle.red_ms
            self._finish()
        return now_ms

    def end(self) -> None:
        self._release(2**62)
        self._finish()

    def rows(self, until_ms: int) -> list[Row]:
        """Of the bins that end by ``until_ms``; they are forgotten."""
        rows: list[Row] = []
        for start in sorted(s for s in self._bins if s + self._bin_ms <= until_ms):
            for (state, offset), n in sorted(self._bins.pop(start).items()):
                values: dict[str, float | int] = {"state": state, "red_offset_s": offset, "count": n}
                rows.append(Row("yellow_red", start, self._phase, values))
        return rows


def half_seconds(ms: int) -> float:
    """Rounded to half a second, halves away from zero."""
    n = (2 * abs(ms) + 500) // 1000
    return (n if ms >= 0 else -n) / 2
