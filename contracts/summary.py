"""What leaves a node: one row per interval and datastream, keyed ``(node, boot, seq)``.

No type of this module has room for raw detector edges or frames: raw data cannot be serialized to the hub.
"""

from __future__ import annotations

import enum
from math import isfinite
from typing import Annotated

import msgspec

from wayside.contracts.reading import GOOD, NO_VALUE, BootId, Name, Quality, Stamp
from wayside.contracts.wire import Document

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Text = Annotated[str, msgspec.Meta(max_length=256)]


class Kind(enum.Enum):
    INTERVAL = "interval"  # value of a datastream over an interval
    ALERT = "alert"  # incident, door, model refused …
    DECISION = "decision"  # what was proposed, what the guard said
    GAP = "gap"  # readings that were lost: value = how many


INTERVAL, DECISION = Kind.INTERVAL, Kind.DECISION  # see :data:`wayside.contracts.reading.GOOD`


PRIORITY = {Kind.ALERT: 0, Kind.GAP: 1, Kind.DECISION: 2, Kind.INTERVAL: 3}
"""Lower is sent first and sacrificed last."""


class Summary(Document, frozen=True, gc=False):  # not by keyword alone: in order 17 values cost a sixth
    """One row.

    ``at`` is the end of the interval (phenomenonTime), ``duration_s`` its length.
    ``forecast`` is what the node *had predicted* for this interval when it ended the one before (same unit
    as ``value``), ``naive`` what persistence would have; ``anomaly`` is ``|value - forecast|`` in residual
    standard deviations; ``n`` counts the readings behind ``value``.
    """

    node: Name
    boot: BootId
    seq: Seq
    kind: Kind
    datastream: Name
    at: Stamp
    duration_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    value: float | None = None
    unit: Annotated[str, msgspec.Meta(max_length=16)] = "1"
    quality: Quality = GOOD
    n: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    forecast: float | None = None
    naive: float | None = None
    anomaly: float | None = None
    model: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    derived: bool = False  # made of other rows of the node: a sum
    detail: Annotated[dict[Text, Text | float | int | bool | None], msgspec.Meta(max_length=32)] = {}

    def __post_init__(self) -> None:
        # Every row of every request comes by here: a sum is finite only if each of its terms is.
        value = self.value
        total = (value or 0.0) + (self.forecast or 0.0) + (self.naive or 0.0) + (self.anomaly or 0.0)
        if not isfinite(total + self.duration_s):
            for name in ("value", "forecast", "naive", "anomaly", "duration_s"):
                number = getattr(self, name)
                if number is not None and not isfinite(number):
                    raise ValueError(f"{name} is finite")
        if self.kind is INTERVAL and (value is None) != (self.quality in NO_VALUE):
            raise ValueError("an interval without a value has quality 'missing' or 'stale', and only then")
