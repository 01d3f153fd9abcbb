"""From a net to what its intersection is told: the node's limits, the board's plan, and the map of links and loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wayside.cloud.sim.traffic import detection
from wayside.cloud.sim.traffic.intersection import Crossing, Intersection, Lamps
from wayside.cloud.sim.traffic.nets import Light, Net
from wayside.cloud.sim.traffic.rows import Row, rows_of
from wayside.cloud.sim.traffic.timing import RULE, TimingRule
from wayside.contracts.actuator_config import PhaseLimits, SignalConfig
from wayside.firmware_bridge.signal_plan import Detectors, Overlap, Phase, SignalPlan

FIRST_BUTTON = 1  # inputs of push buttons are counted by themselves


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
    limits = tuple(_limits(light, row, rows, rule) for row in rows)
    signal = SignalConfig(
        name="signal", cycle_s=_cycle(limits), phases=limits, loops=tuple(p.loop for p in placed),
        longest_red_s=_longest_red(limits),
    )  # fmt: skip
    return Intersection(
        light=tls, signal=signal, plan=_plan(signal, crossings, rows),
        phases={row.phase: row.lamps for row in rows}, loops=tuple(placed), crossings=crossings,
        overlaps={number: lamps for number, (_, lamps) in overlaps(rows).items()},
        foes={k.index: k.foes for k in light.links},
    )  # fmt: skip


def _limits(light: Light, row: Row, rows: Sequence[Row], rule: TimingRule) -> PhaseLimits:
    crossings = [k for k in light.links if k.index in row.walks]
    walk_s = rule.walk_s if crossings else 0.0
    clearance_s = max((rule.clearance(k.length_m) for k in crossings), default=0.0)
    green_s = max(round(row.green_s, 1), rule.min_green_s)
    return PhaseLimits(
        phase=row.phase, ring=1 if row.ring == 1 else 2, green_s=green_s, min_green_s=rule.min_green_s,
        max_green_s=round(rule.maximum(green_s, walk_s + clearance_s), 1), yellow_s=rule.yellow_s,
        red_clearance_s=round(row.red_s, 1), walk_s=walk_s, ped_clearance_s=clearance_s, passage_s=rule.passage_s,
        conflicts=tuple(o.phase for o in rows if o.ring != row.ring and o.barrier != row.barrier),
    )  # fmt: skip


def _cycle(limits: Sequence[PhaseLimits]) -> float:
    first = limits[0].ring
    return round(sum(p.green_s + p.yellow_s + p.red_clearance_s for p in limits if p.ring == first), 1)


def _longest_red(limits: Sequence[PhaseLimits]) -> float:
    """Every other row of a ring to its maximum, and some seconds to spare for the other ring."""
    rings = {p.ring for p in limits}
    longest = max(
        sum(p.max_green_s + p.yellow_s + p.red_clearance_s for p in limits if p.ring == ring) for ring in rings
    )
    return min(max(round(longest + 10.0), 60.0), 900.0)


def _crossings(light: Light, rows: Sequence[Row]) -> tuple[Crossing, ...]:
    by_index = {k.index: k for k in light.links}
    walked = [row for row in rows if row.walks]
    return tuple(
        Crossing(row.phase, FIRST_BUTTON + n, row.walks, tuple(by_index[i].to.rpartition("_")[0] for i in row.walks))
        for n, row in enumerate(walked)
    )


def overlaps(rows: Sequence[Row]) -> Mapping[int, tuple[tuple[int, ...], Lamps]]:
    """By number: parents and what its links show: links that are green in rows that follow each other."""
    parents: dict[int, tuple[int, ...]] = {}
    for ring in (1, 2):
        ordered = [row for row in rows if row.ring == ring]
        for link in sorted({link for row in ordered for link in row.lamps}):
            green = tuple(row.phase for row in ordered if link in row.lamps)
            if len(green) > 1 and _follow(green, [row.phase for row in ordered]):
                parents[link] = green
    shown = {row.phase: row.lamps for row in rows}

    def weakest(link: int) -> str:
        return "g" if any(shown[phase][link] == "g" for phase in parents[link]) else "G"

    groups = sorted(set(parents.values()))
    return {
        number: (group, {link: weakest(link) for link, its in parents.items() if its == group})
        for number, group in enumerate(groups, start=1)
    }


def _follow(green: Sequence[int], order: Sequence[int]) -> bool:
    """Whether some of ``green`` follow each other in the ring."""
    return any(order[i] in green and order[(i + 1) % len(order)] in green for i in range(len(order)))


def _plan(signal: SignalConfig, crossings: Sequence[Crossing], rows: Sequence[Row]) -> SignalPlan:
    buttons = {c.phase: c.button for c in crossings}
    calling: dict[int, list[int]] = {}
    for loop in signal.loops:
        if loop.function != "advance":  # who is 120 m away would hold a green for nobody
            calling.setdefault(loop.phase, []).append(loop.channel)
    plan = SignalPlan(
        phases=[_phase(p, buttons.get(p.phase, 0), calling.get(p.phase, [])) for p in signal.phases],
        detectors=Detectors(count=len(signal.loops)),
        actuated=True,
        overlaps=[Overlap(number=number, parents=list(parents)) for number, (parents, _) in overlaps(rows).items()],
    )
    plan.longest_red_s = max(signal.longest_red_s, plan.least_longest_red_s)
    return plan


def _phase(p: PhaseLimits, button: int, calling: list[int]) -> Phase:
    return Phase(
        phase=p.phase, ring=p.ring, green_s=p.green_s, min_green_s=p.min_green_s, max_green_s=p.max_green_s,
        yellow_s=p.yellow_s, red_clearance_s=p.red_clearance_s, walk_s=p.walk_s, ped_clearance_s=p.ped_clearance_s,
        ped_input=button, conflicts=list(p.conflicts), detectors=calling, passage_s=p.passage_s, locking=False,
        recall="none" if calling else "soft",  # who has no detector of its own goes when nobody else is there
    )  # fmt: skip
