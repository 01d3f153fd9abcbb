"""A rollout: a version goes to the fleet in phases, canary first, and stops by itself when a node refuses it.

This module decides and touches no database (``rollout_store`` does); states are ``contracts.rollout``'s.

- Phases are percent of the nodes enrolled at the start, in an order hashed from bundle and node name: stable, so that
  the same node is the canary of each release of a bundle, and not alphabetical.
- A phase is complete when each of its nodes reports ACTIVE with the version; then the next phase starts.
- A refusal (except a failed download), a rollback, or the deadline of a phase pauses the rollout and says why.
- Paused: nodes that run the version keep it, nobody else is offered it. Resumed: nodes that refused are excused, the
  clock of the phase starts again. Aborted: nobody is offered it, so that the rollout before it counts again.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from wayside.contracts.rollout import Refusal, RolloutState, UpdateState, advance
from wayside.contracts.sync import Desired, Reported


class MemberState(enum.Enum):
    WAITING = "waiting"
    ACTIVE = "active"
    FAILED = "failed"  # refused it or rolled it back
    EXCUSED = "excused"  # failed, and the operator went on


@dataclass
class Member:
    node: str
    phase: int
    state: MemberState = MemberState.WAITING
    reason: str | None = None  # of a waiting member: the failure it reported before the start, which is not news


@dataclass
class Rollout:
    id: int
    bundle: str
    version: str
    target: str
    phases: tuple[int, ...]  # percent of the fleet, rising
    deadline_s: float  # of each phase
    created_ms: int
    phase_started_ms: int
    state: RolloutState = RolloutState.RUNNING
    phase: int = 0
    reason: str | None = None
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def desired(self) -> Desired:
        return Desired(bundle=self.bundle, version=self.version, target=self.target)

    def offers(self, node: str) -> bool:
        """Whether ``node`` should run this version now."""
        member = self.members.get(node)
        if member is None or self.state is RolloutState.ABORTED:
            return False
        if self.state is RolloutState.PAUSED:
            return member.state is MemberState.ACTIVE
        return member.phase <= self.phase

    def join(self, node: str) -> bool:
        """Take in a node that enrolled after the start: into the last phase, if that means everyone."""
        if node in self.members or self.phases[-1] < 100 or self.state is RolloutState.ABORTED:
            return False
        self.members[node] = Member(node, len(self.phases) - 1)
        return True

    def observe(self, node: str, reported: Reported, now_ms: int) -> bool:
        """Learn what ``node`` runs; return whether anything changed."""
        member = self.members.get(node)
        if member is None or self.state is RolloutState.ABORTED or member.state is MemberState.EXCUSED:
            return False
        runs = reported.version == self.version and reported.bundle == self.bundle
        if reported.state is UpdateState.ACTIVE and runs:
            if member.state is MemberState.ACTIVE:
                return False
            member.state, member.reason = MemberState.ACTIVE, None
            self._proceed(now_ms)
            return True
        failure = failure_of(reported, self.version)
        if failure is None:
            news = member.state is MemberState.WAITING and member.reason is not None
            member.reason = None if news else member.reason
            return news
        if member.state is MemberState.FAILED or member.phase > self.phase or failure == member.reason:
            return False
        member.state, member.reason = MemberState.FAILED, failure
        if self.state is RolloutState.RUNNING:
            self.pause(f"{node} {reported.state.value.replace('_', ' ')} {self.version}: {member.reason}")
        return True

    def tick(self, now_ms: int) -> bool:
        """Apply the deadline of the phase; return whether anything changed."""
        if self.state is not RolloutState.RUNNING or now_ms - self.phase_started_ms <= self.deadline_s * 1000:
            return False
        late = sorted(m.node for m in self.members.values() if m.phase <= self.phase and not _settled(m))
        names = ", ".join(late[:5]) + (f" and {len(late) - 5} more" if len(late) > 5 else "")
        self.pause(f"phase {self.phase + 1}: not active after {self.deadline_s:g} s: {names}")
        return True

    def pause(self, reason: str) -> None:
        """Raises ContractError: it does not run."""
        self.state = advance(self.state, RolloutState.PAUSED)
        self.reason = reason

    def resume(self, now_ms: int) -> None:
        """Raises ContractError: it is not paused."""
        self.state = advance(self.state, RolloutState.RUNNING)
        self.reason = None
        for member in self.members.values():
            if member.state is MemberState.FAILED:
                member.state = MemberState.EXCUSED
        self.phase_started_ms = now_ms
        self._proceed(now_ms)

    def abort(self, reason: str) -> None:
        """Raises ContractError: it is complete or aborted already."""
        self.state = advance(self.state, RolloutState.ABORTED)
        self.reason = reason

    def _proceed(self, now_ms: int) -> None:
        while self.state is RolloutState.RUNNING and all(
            _settled(m) for m in self.members.values() if m.phase <= self.phase
        ):
            if self.phase + 1 == len(self.phases):
                self.state = advance(self.state, RolloutState.COMPLETED)
                return
            self.phase += 1
            self.phase_started_ms = now_ms


def plan(bundle: str, nodes: Iterable[str], phases: tuple[int, ...]) -> dict[str, Member]:
    """Spread ``nodes`` over ``phases``; each percentage is rounded, the first takes at least one node."""
    order = sorted(nodes, key=lambda n: hashlib.sha256(f"{bundle}\n{n}".encode()).digest())
    ends = [max(1, (len(order) * percent + 50) // 100) for percent in phases]
    members = {}
    for i, node in enumerate(order):
        phase = next((p for p, end in enumerate(ends) if i < end), None)
        if phase is not None:
            members[node] = Member(node, phase)
    return members


def failure_of(reported: Reported, version: str) -> str | None:
    """Why a node would not run ``version``; a failed download is not the version's fault."""
    refused = reported.state is UpdateState.REFUSED and reported.refusal is not Refusal.DOWNLOAD
    if reported.attempted != version or not (refused or reported.state is UpdateState.ROLLED_BACK):
        return None
    kind = reported.refusal.value if reported.refusal else reported.state.value
    return f"{kind}: {reported.reason or 'no reason given'}"


def _settled(member: Member) -> bool:
    return member.state in (MemberState.ACTIVE, MemberState.EXCUSED)
