"""Values that another computer system tells the node: by HTTP on the node's own loopback, or in CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from wayside.contracts.local_time import unusable_form, zone_rule
from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.quantities import Seconds, Unit, plausible
from wayside.contracts.reading import Name
from wayside.contracts.task_config import Datastream, Finite
from wayside.contracts.wire import Document

MAX_TRUSTED_SILENCE_S = 3600.0
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ManualValueConfig(Document, frozen=True, kw_only=True):
    """One datastream that a feeding system tells.

    ``events`` says what just happened, each added to its step (an arrival); ``totals`` says how much there was in an
    interval, with its beginning and end; a ``gauge`` says how something stands, averaged over the step.

    Silence is no number: a step without a word has no value. ``silence = "zero"`` is for events of a system that says
    at least every ``silent_s`` that it is alive: then a step without events is 0, as long as it does.
    """

    datastream: Name
    kind: Literal["events", "totals", "gauge"]
    unit: Unit = "1"
    observes: Name | None = None  # what a model calls it: a model of anything else is then refused
    silence: Literal["missing", "zero"] = "missing"
    silent_s: Seconds = 7200.0  # without a word for so long the feeding system is silent, which is a condition
    low: Finite | None = None  # what is beyond these is refused; None: 0 for events and totals, else what no street
    high: Finite | None = None  # has in this unit

    @property
    def bounds(self) -> tuple[float, float]:
        """What is beyond is refused."""
        low, high = plausible(self.unit)
        if self.kind != "gauge":
            low = 0.0
        return (low if self.low is None else self.low, high if self.high is None else self.high)

    def stream(self) -> Datastream:
        """What it gives to tasks."""
        aggregate: Literal["sum", "mean"] = "mean" if self.kind == "gauge" else "sum"
        return Datastream(name=self.datastream, unit=self.unit, aggregate=aggregate, observes=self.observes)

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.silence == "zero" and self.kind != "events":
            yield Mistake(("silence",), f"zero is for events; {self.kind} that nobody told are unknown")
        elif self.silence == "zero" and self.silent_s > MAX_TRUSTED_SILENCE_S:
            rule = f"zero needs silent_s of at most {MAX_TRUSTED_SILENCE_S:g}: for so long a dead system passes for 0"
            yield Mistake(("silence",), rule)
        if self.high is not None and self.bounds[0] >= self.high and (self.low is not None or self.kind != "gauge"):
            yield Mistake(("high",), "low < high")


class ManualFileConfig(Document, frozen=True, kw_only=True):
    """A CSV file that a feeding system appends to, rotates or writes anew. Its first line names the columns."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]  # relative to the configuration file
    columns: Annotated[dict[Text, Name], msgspec.Meta(min_length=1, max_length=32)]  # column → datastream
    time: Text = "time"  # the column with each row's time; of a total, its interval's beginning
    time_format: Text | None = None  # of strptime, such as "%d.%m.%Y %H:%M"; None: ISO 8601
    timezone: Annotated[str, msgspec.Meta(max_length=64)] | None = None  # of times without one; None: clock.timezone
    interval_s: Seconds | None = None  # how long the interval of a row of totals is
    id: Text | None = None  # the column that tells one event from another
    decimal: Literal[".", ","] = "."
    encoding: Literal["utf-8", "cp1252"] = "utf-8"

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if not self.path.strip() or "\0" in self.path:
            yield Mistake(("path",), "is no path")
        if self.timezone is not None and (rule := zone_rule(self.timezone)):
            yield Mistake(("timezone",), rule)
        if self.time_format is not None and (rule := unusable_form(self.time_format)):
            yield Mistake(("time_format",), rule)
        names = list(self.columns.values())
        if len(set(names)) != len(names):
            yield Mistake(("columns",), "names each datastream once")


class ManualConfig(Document, frozen=True, kw_only=True):
    """What others tell the node. ``wait_s`` is how long after a step's end its values are still taken."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None  # on 127.0.0.1; None: no HTTP
    secret: (
        Annotated[
            str,
            msgspec.Meta(pattern=r"^[\x21-\x7e]{16,128}$", extra={"rule": "is 16 to 128 printable ASCII characters"}),
        ]
        | None
    ) = None  # that requests have to carry; None: any program on this computer may tell
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 60.0
    values: Annotated[tuple[ManualValueConfig, ...], msgspec.Meta(min_length=1, max_length=64)]
    files: Annotated[tuple[ManualFileConfig, ...], msgspec.Meta(max_length=16)] = ()

    @property
    def totals(self) -> frozenset[str]:
        """Datastreams that are told for intervals."""
        return frozenset(v.datastream for v in self.values if v.kind == "totals")

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.port is None and not self.files:
            yield Mistake(("values",), "nobody can tell them: add port, or [[manual.files]]")
        if self.port is None and self.secret is not None:
            yield Mistake(("secret",), "is for HTTP: add port")
        kinds = {v.datastream: v.kind for v in self.values}
        paths = [f.path for f in self.files]
        for i, file in enumerate(self.files):
            if file.path in paths[:i]:
                yield Mistake(("files", i, "path"), f"{file.path} is given twice")
            for column, name in file.columns.items():
                place = ("files", i, "columns", column)
                kind = kinds.get(name)
                if kind is None:
                    yield Mistake(place, f"{name} is no datastream of manual.values")
                elif kind == "totals" and file.interval_s is None:
                    yield Mistake(place, f"{name} are totals: add interval_s, how long the interval of a row is")
                elif kind == "events" and file.id is None:
                    rule = f"{name} are events: add id, the column that tells them apart when the file is written anew"
                    yield Mistake(place, rule)
