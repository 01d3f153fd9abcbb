"""What each detector channel is, judged by its events alone. Pure; the configuration gives only the candidates.

Two passes. First the **stop lines**: channels whose vehicles leave in the green of some phases and hardly ever in red.
Then the loops upstream, by the stop lines that their vehicles reach. What is left within :data:`MARGIN` nats of the
best stands beside it in the answer: a channel is decided when all that is left shares a phase.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from wayside.contracts.actuator_config import LoopFunction
from wayside.edge.commission.wiring.evidence import (
    Discharge,
    Windows,
    balance,
    discharge,
    following,
    release_delays,
    restarts,
)
from wayside.edge.commission.wiring.observed import Array, Observed

Movement = frozenset[int]
"""phases in which a lane may go"""

LEAST_VEHICLES = 8
MARGIN = 8.0  # nats between what is believed and what is not
MARGIN_PER_VEHICLE = 0.2  # of a stop line: what no model of a discharge is exact about grows with their number
_STRAYS = 0.06  # share in red that a stop line may have: right turns on red, late starters
_STOP_LINE_S = 4.4  # a vehicle at the stop line has left by then
_MIDDLE_S = 8.5  # and one four vehicles behind it
_MIDDLE_LAG_S = 2.4  # from a middle loop to the stop line in free flow
_LAG_NATS = 6.0
_LEAST_DELAYS = 3
_PULSE_MS = 400.0  # a counting detector tells no presence


class Estimate(NamedTuple):
    """What a channel is."""

    vehicles: int
    movements: tuple[Movement, ...]
    """that remain possible, the likeliest first; none: nothing is known"""
    phases: Movement
    """that all of them share; empty: undecided"""
    function: LoopFunction | None
    confidence: float
    """of the phase, 0 to 1; 0.98 at the margin"""


def estimate(observed: Observed, channels: Sequence[int], movements: Sequence[Movement]) -> Mapping[int, Estimate]:
    """Judge ``channels``; ``movements`` are those that lanes of this intersection can have."""
    windows = {m: _windows(observed, m) for m in movements}
    windows = {m: w for m, w in windows.items() if w.tells}
    loops = {c: _Loop(observed.occupied.get(c, _NO_ROWS), windows) for c in channels}
    stop_lines = {c: loop for c, loop in loops.items() if loop.is_stop_line}
    pairs = [
        _Pair(a, b)
        for a, b in itertools.combinations(stop_lines.values(), 2)
        if any(a.best | b.best <= m for m in windows)
    ]
    estimates = {}
    for channel, loop in loops.items():
        if channel in stop_lines:
            estimates[channel] = _estimate(loop, loop.scores, loop.margin, "stop_line")
        else:
            scores, lag_s = _upstream(loop, list(stop_lines.values()), pairs)
            estimates[channel] = _estimate(loop, scores, MARGIN, None, lag_s)
    return estimates


_NO_ROWS: Array = np.zeros((0, 2))


def _windows(observed: Observed, movement: Movement) -> Windows:
    greens = [observed.greens[p] for p in movement if p in observed.greens]
    return Windows(np.concatenate(greens) if greens else _NO_ROWS, observed.start_ms, observed.end_ms)


class _Loop:
    """A channel with what its own events tell."""

    def __init__(self, occupied: Array, windows: Mapping[Movement, Windows]) -> None:
        self.occupied, self.windows = occupied, windows
        self.rises, self.falls = occupied[:, 0], occupied[:, 1]
        self.vehicles = len(occupied)
        self.discharge: dict[Movement, Discharge] = {m: discharge(self.falls, w) for m, w in windows.items()}
        self.restarts = {m: restarts(occupied, w) for m, w in windows.items()}
        self.scores = {m: d.score + self.restarts[m] for m, d in self.discharge.items()}
        self.best: Movement = max(self.scores, key=lambda m: self.scores[m], default=frozenset())

    @cached_property
    def rate(self) -> Array:
        """Of its arrivals, by bin of the likeliest movement."""
        return discharge(self.rises, self.windows[self.best]).rate

    @cached_property
    def possible(self) -> list[Movement]:
        return _possible(self.scores, self.margin)

    @property
    def margin(self) -> float:
        return max(MARGIN, MARGIN_PER_VEHICLE * self.vehicles)

    @property
    def is_stop_line(self) -> bool:
        if self.vehicles < LEAST_VEHICLES or not self.scores:
            return False
        return self.scores[self.best] >= MARGIN and any(self._starts_at_once(m) for m in self.possible)

    def _starts_at_once(self, movement: Movement) -> bool:
        if self.discharge[movement].in_red > _STRAYS:
            return False
        delays = release_delays(self.occupied, self.windows[movement])
        if len(delays) >= _LEAST_DELAYS:
            return bool(np.median(delays) < _STOP_LINE_S)
        return bool(np.quantile(self.falls - self.rises, 0.9) <= _PULSE_MS)


class _Pair:
    """Two stop lines that one loop upstream may feed."""

    def __init__(self, a: _Loop, b: _Loop) -> None:
        self.loops = (a, b)
        self.falls = np.sort(np.concatenate([a.falls, b.falls]))


def _possible(scores: Mapping[Movement, float], margin: float) -> list[Movement]:
    ranked = sorted(scores, key=lambda m: -scores[m])
    return [m for m in ranked if scores[m] > scores[ranked[0]] - margin]


def _upstream(
    loop: _Loop, stop_lines: Sequence[_Loop], pairs: Sequence[_Pair]
) -> tuple[dict[Movement, float], float | None]:
    """Scores of a loop by the stop lines that its vehicles reach; the lag to them, s, if one is seen."""
    best = dict.fromkeys(loop.scores, 0.0)
    lag_s, lag_score = None, _LAG_NATS
    if loop.vehicles < LEAST_VEHICLES:
        return best, None
    for stop in stop_lines:
        windows = stop.windows[stop.best]
        follow, lag = following(loop.falls, stop.rises, windows, stop.rate)
        score = follow + balance(loop.falls, stop.falls, windows)
        if follow > lag_score:
            lag_s, lag_score = lag, follow
        for movement in stop.possible:
            best[movement] = max(best[movement], score)
    for pair in pairs:
        first = pair.loops[0]
        score = balance(loop.falls, pair.falls, first.windows[first.best])
        for movement in best:
            if all(any(m & movement for m in of.possible) for of in pair.loops):
                best[movement] = max(best[movement], score)
    return {m: score + loop.restarts[m] for m, score in best.items()}, lag_s


def _estimate(
    loop: _Loop,
    scores: Mapping[Movement, float],
    margin: float,
    function: LoopFunction | None,
    lag_s: float | None = None,
) -> Estimate:
    possible = _possible(scores, margin)
    if loop.vehicles < LEAST_VEHICLES or not possible or scores[possible[0]] < margin:
        return Estimate(loop.vehicles, (), frozenset(), None, 0.0)
    phases = frozenset.intersection(*possible)
    if function is None and phases:
        function = _function(loop, possible[0], lag_s)
    rivals = [scores[m] for m in scores if not m & possible[0]]
    ahead = scores[possible[0]] - max(rivals, default=0.0)
    confidence = 1 / (1 + math.exp(-4 * min(ahead / margin, 20.0)))
    return Estimate(loop.vehicles, tuple(possible), phases, function, round(confidence, 4))


def _function(loop: _Loop, movement: Movement, lag_s: float | None) -> LoopFunction:
    """Of a loop that is not at the stop line: how far from it."""
    delays = release_delays(loop.occupied, loop.windows[movement])
    if len(delays) >= _LEAST_DELAYS:
        return "middle" if np.median(delays) <= _MIDDLE_S else "advance"
    return "middle" if lag_s is not None and lag_s <= _MIDDLE_LAG_S else "advance"
