"""What fails in a run: detectors of an approach, the line to the node, the node's mind."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wayside.cloud.sim.errors import ControllerError
from wayside.cloud.sim.traffic.board_light import Edge
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.spec import Fault
from wayside.contracts.beat import Ask, BeatPolicy, Head, Known, Loop, Maxima, Request, Shows
from wayside.firmware_bridge.line.messages import EventKind


def channels_of(where: str, intersection: Intersection) -> frozenset[int]:
    """The channels that ``where`` names: ``phase:2``, ``lane:1``, the edge of an approach, or channels by comma.

    Raises:
        ControllerError: it names none of this intersection.
    """
    loops = intersection.loops
    kind, _, number = where.partition(":")
    if kind == "phase" and number.isdecimal():
        named = [p.loop.channel for p in loops if p.loop.phase == int(number)]
    elif kind == "lane" and number.isdecimal():
        named = [p.loop.channel for p in loops if p.loop.lane == int(number)]
    elif all(part.strip().isdecimal() for part in where.split(",")):
        wanted = {int(part) for part in where.split(",")}
        named = [p.loop.channel for p in loops if p.loop.channel in wanted]
    else:
        edge = {p.loop.lane for p in loops if p.lane.rpartition("_")[0] == where and p.loop.function == "stop_line"}
        named = [p.loop.channel for p in loops if p.loop.lane in edge]
    if not named:
        edges = sorted({p.lane.rpartition("_")[0] for p in loops if p.loop.function == "stop_line"})
        raise ControllerError(
            f"{where!r} names no detector of {intersection.light}: phase:N, lane:N, channels by comma, or an approach: "
            f"{', '.join(edges)}"
        )
    return frozenset(named)


class BrokenLoops:
    """Changes what the loops of one intersection say."""

    def __init__(self, faults: Sequence[Fault], intersection: Intersection) -> None:
        self._faults = [
            (fault, channels_of(fault.where, intersection)) for fault in faults if fault.kind in ("dead", "stuck")
        ]
        self._forced: dict[int, int] = {}
        self._swaps = [(fault, _pair(fault.where, intersection)) for fault in faults if fault.kind == "swapped"]

    def change(self, edges: Sequence[Edge], second: int) -> Sequence[Edge]:
        wires = {one: other for fault, pair in self._swaps if fault.holds(second) for one, other in pair.items()}
        if wires:
            edges = [e._replace(channel=wires.get(e.channel, e.channel)) if _of_loop(e) else e for e in edges]
        if not self._faults:
            return edges
        forced = {c: int(f.kind == "stuck") for f, channels in self._faults if f.holds(second) for c in channels}
        begun = [Edge(second * 1000, c, value) for c, value in forced.items() if self._forced.get(c) != value]
        self._forced = forced
        return [edge for edge in edges if not (_of_loop(edge) and edge.channel in forced)] + begun


def _of_loop(edge: Edge) -> bool:
    return edge.kind == EventKind.DETECTOR


def _pair(where: str, intersection: Intersection) -> Mapping[int, int]:
    """Raises: ControllerError."""
    channels = sorted(channels_of(where, intersection))
    if len(channels) != 2:
        raise ControllerError(f"{where!r} names {len(channels)} detectors: two are swapped, as in 3,7")
    return {channels[0]: channels[1], channels[1]: channels[0]}


class Lies:
    """A beat policy that asks for anything, as often as it is asked: what a node at its worst could say."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (a run is to be repeated)

    def begin(self, settings: Any, limits: Any) -> Any:
        return limits

    def step(
        self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known, memory: Any
    ) -> Sequence[Request | Maxima]:
        chance, phases = self._random, list(memory.phases)
        asked: list[Request | Maxima] = [
            Request(chance.choice(list(Ask)), chance.choice(phases).phase) for _ in range(chance.randrange(1, 5))
        ]
        if chance.random() < 0.1:
            asked.append(Maxima({p.phase: chance.choice((p.min_green_s, p.max_green_s)) for p in phases}))
        return asked


class Harm:
    """A beat policy at the guard's edge: it holds the empty, ends the full and passes over who waits."""

    def begin(self, settings: Any, limits: Any) -> Any:
        return limits

    def step(
        self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known, memory: Any
    ) -> Sequence[Request | Maxima]:
        full = {each.phase for each in memory.loops if each.function == "stop_line" and loops[each.channel].occupied}
        asked = []
        for phase, head in heads.items():
            if head.shows is Shows.GREEN:
                ask = Ask.FORCE_OFF if phase in full else Ask.HOLD
            else:
                ask = Ask.OMIT if phase in full else Ask.CALL
            asked.append(Request(ask, phase))
        return asked


def policy_of(kinds: Collection[str], seed: int) -> BeatPolicy | None:
    """What a node with faults of these kinds has in the place of its policy; None: its own."""
    if "harmful" in kinds:
        return Harm()
    return Lies(seed) if "lying" in kinds or "wild" in kinds else None
