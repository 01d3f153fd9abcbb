"""May this set-point be written? Range, pace, running and what lies behind it. Each rule is a line of :func:`check`.

Going back to the safe value is never asked here: it needs no permission.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from wayside.contracts.action import Setpoint
from wayside.contracts.actuator_config import SetpointConfig
from wayside.edge.guard.pace import SPARE_S
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
    runs, ran = limits.runs_at(value), limits.runs_at(now)
    if runs:
        reasons += _may_run(limits, situation, begins=not ran)
    if runs is not ran:
        pace += _may_turn(limits, situation, begins=runs)
    if not runs:
        pace += _may_rest(limits, situation, ends=ran)
    return Verdict((*reasons, *pace), pace_only=bool(pace) and not reasons)


def _may_run(limits: SetpointConfig, situation: Situation, *, begins: bool) -> Iterator[str]:
    """No longer than it may within a day, and a start leaves time for the shortest run."""
    if limits.max_run_s is None:
        return
    needs_s = limits.min_on_s if begins else 0.0
    if situation.run_s >= limits.max_run_s or situation.run_s + needs_s > limits.max_run_s:
        yield f"has run for {situation.run_s:.0f} s within a day, at most {limits.max_run_s:.0f} s"


def _may_turn(limits: SetpointConfig, situation: Situation, *, begins: bool) -> Iterator[str]:
    """A load that began or ceased to run goes on doing so for a while."""
    least_s = limits.min_off_s if begins else limits.min_on_s
    if situation.turned_s is not None and situation.turned_s < least_s:
        does, has = ("runs again", "rest") if begins else ("stops", "run")
        yield f"{does} after {situation.turned_s:.0f} s, has to {has} for {least_s:.0f} s"


def _may_rest(limits: SetpointConfig, situation: Situation, *, ends: bool) -> Iterator[str]:
    """What rests now can still meet its deadline, also where it has to rest for a while once it has stopped."""
    if limits.must_run_s is None or situation.running is None:
        return
    missing_s = limits.must_run_s - situation.running.ran_s
    rest_s = limits.min_off_s if ends else 0.0
    if missing_s > 0.0 and situation.running.left_s <= missing_s + rest_s + SPARE_S:
        yield (
            f"has to run for {missing_s:.0f} s more by {limits.by}, {situation.running.left_s:.0f} s are left: "
            "it cannot rest now"
        )
