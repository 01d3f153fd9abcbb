"""Is what a model answers still worth something? Pure: it is told answers and what came, and says what is wrong.

=================  =====================================================================================
``model_nan``      an answer is not a number
``model_constant`` :data:`CONSTANT` answers of a site in a row are the same, while its values moved
``model_worse``    over the last :data:`COMPARED` compared intervals of the task, its mean absolute error is
                   :data:`MARGIN` times that of persistence or more; over when it is no greater than that
=================  =====================================================================================

Sums, not lists: a restart takes them along in a few numbers. The intervals are counted in blocks of
:data:`COMPARED` / :data:`BLOCKS`, the oldest of which is dropped when a new one is full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

COMPARED = 96  # a day of quarters of an hour, of one site
BLOCKS = 4
MARGIN = 1.1
CONSTANT = 24
MOVED = 2.0  # residual standard deviations between the lowest and the highest value


class _Site:
    __slots__ = ("answer", "high", "low", "same")

    def __init__(self) -> None:
        self.answer = math.nan
        self.same = 0  # answers in a row
        self.low, self.high = math.inf, -math.inf  # of the values meanwhile


class Health:
    """Of one task's model."""

    def __init__(self, sites: int, residual_std: float) -> None:
        self._sites = [_Site() for _ in range(sites)]
        self._std = residual_std
        self._blocks: list[list[float]] = [[0.0, 0.0, 0.0]]  # intervals, model's and persistence's absolute errors
        self._block = max(1, COMPARED * sites // BLOCKS)
        self.worse: str | None = None
        self.constant: str | None = None

    def answered(self, site: int, answer: float, value: float | None) -> None:
        """The model's first answer for ``site``, a number, when the last known value was ``value``."""
        seen = self._sites[site]
        if answer == seen.answer:
            seen.same += 1
            if value is not None:
                seen.low, seen.high = min(seen.low, value), max(seen.high, value)
            if seen.same >= CONSTANT and seen.high - seen.low > MOVED * self._std:
                self.constant = (
                    f"the last {seen.same} answers were all {answer:g}, while the values went from {seen.low:g} to "
                    f"{seen.high:g}"
                )
            return
        if self.constant is not None and seen.same >= CONSTANT:
            self.constant = None
        seen.answer, seen.same = answer, 1
        seen.low = seen.high = math.nan if value is None else value
        if value is None:
            seen.low, seen.high = math.inf, -math.inf

    def compared(self, value: float, forecast: float, naive: float) -> None:
        """An interval has come: what it was, what was forecast, and what persistence would have said."""
        block = self._blocks[-1]
        block[0] += 1
        block[1] += abs(value - forecast)
        block[2] += abs(value - naive)
        if block[0] >= self._block:
            self._judge()

    def _judge(self) -> None:
        if len(self._blocks) == BLOCKS:
            n, model, naive = (sum(b[i] for b in self._blocks) for i in range(3))
            if model >= MARGIN * naive and model > 0:
                self.worse = (
                    f"over the last {n:.0f} compared intervals the mean absolute error is {model / n:.3g}, that of the "
                    f"value before {naive / n:.3g}"
                )
            elif model <= naive:
                self.worse = None
            del self._blocks[0]
        self._blocks.append([0.0, 0.0, 0.0])

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        return {
            "blocks": self._blocks,
            "worse": self.worse,
            "constant": self.constant,
            "sites": [
                [_finite(s.answer), s.same, _finite(s.low), _finite(s.high)] if s.same else [] for s in self._sites
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises: KeyError, TypeError, ValueError: it is no state."""
        blocks: Sequence[Sequence[float]] = state["blocks"]
        self._blocks = [[float(n), float(m), float(p)] for n, m, p in blocks][-BLOCKS:] or [[0.0, 0.0, 0.0]]
        self.worse, self.constant = state["worse"], state["constant"]
        for site, kept in zip(self._sites, state["sites"], strict=False):
            if kept:
                answer, same, low, high = kept
                site.answer = math.nan if answer is None else float(answer)
                site.same = int(same)
                site.low = math.inf if low is None else float(low)
                site.high = -math.inf if high is None else float(high)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
