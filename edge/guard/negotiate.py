"""Propose, check, soften, hold: how a task's policy and the guard come to what is carried out.

The node's decider and the simulator run this same code. It does nothing itself: an :class:`Outcome` says what was
asked, what the guard said, and what the actuator is to be given.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from wayside.contracts.action import Action, Answer, Answers, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.contracts.policy import Policy
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.reading import Stamp
from wayside.edge.guard.check import check, fixed_plan
from wayside.edge.guard.pace import Pace
from wayside.edge.guard.verdict import Situation, Verdict

PROPOSALS = 3  # the policy's own and two softer ones
EXPLAINED = 16  # fields of a row that are the policy's own
Fields = dict[str, str | float]


class Attempt(NamedTuple):
    """What was asked of the guard."""

    action: Action
    verdict: Verdict


class Outcome(NamedTuple):
    """What came of a step."""

    attempts: Sequence[Attempt] = ()  # in order; of the last one's verdict follows the rest
    explained: Mapping[str, str | float] = {}  # by the policy
    word: str | None = None
    """why not the policy decides: "held" (the safe action, or what is in force), "driven" (the guard runs a load)"""
    why: str = ""
    holds: Action | None = None  # with ``word``: what is in force from here on
    carry: Sequence[Action | None] = ()
    """what the actuator is given, in order; None: its safe action, a notice is ended by one of level 0"""
    asked: bool = False  # the policy was, and answered
    failed: str | None = None  # the policy failed


NOTHING = Outcome()
SILENT = Outcome(asked=True)  # the policy has nothing new to say


class _PolicyFailed(Exception):  # noqa: N818
    """The policy raised, or answered with what is no action."""


class Negotiator:
    """Of one task: its policy, and what is in force at its actuator."""

    def __init__(
        self, policy: Policy, settings: PolicySettings, limits: ActuatorConfig, pace: Pace, *, name: str = "it"
    ) -> None:
        """
        Args:
            pace: the actuator's.
            name: of the policy, for sentences.
        """
        self._policy, self._settings, self._limits, self.pace, self._name = policy, settings, limits, pace, name
        self._sites = settings.sites()
        self._before: deque[Mapping[str, Answer]] = deque(maxlen=settings.looks_back())
        self.safe: Action | None = None
        match limits:
            case SignalConfig():
                self.safe, self._holds = Greens(fixed_plan(limits)), "the fixed plan holds"
            case SetpointConfig():
                self.safe, self._holds = Setpoint(limits.safe), "the safe value holds"
            case NoticeConfig():
                self._holds = "nothing is said"
        self._load = limits if isinstance(limits, SetpointConfig) else None
        self.driving = False
        """The guard runs the load, so that it meets its deadline."""
        self.in_force: Action | None = None  # None: the actuator's safe action

    # --- a step ---------------------------------------------------------------------------------

    def step(self, answers: Answers, now: Stamp, *, clock_known: bool = True, why_none: str | None = None) -> Outcome:
        """A step of the task has ended.

        Args:
            clock_known: the time of the step's end is.
            why_none: why no site has an answer, where none has.
        """
        pace = self.pace
        pace.look(now)
        load = self._load
        if load is not None:
            self.driving = self.driving and self._drives_on(now)
            if load.by is not None:
                answers = answers._replace(running=pace.running(now))
        if self._before.maxlen:
            answers = answers._replace(before=tuple(self._before))
            self._before.append(answers.sites)
        sites = answers.sites.keys() if self._sites is None else self._sites
        answered = answers.answered_of(sites)
        if not answered:
            return self._hold(f"{why_none or 'no site that the policy reads has an answer'}: {self._holds}", now)
        if load is not None and (self.driving or (not pace.runs and self._may_drive(now))):
            return self._drive(now)
        situation = Situation(
            self.in_force,
            answers.fresh,
            answered * 2 > len(sites),
            answers.clock_known and clock_known,
            pace.held_s(now),
            pace.count(now),
        )
        if load is not None:
            situation = situation._replace(
                turned_s=pace.turned_s(now),
                run_s=pace.run_s(now) if load.max_run_s is not None else 0.0,
                running=answers.running,
            )
        try:
            return self._negotiate(answers, situation, now)
        except _PolicyFailed as exc:
            return self._hold(f"{exc}: {self._holds}", now)._replace(failed=str(exc))

    def _negotiate(self, answers: Answers, situation: Situation, now: Stamp) -> Outcome:
        """Raises: _PolicyFailed."""
        policy, settings, limits = self._policy, self._settings, self._limits
        seen = self._call(policy.read, answers, settings)
        proposal = None
        if seen is not None:
            proposal = self._ask(policy.propose, seen, settings, limits, self.in_force)
        if proposal is None:
            return self._hold(f"the policy proposes nothing: {self._holds}", now)._replace(asked=True)
        if isinstance(proposal, Notice) and (proposal == self.in_force or (not self.in_force and not proposal.level)):
            return SILENT
        explained = self._explain(seen, proposal)
        attempts: list[Attempt] = []
        pace_only = True
        while True:
            verdict = check(proposal, limits, situation)
            attempts.append(Attempt(proposal, verdict))
            if verdict.allowed:
                return Outcome(attempts, explained, carry=self._move(proposal, now), asked=True)
            pace_only = pace_only and verdict.pace_only
            softer = self._ask(policy.soften, proposal, limits) if len(attempts) < PROPOSALS else None
            if softer is None:
                break
            proposal = softer
        if pace_only:
            why = "every proposal was refused for its pace: what is in force stays"
            return Outcome(attempts, explained, "held", why, self.in_force or self.safe, asked=True)
        held = self._hold(f"every proposal was refused: {self._holds}", now)
        return held._replace(attempts=attempts, explained=explained, asked=True)

    # --- without the policy -----------------------------------------------------------------------

    def pass_time(self, now: Stamp) -> Outcome:
        """Between steps: a load that has run for as long as it may stops; one whose last moment has come runs."""
        load, pace = self._load, self.pace
        if load is None:
            return NOTHING
        pace.look(now)
        if load.max_run_s is not None and pace.runs and pace.run_s(now) >= load.max_run_s:
            self.driving = False
            return self._safe(f"it has run for {load.max_run_s:g} s within a day, as long as it may", now)
        if self.driving and not self._drives_on(now):
            self.driving = False
            return self._safe(f"it has run for the {load.must_run_s:g} s that it must by {load.by}", now)
        if load.must_run_s is not None and not pace.runs and not self.driving and self._may_drive(now):
            return self._drive(now)
        return NOTHING

    def late(self, now: Stamp) -> str | None:
        """Why the load misses its deadline; None: it does not, as far as one can tell."""
        load, pace = self._load, self.pace
        if load is None or load.must_run_s is None:
            return None
        running = pace.running(now)
        if running is None:
            return f"the clock is not known, so nobody can tell when it is {load.by}: nothing runs for it"
        if pace.missing_s(now) > running.left_s:
            return f"it cannot run any more for the {load.must_run_s:g} s that it must by {load.by}"
        return None

    def reverted(self, now: Stamp) -> None:
        """What is driven follows its own plan again: it restarted, is in fail-safe, or refused the action."""
        if self.in_force is not None:
            self.pace.add(now)
            self._note(None, now)
        self.in_force, self.driving = None, False

    def _may_drive(self, now: Stamp) -> bool:
        load, pace = self._load, self.pace
        if load is None or load.must_run_s is None or not pace.last_moment(now) or pace.rest_s(now) > 0.0:
            return False
        return load.max_run_s is None or pace.run_s(now) + load.min_on_s < load.max_run_s

    def _drives_on(self, now: Stamp) -> bool:
        load, pace = self._load, self.pace
        if load is None or not pace.runs:
            return False
        turned_s = pace.turned_s(now)
        return pace.last_moment(now) or (turned_s is not None and turned_s < load.min_on_s)

    def _drive(self, now: Stamp) -> Outcome:
        """Run the load, whatever the policy says or cannot say."""
        load = self._load
        assert load is not None  # noqa: S101  (the callers looked)
        action = Setpoint(load.drives_at)
        running = self.pace.running(now)
        left_s = 0.0 if running is None else running.left_s
        why = (
            f"it has to run for {self.pace.missing_s(now):.0f} s more by {load.by}, {left_s:.0f} s are left: "
            "the last moment has come"
        )
        carry = self._move(action, now)
        self.driving = True
        return Outcome((), {}, "driven", why, action, carry)

    def _hold(self, why: str, now: Stamp) -> Outcome:
        """The safe action at once: the limits on pace are for optimizing, not for safety. A load whose last moment has
        come goes on."""
        pace = self.pace
        if self.driving or (pace.last_moment(now) and (pace.runs or self._may_drive(now))):
            return self._drive(now)
        return self._safe(why, now)

    def _safe(self, why: str, now: Stamp) -> Outcome:
        return Outcome((), {}, "held", why, self.safe, self._move(None, now, why))

    def _move(self, action: Action | None, now: Stamp, why: str = "") -> Sequence[Action | None]:
        """What the actuator is given, so that ``action`` is in force; nothing, where it already is."""
        ends = isinstance(action, Notice) and action.level == 0
        target = None if ends or action == self.safe else action
        before = self.in_force
        if target == before:
            return ()
        self.in_force = target
        if target is not None or not isinstance(self._limits, NoticeConfig):  # the end of a notice is no notice
            self.pace.add(now)
        self._note(target, now)
        carry: list[Action | None] = []
        if isinstance(before, Notice) and (not isinstance(target, Notice) or target.topic != before.topic):
            text = action.text if ends and isinstance(action, Notice) else f"withdrawn: {why}"
            carry.append(Notice(before.topic, 0, text[:200]))
            if target is None:
                return carry
        carry.append(target)
        return carry

    def _note(self, target: Action | None, now: Stamp) -> None:
        if self._load is not None:
            self.pace.set(target.value if isinstance(target, Setpoint) else self._load.safe, now)

    # --- the policy's own code --------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Raises: _PolicyFailed: it raised."""
        try:
            return function(*arguments)
        except Exception as exc:  # a policy is the one part that others write: none of its mistakes stops the node
            raise _PolicyFailed(f"the policy {self._name} failed: {exc!r}"[:200]) from exc

    def _ask(self, function: Callable[..., Action | None], *arguments: Any) -> Action | None:
        """Raises: _PolicyFailed: it raised, or answered with what is no action."""
        action: Action | None = self._call(function, *arguments)
        if action is not None and not is_action(action):
            raise _PolicyFailed(f"the policy {self._name} answered with no action: {action!r}"[:200])
        return action

    def _explain(self, seen: Any, proposal: Action) -> Fields:
        """Raises: _PolicyFailed."""
        try:
            explained = self._policy.explain(seen, self._settings, self._limits, proposal)
            fields = list(explained.items())[:EXPLAINED]
            return {name: v[:256] if isinstance(v, str) else number(v) for name, v in fields}
        except Exception as exc:
            raise _PolicyFailed(f"the policy {self._name} failed: {exc!r}"[:200]) from exc

    # --- durable state ---------------------------------------------------------------------------

    def state(self, now: Stamp) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        match self.in_force or self.safe:
            case Greens(seconds):
                return {"in_force": list(seconds.items())}
            case Setpoint(value):
                return {"in_force": value, **self.pace.state(now)}
            case Notice() as notice:
                return {"in_force": list(notice), **self.pace.state(now)}
        return {"in_force": None, **self.pace.state(now)}

    def restore(self, state: dict[str, Any] | None, now: Stamp) -> None:
        """Continue after a restart. A board keeps its plan and people what they were told; a set-point begins safe.

        Raises:
            TypeError, ValueError, AttributeError: that is no such state.
        """
        kept = (state or {}).get("in_force")
        self.pace.restore(state or {}, now)
        match self._limits:
            case SignalConfig() if kept is not None:
                greens = {int(phase): float(green) for phase, green in kept}
                plan = fixed_plan(self._limits)
                self.in_force = Greens(greens) if greens.keys() == plan.keys() and greens != plan else None
            case SetpointConfig() if kept is not None and kept != self._limits.safe:
                self.pace.add(now)
            case NoticeConfig() if kept is not None:
                notice = Notice(*kept)
                self.in_force = notice if is_action(notice) and notice.level else None


def is_action(action: object) -> bool:
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


def number(value: float) -> float | str:
    """A row's number is finite; anything else is written out."""
    return value if math.isfinite(value) else str(value)
