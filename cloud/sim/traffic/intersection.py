"""An intersection of a road network: what its board is told, and which lamps and loops of the network are its own.

Links are SUMO's: the index of a connection in the state of its traffic light, ``state[link]``. A head drives links, a
link may be driven by several heads; the strongest wins (``G`` over ``g`` over ``y`` over ``r``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wayside.contracts.actuator_config import LoopConfig, SignalConfig
from wayside.firmware_bridge.signal_plan import SignalPlan

Lamps = Mapping[int, str]
"""What links show while their head is green: ``G``, or ``g`` where it yields."""


class PlacedLoop(NamedTuple):
    """A detector on its lane of the network. A lane that goes on upstream under other names is walked: ``lane`` and
    ``at_m`` are where it lies, ``loop.at_m`` is the distance to the stop line."""

    loop: LoopConfig
    lane: str  # id of SUMO
    at_m: float  # from the lane's begin


class Crossing(NamedTuple):
    """A pedestrian crossing: its phase shows walk on these links, and people wait for it at both ends."""

    phase: int
    button: int  # input channel; 0: none
    links: tuple[int, ...]
    edges: tuple[str, ...]  # ids of the crossing's edges in SUMO


class Intersection(NamedTuple):
    light: str  # id of the traffic light
    signal: SignalConfig  # with its loops; what the policy and the guard read
    plan: SignalPlan  # what the board is told
    phases: Mapping[int, Lamps]  # by phase
    loops: tuple[PlacedLoop, ...]
    crossings: tuple[Crossing, ...] = ()
    overlaps: Mapping[int, Lamps] = {}  # by the overlap's number in the plan table
    foes: Mapping[int, frozenset[int]] = {}  # by link, the links that it crosses or merges with


def is_green(lamps: Lamps, state: str) -> bool:
    """Whether a light's state shows all that a phase shows when it is green."""
    return all(state[link] == "G" or state[link] == letter for link, letter in lamps.items())
