"""From a board's heads to the state of a traffic light in SUMO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from wayside.cloud.sim.traffic.intersection import Intersection, Lamps
from wayside.firmware_bridge.line.messages import OVERLAPS
from wayside.firmware_bridge.simulated_board import Heads

_RANK = {"r": 0, "y": 1, "g": 2, "G": 3}
GO = "Gg"
DARK = "o"  # flashing: everybody yields


class Lamp:
    """The state that belongs to what a board shows. ``width``: how many links the light has."""

    def __init__(self, intersection: Intersection, width: int) -> None:
        self._width = width
        self._rows = [intersection.phases.get(p.phase, {}) for p in intersection.plan.phases]
        self._overlaps = [intersection.overlaps.get(number, {}) for number in range(1, OVERLAPS + 1)]
        self._overlapped = sorted({link for lamps in self._overlaps for link in lamps})
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
        _light(letters, _of(self._rows, heads.green, heads.yellow))
        over = ["r"] * self._width
        _light(over, _of(self._overlaps, heads.overlap_green, heads.overlap_yellow))
        for link in self._overlapped:  # its head is the overlap's; a green phase says whether it yields
            phase = letters[link]
            letters[link] = phase if over[link] in GO and phase in GO else over[link]
        for row, links in self._walks.items():
            if heads.walk & 1 << row:
                _light(letters, ((link, "G") for link in links))
        return "".join(letters)


def _light(letters: list[str], lit: Iterable[tuple[int, str]]) -> None:
    for link, letter in lit:
        if _RANK[letter] > _RANK[letters[link]]:
            letters[link] = letter


def _of(lamps: list[Lamps], green: int, yellow: int) -> Iterator[tuple[int, str]]:
    for row, links in enumerate(lamps):
        if green & 1 << row:
            yield from links.items()
        elif yellow & 1 << row:
            yield from ((link, "y") for link in links)
