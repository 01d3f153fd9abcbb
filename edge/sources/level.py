"""An analogue input of the board during the open step, in board time.

The board tells of changes: until the next one the value is the last, so a step's value is its mean over *time*. After
lost events, and after the board's restart, it is not known until the board tells it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wayside.contracts.reading import GOOD, MISSING, Quality
from wayside.contracts.sensor_config import AnalogConfig

KNOWN = 0.99  # of the step; below that its value is of a part only


class Level:
    def __init__(self, config: AnalogConfig) -> None:
        self.config = config
        self._raw: int | None = None
        self._from_ms = self._start_ms = 0  # up to where it is accounted for; the step's beginning
        self._inside = [0.0, 0.0]  # value x ms, ms
        self._outside = [0.0, 0.0]
        self._n = 0

    def begin(self, start_ms: int, from_ms: int) -> None:
        """Observe from ``from_ms`` on; the step began at ``start_ms``."""
        self.forget(from_ms)
        self._start_ms = start_ms

    def read(self, ms: int, raw: int) -> None:
        self._pass(ms)
        self._raw = raw
        self._n += 1

    def forget(self, ms: int) -> None:
        """What it was up to now is not known."""
        self._raw, self._from_ms = None, ms

    def _pass(self, ms: int) -> None:
        if self._raw is not None and ms > self._from_ms:
            value = self._raw * self.config.scale + self.config.offset
            into = self._inside if self.config.inside(value) else self._outside
            into[0] += value * (ms - self._from_ms)
            into[1] += ms - self._from_ms
        self._from_ms = max(ms, self._from_ms)

    def close(self, end_ms: int) -> tuple[float | None, Quality, int]:
        """End the step: ``(mean, quality, events)``."""
        self._pass(end_ms)
        (weighted, inside), (beyond, outside), n = self._inside, self._outside, self._n
        length, self._start_ms, self._n = end_ms - self._start_ms, end_ms, 0
        self._inside, self._outside = [0.0, 0.0], [0.0, 0.0]
        if not inside:
            return (beyond / outside, Quality.OUT_OF_RANGE, n) if outside else (None, MISSING, n)
        quality = GOOD
        if outside:
            quality = Quality.SUSPECT
        if inside + outside < KNOWN * length:
            quality = Quality.GAP
        return weighted / inside, quality, n

    def state(self) -> list[Any]:
        """What a restart needs, as plain JSON values."""
        return [self._raw, self._from_ms, self._start_ms, *self._inside, *self._outside, self._n]

    def restore(self, state: Sequence[Any] | None, ms: int) -> None:
        if state is None:
            self.forget(ms)
            return
        self._raw, self._from_ms, self._start_ms = state[:3]
        self._inside, self._outside, self._n = list(state[3:5]), list(state[5:7]), state[7]
