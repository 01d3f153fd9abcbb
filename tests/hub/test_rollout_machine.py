"""The state machine of rollouts: whatever nodes report and operators do, what is promised holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.cloud.hub.reports import failure_of, progress_of
from wayside.cloud.hub.rollout.rollouts import ENDED, LIVE, RUNS, Rollout, plan, summary, wanted
from wayside.contracts.rollout import (
    FINAL,
    MEMBER_TRANSITIONS,
    ROLLOUT_TRANSITIONS,
    MemberState,
    Refusal,
    RolloutState,
    UpdateState,
)
from wayside.contracts.sync import Reported
from wayside.contracts.wire import ContractError

BUNDLE = "flow"
VERSIONS = ("1.0.0", "2.0.0", "3.0.0")
NODES = [f"n{i}" for i in range(5)]
DEADLINE_S = 60.0


def rollout_of(
    version: str, phases: tuple[int, ...], nodes: list[str] = NODES, now_ms: int = 0, **other: Any
) -> Rollout:
    return Rollout(
        id=other.pop("id", 1),
        bundle=BUNDLE,
        version=version,
        target=f"models/{BUNDLE}-{version}.bundle",
        phases=phases,
        deadline_s=DEADLINE_S,
        created_ms=now_ms,
        phase_started_ms=now_ms,
        members=plan(BUNDLE, nodes, phases),
        **other,
    )


# --- the plan ---------------------------------------------------------------------------------------


def test_a_third_of_three_nodes_is_one_canary() -> None:
    assert sorted(m.phase for m in plan(BUNDLE, ["a", "b", "c"], (34, 100)).values()) == [0, 1, 1]


@given(
    nodes=st.lists(st.text("abcdef", min_size=1), unique=True, min_size=1, max_size=40),
    phases=st.lists(st.integers(1, 100), unique=True, min_size=1, max_size=5).map(sorted),
    absent=st.sets(st.text("abcdef", min_size=1), max_size=10),
)
def test_a_plan_is_stable_takes_everyone_at_100_and_the_absent_last(
    nodes: list[str], phases: list[int], absent: set[str]
) -> None:
    made = plan(BUNDLE, nodes, tuple(phases), absent=absent)
    assert made == plan(BUNDLE, reversed(nodes), tuple(phases), absent=absent)
    assert any(m.phase == 0 for m in made.values())
    if phases[-1] == 100:
        assert set(made) == set(nodes)
    for i, percent in enumerate(phases):
        assert abs(sum(m.phase <= i for m in made.values()) - len(nodes) * percent / 100) <= 1
    there = [m.phase for m in made.values() if m.node not in absent]
    away = [m.phase for m in made.values() if m.node in absent]
    assert not there or not away or max(there) <= min(away)


# --- what a report means ----------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", list(Refusal))
@pytest.mark.parametrize("state", list(UpdateState))
def test_only_what_is_final_is_a_failure_and_only_of_the_version_that_was_tried(
    refusal: Refusal, state: UpdateState
) -> None:
    reported = Reported(bundle=BUNDLE, state=state, attempted="2.0.0", refusal=refusal, reason="off by 4")
    at_work = state in (UpdateState.DOWNLOADING, UpdateState.VERIFYING, UpdateState.TESTING)
    is_failure = not at_work and (refusal in FINAL or state is UpdateState.ROLLED_BACK)
    assert (failure_of(reported, "2.0.0") is not None) == is_failure
    assert failure_of(reported, "2.0.1") is None
    assert progress_of(reported, "2.0.1") is None
    if not is_failure:
        assert progress_of(reported, "2.0.0")


# --- whatever happens ---------------------------------------------------------------------------------

REPORTS = st.builds(
    Reported,
    bundle=st.just(BUNDLE),
    state=st.sampled_from(UpdateState),
    version=st.none() | st.sampled_from(VERSIONS),
    attempted=st.none() | st.sampled_from(VERSIONS),
    refusal=st.none() | st.sampled_from(Refusal),
)
ACTIVE = st.sampled_from(VERSIONS).map(
    lambda v: Reported(bundle=BUNDLE, state=UpdateState.ACTIVE, version=v, attempted=v)
)
NODE = st.sampled_from([*NODES, "late"])
ACTS = st.one_of(
    st.tuples(st.just("report"), NODE, REPORTS | ACTIVE),
    st.tuples(st.just("obey"), NODE),
    st.tuples(st.just("ail"), NODE),
    st.tuples(st.just("recover"), NODE),
    st.tuples(st.just("obey_all"), st.sets(st.sampled_from(NODES), max_size=2)),
    st.tuples(st.just("tick"), st.integers(0, 90), st.sets(st.sampled_from(NODES))),
    st.tuples(st.sampled_from(["pause", "resume", "abort"])),
    st.tuples(
        st.just("start"), st.sampled_from(VERSIONS), st.sampled_from([(100,), (34, 100), (10, 50, 100), (20, 40)])
    ),
    st.tuples(st.just("withdraw"), st.sampled_from(VERSIONS)),
    st.tuples(st.just("undo"), st.sampled_from(VERSIONS)),
    st.tuples(st.just("join")),
    st.tuples(st.just("refit"), NODE, st.none() | st.just("no task")),
)


def test_a_node_that_ran_the_version_and_fails_as_it_did_before_is_not_active() -> None:
    rollout = rollout_of("1.0.0", (100,), ["n1", "n2"])
    refused = Reported(bundle=BUNDLE, state=UpdateState.IDLE, attempted="1.0.0", refusal=Refusal.PASSPORT)
    rollout.members["n1"].old_failure = failure_of(refused, "1.0.0")
    runs = Reported(bundle=BUNDLE, state=UpdateState.ACTIVE, version="1.0.0", attempted="1.0.0")
    rollout.observe("n1", refused, 0)
    assert rollout.members["n1"].state is MemberState.WAITING
    rollout.observe("n1", runs, 0)
    rollout.observe("n1", refused, 0)
    assert rollout.members["n1"].state is MemberState.FAILED


class Fleet:
    """Rollouts of one bundle, what the nodes last reported, and what an operator may do."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.rollouts: list[Rollout] = []  # newest first
        self.reports = {node: Reported(bundle=BUNDLE) for node in (*NODES, "late")}
        self.useless: dict[str, str] = {}  # node → version that is of no use there
        self.withdrawn: set[tuple[str, str]] = set()
        self.ends: dict[int, tuple[RolloutState, str]] = {}

    @property
    def live(self) -> Rollout | None:
        return next((r for r in self.rollouts if r.state in LIVE), None)

    def wanted(self, node: str) -> str | None:
        running = self.reports[node].version
        published = lambda bundle, version: f"models/{bundle}-{version}.bundle"  # noqa: E731
        found = wanted(self.rollouts, node, running, self.withdrawn, published)
        return found.version if found else None

    def report(self, node: str, reported: Reported) -> None:
        self.reports[node] = reported
        for rollout in self.rollouts:
            useless = rollout.version == reported.version == self.useless.get(node)
            rollout.observe(node, reported, self.now_ms, "model_nan" if useless else None)

    def ail(self, node: str) -> None:
        if (version := self.reports[node].version) is not None:
            self.useless[node] = version
            self.report(node, self.reports[node])

    def recover(self, node: str) -> None:
        self.useless.pop(node, None)
        self.report(node, self.reports[node])

    def obey(self, node: str) -> None:
        version = self.wanted(node) or self.reports[node].version
        if version is not None:
            self.report(node, Reported(bundle=BUNDLE, state=UpdateState.ACTIVE, version=version, attempted=version))

    def obey_all(self, but: set[str]) -> None:
        for node in NODES:
            if node not in but:
                self.obey(node)

    def tick(self, seconds: int, silent: set[str]) -> None:
        self.now_ms += seconds * 1000
        seen = {node: 0 if node in silent else self.now_ms for node in NODES}
        for rollout in self.rollouts:
            rollout.tick(self.now_ms, seen)

    def start(self, version: str, phases: tuple[int, ...]) -> None:
        if self.live is None and (BUNDLE, version) not in self.withdrawn:
            made = rollout_of(version, phases, now_ms=self.now_ms, id=len(self.rollouts) + 1)
            for member in made.members.values():
                reported = self.reports[member.node]
                member.ran = reported.version if reported.version != version else None
                member.old_failure = failure_of(reported, version)
            self.rollouts.insert(0, made)

    def withdraw(self, version: str) -> None:
        self.withdrawn.add((BUNDLE, version))
        for rollout in self.rollouts:
            if rollout.version == version:
                rollout.recall("withdrawn", self.now_ms)

    def undo(self, version: str) -> None:
        self.withdrawn.discard((BUNDLE, version))

    def join(self) -> None:
        for rollout in self.rollouts:
            rollout.join("late", self.reports["late"].version)

    def refit(self, node: str, why: str | None) -> None:
        for rollout in self.rollouts:
            rollout.refit(node, why, self.now_ms)

    def pause(self) -> None:
        if self.live is not None:
            self.live.pause("by hand")

    def resume(self) -> None:
        if self.live is not None:
            self.live.resume(self.now_ms)

    def abort(self) -> None:
        if self.live is not None:
            self.live.abort("by hand", self.now_ms)

    def check(self) -> None:
        assert sum(r.state in LIVE for r in self.rollouts) <= 1
        for rollout in self.rollouts:
            self._check_state(rollout)
            for node in self.reports:
                self._check_offer(rollout, node)
        for node in self.reports:
            assert (BUNDLE, self.wanted(node)) not in self.withdrawn, "a withdrawn version is offered to nobody"

    def _check_state(self, rollout: Rollout) -> None:
        history = rollout.history
        if rollout.state in ENDED:
            told = (rollout.state, summary(rollout).removesuffix("; the version was withdrawn since"))
            assert rollout.ended_ms is not None
            if rollout.id not in self.ends and rollout.state is RolloutState.COMPLETED:
                for member in history:  # at the moment that it is said
                    assert self.reports[member.node].version == rollout.version
                    assert self.useless.get(member.node) != rollout.version
            if not rollout.recalled:
                assert self.ends.setdefault(rollout.id, told) == told, "an ended rollout is history"
            self.ends.setdefault(rollout.id, told)
        if rollout.state is RolloutState.COMPLETED:
            assert all(m.state is MemberState.ACTIVE for m in history)
        if rollout.state is RolloutState.COMPLETED_WITH_EXCEPTIONS:
            others = [m for m in history if m.state is not MemberState.ACTIVE]
            assert others
            assert all(m.node in summary(rollout) or len(others) > 5 for m in others), "exceptions are named"
        if rollout.state is RolloutState.PAUSED:
            assert rollout.reason
        if rollout.phase > 0 and rollout.state is RolloutState.RUNNING:
            failing = (MemberState.FAILED, MemberState.LATE, MemberState.USELESS)
            assert all(m.state not in failing for m in rollout.reached)
        if rollout.state in LIVE:
            for member in history:
                assert member.state not in RUNS or self.reports[member.node].version == rollout.version
                if member.state in RUNS and member.phase <= rollout.phase:
                    assert (member.state is MemberState.USELESS) == (self.useless.get(member.node) == rollout.version)

    def _check_offer(self, rollout: Rollout, node: str) -> None:
        running = self.reports[node].version
        offered = rollout.offers(node, running)
        member = rollout.members.get(node)
        if member is None:
            assert not offered
            return
        if rollout.state is RolloutState.RUNNING and member.phase > rollout.phase:
            assert not offered, "never before its phase"
        if rollout.recalled or rollout.state in (RolloutState.PAUSED, RolloutState.ABORTED):
            assert not offered or running == rollout.version, "nobody else gets it"
            if member.unfit is None:
                assert offered == (running == rollout.version), "who runs it keeps it"


@settings(max_examples=400, deadline=None)
@given(acts=st.lists(ACTS, min_size=8, max_size=60))
def test_whatever_happens_the_promises_hold(acts: list[tuple[Any, ...]]) -> None:
    fleet = Fleet()
    fleet.start("1.0.0", (34, 100))
    for name, *rest in acts:
        before = {r.id: (r.state, r.phase, {n: m.state for n, m in r.members.items()}) for r in fleet.rollouts}
        try:
            getattr(fleet, name)(*rest)
        except ContractError:  # refused: nothing changed
            for rollout in fleet.rollouts:
                assert (rollout.state, rollout.phase) == before[rollout.id][:2]
        for rollout in fleet.rollouts:
            state, phase, members = before.get(rollout.id, (rollout.state, rollout.phase, {}))
            steps = {state, *ROLLOUT_TRANSITIONS[state]}
            if name == "resume":  # it may complete or pause at once
                steps |= {to for step in list(steps) for to in ROLLOUT_TRANSITIONS[step]}
            assert rollout.state in steps
            assert rollout.phase >= phase
            completed = (RolloutState.COMPLETED, RolloutState.COMPLETED_WITH_EXCEPTIONS)
            if rollout.phase > phase or (rollout.state in completed and state not in completed):
                first = [m for m in rollout.members.values() if m.phase == 0]
                assert any(m.state is MemberState.ACTIVE for m in first), "the first phase needs a node that runs it"
            for node, was in members.items():
                now = rollout.members[node].state
                assert now is was or now in MEMBER_TRANSITIONS[was] or name == "resume"
        fleet.check()


@settings(max_examples=100, deadline=None)
@given(acts=st.lists(ACTS, max_size=30))
def test_a_fleet_that_does_what_it_is_told_comes_to_rest(acts: list[tuple[Any, ...]]) -> None:
    """Nobody is sent to and fro: a node that runs what is wanted is wanted to run the same."""
    fleet = Fleet()
    fleet.start("1.0.0", (34, 100))
    for name, *rest in acts:
        try:
            getattr(fleet, name)(*rest)
        except ContractError:
            continue
    for _ in range(12):
        for node in NODES:
            fleet.obey(node)
    before = {node: fleet.wanted(node) for node in NODES}
    for node in NODES:
        assert before[node] in (None, fleet.reports[node].version)
        fleet.obey(node)
    assert before == {node: fleet.wanted(node) for node in NODES}
