"""May this signal plan be given to the board? The legal limits of one intersection, nothing learned.

The board's firmware checks again. Each rule is a line of :func:`check`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wayside.contracts.actuator_config import SignalConfig
from wayside.edge.guard.verdict import Verdict

TENTH_S = 0.05  # the board counts in tenths: sums may be off by half of one


def check(
    proposal: Mapping[int, float],
    signal: SignalConfig,
    *,
    last: Mapping[int, float] | None,
    quality_ok: bool,
    clock_known: bool,
) -> Verdict:
    """Judge ``proposal`` (green seconds by phase).

    ``last`` are the greens in force, ``quality_ok`` says that the readings behind the forecast may be believed,
    ``clock_known`` that the calendar behind it is known. Yellow and red clearance are the configuration's own (their
    contract holds 3–6 s and 0–6 s, MUTCD 4F.17): a proposal cannot shorten them, only fail to leave room for them.
    """
    reasons = []
    if not clock_known:
        reasons.append("the clock is not known: the fixed plan holds")
    if not quality_ok:
        reasons.append("readings behind the forecast are stale or doubtful: the fixed plan holds")
    limits = signal.by_phase
    if limits.keys() != proposal.keys():
        reasons += [f"phase {phase} gets no green" for phase in sorted(limits.keys() - proposal.keys())]
        reasons += [f"phase {phase} is not of this intersection" for phase in sorted(proposal.keys() - limits.keys())]
    rings: dict[int, list[float]] = {}  # the seconds of each member
    for phase, limit in limits.items():
        green = proposal.get(phase)
        rings.setdefault(limit.ring, []).append((green or 0.0) + limit.yellow_s + limit.red_clearance_s)
        if green is None:
            continue
        if not math.isfinite(green):
            reasons.append(f"phase {phase}: green is not a number")
            continue
        if green < limit.min_green_s:
            reasons.append(f"phase {phase}: green {green:.1f} s is under the minimum {limit.min_green_s:.1f} s")
        if green > limit.max_green_s:
            reasons.append(f"phase {phase}: green {green:.1f} s is over the maximum {limit.max_green_s:.1f} s")
        before = last.get(phase) if last else None
        if before is not None and abs(green - before) > signal.max_change_s + 1e-9:
            reasons.append(
                f"phase {phase}: green changes by {abs(green - before):.1f} s, over {signal.max_change_s:.1f} s at once"
            )
    for ring, members in sorted(rings.items()):
        total = sum(members)
        if not abs(total - signal.cycle_s) <= TENTH_S * len(members):  # so that NaN is refused
            reasons.append(f"ring {ring} sums to {total:.1f} s, the cycle is {signal.cycle_s:.1f} s")
    return Verdict(tuple(reasons))
