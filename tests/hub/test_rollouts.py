"""Rollouts: canary first, stopped by a refusal or a deadline, never past a node that is not active."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.conftest import AUTH, Hub
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.rollouts import Member, MemberState, Rollout, plan
from wayside.contracts.rollout import ROLLOUT_TRANSITIONS, Refusal, RolloutState, UpdateState
from wayside.contracts.sync import Reported
from wayside.contracts.wire import ContractError

ACTIVE = Reported(state=UpdateState.ACTIVE, bundle="flow", version="2.0.0", attempted="2.0.0")
REFUSED = Reported(state=UpdateState.REFUSED, attempted="2.0.0", refusal=Refusal.GOLDEN, reason="off by 4")
NO_NETWORK = Reported(state=UpdateState.REFUSED, attempted="2.0.0", refusal=Refusal.DOWNLOAD)
ROLLED_BACK = Reported(state=UpdateState.ROLLED_BACK, attempted="2.0.0")
DOWNLOADING = Reported(state=UpdateState.DOWNLOADING, version="1.0.0", attempted="2.0.0")


def rollout_of(nodes: list[str], phases: tuple[int, ...], deadline_s: float = 60.0) -> Rollout:
    return Rollout(
        id=1,
        bundle="flow",
        version="2.0.0",
        target="models/flow-2.0.0.bundle",
        phases=phases,
        deadline_s=deadline_s,
        created_ms=0,
        phase_started_ms=0,
        members=plan("flow", nodes, phases),
    )


# --- the plan --------------------------------------------------------------------------------------


def test_a_third_of_three_nodes_is_one_canary() -> None:
    phases = [m.phase for m in plan("flow", ["a", "b", "c"], (34, 100)).values()]
    assert sorted(phases) == [0, 1, 1]


@given(
    nodes=st.lists(st.text("abcdef", min_size=1), unique=True, min_size=1, max_size=40),
    phases=st.lists(st.integers(1, 100), unique=True, min_size=1, max_size=5).map(sorted),
)
def test_a_plan_is_stable_takes_everyone_at_100_and_nobody_twice(nodes: list[str], phases: list[int]) -> None:
    made = plan("flow", nodes, tuple(phases))
    assert made == plan("flow", reversed(nodes), tuple(phases))
    assert any(m.phase == 0 for m in made.values())
    if phases[-1] == 100:
        assert set(made) == set(nodes)
    for i, percent in enumerate(phases):
        assert abs(sum(m.phase <= i for m in made.values()) - len(nodes) * percent / 100) <= 1


# --- the state machine -----------------------------------------------------------------------------

ACTS = st.one_of(
    st.tuples(
        st.just("observe"),
        st.integers(0, 7),
        st.sampled_from([ACTIVE, REFUSED, NO_NETWORK, ROLLED_BACK, DOWNLOADING, Reported()]),
    ),
    st.tuples(st.just("tick"), st.integers(0, 90)),
    st.tuples(st.sampled_from(["pause", "resume", "abort"])),
)


@settings(max_examples=300, deadline=None)
@given(phases=st.sampled_from([(100,), (34, 100), (10, 50, 100), (20, 40)]), acts=st.lists(ACTS, max_size=40))
def test_whatever_happens_the_promises_hold(phases: tuple[int, ...], acts: list[tuple]) -> None:  # type: ignore[type-arg]
    nodes = [f"n{i}" for i in range(8)]
    rollout = rollout_of(nodes, phases)
    now = 0
    for act in acts:
        before_state, before_phase = rollout.state, rollout.phase
        try:
            match act:
                case ("observe", i, reported):
                    rollout.observe(nodes[i], reported, now)
                case ("tick", seconds):
                    now += seconds * 1000
                    rollout.tick(now)
                case ("pause",):
                    rollout.pause("by hand")
                case ("resume",):
                    rollout.resume(now)
                case ("abort",):
                    rollout.abort("by hand")
        except ContractError:
            assert rollout.state is before_state  # refused, and nothing changed
        state = rollout.state
        # resuming may complete at once, when nobody is left to wait for
        completed = before_state is RolloutState.PAUSED and state is RolloutState.COMPLETED
        assert state is before_state or state in ROLLOUT_TRANSITIONS[before_state] or completed
        assert rollout.phase >= before_phase
        for member in rollout.members.values():
            settled = member.state in (MemberState.ACTIVE, MemberState.EXCUSED)
            assert (
                member.phase >= rollout.phase
                or settled
                or state is not RolloutState.RUNNING
                or (member.state is MemberState.FAILED)
            )
            if state is RolloutState.COMPLETED:
                assert settled or member.state is MemberState.FAILED
            if state is RolloutState.ABORTED:
                assert not rollout.offers(member.node)
            if state is RolloutState.RUNNING and member.phase > rollout.phase:
                assert not rollout.offers(member.node)
            if state is RolloutState.PAUSED:
                assert rollout.offers(member.node) == (member.state is MemberState.ACTIVE)
        if state is RolloutState.PAUSED and before_state is RolloutState.RUNNING:
            assert rollout.reason


def test_phases_follow_one_another_when_every_node_is_active() -> None:
    rollout = rollout_of(["a", "b", "c"], (34, 100))
    (canary,) = [m.node for m in rollout.members.values() if m.phase == 0]
    others = {"a", "b", "c"} - {canary}
    assert rollout.offers(canary)
    assert not any(rollout.offers(n) for n in others)
    rollout.observe(canary, ACTIVE, 5)
    assert all(rollout.offers(n) for n in others)
    for node in others:
        assert rollout.state is RolloutState.RUNNING
        rollout.observe(node, ACTIVE, 6)
    assert rollout.state is RolloutState.COMPLETED


def test_a_failed_download_does_not_pause() -> None:
    rollout = rollout_of(["a"], (100,))
    rollout.observe("a", NO_NETWORK, 1)
    assert rollout.state is RolloutState.RUNNING


@pytest.mark.parametrize("reported", [REFUSED, ROLLED_BACK])
def test_a_refusal_or_rollback_pauses_and_says_why(reported: Reported) -> None:
    rollout = rollout_of(["a", "b"], (50, 100))
    (canary,) = [m.node for m in rollout.members.values() if m.phase == 0]
    rollout.observe(canary, reported, 1)
    assert rollout.state is RolloutState.PAUSED
    assert canary in (rollout.reason or "")
    assert not rollout.offers(canary)


def test_a_phase_that_takes_too_long_pauses_and_names_the_nodes() -> None:
    rollout = rollout_of(["a"], (100,), deadline_s=60)
    assert not rollout.tick(60_000)
    assert rollout.tick(60_001)
    assert rollout.state is RolloutState.PAUSED
    assert "a" in (rollout.reason or "").split()[-1]


def test_resuming_excuses_those_who_refused() -> None:
    rollout = rollout_of(["a"], (100,))
    rollout.observe("a", REFUSED, 1)
    rollout.resume(2)
    assert rollout.members["a"] == Member("a", 0, MemberState.EXCUSED, "golden: off by 4")
    assert rollout.state is RolloutState.COMPLETED


# --- through the API -------------------------------------------------------------------------------


def start(hub: Hub, version: str, phases: tuple[int, ...] = (34, 100), **other: object) -> dict:  # type: ignore[type-arg]
    answer = hub.client.post(
        "/api/v1/rollouts",
        json={
            "bundle": "traffic-flow",
            "version": version,
            "target": f"models/traffic-flow-{version}.bundle",
            "phases": phases,
            **other,
        },
        headers=AUTH,
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def fleet(hub: Hub) -> list[SimulatedNode]:
    keys = OfflineKeys(hub.client)
    keys.initialise()
    for version in ("1.0.0", "1.0.1"):
        assert keys.publish(version, version.encode()).status_code == 204
    return [hub.node(f"node-{i}") for i in range(3)]


def follow(nodes: list[SimulatedNode], rounds: int = 6) -> None:
    """Nodes sync and do what they are told."""
    for _ in range(rounds):
        for node in nodes:
            desired = node.sync().desired
            if desired is not None and node.reported.version != desired.version:
                node.run(desired.version)


def test_a_good_version_reaches_every_node_and_a_late_one_too(hub: Hub, fleet: list[SimulatedNode]) -> None:
    made = start(hub, "1.0.0")
    assert [len(p["nodes"]) for p in made["phases"]] == [1, 2]
    assert sum(node.sync().desired is not None for node in fleet) == 1
    follow(fleet)
    shown = hub.get(f"/api/v1/rollouts/{made['id']}")
    assert shown["state"] == "completed"
    assert [p["state"] for p in shown["phases"]] == ["complete", "complete"]  # type: ignore[union-attr]
    late = hub.node("node-late")
    desired = late.sync().desired
    assert desired is not None
    assert desired.version == "1.0.0"


def test_a_refused_version_stops_at_the_canary_and_abort_returns_to_the_one_before(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    start(hub, "1.0.0")
    follow(fleet)
    made = start(hub, "1.0.1")
    (canary,) = [n for n in fleet if n.name == made["phases"][0]["nodes"][0]["node"]]
    assert canary.sync().desired.version == "1.0.1"  # type: ignore[union-attr]
    canary.refuse("1.0.1", Refusal.GOLDEN, "golden window 3: 4.2 veh, tolerance 1.0")
    canary.sync()
    shown = hub.get(f"/api/v1/rollouts/{made['id']}")
    assert shown["state"] == "paused"
    assert "golden window 3" in str(shown["reason"])
    for node in fleet:
        assert node.sync().desired.version == "1.0.0"  # type: ignore[union-attr]
    assert hub.get(f"/api/v1/nodes/{canary.name}")["heartbeat"]["reported"]["refusal"] == "golden"  # type: ignore[index]
    answer = hub.client.post(f"/api/v1/rollouts/{made['id']}/abort", headers=AUTH)
    assert answer.json()["state"] == "aborted"
    assert hub.client.post(f"/api/v1/rollouts/{made['id']}/resume", headers=AUTH).status_code == 409


def test_a_second_attempt_is_not_stopped_by_the_refusal_of_the_first(hub: Hub, fleet: list[SimulatedNode]) -> None:
    first = start(hub, "1.0.1", (100,))
    fleet[0].refuse("1.0.1")
    fleet[0].sync()
    assert hub.client.post(f"/api/v1/rollouts/{first['id']}/abort", headers=AUTH).status_code == 200
    second = start(hub, "1.0.1", (100,))
    fleet[0].sync()  # still says what it said before
    assert hub.get(f"/api/v1/rollouts/{second['id']}")["state"] == "running"
    fleet[0].reported = Reported(state=UpdateState.DOWNLOADING, attempted="1.0.1")
    fleet[0].sync()
    fleet[0].refuse("1.0.1")  # tried again, refused again: that is news
    fleet[0].sync()
    assert hub.get(f"/api/v1/rollouts/{second['id']}")["state"] == "paused"


def test_a_rollout_needs_a_published_version_nodes_and_no_other_running(hub: Hub) -> None:
    ask = {"bundle": "flow", "version": "1.0.0", "target": "models/flow-1.0.0.bundle", "phases": [100]}
    post = lambda: hub.client.post("/api/v1/rollouts", json=ask, headers=AUTH).json()["error"]  # noqa: E731
    assert post() == "not_published"
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", b"x", bundle="flow")
    assert post() == "no_nodes"
    hub.node()
    assert start(hub, "1.0.0", (100,), bundle="flow", target=ask["target"])["state"] == "running"
    assert post() == "running"
    ask["bundle"] = "other"
    assert post() == "not_that_version"


def test_a_deadline_passes_without_any_sync(hub: Hub, fleet: list[SimulatedNode]) -> None:
    import time

    made = start(hub, "1.0.0", deadline_s=0.1)
    for _ in range(50):
        if hub.get(f"/api/v1/rollouts/{made['id']}")["state"] == "paused":
            break
        time.sleep(0.1)
    else:
        raise AssertionError("still running")


@pytest.mark.parametrize("phases", [[], [0], [101], [50, 50], [100, 50], ["all"], [1.5]])
def test_phases_that_make_no_sense_are_refused(hub: Hub, phases: list[object]) -> None:
    ask = {"bundle": "flow", "version": "1.0.0", "target": "models/flow-1.0.0.bundle", "phases": phases}
    answer = hub.client.post("/api/v1/rollouts", json=ask, headers=AUTH)
    assert (answer.status_code, answer.json()["error"]) == (422, "broken_contract")
