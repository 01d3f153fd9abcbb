"""What a node does with its readings: one ``[[tasks]]`` table for each model that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.quantities import Seconds, Unit
from wayside.contracts.reading import Name
from wayside.contracts.wire import Document

TaskKind = Literal["forecast", "score", "classify", "count"]
CALENDAR = ("hour", "weekday", "yearday")
"""Inputs that any node makes from its clock (:class:`contracts.task.Input`)."""
SITE = "site"
NO_RUNTIME = "none"  # of an offer: the node has none installed
FRAMES = "{frame}"
"""UCUM annotation of a camera's datastream: frames that were looked at."""
Finite = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


class SiteConfig(Document, frozen=True, kw_only=True):
    """One place where the task's model runs: its output's datastream, and what is different there."""

    output: Name  # the datastream that is forecast or scored; its unit must be the model's
    site: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    """its name in the training data; None: the model's answer for a site it has not seen, if it knows one"""
    inputs: dict[Name, Name] = {}  # model's input → datastream, at this site only
    constants: dict[Name, Finite] = {}  # model's input → a number that never changes here: lanes = 2


class TaskOffer(Document, frozen=True, kw_only=True):
    """One model's place on a node: what it must be, and what it is fed.

    ``interval_s`` is the model's; a new interval ends every ``step_s``, so that windows may overlap.
    """

    name: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$",
            extra={"rule": "is 1 to 32 letters, digits, _ . and -, a letter or digit first"},
        ),
    ]
    bundle: Name  # the only one that may run here
    kind: TaskKind = "forecast"
    interval_s: Seconds = 900.0
    step_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] | None = None  # None: interval_s
    lead: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 1  # intervals from now to the first answer
    horizon: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1  # intervals that are needed; a model may answer more
    sites: Annotated[tuple[SiteConfig, ...], msgspec.Meta(min_length=1, max_length=256)]
    inputs: dict[Name, Name] = {}  # model's input → datastream, for all sites

    @property
    def every_s(self) -> float:
        """Seconds from one answer to the next."""
        return self.interval_s if self.step_s is None else self.step_s

    @property
    def steps(self) -> int:
        """Steps of one interval."""
        return round(self.interval_s / self.every_s)

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if (self.interval_s / self.every_s) % 1:
            yield Mistake(("interval_s",), "is a multiple of step_s")
        if self.every_s % 1:
            yield Mistake(("step_s",), "is a whole number of seconds")
        outputs = [s.output for s in self.sites]
        for i, output in enumerate(outputs):
            if output in outputs[:i]:
                yield Mistake(("sites", i, "output"), f"is {output}, as that of another site of this task")


class TaskConfig(TaskOffer, frozen=True, kw_only=True):
    """One model, where it runs, and what follows from its answers."""

    wait_s: Seconds | None = None  # for a source that is late; None: one step. Then the task goes on without it
    deadline_s: Seconds = 2.0  # real seconds for the answers of one step; later ones are dropped and told
    alert_sigma: Annotated[float, msgspec.Meta(gt=0)] = 6.0
    policy: Name | None = None  # a module of edge/policies
    actuator: Name | None = None  # that its proposals go to
    settings: dict[str, Any] = {}  # the policy's own; its module knows their types

    def _mistakes(self) -> Iterator[Mistake]:
        yield from super()._mistakes()
        for name in ("actuator", "settings"):
            if self.policy is None and getattr(self, name):
                yield Mistake((name,), 'is for a policy: add policy = "incident_notice" or another')
        if self.policy is not None and self.actuator is None:
            yield Mistake(("policy",), f"{self.policy} needs an actuator that carries out what it proposes")

    def offered(self) -> TaskOffer:
        """The part that decides which models fit."""
        return TaskOffer(**{name: getattr(self, name) for name in TaskOffer.__struct_fields__})


class SumConfig(Document, frozen=True, kw_only=True):
    """A datastream that is the sum of others, for people: its rows are flagged as derived."""

    name: Name
    of: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=256)]

    def __post_init__(self) -> None:
        if len(set(self.of)) != len(self.of) or self.name in self.of:
            refuse([Mistake(("of",), "names other datastreams, each once")])


class Datastream(Document, frozen=True, kw_only=True):
    """A series of values that a node can feed to a model. ``sum``: steps are added up; ``mean``: averaged."""

    name: Name
    unit: Unit
    aggregate: Literal["sum", "mean"]
    observes: Name | None = None  # what a model calls it, where somebody said so


class Offer(Document, frozen=True, kw_only=True):
    """What a node can feed and run, for those who choose models for it (:func:`contracts.fit.misfits`)."""

    agent: Annotated[str, msgspec.Meta(max_length=64)]  # version
    runtime: Annotated[str, msgspec.Meta(max_length=64)]
    runtimes: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=8)] = ()
    """all that it may take, the first of which is ``runtime``; (): that one alone"""
    precision: Annotated[str, msgspec.Meta(max_length=64)]
    datastreams: Annotated[tuple[Datastream, ...], msgspec.Meta(max_length=1024)] = ()
    days: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)] = ()  # names of its own tables of dates
    tasks: Annotated[tuple[TaskOffer, ...], msgspec.Meta(max_length=64)] = ()
