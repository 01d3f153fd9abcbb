"""A notice before a place is full: emergency arrivals against staffed beds, and which other site still has room.

Arrivals over the next ``hours`` are the sum of the intervals' forecasts. Quantiles of the intervals are added, as if
all of them erred together: that makes the spread of the sum wider than it is.
The level rises at ``warn_at`` and ``alarm_at`` and falls later than it rose (hysteresis). Nothing moves: it is advice.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answer, Answers, Notice
from wayside.contracts.actuator_config import NoticeConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.probability import exceedance, usable
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Notice
WARNING, ALARM = 2, 3
Share = Annotated[float, msgspec.Meta(ge=0.01, le=0.99)]
Places = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    """How many can be taken at each site within ``hours``."""

    from_constants: ClassVar[tuple[str, ...]] = ("places",)

    places: Annotated[dict[Name, Places], msgspec.Meta(max_length=256)] = {}  # datastream → places that are staffed
    hours: Annotated[float, msgspec.Meta(ge=0.1, le=168)] = 4.0
    warn_at: Share = 0.5
    alarm_at: Share = 0.8
    end_below: Share = 0.3
    divert_below: Share = 0.2  # a site is advised where its own probability is no higher
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "capacity"
    watch: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # sites that are told of; none: all of them

    def __post_init__(self) -> None:
        if not self.end_below <= self.warn_at <= self.alarm_at:
            raise ValueError("end_below <= warn_at <= alarm_at")

    def sites(self) -> Collection[str]:
        return self.places.keys()

    def mistakes(self, task: TaskConfig, limits: NoticeConfig) -> Iterator[str]:
        if task.kind != "forecast":
            yield f"it needs forecasts, the task's kind is {task.kind!r}"
        ahead_h = task.horizon * task.interval_s / 3600
        if self.hours > ahead_h * (1 + 1e-9):
            yield f"settings.hours: {self.hours:g}; the task's horizon is {ahead_h:g} h"
        if not self.places:
            yield "no site has places: write them into its constants: constants = { places = 24 }"
        for site in self.watch:
            if site not in self.places:
                yield f"settings.watch: {site} has no places in its constants: constants = {{ places = 24 }}"


class Load(NamedTuple):
    """Of one site."""

    arrivals: float  # expected within ``hours``
    places: float
    probability: float  # of more arrivals than places; 1 or 0 where the model gives no quantiles
    sure: bool  # it is a probability, from quantiles


class Seen(NamedTuple):
    loads: Mapping[str, Load]
    worst: str  # site, of those that are told of


def read(answers: Answers, settings: Settings) -> Seen | None:
    """How likely each site is to be full; None without a forecast."""
    intervals = max(1, math.ceil(settings.hours * 3600 / answers.interval_s - 1e-6))
    loads = {}
    for site, places in settings.places.items():
        answer = answers.sites.get(site)
        load = None if answer is None else _load(answer, answers.quantiles, intervals, places)
        if load is not None:
            loads[site] = load
    told_of = [site for site in loads if not settings.watch or site in settings.watch]
    if not told_of:
        return None
    return Seen(loads, max(told_of, key=lambda s: (loads[s].probability, loads[s].arrivals - loads[s].places)))


def propose(seen: Seen, settings: Settings, limits: NoticeConfig, in_force: Action | None) -> Notice:
    """The notice that should be in force, level 0 where none should."""
    open_ = in_force if isinstance(in_force, Notice) and in_force.topic == settings.topic else None
    before = open_.level if open_ else 0
    load = seen.loads[seen.worst]
    alarm_at = settings.warn_at if before >= ALARM else settings.alarm_at
    warn_at = settings.end_below if before >= WARNING else settings.warn_at
    level = ALARM if load.probability >= alarm_at else WARNING if load.probability >= warn_at else 0
    value = max(-1e12, min(1e12, load.arrivals))
    if level == 0:
        return Notice(settings.topic, 0, f"{seen.worst} has room again{_sure(load)}"[:200], value)
    if open_ and level == before:
        return open_
    text = f"{seen.worst}: {load.arrivals:.0f} expected in {settings.hours:g} h, {load.places:g} places{_sure(load)}"
    free = _free(seen, settings)
    advice = f"; room at {', '.join(free[:2])}" if free else "; no other site has room"
    return Notice(settings.topic, level, (text + advice)[:200], value)


def soften(action: Notice, limits: NoticeConfig) -> Notice | None:
    """There is nothing between saying it and not saying it."""
    return None


def explain(seen: Seen, settings: Settings, limits: NoticeConfig, action: Notice) -> Mapping[str, str | float]:
    """What a decision row says beside the action: arrivals against places, how sure that is, and who has room."""
    load, free = seen.loads[seen.worst], _free(seen, settings)
    fields: dict[str, str | float] = {
        "site": seen.worst,
        "arrivals": round(load.arrivals, 1),
        "within_h": settings.hours,
        "places": load.places,
        "warn_percent": round(settings.warn_at * 100),
        "end_percent": round(settings.end_below * 100),
        "room_at": ", ".join(free)[:256] or "no other site",
    }
    because = "the model expects {arrivals} arrivals at {site} within {within_h} h, for {places} places"
    if load.sure:
        fields["probability_percent"] = round(load.probability * 100)
        because += ", and the probability that they are too few is {probability_percent} %"
    because += "; told from {warn_percent} %, over under {end_percent} %"
    return fields | {"because": because + "; room at {room_at}"}


def _free(seen: Seen, settings: Settings) -> list[str]:
    """Other sites with room, the one with the most first."""
    free = [s for s, load in seen.loads.items() if s != seen.worst and load.probability <= settings.divert_below]
    return sorted(free, key=lambda s: (seen.loads[s].probability, seen.loads[s].arrivals - seen.loads[s].places))


def _load(answer: Answer, quantiles: Sequence[float], intervals: int, places: float) -> Load | None:
    expected = list(answer.forecast[:intervals])
    if len(expected) < intervals or not all(map(math.isfinite, expected)):
        return None
    arrivals = sum(expected)
    bands = answer.bands[:intervals]
    summed = [sum(values) for values in zip(*bands, strict=False)] if bands else []
    if not math.isfinite(arrivals):
        return None
    if len(bands) == intervals and all(usable(quantiles, b) for b in bands) and usable(quantiles, summed):
        return Load(arrivals, places, exceedance(quantiles, summed, places), True)
    return Load(arrivals, places, float(arrivals > places), False)


def _sure(load: Load) -> str:
    return f" (probability {load.probability * 100:.0f} %)" if load.sure else ""
