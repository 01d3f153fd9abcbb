"""A reading: one observed value with its quality and its honest time (OGC SensorThings *Observation*)."""

from __future__ import annotations

import enum
import math
from typing import Annotated

import msgspec

from wayside.contracts.wire import Document

_NAME_RULE = "is 1 to 64 letters, digits, _ . / and -, a letter or digit first"
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,63}$", extra={"rule": _NAME_RULE})]
"""A datastream, node or task name: 1 to 64 of letters, digits and ``_ . / -``."""
BootId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
"""One run of one agent: 128 random bits, hexadecimal."""


LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: later ones have no date."""


class Quality(enum.Enum):
    """Why a value may or may not be believed. Worst rule wins."""

    GOOD = "good"
    SUBSTITUTED = "substituted"  # estimated from neighbours or the last good value
    SUSPECT = "suspect"  # plausible, but a rule doubts it
    GAP = "gap"  # events of this interval were lost; the count is a lower bound
    OUT_OF_RANGE = "out_of_range"
    STUCK_ON = "stuck_on"  # presence without release for too long
    CHATTER = "chatter"  # more edges than vehicles could cause
    NO_HIT = "no_hit"  # silent for too long
    STALE = "stale"  # the sensor or its line is silent
    MISSING = "missing"  # there is no value
    # of a camera
    DARK = "dark"
    FROZEN = "frozen"  # the same picture again and again
    OVEREXPOSED = "overexposed"
    BLURRED = "blurred"
    MOVED = "moved"  # it looks elsewhere than before


# To look a member up in its Enum class costs 0.2 µs (Python 3.11): more than comparing it.
GOOD, MISSING = Quality.GOOD, Quality.MISSING
NO_VALUE = (Quality.MISSING, Quality.STALE)


class ClockState(enum.Enum):
    UNKNOWN = "unknown"
    HELD = "held"  # was trusted once, free-running since
    GPS = "gps"
    NTP = "ntp"
    HUB = "hub"
    SIMULATED = "simulated"  # a scaled clock: demonstrations and tests


UNKNOWN = ClockState.UNKNOWN


class Stamp(Document, frozen=True, gc=False):
    """When something happened, as honestly as the node knows it.

    ``mono_ns`` is comparable within one ``boot`` only; ``wall_ms`` is Unix time or
    ``None`` while ``clock`` is ``unknown``; ``error_ms`` bounds its error.
    """

    boot: BootId
    mono_ns: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    wall_ms: Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)] | None = None
    clock: ClockState = ClockState.UNKNOWN
    error_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None

    def __post_init__(self) -> None:
        if (self.wall_ms is None) != (self.clock is UNKNOWN):
            raise ValueError("wall_ms is null exactly when clock is 'unknown'")


class Reading(Document, frozen=True, kw_only=True):
    """A value of ``datastream`` in ``unit`` (UCUM code). Missing is ``None``, never 0."""

    datastream: Name
    value: float | None
    unit: Annotated[str, msgspec.Meta(max_length=16)]
    quality: Quality
    at: Stamp

    def __post_init__(self) -> None:
        if self.value is None and self.quality not in NO_VALUE:
            raise ValueError("a reading without a value has quality 'missing' or 'stale'")
        if self.value is not None and self.quality is MISSING:
            raise ValueError("a missing reading has no value")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError("value is finite")
