"""Green times by demand: longer where traffic is forecast, shorter where not.

Webster's rule of equal degrees of saturation: the effective green of a cycle is shared in proportion to the phases'
flow ratios ``y = v / s`` (F. V. Webster, *Traffic Signal Settings*, Road Research Technical Paper 39, 1958; HCM 7th
ed., ch. 19). The cycle length is given. The policy does not know the legal limits: refusing is the guard's work.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec

from wayside.contracts.action import Action, Answers, Greens
from wayside.contracts.actuator_config import PhaseLimits, SignalConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.quantities import Phase
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Greens
MIN_FLOW_RATIO = 0.01  # an empty approach still gets a share; dividing by nothing gives nothing
MAX_FLOW_RATIO = 100.0  # far beyond any road: more would only lose the other phases in rounding

Lanes = Annotated[float, msgspec.Meta(ge=0.1, le=16)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    """Which phase the vehicles of a site wait for. A phase without sites keeps its fixed green."""

    from_constants: ClassVar[tuple[str, ...]] = ("lanes",)

    phases: Annotated[dict[Name, Phase], msgspec.Meta(max_length=256)] = {}  # datastream → NEMA phase
    lanes: Annotated[dict[Name, Lanes], msgspec.Meta(max_length=256)] = {}  # datastream → lanes; 1 where not given
    saturation_flow_veh_h: Annotated[float, msgspec.Meta(ge=100, le=4000)] = 1800.0
    """of one lane; HCM default 1900 less 5 %"""

    def sites(self) -> Collection[str]:
        return self.phases.keys()

    def mistakes(self, task: TaskConfig, limits: SignalConfig) -> Iterator[str]:
        if task.kind != "forecast":
            yield f"it needs forecasts, the task's kind is {task.kind!r}"
        there = {p.phase for p in limits.phases}
        for site, phase in self.phases.items():
            if phase not in there:
                yield f"settings.phases: {site} waits for phase {phase}, which the actuator {limits.name} does not have"


def read(answers: Answers, settings: Settings) -> dict[int, float] | None:
    """Flow that is forecast for the next interval, by phase, vehicles per hour and lane; None where no site has one."""
    totals: dict[int, list[float]] = {}  # phase → vehicles, lanes
    sites, lanes = answers.sites, settings.lanes
    for site, phase in settings.phases.items():
        answer = sites.get(site)
        if answer is None or not answer.forecast:
            continue
        vehicles = answer.forecast[0]
        if not math.isfinite(vehicles):
            continue
        total = totals.get(phase)
        if total is None:
            total = totals[phase] = [0.0, 0.0]
        if vehicles > 0.0:
            total[0] += vehicles
        total[1] += lanes.get(site, 1.0)
    per_hour = 3600 / answers.interval_s
    return {phase: vehicles * per_hour / lanes for phase, (vehicles, lanes) in totals.items()} or None


def propose(flows: Mapping[int, float], settings: Settings, limits: SignalConfig, in_force: Action | None) -> Greens:
    """Green seconds by phase, in tenths, filling each ring's cycle."""
    return Greens(greens(flows, limits, settings.saturation_flow_veh_h))


def soften(action: Greens, limits: SignalConfig) -> Greens:
    """Halfway between ``action`` and the fixed plan."""
    halfway = {p.phase: (action.seconds[p.phase] + p.green_s) / 2 for p in limits.phases}
    return Greens(_tenths(halfway, limits.rings))


def explain(
    flows: Mapping[int, float], settings: Settings, limits: SignalConfig, action: Greens
) -> Mapping[str, str | float]:
    """What a decision row says beside the action: the demand behind it."""
    busiest = max(flows, key=lambda phase: flows[phase])
    return {
        "flows_veh_h_lane": " ".join([f"{p}:{v:.0f}" for p, v in sorted(flows.items())])[:256],
        "busiest_phase": busiest,
        "busiest_flow": round(min(1e9, flows[busiest])),
        "because": "green is shared by the demand that the model expects, the most at phase {busiest_phase} "
        "with {busiest_flow} vehicles an hour and lane",
    }


def greens(flows: Mapping[int, float], limits: SignalConfig, saturation_flow_veh_h: float = 1800.0) -> dict[int, float]:
    """Green seconds by phase for ``flows`` (vehicles per hour and lane). A phase that is not in it keeps its green."""
    plan: dict[int, float] = {}
    for members in limits.rings:
        free = limits.cycle_s
        ratios: dict[int, float] = {}
        for p in members:
            free -= p.yellow_s + p.red_clearance_s
            flow = flows.get(p.phase)
            if flow is None:
                free -= p.green_s
                plan[p.phase] = p.green_s
            else:
                ratios[p.phase] = min(MAX_FLOW_RATIO, max(MIN_FLOW_RATIO, flow / saturation_flow_veh_h))
        total = sum(ratios.values())
        for phase, ratio in ratios.items():
            plan[phase] = free * ratio / total
    return _tenths(plan, limits.rings)


def _tenths(plan: dict[int, float], rings: Iterable[Sequence[PhaseLimits]]) -> dict[int, float]:
    """Round to the board's tenths; what rounding leaves over goes to the ring's longest green."""
    rounded = {phase: round(green, 1) for phase, green in plan.items()}
    for members in rings:
        left, longest = 0.0, members[0].phase
        for p in members:
            phase = p.phase
            green = rounded[phase]
            left += plan[phase] - green
            if green > rounded[longest]:
                longest = phase
        rounded[longest] = round(rounded[longest] + left, 1)
    return rounded
