"""A task: input datastreams → window → model → output datastream → policy. Data, not code."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from wayside.contracts.alarm import AlarmSpec
from wayside.contracts.reading import Name
from wayside.contracts.wire import Document, wire_field

Positive = Annotated[float, msgspec.Meta(gt=0)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Unit = Annotated[str, msgspec.Meta(max_length=16)]


class Input(Document, frozen=True, kw_only=True):
    """One column of the window, in physical units. ``low``/``high`` are the declared bounds.

    The names ``hour`` (0–24, local), ``weekday`` (0 = Monday … 6) and ``yearday`` (0–366) are the calendar of a row's
    time, ``site`` the index into :attr:`TaskSpec.sites`; what feeds any other name on a node, its configuration says
    (:class:`contracts.task_config.TaskConfig`). Missing values are NaN; who fills them: :attr:`TaskSpec.missing`.
    """

    name: Name
    unit: Unit
    low: float
    high: float
    ahead: bool = False  # known beforehand (a holiday): row k holds the value of the last target interval after t_k

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("low and high are finite, and low < high")


class PictureSpec(Document, frozen=True, kw_only=True):
    """How a camera's picture becomes the model's: what :func:`contracts.picture.prepared` does, in training and on the
    node alike. ``stretch`` sizes both sides of the region independently; ``centre`` first cuts the longer one."""

    colours: Literal["rgb", "grey"] = "rgb"  # the order of the channels; grey is ITU-R BT.601 luma
    fit: Literal["stretch", "centre"] = "stretch"
    resize: Literal["linear"] = "linear"  # between pixel centres, over what one covers where the picture shrinks


class TaskSpec(Document, frozen=True, kw_only=True):
    """What goes into a model and what comes out.

    ========  =========================  ==========================================================================
    kind      in                         out
    ========  =========================  ==========================================================================
    forecast  (B, ``window``, F)         (B, H) of ``output`` in ``output_unit``; (B, H, Q) if ``quantiles`` are given
    score     (B, ``window``, F)         (B, 1) how unusual the window is, ≥ 0; typical windows score about 1
    classify  (B, *``image``)            (B, ``len(classes)``) logits
    count     (B, *``image``)            (B, ``len(classes)``) how many of each class the frame shows
    ========  =========================  ==========================================================================

    Rows are oldest first, F = ``len(inputs)``; the first target is ``lead`` intervals after the newest row, the last
    ``lead + horizon - 1``; with ``lead`` 0 the output itself is no input. A task file leaves ``sites`` empty: training
    writes down the sites that the data have. Images are height × width × channels, float32, 0–255.
    """

    wire: int = wire_field()
    name: Name
    domain: Name
    kind: Literal["forecast", "score", "classify", "count"] = "forecast"
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(min_length=1, max_length=64)]
    output: Name
    output_unit: Unit
    window: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    horizon: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    lead: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 1
    interval_s: Positive  # of one row of the window
    missing: Literal["graph", "last"] = "graph"
    """who fills a gap in the window: the graph itself, which is given NaN; or whoever makes the window, training and
    node alike, with the last value before it (:func:`contracts.windows.fill_last`)"""
    season: Annotated[int, msgspec.Meta(ge=1)]  # intervals of the seasonal floor, e.g. a week
    holdout_days: Annotated[int, msgspec.Meta(ge=1)] = 4  # the last days of the data: never trained on
    validation_days: Annotated[int, msgspec.Meta(ge=1)] = 4  # the days before them
    quantiles: Annotated[tuple[Annotated[float, msgspec.Meta(gt=0, lt=1)], ...], msgspec.Meta(max_length=9)] = ()
    alarm: AlarmSpec | None = None  # of kind score: when a score is an alarm; None: the node's own limit says so
    sites: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=128)], ...], msgspec.Meta(max_length=4096)] = ()
    image: tuple[Side, Side, Side] | None = None  # height, width, channels
    classes: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=1024)] = ()
    picture: PictureSpec | None = None  # None: colours by the number of channels, the rest as PictureSpec's defaults

    @property
    def seen_as(self) -> PictureSpec:
        """``picture``, or what it means that there is none."""
        grey = self.image is not None and self.image[2] == 1
        return self.picture or PictureSpec(colours="grey" if grey else "rgb")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, without the batch axis."""
        return self.image if self.image is not None else (self.window, len(self.inputs))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one answer, without the batch axis."""
        if self.kind in ("classify", "count"):
            return (len(self.classes),)
        if self.kind == "score":
            return (1,)
        return (self.horizon, len(self.quantiles)) if self.quantiles else (self.horizon,)

    @property
    def median(self) -> int:
        """Index of the median among ``quantiles``."""
        return self.quantiles.index(0.5)

    def __post_init__(self) -> None:
        names = [i.name for i in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("inputs have distinct names")
        if (self.image is not None) != (self.kind in ("classify", "count")):
            raise ValueError("tasks of kind classify and count have an image, others have none")
        if self.alarm is not None and self.kind != "score":
            raise ValueError("only a task of kind score has an alarm")
        if self.image is not None:
            if not self.classes:
                raise ValueError("an image task names its classes")
            if self.picture is not None and self.image[2] != {"rgb": 3, "grey": 1}[self.picture.colours]:
                raise ValueError("an image has 3 channels of rgb, or 1 of grey")
            return
        if self.picture is not None:
            raise ValueError("only an image task has a picture")
        if self.kind == "forecast" and (self.output in names) != (self.lead > 0):
            raise ValueError("output is one of the inputs" if self.lead else "with lead 0 the output is no input")
        if self.quantiles and (0.5 not in self.quantiles or sorted(set(self.quantiles)) != list(self.quantiles)):
            raise ValueError("quantiles rise, and 0.5 is among them")
        if self.sites and "site" not in names:
            raise ValueError("sites are named only where site is an input")
        if any(i.ahead for i in self.inputs) and self.window < self.horizon:
            raise ValueError("inputs known ahead need a window at least as long as the horizon")
