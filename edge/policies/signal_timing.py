"""Green times by demand: longer where traffic is forecast, shorter where not.

Webster's rule of equal degrees of saturation: the effective green of a cycle is shared in proportion to the phases'
flow ratios ``y = v / s`` (F. V. Webster, *Traffic Signal Settings*, Road Research Technical Paper 39, 1958; HCM 7th
ed., ch. 19). The cycle length is given. The policy does not know the legal limits: refusing is the guard's work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from wayside.contracts.actuator_config import PhaseLimits, SignalConfig

MIN_FLOW_RATIO = 0.01  # an empty approach still gets a share; dividing by nothing gives nothing


def propose(
    flows: Mapping[int, float], signal: SignalConfig, saturation_flow_veh_h: float = 1800.0
) -> dict[int, float]:
    """Green seconds by phase, in tenths, filling each ring's cycle.

    Args:
        flows: forecast flow by phase, vehicles per hour and lane. A phase without detectors is not in it and keeps
            its fixed green.
        saturation_flow_veh_h: of one lane; HCM default 1900 less 5 %.
    """
    greens: dict[int, float] = {}
    rings = _rings(signal)
    for members in rings:
        free = signal.cycle_s
        ratios: dict[int, float] = {}
        for p in members:
            free -= p.yellow_s + p.red_clearance_s
            flow = flows.get(p.phase)
            if flow is None:
                free -= p.green_s
                greens[p.phase] = p.green_s
            else:
                ratios[p.phase] = max(MIN_FLOW_RATIO, flow / saturation_flow_veh_h)
        total = sum(ratios.values())
        for phase, ratio in ratios.items():
            greens[phase] = free * ratio / total
    return _tenths(greens, rings)


def toward_fixed(proposal: Mapping[int, float], signal: SignalConfig) -> dict[int, float]:
    """Halfway between ``proposal`` and the fixed plan: what is asked for after a refusal."""
    return _tenths({p.phase: (proposal[p.phase] + p.green_s) / 2 for p in signal.phases}, _rings(signal))


def _tenths(greens: dict[int, float], rings: Iterable[Sequence[PhaseLimits]]) -> dict[int, float]:
    """Round to the board's tenths; what rounding leaves over goes to the ring's longest green."""
    rounded = {phase: round(green, 1) for phase, green in greens.items()}
    for members in rings:
        left, longest = 0.0, members[0].phase
        for p in members:
            left += greens[p.phase] - rounded[p.phase]
            if rounded[p.phase] > rounded[longest]:
                longest = p.phase
        rounded[longest] = round(rounded[longest] + left, 1)
    return rounded


def _rings(signal: SignalConfig) -> Collection[Sequence[PhaseLimits]]:
    rings: dict[int, list[PhaseLimits]] = {}
    for phase in signal.phases:
        rings.setdefault(phase.ring, []).append(phase)
    return rings.values()
