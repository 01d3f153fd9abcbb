"""What is wrong, or doubtful, in the configuration of an intersection, by the net's own geometry.

A wrongly mapped detector doubles the delay and nothing else tells it: so what can be known before the street knows it
is told here. An *error* is dangerous or makes the signal useless; a *warning* is for an engineer to decide.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.nets import Light, Link, Net, motor_links
from wayside.firmware_bridge.signal_plan import Phase

WALKING_M_S = 1.2
WALK_S = 4.0
BLOCKED_S = 20.0  # who stands so long at the line of a shared lane may be called a left turn that finds no gap
# Yellow by speed limit: RiLSA 2015, 2.4; the FHWA's kinematic formula is within 0.4 s of it.
YELLOW_S = ((50.0, 3.0), (60.0, 4.0), (math.inf, 5.0))
SLACK_KM_H = 1.0


class Finding(NamedTuple):
    severity: Literal["error", "warning"]
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.what}; {self.remedy}"


def lint(net: Net, intersection: Intersection) -> Sequence[Finding]:
    """Errors first."""
    light = net.light(intersection.light)
    every = [
        *_detectors(net, light, intersection),
        *_phases_without_callers(intersection),
        *_undetected_lanes(net, light, intersection),
        *_conflicts(intersection, light),
        *_same_links(intersection),
        *_times(intersection),
        *_pedestrians(light, intersection),
        *_yellows(net, light, intersection),
    ]
    return sorted(every, key=lambda finding: finding.severity)


def _detectors(net: Net, light: Light, x: Intersection) -> Iterator[Finding]:
    """Each detector against the movements of the lane that it lies on."""
    links = _links_of_lanes(net, light, x)
    direction = {k.index: k.direction.lower() for k in light.links}
    for p in x.plan.phases:
        lamps = x.phases.get(p.phase, {})
        for channel in p.detectors:
            where = f"channel {channel}"
            if channel not in links:
                remedy = "place it in loops, or strike it from detectors"
                yield Finding("error", where, f"phase {p.phase} is called by it and it lies nowhere", remedy)
                continue
            own = links[channel]
            served = own & set(lamps)
            if not served:
                remedy = "call a phase that is green for them"
                yield Finding(
                    "error", where, f"calls phase {p.phase}, in which none of its lane's movements goes", remedy
                )
            elif served < own and {direction[k] for k in served} <= {"l", "t"} and p.call_delay_s < BLOCKED_S:
                what = f"its lane is shared by left and other traffic, and it calls phase {p.phase}, the protected left"
                remedy = "call the phase of the through movement; the left would be served for every car that goes on"
                yield Finding("error", where, what, remedy)


def _links_of_lanes(net: Net, light: Light, x: Intersection) -> Mapping[int, set[int]]:
    """By channel the links of the lane at the signal to which the loop belongs."""
    lanes: dict[str, set[int]] = {}
    for link in motor_links(light, net):
        lanes.setdefault(link.lane, set()).add(link.index)
    at_signal = {p.loop.lane: p.lane for p in x.loops if p.lane in lanes}
    return {p.loop.channel: lanes[at_signal[p.loop.lane]] for p in x.loops if p.loop.lane in at_signal}


def _phases_without_callers(x: Intersection) -> Iterator[Finding]:
    for p in x.plan.phases:
        if p.detectors or p.ped_input or p.ped_recall or p.recall in ("minimum", "maximum"):
            continue
        elsewhere = {link for phase, lamps in x.phases.items() if phase != p.phase for link in lamps}
        where = f"phase {p.phase}"
        if set(x.phases.get(p.phase, {})) - elsewhere:
            remedy = 'give it detectors, or recall = "minimum"'
            yield Finding("error", where, "nothing calls it, and it serves what no other phase serves", remedy)
        else:
            remedy = "give its movements a lane and detectors of their own, or leave the phase out"
            yield Finding(
                "warning", where, "no detector calls it; all that it serves also goes in other phases", remedy
            )


def _undetected_lanes(net: Net, light: Light, x: Intersection) -> Iterator[Finding]:
    lying = {p.lane for p in x.loops}
    shown = {link for lamps in x.phases.values() for link in lamps}
    lanes = {link.lane: link.index for link in motor_links(light, net)}
    for lane in sorted(lanes):
        if lane not in lying and any(k.index in shown for k in light.links if k.lane == lane):
            yield Finding("error", f"lane {lane}", "no loop lies on it", "place one 3 m before its stop line")


def _conflicts(x: Intersection, light: Light) -> Iterator[Finding]:
    """Protected greens that cross, in one phase or in two that the plan lets run together."""
    rings = {p.phase: p.ring for p in x.plan.phases}
    apart = {frozenset((p.phase, other)) for p in x.plan.phases for other in p.conflicts}
    crossings = {c.phase: dict.fromkeys(c.links, "G") for c in x.crossings}
    shown = {phase: dict(lamps) | crossings.get(phase, {}) for phase, lamps in x.phases.items() if phase in rings}
    foes = {k.index: k.foes for k in light.links}
    for (a, first), (b, second) in itertools.combinations_with_replacement(sorted(shown.items()), 2):
        together = a == b or not (rings[a] == rings[b] or frozenset((a, b)) in apart)
        if together and (crossed := _crossed(first, second, foes)):
            where = f"phase {a}" if a == b else f"phases {a} and {b}"
            what = f"links {crossed[0]} and {crossed[1]} both have protected green, and they cross"
            remedy = "let one of them yield (g)" if a == b else f"add conflicts = [{b}] to phase {a}"
            yield Finding("error", where, what, remedy)
    for overlap in x.plan.overlaps:
        lamps = x.overlaps.get(overlap.number, {})
        for phase, others in shown.items():
            if phase in overlap.parents or all(
                rings[parent] == rings[phase] or frozenset((parent, phase)) in apart for parent in overlap.parents
            ):
                continue
            if crossed := _crossed(lamps, others, foes):
                what = f"its link {crossed[0]} crosses link {crossed[1]} of phase {phase}"
                remedy = f"all its parents conflict with phase {phase}, or it shows g"
                yield Finding("error", f"overlap {overlap.number}", what, remedy)


def _crossed(a: Mapping[int, str], b: Mapping[int, str], foes: Mapping[int, frozenset[int]]) -> tuple[int, int] | None:
    return next(
        ((k, m) for k in sorted(a) for m in sorted(b) if a[k] == b[m] == "G" and m in foes.get(k, frozenset())), None
    )


def _same_links(x: Intersection) -> Iterator[Finding]:
    phases = sorted(x.phases)
    for n, a in enumerate(phases):
        for b in phases[n + 1 :]:
            if x.phases[a] and x.phases[a] == x.phases[b]:
                remedy = f"leave phase {b} out: its turn only costs a yellow"
                yield Finding("error", f"phases {a} and {b}", "show the same links the same green", remedy)


def _times(x: Intersection) -> Iterator[Finding]:
    limits = x.signal.by_phase
    for p in x.plan.phases:
        where = f"phase {p.phase}"
        if not p.min_green_s <= p.green_s <= p.max_green_s:
            what = f"minimum {p.min_green_s:g} s, green {p.green_s:g} s and maximum {p.max_green_s:g} s are in no order"
            yield Finding("error", where, what, "minimum <= green <= maximum")
        if not p.min_green_s <= p.most_s <= p.max_green_s:
            what = f"max_1_s is {p.most_s:g} s, outside its minimum and maximum"
            yield Finding("error", where, what, "min_green_s <= max_1_s <= max_green_s")
        if p.phase not in limits:
            yield Finding("error", where, "the node knows no such phase", "add it to the phases of [[actuators]]")
        elif differing := [name for name in _TIMES if getattr(limits[p.phase], name) != getattr(p, name)]:
            remedy = "write the same into the plan and into [[actuators]]"
            yield Finding("error", where, f"board and node differ in {', '.join(differing)}", remedy)
        if p.passage_s is not None and p.detectors and not 1.0 <= p.passage_s <= 5.0:
            what = f"passage {p.passage_s:g} s"
            yield Finding("warning", where, what, "1 to 5 s are usual: shorter ends queues, longer waits for nobody")


_TIMES = (
    "green_s", "min_green_s", "max_green_s", "yellow_s", "red_clearance_s", "walk_s", "ped_clearance_s"
)  # fmt: skip


def _pedestrians(light: Light, x: Intersection) -> Iterator[Finding]:
    by_index: Mapping[int, Link] = {k.index: k for k in light.links}
    plans: Mapping[int, Phase] = {p.phase: p for p in x.plan.phases}
    for crossing in x.crossings:
        p = plans.get(crossing.phase)
        where = f"phase {crossing.phase}"
        if p is None:
            yield Finding("error", where, "has a crossing and is not in the plan", "add it, or strike the crossing")
            continue
        length_m = max((by_index[link].length_m for link in crossing.links), default=0.0)
        needed_s = length_m / WALKING_M_S
        if p.ped_clearance_s + 1e-6 < needed_s:
            what = f"pedestrian clearance {p.ped_clearance_s:g} s for a crossing of {length_m:.1f} m"
            yield Finding("error", where, what, f"at {WALKING_M_S} m/s it takes {math.ceil(needed_s * 10) / 10:g} s")
        if p.walk_s < WALK_S:
            yield Finding("error", where, f"walk {p.walk_s:g} s", f"at least {WALK_S:g} s (MUTCD 4I.06)")
        if p.walk_s + p.ped_clearance_s > p.max_green_s:
            what = f"walk and clearance take {p.walk_s + p.ped_clearance_s:g} s of a maximum of {p.max_green_s:g} s"
            yield Finding("error", where, what, "make the maximum longer")
        if not p.ped_input and not p.ped_recall:
            remedy = "give it ped_input, or ped_recall = true"
            yield Finding("error", where, "nobody can call its crossing", remedy)


def _yellows(net: Net, light: Light, x: Intersection) -> Iterator[Finding]:
    speeds: dict[int, float] = {link.index: net.lanes[link.lane].speed_m_s * 3.6 for link in motor_links(light, net)}
    for p in x.plan.phases:
        fastest = max((speeds[link] for link in x.phases.get(p.phase, {}) if link in speeds), default=0.0)
        needed_s = next(s for limit, s in YELLOW_S if fastest <= limit + SLACK_KM_H)
        if p.yellow_s < needed_s:
            what = f"yellow {p.yellow_s:g} s where {fastest:.0f} km/h are allowed"
            yield Finding("warning", f"phase {p.phase}", what, f"{needed_s:g} s are usual")
