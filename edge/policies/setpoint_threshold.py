"""A set-point that goes on over a threshold and off again under a lower one: a heater, a fan, a sign.

It looks at the highest value of the sites: of the forecast (over the next ``within`` intervals), of the score, or of
one class of a picture task. With ``below`` it is on under the threshold and off over a higher one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answer, Answers, Setpoint
from wayside.contracts.actuator_config import Number, SetpointConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Setpoint
KINDS = {"forecast": ("forecast",), "score": ("score",), "count": ("classify", "count")}


class Settings(PolicySettings, frozen=True, kw_only=True):
    """``on_at`` and ``off_at`` are in the unit of what is watched, ``on`` and ``off`` in the actuator's."""

    watch: Literal["forecast", "score", "count"] = "forecast"
    of_class: Annotated[str, msgspec.Meta(max_length=64)] = ""  # of ``count``
    within: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1  # intervals of the forecast, from the first
    on_at: Number = 1.0
    off_at: Number = 0.5
    below: bool = False  # on at ``on_at`` and under it
    on: Number = 1.0
    off: Number | None = None  # None: the actuator's safe value
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites; none: all of them

    def __post_init__(self) -> None:
        if (self.off_at < self.on_at) if self.below else (self.off_at > self.on_at):
            raise ValueError("off_at is not over on_at; with below it is not under it")
        if (self.watch == "count") != bool(self.of_class):
            raise ValueError("of_class says which class is watched where watch is 'count', and only there")

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def mistakes(self, task: TaskConfig, limits: SetpointConfig) -> Iterator[str]:
        if task.kind not in KINDS[self.watch]:
            yield f"settings.watch: {self.watch!r} is not what a task of kind {task.kind!r} answers"
        if self.watch == "forecast" and self.within > task.horizon:
            yield f"settings.within: {self.within} intervals; the task's horizon is {task.horizon}"
        for name, value in (("on", self.on), ("off", self.off)):
            if value is not None and not (limits.low <= value <= limits.high and limits.target.holds(value)):
                yield (
                    f"settings.{name}: {value:g} is nothing that the actuator {limits.name} can be set to "
                    f"({limits.target.what}, {limits.low:g} to {limits.high:g})"
                )


class Seen(NamedTuple):
    value: float
    unit: str


def read(answers: Answers, settings: Settings) -> Seen | None:
    """The highest value of the sites, with ``below`` the lowest; None where nothing is known."""
    values: list[float] = []
    for site, answer in answers.sites.items():
        if not settings.only or site in settings.only:
            values += [v for v in _values(answer, settings) if math.isfinite(v)]
    if not values:
        return None
    return Seen(min(values) if settings.below else max(values), answers.unit)


def propose(seen: Seen, settings: Settings, limits: SetpointConfig, in_force: Action | None) -> Setpoint:
    """``on`` or ``off``, approached by at most ``max_change``."""
    off = limits.safe if settings.off is None else settings.off
    now = in_force.value if isinstance(in_force, Setpoint) else limits.safe
    was_on = settings.on != off and abs(now - settings.on) < abs(now - off)
    threshold = settings.off_at if was_on else settings.on_at
    on = seen.value <= threshold if settings.below else seen.value >= threshold
    target = settings.on if on else off
    if limits.max_change is not None:
        target = min(now + limits.max_change, max(now - limits.max_change, target))
    return Setpoint(target)


def soften(action: Setpoint, limits: SetpointConfig) -> Setpoint | None:
    """There is nothing between on and off."""
    return None


def explain(seen: Seen, settings: Settings, limits: SetpointConfig, action: Setpoint) -> Mapping[str, str | float]:
    """What a decision row says beside the action: the value that was compared, and with what."""
    what = {"forecast": "the forecast", "score": "the score", "count": "the count of {of_class}"}[settings.watch]
    which = "lowest" if settings.below else "highest"
    return {
        "watched": round(seen.value, 3),
        "on_at": settings.on_at,
        "off_at": settings.off_at,
        "unit": seen.unit if settings.watch == "forecast" else "1",
        "of_class": settings.of_class,
        "because": f"the {which} value of {what} is {{watched}} {{unit}}; on from {{on_at}}, off beyond {{off_at}}",
    }


def _values(answer: Answer, settings: Settings) -> list[float]:
    match settings.watch:
        case "forecast":
            return list(answer.forecast[: settings.within])
        case "score":
            return [] if answer.score is None else [answer.score]
    value = (answer.counts or {}).get(settings.of_class)
    return [] if value is None else [value]
