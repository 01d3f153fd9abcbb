"""Programs for the lights of our own nets: what is green together, and the fixed plan by Webster on the hourly mean.

Webster (1958): cycle = (1.5 L + 5) / (1 - Y), greens in proportion to the critical flow ratios. It is the plan that a
town would have computed for this very demand, so what beats it beats more than a plan that nobody has looked after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wayside.cloud.sim.traffic.nets import Light, Link

SATURATION_VEH_H = {"s": 1800.0, "r": 1600.0, "l": 1700.0}  # of a lane
SHARED_LEFT_VEH_H = 1200.0  # of a lane whose left turns yield, and stop who is behind them
LOST_S = 4.0  # of a change: starting up, and the end of yellow and red clearance that nobody uses
CYCLE_S = (40.0, 120.0)
GREEN_S = 5.0
YELLOW_S, RED_S = 3.0, 1.0
RINGS = {1: (1, 2, 3, 4), 2: (5, 6, 7, 8)}
# NEMA: the axis of east and west on one side of the barrier; odd phases are the left turns.
_PHASES = {
    1: ("w", "l"), 2: ("e", "sr"), 5: ("e", "l"), 6: ("w", "sr"),
    3: ("s", "l"), 4: ("n", "sr"), 7: ("n", "l"), 8: ("s", "sr"),
}  # fmt: skip


class Movement(NamedTuple):
    """A link with what is known of it: the arm it comes from and the vehicles an hour that a lane of it carries."""

    link: Link
    arm: str
    flow_veh_h: float
    shares_left: bool = False
    """its lane also turns left"""


def single_ring(light: Light, movements: Sequence[Movement], cycle_s: float | None = None) -> str:
    """Per axis: through and right with a left that yields, then the left alone, where it has a lane of its own.

    ``cycle_s``: that the signals of an arterial have in common; what is over goes to the first row, along it.
    """
    rows = _rows(movements)
    greens = _webster(rows, movements)
    if cycle_s is not None:
        greens[0] += cycle_s - _length(greens)
    width = len(light.links)
    stages = []
    for n, row in enumerate(rows):
        following = rows[(n + 1) % len(rows)]
        stays = {link: "g" for link in row if link in following}
        stages.append((greens[n], _state(width, row)))
        stages.append((YELLOW_S, _state(width, dict.fromkeys(row, "y") | stays)))
        stages.append((RED_S, _state(width, stays)))
    phases = "".join(f'        <phase duration="{s:g}" state="{state}"/>\n' for s, state in stages)
    return f'    <tlLogic id="{light.id}" type="static" programID="0" offset="0">\n{phases}    </tlLogic>\n'


def cycle_of(movements: Sequence[Movement]) -> float:
    """That Webster gives :func:`single_ring`."""
    return _length(_webster(_rows(movements), movements))


def _length(greens: Sequence[float]) -> float:
    return sum(greens) + len(greens) * (YELLOW_S + RED_S)


def _rows(movements: Sequence[Movement]) -> list[dict[int, str]]:
    rows: list[dict[int, str]] = []
    for axis in ("ew", "ns"):
        own = [m for m in movements if m.arm in axis]
        rows.append({m.link.index: "g" if m.link.direction == "l" else "G" for m in own})
        lanes = {m.link.lane for m in own if m.link.direction != "l"}
        if lefts := {m.link.index: "G" for m in own if m.link.direction == "l" and m.link.lane not in lanes}:
            rows.append(lefts)
    return rows


def _webster(rows: Sequence[Mapping[int, str]], movements: Sequence[Movement]) -> list[float]:
    """Greens in whole seconds, of the movements that each row protects."""
    ratios = [max((_ratio(m) for m in movements if row.get(m.link.index) == "G"), default=0.0) for row in rows]
    effective = _cycle(ratios) - LOST_S * len(rows)
    return [max(float(round(effective * y / sum(ratios))), GREEN_S) for y in ratios]


def dual_ring(light: Light, movements: Sequence[Movement]) -> str:
    """Eight NEMA phases; a crossing walks with the through phase beside it, and the right turn yields to it."""
    arms = {m.link.lane.rpartition("_")[0]: m.arm for m in movements}
    rows: dict[int, dict[int, str]] = {}
    for phase, (arm, directions) in _PHASES.items():
        row = {m.link.index: "G" for m in movements if m.arm == arm and m.link.direction in directions}
        # The crossings of the cross street's arms lie beside the phase; of the two, the one on its right.
        for link in light.links:
            over = {arms[edge] for edge in link.edges if edge in arms}
            if link.is_crossing and "s" in directions and over == {_right_of(arm)}:
                row[link.index] = "G"
                row |= {m.link.index: "g" for m in movements if m.arm == arm and m.link.direction == "r"}
        rows[phase] = row
    greens = _balanced(rows, movements)
    lines = "".join(
        f'        <phase duration="{greens[phase]:g}" minDur="{GREEN_S:g}" maxDur="{1.5 * greens[phase]:g}" vext="2" '
        f'yellow="{YELLOW_S:g}" red="{RED_S:g}" name="{phase}" state="{_state(len(light.links), rows[phase])}"/>\n'
        for phase in sorted(rows)
    )
    params = {
        "ring1": "1,2,3,4", "ring2": "5,6,7,8", "barrierPhases": "4,8", "coordinatePhases": "2,6",
        "barrier2Phases": "2,6", "minRecall": "2,6", "detector-length": "20", "fixForceOff": "false",
    }  # fmt: skip
    given = "".join(f'        <param key="{key}" value="{value}"/>\n' for key, value in params.items())
    return f'    <tlLogic id="{light.id}" type="NEMA" programID="0" offset="0">\n{given}{lines}    </tlLogic>\n'


def _right_of(arm: str) -> str:
    return {"n": "w", "w": "s", "s": "e", "e": "n"}[arm]


def _balanced(rows: Mapping[int, Mapping[int, str]], movements: Sequence[Movement]) -> dict[int, float]:
    """Greens of both rings that meet at the barriers."""
    ratio = {p: max((_ratio(m) for m in movements if m.link.index in rows[p]), default=0.0) for p in rows}
    sides = ((1, 2), (5, 6)), ((3, 4), (7, 8))
    critical = [max(pairs, key=lambda pair: sum(ratio[p] for p in pair)) for pairs in sides]
    cycle = _cycle([ratio[p] for pair in critical for p in pair])
    total = sum(ratio[p] for pair in critical for p in pair)
    greens: dict[int, float] = {}
    for pairs, longest in zip(sides, critical, strict=True):
        room = round((cycle - 4 * LOST_S) * sum(ratio[p] for p in longest) / total)
        for left, through in pairs:
            share = ratio[left] / (ratio[left] + ratio[through])
            greens[left] = min(max(float(round(room * share)), GREEN_S), room - GREEN_S)
            greens[through] = room - greens[left]
    return greens


def _ratio(movement: Movement) -> float:
    of_lane = SHARED_LEFT_VEH_H if movement.shares_left else SATURATION_VEH_H[movement.link.direction]
    return movement.flow_veh_h / of_lane


def _cycle(ratios: Sequence[float]) -> float:
    low, high = CYCLE_S
    return min(max((1.5 * LOST_S * len(ratios) + 5) / max(1 - sum(ratios), 0.1), low), high)


def _state(width: int, shown: Mapping[int, str]) -> str:
    return "".join(shown.get(link, "r") for link in range(width))
