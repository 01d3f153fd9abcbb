"""Where the loops of an intersection lie, and which phase each of them calls.

A lane extends one phase, its own: the one in which most of its movements go, of several the one that protects most of
them, then the longest. So a lane of left and through traffic does not call the protected left, which would be served
for every car that only wants to go on; ``also`` names the other phases in which its vehicles may go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from wayside.cloud.sim.traffic.intersection import PlacedLoop
from wayside.cloud.sim.traffic.nets import Light, Net, motor_links
from wayside.cloud.sim.traffic.rows import Row
from wayside.cloud.sim.traffic.timing import TimingRule
from wayside.contracts.actuator_config import LoopConfig
from wayside.firmware_bridge.line.messages import ACTUATED_DETECTORS

MAX_LOOPS = ACTUATED_DETECTORS
EDGE_M = 1.0
FRINGE_M = 10.0  # of a lane into which vehicles are put, with their length before its begin
Function = Literal["stop_line", "middle", "advance"]


class Approach(NamedTuple):
    """A lane that ends at the signal."""

    lane: str
    links: tuple[int, ...]
    phase: int
    also: tuple[int, ...]


def approaches(net: Net, light: Light, rows: Sequence[Row]) -> Sequence[Approach]:
    """In the order of the links. A lane that never has green is not there."""
    lanes: dict[str, list[int]] = {}
    for link in motor_links(light, net):
        lanes.setdefault(link.lane, []).append(link.index)
    return [
        Approach(lane, tuple(links), best.phase, also)
        for lane, links in lanes.items()
        if (ranked := _ranked(links, rows))
        for best, also in [(ranked[0], tuple(sorted(row.phase for row in ranked[1:])))]
    ]


def _ranked(links: Sequence[int], rows: Sequence[Row]) -> Sequence[Row]:
    """The rows in which some of ``links`` are green, the one that they call first."""

    def worth(row: Row) -> tuple[float, ...]:
        shown = [row.lamps.get(link) for link in links]
        return (sum(s is not None for s in shown), shown.count("G"), row.green_s, -rows.index(row))

    return sorted((row for row in rows if worth(row)[0]), key=worth, reverse=True)


def loops(net: Net, arrivals: Sequence[Approach], rule: TimingRule) -> Sequence[PlacedLoop]:
    """Channels from 1: stop lines first, then the middle, then what lies farthest; at most ``MAX_LOOPS``.

    Where lanes join upstream one loop lies before the place for all that follow; it is counted to the first of them.
    """
    wanted: tuple[tuple[Function, float], ...] = (
        ("stop_line", rule.stop_line_m), ("middle", rule.middle_m), ("advance", rule.advance_m)
    )  # fmt: skip
    placed: list[PlacedLoop] = []
    taken: list[tuple[str, float]] = []
    nearest = [0.0] * len(arrivals)
    for function, distance in wanted:
        for number, arrival in enumerate(arrivals):
            lane, at_m, reached = _upstream(net, arrival.lane, distance)
            apart = rule.apart_m if function != "stop_line" else 0.0
            if reached - nearest[number] < apart or any(o == lane and abs(a - at_m) < 1.0 for o, a in taken):
                continue
            if len(placed) == MAX_LOOPS:
                return placed
            nearest[number] = reached
            taken.append((lane, at_m))
            config = LoopConfig(
                channel=len(placed) + 1, phase=arrival.phase, also=arrival.also, lane=number,
                at_m=round(reached, 1), function=function,
            )  # fmt: skip
            placed.append(PlacedLoop(config, lane, round(at_m, 2)))
    return placed


def _upstream(net: Net, lane: str, distance: float) -> tuple[str, float, float]:
    """Lane, metres from its begin and distance to the stop line, of the place ``distance`` before the end of ``lane``.

    Goes back straight on where it can, and through no other signal; where the road ends it is as far as it goes.
    """
    behind, seen = 0.0, {lane}
    while (length := net.lanes[lane].length_m) <= distance - behind:
        before = [w for w in net.ways_into.get(lane, ()) if w.tls is None and w.direction != "t" and w.lane not in seen]
        way = min(before, key=lambda w: (w.direction != "s", w.inside_m, w.lane), default=None)
        if way is None:
            break
        behind += length + way.inside_m
        lane = way.lane
        seen.add(lane)
    # Inside a junction there is no room for a loop: then it lies just before it. Where the road begins, cars do.
    begin = EDGE_M if net.ways_into.get(lane) else FRINGE_M
    at_m = min(max(length - (distance - behind), min(begin, length / 2)), length - min(EDGE_M, length / 2))
    return lane, at_m, behind + length - at_m


def uncovered(rows: Sequence[Row], loops: Sequence[LoopConfig]) -> Iterator[tuple[Row, bool]]:
    """Rows that no loop calls, and whether some movement has green in no other row."""
    called = {loop.phase for loop in loops}
    for row in rows:
        if row.phase not in called:
            elsewhere = {link for other in rows if other is not row for link in other.lamps}
            yield row, bool(set(row.lamps) - elsewhere)
