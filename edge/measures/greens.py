"""Why greens ended and how long they were, by phase: the split monitor."""

from __future__ import annotations

from collections.abc import Collection

from wayside.edge.measures.layout import Row, Settings

GREEN, YELLOW = 1, 8
REASONS = {4: "gap_out", 5: "max_out", 6: "force_off"}


class Greens:
    """Is told codes 1, 4, 5, 6 and 8 of any phase, in order."""

    def __init__(self, settings: Settings) -> None:
        self._bin_ms = settings.bin_ms
        self._since: dict[int, int] = {}
        self._reasons: dict[tuple[int, int], dict[str, float | int]] = {}  # (bin, phase)
        self._lengths: dict[tuple[int, int], list[int]] = {}  # greens, ms of all, ms of the longest

    def take(self, ms: int, code: int, phase: int) -> None:
        key = (ms // self._bin_ms * self._bin_ms, phase)
        if code in REASONS:
            reasons = self._reasons.setdefault(key, {})
            reasons[REASONS[code]] = reasons.get(REASONS[code], 0) + 1
        elif code == GREEN:
            self._since[phase] = ms
        elif (since := self._since.pop(phase, None)) is not None:
            lengths = self._lengths.setdefault(key, [0, 0, 0])
            lengths[0] += 1
            lengths[1] += ms - since
            lengths[2] = max(lengths[2], ms - since)

    def rows(self, until_ms: int) -> list[Row]:
        """Of the bins that end by ``until_ms``; they are forgotten."""
        rows = [Row("terminations", *key, self._reasons.pop(key)) for key in self._ended(self._reasons, until_ms)]
        for key in self._ended(self._lengths, until_ms):
            n, total, longest = self._lengths.pop(key)
            values: dict[str, float | int] = {
                "greens": n,
                "mean_s": total / n / 1000,
                "longest_s": longest / 1000,
            }
            rows.append(Row("greens", *key, values))
        return rows

    def _ended(self, of: Collection[tuple[int, int]], until_ms: int) -> list[tuple[int, int]]:
        return sorted(key for key in of if key[0] + self._bin_ms <= until_ms)
