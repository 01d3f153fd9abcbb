"""The last closed steps of one source as they were: what a row says of an interval, whatever may stand in a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wayside.contracts.reading import GOOD, MISSING, Quality
from wayside.edge.sources.quality import worst
from wayside.edge.sources.step import Step


class Values(NamedTuple):
    """Of some datastreams over one interval."""

    values: Sequence[float | None]
    qualities: Sequence[Quality]
    n: Sequence[int]


ALL = tuple(range(1024))


class Recent:
    """Steps of one source by their number."""

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}

    def put(self, step: Step) -> None:
        self.steps[step.grid] = step

    def forget(self, before: int) -> None:
        """Nobody asks for numbers below ``before`` any more."""
        steps = self.steps
        while steps:
            oldest = next(iter(steps))
            if oldest >= before:
                return
            del steps[oldest]

    def whole(self, number: int, steps: int) -> bool:
        """Whether each of the ``steps`` steps that end with ``number`` is here."""
        return all(n in self.steps for n in range(number - steps + 1, number + 1))

    def seconds(self, number: int, steps: int, step_s: float) -> float:
        """Length of the interval of ``steps`` steps that ends with ``number``; nominal where one is missing."""
        if steps == 1 and (only := self.steps.get(number)) is not None:
            return only.seconds
        if not self.whole(number, steps):
            return steps * step_s
        ns = 0
        for each in range(number - steps + 1, number + 1):
            step = self.steps[each]
            ns += step.end_ns - step.start_ns
        return ns / 1e9

    def intervals(self, which: Sequence[int], number: int, steps: int, means: Sequence[bool]) -> Values:
        """The datastreams ``which`` over the ``steps`` steps that end with ``number``.

        A sum is known only if each of its steps is; a mean is that of the steps that are known, and a gap if not all
        of them are.
        """
        if steps == 1 and (step := self.steps.get(number)) is not None:
            if len(which) == len(step.values) and which == ALL[: len(which)]:
                return Values(step.values, step.qualities, step.n)
            return Values(
                [step.values[i] for i in which], [step.qualities[i] for i in which], [step.n[i] for i in which]
            )
        each = [self._interval(i, number, steps, mean) for i, mean in zip(which, means, strict=True)]
        return Values([v for v, _, _ in each], [q for _, q, _ in each], [n for _, _, n in each])

    def _interval(self, which: int, number: int, steps: int, mean: bool) -> tuple[float | None, Quality, int]:
        total, known, n, quality = 0.0, 0, 0, GOOD
        bad = MISSING
        for each in range(number - steps + 1, number + 1):
            step = self.steps.get(each)
            if step is None:
                continue
            value, seen = step.values[which], step.qualities[which]
            n += step.n[which]
            if value is None:
                bad = seen
            else:
                total += value
                known += 1
                quality = worst(quality, seen)
        if known == steps:
            return (total / steps if mean else total), quality, n
        if mean and known:
            return total / known, worst(quality, Quality.GAP), n
        return None, bad, n
