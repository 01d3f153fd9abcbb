"""A task: input datastreams → window → model → output datastream → policy. Data, not code."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from contracts.reading import Name
from contracts.wire import Document, wire_field

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Input(Document, frozen=True, kw_only=True):
    """One column of the window, in physical units. ``low``/``high`` are the declared bounds.

    The names ``volume``, ``hour`` (0–24, local) and ``weekday`` (0 = Monday … 6) are filled by the node itself,
    ``lanes`` from its configuration, any other from the datastream of that name.
    """

    name: Name
    unit: Annotated[str, msgspec.Meta(max_length=16)]
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("low and high are finite, and low < high")


class TaskSpec(Document, frozen=True, kw_only=True):
    """Window of ``window`` × ``len(inputs)`` values, oldest row first; ``horizon`` outputs of ``output``."""

    wire: int = wire_field()
    name: Name
    domain: Name
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(min_length=1, max_length=64)]
    output: Name
    output_unit: Annotated[str, msgspec.Meta(max_length=16)]
    window: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    horizon: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    interval_s: Positive  # of one row of the window
    season: Annotated[int, msgspec.Meta(ge=1)]  # intervals of the seasonal floor, e.g. a week
    holdout_days: Annotated[int, msgspec.Meta(ge=1)] = 4  # the last days of the data: never trained on
    validation_days: Annotated[int, msgspec.Meta(ge=1)] = 4  # the days before them

    def __post_init__(self) -> None:
        names = [i.name for i in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("inputs have distinct names")
        if self.output not in names:
            raise ValueError("output is one of the inputs")
