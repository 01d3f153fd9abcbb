"""From scores to alarms: how surprising is this one, for this series, now? Streaming, without calendar or training.

A score of 7 is nothing here and unheard-of there. So a series is held against its own past: the surprise of a score is
−log₁₀ of the share of earlier scores at or above it (the tail probability of Ahmad et al., "Unsupervised real-time
anomaly detection for streaming data", Neurocomputing 2017, by ranks instead of a normal distribution). Beside the
model's score stand two memories: how far the value, and the mean of the last rows, are from everything seen before in
this series (one nearest neighbour, in the spirit of Burnaev & Ishimtsev, "Conformalized density- and distance-based
anomaly detection", 2016). The most surprising of the three counts, a little more if others agree, and for a rest
period only what surpasses it. What seemed new while a series was being learned is no measure for later.
"""

from __future__ import annotations

import bisect
from collections import deque

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WARM = 50  # rows without surprise: nothing is known yet
LEVEL = 20  # rows whose mean is remembered beside the value
TRUST = 0.7  # in the model's surprise, against the memories' 1: it forgets what is older than its window
AGREE = 4  # order of the norm that joins the three: 1 adds them up, ∞ takes the highest
REST = 0.03  # of a series: one alarm is enough for so long
LEARN, LEARN_ROWS = 0.08, 5000  # of a series, of at most so many rows: scores that later ones are not held against
BEYOND = 0.2  # surprise for each upper tail (98 % to highest) that a score is above everything before it
TAIL = 0.98


def surprises(
    values: npt.ArrayLike, scores: npt.ArrayLike, *, rest: int | None = None, learn: int | None = None
) -> Floats:
    """How surprising each row of a series is, 0 where it is not; a row depends on no later one.

    Args:
        values: (N,), NaN where missing.
        scores: (N,) of the model, for the windows that end at each row.
        rest: rows; by default ``REST`` of the series.
        learn: rows; by default ``LEARN`` of the series.
    """
    x = np.asarray(values, float)
    rest = int(REST * len(x)) if rest is None else rest
    learn = int(LEARN * min(len(x), LEARN_ROWS)) if learn is None else learn
    of_value, of_level = surprise(novelty(x), learn), surprise(novelty(_level(x)), learn)
    of_model = TRUST * surprise(scores, learn)
    return rested((of_value**AGREE + of_level**AGREE + of_model**AGREE) ** (1 / AGREE), rest)


def surprise(scores: npt.ArrayLike, learn: int = 0) -> Floats:
    """(N,) −log₁₀ of the share of earlier scores at or above each, the first ``learn`` aside; NaN surprises nobody."""
    given = np.asarray(scores, float)
    past: list[float] = []
    decades = np.zeros(len(given))
    for i, score in enumerate(given):
        if np.isnan(score):
            continue
        n = len(past)
        if n >= WARM:
            above = n - bisect.bisect_left(past, score)
            decades[i] = np.log10((n + 1) / (above + 1))
            highest, upper = past[-1], past[int(TAIL * n)]
            if not above and highest > upper:
                decades[i] += BEYOND * (score - highest) / (highest - upper)
        if i >= learn:
            bisect.insort(past, float(score))
    return decades


def novelty(values: npt.ArrayLike) -> Floats:
    """(N,) distance of each value to the nearest earlier one, 0 while there are few; NaN where it is missing."""
    given = np.asarray(values, float)
    past: list[float] = []
    distances = np.full(len(given), np.nan)
    for i, value in enumerate(given):
        if np.isnan(value):
            continue
        at = bisect.bisect_left(past, value)
        distances[i] = min((abs(v - value) for v in past[max(at - 1, 0) : at + 1]), default=0.0) if i > LEVEL else 0.0
        past.insert(at, float(value))
    return distances


def rested(surprise: Floats, rest: int) -> Floats:
    """(N,) ``surprise`` where it is higher than in the ``rest`` rows before, else 0."""
    candidates: deque[int] = deque()  # falling, so that the first is the highest of the rest period
    kept = np.zeros(len(surprise))
    for i, value in enumerate(surprise):
        while candidates and candidates[0] < i - rest:
            candidates.popleft()
        if not candidates or value > surprise[candidates[0]]:
            kept[i] = value
        while candidates and surprise[candidates[-1]] <= value:
            candidates.pop()
        candidates.append(i)
    return kept


def _level(values: Floats) -> Floats:
    """(N,) mean of the last ``LEVEL`` values that there are."""
    there = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(there, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(there)])
    rows = np.arange(1, len(values) + 1)
    before = np.maximum(rows - LEVEL, 0)
    count = counts[rows] - counts[before]
    return np.where(count > 0, (sums[rows] - sums[before]) / np.maximum(count, 1), np.nan)
