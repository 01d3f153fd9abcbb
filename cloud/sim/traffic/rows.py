"""The rows of a signal's table from the program of a SUMO net: what is green together, and in which ring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic.nets import GOES, Light, Stage
from wayside.firmware_bridge.line.messages import SIGNAL_PHASES

LEAST_ROW_S = 5.0  # a stage that is shorter, after a yellow and without a new green, is red clearance


@dataclass
class Row:
    phase: int
    ring: int
    lamps: dict[int, str]
    """what links of vehicles show: G, or g where they yield"""
    walks: tuple[int, ...]
    """links of its pedestrian crossings"""
    green_s: float
    red_s: float = 0.0
    barrier: int = 0
    """rows of different rings run together only where these are equal"""


def rows_of(light: Light) -> Sequence[Row]:
    """In the order of the program; of a dual ring in the order of its rings.

    Raises:
        NetError: the program has no greens, or more rows than a board has phases.
    """
    rows = _dual_ring(light) if light.kind == "NEMA" else _single_ring(light)
    if not 1 < len(rows) <= SIGNAL_PHASES:
        raise NetError(
            f"the traffic light {light.id} has {len(rows)} green stages; a board drives 2 to {SIGNAL_PHASES} phases: "
            "give it another program with netconvert or netedit"
        )
    return rows


def _single_ring(light: Light) -> list[Row]:
    crossings = frozenset(k.index for k in light.links if k.is_crossing)
    stages = _from_first_green(light.stages)
    rows: list[Row] = []
    yellow: Row | None = None  # the stage that ended the last row
    for stage in stages:
        row = _row(len(rows) + 1, 1, stage, 0, crossings)
        if _clears(stage.state):
            yellow = row
        elif yellow is not None and stage.duration_s < LEAST_ROW_S and row.lamps.items() <= yellow.lamps.items():
            rows[-1].red_s += stage.duration_s  # all is red but what stays green into the next row
        elif rows and yellow is None and row.lamps == rows[-1].lamps and set(row.walks) <= set(rows[-1].walks):
            rows[-1].green_s += stage.duration_s  # its pedestrians clear, its cars go on
        else:
            rows.append(row)
            yellow = None
    return rows


def _clears(state: str) -> bool:
    """Whether a stage only ends what was green before it: some link is yellow in it."""
    return any(letter in "yYu" for letter in state)


def _from_first_green(stages: Sequence[Stage]) -> Sequence[Stage]:
    for i, stage in enumerate(stages):
        if not _clears(stage.state) and any(letter in GOES for letter in stage.state):
            return [*stages[i:], *stages[:i]]
    return ()


def _dual_ring(light: Light) -> list[Row]:
    """https://sumo.dlr.de/docs/Simulation/NEMA.html: a stage a phase, named by its number, and two rings in params."""
    crossings = frozenset(k.index for k in light.links if k.is_crossing)
    stages: Mapping[str, Stage] = {s.name: s for s in light.stages}
    rows = []
    for ring in (1, 2):
        barrier = 0
        for name in _names(light, f"ring{ring}"):
            if name == "0":
                continue
            if name not in stages:
                raise NetError(f"the NEMA light {light.id} has no phase named {name} that its ring{ring} lists")
            rows.append(_row(int(name), ring, stages[name], barrier, crossings))
            if any(name in _names(light, key) for key in ("barrierPhases", "barrier2Phases", "coordinatePhases")):
                barrier += 1
    return rows


def _row(phase: int, ring: int, stage: Stage, barrier: int, crossings: frozenset[int]) -> Row:
    greens = {i: letter for i, letter in enumerate(stage.state) if letter in GOES}
    cars = {i: letter for i, letter in greens.items() if i not in crossings}
    return Row(phase, ring, cars, tuple(i for i in greens if i in crossings), stage.duration_s, stage.red_s, barrier)


def _names(light: Light, key: str) -> Iterator[str]:
    return (name.strip() for name in light.params.get(key, "").split(",") if name.strip())
