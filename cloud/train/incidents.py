"""Incidents put into real counts by a declared, seeded rule, so that what a detector should find is known.

At an approach an incident takes away capacity for one to four intervals: the counts fall by the *depth*, and a part of
what did not pass waits and passes afterwards, as fast as the approach lets it (queue release). A surge, of an event or
a diversion, is the opposite: more vehicles than usual for one to four intervals. A dead detector is no incident but a
matter of data quality, and not among them. Incidents begin only where there is traffic to disturb. Intervals of the
drop or the surge are labelled; those of the release are not, they are where an alarm comes late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from wayside.cloud.train.windows import Windows

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How often incidents happen, and what they do."""

    spacing: int = 96  # intervals between two incidents of an approach, on average
    level: float = 20.0  # vehicles an interval: below it none begins
    longest: int = 4  # intervals
    depth: tuple[float, float] = (0.3, 0.9)  # share of the counts that is lost
    waiting: float = 0.5  # share of what is lost that waits; the rest drives elsewhere
    release: float = 0.25  # share of the counts by which the queue adds to them while it dissolves
    surges: float = 0.3  # share of the incidents that are surges
    surge: tuple[float, float] = (1.4, 2.2)  # factor


def inject(counts: Floats, rule: Rule, seed: int) -> tuple[Floats, Labels]:
    """Counts (D, N), NaN where missing, with incidents, and (D, N) where they are; the same for the same seed."""
    rng = np.random.default_rng(seed)
    changed, labels = counts.copy(), np.zeros(counts.shape, bool)
    for site in range(len(counts)):
        row, at = changed[site], int(rng.integers(rule.spacing))
        while at < len(row):
            length = int(rng.integers(1, rule.longest + 1))
            rise = rng.random() < rule.surges
            share = rng.uniform(*(rule.surge if rise else rule.depth))
            end = min(at + length, len(row))
            if row[at] >= rule.level:  # NaN is not
                usual = row[at:end].copy()
                row[at:end] = np.round(usual * (share if rise else 1 - share))
                labels[site, at:end] = np.isfinite(usual)
                queue = 0.0 if rise else rule.waiting * float(np.nansum(usual - row[at:end]))
                while queue >= 1 and end < len(row) and np.isfinite(row[end]):
                    passed = min(queue, np.floor(rule.release * row[end]))
                    if passed < 1:  # the road empties, and with it the queue
                        break
                    row[end] += passed
                    queue, end = queue - passed, end + 1
            # At least a window's worth of quiet between two: each is found, or missed, for itself.
            at = end + rule.spacing // 2 + int(rng.integers(rule.spacing))
    return changed, labels


def into(windows: Windows, rule: Rule, seed: int) -> tuple[Windows, Labels]:
    """``windows`` with incidents in the output's column, and (N,) whether the newest row is in one.

    Raises:
        ValueError: the output is no input of the task.
    """
    if windows.column is None:
        raise ValueError("incidents need a task whose output is one of its inputs")
    counts, labels = inject(windows.output, rule, seed)
    rows = windows.rows.copy()
    rows[:, :, windows.column] = counts
    return replace(windows, rows=rows, output=counts), labels[windows.site, windows.newest]
