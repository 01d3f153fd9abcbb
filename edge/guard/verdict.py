"""What the guard says of a proposal, and what it has to know beside it."""

from __future__ import annotations

from typing import NamedTuple

from wayside.contracts.action import Action, Running


class Verdict(NamedTuple):
    reasons: tuple[str, ...] = ()  # each names what was proposed and the limit
    pace_only: bool = False
    """refused only for coming too soon, too often or too far at once: what is in force is as good as before"""

    @property
    def allowed(self) -> bool:
        return not self.reasons


class Situation(NamedTuple):
    """What is true when a proposal comes. Plain values: :mod:`wayside.edge.guard.pace` keeps the books."""

    in_force: Action | None  # None: the actuator's safe action
    fresh: bool = True  # the readings ended just now
    answered: bool = True  # more than half of the sites that the policy reads have an answer
    clock_known: bool = True
    held_s: float | None = None  # since the actuator was moved; None: not that anybody knows
    changes: int = 0  # of the last day for a set-point, of the last hour for a notice
    turned_s: float | None = None  # since the load began or ceased to run; None: not that anybody knows
    run_s: float = 0.0  # how long it ran within the last day
    running: Running | None = None  # of its deadline; None: it has none, or the clock is unknown
