"""Pedestrian delay, the log of preemptions, and whether the data that they span are whole."""

from __future__ import annotations

from typing import NamedTuple

from wayside.edge.measures.layout import Row, Settings

WALK, CLEARANCE, BUTTON = 21, 22, 90
PREEMPT_ON, PREEMPT_OFF = 102, 104
LAST_STANDARD = 218  # codes above it are a maker's own


class _Open(NamedTuple):
    start_ms: int
    code: int
    whole: bool  # the bins that it has gone through have data


class _Ended(NamedTuple):
    measure: str
    start_ms: int
    end_ms: int
    parameter: int
    valid: bool


class Intervals:
    """Is told every event, in order of time and then of code. An interval is valid where each of its bins has data."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._bin_ms = settings, settings.bin_ms
        self._bin: int | None = None  # start of the open one
        self._parts: dict[int, int] = {}  # of the open bin: part → events
        self._pressed: dict[int, _Open] = {}  # phase → first press since its last clearance
        self._last_ped: dict[int, int] = {}
        self._preempts: dict[int, _Open] = {}
        self._ended: list[_Ended] = []  # in the open bin
        self._rows: list[Row] = []

    def take(self, ms: int, code: int, parameter: int) -> None:
        self.pass_time(ms)
        if code <= LAST_STANDARD:
            part = ms // self._settings.no_data_ms
            self._parts[part] = self._parts.get(part, 0) + 1
        if code in (WALK, CLEARANCE, BUTTON):
            self._pedestrian(ms, code, parameter)
        elif code in (PREEMPT_ON, PREEMPT_OFF):
            self._preempt(ms, code, parameter)

    def _pedestrian(self, ms: int, code: int, phase: int) -> None:
        before = self._last_ped.get(phase)
        self._last_ped[phase] = code
        if code == BUTTON:
            if before in (CLEARANCE, None):
                self._pressed[phase] = _Open(ms, code, True)
        elif (pressed := self._pressed.pop(phase, None)) is not None:
            self._ended.append(_Ended("ped_delay", pressed.start_ms, ms, phase, pressed.whole))

    def _preempt(self, ms: int, code: int, number: int) -> None:
        opened = self._preempts.pop(number, None)
        if opened is not None and (opened.code, code) != (PREEMPT_OFF, PREEMPT_ON):
            paired = opened.code == PREEMPT_ON and code == PREEMPT_OFF
            self._ended.append(_Ended("preemption", opened.start_ms, ms, number, opened.whole and paired))
        self._preempts[number] = _Open(ms, code, True)

    def pass_time(self, now_ms: int) -> None:
        """Close the bins that ended before ``now_ms``."""
        start = now_ms // self._bin_ms * self._bin_ms
        if self._bin is None:
            self._bin = start
        if start == self._bin:
            return
        self._close(start - self._bin > self._bin_ms)
        self._bin = start

    def _close(self, silent_after: bool) -> None:
        settings = self._settings
        parts = self._bin_ms // settings.no_data_ms
        whole = sum(n >= settings.min_events for n in self._parts.values()) == parts
        self._parts.clear()
        waits: dict[int, list[float]] = {}
        for one in self._ended:
            lasted_s = (one.end_ms - one.start_ms) / 1000
            valid = one.valid and whole
            if lasted_s < settings.min_interval_s:
                continue
            if one.measure == "ped_delay":
                if valid:
                    waits.setdefault(one.parameter, []).append(lasted_s)
            else:
                values: dict[str, float | int] = {"duration_s": lasted_s, "valid": int(valid)}
                self._rows.append(Row("preemption", one.start_ms, one.parameter, values))
        assert self._bin is not None  # noqa: S101  (there was an event)
        for phase, each in sorted(waits.items()):
            mean = {"mean_s": sum(each) / len(each), "samples": len(each)}
            self._rows.append(Row("ped_delay", self._bin, phase, mean))
        self._ended.clear()
        if not whole or silent_after:
            for opened in (self._pressed, self._preempts):
                for key, spanning in opened.items():
                    opened[key] = spanning._replace(whole=False)

    def end(self) -> None:
        if self._bin is not None:
            self._close(False)
            self._bin = None

    def rows(self) -> list[Row]:
        """Those of bins that have ended; they are forgotten."""
        rows, self._rows = self._rows, []
        return rows
