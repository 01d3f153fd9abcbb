"""A warning before a threshold is passed, by the probability that it will be: of air, noise, water, heat.

The levels are a table (WHO's guidelines of 2021, the US air quality index of 2024) or configured. A level is told once
one of the next ``within`` intervals passes it with a probability of ``likely``, and is over once that has fallen to
``unlikely``. The highest level of any site is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answers, Notice
from wayside.contracts.actuator_config import NoticeConfig, Number
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.probability import Passing, at_clock, passing
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.wire import Document

ACTION = Notice
Share = Annotated[float, msgspec.Meta(ge=0.01, le=0.99)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Level(Document, frozen=True, kw_only=True):
    """Over ``above``, in the unit of the forecast, it is called ``name``."""

    above: Number
    name: Word
    level: Literal[1, 2, 3]  # of the notice: information, warning, alarm


def _levels(*rows: tuple[float, str, Literal[1, 2, 3]]) -> tuple[Level, ...]:
    return tuple(Level(above=above, name=name, level=level) for above, name, level in rows)


TABLES: Mapping[str, tuple[Level, ...]] = {
    # WHO global air quality guidelines, 2021, table 0.1: guideline level and interim targets of the 24-hour mean
    # (ozone: 8-hour), µg/m³.
    "who-2021-pm25": _levels(
        (15, "WHO guideline", 1), (37.5, "WHO interim target 3", 2), (75, "WHO interim target 1", 3)
    ),
    "who-2021-pm10": _levels(
        (45, "WHO guideline", 1), (75, "WHO interim target 3", 2), (150, "WHO interim target 1", 3)
    ),
    "who-2021-no2": _levels(
        (25, "WHO guideline", 1), (50, "WHO interim target 2", 2), (120, "WHO interim target 1", 3)
    ),
    "who-2021-o3": _levels(
        (100, "WHO guideline", 1), (120, "WHO interim target 2", 2), (160, "WHO interim target 1", 3)
    ),
    # US EPA, Technical Assistance Document for the Reporting of Daily Air Quality, EPA-454/B-24-002, May 2024, table 6:
    # the upper end of the category before, 24-hour mean, µg/m³.
    "us-aqi-2024-pm25": _levels(
        (35.4, "unhealthy for sensitive groups", 1), (55.4, "unhealthy", 2), (125.4, "very unhealthy", 3)
    ),
    "us-aqi-2024-pm10": _levels(
        (154, "unhealthy for sensitive groups", 1), (254, "unhealthy", 2), (354, "very unhealthy", 3)
    ),
}
Table = Literal["who-2021-pm25", "who-2021-pm10", "who-2021-no2", "who-2021-o3", "us-aqi-2024-pm25", "us-aqi-2024-pm10"]


class Settings(PolicySettings, frozen=True, kw_only=True):
    table: Table = "who-2021-pm25"
    levels: Annotated[tuple[Level, ...], msgspec.Meta(max_length=3)] = ()  # instead of the table; rising, one a level
    within: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 6  # intervals, from the next one
    likely: Share = 0.6
    unlikely: Share = 0.3
    topic: Word = "threshold"
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites; none: all of them

    def __post_init__(self) -> None:
        if not self.unlikely <= self.likely:
            raise ValueError("unlikely <= likely")
        steps = [(one.above, one.level) for one in self.levels]
        if any(not (a < c and b < d) for (a, b), (c, d) in itertools.pairwise(steps)):
            raise ValueError("levels rise, above as well as level")

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def mistakes(self, task: TaskConfig, limits: NoticeConfig) -> Iterator[str]:
        if task.kind != "forecast":
            yield f"it needs forecasts, the task's kind is {task.kind!r}"
        elif self.within > task.horizon:
            yield f"settings.within: {self.within} intervals; the task's horizon is {task.horizon}"

    @property
    def all_levels(self) -> tuple[Level, ...]:
        return self.levels or TABLES[self.table]


class Chance(NamedTuple):
    """Of one level, at the site where it is the most likely."""

    level: Level
    site: str
    passing: Passing


class Seen(NamedTuple):
    chances: tuple[Chance, ...]  # of each level, rising
    hour: float | None
    interval_s: float
    unit: str


def read(answers: Answers, settings: Settings) -> Seen | None:
    """How likely each level is to be passed; None without a forecast."""
    sites = {name: a for name, a in answers.sites.items() if not settings.only or name in settings.only}
    chances = []
    for level in settings.all_levels:
        each = [
            Chance(level, name, found)
            for name, answer in sites.items()
            if (found := passing(answer, answers.quantiles, level.above, settings.within)) is not None
        ]
        if each:
            chances.append(max(each, key=lambda c: (c.passing.probability, c.passing.expected)))
    return Seen(tuple(chances), answers.hour, answers.interval_s, answers.unit) if chances else None


def propose(seen: Seen, settings: Settings, limits: NoticeConfig, in_force: Action | None) -> Notice:
    """The notice that should be in force, level 0 where none should."""
    open_ = in_force if isinstance(in_force, Notice) and in_force.topic == settings.topic else None
    before = open_.level if open_ else 0
    told = _told(seen, settings, before)
    if told is None:
        most = seen.chances[0]
        text = f"{most.level.name} ({most.level.above:g}) is not expected any more{_sure(most.passing)}"
        return Notice(settings.topic, 0, text[:200], _finite(most.passing.expected))
    if open_ and told.level.level == before:
        return open_
    at = at_clock(seen.hour, seen.interval_s, told.passing.interval)
    unit = "" if seen.unit == "1" else f" {seen.unit}"
    text = f"{told.site}: {told.level.name} ({told.level.above:g}{unit}) by {at}{_sure(told.passing)}"
    return Notice(settings.topic, told.level.level, text[:200], _finite(told.passing.expected))


def soften(action: Notice, limits: NoticeConfig) -> Notice | None:
    """There is nothing between saying it and not saying it."""
    return None


def explain(seen: Seen, settings: Settings, limits: NoticeConfig, action: Notice) -> Mapping[str, str | float]:
    """What a decision row says beside the action: the level, what is expected when, and how sure that is."""
    chance = next((c for c in seen.chances if c.level.level == action.level), seen.chances[0])
    found = chance.passing
    fields: dict[str, str | float] = {
        "site": chance.site,
        "level_name": chance.level.name,
        "threshold": chance.level.above,
        "expected": round(found.expected, 1),
        "expected_at": at_clock(seen.hour, seen.interval_s, found.interval),
        "unit": seen.unit,
        "likely_percent": round(settings.likely * 100),
        "unlikely_percent": round(settings.unlikely * 100),
    }
    sure = ""
    if found.sure:
        fields["probability_percent"] = round(found.probability * 100)
        sure = ", and the probability to pass {threshold} {unit} ({level_name}) is {probability_percent} %"
    else:
        sure = ', where {threshold} {unit} is the level "{level_name}"'
    limit = "told from {likely_percent} %" if action.level else "over from {unlikely_percent} % down"
    because = f"the model expects {{expected}} {{unit}} at {{site}} by {{expected_at}}{sure}; {limit}"
    return fields | {"because": because}


def _told(seen: Seen, settings: Settings, before: int) -> Chance | None:
    """The highest level that is likely enough; less is enough for one that is told already."""
    for chance in reversed(seen.chances):
        probability, told = chance.passing.probability, chance.level.level <= before
        if (probability > settings.unlikely) if told else (probability >= settings.likely):
            return chance
    return None


def _sure(found: Passing) -> str:
    return f", probability {found.probability * 100:.0f} %" if found.sure else ""


def _finite(value: float) -> float:
    return max(-1e12, min(1e12, value))
