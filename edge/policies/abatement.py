"""Equipment that runs *before* a threshold is passed and until after: a mist cannon, a filter, a fan.

On once the probability that one of the next ``within`` intervals passes ``threshold`` reaches ``on_probability``, or
the last value is over it; off once that has fallen to ``off_probability`` and the last value is under ``off_at``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answers, Setpoint
from wayside.contracts.actuator_config import Number, SetpointConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.probability import Passing, at_clock, passing
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Setpoint
Share = Annotated[float, msgspec.Meta(ge=0.01, le=0.99)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    """``threshold`` and ``off_at`` are in the forecast's unit, ``on`` and ``off`` in the actuator's."""

    threshold: Number = 75.0
    within: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 2  # intervals, from the next one
    on_probability: Share = 0.5
    off_probability: Share = 0.2
    off_at: Number | None = None  # None: the threshold
    on: Number = 1.0
    off: Number | None = None  # None: the actuator's safe value
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites; none: all of them

    def __post_init__(self) -> None:
        if not self.off_probability <= self.on_probability:
            raise ValueError("off_probability <= on_probability")
        if self.off_at is not None and self.off_at > self.threshold:
            raise ValueError("off_at <= threshold")

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def mistakes(self, task: TaskConfig, limits: SetpointConfig) -> Iterator[str]:
        if task.kind != "forecast":
            yield f"it needs forecasts, the task's kind is {task.kind!r}"
        elif self.within > task.horizon:
            yield f"settings.within: {self.within} intervals; the task's horizon is {task.horizon}"
        for name, value in (("on", self.on), ("off", self.off)):
            if value is not None and not limits.takes(value):
                yield f"settings.{name}: {value:g} is nothing that the actuator {limits.name} can be set to"


class Seen(NamedTuple):
    """Of the site where the threshold is passed the soonest, or the most likely."""

    site: str
    passing: Passing
    now: float | None  # the value of the interval that ended, the highest of all sites
    hour: float | None
    interval_s: float
    unit: str


def read(answers: Answers, settings: Settings) -> Seen | None:
    """How likely the threshold is to be passed, and how things are; None without a forecast."""
    sites = {name: a for name, a in answers.sites.items() if not settings.only or name in settings.only}
    each = [
        (found.probability, found.expected, name, found)
        for name, answer in sites.items()
        if (found := passing(answer, answers.quantiles, settings.threshold, settings.within)) is not None
    ]
    if not each:
        return None
    _, _, site, found = max(each)
    values = [a.value for a in sites.values() if a.value is not None and math.isfinite(a.value)]
    return Seen(site, found, max(values, default=None), answers.hour, answers.interval_s, answers.unit)


def propose(seen: Seen, settings: Settings, limits: SetpointConfig, in_force: Action | None) -> Setpoint:
    """``on`` or ``off``, approached by at most ``max_change``."""
    off = limits.safe if settings.off is None else settings.off
    now = in_force.value if isinstance(in_force, Setpoint) else limits.safe
    was_on = settings.on != off and abs(now - settings.on) < abs(now - off)
    target = settings.on if _wanted(seen, settings, was_on=was_on) else off
    if limits.max_change is not None:
        target = min(now + limits.max_change, max(now - limits.max_change, target))
    return Setpoint(target)


def soften(action: Setpoint, limits: SetpointConfig) -> Setpoint | None:
    """There is nothing between on and off."""
    return None


def explain(seen: Seen, settings: Settings, limits: SetpointConfig, action: Setpoint) -> Mapping[str, str | float]:
    """What a decision row says beside the action: the threshold, what is expected when, and how sure that is."""
    found = seen.passing
    fields: dict[str, str | float] = {
        "site": seen.site,
        "threshold": settings.threshold,
        "expected": round(found.expected, 1),
        "expected_at": at_clock(seen.hour, seen.interval_s, found.interval),
        "unit": seen.unit,
        "on_percent": round(settings.on_probability * 100),
        "off_percent": round(settings.off_probability * 100),
    }
    because = "the model expects {expected} {unit} at {site} by {expected_at}"
    if found.sure:
        fields["probability_percent"] = round(found.probability * 100)
        because += ", and the probability to pass {threshold} {unit} is {probability_percent} %"
    else:
        because += ", where {threshold} {unit} is the limit"
    if seen.now is not None:
        fields["now"] = round(seen.now, 1)
        because += "; {now} {unit} were measured last"
    return fields | {"because": because + "; on from {on_percent} %, off from {off_percent} % down"}


def _wanted(seen: Seen, settings: Settings, *, was_on: bool) -> bool:
    chance = seen.passing.probability
    if not was_on:
        return chance >= settings.on_probability or (seen.now is not None and seen.now > settings.threshold)
    off_at = settings.threshold if settings.off_at is None else settings.off_at
    return chance > settings.off_probability or (seen.now is not None and seen.now > off_at)
