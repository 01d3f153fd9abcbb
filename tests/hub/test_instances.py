"""A copied card is found out, whatever the two do; one computer is never called two, whatever it does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, Hub
from tests.hub.offline_keys import OfflineKeys
from tests.hub.test_replacement import node_of, said
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.instances import Clone, Instance, Present

THIS, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64


def played(present: Present, syncs: list[tuple[str, str | None]]) -> list[Present]:
    """The states after each sync of ``(boot, machine)``."""
    synced: set[str] = set()
    states = []
    for at, (boot, machine) in enumerate(syncs):
        present = present.heard(boot, machine, at, lambda b=boot: b in synced)  # type: ignore[misc]
        synced.add(boot)
        states.append(present)
    return states


class Life:
    """One agent: each word is a sync (True) or a restart."""

    def __init__(self, name: str, machine: str | None) -> None:
        self.name, self.machine, self.starts = name, machine, 0

    def act(self, sync: bool) -> tuple[str, str | None] | None:
        if not sync:
            self.starts += 1
            return None
        return f"{self.name}{self.starts}", self.machine


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, THIS, OTHER]))), st.sampled_from([None, THIS]))
def test_one_instance_is_never_a_clone_whatever_it_does(
    life: list[tuple[bool, str | None]], enrolled: str | None
) -> None:
    """Restarts in any number, and its card moved between computers at any restart."""
    one = Life("A", enrolled)
    syncs = []
    for sync, machine in life:
        if not sync:
            one.machine = machine
        if (seen := one.act(sync)) is not None:
            syncs.append(seen)
    assert all(state.clone is None for state in played(Present(public_key="k", machine=enrolled), syncs))


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([True, True, True, False])), max_size=60),
    st.sampled_from([None, THIS]),
    st.sampled_from([None, THIS, OTHER]),
)
def test_two_live_instances_are_found_at_the_first_sync_that_proves_them(
    turns: list[tuple[bool, bool]], first: str | None, second: str | None
) -> None:
    """The proof is a boot heard before and after another one; until then, and only then, nothing is claimed."""
    lives = Life("A", first), Life("B", second)
    syncs = [seen for which, sync in turns if (seen := lives[which].act(sync)) is not None]
    states = played(Present(public_key="k", machine=first), syncs)
    proven = False
    for i, (boot, _) in enumerate(syncs):
        before = [b for b, _ in syncs[:i]]
        proven |= boot in before and boot != before[-1]
        assert (states[i].clone is not None) == proven


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 20))
def test_two_that_run_on_are_found_when_the_first_syncs_again(ahead: int, between: int, restarts: int) -> None:
    """Also when the other one crashes and restarts at every sync."""
    crashing = [(f"B{i}", None) for i in range(restarts)] or [("B", None)]
    syncs = [("A", None)] * ahead + crashing * between
    assert played(Present(public_key="k"), [*syncs, ("A", None)])[-1].clone is not None


@given(st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from([None, THIS, OTHER, THIRD])), max_size=80))
def test_the_list_of_instances_is_bounded_and_names_the_latest(syncs: list[tuple[str, str | None]]) -> None:
    for (boot, _), state in zip(syncs, played(Present(public_key="k", machine=THIS), syncs), strict=True):
        if state.clone is not None:
            assert 2 <= len(state.clone.instances) <= 4
            assert state.clone.instances[-1].boot == boot


@pytest.mark.parametrize(
    ("machines", "settled"),
    [
        ((THIS, OTHER), True),
        ((THIS, OTHER, THIRD), True),
        ((THIS, None), False),
        ((THIS, THIS), False),
        ((OTHER, THIRD), False),
        ((None, None), False),
    ],
)
def test_the_fingerprint_decides_only_where_it_can(machines: tuple[str | None, ...], settled: bool) -> None:
    found = tuple(Instance(boot=str(i), machine=m, seen_ms=0) for i, m in enumerate(machines))
    assert Clone(since_ms=0, instances=found).is_settled_by(THIS) == settled
    assert not Clone(since_ms=0, instances=found).is_settled_by(None)


def codes(reply: Any) -> list[str]:
    return [notice.code for notice in reply.notices]


def accept(hub: Hub, begins: str) -> Any:
    return hub.client.post("/api/v1/nodes/node-1/hardware", json={"hardware": begins}, headers=AUTH)


@pytest.fixture
def release(hub: Hub) -> Hub:
    """A hub that rolls version 1.0.0 out to node-1."""
    keys = OfflineKeys(hub.client)
    keys.initialise()
    assert keys.publish("1.0.0", bundle_of("1.0.0")).status_code == 204
    return hub


def roll_out(hub: Hub) -> None:
    about = {"bundle": "traffic-flow", "version": "1.0.0", "target": "models/traffic-flow-1.0.0.bundle"}
    assert hub.client.post("/api/v1/rollouts", json=about | {"phases": [100]}, headers=AUTH).status_code == 201


@pytest.mark.both_stores
def test_the_enrolled_computer_works_on_with_a_notice_and_the_copy_is_refused(release: Hub) -> None:
    hub = release
    node = SimulatedNode(hub.client)
    node.machine = THIS
    assert node.enrol(hub.token()).status_code == 200
    node.sync()
    roll_out(hub)
    copy = node.copied()
    copy.machine = OTHER
    assert codes(node.sync([node.summary(1.0)])) == []
    assert codes(copy.sync([copy.summary(2.0)])) == ["other_hardware"], "a moved card would look the same so far"
    reply = node.sync([node.summary(3.0)])
    assert codes(reply) == ["clone"]
    assert reply.desired is not None
    refused = copy.post(copy.request([copy.summary(4.0)]))
    assert said(refused) == (409, "clone")
    assert f"`wayside replace node-1 --accept-hardware {OTHER[:12]}`" in refused.json()["message"]
    assert [r["value"] for r in hub.get("/api/v1/summaries")["summaries"]] == [1.0, 2.0, 3.0]  # type: ignore[attr-defined]
    node.restart()
    assert codes(node.sync()) == ["clone"], "a restart of the right one changes nothing"
    copy.restart()
    assert said(copy.post(copy.request([]))) == (409, "clone")
    clone = node_of(hub)["clone"]
    assert clone["settled"]
    assert {i["machine"] for i in clone["instances"]} == {THIS, OTHER}
    assert "wayside_nodes_cloned 1.0" in hub.client.get("/metrics").text


def test_when_the_copy_is_gone_the_operator_says_so_and_all_is_as_before(hub: Hub) -> None:
    node = SimulatedNode(hub.client)
    node.machine = THIS
    node.enrol(hub.token())
    copy = node.copied()
    copy.machine = OTHER
    for one in (node, copy, node):
        one.sync()
    assert accept(hub, THIS[:8]).json()["machine"] == THIS
    assert node_of(hub)["clone"] is None
    assert codes(node.sync()) == codes(node.sync()) == []
    copy.sync()
    assert codes(node.sync()) == ["clone"], "it was not gone after all: found out again"


def test_the_operator_may_decide_for_the_other_computer(hub: Hub) -> None:
    node = SimulatedNode(hub.client)
    node.machine = THIS
    node.enrol(hub.token())
    copy = node.copied()
    copy.machine = OTHER
    for one in (node, copy, node):
        one.sync()
    assert accept(hub, OTHER[:12]).status_code == 200
    copy.sync([copy.summary()])
    node.sync()
    copy.sync()
    assert said(node.post(node.request([]))) == (409, "clone")


@pytest.mark.parametrize("machine", [None, THIS], ids=["no fingerprint", "the same one"])
def test_where_nobody_can_tell_both_are_stored_both_are_told_and_neither_gets_models(
    release: Hub, machine: str | None
) -> None:
    hub = release
    node = SimulatedNode(hub.client)
    node.machine = machine
    node.enrol(hub.token())
    node.sync()
    roll_out(hub)
    copy = node.copied()
    assert node.sync([node.summary(1.0)]).desired is not None
    copy.sync([copy.summary(2.0)])
    for one, value in ((node, 3.0), (copy, 4.0)) * 2:
        reply = one.sync([one.summary(value)])
        assert (codes(reply), reply.desired) == (["clone"], None)
    assert len(hub.get("/api/v1/summaries")["summaries"]) == 6  # type: ignore[arg-type]
    copy.run("1.0.0")
    copy.sync()
    assert hub.get("/api/v1/rollouts")["rollouts"][0]["state"] == "running", "neither speaks for the node"  # type: ignore[index]
    assert accept(hub, node.boot[:12]).status_code == 200
    assert node.sync().desired is not None


@pytest.mark.both_stores
def test_a_new_key_for_the_right_one_shuts_every_copy_out(hub: Hub) -> None:
    node = hub.node()
    copy = node.copied()
    for one in (node, copy, node):
        one.sync()
    assert node_of(hub)["clone"] is not None
    new = SimulatedNode(hub.client)
    assert new.enrol(hub.replacement("node-1", reason="a copied card")).status_code == 200
    assert codes(new.sync()) == []
    assert node_of(hub)["clone"] is None
    for one in (node, copy):
        assert said(one.post(one.request([]))) == (403, "key_revoked")


@pytest.mark.both_stores
def test_a_card_that_was_moved_is_asked_about_and_accepted(hub: Hub) -> None:
    node = SimulatedNode(hub.client)
    node.machine = THIS
    node.enrol(hub.token())
    node.sync()
    node.restart()
    node.machine = OTHER
    for _ in range(3):
        assert codes(node.sync([node.summary()])) == ["other_hardware"]
    assert node_of(hub)["clone"] is None
    assert (node_of(hub)["machine"], node_of(hub)["machine_seen"]) == (THIS, OTHER)
    assert accept(hub, OTHER[:6].upper()).status_code == 200
    assert codes(node.sync()) == []
    assert node_of(hub)["machine"] == OTHER


def test_accepting_what_was_never_seen_or_is_not_one_is_refused(hub: Hub) -> None:
    node = SimulatedNode(hub.client)
    node.machine = "abcdef" + "0" * 58
    node.enrol(hub.token())
    node.sync()
    node.restart()
    node.machine = "abcdef" + "1" * 58
    node.sync()
    assert said(accept(hub, "123456")) == (404, "hardware")
    assert said(accept(hub, "abcdef")) == (409, "hardware")
    assert said(accept(hub, "abc")) == (422, "broken_contract")
    assert accept(hub, "abcdef1").status_code == 200


def test_a_restart_storm_is_no_clone(hub: Hub) -> None:
    node = hub.node()
    for i in range(50):
        assert codes(node.sync([node.summary()])) == []
        if i % 3:
            node.restart()
    assert node_of(hub)["clone"] is None


def test_a_delayed_request_of_an_earlier_boot_is_refused_and_is_no_clone(hub: Hub) -> None:
    """A proxy kept it while the node restarted: its first delivery, and every repetition of a delivered one."""
    node = hub.node()
    node.sync()
    delayed = node.request([node.summary()])
    headers = node.headers(delayed)
    delivered = node.request([])
    repeated = node.headers(delivered, nonce=hub.client.get("/api/v1/nonce", params={"node": "node-1"}).json()["nonce"])
    assert node.send(delivered, repeated).status_code == 200
    node.restart()
    node.sync()
    for body, signed in ((delayed, headers), (delivered, repeated)) * 2:
        assert said(hub.client.post("/api/v1/sync", content=body, headers=signed)) == (401, "nonce")
        assert codes(node.sync()) == []
    assert node_of(hub)["clone"] is None


def test_rows_of_an_earlier_boot_that_waited_are_no_clone(hub: Hub) -> None:
    node = hub.node()
    node.sync()
    old = [node.summary() for _ in range(3)]
    node.restart()
    assert node.sync(old).stored == 3
    assert codes(node.sync()) == []


@pytest.mark.both_stores
def test_what_is_known_of_two_outlives_a_restart_of_the_hub(hub: Hub) -> None:
    from fastapi.testclient import TestClient

    from tests.hub.conftest import OPERATOR
    from wayside.cloud.hub.app import create_app

    node = hub.node()
    copy = node.copied()
    node.sync()
    copy.sync()
    with TestClient(create_app(hub.data, OPERATOR, hub.database), headers=AUTH, raise_server_exceptions=False) as again:
        node.client = copy.client = again
        assert codes(node.sync()) == ["clone"]
        assert codes(copy.sync()) == ["clone"]


def test_a_refused_enrolment_of_a_copy_tells_nothing_new(hub: Hub) -> None:
    """Two cards of one image that was never started: each makes its own key, and the token is one-time."""
    token = hub.token(node="node-1")
    assert SimulatedNode(hub.client).enrol(token).status_code == 200
    assert said(SimulatedNode(hub.client).enrol(token)) == (403, "token_used")
