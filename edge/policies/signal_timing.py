"""Green times by demand: longer where traffic is forecast, shorter where not.

Webster's rule of equal degrees of saturation: the effective green of a cycle is shared in proportion to the phases'
flow ratios ``y = v / s`` (F. V. Webster, *Traffic Signal Settings*, Road Research Technical Paper 39, 1958; HCM 7th
ed., ch. 19). The cycle length is given. The policy does not know the legal limits: refusing is the guard's work.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.node_config import SignalConfig

MIN_FLOW_RATIO = 0.01  # an empty approach still gets a share; dividing by nothing gives nothing


def propose(flows: Mapping[int, float], signal: SignalConfig) -> dict[int, float]:
    """Green seconds by phase, in tenths, filling each ring's cycle.

    Args:
        flows: forecast flow by phase, vehicles per hour and lane. A phase without detectors is not in it and keeps
            its fixed green.
    """
    greens: dict[int, float] = {}
    for ring in {p.ring for p in signal.phases}:
        members = [p for p in signal.phases if p.ring == ring]
        free = signal.cycle_s - sum(p.yellow_s + p.red_clearance_s for p in members)
        free -= sum(p.green_s for p in members if p.phase not in flows)
        ratios = {
            p.phase: max(MIN_FLOW_RATIO, flows[p.phase] / signal.saturation_flow_veh_h)
            for p in members
            if p.phase in flows
        }
        total = sum(ratios.values())
        for phase, ratio in ratios.items():
            greens[phase] = free * ratio / total
        greens.update({p.phase: p.green_s for p in members if p.phase not in flows})
    return _tenths(greens, signal)


def toward_fixed(proposal: Mapping[int, float], signal: SignalConfig) -> dict[int, float]:
    """Halfway between ``proposal`` and the fixed plan: what is asked for after a refusal."""
    return _tenths({p.phase: (proposal[p.phase] + p.green_s) / 2 for p in signal.phases}, signal)


def _tenths(greens: dict[int, float], signal: SignalConfig) -> dict[int, float]:
    """Round to the board's tenths; what rounding leaves over goes to the ring's longest green."""
    rounded = {phase: round(green, 1) for phase, green in greens.items()}
    for ring in {p.ring for p in signal.phases}:
        members = [p.phase for p in signal.phases if p.ring == ring]
        longest = max(members, key=lambda phase: rounded[phase])
        left = sum(greens[m] for m in members) - sum(rounded[m] for m in members)
        rounded[longest] = round(rounded[longest] + left, 1)
    return rounded
