"""A task's decisions: its policy proposes, the guard judges, the actuator carries out, and a row says why.

Whatever goes wrong on the way, what holds is the actuator's safe action: a signal's fixed plan, a set-point's ``safe``
value, silence of a notice. How they come to an action is :mod:`wayside.edge.guard.negotiate`, the simulator's, too.

A :class:`Decider` speaks once a step of its task has closed. A policy with the beat of the serial line, which neither
waits for steps nor writes a row a request, will stand beside it here and pass the same guard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from wayside.contracts.action import Action, Answers, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, SetpointConfig
from wayside.contracts.reading import Stamp
from wayside.contracts.summary import DECISION
from wayside.contracts.task_config import TaskConfig
from wayside.edge.errors import EdgeError
from wayside.edge.guard.check import limits_in_words
from wayside.edge.guard.negotiate import NOTHING, Negotiator, Outcome, number
from wayside.edge.guard.pace import Pace
from wayside.edge.ledger import Detail, Ledger
from wayside.edge.policies.policy import SettingsError, choose, source_of

POLICY_FAILED, DEADLINE_MISSED = "policy_failed", "deadline_missed"
log = structlog.get_logger(__name__)


class PolicyError(EdgeError):
    """The configuration's policy, its settings and its actuator do not fit together."""


class Decider:
    """One task's policy and the actuator that it proposes to."""

    def __init__(
        self,
        task: TaskConfig,
        actuator: ActuatorConfig,
        carry: Callable[[Action | None], None],
        ledger: Ledger,
        *,
        pace: Pace | None = None,
    ) -> None:
        """
        Args:
            carry: has an action carried out; None: the actuator's safe action. A notice is ended by one of level 0.
            pace: of the actuator, where several tasks share it or it has a deadline.

        Raises:
            PolicyError: task, policy and actuator do not fit together.
        """
        try:
            chosen = choose(task, actuator)
        except SettingsError as exc:
            raise PolicyError(f"{exc}; mend the configuration, `wayside node check` says more") from exc
        self._task, self._actuator, self._carry, self._ledger = task, actuator, carry, ledger
        pace = pace or Pace(actuator)
        self._paced = pace.kept
        self._negotiator = Negotiator(chosen.policy, chosen.settings, actuator, pace, name=str(task.policy))
        load = actuator if isinstance(actuator, SetpointConfig) else None
        self._has_deadline = load is not None and load.must_run_s is not None
        self._watches = load is not None and (self._has_deadline or load.by is not None or load.max_run_s is not None)
        self._rule: Detail = {"policy": str(task.policy), "limits": limits_in_words(actuator)}
        if (source := source_of(str(task.policy))) is not None:
            self._rule["policy_from"] = source
        if isinstance(actuator, SetpointConfig) and actuator.unit != "1":
            self._rule["actuator_unit"] = actuator.unit

    @property
    def in_force(self) -> Action | None:
        """None: the actuator's safe action."""
        return self._negotiator.in_force

    def decide(self, answers: Answers, at: Stamp, *, model: str | None, why_none: str | None) -> None:
        """A step of the task has ended at ``at``.

        Args:
            model: label of the model that answered.
            why_none: why no site has an answer, where none has.
        """
        now = self._ledger.now() if self._paced else at
        outcome = self._negotiator.step(answers, now, clock_known=at.wall_ms is not None, why_none=why_none)
        if outcome.failed is not None:
            self._ledger.begin(POLICY_FAILED, self._task.name, outcome.failed, at=at)
        elif outcome.asked:
            self._ledger.end(POLICY_FAILED, self._task.name, at=at)
        self._write(outcome, at, answers, model)
        for action in outcome.carry:
            self._carry(action)

    def pass_time(self) -> None:
        """A load that has run for as long as it may stops; one that has to meet its deadline runs."""
        if not self._watches:
            return
        now = self._ledger.now()
        outcome = self._negotiator.pass_time(now)
        if outcome is not NOTHING:
            self._write(outcome, now)
            for action in outcome.carry:
                self._carry(action)
        if self._has_deadline:
            late = self._negotiator.late(now)
            if late is not None:
                self._ledger.begin(DEADLINE_MISSED, self._actuator.name, late, severe=False)
            else:
                self._ledger.end(DEADLINE_MISSED, self._actuator.name)

    def board_reverted(self) -> None:
        """What is driven follows its own plan again: it restarted, is in fail-safe, or refused the action."""
        self._negotiator.reverted(self._ledger.now())

    # --- rows and state ---------------------------------------------------------------------------

    def _write(self, outcome: Outcome, at: Stamp, answers: Answers | None = None, model: str | None = None) -> None:
        """A row for each verdict, and one for what holds instead."""
        rule = self._rule
        if answers is not None and answers.hour is not None:
            minutes = round(answers.hour % 24 * 60) % 1440
            rule = {**rule, "local": f"{minutes // 60:02d}:{minutes % 60:02d}"}
        for attempt, (action, verdict) in enumerate(outcome.attempts):
            self._ledger.count("proposals_allowed" if verdict.allowed else "proposals_refused")
            word = "allowed" if verdict.allowed else "refused"
            detail: Detail = {**outcome.explained, "verdict": word, "attempt": attempt, **self._said(action), **rule}
            if answers is not None and answers.substituted:
                detail["substituted_rows"] = answers.substituted
            if verdict.reasons:
                detail["why"] = "; ".join(verdict.reasons)[:256]
            self._row(at, detail, value=float(verdict.allowed), model=model)
        if outcome.word is not None:
            held = self._said(outcome.holds)
            self._row(at, {"verdict": outcome.word, "why": outcome.why[:256], **held, **rule})

    def _row(self, at: Stamp, detail: Detail, *, value: float | None = None, model: str | None = None) -> None:
        self._ledger.row(DECISION, self._actuator.name, at, value=value, model=model, detail=detail)

    def _said(self, action: Action | None) -> Detail:
        """An action in a row's detail."""
        if isinstance(action, Greens):
            greens = sorted(action.seconds.items())
            return {"greens": " ".join([f"{phase}:{green:.1f}" for phase, green in greens])[:256]}
        match action:
            case Setpoint(value):
                limits = self._actuator
                runs = isinstance(limits, SetpointConfig) and limits.runs_at(value)
                return {"setpoint": number(value), "runs": runs}
            case Notice(topic, level, text):
                return {"topic": topic[:256], "level": level, "notice": text[:256]}
        return {}

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        return self._negotiator.state(self._ledger.now())

    def restore(self, state: dict[str, Any] | None) -> None:
        """Continue after a restart. A board keeps its plan and people what they were told; a set-point begins safe."""
        try:
            self._negotiator.restore(state, self._ledger.now())
        except (TypeError, ValueError, AttributeError) as exc:
            log.error("decisions unreadable", task=self._task.name, error=repr(exc))
