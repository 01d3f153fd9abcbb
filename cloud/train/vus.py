"""Volume under the precision-recall surface (VUS-PR): how well scores rank anomalous stretches, without a threshold.

Paparrizos et al., "Volume under the surface: a new accuracy evaluation measure for time-series anomaly detection",
PVLDB 15(11), 2022, section 4. Around each labelled stretch lies a buffer of half of ℓ rows on either side, in which
the label falls off as √(1 − distance/ℓ): a detector that is a little early or late is not punished as if it were blind.
For a threshold, recall is that of the soft labels times the share of stretches touched at all, precision that of the
soft labels. VUS-PR is the area under that curve, averaged over ℓ from 0 to a largest buffer.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

THRESHOLDS = 250
"""Of the curve, spread evenly over the ranks of the scores, as the paper's own code does."""


def vus_pr(labels: npt.ArrayLike, scores: npt.ArrayLike, *, buffer: int, breaks: npt.ArrayLike = ()) -> float:
    """VUS-PR of ``scores`` (N,) against ``labels`` (N,) of 0 and 1, in rows of one series.

    Args:
        buffer: the largest ℓ, in rows.
        breaks: rows at which another series begins: no buffer reaches across.

    Raises:
        ValueError: lengths differ, no row is anomalous, or a score is no number.
    """
    truth = np.asarray(labels).astype(bool)
    given = np.asarray(scores, float)
    if truth.shape != given.shape or truth.ndim != 1:
        raise ValueError(f"{truth.shape} labels for {given.shape} scores")
    if not truth.any() or np.isnan(given).any():
        raise ValueError("VUS-PR needs an anomalous row, and a number for each row")
    n = len(truth)
    starts = np.unique([0, *np.asarray(breaks, int).ravel()])
    piece = np.searchsorted(starts, np.arange(n), side="right")  # the series of each row
    edges = np.flatnonzero(np.diff(np.concatenate([[0], truth, [0]])))
    stretches = []  # (first, last), cut where a series ends
    for first, end in edges.reshape(-1, 2):
        cuts = [first, *starts[(starts > first) & (starts < end)], end]
        stretches += [(a, b - 1) for a, b in itertools.pairwise(cuts)]
    limits = [
        (int(np.searchsorted(piece, piece[a])), int(np.searchsorted(piece, piece[b], "right"))) for a, b in stretches
    ]

    order = np.argsort(-given, kind="stable")
    ranked = given[order]
    thresholds = ranked[np.linspace(0, n - 1, THRESHOLDS).astype(int)]
    alarms = np.searchsorted(-ranked, -thresholds, side="right")  # rows at or above each threshold
    areas = []
    for ell in range(buffer + 1):
        label, wide = _soften(truth, stretches, limits, ell)
        hit = np.cumsum(label[order])[alarms - 1]  # (K,) soft true positives
        positives = (truth.sum() + label.sum()) / 2  # the paper's P: recall is neither too easy nor out of reach
        highest = np.sort([given[a : b + 1].max() for a, b in wide])
        touched = 1 - np.searchsorted(highest, thresholds, side="left") / len(wide)
        recall = np.concatenate([[0.0], np.minimum(hit / positives, 1) * touched])
        precision = np.concatenate([[1.0], hit / alarms])
        areas.append(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))
    return float(np.mean(areas))


def _soften(
    truth: npt.NDArray[np.bool_], stretches: list[tuple[int, int]], limits: list[tuple[int, int]], ell: int
) -> tuple[Floats, list[tuple[int, int]]]:
    """The soft labels (N,), and the stretches with their buffers, joined where they overlap."""
    half = ell // 2
    label = truth.astype(float)
    wide: list[tuple[int, int]] = []
    for (first, last), (low, high) in zip(stretches, limits, strict=True):
        fall = np.sqrt(1 - np.arange(1, half + 1) / max(ell, 1))
        after, before = min(half, high - 1 - last), min(half, first - low)
        label[last + 1 : last + 1 + after] += fall[:after]
        label[first - before : first] += fall[:before][::-1]
        begin, end = first - before, last + after
        if wide and begin <= wide[-1][1] and begin > low:
            wide[-1] = (wide[-1][0], end)
        else:
            wide.append((begin, end))
    return np.minimum(label, 1), wide
