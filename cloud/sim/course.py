"""A task's policy, guard and actuator over a replayed month: the node's own negotiation, step by step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.cloud.sim.replay import Replay
from wayside.contracts.action import Action, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, SetpointConfig
from wayside.contracts.policy import Policy
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.reading import ClockState, Stamp
from wayside.edge.guard.negotiate import Negotiator, Outcome
from wayside.edge.guard.pace import Pace

TICK_S = 60  # between steps the guard looks so often at a load that must run, or may not run any longer
BOOT = "0" * 32

Numbers = npt.NDArray[np.float64]


class Move(NamedTuple):
    at_s: float  # from the beginning
    action: Action | None  # None: the safe action
    by_guard: bool  # it holds or drives; otherwise the guard allowed what the policy proposed


@dataclass
class Course:
    """What was in force, and how it came to that.

    ``on`` (N,): the share of each step during which the load ran, or the notice stood.
    """

    on: Numbers
    moves: list[Move] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)  # allowed, refused, held, driven


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
    between = isinstance(limits, SetpointConfig) and bool(limits.must_run_s or limits.max_run_s)
    ticks = range(0, step_s, TICK_S) if between else range(1)
    for step in range(n):
        if step:
            outcome = negotiator.step(replay.answers(output, step - 1), _stamp(step * step_s, first_ms, step_s))
            course.verdicts.update("allowed" if a.verdict.allowed else "refused" for a in outcome.attempts)
            if outcome.word:
                course.verdicts[outcome.word] += 1
            _note(course, outcome, step * step_s, negotiator.in_force)
        running = 0
        for tick in ticks:
            if tick:
                at_s = step * step_s + tick
                _note(course, negotiator.pass_time(_stamp(at_s, first_ms, step_s)), at_s, negotiator.in_force)
            running += _is_on(negotiator.in_force, limits)
        course.on[step] = running / len(ticks)
    return course


def _stamp(at_s: int, first_ms: int, step_s: int) -> Stamp:
    return Stamp(BOOT, (at_s + step_s) * 10**9, first_ms + (at_s - step_s) * 1000, ClockState.SIMULATED, 0)


def _note(course: Course, outcome: Outcome, at_s: int, in_force: Action | None) -> None:
    if outcome.carry:
        course.moves.append(Move(float(at_s), in_force, outcome.word is not None))


def _is_on(action: Action | None, limits: ActuatorConfig) -> bool:
    if isinstance(limits, SetpointConfig):
        return limits.runs_at(action.value if isinstance(action, Setpoint) else limits.safe)
    return action is not None
