"""May this action be carried out? A pure function of the action, its actuator's limits and the situation.

The guard is the last word on the node. Its rules are by kind of action: a new domain or policy gets none of its own.
"""

from __future__ import annotations

from wayside.contracts.action import Action, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.edge.guard import notice, setpoint, signal
from wayside.edge.guard.verdict import Situation, Verdict


def check(action: Action, limits: ActuatorConfig, situation: Situation) -> Verdict:
    """Judge ``action``. One that is not of its actuator's kind is refused."""
    if isinstance(limits, SignalConfig) and isinstance(action, Greens):
        last = situation.in_force.seconds if isinstance(situation.in_force, Greens) else fixed_plan(limits)
        return signal.check(
            action.seconds,
            limits,
            last=last,
            quality_ok=situation.fresh and situation.answered,
            clock_known=situation.clock_known,
        )
    if isinstance(limits, SetpointConfig) and isinstance(action, Setpoint):
        return setpoint.check(action, limits, situation)
    if isinstance(limits, NoticeConfig) and isinstance(action, Notice):
        return notice.check(action, limits, situation)
    return Verdict((f"{type(action).__name__} is not what {limits.name} carries out",))


def limits_in_words(limits: ActuatorConfig) -> str:
    """What an action that is allowed keeps to, for people; the same for every action."""
    match limits:
        case SignalConfig():
            words = [f"each green from its minimum to its maximum in a cycle of {limits.cycle_s:g} s"]
            words.append(f"no change over {limits.max_change_s:g} s")
        case SetpointConfig():
            unit = "" if limits.unit == "1" else f" {limits.unit}"
            words = [f"{limits.low:g} to {limits.high:g}{unit}"]
            words += [f"no change over {limits.max_change:g}{unit}"] if limits.max_change is not None else []
            words += [f"{limits.min_hold_s:g} s between changes"] if limits.min_hold_s else []
            if limits.max_changes_per_day is not None:
                words.append(f"{limits.max_changes_per_day} changes a day")
            words += [f"{limits.min_on_s:g} s on at least"] if limits.min_on_s else []
            words += [f"{limits.min_off_s:g} s off at least"] if limits.min_off_s else []
            words += [f"{limits.max_run_s:g} s of running a day at most"] if limits.max_run_s is not None else []
            if limits.must_run_s is not None:
                words.append(f"{limits.must_run_s:g} s of running by {limits.by} at least")
        case NoticeConfig():
            words = [f"{limits.at_most_per_h} notices an hour"]
    return ", ".join(words)[:256]


def fixed_plan(limits: SignalConfig) -> dict[int, float]:
    """Greens by phase, seconds, that hold when anything is in doubt."""
    return {p.phase: p.green_s for p in limits.phases}
