"""Demand of our own nets: vehicles an hour by way, with a peak and unbalanced arms; trips drawn from a seed.

Arrivals are Poisson within each quarter of an hour. The same seed gives the same file, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

HOUR_S = 3600
# Shares of the hourly mean by quarter: who drives into town has a sharp peak, the others a late and flat one.
PEAK = (0.8, 1.1, 1.2, 0.9)
FLAT = (0.9, 1.0, 1.05, 1.05)


class Way(NamedTuple):
    """Of vehicles, from one road to another, or of people on foot."""

    start: str
    end: str
    per_hour: float
    quarters: tuple[float, ...] = FLAT
    on_foot: bool = False


def _crossing(scale: float = 1.0) -> Iterator[Way]:
    turns = {
        "n": {"s": 390, "w": 80, "e": 80},
        "s": {"n": 550, "e": 115, "w": 145},
        "e": {"w": 310, "n": 80, "s": 65},
        "w": {"e": 730, "s": 130, "n": 155},
    }
    for arm, others in turns.items():
        for other, flow in others.items():
            yield Way(f"{arm}_c", f"c_{other}", flow * scale, PEAK if arm in "sw" else FLAT)


def _dual_ring() -> Iterator[Way]:
    yield from _crossing(0.7)
    for arm, other, people in (
        ("n", "e", 45),
        ("e", "s", 60),
        ("s", "w", 45),
        ("w", "n", 60),
        ("n", "s", 80),
        ("e", "w", 50),
    ):
        yield Way(f"{arm}_c", f"c_{other}", people, on_foot=True)


def _arterial() -> Iterator[Way]:
    """Along it, from it into the side streets, from these onto it, and across."""
    yield Way("w_c1", "c4_e", 760, PEAK)
    yield Way("e_c4", "c1_w", 500, FLAT)
    for n, (north, south) in enumerate(((130, 170), (210, 160), (110, 120), (190, 230)), start=1):
        for side, flow in (("n", north), ("s", south)):
            own = f"{side}{n}_c{n}"
            yield Way(own, f"c{n}_{'s' if side == 'n' else 'n'}{n}", flow * 0.4)
            if n < 4:
                yield Way(own, "c4_e", flow * 0.35, PEAK)
            if n > 1:
                yield Way(own, "c1_w", flow * 0.25)
            yield Way("w_c1", f"c{n}_{side}{n}", flow * 0.25, PEAK)
            yield Way("e_c4", f"c{n}_{side}{n}", flow * 0.2)


WAYS: Mapping[str, tuple[Way, ...]] = {
    "crossing": tuple(_crossing()),
    "dual_ring": tuple(_dual_ring()),
    "arterial": tuple(_arterial()),
}


def routes(kind: str, seed: int) -> str:
    """SUMO's route file of an hour."""
    chance = random.Random(f"{kind} {seed}")  # noqa: S311  (an hour is to be repeated)
    drawn = sorted(
        (round(at, 1), number, way) for number, way in enumerate(WAYS[kind]) for at in _arrivals(way, chance)
    )
    lines = ['    <vType id="car" vClass="passenger" length="4.5" speedDev="0.1"/>\n']
    for n, (at, _, way) in enumerate(drawn):
        if way.on_foot:
            lines.append(
                f'    <person id="p{n}" depart="{at:.1f}"><walk from="{way.start}" to="{way.end}"/></person>\n'
            )
        else:
            lines.append(
                f'    <trip id="v{n}" type="car" depart="{at:.1f}" from="{way.start}" to="{way.end}" '
                'departLane="best" departSpeed="max"/>\n'
            )
    return f"<routes>\n{''.join(lines)}</routes>\n"


def _arrivals(way: Way, chance: random.Random) -> Iterator[float]:
    quarter_s = HOUR_S / len(way.quarters)
    for n, share in enumerate(way.quarters):
        at, rate = n * quarter_s, way.per_hour * share / HOUR_S
        while rate > 0:
            at += chance.expovariate(rate)
            if at >= (n + 1) * quarter_s:
                break
            yield at
