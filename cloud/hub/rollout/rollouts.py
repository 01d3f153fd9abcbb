"""A rollout: a version of a bundle goes to the nodes that can take it, in phases, canary first.

This module decides and touches no database (``store`` does); the states are ``contracts.rollout``'s, and
docs/adr/0017 says why they are as they are.

- Members are the nodes that can take the bundle (``candidates``). Phases are percent of the members, in an order that
  is hashed from bundle and node name: stable, so that the same node is the canary of each release of a bundle. Nodes
  that were not heard from lately come last, so that a canary is alive.
- A phase is over when each of its nodes runs the version or is accounted for: failed or useless (within
  ``max_failed_percent``), late, silent or excused. The first phase needs a node that runs it to some use.
- More failures than that pause the rollout at once; the deadline of a phase makes late or silent whoever does not run
  the version by then, and pauses where that is too many.
- Paused and aborted: nodes that run the version keep it, nobody else is offered it. Neither moves a node to another
  version. Resumed: nodes that failed or were late are excused; they and the silent ones are still offered it.
- An ended rollout is history: what its members were when it ended stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from wayside.cloud.hub.reports import failure_of, progress_of
from wayside.contracts.rollout import MemberState, RolloutState, advance
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.wire import ContractError

ENDED = frozenset({RolloutState.COMPLETED, RolloutState.COMPLETED_WITH_EXCEPTIONS, RolloutState.ABORTED})
LIVE = frozenset({RolloutState.RUNNING, RolloutState.PAUSED})
OPEN = frozenset({MemberState.WAITING, MemberState.TRYING})
RUNS = frozenset({MemberState.ACTIVE, MemberState.USELESS})
FAILING = frozenset({MemberState.USELESS, MemberState.FAILED, MemberState.LATE})
MAX_FAILED_PERCENT = 0.0
MAX_SILENT_PERCENT = 20.0


@dataclass
class Member:
    node: str
    phase: int
    state: MemberState = MemberState.WAITING
    reason: str | None = None
    ran: str | None = None  # version of this bundle that it ran before
    old_failure: str | None = None  # it reported this before it was offered the version: no news
    unfit: str | None = None  # why it can no longer take the bundle: its configuration changed
    joined_later: bool = False  # after the rollout had ended, which it does not change

    def become(self, state: MemberState, reason: str | None) -> None:
        """Raises ContractError: not from its present state."""
        self.state = state if state is self.state else advance(self.state, state)
        self.reason = reason


@dataclass
class Rollout:
    id: int
    bundle: str
    version: str
    target: str
    phases: tuple[int, ...]  # percent of the members, rising
    deadline_s: float  # of each phase
    created_ms: int
    phase_started_ms: int
    state: RolloutState = RolloutState.RUNNING
    phase: int = 0
    reason: str | None = None
    max_failed_percent: float = MAX_FAILED_PERCENT  # of the members reached
    max_silent_percent: float = MAX_SILENT_PERCENT  # of a phase's members; one node may always be silent
    ended_ms: int | None = None
    back_of: int | None = None  # the rollout that this one takes back
    recalled: bool = False  # its version was withdrawn once: it offers nothing any more, also if that was undone
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def desired(self) -> Desired:
        return Desired(bundle=self.bundle, version=self.version, target=self.target)

    @property
    def reached(self) -> list[Member]:
        """Members whose phase has begun, in the order of their names."""
        return sorted((m for m in self.members.values() if m.phase <= self.phase), key=lambda m: m.node)

    @property
    def history(self) -> list[Member]:
        """Members of before the end, in the order of their names."""
        return sorted((m for m in self.members.values() if not m.joined_later), key=lambda m: m.node)

    def offers(self, node: str, running: str | None) -> bool:
        """Whether ``node``, which runs the version ``running`` of this bundle, should run this version now."""
        member = self.members.get(node)
        if member is None or member.unfit is not None:
            return False
        if self.recalled or self.state in (RolloutState.PAUSED, RolloutState.ABORTED):
            return running == self.version
        return member.phase <= self.phase

    def is_open_to_all(self) -> bool:
        """Whether a node that comes later takes part."""
        return self.phases[-1] == 100 and self.state is not RolloutState.ABORTED and not self.recalled

    def join(self, node: str, ran: str | None = None) -> bool:
        """Take in a node that could not take the bundle at the start: into the last phase, if that means everyone."""
        if node in self.members or not self.is_open_to_all():
            return False
        self.members[node] = Member(node, len(self.phases) - 1, ran=ran, joined_later=self.state in ENDED)
        return True

    def refit(self, node: str, unfit: str | None, now_ms: int) -> bool:
        """Learn whether ``node`` can still take the bundle; return whether anything changed."""
        member = self.members.get(node)
        if member is None or member.unfit == unfit:
            return False
        member.unfit = unfit
        if unfit is not None and member.state in OPEN and (self.state in LIVE or member.joined_later):
            member.become(MemberState.EXCUSED, f"it can no longer take it: {unfit}")
            self._judge(now_ms)
        return True

    def observe(self, node: str, reported: Reported, now_ms: int, useless: str | None = None) -> bool:
        """Learn what ``node`` reports of this bundle; return whether anything changed.

        Args:
            useless: what is wrong with the answers of this version, if the node runs it.
        """
        if not self.is_news(node, reported, useless):
            return False
        self._learn(self.members[node], reported, useless)
        self._judge(now_ms)
        return True

    def is_news(self, node: str, reported: Reported, useless: str | None = None) -> bool:
        """Whether :meth:`observe` changes anything."""
        member = self.members.get(node)
        if member is None or (self.state in ENDED and not member.joined_later):
            return False
        then = replace(member)
        self._learn(then, reported, useless)
        return then != member

    def _learn(self, member: Member, reported: Reported, useless: str | None) -> None:
        if reported.version == self.version:  # whatever it reports of other attempts
            member.old_failure = None  # overcome: the same one again is a new one
            if useless is None:
                member.become(MemberState.ACTIVE, None)
            elif member.state not in (MemberState.USELESS, MemberState.EXCUSED):  # the reason is that of the beginning
                member.become(MemberState.USELESS, useless)
            return
        if member.state in OPEN and reported.version is not None:
            member.ran = reported.version
        failure = failure_of(reported, self.version)
        if member.phase > self.phase:  # not offered to it yet: what it says of this version is old
            member.old_failure = failure
            if member.state in RUNS:
                member.become(MemberState.WAITING, None)
        elif failure is None:
            member.old_failure = None
            self._progress(member, reported)
        elif member.state is not MemberState.EXCUSED and failure != member.old_failure:
            member.become(MemberState.FAILED, failure)

    def _progress(self, member: Member, reported: Reported) -> None:
        progress = progress_of(reported, self.version)
        if member.state in RUNS:
            runs = f"it runs {reported.version} now" if reported.version else "it runs no model now"
            member.become(MemberState.TRYING, progress or runs)
        elif member.state in OPEN:
            member.become(MemberState.TRYING if progress else MemberState.WAITING, progress)
        elif member.state in (MemberState.SILENT, MemberState.LATE):
            member.reason = f"heard again: {progress}" if progress else member.reason

    def is_due(self, now_ms: int) -> bool:
        """Whether the deadline of the phase is over."""
        return self.state is RolloutState.RUNNING and now_ms - self.phase_started_ms > self.deadline_s * 1000

    def tick(self, now_ms: int, last_seen_ms: Mapping[str, int | None]) -> bool:
        """Apply the deadline of the phase; return whether anything changed.

        A node is silent that has not synced for half of the deadline, and late if it has and does not run the version.
        """
        if not self.is_due(now_ms):
            return False
        for member in self.reached:
            if member.state not in OPEN:
                continue
            seen = last_seen_ms.get(member.node)
            if seen is None or now_ms - seen > self.deadline_s * 500:
                silence = "never heard from" if seen is None else f"not heard from for {(now_ms - seen) / 1000:.0f} s"
                member.become(MemberState.SILENT, silence)
            else:
                before = f"said before: {member.old_failure}" if member.old_failure else "it says nothing of it"
                why = f"not active after {self.deadline_s:g} s: {member.reason or before}"
                member.become(MemberState.LATE, why)
        here = [m for m in self.reached if m.phase == self.phase]
        silent = [m for m in here if m.state is MemberState.SILENT]
        if len(silent) > max(1, int(len(here) * self.max_silent_percent / 100)):
            self.pause(f"phase {self.phase + 1}: {len(silent)} of {len(here)} nodes are silent: {named(silent)}")
        else:
            self._judge(now_ms)
        return True

    def pause(self, reason: str) -> None:
        """Raises ContractError: it does not run."""
        self.state = advance(self.state, RolloutState.PAUSED)
        self.reason = reason

    def resume(self, now_ms: int) -> None:
        """Go on without the nodes that fail. A first phase that nobody runs is waited for once more.

        Raises:
            ContractError: it is not paused; or nobody of the first phase can run it any more.
        """
        advance(self.state, RolloutState.RUNNING)
        waited_for = () if self._is_proven() else (MemberState.LATE, MemberState.SILENT)
        if not self._is_proven() and not any(
            m.state in (*OPEN, *waited_for) for m in self.members.values() if m.phase == 0
        ):
            raise ContractError(
                "state",
                "cannot go on: no node of its first phase runs the version to any use, and none is left that may; "
                "abort it, and start again with a larger first phase or a better version",
            )
        for member in self.members.values():
            if member.phase == 0 and member.state in waited_for:
                member.become(MemberState.WAITING, None)
            elif member.state in FAILING:
                member.become(MemberState.EXCUSED, member.reason)
        self.state = advance(self.state, RolloutState.RUNNING)
        self.reason = None
        self.phase_started_ms = now_ms
        self._judge(now_ms)

    def abort(self, reason: str, now_ms: int) -> None:
        """Raises ContractError: it has ended already."""
        self.state = advance(self.state, RolloutState.ABORTED)
        self.reason = f"{reason}; before that: {self.reason}" if self.reason else reason
        self.ended_ms = now_ms

    def recall(self, reason: str, now_ms: int) -> None:
        """Its version is withdrawn: whatever its state, it offers nothing any more."""
        self.recalled = True
        if self.state in LIVE:
            self.abort(reason, now_ms)

    def _is_proven(self) -> bool:
        return any(m.state is MemberState.ACTIVE for m in self.members.values() if m.phase == 0)

    def _judge(self, now_ms: int) -> None:
        """Pause where too much fails, and go on where a phase is over."""
        while self.state is RolloutState.RUNNING:
            reached = self.reached
            failing = [m for m in reached if m.state in FAILING]
            if len(failing) * 100 > self.max_failed_percent * len(reached):
                useless = any(m.state is MemberState.USELESS for m in failing)
                what = "do not run, or run to no use," if useless else "do not run"
                return self.pause(
                    f"phase {self.phase + 1}: {len(failing)} of {len(reached)} nodes {what} {self.version}: "
                    f"{named(failing)}"
                )
            if any(m.state in OPEN for m in reached):
                return None
            if not self._is_proven():
                first = [m for m in reached if m.phase == 0]
                return self.pause(f"no node of the first phase runs {self.version}: {named(first)}")
            if self.phase + 1 == len(self.phases):
                whole = all(m.state is MemberState.ACTIVE for m in self.members.values())
                self.state = advance(
                    self.state, RolloutState.COMPLETED if whole else RolloutState.COMPLETED_WITH_EXCEPTIONS
                )
                self.ended_ms = now_ms
                return None
            self.phase += 1
            self.phase_started_ms = now_ms
        return None


def plan(
    bundle: str,
    nodes: Iterable[str],
    phases: tuple[int, ...],
    *,
    absent: Collection[str] = (),
) -> dict[str, Member]:
    """Spread ``nodes`` over ``phases``, those that are ``absent`` last.

    Each percentage is rounded, the first takes at least one node.
    """
    order = sorted(nodes, key=lambda n: (n in absent, hashlib.sha256(f"{bundle}\n{n}".encode()).digest()))
    ends = [max(1, (len(order) * percent + 50) // 100) for percent in phases]
    members = {}
    for i, node in enumerate(order):
        phase = next((p for p, end in enumerate(ends) if i < end), None)
        if phase is not None:
            members[node] = Member(node, phase)
    return members


def wanted(
    rollouts: Iterable[Rollout],
    node: str,
    running: str | None,
    withdrawn: Collection[tuple[str, str]],
    published: Callable[[str, str], str | None],
) -> Desired | None:
    """What ``node`` should run of one bundle; None: nothing in particular, it keeps what it has.

    What the newest rollout says that offers it something. A node on a withdrawn version is treated as if it still ran
    what it ran before: so it goes back to that, or to what an older rollout offers.

    Args:
        rollouts: of the bundle, newest first.
        running: the version of the bundle that the node reports.
        withdrawn: (bundle, version).
        published: the TUF target of (bundle, version), if there is one.
    """
    bundle, went_back = "", False
    for rollout in rollouts:
        bundle = rollout.bundle
        if (bundle, rollout.version) in withdrawn:
            if running == rollout.version and node in rollout.members:
                running, went_back = rollout.members[node].ran, True
        elif rollout.offers(node, running):
            return rollout.desired
    if not went_back or running is None or (bundle, running) in withdrawn:
        return None
    target = published(bundle, running)
    return None if target is None else Desired(bundle=bundle, version=running, target=target)


def version_before(
    rollout: Rollout,
    older: Iterable[Rollout],
    withdrawn: Collection[tuple[str, str]],
    published: Callable[[str, str], str | None],
) -> str | None:
    """The version that most members of ``rollout`` ran before it; else the one that an older rollout completed.

    Args:
        older: rollouts of the same bundle, newest first.
    """

    def is_good(version: str | None) -> bool:
        return (
            version is not None
            and version != rollout.version
            and (rollout.bundle, version) not in withdrawn
            and published(rollout.bundle, version) is not None
        )

    votes: dict[str, int] = {}
    for member in rollout.members.values():
        if member.ran is not None and is_good(member.ran):
            votes[member.ran] = votes.get(member.ran, 0) + 1
    if votes:
        return max(votes, key=lambda v: (votes[v], v))
    done = (r.version for r in older if r.state in ENDED and r.state is not RolloutState.ABORTED)
    return next((v for v in done if is_good(v)), None)


def named(members: list[Member], most: int = 5) -> str:
    """``"n1 (golden: off by 4), n2"``, and how many more."""
    names = [f"{m.node} ({m.reason})" if m.reason else m.node for m in members[:most]]
    return ", ".join(names) + (f" and {len(members) - most} more" if len(members) > most else "")


def summary(rollout: Rollout) -> str:
    """The state in one sentence that claims no more than the nodes have reported."""
    members = rollout.history
    share = f"{sum(m.state in RUNS for m in members)} of {len(members)} nodes"
    recalled = "; the version was withdrawn since" if rollout.recalled else ""
    if rollout.state is RolloutState.RUNNING:
        return f"running, phase {rollout.phase + 1} of {len(rollout.phases)}: {share} run it"
    if rollout.state is RolloutState.PAUSED:
        return f"paused: {share} run it and keep it, nobody else is offered it"
    if rollout.state is RolloutState.ABORTED:
        keep = "run it and keep it" if not rollout.recalled else "ran it"
        return f"aborted: {share} {keep}, nobody else gets it{recalled}"
    if rollout.state is RolloutState.COMPLETED:
        who = "the one node" if len(members) == 1 else f"all {len(members)} nodes"
        return f"completed: {who} ran it{recalled}"
    groups = []
    for state in MemberState:
        some = [m for m in members if m.state is state]
        if some and state is not MemberState.ACTIVE:
            groups.append(f"{len(some)} {state.value}: {named(some)}")
    return f"completed, {'; '.join(groups)}{recalled}"
