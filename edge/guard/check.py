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


def fixed_plan(limits: SignalConfig) -> dict[int, float]:
    """Greens by phase, seconds, that hold when anything is in doubt."""
    return {p.phase: p.green_s for p in limits.phases}
