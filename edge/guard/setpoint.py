"""May this set-point be written? Range, pace and what lies behind it. Each rule is a line of :func:`check`.

Going back to the safe value is never asked here: it needs no permission.
"""

from __future__ import annotations

import math

from wayside.contracts.action import Setpoint
from wayside.contracts.actuator_config import SetpointConfig
from wayside.edge.guard.verdict import Situation, Verdict


def check(proposal: Setpoint, limits: SetpointConfig, situation: Situation) -> Verdict:
    """Judge ``proposal``; one that equals what is in force is not a change and has no pace."""
    value, unit = proposal.value, "" if limits.unit == "1" else f" {limits.unit}"
    if not math.isfinite(value):
        return Verdict(("the value is not a number",))
    reasons = []
    if limits.needs_clock and not situation.clock_known:
        reasons.append(f"the clock is not known: the safe value {limits.safe:g}{unit} holds")
    if not (situation.fresh and situation.answered):
        reasons.append(f"readings behind the answer are stale or doubtful: the safe value {limits.safe:g}{unit} holds")
    if not limits.low <= value <= limits.high:
        reasons.append(f"{value:g}{unit} is outside {limits.low:g} to {limits.high:g}{unit}")
    elif not limits.target.holds(value):
        reasons.append(f"{value:g}{unit} cannot be written to a {limits.target.what}")
    pace = []
    now = situation.in_force.value if isinstance(situation.in_force, Setpoint) else limits.safe
    if value != now:
        if limits.max_change is not None and abs(value - now) > limits.max_change * (1 + 1e-9):
            pace.append(f"changes by {abs(value - now):g}{unit}, over {limits.max_change:g}{unit} at once")
        if situation.held_s is not None and situation.held_s < limits.min_hold_s:
            pace.append(f"changes after {situation.held_s:.0f} s, has to stay for {limits.min_hold_s:.0f} s")
        if limits.max_changes_per_day is not None and situation.changes >= limits.max_changes_per_day:
            pace.append(f"changed {situation.changes} times in a day, at most {limits.max_changes_per_day}")
    return Verdict((*reasons, *pace), pace_only=bool(pace) and not reasons)
