"""An observer of the lights that knows nothing of who drives them: what SUMO shows, judged by the limits.

It holds for every controller: no two links green that cross each other with neither yielding, no green that ends
without its yellow, no yellow that is too short, no green of a phase under its minimum. One look a second. People on
foot have no yellow: who is on a crossing as it turns red goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

from wayside.cloud.sim.traffic.intersection import Intersection, is_green

GO, GREEN = "Gg", "G"
TOLD = 20  # of the rules that were broken so many are told in words


class Rules:
    """``foes``: by link, the links that it crosses or merges with."""

    def __init__(self, intersection: Intersection, foes: Mapping[int, frozenset[int]]) -> None:
        self.broken: list[str] = []
        self.count = 0
        self._light = intersection.light
        self._foes = foes
        limits = intersection.signal.by_phase
        self._yellow_s: dict[int, float] = {}
        for phase, lamps in intersection.phases.items():
            for link in lamps:
                self._yellow_s[link] = min(limits[phase].yellow_s, self._yellow_s.get(link, 1e9))
        self._minimum_s = {p: (limits[p].min_green_s, lamps) for p, lamps in intersection.phases.items()}
        self._on_foot = {link for crossing in intersection.crossings for link in crossing.links}
        self._was = ""
        self._since: list[float] = []
        self._green_since: dict[int, float] = {}

    def look(self, at_s: float, state: str) -> None:
        if state == self._was:
            return
        if not self._was or len(state) != len(self._was):
            self._was, self._since = state, [at_s] * len(state)
            return
        for link, (before, now) in enumerate(zip(self._was, state, strict=True)):
            if before != now and not (before in GO and now in GO) and link not in self._on_foot:
                self._change(at_s, link, before, now)
                self._since[link] = at_s
        for link, foes in self._foes.items():
            for foe in foes:
                if link < foe and state[link] == state[foe] == GREEN:
                    self._tell(at_s, f"links {link} and {foe} cross, and both have green")
        self._greens(at_s, state)
        self._was = state

    def _change(self, at_s: float, link: int, before: str, now: str) -> None:
        if before in GO and now != "y":
            self._tell(at_s, f"link {link} goes from green to {now!r} without yellow")
        elif before == "y":
            shown_s = at_s - self._since[link]
            if shown_s < self._yellow_s.get(link, 3.0) - 1e-6:  # a red of 0.1 s after it may be between two looks
                self._tell(at_s, f"link {link} shows yellow for {shown_s:g} s, then {now!r}")

    def _greens(self, at_s: float, state: str) -> None:
        for phase, (minimum_s, lamps) in self._minimum_s.items():
            green = is_green(lamps, state)
            since = self._green_since.get(phase)
            if green and since is None:
                self._green_since[phase] = at_s
            elif since is not None and not green:
                del self._green_since[phase]
                if at_s - since < minimum_s - 1.0 - 1e-6:  # one look a second sees up to a second less
                    self._tell(at_s, f"phase {phase} was green for {at_s - since:g} s, its minimum is {minimum_s:g} s")

    def _tell(self, at_s: float, what: str) -> None:
        self.count += 1
        if len(self.broken) < TOLD:
            self.broken.append(f"{at_s:g} s, {self._light}: {what}")
