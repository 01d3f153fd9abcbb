"""A notice while something is unusual at one of the sites: an incident, a blocked lane, a fault, waste.

Where the model's bundle carries an alarm stage, its levels are the notice's, and the limits here count for nothing.
Else it looks at the highest of the sites' scores; for a task that forecasts, at how far the last interval was from its
forecast (``direction``: on which side, above is waste and below is a fault where power is watched). The levels rise at
``warn_above`` and ``alarm_above`` and fall later than they rose (hysteresis): an alarm stays one until the score is
under ``warn_above``, a warning until it is under ``end_below``. It says since when.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answer, Answers, Notice
from wayside.contracts.actuator_config import NoticeConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.probability import clock
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Notice
WARNING, ALARM = 2, 3
OF_STAGE = (0, WARNING, ALARM)  # of a notice, by the level of a model's alarm stage
NAMED = 2  # sites that the text names: with 64 characters each it stays under the 200 of a notice
MOST = 1e12  # an infinite score is a high one
STEPS = 96  # that it looks back, to say since when
Score = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    """Scores of a score task: typical windows score about 1. Residuals are in the model's standard deviations."""

    warn_above: Score = 4.0
    alarm_above: Score | None = None  # None: it stays a warning
    end_below: Score = 2.0
    direction: Literal["both", "above", "below"] = "both"  # of the forecast; only where the task forecasts
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "incident"
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites; none: all of them

    def __post_init__(self) -> None:
        if not self.end_below <= self.warn_above <= (self.alarm_above or math.inf):
            raise ValueError("end_below <= warn_above <= alarm_above")

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def looks_back(self) -> int:
        return STEPS

    def mistakes(self, task: TaskConfig, limits: NoticeConfig) -> Iterator[str]:
        if task.kind not in ("score", "forecast"):
            yield f"it needs scores or forecasts, the task's kind is {task.kind!r}"
        elif self.direction != "both" and task.kind != "forecast":
            yield f"settings.direction: {self.direction!r} of a forecast, the task's kind is {task.kind!r}"


class Seen(NamedTuple):
    scores: Mapping[str, float]
    levels: Mapping[str, int]  # of the model's alarm stage, if it has one: site → 0 none, 1 a warning, 2 an alarm
    since: Mapping[str, str]  # site → for how long it has been at ``end_below`` or over (or in alarm), where it is
    worst: str  # site
    value: float | None  # there, in the interval that ended
    expected: float | None
    unit: str


def read(answers: Answers, settings: Settings) -> Seen | None:
    """The score of each site, and since when it is unusual; None where none has a score."""
    scores = _scores(answers.sites, settings)
    if not scores:
        return None
    levels = {s: max(0, min(level, 2)) for s in scores if (level := answers.sites[s].alarm) is not None}
    before = [_high(sites, settings) for sites in reversed(answers.before)]
    since = {}
    for site in _high(answers.sites, settings):
        steps = 0
        while steps < len(before) and site in before[steps]:
            steps += 1
        since[site] = _since(answers, steps, at_least=steps == len(before))
    worst = max(scores, key=lambda site: (levels.get(site, 0), scores[site]))
    at = answers.sites[worst]
    return Seen(scores, levels, since, worst, at.value, at.expected, answers.unit)


def propose(seen: Seen, settings: Settings, limits: NoticeConfig, in_force: Action | None) -> Notice:
    """The notice that should be in force, level 0 where none should."""
    scores = seen.scores
    worst = scores[seen.worst]
    open_ = in_force if isinstance(in_force, Notice) and in_force.topic == settings.topic else None
    before = open_.level if open_ else 0
    alarm_above = settings.warn_above if before >= ALARM else settings.alarm_above
    warn_above = settings.end_below if before >= WARNING else settings.warn_above
    level = ALARM if alarm_above is not None and worst >= alarm_above else WARNING if worst >= warn_above else 0
    if seen.levels:
        level = OF_STAGE[max(seen.levels.values())]
    if level == 0:
        return Notice(settings.topic, 0, f"as usual again (highest score {worst:.1f})", worst)
    if open_ and level == before:
        return open_
    unusual = [s for s in scores if (seen.levels[s] > 0 if s in seen.levels else scores[s] >= warn_above)]
    unusual.sort(key=lambda site: -scores[site])
    since = seen.since.get(seen.worst, "")
    named = ", ".join(f"{site} (score {scores[site]:.1f})" for site in unusual[:NAMED])
    more = f" and {len(unusual) - NAMED} more" if len(unusual) > NAMED else ""
    return Notice(settings.topic, level, f"unusual {since}: {named}{more}"[:200], worst)


def soften(action: Notice, limits: NoticeConfig) -> Notice | None:
    """There is nothing between saying it and not saying it."""
    return None


def explain(seen: Seen, settings: Settings, limits: NoticeConfig, action: Notice) -> Mapping[str, str | float]:
    """What a decision row says beside the action: the highest score, where, since when, and what had been expected."""
    fields: dict[str, str | float] = {
        "highest_score": round(seen.scores[seen.worst], 2),
        "site": seen.worst,
        "since": seen.since.get(seen.worst, ""),
    }
    because = "{site} has a score of {highest_score}"
    if fields["since"]:
        because += ", unusual {since}"
    if _both(seen.value, seen.expected):
        fields |= {
            "measured": round(seen.value or 0.0, 2),
            "expected": round(seen.expected or 0.0, 2),
            "unit": seen.unit,
        }
        because += ": {measured} {unit} were measured where {expected} {unit} were expected"
    if seen.levels:
        fields["alarm_level"] = seen.levels.get(seen.worst, 0)
        return fields | {"because": because + "; the model's own alarm stage says level {alarm_level} of 2"}
    fields |= {"warn_above": settings.warn_above, "end_below": settings.end_below}
    because += "; told from {warn_above}"
    if settings.alarm_above is not None:
        fields["alarm_above"] = settings.alarm_above
        because += ", an alarm from {alarm_above}"
    return fields | {"because": because + ", over under {end_below}"}


def _high(sites: Mapping[str, Answer], settings: Settings) -> set[str]:
    """Those that are in alarm, or, where the model says nothing of that, at ``end_below`` or over."""
    scores = _scores(sites, settings)
    return {s for s in scores if (scores[s] >= settings.end_below if (a := sites[s].alarm) is None else a > 0)}


def _scores(sites: Mapping[str, Answer], settings: Settings) -> dict[str, float]:
    scores = {}
    for site, answer in sites.items():
        if settings.only and site not in settings.only:
            continue
        score = answer.score if answer.score is not None else _residual(answer, settings.direction)
        if score is not None and not math.isnan(score):
            scores[site] = max(-MOST, min(MOST, score))
    return scores


def _residual(answer: Answer, direction: str) -> float | None:
    """0 where the value is on the side that does not matter."""
    if answer.residual is None or direction == "both":
        return answer.residual
    if answer.value is None or answer.expected is None:
        return None
    above = answer.value > answer.expected
    return answer.residual if above is (direction == "above") else 0.0


def _since(answers: Answers, steps: int, *, at_least: bool) -> str:
    """``steps`` of the intervals before were unusual, too."""
    ago_h = (answers.interval_s + steps * (answers.step_s or answers.interval_s)) / 3600
    if answers.hour is None or ago_h >= 24 or not math.isfinite(answers.hour):
        when = f"for {ago_h:.3g} h"
        return f"{when} or longer" if at_least and steps else when
    when = f"since {clock((answers.hour - ago_h) % 24)}"
    return f"{when} or earlier" if at_least and steps else when


def _both(value: float | None, expected: float | None) -> bool:
    return value is not None and expected is not None and math.isfinite(value) and math.isfinite(expected)
