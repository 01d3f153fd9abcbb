"""The last closed steps of one source as they were: what a row says of an interval, whatever may stand in a window."""

from __future__ import annotations

from typing import NamedTuple

from wayside.contracts.reading import Quality
from wayside.edge.sources.quality import worst
from wayside.edge.sources.step import Step


class Value(NamedTuple):
    """Of one datastream over an interval."""

    value: float | None
    quality: Quality
    n: int


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
        if not self.whole(number, steps):
            return steps * step_s
        ns = 0
        for each in range(number - steps + 1, number + 1):
            step = self.steps[each]
            ns += step.end_ns - step.start_ns
        return ns / 1e9

    def interval(self, which: int, number: int, steps: int, *, mean: bool) -> Value:
        """Datastream ``which`` over the ``steps`` steps that end with ``number``.

        A sum is known only if each of its steps is; a mean is that of the steps that are known, and a gap if not all
        of them are.
        """
        if steps == 1:
            step = self.steps.get(number)
            if step is None:
                return Value(None, Quality.MISSING, 0)
            return Value(step.values[which], step.qualities[which], step.n[which])
        total, known, n, quality = 0.0, 0, 0, Quality.GOOD
        bad = Quality.MISSING
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
            return Value(total / steps if mean else total, quality, n)
        if mean and known:
            return Value(total / known, worst(quality, Quality.GAP), n)
        return Value(None, bad, n)
