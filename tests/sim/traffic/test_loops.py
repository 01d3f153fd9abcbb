"""Loops tell the board when vehicles came and went, to the millisecond, and push buttons who waits."""

from __future__ import annotations

from typing import Any

from tests.sim.traffic.small import intersection
from wayside.cloud.sim.traffic.board_light import Edge
from wayside.cloud.sim.traffic.loops import Loops, additional
from wayside.firmware_bridge.line.messages import EventKind

STAYS = -1.0


class Street:
    """Stands for SUMO's library: what its loops saw in the last step, and who walks."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[str, float, float, float, str]]] = {}
        self.walkers: dict[str, tuple[str, str, float]] = {}  # where, where next, m/s
        self.inductionloop = self.person = self

    def getVehicleData(self, name: str) -> list[tuple[str, float, float, float, str]]:  # noqa: N802  (SUMO's name)
        return self.seen.get(name, [])

    def vehicles(self, channel: int, *rows: tuple[str, float, float]) -> None:
        self.seen[f"light/{channel}"] = [(who, 5.0, came, left, "car") for who, came, left in rows]

    def getIDList(self) -> list[str]:  # noqa: N802
        return list(self.walkers)

    def getRoadID(self, who: str) -> str:  # noqa: N802
        return self.walkers[who][0]

    def getNextEdge(self, who: str) -> str:  # noqa: N802
        return self.walkers[who][1]

    def getSpeed(self, who: str) -> float:  # noqa: N802
        return self.walkers[who][2]


def at(street: Any, *, crossing: bool = False) -> Loops:
    return Loops(street, intersection(crossing=crossing))


def test_a_vehicle_that_passes_within_a_second_gives_both_edges_with_their_times() -> None:
    street = Street()
    loops = at(street)
    street.vehicles(1, ("a", 1000.25, 1000.75))
    assert loops.read(1000.0, 1001.0) == [Edge(250, 1, 1), Edge(750, 1, 0)]
    assert not loops.occupied(1)


def test_a_vehicle_that_stays_is_on_until_it_goes() -> None:
    street = Street()
    loops = at(street)
    street.vehicles(1, ("a", 0.5, STAYS))
    assert loops.read(0.0, 1.0) == [Edge(500, 1, 1)]
    assert loops.read(0.0, 2.0) == []
    assert loops.occupied(1)
    street.vehicles(1, ("a", 0.5, 2.4))
    assert loops.read(0.0, 3.0) == [Edge(2400, 1, 0)]


def test_two_vehicles_on_one_loop_are_one_to_it() -> None:
    street = Street()
    loops = at(street)
    street.vehicles(1, ("a", 0.2, 0.8), ("b", 0.5, STAYS))
    assert loops.read(0.0, 1.0) == [Edge(200, 1, 1)]


def test_a_vehicle_that_is_taken_away_leaves_the_loop() -> None:
    street = Street()
    loops = at(street)
    street.vehicles(2, ("a", 0.2, STAYS))
    loops.read(0.0, 1.0)
    street.vehicles(2)
    assert loops.read(0.0, 2.0) == [Edge(2000, 2, 0)]


def test_who_waits_at_a_crossing_presses_once_and_again_after_ten_seconds() -> None:
    street = Street()
    loops = at(street, crossing=True)
    street.walkers = {"p": (":c_w0", ":c_c0", 0.0), "q": (":c_w0", ":c_c0", 1.2), "r": ("street", ":c_c0", 0.0)}
    pressed = {second: loops.read(0.0, float(second)) for second in range(1, 13)}
    assert pressed[1] == [Edge(1000, 1, 1, EventKind.INPUT)]
    assert loops.pressed(1)
    assert pressed[10] == [Edge(9999, 1, 0, EventKind.INPUT), Edge(10000, 1, 1, EventKind.INPUT)]
    assert [second for second, edges in pressed.items() if edges] == [1, 10]
    street.walkers = {}
    assert loops.read(0.0, 13.0) == [Edge(12999, 1, 0, EventKind.INPUT)]


def test_each_loop_lies_in_its_lane() -> None:
    first, second = additional([intersection()])
    assert 'id="light/1" lane="in1_0" pos="97.00"' in first
    assert 'id="light/2" lane="in2_0"' in second
