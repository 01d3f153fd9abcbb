"""Coordination with the next signals along a street: a common cycle, and a window in it for the street's own phases.

Within its window a coordinated phase is held, whether somebody comes or not; in time for it what conflicts is forced
off, and between windows the board is actuated as it always is. So a platoon that left the last signal at its window
meets this one green. The window begins ``offset_s`` after midnight and then every ``cycle_s``, by local time: nodes of
one street have the same clock, and no word passes between them. Without a clock nothing is asked for.

(Words: MUTCD 4A.02 and FHWA Signal Timing Manual 6.4: semi-actuated coordination with fixed force-offs.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Ask, Head, Known, Loop, Maxima, Request, Shows
from wayside.contracts.policy_settings import PolicySettings


class Settings(PolicySettings, frozen=True, kw_only=True):
    cycle_s: Annotated[float, msgspec.Meta(ge=20, le=300)]
    """of every signal of the street"""
    offset_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 0.0
    green_s: Annotated[float, msgspec.Meta(ge=3, le=200)]
    """of the window"""
    phases: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=2)] = (1,)
    """of the street: green in the window; of two rings one of each"""

    def beat_mistakes(self, limits: Any) -> Iterator[str]:
        for phase in self.phases:
            if phase not in limits.by_phase:
                yield f"phases: the signal has no phase {phase}"
            elif not limits.by_phase[phase].min_green_s <= self.green_s <= limits.by_phase[phase].max_green_s:
                yield f"green_s: phase {phase} may be green from its min_green_s to its max_green_s"
        if self.green_s >= self.cycle_s:
            yield "green_s: the window is shorter than cycle_s"
        if self.offset_s >= self.cycle_s:
            yield "offset_s: is less than cycle_s"


class Memory:
    """Whether a hold of ours stands."""

    def __init__(self, settings: Settings, limits: SignalConfig) -> None:
        self.settings, self.limits = settings, limits
        self.holds = False


def begin(settings: Settings, limits: SignalConfig) -> Memory:
    return Memory(settings, limits)


def step(
    now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known, memory: Memory
) -> Sequence[Request | Maxima]:
    settings = memory.settings
    if known.hour is None:
        return _let_go(memory)
    # Seconds into the cycle; the window is its begin.
    at_s = (known.hour * 3600.0 - settings.offset_s) % settings.cycle_s
    if at_s >= settings.green_s and settings.cycle_s - at_s > _change_s(heads, memory):
        return _let_go(memory)
    asked: list[Request | Maxima] = []
    for phase in settings.phases:
        if heads[phase].shows is Shows.GREEN:
            memory.holds = True
            asked.append(Request(Ask.HOLD, phase))
        else:
            asked.append(Request(Ask.CALL, phase))
    asked += [
        Request(Ask.FORCE_OFF, phase)
        for phase, head in heads.items()
        if head.shows is Shows.GREEN
        and _in_the_way(phase, memory)
        and now_ms - head.since_ms >= memory.limits.by_phase[phase].min_green_s * 1000
    ]
    return asked


def _let_go(memory: Memory) -> Sequence[Request]:
    if not memory.holds:
        return ()
    memory.holds = False
    return [Request(Ask.RELEASE, phase) for phase in memory.settings.phases]


def _change_s(heads: Mapping[int, Head], memory: Memory) -> float:
    """Yellow and red clearance of what is green now and in the way, and a second for the beat itself."""
    limits = memory.limits.by_phase
    return 1.0 + max(
        (
            limits[phase].yellow_s + limits[phase].red_clearance_s
            for phase, head in heads.items()
            if head.shows is Shows.GREEN and _in_the_way(phase, memory)
        ),
        default=0.0,
    )


def _in_the_way(phase: int, memory: Memory) -> bool:
    limits, own = memory.limits.by_phase, memory.settings.phases
    if phase in own:
        return False
    return any(
        limits[phase].ring == limits[each].ring or each in limits[phase].conflicts or phase in limits[each].conflicts
        for each in own
    )
