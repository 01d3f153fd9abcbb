"""Probabilities from quantiles: what a forecast's bands say about a threshold.

Between two quantiles the distribution function is taken as linear. Beyond the outermost ones it goes on with the slope
of the outer segment until it is 0 or 1: the quantiles say nothing about what is there, so probabilities under the
lowest quantile, or over the highest, are rough. Bands that cross are sorted first (Chernozhukov et al., *Quantile and
Probability Curves Without Crossing*, Econometrica 78, 2010).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from wayside.contracts.action import Answer


def usable(quantiles: Sequence[float], band: Sequence[float]) -> bool:
    """Whether ``band`` (a value for each quantile) says anything: two quantiles or more that rise within 0 to 1, and
    finite values."""
    if len(quantiles) < 2 or len(band) != len(quantiles) or not all(map(math.isfinite, band)):
        return False
    return quantiles[0] > 0.0 and quantiles[-1] < 1.0 and all(a < b for a, b in itertools.pairwise(quantiles))


def exceedance(quantiles: Sequence[float], band: Sequence[float], threshold: float) -> float:
    """The probability that a value with these quantiles is over ``threshold``; they are :func:`usable`."""
    return 1.0 - _share_under(quantiles, sorted(band), threshold)


def value_at(quantiles: Sequence[float], band: Sequence[float], probability: float) -> float:
    """The value that is not passed with ``probability``; they are :func:`usable`."""
    values = sorted(band)
    i = 1
    while i < len(quantiles) - 1 and quantiles[i] < probability:
        i += 1
    (low, high), (under, over) = (values[i - 1], values[i]), (quantiles[i - 1], quantiles[i])
    value = low + (high - low) * ((probability - under) / (over - under))
    return value if math.isfinite(value) else math.copysign(1e300, value)


def _share_under(quantiles: Sequence[float], values: Sequence[float], threshold: float) -> float:
    if threshold < values[0]:
        return _segment(quantiles[0], quantiles[1], values[0], values[1], threshold)
    for i in range(1, len(values)):
        if threshold < values[i]:
            return _segment(quantiles[i - 1], quantiles[i], values[i - 1], values[i], threshold)
    return _segment(quantiles[-2], quantiles[-1], values[-2], values[-1], threshold)


def _segment(under: float, over: float, low: float, high: float, threshold: float) -> float:
    width = high - low
    if not width > 0.0 or not math.isfinite(width):  # a step: all of it is at one value
        return 0.0 if threshold < low else 1.0 if threshold > high else over
    return min(1.0, max(0.0, under + (over - under) * ((threshold - low) / width)))


class Passing(NamedTuple):
    """When a threshold is most likely to be passed."""

    probability: float  # 1 or 0 where the model gives no quantiles: then the forecast alone decides
    sure: bool  # it is a probability, from quantiles
    interval: int  # from now, 0: the next one
    expected: float  # the median of that interval


def passing(answer: Answer, quantiles: Sequence[float], threshold: float, within: int) -> Passing | None:
    """How likely one of the next ``within`` intervals is over ``threshold``: the highest probability of any of them, so
    that of all together is at least as high. None: there is no forecast."""
    best: Passing | None = None
    for k, median in enumerate(answer.forecast[:within]):
        if not math.isfinite(median):
            continue
        band = answer.bands[k] if k < len(answer.bands) else ()
        sure = usable(quantiles, band)
        chance = exceedance(quantiles, band, threshold) if sure else float(median > threshold)
        if best is None or chance > best.probability:
            best = Passing(chance, sure, k, median)
    return best


def at_clock(hour: float | None, interval_s: float, interval: int) -> str:
    """When ``interval`` from now ends, for people: "18:00", or "in 4 h" while the time of day is unknown."""
    ahead_h = (interval + 1) * interval_s / 3600
    if hour is None or not math.isfinite(hour):
        return f"in {ahead_h:.3g} h"
    return clock(hour + ahead_h)


def clock(hour: float) -> str:
    """A time of day."""
    minutes = round(hour % 24 * 60) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
