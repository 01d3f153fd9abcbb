"""Three road layouts of our own, as plain data and as SUMO's plain XML: a crossing, a dual ring with pedestrians, four
signals along an arterial.

Traffic keeps right. Each arm of a signal is n, e, s or w, the side from which its vehicles come.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

ARM_M = 400.0
SPEED_M_S = 13.89
SIDEWALK_M = 2.5
ARMS = "nesw"  # clockwise
_TOWARDS = {"n": (0.0, 1.0), "e": (1.0, 0.0), "s": (0.0, -1.0), "w": (-1.0, 0.0)}


class Road(NamedTuple):
    """One direction of a street."""

    id: str
    start: str
    end: str
    lanes: int
    sidewalk: bool = False


class Layout(NamedTuple):
    nodes: Mapping[str, tuple[float, float]]
    signals: tuple[str, ...]
    roads: tuple[Road, ...]
    arms: Mapping[str, Mapping[str, tuple[Road, Road]]]
    """of each signal: by arm the road to it and the road away"""


def crossing(*, sidewalks: bool = False) -> Layout:
    """Four arms: a lane for through and right, one for through, one for left."""
    nodes = {"c": (0.0, 0.0)} | {arm: (x * ARM_M, y * ARM_M) for arm, (x, y) in _TOWARDS.items()}
    pairs = {arm: (Road(f"{arm}_c", arm, "c", 3, sidewalks), Road(f"c_{arm}", "c", arm, 2, sidewalks)) for arm in ARMS}
    return Layout(nodes, ("c",), tuple(road for pair in pairs.values() for road in pair), {"c": pairs})


def arterial(spacing_m: tuple[float, ...] = (320.0, 450.0, 380.0)) -> Layout:
    """Signals from west to east, with side streets of one lane."""
    signals = tuple(f"c{n}" for n in range(1, len(spacing_m) + 2))
    places = {"w": -ARM_M} | {name: sum(spacing_m[:n]) for n, name in enumerate(signals)}
    places["e"] = places[signals[-1]] + ARM_M
    nodes = {name: (x, 0.0) for name, x in places.items()}
    roads: dict[tuple[str, str], Road] = {}

    def street(a: str, b: str, lanes: int) -> None:
        roads[a, b], roads[b, a] = Road(f"{a}_{b}", a, b, lanes), Road(f"{b}_{a}", b, a, lanes)

    main = ["w", *signals, "e"]
    for a, b in itertools.pairwise(main):
        street(a, b, 3)
    arms: dict[str, dict[str, tuple[Road, Road]]] = {}
    for n, name in enumerate(signals, start=1):
        for side, y in (("n", 250.0), ("s", -250.0)):
            nodes[f"{side}{n}"] = (places[name], y)
            street(f"{side}{n}", name, 1)
        beside = {"n": f"n{n}", "e": main[n + 1], "s": f"s{n}", "w": main[n - 1]}
        arms[name] = {arm: (roads[other, name], roads[name, other]) for arm, other in beside.items()}
    return Layout(nodes, signals, tuple(roads.values()), arms)


def turn(arm: str, other: str) -> str:
    """How one goes from ``arm`` to ``other``: l, s or r."""
    return {1: "l", 2: "s", 3: "r"}[(ARMS.index(other) - ARMS.index(arm)) % 4]


def plain_nodes(layout: Layout) -> str:
    return _document(
        "nodes",
        (
            f'<node id="{name}" x="{x:.1f}" y="{y:.1f}" '
            f'type="{"traffic_light" if name in layout.signals else "priority"}"/>'
            for name, (x, y) in layout.nodes.items()
        ),
    )


def plain_edges(layout: Layout) -> str:
    return _document(
        "edges",
        (
            f'<edge id="{r.id}" from="{r.start}" to="{r.end}" numLanes="{r.lanes}" speed="{SPEED_M_S}"'
            + (f' sidewalkWidth="{SIDEWALK_M}"/>' if r.sidewalk else "/>")
            for r in layout.roads
        ),
    )


def plain_connections(layout: Layout) -> str:
    """Which lane goes where: the left lane turns left where there are several, the right one also turns right."""
    lines = []
    for arms in layout.arms.values():
        for arm, (road, _) in arms.items():
            for other, (_, away) in arms.items():
                if other != arm:
                    for lane, to in _lanes(turn(arm, other), road.lanes, away.lanes):
                        k = int(road.sidewalk)  # lane 0 is the sidewalk
                        lines.append(
                            f'<connection from="{road.id}" to="{away.id}" fromLane="{lane + k}" toLane="{to + k}"/>'
                        )
            if road.sidewalk:
                lines.append(f'<crossing node="{road.end}" edges="{road.id} {arms[arm][1].id}" priority="1"/>')
    return _document("connections", lines)


def _lanes(direction: str, lanes: int, away: int) -> Iterator[tuple[int, int]]:
    if lanes == 1:
        yield 0, min({"r": 0, "s": 0, "l": away - 1}[direction], away - 1)
    elif direction == "l":
        yield lanes - 1, away - 1
    elif direction == "r":
        yield 0, 0
    else:
        yield from ((lane, min(lane, away - 1)) for lane in range(lanes - 1))


def _document(root: str, lines: Iterator[str] | list[str]) -> str:
    return f"<{root}>\n" + "".join(f"    {line}\n" for line in lines) + f"</{root}>\n"
