"""How long those wait for whom a light is red: from the first word of a detector to the green."""

from __future__ import annotations

from wayside.cloud.sim.traffic.intersection import Intersection, is_green
from wayside.cloud.sim.traffic.loops import Loops
from wayside.cloud.sim.traffic.spec import Green

GO = "Gg"


class Waits:
    """The greens of each phase, and its longest red while somebody waits; whoever drives the light."""

    def __init__(self, intersection: Intersection) -> None:
        self.light = intersection.light
        self.longest: tuple[float, str] = (0.0, "")
        self.greens: list[Green] = []
        self._phases = intersection.phases
        self._stops = [p.loop for p in intersection.loops if p.loop.function == "stop_line"]
        self._crossings = [c for c in intersection.crossings if c.button]
        self._since: dict[str, float] = {}
        self._green: dict[int, float] = {}

    def look(self, at_s: float, state: str, loops: Loops) -> None:
        for phase, lamps in self._phases.items():
            green = is_green(lamps, state)
            if green != (phase in self._green):
                if green:
                    self._green[phase] = at_s
                else:
                    self._close(phase, at_s)
        for loop in self._stops:
            green = any(phase in self._green for phase in (loop.phase, *loop.also))
            self._wait(f"{loop.phase}, detector {loop.channel}", at_s, green, loops.occupied(loop.channel))
        for crossing in self._crossings:
            green = any(state[link] in GO for link in crossing.links)
            self._wait(f"{crossing.phase}, walk", at_s, green, loops.pressed(crossing.button))

    def _wait(self, who: str, at_s: float, green: bool, called: bool) -> None:
        since = self._since.get(who)
        if green:
            self._since.pop(who, None)
        elif since is None and called:
            self._since[who] = at_s
        elif since is not None and at_s - since > self.longest[0]:
            self.longest = (at_s - since, f"{self.light}/{who}")

    def _close(self, phase: int, at_s: float) -> None:
        self.greens.append(Green(light=self.light, phase=phase, from_s=self._green.pop(phase), to_s=at_s))

    def end(self, at_s: float) -> None:
        for phase in list(self._green):
            self._close(phase, at_s)
