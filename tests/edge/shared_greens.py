"""Green times in proportion to forecasts: a small policy by which tests see what all proposals of green times share.

None that is shipped proposes green times. ``with installed():`` this one can be configured in this process.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, ClassVar
from unittest import mock

import msgspec

from wayside.contracts.action import Action, Answers, Greens
from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.quantities import Phase
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig
from wayside.edge.policies import policy

NAME = "shared_greens"
ACTION = Greens
MOST = 1e6  # vehicles an hour and lane

Lanes = Annotated[float, msgspec.Meta(ge=0.1, le=16)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    """Which phase the vehicles of a site wait for. A phase without sites keeps its fixed green."""

    from_constants: ClassVar[tuple[str, ...]] = ("lanes",)

    phases: Annotated[dict[Name, Phase], msgspec.Meta(max_length=256)] = {}
    lanes: Annotated[dict[Name, Lanes], msgspec.Meta(max_length=256)] = {}
    least_veh_h: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 18.0

    def sites(self) -> Collection[str]:
        return self.phases.keys()

    def mistakes(self, task: TaskConfig, limits: SignalConfig) -> Iterator[str]:
        if task.kind != "forecast":
            yield f"it needs forecasts, the task's kind is {task.kind!r}"
        for site, phase in self.phases.items():
            if phase not in limits.by_phase:
                yield f"settings.phases: {site} waits for phase {phase}, which the actuator {limits.name} does not have"


def read(answers: Answers, settings: Settings) -> dict[int, float] | None:
    """Flow by phase, vehicles per hour and lane; None where no site has a forecast."""
    flows: dict[int, float] = {}
    for site, phase in settings.phases.items():
        answer = answers.sites.get(site)
        if answer is not None and answer.forecast and math.isfinite(answer.forecast[0]):
            flow = max(0.0, answer.forecast[0]) * 3600 / answers.interval_s / settings.lanes.get(site, 1.0)
            flows[phase] = max(flows.get(phase, 0.0), min(MOST, flow))
    return flows or None


def propose(flows: Mapping[int, float], settings: Settings, limits: SignalConfig, in_force: Action | None) -> Greens:
    return Greens(greens(flows, limits, settings.least_veh_h))


def soften(action: Greens, limits: SignalConfig) -> Greens:
    """Halfway to the fixed plan."""
    return Greens(_tenths({p.phase: (action.seconds[p.phase] + p.green_s) / 2 for p in limits.phases}, limits))


def explain(
    flows: Mapping[int, float], settings: Settings, limits: SignalConfig, action: Greens
) -> Mapping[str, str | float]:
    busiest = max(flows, key=lambda phase: flows[phase])
    return {
        "busiest_phase": busiest,
        "busiest_flow": round(flows[busiest]),
        "because": "the most are expected at phase {busiest_phase}: {busiest_flow} vehicles an hour and lane",
    }


def greens(flows: Mapping[int, float], limits: SignalConfig, least_veh_h: float = 18.0) -> dict[int, float]:
    """Green seconds by phase, in tenths, that fill each ring's cycle."""
    plan: dict[int, float] = {p.phase: p.green_s for p in limits.phases}
    for ring in limits.rings:
        shared = {p.phase: max(least_veh_h, flows[p.phase]) for p in ring if p.phase in flows}
        free = sum(plan[phase] for phase in shared)
        plan |= {phase: free * flow / sum(shared.values()) for phase, flow in shared.items()}
    return _tenths(plan, limits)


def _tenths(plan: Mapping[int, float], limits: SignalConfig) -> dict[int, float]:
    """What rounding leaves over goes to the ring's longest green."""
    rounded = {phase: round(green, 1) for phase, green in plan.items()}
    for ring in limits.rings:
        left = sum(plan[p.phase] - rounded[p.phase] for p in ring)
        longest = max(ring, key=lambda p: rounded[p.phase]).phase
        rounded[longest] = round(rounded[longest] + left, 1)
    return rounded


@contextmanager
def installed() -> Iterator[None]:
    """While it lasts, a task can have this policy."""
    with mock.patch.dict(policy._SHIPPED, {NAME: sys.modules[__name__]}):
        yield
