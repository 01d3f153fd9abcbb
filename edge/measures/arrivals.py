"""Arrivals on green, platoon ratio, approach delay and the coordination diagram's histogram, of one phase."""

from __future__ import annotations

import struct
from collections import deque

from wayside.edge.measures.layout import Row, Settings

GREEN, YELLOW, RED = 1, 8, 10
SLOT_MS = 5000  # of the histogram
SLOTS = 24  # the last one is open
ARRIVAL_TYPES = (0.5, 0.85, 1.15, 1.5, 2.0)
"""Upper ends of the platoon ratio for HCM's arrival types 1 to 5; 6 is beyond."""


def single(value: float) -> float:
    """``value`` in the single precision in which the library compares it."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


class _Bin:
    __slots__ = (
        "cycle_ms",
        "cycles",
        "delay_ms",
        "green_begin_ms",
        "on_green",
        "on_red",
        "slots",
        "total",
        "yellow_ms",
    )

    def __init__(self) -> None:
        self.total = self.on_green = self.on_red = self.delay_ms = 0
        self.slots = [0] * SLOTS
        self.cycles = self.cycle_ms = self.green_begin_ms = self.yellow_ms = 0


class PhaseArrivals:
    """Is told the phase's codes 1, 8, 10 and its advance detectors' code 82, in order of time and then of code."""

    def __init__(self, phase: int, settings: Settings) -> None:
        self._phase, self._bin_ms, self._latency_ms = phase, settings.bin_ms, settings.latency_ms
        self._patience_ms = settings.patience_ms
        self._queue: deque[tuple[int, int]] = deque()  # phase events that a late detector may still precede
        self._state = 0  # the highest of 1, 8, 10 since green began, as the library has it
        self._cycle: dict[int, int] = {}  # code → when, of the cycle that began with red
        self._waiting: dict[int, tuple[int, int]] = {}  # bin → arrivals on red, sum of their times
        self._bins: dict[int, _Bin] = {}
        self._green = GreenTime(settings.bin_ms)

    def on_phase(self, ms: int, code: int) -> None:
        self._green.take(ms, code)
        if self._latency_ms:
            self._queue.append((ms, code))
        else:
            self._show(ms, code)

    def on_arrival(self, ms: int) -> None:
        at = ms - self._latency_ms
        self._release(at)
        start = at // self._bin_ms * self._bin_ms
        one = self._bins.get(start) or self._bins.setdefault(start, _Bin())
        one.total += 1
        if self._state == GREEN:
            one.on_green += 1
        elif self._state == RED:
            n, total = self._waiting.get(start, (0, 0))
            self._waiting[start] = (n + 1, total + at)
        if RED in self._cycle:
            one.slots[min((at - self._cycle[RED]) // SLOT_MS, SLOTS - 1)] += 1

    def _release(self, until_ms: int) -> None:
        while self._queue and self._queue[0][0] <= until_ms:
            self._show(*self._queue.popleft())

    def _show(self, ms: int, code: int) -> None:
        if code == GREEN:
            self._state = GREEN
            for start, (n, total) in self._waiting.items():
                one = self._bins[start]
                one.on_red += n
                one.delay_ms += n * ms - total
            self._waiting.clear()
        else:
            self._state = max(self._state, code)
        if code == RED:
            seen = self._cycle
            if len(seen) == 3:
                one = self._bins.setdefault(ms // self._bin_ms * self._bin_ms, _Bin())
                one.cycles += 1
                one.cycle_ms += ms - seen[RED]
                one.green_begin_ms += seen[GREEN] - seen[RED]
                one.yellow_ms += seen[YELLOW] - seen[RED]
            self._cycle = {RED: ms}
        elif self._cycle:
            self._cycle.setdefault(code, ms)

    def frontier(self, now_ms: int) -> int:
        """Nothing before it changes any more."""
        self._release(now_ms - self._latency_ms)
        for start in [s for s in self._waiting if s + self._bin_ms < now_ms - self._patience_ms]:
            self._bins[start].on_red += self._waiting.pop(start)[0]  # their delay is not known, and counts as none
        return min(now_ms - self._latency_ms, self._green.frontier(now_ms, self._patience_ms), *self._waiting)

    def end(self) -> None:
        self._release(2**62)
        for start, (n, _) in self._waiting.items():
            self._bins[start].on_red += n
        self._waiting.clear()
        self._green.end()

    def rows(self, until_ms: int) -> list[Row]:
        """Of the bins that end by ``until_ms``; they are forgotten."""
        rows: list[Row] = []
        for start in sorted(s for s in self._bins if s + self._bin_ms <= until_ms):
            one = self._bins.pop(start)
            if one.on_green:
                share = one.on_green / one.total
                rows.append(Row("arrival_on_green", start, self._phase, {"total": one.total, "share": share}))
                green_s = self._green.seconds.get(start, 0.0)
                if green_s > 0:
                    rows.append(Row("platoon_ratio", start, self._phase, self._platoon(one, green_s)))
            if one.total:
                delay = {"arrivals": one.total, "on_red": one.on_red, "delay_s": one.delay_ms / 1000}
                rows.append(Row("approach_delay", start, self._phase, delay))
            if one.total or one.cycles:
                rows.append(Row("coordination", start, self._phase, _coordination(one)))
        self._green.forget(until_ms)
        return rows

    def _platoon(self, one: _Bin, green_s: float) -> dict[str, float | int]:
        share = single(one.on_green / one.total)
        ratio = single(share / (green_s / (self._bin_ms / 1000)))
        arrival_type = 1 + sum(ratio > single(top) for top in ARRIVAL_TYPES)
        green_ratio = green_s / (self._bin_ms / 1000)
        return {
            "total": one.total,
            "on_green": one.on_green,
            "green_s": green_s,
            "green_ratio": green_ratio,
            "platoon_ratio": ratio,
            "arrival_type": arrival_type,
        }


def _coordination(one: _Bin) -> dict[str, float | int]:
    """Means are from the beginning of red, where the Purdue coordination diagram's cycle begins."""
    values: dict[str, float | int] = {"cycles": one.cycles}
    if one.cycles:
        values |= {
            "cycle_s": one.cycle_ms / 1000 / one.cycles,
            "green_begins_s": one.green_begin_ms / 1000 / one.cycles,
            "yellow_begins_s": one.yellow_ms / 1000 / one.cycles,
        }
    return values | {f"slot_{i}": n for i, n in enumerate(one.slots)}


class GreenTime:
    """Seconds of green in each bin."""

    def __init__(self, bin_ms: int) -> None:
        self._bin_ms = bin_ms
        self._before: int | None = None  # the code before: 1 or 8
        self._since = 0
        self.seconds: dict[int, float] = {}

    def take(self, ms: int, code: int) -> None:
        if code not in (GREEN, YELLOW):
            return
        if self._before == GREEN:
            self._add(self._since, ms)
        elif code == YELLOW:  # what came before is not known: green since its bin began
            self._add(ms // self._bin_ms * self._bin_ms, ms)
        self._before, self._since = code, ms

    def _add(self, begin: int, end: int) -> None:
        while begin < end:
            start = begin // self._bin_ms * self._bin_ms
            stop = min(end, start + self._bin_ms)
            self.seconds[start] = self.seconds.get(start, 0.0) + (stop - begin) / 1000
            begin = stop

    def frontier(self, now_ms: int, patience_ms: int) -> int:
        if self._before != GREEN:
            return now_ms
        if now_ms - self._since > patience_ms:
            self._add(self._since, now_ms)
            self._since = now_ms
        return self._since

    def end(self) -> None:
        if self._before == GREEN:  # to the end of its bin, as the library has it
            self._add(self._since, (self._since // self._bin_ms + 1) * self._bin_ms)
            self._before = None

    def forget(self, until_ms: int) -> None:
        for start in [s for s in self.seconds if s + self._bin_ms <= until_ms]:
            del self.seconds[start]
