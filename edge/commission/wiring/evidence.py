"""What speaks for "this detector lies where these phases discharge", as log-likelihood ratios in nats. Pure.

Four kinds of evidence, none of which looks at calls or gap-outs: these follow the wiring that the controller was told
of, right or wrong.

- :func:`discharge`: vehicles leave a stop line in green and not in red, and at other rates early and late in it.
- :func:`restarts`: who stands in red starts at nearly the same delay after *its* green begins, whatever the others do.
- :func:`following`: who passes an upstream loop in free flow passes the stop line one travel time later.
- :func:`balance`: who arrives in a cycle leaves in it (conservation, Kirchhoff's law of a lane).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wayside.edge.commission.wiring.observed import Array

CLEAR_MS = 3000.0  # after the begin of red a last vehicle may still leave
ELAPSED_MS = np.array([0.0, 3e3, 7e3, 12e3, 18e3, 26e3, 40e3, np.inf])  # edges of the bins of elapsed green
CLEARING, RED = 7, 8  # bins after those of green
_BINS = 9
_LOOK_MS = 500.0  # at which exposure is summed up
_LEAST_S = 30.0  # of green, and of red, without which nothing is told


class Windows:
    """When a lane may go: the greens of its phases together, (n, 2) ms."""

    def __init__(self, greens: Array, start_ms: float, end_ms: float) -> None:
        merged: list[list[float]] = []
        for begin, red in greens[np.argsort(greens[:, 0])]:
            if merged and begin <= merged[-1][1] + 1000:
                merged[-1][1] = max(merged[-1][1], red)
            else:
                merged.append([begin, red])
        self.rows: Array = np.array(merged, dtype=np.float64).reshape(-1, 2)
        self.start_ms, self.end_ms = start_ms, end_ms
        looks = self.bins(np.arange(start_ms, end_ms, _LOOK_MS) + _LOOK_MS / 2)
        self.exposure_s: Array = np.bincount(looks, minlength=_BINS) * (_LOOK_MS / 1000)

    @property
    def tells(self) -> bool:
        """Whether it is both green and red for long enough."""
        return bool(self.exposure_s[RED] >= _LEAST_S and self.exposure_s[:RED].sum() >= _LEAST_S)

    @property
    def onsets(self) -> Array:
        onsets: Array = self.rows[:, 0]
        return onsets

    def bins(self, at_ms: Array) -> npt.NDArray[np.int64]:
        """The bin of each time: elapsed green, :data:`CLEARING` or :data:`RED`."""
        if not len(self.rows):
            return np.full(at_ms.shape, RED)
        which = np.searchsorted(self.rows[:, 0], at_ms, "right") - 1
        begin, red = self.rows[np.maximum(which, 0), 0], self.rows[np.maximum(which, 0), 1]
        bins = np.searchsorted(ELAPSED_MS, at_ms - begin, "right") - 1
        bins = np.where(at_ms >= red, CLEARING, bins)
        return np.where((at_ms >= red + CLEAR_MS) | (which < 0), RED, bins)


class Discharge(NamedTuple):
    score: float
    rate: Array
    """vehicles/s by bin"""
    in_red: float
    """share of the vehicles"""


def discharge(at_ms: Array, windows: Windows) -> Discharge:
    """Counts by bin against a constant rate. A lane that leaves more in red than in green does not serve it: 0."""
    exposure = windows.exposure_s
    n = np.bincount(windows.bins(at_ms), minlength=_BINS).astype(np.float64)
    total = n.sum()
    if total == 0:
        return Discharge(0.0, np.zeros(_BINS), 1.0)
    mean = total / exposure.sum()
    rate = (n + 1.0) / (exposure + 1.0 / mean)  # one vehicle at the mean rate is assumed in each bin
    in_red = float(n[RED] / total)
    if rate[RED] > n[:RED].sum() / max(exposure[:RED].sum(), 1.0):
        return Discharge(0.0, rate, in_red)
    score = float((n * np.log(rate / mean)).sum() - (rate * exposure).sum() + total)
    return Discharge(max(0.0, score), rate, in_red)


_STANDS_MS = 4000.0
_SOONEST_S, _LATEST_S = -3.0, 30.0  # of a start, after an onset
_LEAST_SCALE_S = 0.5


def restarts(occupied: Array, windows: Windows) -> float:
    """How constant the delay is from an onset to the start of a vehicle that stood; Laplace against uniform."""
    starts = occupied[occupied[:, 1] - occupied[:, 0] >= _STANDS_MS, 1]
    if len(starts) < 3 or len(windows.onsets) < 5:
        return 0.0
    which = np.searchsorted(windows.onsets, starts - 1000 * _SOONEST_S, "right") - 1
    delay = np.where(which >= 0, (starts - windows.onsets[np.maximum(which, 0)]) / 1000, np.inf)
    near = delay <= _LATEST_S
    if near.sum() < 3:
        return 0.0
    median = float(np.median(delay[near]))
    apart = np.minimum(np.abs(delay - median), 8.0)
    scale = max(_LEAST_SCALE_S, float(apart[near].mean()))
    width = _LATEST_S - _SOONEST_S
    density = np.where(near, 0.9 / (2 * scale) * np.exp(-np.minimum(np.abs(delay - median), 1e3) / scale), 0.0)
    return max(0.0, float(np.log(density * width + 0.1).sum()))


def release_delays(occupied: Array, windows: Windows) -> Array:
    """Seconds from each onset at which a vehicle stood there until it left."""
    if not len(occupied) or not len(windows.onsets):
        return np.zeros(0)
    which = np.maximum(np.searchsorted(occupied[:, 0], windows.onsets, "right") - 1, 0)
    since, until = occupied[which].T
    stood = (until > windows.onsets) & (since < windows.onsets - 1000)
    delays: Array = (until - windows.onsets)[stood] / 1000
    return delays


_LAGS_S = np.arange(0.5, 16.0, 0.75)
_WIDE_MS = 1500.0


def following(upstream_ms: Array, downstream_ms: Array, windows: Windows, rate: Array) -> tuple[float, float]:
    """Vehicles at a constant lag behind those upstream, more than the ``rate`` of their bins lets expect.

    Returns:
        nats, and the lag in s.
    """
    if len(upstream_ms) < 5 or len(downstream_ms) < 5:
        return 0.0, 0.0
    low = upstream_ms + _LAGS_S[:, np.newaxis] * 1000  # (lags, vehicles)
    high = low + _WIDE_MS
    seen = (np.searchsorted(downstream_ms, high) - np.searchsorted(downstream_ms, low)).sum(axis=1).astype(np.float64)
    quarter = _WIDE_MS / 4
    expected = (rate[windows.bins(low + quarter)] + rate[windows.bins(high - quarter)]).sum(axis=1)
    expected = np.maximum(expected * _WIDE_MS / 2000, 0.1)
    score = np.where(seen > expected, seen * np.log(np.maximum(seen, 1.0) / expected) - (seen - expected), 0.0)
    best = int(score.argmax())
    return float(score[best]), float(_LAGS_S[best]) if score[best] > 0 else 0.0


_TRAVEL_MS = (1000.0, 4000.0, 8000.0, 12000.0)


def balance(upstream_ms: Array, downstream_ms: Array, windows: Windows) -> float:
    """Arrivals of each cycle against departures, as a correlation; what a long cycle brings to all is taken out."""
    reds = windows.rows[:, 1]
    ends = reds[(reds > windows.start_ms + 15e3) & (reds < windows.end_ms - CLEAR_MS)] + CLEAR_MS
    if len(ends) < 8:
        return 0.0
    length = np.diff(ends) - np.diff(ends).mean()
    left = _without(np.diff(np.searchsorted(downstream_ms, ends)), length)
    arrived = (np.diff(np.searchsorted(upstream_ms, ends - CLEAR_MS - travel)) for travel in _TRAVEL_MS)
    best = max(_correlation(_without(n, length), left) for n in arrived)
    if best <= 0:
        return 0.0
    # 0.7 nats: the best of four travel times
    return max(0.0, -0.5 * (len(length) - 2) * float(np.log(1 - min(best, 0.99) ** 2)) - 0.7)


def _without(n: npt.NDArray[np.int64], length: Array) -> Array:
    """``n`` less its mean and its regression on ``length``, which has mean 0."""
    centred = n - n.mean()
    power = float(length @ length)
    regression: Array = length * (float(centred @ length) / power if power > 1e5 * len(length) else 0.0)
    rest: Array = centred - regression
    return rest


def _correlation(a: Array, b: Array) -> float:
    power = float((a @ a) * (b @ b))
    return float(a @ b) / power**0.5 if power > 1e-9 else 0.0
