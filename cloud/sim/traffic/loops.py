"""Loops in the lanes of SUMO, to the tenth of a second in which a vehicle came and went; and people at push buttons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from wayside.cloud.sim.traffic.board_light import Edge
from wayside.cloud.sim.traffic.intersection import Crossing, Intersection
from wayside.firmware_bridge.line.messages import EventKind

PRESS_AGAIN_MS = 10_000


def name_of(light: str, channel: int) -> str:
    return f"{light}/{channel}"


def additional(intersections: Sequence[Intersection]) -> Iterator[str]:
    """The loops as elements of SUMO's additional file."""
    for each in intersections:
        for placed in each.loops:
            name = quoteattr(name_of(each.light, placed.loop.channel))
            yield (
                f'<inductionLoop id={name} lane={quoteattr(placed.lane)} pos="{placed.at_m:.2f}" friendlyPos="true" '
                'period="1000000" file="NUL"/>'
            )


class Loops:
    """The loops and buttons of one intersection."""

    def __init__(self, sumo: Any, intersection: Intersection) -> None:
        self._vehicles = sumo.inductionloop.getVehicleData
        self._names = [
            (placed.loop.channel, name_of(intersection.light, placed.loop.channel)) for placed in intersection.loops
        ]
        self._on: dict[int, set[str]] = {channel: set() for channel, _ in self._names}
        self._persons = sumo.person
        self._crossings = {edge: c for c in intersection.crossings if c.button for edge in c.edges}
        self._pressed: set[int] = set()

    def read(self, begin_s: float, now_s: float) -> list[Edge]:
        """What changed in the last step of the simulation; times count from ``begin_s``."""
        edges: list[Edge] = []
        to_ms = round((now_s - begin_s) * 1000)
        for channel, name in self._names:
            data = self._vehicles(name)
            on = self._on[channel]
            if not data and not on:
                continue
            stays = set()
            changes: list[tuple[float, int, str]] = []
            for vehicle, _, came_s, left_s, _ in data:
                if vehicle not in on:
                    changes.append((came_s, 1, vehicle))
                if left_s < 0:
                    stays.add(vehicle)
                else:
                    changes.append((left_s, -1, vehicle))
            changes += [(now_s, -1, gone) for gone in on - {row[0] for row in data}]
            # Occupied as long as one is on it; two vehicles on one loop are one to it, as on a street.
            count = len(on)
            for at_s, change, _ in sorted(changes):
                before, count = count, count + change
                if (before > 0) != (count > 0):
                    edges.append(Edge(min(round((at_s - begin_s) * 1000), to_ms), channel, int(count > 0)))
            self._on[channel] = stays
        if self._crossings:
            edges += self._buttons(to_ms)
        return edges

    def _buttons(self, to_ms: int) -> Iterator[Edge]:
        """Who comes presses, and again from time to time while he waits."""
        pressed = {c.button for c in self._waiting()}
        again = pressed if to_ms % PRESS_AGAIN_MS == 0 else set()
        for button in sorted((self._pressed - pressed) | (self._pressed & again)):
            yield Edge(to_ms - 1, button, 0, EventKind.INPUT)
        for button in sorted((pressed - self._pressed) | again):
            yield Edge(to_ms, button, 1, EventKind.INPUT)
        self._pressed = pressed

    def _waiting(self) -> Iterator[Crossing]:
        persons = self._persons
        for person in persons.getIDList():
            if persons.getRoadID(person).startswith(":"):
                crossing = self._crossings.get(persons.getNextEdge(person))
                if crossing is not None and persons.getSpeed(person) < 0.1:
                    yield crossing

    def occupied(self, channel: int) -> bool:
        return bool(self._on.get(channel))

    def pressed(self, button: int) -> bool:
        return button in self._pressed
