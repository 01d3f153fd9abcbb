"""A task file: what the node is told (``[task]``), and where the data come from, how they are cut and judged.

One TOML file a task in ``cloud/train/tasks/``; adding a task needs no code (docs/data.md describes every key).
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from wayside.cloud.train.errors import TaskError
from wayside.cloud.train.task_rules import (
    is_moment,
    mistakes_of_augment,
    mistakes_of_model,
    mistakes_of_sizes,
    mistakes_of_zone,
)
from wayside.contracts.mistakes import Mistake, between_sections, mistakes_of, refuse, spelled
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import WIRE_VERSION, Document
from wayside.csv_dialect import DECIMALS, SEPARATORS
from wayside.paths import placed
from wayside.text import TextError, decode, loads_toml, read_toml

Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Days = Annotated[int, msgspec.Meta(ge=0, le=4_000)]
Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
Text = Annotated[str, msgspec.Meta(max_length=256)]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,128}\Z", extra={"rule": "is 1 to 128 printable characters"})
]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", extra={"rule": "is a day like 2024-12-31"})]
YEAR_S = 366 * 86_400
_NEAR = {("data", "missing"): "; words that mean no value stand in missing_words"}  # what else may be meant
MOST = {"season": 1_000_000, "holdout_days": 10_000, "validation_days": 10_000}
"""Of ``[task]``: what a task file asks for at most."""


class Column(Document, frozen=True, kw_only=True):
    """How one input or the output is read from a file. Key of the table: the input's name.

    A number that means "missing" becomes missing, the rest is scaled, then shifted, then held against the input's
    declared bounds: outside is missing. A column without a table is read from the column of its own name.
    """

    source: Text = ""  # column of the file (long), array (npz); the key itself unless given
    scale: Finite = 1.0
    shift: Finite = 0.0  # −273.15 makes °C of K
    words: tuple[Name, ...] = ()  # a text becomes its index here, one that is not listed becomes missing
    merge: Literal["refuse", "mean", "max", "first", "sum"] = "refuse"  # repeated rows of one site and time
    fill: Count = 0  # a gap of at most so many intervals takes the value before it
    invalid: tuple[Finite, ...] = ()  # numbers that mean "missing", before scaling
    day: bool = False  # given at the day's first row only: holds for the whole local day
    over_sites: bool = False  # at every site the mean of all sites at that time

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.scale == 0:
            yield Mistake(("scale",), "is 0: every value would be the same")
        if len({*self.words}) < len(self.words):
            yield Mistake(("words",), "has a word twice")


class Generated(Document, frozen=True, kw_only=True):
    """What :func:`wayside.cloud.train.generated.write` makes where no data are given, in the layout of ``files``."""

    seed: Count
    load_days: Days = 0
    air_days: Days = 0
    arrival_days: Days = 0
    drawings: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0


class Data(Document, frozen=True, kw_only=True):
    """Where the data are, how a file is read, and how the whole is cut into stretches."""

    layout: Literal["long", "wide", "npz", "nab", "images", "frames"]
    files: tuple[Text, ...] = ()  # globs under --data; several files are one data set; none: the packaged sample
    generated: Generated | None = None  # made from a seed where no --data is given: nothing of it was measured
    separator: str | None = None  # of a CSV's columns; None: guessed, and said
    decimal: str | None = None  # the sign; the other one groups thousands. None: guessed, and said
    encoding: Annotated[str, msgspec.Meta(max_length=64)] | None = (
        None  # None: UTF-8, what a mark says, or Windows-1252
    )
    missing_words: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)] = ()  # cells without a value, beside nan, …
    header: tuple[Name, ...] = ()  # names of the columns, for files without a header line
    time: Annotated[tuple[Name, ...], msgspec.Meta(max_length=16)] = ()
    """columns that make the timestamp, joined by blanks; none: ``start`` and row number"""
    time_format: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """strptime's; or ``excel``, ``epoch_s``, ``epoch_ms``, … (:mod:`cloud.train.stamps`); ISO 8601 unless given"""
    time_exact: bool = True  # false: the format describes a part of the stamp ("6:00" of "6:00-6:59")
    day_starts: Annotated[int, msgspec.Meta(ge=0, le=23)] = 0
    """hour at which the file's day begins: earlier hours belong to the next calendar day"""
    zone: Text = ""  # stamps are UTC or have an offset, and become local time of this IANA zone
    start: Text = ""  # of the first row, for files without stamps: a time, or the name of an npz array that holds it
    site: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """long: the column that names the site; npz: the array of names. None: the data are one site"""
    sites: tuple[Name, ...] = ()  # only these, in this order
    ignore: tuple[Text, ...] = ()  # wide: columns that are no site
    further: tuple[Name, ...] = ()  # long: columns that a file may have, inputs then; any other is refused
    columns: dict[str, Column] = {}
    unusual_days: tuple[Day, ...] = ()  # known to be: a task of kind score is judged by how it ranks them
    until: Text = ""  # of the training data: nothing that ends after this local time is used
    missing: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.5  # of a window's output column; 0: no input at all
    naive: Count = 0  # the naive floor is the value so many intervals before the target; 0: the newest
    reach_back: bool = False  # inputs (never targets) of a stretch may lie in the one before it
    holdout_sites: tuple[Text, ...] = ()  # patterns: these sites, whole, are held out …
    validation_sites: tuple[Text, ...] = ()  # … and these validated on; then nothing is cut in time
    group: Text = ""  # images, npz: the array that names what stays together (a track, a video, an intersection)
    blocks: Count = 0  # images: each class of each group is cut into so many runs in file order; 0: a group is one

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        yield from self._mistakes_of_reading()
        for name in ("until", "start"):
            text = getattr(self, name)
            if text and not (name == "start" and self.layout == "npz") and not is_moment(text):
                yield Mistake((name,), f"{text!r} is no time: write it like 2024-12-31T00:00")
        for i, day in enumerate(self.unusual_days):
            if not is_moment(day):
                yield Mistake(("unusual_days", i), f"{day!r} is no day of the calendar")
        if self.layout == "nab" and not self.time:
            yield Mistake(("time",), "of layout nab, name the column of times")
        if self.layout in ("long", "wide") and not self.time and not self.start:
            yield Mistake(("time",), "name the columns that make the time, or the start of files without them")
        read = (*self.time, *([self.site] if self.site and self.layout == "long" else []))
        for name in (n for n in read if self.header and n not in self.header):
            yield Mistake(("header",), f"has no column {name!r}, which the time or the site is read from")
        if bool(self.holdout_sites) != bool(self.validation_sites):
            yield Mistake(("validation_sites",), "and holdout_sites are given together: both are cut out of the sites")

    def _mistakes_of_reading(self) -> Iterator[Mistake]:
        for name in ("files", "header", "time", "sites", "further", "missing_words"):
            if len({*getattr(self, name)}) < len(getattr(self, name)):
                yield Mistake((name,), "names one twice")
        for i, pattern in enumerate(self.files):
            try:
                next(Path("nowhere").glob(pattern), None)
            except (ValueError, NotImplementedError, IndexError, OSError) as exc:
                yield Mistake(("files", i), f"{pattern!r} is no pattern of files in a folder: {exc}")
        if self.separator is not None and self.separator not in SEPARATORS:
            yield Mistake(("separator",), r'is one of ",", ";", "\t" and "|"')
        if self.decimal is not None and self.decimal not in DECIMALS:
            yield Mistake(("decimal",), 'is "." or ","')
        if self.encoding is not None:
            try:
                decode(b"", self.encoding)
            except TextError as exc:
                yield Mistake(("encoding",), str(exc))
        if self.zone:
            yield from (Mistake(("zone",), rule) for rule in mistakes_of_zone(self.zone))


class Fit(Document, frozen=True, kw_only=True):
    """How the model is trained."""

    family: Text
    sizes: dict[str, Any] = {}  # of the family's constructor
    loss: Literal["mse", "mae", "huber", "pinball", "cross-entropy", "family"] = "mse"
    scale: Literal["global", "site", "window"] = "global"  # errors are divided by the spread of …
    epochs: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10
    batch: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 32
    rate: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.01
    schedule: Literal["constant", "exponential", "cosine", "onecycle"] = "exponential"
    decay: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.7  # of the rate an epoch (exponential)
    weight_decay: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    patience: Count = 3  # epochs without a better validation error; 0: all epochs
    average: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0  # of the weights, exponential moving; 0: none
    steps: Count = 0  # batches an epoch at most, drawn at random; 0: all
    augment: tuple[str, ...] = ()  # images: names of cloud.train.augment
    site_dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """share of the training windows whose site is hidden: the model can then be used at sites that it has not seen"""
    rare: Count = 0  # gan: so many windows with incidents (cloud.train.incidents) are known; 0: none
    refit: bool = True  # the released weights are trained again on all days, for as many epochs

    def __post_init__(self) -> None:
        refuse(mistakes_of_sizes(self.sizes, ("sizes",)))


class Goal(Document, frozen=True, kw_only=True):
    """The number to reach with the int8 model."""

    metric: Literal["mae", "rmse", "mape", "mse", "accuracy", "nab", "vus_pr"]
    value: Finite
    of: str = ""  # "h4": at that horizon step only; "" over all


class Published(Document, frozen=True, kw_only=True):
    """A number that others publish, or that a good simple method reaches, on the period after this one."""

    name: str
    value: Finite
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
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        task, data = self.task, self.data
        both = frozenset({"task", "data"})
        for name in sorted(set(data.columns) - {i.name for i in task.inputs} - {task.output}):
            yield Mistake(("data", "columns", name), "is neither an input nor the output", both)
        whole = task.interval_s <= YEAR_S and task.interval_s == round(task.interval_s)
        if not whole:
            yield Mistake(("task", "interval_s"), "is a whole number of seconds, from 1 to those of a year", both)
        if not 1 <= task.wire <= WIRE_VERSION:
            yield Mistake(("task", "wire"), f"is {task.wire}; this software reads 1 to {WIRE_VERSION}", both)
        for name, most in MOST.items():
            if getattr(task, name) > most:
                yield Mistake(("task", name), f"is {getattr(task, name)}, more than {most}", both)
        if len({*task.classes}) < len(task.classes):
            yield Mistake(("task", "classes"), "names one twice", both)
        if whole and data.time_format:
            from wayside.cloud.train.stamps import mistakes_of_format  # pandas' own reader judges

            zone, exact = data.zone, data.time_exact
            for rule in mistakes_of_format(data.time_format, exact=exact, zone=zone, interval_s=task.interval_s):
                yield Mistake(("data", "time_format"), rule, both)
        if (task.image is not None) != (data.layout in ("images", "frames")):
            yield Mistake(("data", "layout"), f"is {data.layout}, and the task is of kind {task.kind}", both)
        steps = [f"h{k}" for k in range(1, task.horizon + 1)]
        if self.goal is not None and self.goal.of and self.goal.of not in steps:
            rule = f"is {self.goal.of!r}, no step of the horizon: {steps[0]} to {steps[-1]}"
            yield Mistake(("goal", "of"), rule, frozenset({"task", "goal"}))
        if self.fit.site_dropout and "site" not in (i.name for i in task.inputs):
            rule = "hides the site, and the task has no input of that name"
            yield Mistake(("fit", "site_dropout"), rule, frozenset({"task", "fit"}))


def load_task(name: str) -> TaskFile:
    """The task called ``name`` (a file of ``tasks/``), or the one in the TOML file of that path.

    Raises:
        TaskError: there is no such task, or it breaks its contract; every mistake is named by its key.
    """
    folder = importlib.resources.files("wayside.cloud.train") / "tasks"
    try:
        raw = loads_toml(
            read_toml(placed(Path(), name)) if name.endswith(".toml") else (folder / f"{name}.toml").read_bytes()
        )
    except FileNotFoundError as exc:
        if name.endswith(".toml"):
            raise TaskError(f"task {name}: {exc.strerror}; `wayside new task NAME` writes one to begin with") from exc
        known = ", ".join(task_names())
        raise TaskError(f"there is no task {name!r}; known: {known}; or give the path of a .toml file") from exc
    except (OSError, ValueError) as exc:  # also of a name that no file can have
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise TaskError(f"task {name}: {why}") from exc
    return task_of(raw, f"task {name}")


def task_of(raw: dict[str, Any], source: str) -> TaskFile:
    """A task file's tables as a task that can be trained: its model can be built, too.

    Raises:
        TaskError: naming ``source``, and every mistake by its key.
    """
    raw = {name: _with_dates_as_text(part) for name, part in raw.items()}
    mistakes = list(mistakes_of(raw, TaskFile, ()))
    broken = {str(m.place[0]) for m in mistakes if m.place}
    mistakes += between_sections(raw, TaskFile, broken, {"fit": {"family": ""}})
    if {"task", "fit"} <= raw.keys() and not broken & {"task", "fit"}:
        task, fit = msgspec.convert(raw["task"], TaskSpec), msgspec.convert(raw["fit"], Fit)
        mistakes += [*mistakes_of_model(fit.family, fit.sizes, task), *mistakes_of_augment(fit.augment)]
    if not mistakes:
        return msgspec.convert(raw, TaskFile)
    lines = list(
        dict.fromkeys(f"{spelled(m.place).removeprefix('$.')}: {m.rule}{_NEAR.get(m.place, '')}" for m in mistakes)
    )
    if len(lines) == 1:
        raise TaskError(f"{source}: {lines[0]}")
    raise TaskError(f"{source}: {len(lines)} mistakes:\n  " + "\n  ".join(lines))


def _with_dates_as_text(value: Any) -> Any:
    """TOML has dates of its own; a task file may write them with or without quotation marks."""
    if isinstance(value, dict):
        return {key: _with_dates_as_text(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_dates_as_text(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value


def task_names() -> list[str]:
    """The tasks that come with wayside, by name."""
    folder = importlib.resources.files("wayside.cloud.train") / "tasks"
    return sorted(Path(str(f)).stem for f in folder.iterdir() if str(f).endswith(".toml"))
