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
import operator
from collections.abc import Mapping, Sequence
from typing import Any

COMPARED = 96  # a day of quarters of an hour, of one site
BLOCKS = 4
MARGIN = 1.1
CONSTANT = 24
MOVED = 2.0  # residual standard deviations between the lowest and the highest value


class _Site:
    __slots__ = ("high", "low", "same")

    def __init__(self) -> None:
        self.same = 1  # answers in a row
        self.low = self.high = math.nan  # of the values meanwhile; NaN: none yet


class Health:
    """Of one task's model."""

    def __init__(self, sites: int, residual_std: float) -> None:
        self._sites = [_Site() for _ in range(sites)]
        self._last: Sequence[float | None] = [None] * sites
        self._std = residual_std
        self._blocks: list[list[float]] = [[0.0, 0.0, 0.0]]  # intervals, model's and persistence's absolute errors
        self._block = max(1, COMPARED * sites // BLOCKS)
        self.worse: str | None = None
        self.constant: str | None = None

    @property
    def ill(self) -> bool:
        return self.worse is not None or self.constant is not None

    def answered(self, answers: Sequence[float | None], values: Sequence[float | None]) -> bool:
        """The model's first answer for each site, while the newest values were these. Returns :attr:`ill`."""
        if answers != self._last or self.constant is not None:
            last, self._last = self._last, answers
            if not any(map(operator.eq, answers, last)) and self.constant is None:
                for site in self._sites:
                    site.same = 1
                return self.ill
            self._compare(last, answers, values)
        else:
            self._compare(answers, answers, values)
        return self.ill

    def _compare(
        self, last: Sequence[float | None], answers: Sequence[float | None], values: Sequence[float | None]
    ) -> None:
        self.constant = None
        for site, before, answer, value in zip(self._sites, last, answers, values, strict=True):
            if answer is None or before is None or answer != before:
                site.same = 1
                continue
            if site.same == 1:
                site.low = site.high = math.nan
            site.same += 1
            if value is not None:
                site.low, site.high = min(value, site.low), max(value, site.high)  # of NaN the first argument stays
            if site.same >= CONSTANT and site.high - site.low > MOVED * self._std:
                self.constant = (
                    f"its last {site.same} answers were all {answer:g}, while the values went from {site.low:g} to "
                    f"{site.high:g}"
                )

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
        sites = [[s.same, _finite(s.low), _finite(s.high)] for s in self._sites]
        return {
            "blocks": self._blocks,
            "worse": self.worse,
            "constant": self.constant,
            "last": self._last,
            "sites": sites,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises: KeyError, TypeError, ValueError: it is no state."""
        blocks: Sequence[Sequence[float]] = state["blocks"]
        self._blocks = [[float(n), float(m), float(p)] for n, m, p in blocks][-BLOCKS:] or [[0.0, 0.0, 0.0]]
        self.worse, self.constant = state["worse"], state["constant"]
        if len(state["last"]) == len(state["sites"]) == len(self._sites):
            self._last = [None if y is None else float(y) for y in state["last"]]
            for site, (same, low, high) in zip(self._sites, state["sites"], strict=True):
                site.same = int(same)
                site.low, site.high = (math.nan if v is None else float(v) for v in (low, high))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
