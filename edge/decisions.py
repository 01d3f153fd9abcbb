"""A task's decisions: its policy proposes, the guard judges, the actuator carries out, and a row says why.

Whatever goes wrong on the way, what holds is the actuator's safe action: a signal's fixed plan, a set-point's ``safe``
value, silence of a notice.

A :class:`Decider` speaks once a step of its task has closed. A policy with the beat of the serial line, which neither
waits for steps nor writes a row a request, will stand beside it here and pass the same guard.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from wayside.contracts.action import Action, Answers, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.contracts.reading import Stamp
from wayside.contracts.summary import DECISION
from wayside.contracts.task_config import TaskConfig
from wayside.edge.errors import EdgeError
from wayside.edge.guard.check import check, fixed_plan
from wayside.edge.guard.verdict import Situation
from wayside.edge.ledger import Detail, Ledger
from wayside.edge.policies.policy import SettingsError, choose

PROPOSALS = 3  # the policy's own and two softer ones
POLICY_FAILED = "policy_failed"
HOUR_S, DAY_S = 3600.0, 86_400.0
log = structlog.get_logger(__name__)


class PolicyError(EdgeError):
    """The configuration's policy, its settings and its actuator do not fit together, or the policy failed."""


class Changes:
    """When an actuator was moved: as often back as its limits ask for. Those that share it share this, too."""

    def __init__(self, actuator: ActuatorConfig, ledger: Ledger) -> None:
        self._ledger = ledger
        self._window_s, limit = DAY_S, -1  # a signal's limits ask for none
        match actuator:
            case SetpointConfig():
                limit = actuator.max_changes_per_day or 0
            case NoticeConfig():
                self._window_s, limit = HOUR_S, actuator.at_most_per_h
        self._at: deque[int] = deque(maxlen=limit + 1)  # monotonic ns of this boot; < 0: before it

    def add(self) -> None:
        if self._at.maxlen:
            self._at.append(self._ledger.now().mono_ns)

    def held_s(self) -> float | None:
        """Seconds since the last one."""
        return (self._ledger.now().mono_ns - self._at[-1]) / 1e9 if self._at else None

    def count(self) -> int:
        """How many there were within the last day, or hour for notices."""
        if not self._at:
            return 0
        first = self._ledger.now().mono_ns - self._window_s * 1e9
        return sum(at > first for at in self._at)

    def state(self) -> list[tuple[str, int, int | None]]:
        """Boot, monotonic ns and wall ms of each, as plain JSON values."""
        now = self._ledger.now()
        return [
            (now.boot, at, None if now.wall_ms is None else now.wall_ms - (now.mono_ns - at) // 1_000_000)
            for at in self._at
        ]

    def restore(self, state: list[Any]) -> None:
        """Those of an earlier boot are as long ago as the wall clock says, or as if they were now."""
        now = self._ledger.now()
        at_ns: list[int] = []
        for boot, mono_ns, wall_ms in state:
            if boot == now.boot:
                ago_ns = now.mono_ns - mono_ns
            elif wall_ms is not None and now.wall_ms is not None:
                ago_ns = (now.wall_ms - wall_ms) * 1_000_000
            else:
                ago_ns = 0
            at_ns.append(now.mono_ns - max(0, int(ago_ns)))
        self._at.clear()
        self._at.extend(sorted(at_ns))


class Decider:
    """One task's policy and the actuator that it proposes to."""

    def __init__(
        self,
        task: TaskConfig,
        actuator: ActuatorConfig,
        carry: Callable[[Action | None], None],
        ledger: Ledger,
        *,
        changes: Changes | None = None,
    ) -> None:
        """
        Args:
            carry: has an action carried out; None: the actuator's safe action. A notice is ended by one of level 0.
            changes: of the actuator, where several tasks share it.

        Raises:
            PolicyError: task, policy and actuator do not fit together.
        """
        try:
            self._policy, self._settings = choose(task, actuator)
        except SettingsError as exc:
            raise PolicyError(f"{exc}; mend the configuration, `wayside node check` says more") from exc
        self._task, self._actuator, self._carry, self._ledger = task, actuator, carry, ledger
        self._changes = changes or Changes(actuator, ledger)
        self._sites = self._settings.sites()
        self._safe: Action | None = None
        match actuator:
            case SignalConfig():
                self._safe, self._holds = Greens(fixed_plan(actuator)), "the fixed plan holds"
            case SetpointConfig():
                self._safe, self._holds = Setpoint(actuator.safe), "the safe value holds"
            case NoticeConfig():
                self._holds = "nothing is said"
        self.in_force: Action | None = None  # None: the actuator's safe action

    def decide(self, answers: Answers, at: Stamp, *, model: str | None, why_none: str | None) -> None:
        """A step of the task has ended at ``at``.

        Args:
            model: label of the model that answered.
            why_none: why no site has an answer, where none has.
        """
        sites = answers.sites.keys() if self._sites is None else self._sites
        answered = answers.answered_of(sites)
        if not answered:
            self._hold(at, f"{why_none or 'no site that the policy reads has an answer'}: {self._holds}")
            return
        changes = self._changes
        situation = Situation(
            self.in_force,
            answers.fresh,
            answered * 2 > len(sites),
            answers.clock_known and at.wall_ms is not None,
            changes.held_s(),
            changes.count(),
        )
        try:
            self._propose(answers, situation, at, model)
        except PolicyError as exc:
            self._ledger.begin(POLICY_FAILED, self._task.name, str(exc), at=at)
            self._hold(at, f"{exc}: {self._holds}")
        else:
            self._ledger.end(POLICY_FAILED, self._task.name, at=at)

    def _propose(self, answers: Answers, situation: Situation, at: Stamp, model: str | None) -> None:
        """Raises: PolicyError."""
        policy = self._policy
        seen = self._call(policy.read, answers, self._settings)
        proposal = None
        if seen is not None:
            proposal = self._ask(policy.propose, seen, self._settings, self._actuator, self.in_force)
        if proposal is None:
            self._hold(at, f"the policy proposes nothing: {self._holds}")
            return
        if isinstance(proposal, Notice) and (proposal == self.in_force or (not self.in_force and not proposal.level)):
            return  # nothing new to say
        explained = self._explain(seen)
        pace_only = True
        for attempt in range(PROPOSALS):
            verdict = check(proposal, self._actuator, situation)
            self._ledger.count("proposals_allowed" if verdict.allowed else "proposals_refused")
            word = "allowed" if verdict.allowed else "refused"
            detail: Detail = {"verdict": word, "attempt": attempt, **_said(proposal), **explained}
            if answers.substituted:
                detail["substituted_rows"] = answers.substituted
            if verdict.reasons:
                detail["why"] = "; ".join(verdict.reasons)[:256]
            self._row(at, detail, value=float(verdict.allowed), model=model)
            if verdict.allowed:
                self._move(proposal)
                return
            pace_only = pace_only and verdict.pace_only
            softer = self._ask(policy.soften, proposal, self._actuator) if attempt + 1 < PROPOSALS else None
            if softer is None:
                break
            proposal = softer
        if pace_only:
            why = "every proposal was refused for its pace: what is in force stays"
            self._row(at, {"verdict": "held", "why": why, **_said(self.in_force or self._safe)})
        else:
            self._hold(at, f"every proposal was refused: {self._holds}")

    def _hold(self, at: Stamp, why: str) -> None:
        """The safe action at once: the limits on pace are for optimizing, not for safety."""
        self._row(at, {"verdict": "held", "why": why[:256], **_said(self._safe)})
        self._move(None, why)

    def _move(self, action: Action | None, why: str = "") -> None:
        """Have ``action`` carried out, unless it already is."""
        ends = isinstance(action, Notice) and action.level == 0
        target = None if ends or action == self._safe else action
        before = self.in_force
        if target == before:
            return
        self.in_force = target
        if target is not None or not isinstance(self._actuator, NoticeConfig):  # the end of a notice is no notice
            self._changes.add()
        if isinstance(before, Notice) and (not isinstance(target, Notice) or target.topic != before.topic):
            text = action.text if ends and isinstance(action, Notice) else f"withdrawn: {why}"
            self._carry(Notice(before.topic, 0, text[:200]))
            if target is None:
                return
        self._carry(target)

    def board_reverted(self) -> None:
        """What is driven follows its own plan again: it restarted, is in fail-safe, or refused the action."""
        if self.in_force is not None:
            self._changes.add()
        self.in_force = None

    # --- the policy's own code --------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Raises: PolicyError: it raised."""
        try:
            return function(*arguments)
        except Exception as exc:  # a policy is the one part that others write: none of its mistakes stops the node
            raise PolicyError(f"the policy {self._task.policy} failed: {exc!r}"[:200]) from exc

    def _ask(self, function: Callable[..., Action | None], *arguments: Any) -> Action | None:
        """Raises: PolicyError: it raised, or answered with what is no action."""
        action: Action | None = self._call(function, *arguments)
        if action is not None and not _is_action(action):
            raise PolicyError(f"the policy {self._task.policy} answered with no action: {action!r}"[:200])
        return action

    def _explain(self, seen: Any) -> Detail:
        """Raises: PolicyError."""
        try:
            explained = self._policy.explain(seen)
            return {name: v[:256] if isinstance(v, str) else _number(v) for name, v in list(explained.items())[:16]}
        except Exception as exc:
            raise PolicyError(f"the policy {self._task.policy} failed: {exc!r}"[:200]) from exc

    # --- rows and state ---------------------------------------------------------------------------

    def _row(self, at: Stamp, detail: Detail, *, value: float | None = None, model: str | None = None) -> None:
        self._ledger.row(DECISION, self._actuator.name, at, value=value, model=model, detail=detail)

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        match self.in_force or self._safe:
            case Greens(seconds):
                return {"in_force": list(seconds.items())}
            case Setpoint(value):
                return {"in_force": value, "changes": self._changes.state()}
            case Notice() as notice:
                return {"in_force": list(notice), "changes": self._changes.state()}
        return {"in_force": None, "changes": self._changes.state()}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Continue after a restart. A board keeps its plan and people what they were told; a set-point begins safe."""
        try:
            kept = (state or {}).get("in_force")
            self._changes.restore((state or {}).get("changes", []))
            match self._actuator:
                case SignalConfig() if kept is not None:
                    greens = {int(phase): float(green) for phase, green in kept}
                    plan = fixed_plan(self._actuator)
                    self.in_force = Greens(greens) if greens.keys() == plan.keys() and greens != plan else None
                case SetpointConfig() if kept is not None and kept != self._actuator.safe:
                    self._changes.add()
                case NoticeConfig() if kept is not None:
                    notice = Notice(*kept)
                    self.in_force = notice if _is_action(notice) and notice.level else None
        except (TypeError, ValueError, AttributeError) as exc:
            log.error("decisions unreadable", task=self._task.name, error=repr(exc))


def _is_action(action: object) -> bool:
    """Whether its parts are of the types that they should be; what they say is the guard's to judge."""
    if isinstance(action, Greens):
        if not isinstance(action.seconds, dict):
            return False
        for phase, green in action.seconds.items():  # noqa: SIM110 -- half the time of a generator
            if type(phase) is not int or not _is_number(green):
                return False
        return True
    match action:
        case Setpoint(value):
            return _is_number(value)
        case Notice(topic, level, text, value):
            typed = isinstance(topic, str) and type(level) is int and isinstance(text, str)
            return typed and (value is None or _is_number(value))
    return False


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**53)  # a bool is none


def _number(value: float) -> float | str:
    """A row's number is finite; anything else is written out."""
    return value if math.isfinite(value) else str(value)


def _said(action: Action | None) -> Detail:
    """An action in a row's detail."""
    if isinstance(action, Greens):
        greens = sorted(action.seconds.items())
        return {"greens": " ".join([f"{phase}:{green:.1f}" for phase, green in greens])[:256]}
    match action:
        case Setpoint(value):
            return {"setpoint": _number(value)}
        case Notice(topic, level, text):
            return {"topic": topic[:256], "level": level, "notice": text[:256]}
    return {}
