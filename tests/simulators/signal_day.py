"""A day of one intersection as high-resolution events: two rings of four phases, actuated, with lulls and disorder.

Seeded and plain: arrivals are Poisson with a daily profile, a queue discharges at 2 s a vehicle. It stands for the
*form* of a log, not for traffic; what traffic does is SUMO's business.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator

from wayside.contracts.actuator_config import LoopConfig

Event = tuple[int, int, int]  # ms, code, parameter
RING = (1, 2, 3, 4)
YELLOW_MS, CLEARANCE_MS = 3600, 1400


def loops() -> tuple[LoopConfig, ...]:
    """Phase p: an advance loop on channel p, two loops at the stop line on channels 10 + p and 20 + p."""
    made: list[LoopConfig] = []
    for phase in RING:
        made += [
            LoopConfig(channel=phase, phase=phase, lane=phase, at_m=100, function="advance"),
            LoopConfig(channel=10 + phase, phase=phase, lane=phase, at_m=3),
            LoopConfig(channel=20 + phase, phase=phase, lane=10 + phase, at_m=3),
        ]
    return tuple(made)


def day(seed: int, begin_ms: int, hours: float = 24.0, *, tick_ms: int = 1, lost: float = 0.0) -> list[Event]:
    """Events in order of time.

    Args:
        tick_ms: of the clock; 100 for a controller, 1 for a board.
        lost: share of detector edges that are missing.
    """
    draw = random.Random(seed)
    events = [
        (ms // tick_ms * tick_ms, code, parameter)
        for ms, code, parameter in _events(draw, begin_ms, begin_ms + round(hours * 3_600_000))
        if code not in (81, 82) or draw.random() >= lost
    ]
    taken = {(ms, phase) for ms, code, phase in events if code in (21, 22)}
    # A press in the very moment of a walk's beginning or end: the library leaves the order of the two to chance.
    return sorted({e for e in events if e[1] != 90 or (e[0], e[2]) not in taken})


def _rate(ms: int, phase: int) -> float:
    """Vehicles a second."""
    hour = ms / 3_600_000 % 24
    busy = math.exp(-((hour - 8) ** 2) / 4) + math.exp(-((hour - 17) ** 2) / 6)
    return (0.004 + 0.13 * busy) * (1.0 if phase % 2 == 0 else 0.35)


def _events(draw: random.Random, begin: int, end: int) -> Iterator[Event]:
    arrivals: list[tuple[int, int]] = []  # heap of (at the advance loop, phase)
    for phase in RING:
        heapq.heappush(arrivals, (begin + round(draw.expovariate(_rate(begin, phase)) * 1000), phase))
    queues: dict[int, list[int]] = {p: [] for p in RING}  # times at which vehicles reach the stop line
    pressed: dict[int, int] = {}
    now, at, busy_until = begin + 700, 1, dict.fromkeys(RING, 0)
    while now < end:
        phase = RING[at % 4]
        at += 1
        horizon = now + 200_000
        while arrivals[0][0] < horizon:
            when, which = heapq.heappop(arrivals)
            headway = draw.expovariate(_rate(when, which)) * 1000
            heapq.heappush(arrivals, (when + 400 + round(headway), which))
            yield when, 82, which
            yield when + draw.randint(200, 380), 81, which
            heapq.heappush(queues[which], when + draw.randint(6000, 9000))
        waits = [q for q in queues[phase] if q <= now]
        if not waits and draw.random() < 0.7 and phase != 2:
            now += 100
            continue
        yield now, 1, phase
        if phase in pressed or draw.random() < 0.15:
            press = pressed.pop(phase, now - draw.randint(300, 60_000))
            yield press, 45, phase
            yield press, 90, phase
            if draw.random() < 0.4:
                yield press + draw.randint(20, 250), 90, phase
            yield now + 50, 21, phase
            yield now + 7050, 22, phase
            yield now + 15_050, 23, phase
        green_end, longest = now + 5000, now + draw.choice((20_000, 35_000, 50_000))
        clear = now + 1500
        reason = 4
        while queues[phase] and queues[phase][0] <= green_end:
            lane = 10 * draw.randint(1, 2) + phase
            crosses = max(clear, heapq.heappop(queues[phase]))
            clear = crosses + draw.randint(1500, 2300)
            since = max(
                busy_until[phase] + 30, min(crosses, now - draw.randint(0, 20_000)) if crosses < now + 4000 else crosses
            )
            yield since, 82, lane
            yield max(since, crosses) + draw.randint(250, 600), 81, lane
            busy_until[phase] = max(since, crosses) + 700
            green_end = max(green_end, min(longest, clear + 2500))
        if green_end >= longest:
            reason = draw.choice((5, 6))
        if queues[phase] and queues[phase][0] < green_end + 9000 and draw.random() < 0.4:  # late into yellow or red
            heapq.heappop(queues[phase])
            late = max(busy_until[phase] + 30, green_end + draw.randint(-400, 6500))
            yield late, 82, 10 + phase
            yield late + draw.randint(250, 9000), 81, 10 + phase
            busy_until[phase] = late + 9100
        yield green_end, reason, phase
        yield green_end, 7, phase
        yield green_end, 8, phase
        yield green_end + YELLOW_MS, 9, phase
        yield green_end + YELLOW_MS, 10, phase
        yield green_end + YELLOW_MS + CLEARANCE_MS, 11, phase
        now = green_end + YELLOW_MS + CLEARANCE_MS
        if draw.random() < 0.002:
            yield now, 102, 1
            yield now + 4000, 107, 1
            now += draw.randint(20_000, 90_000)
            yield now, 104, 1
        if draw.random() < 0.1:
            pressed[draw.choice(RING)] = now + draw.randint(0, 3000)
