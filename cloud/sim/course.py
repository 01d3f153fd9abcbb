"""A task's policy, guard and actuator over a replayed month: the node's own negotiation, step by step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.cloud.sim.replay import Replay
from wayside.contracts.action import Action, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, SetpointConfig
from wayside.contracts.policy import Policy
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.reading import ClockState, Stamp
from wayside.edge.guard.negotiate import Negotiator
from wayside.edge.guard.pace import Pace

TICK_S = 60  # between steps the guard looks so often at a load that must run, or may not run any longer
BOOT = "0" * 32

Numbers = npt.NDArray[np.float64]


@dataclass
class Course:
    """What was in force, and how it came to that.

    ``on`` (N,): the share of each step during which the load ran, or the notice stood.
    """

    on: Numbers
    moves: list[tuple[float, Action | None]] = field(default_factory=list)  # seconds from the beginning; None: safe
    verdicts: Counter[str] = field(default_factory=Counter)  # allowed, refused, held, driven

    @property
    def starts(self) -> int:
        """How often it began."""
        return sum(1 for before, now in zip([None, *[a for _, a in self.moves]], [a for _, a in self.moves], strict=False)
                   if now is not None and before is None)


def run(
    policy: Policy, settings: PolicySettings, limits: ActuatorConfig, replay: Replay, *, output: str, zone: str = "UTC"
) -> Course:
    """What is decided when a step has ended holds from then on; in the first step the safe action does.

    Args:
        output: datastream of the task's site.
        zone: IANA name of the zone of the replay's local times.
    """
    pace = Pace(limits, zone)
    negotiator = Negotiator(policy, settings, limits, pace)
    n, step_s = len(replay.ends), round(replay.task.interval_s)
    course = Course(np.zeros(n))
    first_ms = int(pd.Timestamp(replay.ends[0]).tz_localize(zone, ambiguous=False).timestamp() * 1000)
    ticks = range(0, step_s, TICK_S) if isinstance(limits, SetpointConfig) else range(1)
    for step in range(n):
        if step:
            outcome = negotiator.step(replay.answers(output, step - 1), _stamp(step * step_s, first_ms, step_s))
            course.verdicts.update("allowed" if a.verdict.allowed else "refused" for a in outcome.attempts)
            if outcome.word:
                course.verdicts[outcome.word] += 1
            _note(course, outcome.carry, step * step_s, negotiator.in_force)
        running = 0
        for tick in ticks:
            if tick:
                at_s = step * step_s + tick
                _note(course, negotiator.pass_time(_stamp(at_s, first_ms, step_s)).carry, at_s, negotiator.in_force)
            running += _is_on(negotiator.in_force, limits)
        course.on[step] = running / len(ticks)
    return course


def _stamp(at_s: int, first_ms: int, step_s: int) -> Stamp:
    return Stamp(BOOT, (at_s + step_s) * 10**9, first_ms + (at_s - step_s) * 1000, ClockState.SIMULATED, 0)


def _note(course: Course, carry: object, at_s: int, in_force: Action | None) -> None:
    if carry:
        course.moves.append((float(at_s), in_force))


def _is_on(action: Action | None, limits: ActuatorConfig) -> bool:
    if isinstance(limits, SetpointConfig):
        return limits.runs_at(action.value if isinstance(action, Setpoint) else limits.safe)
    return action is not None
