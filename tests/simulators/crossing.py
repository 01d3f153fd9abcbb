"""Events of a small signalized intersection: queues that form in red and discharge in green, seen by its loops.

Kinematic waves in their simplest form: a vehicle stands 7.5 m behind the one ahead, starts when the wave that runs
upstream at 5.5 m/s from the begin of green reaches it, and leaves two seconds after the one ahead. Greens vary from
cycle to cycle, as an actuated board's do.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wayside.contracts.actuator_config import LoopConfig, PhaseLimits, SignalConfig
from wayside.firmware_bridge.line.messages import EventKind

Edge = tuple[int, int, int, int]  # ms, kind, channel, value

PHASES = (1, 2, 4)
LANES = (1, 2, 2, 4)  # the phase of each
PLACES = (("stop_line", 3.0), ("middle", 28.0), ("advance", 80.0))
FREE_M_S, QUEUE_M_S, WAVE_M_S = 12.5, 7.0, 5.5
SPACE_M, LENGTH_M, HEADWAY_S = 7.5, 5.0, 2.0
YELLOW_S, CLEARANCE_S = 3.0, 1.0


def loops() -> tuple[LoopConfig, ...]:
    return tuple(
        LoopConfig(channel=1 + 3 * lane + i, phase=phase, lane=lane, at_m=at_m, function=function)  # type: ignore[arg-type]
        for lane, phase in enumerate(LANES)
        for i, (function, at_m) in enumerate(PLACES)
    )


def signal() -> SignalConfig:
    limits = [
        PhaseLimits(phase=p, green_s=16, min_green_s=6, max_green_s=30, yellow_s=YELLOW_S, red_clearance_s=CLEARANCE_S)
        for p in PHASES
    ]
    return SignalConfig(name="crossing", cycle_s=60, phases=tuple(limits), loops=loops())


class _Green(NamedTuple):
    from_s: float
    until_s: float


def events(seed: int = 0, minutes: float = 30.0, veh_h: float = 300.0) -> list[Edge]:
    """In order; ``veh_h`` per lane."""
    chance = random.Random(seed)
    greens: dict[int, list[_Green]] = {p: [] for p in PHASES}
    seen: list[Edge] = []
    at_s = 0.0
    while at_s < minutes * 60:
        for phase in PHASES:
            until = at_s + chance.uniform(7, 26)
            greens[phase].append(_Green(at_s, until))
            for later, kind in ((at_s, EventKind.PHASE_GREEN), (until, EventKind.PHASE_YELLOW)):
                seen.append((round(later * 1000), kind, phase, 0))
            at_s = until + YELLOW_S
            seen.append((round(at_s * 1000), EventKind.PHASE_RED, phase, 0))
            at_s += CLEARANCE_S
    for lane, phase in enumerate(LANES):
        seen += _lane(chance, 1 + 3 * lane, greens[phase], minutes * 60, veh_h * chance.uniform(0.6, 1.3))
    return sorted(e for e in seen if e[0] < minutes * 60_000)


def _lane(chance: random.Random, channel: int, greens: Sequence[_Green], end_s: float, veh_h: float) -> list[Edge]:
    free_at: dict[int, float] = {}  # when each loop is empty again
    queue: list[float] = []  # when those that leave in the present green pass the line
    seen: list[Edge] = []
    ahead = iter(greens)
    green = next(ahead)
    arrival = last = 0.0
    while (arrival := arrival + max(1.6, chance.expovariate(veh_h / 3600))) < end_s:
        while True:
            waiting = sum(1 for t in queue if t > arrival)
            stands = waiting > 0 or arrival < green.from_s
            stand_m = SPACE_M * waiting if stands else -1.0
            start = max(green.from_s + chance.uniform(0.7, 1.4) + max(0.0, stand_m) / WAVE_M_S, arrival)
            line = max(start + max(0.0, stand_m) / QUEUE_M_S, last + HEADWAY_S * chance.uniform(0.85, 1.2))
            if line <= green.until_s + YELLOW_S / 2:
                break
            green = next(ahead, None)  # type: ignore[assignment]
            queue = []
            if green is None:
                return seen
        queue.append(line)
        last = line
        for i, (_, at_m) in enumerate(PLACES):
            if stand_m < 0 or stand_m + LENGTH_M < at_m:  # over it before it stands
                on = arrival - at_m / FREE_M_S
                off = on + (LENGTH_M + 2) / FREE_M_S
            elif stand_m <= at_m:  # it stands on it
                on, off = arrival - at_m / FREE_M_S, start + 1.0
            else:
                on = start + (stand_m - at_m) / QUEUE_M_S
                off = on + (LENGTH_M + 2) / QUEUE_M_S
            on = max(on, free_at.get(i, 0.0) + 0.2)
            off = max(off, on + 0.2)
            free_at[i] = off
            seen += [(round(on * 1000), 1, channel + i, 1), (round(off * 1000), 1, channel + i, 0)]
    return [e for e in seen if e[0] >= 0]


def rewired(recorded: Sequence[Edge], wires: Mapping[int, int]) -> list[Edge]:
    """The same traffic, where the loop of channel ``k`` ends at the terminal ``wires[k]``."""
    return [(ms, kind, wires.get(c, c) if kind == EventKind.DETECTOR else c, v) for ms, kind, c, v in recorded]
