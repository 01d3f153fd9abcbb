"""From a net to what its intersection is told: the node's limits, the board's plan, and the map of links and loops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from wayside.cloud.sim.traffic import detection
from wayside.cloud.sim.traffic.intersection import Crossing, Intersection, Lamps
from wayside.cloud.sim.traffic.nets import Light, Net
from wayside.cloud.sim.traffic.rows import Row, rows_of
from wayside.cloud.sim.traffic.timing import RULE, TimingRule
from wayside.contracts.actuator_config import PhaseLimits, SignalConfig
from wayside.firmware_bridge.line.messages import OVERLAPS
from wayside.firmware_bridge.signal_plan import Detectors, Overlap, Phase, SignalPlan

FIRST_BUTTON = 1  # inputs of push buttons are counted by themselves
CALLING = ("stop_line", "middle")  # an advance loop's vehicles are still too far away to be waited for
LEAST_LONGEST_RED_S = 120.0


def configure(net: Net, tls: str, rule: TimingRule = RULE) -> Intersection:
    """Rows are the greens of the net's own program, which also is the fixed plan, with ``rule.yellow_s``.

    Raises:
        NetError: there is no such light, or no board can drive its program.
    """
    light = net.light(tls)
    rows = rows_of(light)
    arrivals = detection.approaches(net, light, rows)
    placed = detection.loops(net, arrivals, rule)
    crossings = _crossings(light, rows)
    limits = tuple(_limits(light, row, rows, arrivals, rule) for row in rows)
    signal = SignalConfig(
        name="signal", cycle_s=_cycle(limits), phases=limits, loops=tuple(p.loop for p in placed)
    )  # fmt: skip
    plan = _plan(signal, crossings, rows, rule)
    # What the board can promise is what the guard holds a policy to.
    longest_red_s = min(max(float(math.ceil(plan.least_longest_red_s)), LEAST_LONGEST_RED_S), 900.0)
    return Intersection(
        light=tls, signal=msgspec.structs.replace(signal, longest_red_s=longest_red_s),
        plan=msgspec.structs.replace(plan, longest_red_s=longest_red_s),
        phases={row.phase: row.lamps for row in rows}, loops=tuple(placed), crossings=crossings,
        overlaps={number: lamps for number, (_, lamps) in overlaps(rows).items()},
        foes={k.index: k.foes for k in light.links},
    )  # fmt: skip


def _limits(
    light: Light, row: Row, rows: Sequence[Row], arrivals: Sequence[detection.Approach], rule: TimingRule
) -> PhaseLimits:
    crossings = [k for k in light.links if k.index in row.walks]
    walk_s = rule.walk_s if crossings else 0.0
    clearance_s = max((rule.clearance(k.length_m) for k in crossings), default=0.0)
    green_s = max(round(row.green_s, 1), rule.min_green_s)
    passage_s = rule.passage(sum(a.phase == row.phase for a in arrivals))
    return PhaseLimits(
        phase=row.phase, ring=1 if row.ring == 1 else 2, green_s=green_s, min_green_s=rule.min_green_s,
        max_green_s=round(rule.maximum(green_s, walk_s + clearance_s), 1), yellow_s=rule.yellow_s,
        red_clearance_s=round(row.red_s, 1), walk_s=walk_s, ped_clearance_s=clearance_s, passage_s=passage_s,
        conflicts=tuple(o.phase for o in rows if o.ring != row.ring and o.barrier != row.barrier),
    )  # fmt: skip


def _cycle(limits: Sequence[PhaseLimits]) -> float:
    first = limits[0].ring
    return round(sum(p.green_s + p.yellow_s + p.red_clearance_s for p in limits if p.ring == first), 1)


def _crossings(light: Light, rows: Sequence[Row]) -> tuple[Crossing, ...]:
    by_index = {k.index: k for k in light.links}
    walked = [row for row in rows if row.walks]
    return tuple(
        Crossing(row.phase, FIRST_BUTTON + n, row.walks, tuple(by_index[i].to.rpartition("_")[0] for i in row.walks))
        for n, row in enumerate(walked)
    )


def overlaps(rows: Sequence[Row]) -> Mapping[int, tuple[tuple[int, ...], Lamps]]:
    """By number: parents, and what its links show: links that are green in several rows, which may follow each other.

    A board has so many; where more are wanted those with the most links stay, the others go yellow between their rows.
    """
    shown = {row.phase: row.lamps for row in rows}
    groups: dict[tuple[int, ...], dict[int, str]] = {}
    for ring in (1, 2):
        for link in sorted({link for row in rows if row.ring == ring for link in row.lamps}):
            parents = tuple(row.phase for row in rows if row.ring == ring and link in row.lamps)
            if len(parents) > 1:
                letters = {shown[phase][link] for phase in parents}
                groups.setdefault(parents, {})[link] = "g" if "g" in letters else "G"
    kept = sorted(groups, key=lambda parents: (-len(groups[parents]), parents))[:OVERLAPS]
    return {number: (parents, groups[parents]) for number, parents in enumerate(kept, start=1)}


def _call_delay(phase: int, rows: Sequence[Row], rule: TimingRule, *, late: bool) -> float:
    if late:
        return rule.blocked_s
    return rule.call_delay_s if _yields_elsewhere(phase, rows) else 0.0


def _yields_elsewhere(phase: int, rows: Sequence[Row]) -> bool:
    """Whether all that a phase serves also goes in others."""
    elsewhere = {link for row in rows if row.phase != phase for link in row.lamps}
    return next(set(row.lamps) <= elsewhere for row in rows if row.phase == phase)


def _plan(signal: SignalConfig, crossings: Sequence[Crossing], rows: Sequence[Row], rule: TimingRule) -> SignalPlan:
    buttons = {c.phase: c.button for c in crossings}
    needed = {row.phase for row, is_needed in detection.uncovered(rows, signal.loops) if is_needed}
    called = {
        p.phase: [each.channel for each in signal.loops if each.phase == p.phase and each.function in CALLING]
        for p in signal.phases
    }
    # A row without a lane of its own: who stands at the line for long is blocked by a left turn that finds no gap.
    blocked = {
        p.phase: [each.channel for each in signal.loops if p.phase in each.also and each.function == "stop_line"]
        for p in signal.phases
        if not called[p.phase] and p.phase not in needed
    }
    return SignalPlan(
        phases=[
            Phase(
                phase=p.phase, ring=p.ring, green_s=p.green_s, min_green_s=p.min_green_s, max_green_s=p.max_green_s,
                yellow_s=p.yellow_s, red_clearance_s=p.red_clearance_s, walk_s=p.walk_s,
                ped_clearance_s=p.ped_clearance_s, ped_input=buttons.get(p.phase, 0), conflicts=list(p.conflicts),
                detectors=called[p.phase] or blocked.get(p.phase, []), passage_s=p.passage_s, locking=False,
                call_delay_s=_call_delay(p.phase, rows, rule, late=p.phase in blocked),
                max_1_s=p.min_green_s if p.phase in blocked else None,
                recall="minimum" if p.phase in needed else "none",
                host_only=p.phase in blocked and not blocked[p.phase],
            )
            for p in signal.phases
        ],
        detectors=Detectors(count=len(signal.loops), chatter=rule.chatter, stuck_s=rule.stuck_s),
        actuated=True,
        overlaps=[Overlap(number=n, parents=list(parents)) for n, (parents, _) in overlaps(rows).items()],
    )  # fmt: skip
