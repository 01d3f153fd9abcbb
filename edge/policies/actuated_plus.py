"""Maximum greens by demand, for a board that is otherwise actuated by itself.

The critical lane of each phase, the one with the highest ratio of flow to saturation flow, gives its ``y``; Webster's
cycle for their sum is free, and its green times ``reserve`` is the phase's maximum (F. V. Webster, *Traffic Signal
Settings*, 1958; FHWA Signal Timing Manual 5.4.2: 1.25 to 1.5 times the green of the plan). Flows are a forecast's,
where there is one, else those of the last minutes; saturation headways are learned at the stop lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from wayside.contracts.actuator_config import PhaseLimits, SignalConfig
from wayside.contracts.beat import Head, Known, Loop, Maxima, Request
from wayside.contracts.policy_settings import PolicySettings
from wayside.edge.policies.queues import lanes_of

LEARNS_FOR_S = 300.0  # before the first maxima: flows are averaged over that time
NEARLY_FULL = 0.9  # sum of the flow ratios from which a longer cycle gains nothing
LEAST_RATIO = 0.01
CHANGED_S = 1.0
LOST_S = 5.0


class Settings(PolicySettings, frozen=True, kw_only=True):
    every_s: Annotated[float, msgspec.Meta(ge=10, le=3600)] = 60.0
    reserve: Annotated[float, msgspec.Meta(ge=1, le=3)] = 1.5
    """of the maximum over the green of Webster's cycle"""
    longest_cycle_s: Annotated[float, msgspec.Meta(ge=30, le=240)] = 120.0
    flows: Literal["forecast", "recent"] = "forecast"
    """``forecast`` takes the recent flow of a lane that has none"""

    def beat_mistakes(self, limits: SignalConfig) -> Iterator[str]:
        seen = {loop.phase for loop in limits.loops}
        for p in limits.phases:
            if p.phase not in seen:
                yield f"phase {p.phase} has no loop in [[actuators.loops]]: its maximum stays that of the board"


class Memory:
    def __init__(self, settings: Settings, limits: SignalConfig) -> None:
        self.settings, self.limits = settings, limits
        self.lanes = lanes_of(limits.loops)
        self.at_s: float | None = None
        self.due_s: float | None = None
        self.asked: Mapping[int, float] = {}


def begin(settings: Settings, limits: SignalConfig) -> Memory:
    return Memory(settings, limits)


def step(
    now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known, memory: Memory
) -> Sequence[Request | Maxima]:
    """New maxima, every ``every_s`` and where they have changed."""
    now_s = now_ms / 1000
    if memory.at_s is not None and not 0.0 <= now_s - memory.at_s <= LOST_S:
        for lane in memory.lanes:
            lane.restart()
        memory.due_s = None
    memory.at_s = now_s
    for lane in memory.lanes:
        lane.take(now_s, heads, loops)
    if memory.due_s is None:
        memory.due_s = now_s + LEARNS_FOR_S
    if now_s < memory.due_s:
        return ()
    memory.due_s = now_s + memory.settings.every_s
    seconds = maxima(_ratios(known, memory), memory.limits, memory.settings)
    if all(abs(s - memory.asked.get(phase, 0.0)) < CHANGED_S for phase, s in seconds.items()):
        return ()
    memory.asked = seconds
    return (Maxima(seconds),)


def maxima(ratios: Mapping[int, float], limits: SignalConfig, settings: Settings) -> dict[int, float]:
    """Maximum greens for flow ratios by phase, seconds in tenths. A phase without one keeps its legal maximum."""
    seconds = {p.phase: p.max_green_s for p in limits.phases}
    for ring in limits.rings:
        members = [p for p in ring if p.phase in ratios]
        lost_s = sum(p.yellow_s + p.red_clearance_s for p in ring)
        total = sum(max(LEAST_RATIO, ratios[p.phase]) for p in members)
        free = 1.0 - min(NEARLY_FULL, total)
        cycle_s = min(settings.longest_cycle_s, (1.5 * lost_s + 5.0) / free)
        for p in members:
            green_s = (cycle_s - lost_s) * max(LEAST_RATIO, ratios[p.phase]) / total
            seconds[p.phase] = _within(green_s * settings.reserve, p)
    return seconds


def _within(seconds: float, p: PhaseLimits) -> float:
    least = max(p.min_green_s, p.walk_s + p.ped_clearance_s)
    return round(min(p.max_green_s, max(least, seconds)), 1)


def _ratios(known: Known, memory: Memory) -> dict[int, float]:
    """Of the critical lane of each phase; none for a phase with a lane that nobody sees."""
    ratios: dict[int, float] = {}
    blind = {lane.phases[0] for lane in memory.lanes if not lane.usable}
    for lane in memory.lanes:
        phase = lane.phases[0]
        if phase in blind:
            continue
        flows = [known.flows_veh_h[c] for c in lane.channels if c in known.flows_veh_h]
        if memory.settings.flows == "recent" or not flows:
            flows = [lane.flow * 3600]
        ratios[phase] = max(ratios.get(phase, 0.0), max(flows) / 3600 * lane.headway[phase])
    return ratios
