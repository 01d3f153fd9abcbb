"""A notice while something is unusual at one of the sites: an incident, a blocked lane, a closed road.

It looks at the highest of the sites' scores; for a task that forecasts, at how far the last interval was from its
forecast. The levels rise at ``warn_above`` and ``alarm_above`` and fall later than they rose (hysteresis): an alarm
stays one until the score is under ``warn_above``, a warning until it is under ``end_below``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated

import msgspec

from wayside.contracts.action import Action, Answer, Answers, Notice
from wayside.contracts.actuator_config import NoticeConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Notice
WARNING, ALARM = 2, 3
NAMED = 2  # sites that the text names: with 64 characters each it stays under the 200 of a notice
MOST = 1e12  # an infinite score is a high one
Score = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    """Scores of a score task: typical windows score about 1. Residuals are in the model's standard deviations."""

    warn_above: Score = 4.0
    alarm_above: Score | None = None  # None: it stays a warning
    end_below: Score = 2.0
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "incident"
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites; none: all of them

    def __post_init__(self) -> None:
        if not self.end_below <= self.warn_above <= (self.alarm_above or math.inf):
            raise ValueError("end_below <= warn_above <= alarm_above")

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def mistakes(self, task: TaskConfig, limits: NoticeConfig) -> Iterator[str]:
        if task.kind not in ("score", "forecast"):
            yield f"it needs scores or forecasts, the task's kind is {task.kind!r}"


def read(answers: Answers, settings: Settings) -> dict[str, float] | None:
    """The score of each site; None where none has one."""
    scores = {site: _score(a) for site, a in answers.sites.items() if not settings.only or site in settings.only}
    return {
        site: max(-MOST, min(MOST, score))
        for site, score in scores.items()
        if score is not None and not math.isnan(score)
    } or None


def propose(scores: Mapping[str, float], settings: Settings, limits: NoticeConfig, in_force: Action | None) -> Notice:
    """The notice that should be in force, level 0 where none should."""
    worst = max(scores.values())
    open_ = in_force if isinstance(in_force, Notice) and in_force.topic == settings.topic else None
    before = open_.level if open_ else 0
    alarm_above = settings.warn_above if before >= ALARM else settings.alarm_above
    warn_above = settings.end_below if before >= WARNING else settings.warn_above
    level = ALARM if alarm_above is not None and worst >= alarm_above else WARNING if worst >= warn_above else 0
    if level == 0:
        return Notice(settings.topic, 0, f"as usual again (highest score {worst:.1f})", worst)
    if open_ and level == before:
        return open_
    unusual = sorted((s for s in scores if scores[s] >= warn_above), key=lambda site: -scores[site])
    named = ", ".join(f"{site} (score {scores[site]:.1f})" for site in unusual[:NAMED])
    more = f" and {len(unusual) - NAMED} more" if len(unusual) > NAMED else ""
    return Notice(settings.topic, level, f"unusual: {named}{more}", worst)


def soften(action: Notice, limits: NoticeConfig) -> Notice | None:
    """There is nothing between saying it and not saying it."""
    return None


def explain(
    scores: Mapping[str, float], settings: Settings, limits: NoticeConfig, action: Notice
) -> Mapping[str, str | float]:
    """What a decision row says beside the action: the highest score."""
    return {"highest_score": max(scores.values())}


def _score(answer: Answer) -> float | None:
    return answer.score if answer.score is not None else answer.residual
