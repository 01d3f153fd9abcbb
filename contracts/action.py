"""What a policy may ask for: three kinds of action, each with its own rules in the guard, and what it sees.

A policy never sees a model, a window or a clock: :class:`Answers` is all it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from wayside.contracts.reading import Quality


class Greens(NamedTuple):
    """Green time of each phase in the next cycles, seconds."""

    seconds: Mapping[int, float]


class Setpoint(NamedTuple):
    """The value of a set-point, in its actuator's unit."""

    value: float


class Notice(NamedTuple):
    """A sentence for people. ``topic`` tells apart what may be open at the same time; ``level`` 0 ends it."""

    topic: str  # at most 64 characters
    level: int  # 0: over, 1: information, 2: warning, 3: alarm
    text: str  # at most 200 characters
    value: float | None = None


Action = Greens | Setpoint | Notice


class Answer(NamedTuple):
    """What is known of one site when a step has ended. Lists go over the horizon, oldest first; units are the task's.

    ``forecast`` is empty where the model gave no answer.
    """

    value: float | None  # of the interval that ended; None: missing
    quality: Quality
    forecast: Sequence[float] = ()  # the median, where there are quantiles
    bands: Sequence[Sequence[float]] = ()  # (H, Q), rising, beside Answers.quantiles
    score: float | None = None  # of a score task
    counts: Mapping[str, float] | None = None  # by class, of a picture task
    residual: float | None = None
    """of a forecast task: |value - expected| in the model's residual standard deviations"""
    expected: float | None = None  # of a forecast task: what had been forecast for the interval that ended
    by_head: Mapping[str, Mapping[str, float]] | None = None
    """of a picture task that watches a signal's head: what the board drove meanwhile ("green", "yellow", "red", "dark",
    "unknown") → class that was seen → frames"""
    alarm: int | None = None
    """of a score task whose model carries an alarm stage: 0 none, 1 a warning, 2 an alarm"""


class Running(NamedTuple):
    """Of a set-point with a deadline (:attr:`wayside.contracts.actuator_config.SetpointConfig.by`)."""

    ran_s: float  # since the last deadline
    left_s: float  # until the next one


class Answers(NamedTuple):
    """Everything that a policy may know of its task."""

    interval_s: float
    sites: Mapping[str, Answer]  # by output datastream
    quantiles: Sequence[float] = ()
    clock_known: bool = True
    fresh: bool = True  # the step ended just now, not long ago (a line that was cut delivers late)
    hour: float | None = None  # local, of the step's end; None while the clock is unknown
    weekday: float | None = None
    substituted: int = 0  # rows of all windows that were filled in for missing ones
    unit: str = "1"  # of values and forecasts, UCUM
    before: Sequence[Mapping[str, Answer]] = ()
    """the sites' answers of the steps before, the newest last: as many as the policy's settings want, and no more than
    there were since the agent started"""
    step_s: float | None = None  # from one answer to the next, where that is not interval_s
    running: Running | None = None  # None: no deadline, or the clock is unknown

    @property
    def answered(self) -> int:
        """Sites with a forecast, a score or counts."""
        return self.answered_of(self.sites)

    def answered_of(self, sites: Iterable[str]) -> int:
        """Those of ``sites`` with a forecast, a score or counts."""
        answered = 0
        for site in sites:
            a = self.sites.get(site)
            if a is not None and (a.forecast or a.score is not None or a.counts is not None):
                answered += 1
        return answered
