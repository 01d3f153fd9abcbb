"""What was told of one value in one step, and what that makes of the step's value and quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wayside.contracts.manual_config import ManualValueConfig
from wayside.contracts.reading import Quality

WHOLE_MS = 1000  # of a step may be missing from totals that cover it


class Slot:
    """One value in one step that has not been handed over."""

    def __init__(self) -> None:
        self.total = 0.0
        self.n = 0
        self.cut = False  # for a part of the step nobody would have told
        self.spans: dict[tuple[int, int], float] = {}  # totals by their interval

    def state(self) -> list[Any]:
        return [self.total, self.n, self.cut, [[*span, value] for span, value in self.spans.items()]]

    def restore(self, state: Sequence[Any]) -> None:
        self.total, self.n, self.cut, spans = state
        self.spans = {(begin, end): value for begin, end, value in spans}


class Told:
    """One value: its last word, for people and for the condition."""

    def __init__(self, config: ManualValueConfig) -> None:
        self.config = config
        self.last: float | None = None
        self.word_ms: int | None = None  # monotonic; None: no word since the machine started
        self.silent_from_ms = 0  # no condition before that and ``silent_s``

    def close(self, slot: Slot, end_ms: int, step_ms: int) -> tuple[float | None, Quality, int]:
        """``(value, quality, entries)`` of a step that ended at ``end_ms``."""
        config = self.config
        unknown = Quality.MISSING if self.word_ms is None else Quality.STALE
        if config.kind == "gauge":
            return (slot.total / slot.n, Quality.GOOD, slot.n) if slot.n else (None, unknown, 0)
        if config.kind == "totals":
            covered = sum(end - begin for begin, end in slot.spans)
            if not covered:
                return None, unknown, 0
            value, whole = sum(slot.spans.values()), covered >= step_ms - WHOLE_MS
        else:
            if not slot.n and config.silence == "missing":
                return None, unknown, 0
            silent = self.word_ms is None or end_ms - self.word_ms > config.silent_s * 1000
            value, whole = slot.total, not (slot.cut or (silent and config.silence == "zero"))
        if whole:
            return value, Quality.GOOD, slot.n
        return (value, Quality.GAP, slot.n) if value else (None, unknown, 0)  # a lower bound of 0 says nothing
