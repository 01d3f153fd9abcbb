"""A series' own past in bounded memory: how rare a score is (:class:`PastScores`), how new a value is
(:class:`PastValues`).

A node runs for years, so neither keeps every row. Scores are merged so that the share of the past above any of them
stays right to about :data:`PRECISION` of itself, and exact for the highest 32, where alarms are; values are thinned
where they lie closest. Numbers are held as float32, as models give them. The same rows, with a restart at any of them,
end in the same state, bit for bit.
"""

from __future__ import annotations

import base64
import math
import struct
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence

PRECISION = 1 / 32  # of the share of the past above a score
FRESH = 128  # scores that wait to be merged
FORGOTTEN = 1 / 8  # a row that counts less is dropped: three halvings
BEYOND = 0.2  # decades for each upper tail (TAIL to the highest) that a score is above everything before it
TAIL = 0.02
HALVES = 2  # numbers of a table of usual scores from one share of the past to half of it
MOST_VALUES, THINNED_VALUES = 512, 384
MOST = 3e38  # of float32
MOST_DECADES = 1000.0
_FLOAT32 = struct.Struct("<f")


def float32(number: float) -> float:
    """``number`` as float32 has it, at most ±3e38."""
    (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(max(-MOST, min(MOST, number))))
    return float(rounded)


def usual_scores(scores: Iterable[float], rows: int) -> tuple[float, ...]:
    """A table of ``scores`` for :meth:`PastScores.begin`, rising: what ½, ¼, … of them are above, as far as ``rows``
    can tell, and the highest.
    """
    falling = sorted(map(float32, scores), reverse=True)
    if not falling:
        return ()
    count = int(HALVES * math.log2(max(1, min(rows, len(falling)))))
    return (*(falling[int(len(falling) * _share(k))] for k in range(1, count)), falling[0])


def _share(number: int) -> float:
    return float(2 ** (-number / HALVES))


class PastScores:
    """Scores of a series' past, the newest counting most: whenever ``memory`` rows are held, all count half."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._scores, self._weights = array("f"), array("f")  # rising; rows that each stands for
        self._above = [0.0]  # rows at or above each of the scores; last: 0
        self._fresh = array("f")  # rising, one row each
        self._last_threshold: float | None = None
        self.total = 0.0
        """Rows that are held."""

    def begin(self, usual: Sequence[float], rows: int) -> None:
        """Take ``usual`` of :func:`usual_scores` for a past of ``rows``."""
        last = len(usual) - 1
        shares = [_share(k) - (_share(k + 1) if k < last else 0.0) for k in range(last + 1)]
        self._scores = array("f", usual)
        # In eighths, so that no sum of them is ever rounded.
        self._weights = array("f", [max(round(rows * share / FORGOTTEN), 1) * FORGOTTEN for share in shares])
        self._sum()

    def above(self, score: float) -> float:
        """How many rows are at or above ``score``."""
        return self._above[bisect_left(self._scores, score)] + len(self._fresh) - bisect_left(self._fresh, score)

    def surprise(self, score: float) -> float:
        """−log₁₀ of the share of rows at or above ``score``; more beyond all of them."""
        above = self.above(score)
        decades = math.log10((self.total + 1) / (above + 1))
        if not above and self.total:
            highest, tail = self._tail()
            if tail > 0:
                decades += BEYOND * (score - highest) / tail
        return min(decades, MOST_DECADES)

    def threshold(self, decades: float) -> float | None:
        """The score above which :meth:`surprise` is ``decades`` or more; None: there is no such score yet."""
        rare = (self.total + 1) / 10**decades - 1  # rows that may be above it
        if rare >= 0:
            last = self._last_threshold  # most often it still is: then two searches tell, in place of a walk
            if last is None or not self.above(last) > rare >= self.above(math.nextafter(last, math.inf)):
                last = self._last_threshold = self._at(rare)
            return last
        if not self.total:
            return None
        highest, tail = self._tail()
        return highest + (decades - math.log10(self.total + 1)) / BEYOND * tail if tail > 0 else None

    def add(self, score: float) -> None:
        insort(self._fresh, score)
        self.total += 1
        if len(self._fresh) >= FRESH or self.total >= self._memory:
            self._merge()

    def _tail(self) -> tuple[float, float]:
        """The highest score, and how far it is above the upper tail's lower end."""
        highest = max(self._scores[-1] if self._scores else -MOST, self._fresh[-1] if self._fresh else -MOST)
        return highest, highest - (self._at(TAIL * self.total) or 0.0)

    def _at(self, rows: float) -> float | None:
        """The highest score that has more than ``rows`` rows at or above it."""
        scores, fresh = self._scores, self._fresh
        i, j, above = len(scores) - 1, len(fresh) - 1, 0.0
        while i >= 0 or j >= 0:
            if j < 0 or (i >= 0 and scores[i] >= fresh[j]):
                score, above, i = scores[i], above + self._weights[i], i - 1
            else:
                score, above, j = fresh[j], above + 1, j - 1
            if above > rows:
                return score
        return None

    def _merge(self) -> None:
        """From the top: neighbours become one, the score of the most rows, while they are few beside those above."""
        share = 1.0 if self.total < self._memory else 0.5
        pairs = [*zip(self._scores, self._weights, strict=True), *((score, 1.0) for score in self._fresh)]
        merged: list[list[float]] = []
        above = 0.0  # the newest of ``merged``
        for score, rows in sorted(pairs, reverse=True):
            weight = rows * share
            if weight < FORGOTTEN:
                continue
            if merged and (score == merged[-1][0] or merged[-1][1] + weight <= PRECISION * above):
                if weight > merged[-1][1]:
                    merged[-1][0] = score
                merged[-1][1] += weight
            else:
                above += merged[-1][1] if merged else 0.0
                merged.append([score, weight])
        merged.reverse()
        self._scores = array("f", [score for score, _ in merged])
        self._weights = array("f", [weight for _, weight in merged])
        self._fresh = array("f")
        self._sum()

    def _sum(self) -> None:
        sums = [0.0]
        for weight in reversed(self._weights):
            sums.append(sums[-1] + weight)
        self._above = sums[::-1]
        self.total = self._above[0] + len(self._fresh)

    def state(self) -> dict[str, str]:
        return {"scores": pack(self._scores), "weights": pack(self._weights), "fresh": pack(self._fresh)}

    def restore(self, state: Mapping[str, str]) -> None:
        """Raises: ValueError, KeyError, TypeError: it is no state."""
        scores, weights, fresh = unpack(state["scores"]), unpack(state["weights"]), unpack(state["fresh"])
        if len(scores) != len(weights) or not all(w > 0 for w in weights):
            raise ValueError("scores and weights do not belong together")
        if list(scores) != sorted(scores) or list(fresh) != sorted(fresh):
            raise ValueError("scores do not rise")
        self._scores, self._weights, self._fresh = scores, weights, fresh
        self._sum()


class PastValues:
    """Values of a series' past: at most :data:`MOST_VALUES` different ones."""

    def __init__(self) -> None:
        self._values = array("f")  # rising

    def distance(self, value: float) -> float:
        """To the nearest of them; 0 where there is none."""
        values = self._values
        at = bisect_left(values, value)
        below = value - values[at - 1] if at else math.inf
        above = values[at] - value if at < len(values) else math.inf
        nearest = min(below, above)
        return nearest if nearest < math.inf else 0.0

    def add(self, value: float) -> None:
        values = self._values
        at = bisect_left(values, value)
        if at == len(values) or values[at] != value:
            values.insert(at, value)
            if len(values) > MOST_VALUES:
                self._thin()

    def _thin(self) -> None:
        """Of neighbours the closest go, never two side by side, so that no hole comes where most of them are."""
        values = self._values
        gone: set[int] = set()
        for i in sorted(range(1, len(values) - 1), key=lambda i: values[i + 1] - values[i - 1]):
            if len(values) - len(gone) <= THINNED_VALUES:
                break
            if i - 1 not in gone and i + 1 not in gone:
                gone.add(i)
        self._values = array("f", [v for i, v in enumerate(values) if i not in gone])

    def state(self) -> str:
        return pack(self._values)

    def restore(self, state: str) -> None:
        """Raises: ValueError, TypeError: it is no state."""
        values = unpack(state)
        if list(values) != sorted(values) or len(values) > MOST_VALUES:
            raise ValueError("values do not rise, or are too many")
        self._values = values


def pack(numbers: array[float]) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def unpack(text: str) -> array[float]:
    """Raises: ValueError, TypeError: it is not what :func:`pack` gave, or holds what is no number."""
    numbers = array("f")
    numbers.frombytes(base64.b64decode(text, validate=True))
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("not all are numbers")
    return numbers
