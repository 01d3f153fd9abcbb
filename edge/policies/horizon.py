"""A rolling horizon: every second, is it better to keep this green or to end it, and for which phase?

The state is what the loops tell (:mod:`wayside.edge.policies.queues`), the judge is a roll-out over the next minute
(:mod:`wayside.edge.policies.rollout`). It holds the green whose extension is cheaper than its end, else it calls what
follows and forces the green off. Where it cannot see, it asks for nothing and takes back what it asked: heads that are
not known, a phase with a faulty loop, a green at its maximum are the board's own, which is actuated without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Ask, Head, Known, Loop, Maxima, Request, Shows, Walk
from wayside.contracts.policy_settings import PolicySettings
from wayside.edge.policies.queues import Lane, Parcel, lanes_of
from wayside.edge.policies.rollout import Costs, Rollout, Snapshot, Stage
from wayside.edge.policies.stages import stages_of

EXTENSIONS_S = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25)
FIRST_EXTENSION_S = 4
YIELDS = 1.4  # times its fastest headway: such a green does not last for a lane
LOST_S = 5.0  # without a step: what was known of the vehicles is void


class Settings(PolicySettings, frozen=True, kw_only=True):
    """What a vehicle's wait costs, and how far it is looked ahead; seconds."""

    horizon_s: Annotated[float, msgspec.Meta(ge=20, le=120)] = 60.0
    stop_s: Annotated[float, msgspec.Meta(ge=0, le=30)] = 4.0
    """that a stop costs beside its wait"""
    lost_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 1.5
    """from green until the first vehicle leaves"""
    yellow_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 2.0
    """into which vehicles still leave"""
    left: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.5
    """vehicles that a later phase of a plan leaves behind"""
    margin_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
    """vehicle seconds by which an extension must be cheaper"""
    pedestrian: Annotated[float, msgspec.Meta(ge=0, le=20)] = 1.0
    """vehicles that a waiting pedestrian counts for"""
    forecast: bool = False
    """whether the flow of the next minute is the model's; else that of the last minutes"""

    def beat_mistakes(self, limits: SignalConfig) -> Iterator[str]:
        yield from blind_phases(limits)


def blind_phases(limits: SignalConfig) -> Iterator[str]:
    """Phases for which nobody could be seen, a sentence each."""
    seen = {phase for loop in limits.loops if loop.function == "stop_line" for phase in (loop.phase, *loop.also)}
    for p in limits.phases:
        if p.phase not in seen:
            yield (
                f"phase {p.phase} has no loop at its stop line, so nobody is seen there: give it one in "
                '[[actuators.loops]] with function = "stop_line"'
            )


class Moment(NamedTuple):
    """What a step is told."""

    now_s: float
    heads: Mapping[int, Head]
    loops: Mapping[int, Loop]
    known: Known


class Memory:
    def __init__(self, settings: Settings, limits: SignalConfig) -> None:
        self.settings, self.limits = settings, limits
        self.lanes = lanes_of(limits.loops)
        self.stages = [frozenset(phases) for phases in stages_of(limits)]
        s = settings
        self.costs = Costs(s.horizon_s, s.stop_s, s.lost_s, s.yellow_s, s.left)
        self.channels = {p.phase: [x.channel for x in limits.loops if x.phase == p.phase] for p in limits.phases}
        self.own = {lane.phases[0] for lane in self.lanes}
        self.at_s: float | None = None
        self.held: set[int] = set()  # phases
        self.pressed_s: dict[int, float] = {}  # since when somebody wants to cross
        self.extension_s = FIRST_EXTENSION_S  # that was best


def begin(settings: Settings, limits: SignalConfig) -> Memory:
    return Memory(settings, limits)


def step(
    now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known, memory: Memory
) -> Sequence[Request | Maxima]:
    """Holds, or calls with force-offs; releases of what it held where it has no say."""
    moment = Moment(now_ms / 1000, heads, loops, known)
    _look(moment, memory)
    now = _stage_shown(moment, memory)
    if now is None:
        return _release(memory)
    green = memory.stages[now]
    fixed = frozenset(phase for phase in green if not _may_end(phase, moment, memory))
    if fixed == green:
        return ()
    if _room_s(green, moment, memory) < 1.0:
        return _release(memory)
    following = _following(now, fixed, moment, memory)
    if following is None:
        memory.held |= green
        return [Request(Ask.HOLD, phase) for phase in sorted(green)]
    memory.held &= following
    begins, ends = sorted(following - green), sorted(green - following)
    return [Request(Ask.CALL, phase) for phase in begins] + [Request(Ask.FORCE_OFF, phase) for phase in ends]


def _look(moment: Moment, memory: Memory) -> None:
    now_s = moment.now_s
    if memory.at_s is not None and not 0.0 <= now_s - memory.at_s <= LOST_S:
        memory.pressed_s.clear()
        for lane in memory.lanes:
            lane.restart()
    memory.at_s = now_s
    for lane in memory.lanes:
        lane.take(now_s, moment.heads, moment.loops)
    pressed = [p.phase for p in memory.limits.phases if p.phase in moment.heads and moment.heads[p.phase].ped_called]
    memory.pressed_s = {phase: memory.pressed_s.get(phase, now_s) for phase in pressed}


def _stage_shown(moment: Moment, memory: Memory) -> int | None:
    """None: something changes, is not known, or a detector of what is green is faulty."""
    heads, phases = moment.heads, [p.phase for p in memory.limits.phases]
    if any(phase not in heads or heads[phase].shows is Shows.YELLOW for phase in phases):
        return None
    green = frozenset(phase for phase in phases if heads[phase].shows is Shows.GREEN)
    for phase in green:
        for channel in memory.channels[phase]:
            loop = moment.loops.get(channel)
            if loop is None or loop.fault:
                return None
    return memory.stages.index(green) if green in memory.stages else None


def _release(memory: Memory) -> list[Request]:
    held, memory.held = sorted(memory.held), set()
    return [Request(Ask.RELEASE, phase) for phase in held]


def _shown_s(phase: int, moment: Moment) -> float:
    return moment.now_s - moment.heads[phase].since_ms / 1000


def _may_end(phase: int, moment: Moment, memory: Memory) -> bool:
    enough = _shown_s(phase, moment) >= memory.limits.by_phase[phase].min_green_s
    return enough and moment.heads[phase].walk is Walk.DONT


def _room_s(green: frozenset[int], moment: Moment, memory: Memory) -> float:
    return min(memory.limits.by_phase[phase].max_green_s - _shown_s(phase, moment) for phase in green)


def _somebody_else(green: frozenset[int], memory: Memory) -> bool:
    """Whether anybody is there who had better go in another stage."""
    if any(phase not in green for phase in memory.pressed_s):
        return True
    for lane in memory.lanes:
        served = not green.isdisjoint(lane.phases)
        if lane.blocked_s or (lane.known() and lane.phases[0] not in green) or (lane.hidden >= 1.0 and not served):
            return True
    return False


def _following(now: int, fixed: frozenset[int], moment: Moment, memory: Memory) -> frozenset[int] | None:
    """The stage that had better begin now; None: this one goes on."""
    green = memory.stages[now]
    everything = [n for n in range(len(memory.stages)) if _worth(memory.stages[n], moment, memory)]
    allowed = [n for n in everything if n != now and fixed <= memory.stages[n]]
    if not allowed or not _somebody_else(green, memory):
        return None
    rollout = Rollout(_snapshot(moment, memory), _stages(memory), memory.costs)
    ready = {
        number: _ready_s(lane, moment, green)
        for number, lane in enumerate(memory.lanes)
        if not green.isdisjoint(lane.phases)
    }
    cost, following = rollout.best(now, 0.0, ready, math.inf, allowed)
    if following is None:
        return None
    at_most, room_s = cost - memory.settings.margin_s, _room_s(green, moment, memory)
    # What was best a second ago comes first: one that is cheaper is enough.
    for extension_s in sorted(EXTENSIONS_S, key=lambda each: abs(each - memory.extension_s)):
        if extension_s <= room_s and rollout.best(now, extension_s, ready, at_most, everything)[1] is not None:
            memory.extension_s = max(1, extension_s - 1)
            return None
    memory.extension_s = FIRST_EXTENSION_S
    return memory.stages[following]


def _worth(stage: frozenset[int], moment: Moment, memory: Memory) -> bool:
    """A phase whose lanes all have another one of their own goes only where the board calls it."""
    return any(phase in memory.own or moment.heads[phase].called for phase in stage)


def _ready_s(lane: Lane, moment: Moment, green: frozenset[int]) -> float:
    """When its next vehicle can leave. One that is blocked for long stays so for long."""
    headway = min(lane.headway[phase] for phase in lane.phases if phase in green)
    return max(0.0, lane.left_s + headway - moment.now_s, lane.blocked_s)


def _snapshot(moment: Moment, memory: Memory) -> Snapshot:
    """The lanes, then a lane for each phase that pedestrians wait for."""
    settings, known = memory.settings, moment.known.flows_veh_h
    parcels: list[Sequence[Parcel]] = []
    for lane in memory.lanes:
        flows = [known[channel] for channel in lane.channels if channel in known] if settings.forecast else []
        flow = max(flows) / 3600 if flows else None
        parcels.append(lane.parcels(moment.now_s, settings.horizon_s, flow))
    return Snapshot(
        parcels + [[Parcel(since - moment.now_s, settings.pedestrian)] for _, since in sorted(memory.pressed_s.items())]
    )


def _stages(memory: Memory) -> list[Stage]:
    limits = memory.limits.by_phase
    waiting = sorted(memory.pressed_s)
    fastest = {number: min(lane.headway.values()) for number, lane in enumerate(memory.lanes)}
    stages = []
    for phases in memory.stages:
        served = {}
        for number, lane in enumerate(memory.lanes):
            headways = [lane.headway[p] for p in lane.phases if p in phases]
            if headways:
                served[number] = min(headways)
        crossed = [phase for phase in waiting if phase in phases]
        served |= {len(memory.lanes) + waiting.index(phase): 0.01 for phase in crossed}
        own = [limits[phase] for phase in phases]
        walks_s = max((limits[phase].walk_s + limits[phase].ped_clearance_s for phase in crossed), default=0.0)
        stages.append(
            Stage(
                tuple(sorted(phases)), served,
                frozenset(n for n, each in served.items() if each <= YIELDS * fastest.get(n, each)),
                min_s=max(*(p.min_green_s for p in own), walks_s),
                max_s=min(p.max_green_s for p in own),
                clear_s=max(p.yellow_s + p.red_clearance_s for p in own),
            )
        )  # fmt: skip
    return stages
