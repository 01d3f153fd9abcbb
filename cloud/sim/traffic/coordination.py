"""Offsets for the signals of a street by bandwidth: the widest bands in which one drives through all of them on green.

The bands are those of Little's MAXBAND (Operations Research 14, 1966) at a fixed cycle and speed: of the window of each
signal's green, seen from a vehicle that moves along, what is common to all. Offsets are searched on a grid of one
second, one signal at a time from several begins: a street of four is searched in a moment, one of twenty in seconds.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.nets import Light, Net

BEGINS = 24  # of the search, from a seed: the same every time


class Signal(NamedTuple):
    light: str
    phase: int
    """that serves the street"""
    green_s: float


class Street(NamedTuple):
    """Signals in their order, and how long one drives from each to the next, in either direction."""

    signals: tuple[Signal, ...]
    there_s: tuple[float, ...]
    back_s: tuple[float, ...]
    cycle_s: float


class Bands(NamedTuple):
    offsets: tuple[float, ...]
    """seconds; of each signal, when its green begins"""
    there_s: float
    back_s: float
    cycle_s: float

    @property
    def efficiency(self) -> float:
        """The mean band, as a share of the cycle."""
        return (self.there_s + self.back_s) / (2 * self.cycle_s)


def street_of(net: Net, intersections: Sequence[Intersection]) -> Street:
    """The chain of signals that follow each other straight on.

    Raises:
        NetError: there are fewer than two, or they form no chain, or have no common cycle.
    """
    by_light = {x.light: x for x in intersections}
    onward: dict[tuple[str, str], tuple[int, float]] = {}
    for light in net.lights.values():
        onward.update(_next_signals(net, light, by_light))
    follows: dict[str, set[str]] = {}
    for a, b in onward:
        if (b, a) in onward:
            follows.setdefault(a, set()).add(b)
    ends = sorted(light for light, others in follows.items() if len(others) == 1)
    if len(ends) != 2 or any(len(others) > 2 for others in follows.values()):
        raise NetError(f"the signals of {net.path} are no street: each follows the next straight on, both ways")
    order = [ends[0]]
    while len(order) < len(follows):
        order.append(next(iter(sorted(follows[order[-1]] - set(order)))))
    cycles = {by_light[light].signal.cycle_s for light in order}
    if len(cycles) != 1:
        raise NetError(f"the signals have cycles of {sorted(cycles)} s: a street needs a common one")
    pairs = list(itertools.pairwise(order))
    phases = [onward[pair][0] for pair in pairs] + [onward[order[-1], order[-2]][0]]
    signals = tuple(
        Signal(light, phase, by_light[light].signal.by_phase[phase].green_s)
        for light, phase in zip(order, phases, strict=True)
    )
    there = tuple(onward[pair][1] for pair in pairs)
    back = tuple(onward[b, a][1] for a, b in pairs)
    return Street(signals, there, back, cycles.pop())


def _next_signals(
    net: Net, light: Light, known: Mapping[str, Intersection]
) -> dict[tuple[str, str], tuple[int, float]]:
    """By pair of lights the phase in which one leaves the first straight on, and the seconds to the second."""
    entries = {link.lane: other.id for other in net.lights.values() for link in other.links}
    leads: dict[str, tuple[str, float]] = {}
    for to, ways in net.ways_into.items():
        for way in ways:
            if way.direction == "s" and way.tls is None:
                leads.setdefault(way.lane, (to, way.inside_m))
    reached: dict[tuple[str, str], tuple[int, float]] = {}
    for link in light.links:
        if link.direction != "s":
            continue
        lane, seconds, seen = link.to, 0.0, set()
        while lane not in seen:
            seen.add(lane)
            seconds += net.lanes[lane].length_m / net.lanes[lane].speed_m_s
            if lane in entries or lane not in leads:
                break
            lane = leads[lane][0]
        other = entries.get(lane)
        phases = [p for p, lamps in known[light.id].phases.items() if lamps.get(link.index) == "G"]
        if other is not None and other != light.id and phases:
            longest = max(phases, key=lambda p: known[light.id].signal.by_phase[p].green_s)
            reached.setdefault((light.id, other), (longest, seconds))
    return reached


def bands(street: Street, offsets: Sequence[float]) -> Bands:
    """What ``offsets`` give."""
    cycle = street.cycle_s
    there = [0.0, *itertools.accumulate(street.there_s)]
    back = [0.0, *itertools.accumulate(street.back_s)]
    greens = [signal.green_s for signal in street.signals]
    return Bands(
        tuple(offsets),
        _common([o - t for o, t in zip(offsets, there, strict=True)], greens, cycle),
        # The other way one comes to a signal as long before the first of them as it lies behind it.
        _common([o + t for o, t in zip(offsets, back, strict=True)], greens, cycle),
        cycle,
    )


def _common(begins: Sequence[float], greens: Sequence[float], cycle: float) -> float:
    """The longest time that is green at all, of windows that repeat every ``cycle``."""
    best = 0.0
    for begin in begins:  # the common window begins where one of them does
        left = min(green - (begin - other) % cycle for other, green in zip(begins, greens, strict=True))
        best = max(best, left)
    return best


def best_bands(street: Street, weights: tuple[float, float] = (1.0, 1.0)) -> Bands:
    """Offsets whose bands, there and back by ``weights``, are widest; the first signal's offset is 0."""
    chance = random.Random(0)  # noqa: S311  (the same every time)
    cycle, count = round(street.cycle_s), len(street.signals)

    def worth(offsets: Sequence[float]) -> float:
        found = bands(street, offsets)
        # A narrow band both ways is worth more than a wide one that leaves the other direction none.
        return weights[0] * found.there_s + weights[1] * found.back_s + min(found.there_s, found.back_s)

    best: list[float] = [0.0] * count
    for n in range(BEGINS):
        offsets = [0.0] + [float(chance.randrange(cycle)) if n else 0.0 for _ in range(count - 1)]
        improved = True
        while improved:
            improved = False
            for k in range(1, count):
                top = max(range(cycle), key=lambda s, k=k: worth([*offsets[:k], float(s), *offsets[k + 1 :]]))  # type: ignore[misc]
                trial = [*offsets[:k], float(top), *offsets[k + 1 :]]
                if worth(trial) > worth(offsets) + 1e-9:
                    offsets, improved = trial, True
        if worth(offsets) > worth(best) + 1e-9:
            best = offsets
    return bands(street, best)


def settings(street: Street, found: Bands) -> dict[str, dict[str, Any]]:
    """Of the policy ``coordinated``, by light."""
    return {
        signal.light: {
            "cycle_s": found.cycle_s, "offset_s": offset, "green_s": signal.green_s, "phases": [signal.phase]
        }
        for signal, offset in zip(street.signals, found.offsets, strict=True)
    }  # fmt: skip
