"""An intersection in a run of the plant."""

from __future__ import annotations

from typing import Any

from wayside.cloud.sim.traffic import controllers
from wayside.cloud.sim.traffic.board_light import BoardLight
from wayside.cloud.sim.traffic.faults import BrokenLoops
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.loops import Loops
from wayside.cloud.sim.traffic.spec import RunSpec


class Site:
    """Its loops, and its board where boards drive."""

    def __init__(self, sumo: Any, spec: RunSpec, intersection: Intersection, begin_s: float, *, first: bool) -> None:
        self.intersection = intersection
        self.loops = Loops(sumo, intersection)
        self._sumo = sumo.trafficlight
        own = [
            f for f in spec.faults if f.light == intersection.light or (f.light is None and (first or not f.of_loops))
        ]
        self._broken = BrokenLoops(own, intersection)
        self._silent = [f for f in own if f.kind == "silent"]
        width = len(self._sumo.getRedYellowGreenState(intersection.light))
        self.board: BoardLight | None = None
        if spec.policy not in controllers.COMPARATORS:
            self.board = controllers.board_light(spec, intersection, width, own, begin_s)
        self._shown = ""

    def step(self, second: int, begin_s: float) -> None:
        edges = self._broken.change(self.loops.read(begin_s, begin_s + second), second) if second else ()
        if self.board is None:
            return
        self.board.silent = any(fault.holds(second) for fault in self._silent)
        state = self.board.step(edges, second * 1000)
        if state != self._shown:
            self._sumo.setRedYellowGreenState(self.intersection.light, state)
            self._shown = state

    @property
    def state(self) -> str:
        return self._shown or str(self._sumo.getRedYellowGreenState(self.intersection.light))
