"""May this detector be believed? Rules per detector, all in board time, O(1) an edge.

- range: more vehicles in a quarter of an hour (or in the step, if that is longer) than ``max_veh_h`` allows
- stuck on: presence without release for longer than ``stuck_on_s``
- no hit: silent for longer than ``no_hit_s``
- chatter: ``chatter_per_30_s`` rising edges or more within 30 s (38 is what Iowa DOT's detector health reports use)
- duplicate edges: the same level twice; a few are lost edges, many make the count doubtful
- gap: events of the interval were lost, so the count is a lower bound
"""

from __future__ import annotations

from typing import Any

from wayside.contracts.reading import GOOD, Quality
from wayside.contracts.sensor_config import DetectorConfig

CHATTER_WINDOW_MS = 30_000
RANGE_WINDOW_MS = 900_000  # a second in which two cars came is no 7200 veh/h
WORST_FIRST = (
    Quality.STALE,
    Quality.MISSING,
    Quality.STUCK_ON,
    Quality.FROZEN,
    Quality.DARK,
    Quality.OVEREXPOSED,
    Quality.MOVED,
    Quality.BLURRED,
    Quality.CHATTER,
    Quality.OUT_OF_RANGE,
    Quality.GAP,
    Quality.NO_HIT,
    Quality.SUSPECT,
    Quality.SUBSTITUTED,
    Quality.GOOD,
)
RANK = {quality: rank for rank, quality in enumerate(WORST_FIRST)}
USABLE = frozenset({Quality.GOOD, Quality.SUSPECT, Quality.SUBSTITUTED})
"""What may stand in a window. A doubtful count is replaced by the last good one or the forecast is not made."""


def worst(first: Quality, second: Quality) -> Quality:
    # An enum member hashes in Python: the usual case, twice the same, does without.
    return first if first is second or RANK[first] <= RANK[second] else second


class DetectorHealth:
    """Edges of one detector during the open step, and what outlives a step: presence, last hit, chatter memory."""

    __slots__ = (
        "_chatter_at",
        "_chatter_ms",
        "_limit",
        "_no_hit_ms",
        "_recent",
        "_recent_at",
        "_stuck_ms",
        "_sum",
        "chattered",
        "duplicates",
        "hits",
        "last_hit_ms",
        "level",
        "on_since_ms",
        "readings",
        "releases",
        "stuck",
    )

    def __init__(self, config: DetectorConfig, start_ms: int, step_ms: int) -> None:
        self._stuck_ms = config.stuck_on_s * 1000
        self._no_hit_ms = config.no_hit_s * 1000
        self._chatter_ms = [-CHATTER_WINDOW_MS - 1] * max(1, config.chatter_per_30_s - 1)  # the last rising edges
        self._chatter_at = 0
        steps = max(1, RANGE_WINDOW_MS // step_ms)
        self._recent = [0] * steps  # vehicles of the last steps
        self._recent_at = self._sum = 0
        self._limit = config.max_veh_h * steps * step_ms / 3_600_000
        self.level = -1  # not known
        self.on_since_ms = self.last_hit_ms = start_ms
        self.releases = 0  # ever; a detector that only sends pulses never releases
        self.hits = self.readings = self.duplicates = 0  # of the open step
        self.chattered = self.stuck = False

    def edge(self, ms: int, value: int) -> None:
        """One edge, in order of time. A vehicle is a rising edge."""
        self.readings += 1
        if value:
            self.hits += 1
            self.last_hit_ms = ms
            at = self._chatter_at
            if ms - self._chatter_ms[at] < CHATTER_WINDOW_MS:
                self.chattered = True
            self._chatter_ms[at] = ms
            self._chatter_at = at + 1 if at + 1 < len(self._chatter_ms) else 0
            if self.level == 1:
                self.duplicates += 1
            else:
                self.level = 1
                self.on_since_ms = ms
        else:
            if self.level == 1 and ms - self.on_since_ms > self._stuck_ms:
                self.stuck = True
            elif self.level == 0:
                self.duplicates += 1
            self.level = 0
            self.releases += 1

    def forget(self, ms: int) -> None:
        """Edges before ``ms`` were lost: presence is not known, and whether something came neither."""
        self.level = -1
        self.last_hit_ms = ms

    def close(self, end_ms: int) -> tuple[int, Quality, int]:
        """End the step at ``end_ms``: ``(vehicles, quality, readings)``; the next step begins empty."""
        hits, readings = self.hits, self.readings
        self._sum += hits - self._recent[self._recent_at]
        self._recent[self._recent_at] = hits
        self._recent_at = self._recent_at + 1 if self._recent_at + 1 < len(self._recent) else 0
        pulses_only = self.releases == 0 and self.duplicates > 0
        if self.stuck or (self.level == 1 and not pulses_only and end_ms - self.on_since_ms > self._stuck_ms):
            quality = Quality.STUCK_ON
        elif self.chattered:
            quality = Quality.CHATTER
        elif self._sum > self._limit:
            quality = Quality.OUT_OF_RANGE
        elif end_ms - self.last_hit_ms > self._no_hit_ms:
            quality = Quality.NO_HIT
        elif not pulses_only and self.duplicates >= 3 and self.duplicates * 20 > readings:
            quality = Quality.SUSPECT
        else:
            quality = GOOD
        if pulses_only:
            self.on_since_ms = end_ms
        self.hits = self.readings = 0
        self.duplicates = min(self.duplicates, 1) if pulses_only else 0
        self.chattered = self.stuck = False
        return hits, quality, readings

    def state(self) -> list[Any]:
        """What a restart needs, as plain JSON values."""
        return [
            self.level,
            self.on_since_ms,
            self.last_hit_ms,
            self.releases,
            self.hits,
            self.readings,
            self.duplicates,
            self.chattered,
            self.stuck,
            self._recent[self._recent_at :] + self._recent[: self._recent_at],
        ]

    def restore(self, state: list[Any]) -> None:
        (
            self.level,
            self.on_since_ms,
            self.last_hit_ms,
            self.releases,
            self.hits,
            self.readings,
            self.duplicates,
            self.chattered,
            self.stuck,
            *recent,
        ) = state
        if recent and len(recent[0]) == len(self._recent):
            self._recent, self._recent_at = list(recent[0]), 0
            self._sum = sum(self._recent)
