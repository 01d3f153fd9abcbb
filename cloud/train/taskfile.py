"""A task file: what the node is told (``[task]``), and where the data come from, how they are cut and judged.

One TOML file a task in ``cloud/train/tasks/``; adding a task needs no code (docs/data.md describes every key).
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from wayside.cloud.train.errors import TaskError
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import ContractError, Document, decode_toml
from wayside.text import read_toml

Count = Annotated[int, msgspec.Meta(ge=0)]


class Column(Document, frozen=True, kw_only=True):
    """How one input or the output is read from a file. Key of the table: the input's name.

    A number that means "missing" becomes missing, the rest is scaled, then shifted, then held against the input's
    declared bounds: outside is missing. A column without a table is read from the column of its own name.
    """

    source: str = ""  # column of the file (long), array (npz); the key itself unless given
    scale: float = 1.0
    shift: float = 0.0  # −273.15 makes °C of K
    words: tuple[str, ...] = ()  # a text becomes its index here, one that is not listed becomes missing
    merge: Literal["refuse", "mean", "max", "first", "sum"] = "refuse"  # repeated rows of one site and time
    fill: Count = 0  # a gap of at most so many intervals takes the value before it
    invalid: tuple[float, ...] = ()  # numbers that mean "missing", before scaling
    day: bool = False  # given at the day's first row only: holds for the whole local day
    over_sites: bool = False  # at every site the mean of all sites at that time


class Generated(Document, frozen=True, kw_only=True):
    """What :func:`wayside.cloud.train.generated.write` makes where no data are given, in the layout of ``files``."""

    seed: Count
    load_days: Count = 0
    air_days: Count = 0
    arrival_days: Count = 0
    drawings: Count = 0


class Data(Document, frozen=True, kw_only=True):
    """Where the data are, how a file is read, and how the whole is cut into stretches."""

    layout: Literal["long", "wide", "npz", "nab", "images", "frames"]
    files: tuple[str, ...] = ()  # globs under --data; several files are one data set; none: the packaged sample
    generated: Generated | None = None  # made from a seed where no --data is given: nothing of it was measured
    header: tuple[str, ...] = ()  # names of the columns, for files without a header line
    time: tuple[str, ...] = ()  # columns that make the timestamp, joined by blanks; none: ``start`` and row number
    time_format: str = ""  # strptime; ISO 8601 unless given
    time_exact: bool = True  # false: the format describes a part of the stamp ("6:00" of "6:00-6:59")
    day_starts: Count = 0  # hour at which the file's day begins: earlier hours belong to the next calendar day
    zone: str = ""  # stamps are UTC or have an offset, and become local time of this IANA zone
    start: str = ""  # of the first row, for files without stamps: a time, or the name of an npz array that holds it
    site: str = ""  # long: the column that names the site; npz: the array of names. None: the data are one site
    sites: tuple[str, ...] = ()  # only these, in this order
    ignore: tuple[str, ...] = ()  # wide: columns that are no site
    further: tuple[str, ...] = ()  # long: columns that a file may have, inputs then; any other is refused
    columns: dict[str, Column] = {}
    unusual_days: tuple[str, ...] = ()  # known to be: a task of kind score is judged by how it ranks them
    until: str = ""  # of the training data: nothing that ends after this local time is used
    missing: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.5  # of a window's output column; 0: no input at all
    naive: Count = 0  # the naive floor is the value so many intervals before the target; 0: the newest
    reach_back: bool = False  # inputs (never targets) of a stretch may lie in the one before it
    holdout_sites: tuple[str, ...] = ()  # patterns: these sites, whole, are held out …
    validation_sites: tuple[str, ...] = ()  # … and these validated on; then nothing is cut in time
    group: str = ""  # images, npz: the array that names what stays together (a track, a video, an intersection)
    blocks: Count = 0  # images: each class of each group is cut into so many runs in file order; 0: a group is one


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
    patience: Count = 3  # epochs without a better validation error; 0: all epochs
    average: float = 0.0  # of the weights, exponential moving; 0: none
    steps: Count = 0  # batches an epoch at most, drawn at random; 0: all
    augment: tuple[str, ...] = ()  # images: names of cloud.train.augment
    site_dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """share of the training windows whose site is hidden: the model can then be used at sites that it has not seen"""
    rare: Count = 0  # gan: so many windows with incidents (cloud.train.incidents) are known; 0: none
    refit: bool = True  # the released weights are trained again on all days, for as many epochs


class Goal(Document, frozen=True, kw_only=True):
    """The number to reach with the int8 model."""

    metric: Literal["mae", "rmse", "mape", "mse", "accuracy", "nab", "vus_pr"]
    value: float
    of: str = ""  # "h4": at that horizon step only; "" over all


class Published(Document, frozen=True, kw_only=True):
    """A number that others publish, or that a good simple method reaches, on the period after this one."""

    name: str
    value: float
    source: str
    metric: str = ""  # the goal's unless given


class TaskFile(Document, frozen=True, kw_only=True):
    task: TaskSpec
    data: Data
    fit: Fit
    goal: Goal | None = None
    published: tuple[Published, ...] = ()
    standardize: bool = False  # errors are in standard deviations of the training rows, per site (ETT's convention)

    @property
    def sampled(self) -> bool:
        """Whether it trains without a folder of data: on the packaged sample, or on what it generates."""
        return not self.data.files or self.data.generated is not None

    @property
    def incidents(self) -> bool:
        """Whether scores are judged by incidents put into the data: nothing else is known of what is unusual."""
        return self.task.kind == "score" and self.data.layout != "nab" and not self.data.unusual_days

    def __post_init__(self) -> None:
        unknown = set(self.data.columns) - {i.name for i in self.task.inputs} - {self.task.output}
        if unknown:
            raise ValueError(f"data.columns.{min(unknown)} is neither an input nor the output")
        if self.fit.site_dropout and "site" not in (i.name for i in self.task.inputs):
            raise ValueError("fit.site_dropout hides the site, and the task has no input of that name")


def load_task(name: str) -> TaskFile:
    """The task called ``name`` (a file of ``tasks/``), or the one in the TOML file of that path.

    Raises:
        TaskError: there is no such task, or it breaks its contract.
    """
    folder = importlib.resources.files("wayside.cloud.train") / "tasks"
    try:
        file = read_toml(Path(name)) if name.endswith(".toml") else (folder / f"{name}.toml").read_bytes()
    except OSError as exc:
        known = ", ".join(task_names())
        what = f"{name}: {exc.strerror or exc}" if name.endswith(".toml") else f"there is no task {name!r}"
        raise TaskError(f"{what}; known: {known}; or give the path of a .toml file") from exc
    try:
        return decode_toml(file, TaskFile)
    except ContractError as exc:
        raise TaskError(f"task {name}: {exc}") from exc


def task_names() -> list[str]:
    """The tasks that come with wayside, by name."""
    folder = importlib.resources.files("wayside.cloud.train") / "tasks"
    return sorted(Path(str(f)).stem for f in folder.iterdir() if str(f).endswith(".toml"))
