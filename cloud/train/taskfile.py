"""A task file: what the node is told (``[task]``), and where the data come from, how they are cut and judged.

One TOML file a task in ``cloud/train/tasks/``; adding a task needs no code (docs/data.md describes every key).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from contracts.task import TaskSpec
from contracts.wire import Document


class Column(Document, frozen=True, kw_only=True):
    """How one input or the output is read from a file. Key of the table: the input's name.

    A value is scaled, then shifted, then held against the input's declared bounds: outside is missing.
    """

    source: str = ""  # column of the file (long), array (npz); the key itself unless given
    scale: float = 1.0
    shift: float = 0.0  # −273.15 makes °C of K
    words: tuple[str, ...] = ()  # a text becomes its index here, one that is not listed becomes missing
    merge: Literal["refuse", "mean", "max", "first", "sum"] = "refuse"  # repeated rows of one site and time
    fill: Annotated[int, msgspec.Meta(ge=0)] = 0  # a gap of at most so many intervals takes the value before it
    invalid: tuple[float, ...] = ()  # numbers that mean "missing", before scaling
    day: bool = False  # given at the day's first row only: holds for the whole local day


class Data(Document, frozen=True, kw_only=True):
    files: tuple[str, ...]  # globs under --data; several files are one data set
    layout: Literal["long", "wide", "npz", "images", "nab"]
    time: tuple[str, ...] = ()  # columns that make the timestamp, joined by blanks; none: ``start`` and row number
    time_format: str = ""  # strptime; ISO 8601 unless given
    zone: str = ""  # stamps are UTC and become local time of this IANA zone
    start: str = ""  # of the first row, for files without stamps
    ends: bool = False  # stamps name the end of an interval, not its start
    days: tuple[int, ...] = ()  # weekdays present (0 = Monday) in files that leave days out; all unless given
    site: str = ""  # long: the column that names the site; wide: every other column is one
    sites: tuple[str, ...] = ()  # only these, in this order
    columns: dict[str, Column] = {}
    until: str = ""  # nothing at or after this local time is used


class Fit(Document, frozen=True, kw_only=True):
    """How the model is trained."""

    family: str
    sizes: dict[str, Any] = {}  # of the family's constructor
    loss: Literal["mse", "mae", "huber", "pinball", "cross-entropy", "family"] = "mse"
    scale: Literal["global", "site", "window"] = "global"  # errors are divided by the spread of …
    epochs: Annotated[int, msgspec.Meta(ge=1)] = 10
    batch: Annotated[int, msgspec.Meta(ge=1)] = 32
    rate: float = 0.01
    schedule: Literal["constant", "exponential", "cosine", "onecycle"] = "exponential"
    decay: float = 0.7  # of the rate an epoch (exponential)
    weight_decay: float = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    patience: Annotated[int, msgspec.Meta(ge=0)] = 3  # epochs without a better validation error; 0: all epochs
    average: float = 0.0  # of the weights, exponential moving; 0: none
    steps: Annotated[int, msgspec.Meta(ge=0)] = 0  # batches an epoch at most, drawn at random; 0: all
    augment: tuple[str, ...] = ()  # images: names of cloud.train.augment
    refit: bool = True  # the released weights are trained again on all days, for as many epochs


class Goal(Document, frozen=True, kw_only=True):
    metric: Literal["mae", "rmse", "mape", "mse", "accuracy", "nab", "vus_pr"]
    value: float
    of: str = ""  # "h4": at that horizon step only; "" over all


class Published(Document, frozen=True, kw_only=True):
    """A number that others publish, or that a good simple method reaches, on the period after this one."""

    name: str
    value: float
    source: str


class TaskFile(Document, frozen=True, kw_only=True):
    task: TaskSpec
    data: Data
    fit: Fit
    goal: Goal | None = None
    published: tuple[Published, ...] = ()
    standardize: bool = False  # errors are in standard deviations of the training rows, per site (ETT's convention)
