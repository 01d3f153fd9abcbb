"""A SUMO net as a signal sees it: links, lanes, what crosses what, and the program of each traffic light.

Read from ``.net.xml`` or ``.net.xml.gz`` with the standard library, so that an intersection can be configured where
SUMO itself is not installed. Format: https://sumo.dlr.de/docs/Networks/SUMO_Road_Networks.html, states of links:
https://sumo.dlr.de/docs/Simulation/Traffic_Lights.html: ``G`` goes, ``g`` goes and yields, ``y``, ``r``.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from wayside.cloud.sim.errors import NetError
from wayside.text import read_file

GOES = "Gg"
MAX_NET_BYTES = 512 << 20
MOTOR = frozenset({"passenger", "bus", "truck", "delivery", "private", "taxi", "motorcycle", "coach", "emergency"})


@dataclass(frozen=True)
class Lane:
    id: str
    length_m: float
    speed_m_s: float
    motor: bool
    """cars may drive on it"""
    width_m: float = 3.2

    @property
    def edge(self) -> str:
        return self.id.rpartition("_")[0]


@dataclass(frozen=True)
class Way:
    """From one lane to the next."""

    lane: str
    to: str
    inside_m: float
    """that the junction between them adds"""
    direction: str
    tls: str | None = None


@dataclass(frozen=True)
class Link:
    """A movement that a traffic light controls, or a pedestrian crossing."""

    index: int
    lane: str
    to: str
    direction: str
    """s, l, r, t, L, R as in SUMO; p: a pedestrian crossing"""
    foes: frozenset[int] = frozenset()
    """indices of the links that it crosses or merges with"""
    length_m: float = 0.0
    """of a crossing"""
    edges: tuple[str, ...] = ()
    """that a crossing leads over"""

    @property
    def is_crossing(self) -> bool:
        return self.direction == "p"


@dataclass(frozen=True)
class Stage:
    """A line of a program (SUMO calls it a phase)."""

    duration_s: float
    state: str
    name: str = ""
    red_s: float = 0.0
    """of a NEMA phase: the red clearance after it"""


@dataclass(frozen=True)
class Light:
    """A traffic light of a net."""

    id: str
    kind: str
    """static, actuated, delay_based or NEMA"""
    offset_s: float
    stages: tuple[Stage, ...]
    params: Mapping[str, str]
    links: tuple[Link, ...]
    """by index, with as many as a state has letters"""


@dataclass(frozen=True)
class Net:
    path: Path
    lanes: Mapping[str, Lane]
    ways_into: Mapping[str, Sequence[Way]]
    lights: Mapping[str, Light]

    def light(self, tls: str) -> Light:
        """Raises: NetError: there is none of that id."""
        if tls not in self.lights:
            there = ", ".join(sorted(self.lights)) or "it has none"
            raise NetError(f"{self.path} has no traffic light {tls!r}; choose with --tls: {there}")
        return self.lights[tls]


def read_net(path: Path) -> Net:
    """Raises: NetError: no such file, or it is no SUMO net; the message names it."""
    try:
        raw = read_file(path, MAX_NET_BYTES)
        # Expat itself refuses entities that grow without bound (2.4.1), and a net has none.
        root = ElementTree.fromstring(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)  # noqa: S314
        if root.tag != "net":
            raise NetError(f"{path} is <{root.tag}>, not a SUMO <net>: give the .net.xml that netconvert wrote")
        lanes = _lanes(root)
        return Net(path, lanes, _ways(root, lanes), _lights(root, lanes))
    except OSError as exc:
        raise NetError(f"cannot read the net {path}: {exc}") from exc
    except (ElementTree.ParseError, EOFError, zlib.error, KeyError, ValueError, IndexError) as exc:
        if isinstance(exc, NetError):
            raise
        raise NetError(f"{path} is no SUMO net ({exc!r}): write it anew with netconvert 1.9 or later") from exc


def _lanes(root: ElementTree.Element) -> dict[str, Lane]:
    return {
        lane.attrib["id"]: Lane(
            lane.attrib["id"],
            float(lane.attrib["length"]),
            float(lane.attrib["speed"]),
            edge.get("function") in (None, "normal", "internal") and _motor(lane.get("allow"), lane.get("disallow")),
            float(lane.get("width", 3.2)),
        )
        for edge in root.iter("edge")
        for lane in edge.iter("lane")
    }


def _motor(allow: str | None, disallow: str | None) -> bool:
    if allow is not None:
        return allow == "all" or bool(MOTOR & set(allow.split()))
    return not (disallow is not None and (disallow == "all" or set(disallow.split()) >= MOTOR))


def _ends(connection: ElementTree.Element) -> tuple[str, str]:
    a = connection.attrib
    return f"{a['from']}_{a['fromLane']}", f"{a['to']}_{a['toLane']}"


def _ways(root: ElementTree.Element, lanes: Mapping[str, Lane]) -> dict[str, list[Way]]:
    inside = {
        c.get("via", ""): _ends(c)[0] for c in root.iter("connection") if c.attrib["from"].startswith(":")
    }  # an inner lane that is continued by another one
    ways: dict[str, list[Way]] = {}
    for c in root.iter("connection"):
        lane, to = _ends(c)
        if lane.startswith(":") or not (lanes[lane].motor and lanes[to].motor):
            continue
        via, length = c.get("via"), 0.0
        while via is not None and via in lanes:
            length += lanes[via].length_m
            via = next((onward for onward, before in inside.items() if before == via and onward), None)
        ways.setdefault(to, []).append(Way(lane, to, length, c.get("dir", "s"), c.get("tl")))
    return ways


def _lights(root: ElementTree.Element, lanes: Mapping[str, Lane]) -> dict[str, Light]:
    places = _request_places(root)
    by_tls: dict[str, dict[int, ElementTree.Element]] = {}
    for c in root.iter("connection"):
        if (tls := c.get("tl")) is not None and "linkIndex" in c.attrib:
            by_tls.setdefault(tls, {}).setdefault(int(c.attrib["linkIndex"]), c)
    lights: dict[str, Light] = {}
    for program in root.iter("tlLogic"):
        tls = program.attrib["id"]
        connections = by_tls.get(tls, {})
        at = {places[_key(c)]: index for index, c in connections.items() if _key(c) in places}
        foes = _foes(root, at)
        links = tuple(
            _link(index, connections[index], frozenset(foes.get(index, ())), root, lanes)
            for index in sorted(connections)
        )
        stages = tuple(
            Stage(float(p.attrib["duration"]), p.attrib["state"], p.get("name", ""), float(p.get("red", 0)))
            for p in program.iter("phase")
        )
        params = {p.attrib["key"]: p.attrib["value"] for p in program.iter("param")}
        # Of several programs of one light the first one in the file is in force.
        lights.setdefault(
            tls, Light(tls, program.get("type", "static"), float(program.get("offset", 0)), stages, params, links)
        )
    return lights


def _key(connection: ElementTree.Element) -> tuple[str, str]:
    lane, to = _ends(connection)
    return (lane, to) if not connection.attrib["to"].startswith(":") else ("", connection.attrib["to"])


def _request_places(root: ElementTree.Element) -> dict[tuple[str, str], tuple[str, int]]:
    """Junction and row of its request matrix, by lanes of a connection; of a crossing by its edge."""
    leaving: dict[str, list[ElementTree.Element]] = {}
    for c in root.iter("connection"):
        leaving.setdefault(_ends(c)[0], []).append(c)
    places: dict[tuple[str, str], tuple[str, int]] = {}
    for junction in root.iter("junction"):
        if junction.get("type") == "internal":
            continue
        row = 0
        for lane in junction.get("incLanes", "").split():
            if lane.startswith(":"):
                continue
            for c in leaving.get(lane, ()):
                if not c.attrib["to"].startswith(":"):
                    places[_key(c)] = (junction.attrib["id"], row)
                    row += 1
        of_junction = re.compile(re.escape(f":{junction.attrib['id']}_c") + r"\d+$")
        crossings = [e.attrib["id"] for e in root.iter("edge") if of_junction.match(e.attrib["id"])]
        for crossing in sorted(crossings, key=lambda c: int(c.rpartition("_c")[2])):
            places["", crossing] = (junction.attrib["id"], row)
            row += 1
    return places


def _foes(root: ElementTree.Element, at: Mapping[tuple[str, int], int]) -> dict[int, set[int]]:
    foes: dict[int, set[int]] = {}
    for junction in root.iter("junction"):
        for request in junction.iter("request"):
            index = at.get((junction.attrib["id"], int(request.attrib["index"])))
            if index is None:
                continue
            for row, letter in enumerate(reversed(request.attrib["foes"])):  # the last letter is row 0
                other = at.get((junction.attrib["id"], row))
                if letter == "1" and other is not None and other != index:
                    foes.setdefault(index, set()).add(other)
                    foes.setdefault(other, set()).add(index)
    return foes


def _link(
    index: int, c: ElementTree.Element, foes: frozenset[int], root: ElementTree.Element, lanes: Mapping[str, Lane]
) -> Link:
    lane, to = _ends(c)
    if not c.attrib["to"].startswith(":"):
        return Link(index, lane, to, c.get("dir", "s"), foes)
    edge = next(e for e in root.iter("edge") if e.attrib["id"] == c.attrib["to"])
    return Link(index, lane, to, "p", foes, lanes[to].length_m, tuple(edge.get("crossingEdges", "").split()))


def motor_links(light: Light, net: Net) -> Iterable[Link]:
    """The links on which cars drive."""
    return (link for link in light.links if not link.is_crossing and net.lanes[link.lane].motor)
