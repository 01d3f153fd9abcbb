"""From a board's heads to the state of a traffic light in SUMO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wayside.cloud.sim.traffic.intersection import Intersection, Lamps
from wayside.firmware_bridge.simulated_board import Heads

_RANK = {"r": 0, "y": 1, "g": 2, "G": 3}
DARK = "o"  # flashing: everybody yields


class Lamp:
    """The state that belongs to what a board shows. ``width``: how many links the light has."""

    def __init__(self, intersection: Intersection, width: int) -> None:
        self._width = width
        self._rows = [intersection.phases.get(p.phase, {}) for p in intersection.plan.phases]
        self._overlaps = list(intersection.overlaps.values())
        self._walks: Mapping[int, list[int]] = {
            row: [link for c in intersection.crossings if c.phase == p.phase for link in c.links]
            for row, p in enumerate(intersection.plan.phases)
        }
        self._seen: dict[Heads, str] = {}

    def state(self, heads: Heads) -> str:
        """One letter a link. Links of no head stay red."""
        known = self._seen.get(heads)
        if known is None:
            known = self._seen[heads] = self._state(heads)
        return known

    def _state(self, heads: Heads) -> str:
        if heads.flash:
            return DARK * self._width
        letters = ["r"] * self._width
        for link, letter in self._lit(heads):
            if _RANK[letter] > _RANK[letters[link]]:
                letters[link] = letter
        return "".join(letters)

    def _lit(self, heads: Heads) -> Iterator[tuple[int, str]]:
        yield from _of(self._rows, heads.green, heads.yellow)
        yield from _of(self._overlaps, heads.overlap_green, heads.overlap_yellow)
        for row, links in self._walks.items():
            if heads.walk & 1 << row:
                yield from ((link, "G") for link in links)


def _of(lamps: list[Lamps], green: int, yellow: int) -> Iterator[tuple[int, str]]:
    for row, links in enumerate(lamps):
        if green & 1 << row:
            yield from links.items()
        elif yellow & 1 << row:
            yield from ((link, "y") for link in links)
