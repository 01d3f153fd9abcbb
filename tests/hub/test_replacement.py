"""New hardware takes over a node: one token, one moment, the history stays and the old key is out."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import pytest

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, NOBODY, Hub, store_of
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.api import nodes as api_nodes
from wayside.cloud.hub.registry import MAX_PAST_KEYS, enrol
from wayside.contracts.identity import NONCE_HEADER, SIGNATURE_HEADER
from wayside.contracts.sync import EnrolRequest
from wayside.contracts.wire import encode


def node_of(hub: Hub, name: str = "node-1") -> dict[str, Any]:
    return hub.get(f"/api/v1/nodes/{name}")


def keys_of(hub: Hub, name: str = "node-1") -> list[dict[str, Any]]:
    return hub.get(f"/api/v1/nodes/{name}/keys")["keys"]  # type: ignore[return-value]


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", "")


@pytest.mark.both_stores
def test_new_hardware_takes_over_name_row_and_history_and_the_old_key_is_revoked(hub: Hub) -> None:
    old = hub.node()
    old.sync([old.summary(1.0)])
    before = node_of(hub)
    token = hub.replacement("node-1", reason="water in the cabinet")
    assert old.sync([old.summary(2.0)]).stored == 1, "until the new one enrols the old one works on"
    new = SimulatedNode(hub.client)
    assert new.enrol(token).status_code == 200
    assert new.sync([new.summary(3.0)]).stored == 1
    refused = old.post(old.request([old.summary(4.0)]))
    assert said(refused) == (403, "key_revoked")
    assert "this hardware was replaced on 20" in refused.json()["message"]
    assert "water in the cabinet" in refused.json()["message"]
    rows = hub.get("/api/v1/summaries", node="node-1")["summaries"]
    assert [row["value"] for row in rows] == [1.0, 2.0, 3.0]  # type: ignore[attr-defined]
    after = node_of(hub)
    assert (after["enrolled_ms"], after["site"], after["stored"]) == (before["enrolled_ms"], "Main St", 3)
    present, past = keys_of(hub)
    assert (present["public_key"], present["revoked_ms"]) == (new.public_key, None)
    assert (past["public_key"], past["reason"]) == (old.public_key, "water in the cabinet")
    assert past["revoked_ms"] == present["since_ms"] == after["key_since_ms"]


def test_a_replacement_token_is_one_nodes_one_time_and_for_a_time(hub: Hub) -> None:
    hub.node("node-1")
    hub.node("node-2")
    token = hub.replacement("node-1")
    assert said(SimulatedNode(hub.client, "node-2").enrol(token)) == (403, "token")
    assert said(SimulatedNode(hub.client, "node-3").enrol(token)) == (403, "token")
    new = SimulatedNode(hub.client, "node-1")
    assert new.enrol(token).status_code == 200
    assert new.enrol(token).status_code == 200, "the answer was lost and it asks again"
    assert said(SimulatedNode(hub.client, "node-1").enrol(token)) == (403, "token_used")
    late = hub.replacement("node-1", ttl_s=0.001)
    assert said(SimulatedNode(hub.client, "node-1").enrol(late)) == (403, "token_expired")
    assert len(keys_of(hub)) == 2


def test_a_replacement_token_is_not_used_up_by_the_key_that_it_is_to_replace(hub: Hub) -> None:
    """Somebody put it into the old computer's configuration first."""
    old = hub.node()
    token = hub.replacement("node-1")
    assert old.enrol(token).status_code == 200
    assert old.sync().stored == 0
    assert SimulatedNode(hub.client).enrol(token).status_code == 200
    assert said(old.post(old.request([]))) == (403, "key_revoked")


@pytest.mark.both_stores
def test_a_replacement_that_fails_half_way_changes_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = hub.node(), SimulatedNode(hub.client)
    old.sync()
    token = hub.replacement("node-1")

    def fail(*_: object) -> None:
        raise RuntimeError("after the old key was revoked and the new one bound")

    with monkeypatch.context() as patch:
        patch.setattr("wayside.cloud.hub.registry.forget_instances", fail)
        assert new.enrol(token).status_code == 500
    assert old.sync([old.summary()]).stored == 1
    assert [k["public_key"] for k in keys_of(hub)] == [old.public_key]
    assert new.enrol(token).status_code == 200
    assert new.sync([new.summary()]).stored == 1


@pytest.mark.both_stores
def test_the_first_of_two_replacement_tokens_that_is_used_ends_the_other(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.node()
    one, two = hub.replacement("node-1"), hub.replacement("node-1")
    assert SimulatedNode(hub.client).enrol(two).status_code == 200
    assert said(SimulatedNode(hub.client).enrol(one)) == (403, "token_expired")
    now = api_nodes.now_ms()
    monkeypatch.setattr(api_nodes, "now_ms", lambda: now - 60_000)
    assert said(SimulatedNode(hub.client).enrol(one)) == (403, "token_expired"), "also when the hub's clock is set back"


def test_an_ordinary_token_replaces_nobody_and_the_refusal_says_what_does(hub: Hub) -> None:
    hub.node()
    answer = SimulatedNode(hub.client).enrol(hub.token(node="node-1"))
    assert said(answer) == (409, "node_exists")
    assert "`wayside replace node-1`" in answer.json()["message"]


def test_replaced_hardware_cannot_come_back_with_the_token_that_it_once_had(hub: Hub) -> None:
    token = hub.token(node="node-1")
    old = SimulatedNode(hub.client)
    assert old.enrol(token).status_code == 200
    new = SimulatedNode(hub.client)
    assert new.enrol(hub.replacement("node-1")).status_code == 200
    assert said(old.enrol(token)) == (403, "key_revoked")
    assert new.sync([new.summary()]).stored == 1, "and the attempt changed nothing"


@pytest.mark.both_stores
def test_hardware_that_is_put_back_takes_part_again(hub: Hub) -> None:
    old = hub.node()
    old.sync()
    new = SimulatedNode(hub.client)
    new.enrol(hub.replacement("node-1", reason="loan"))
    new.sync()
    assert old.enrol(hub.replacement("node-1", reason="repaired")).status_code == 200
    assert old.sync([old.summary()]).stored == 1
    assert said(new.post(new.request([]))) == (403, "key_revoked")
    assert [k["reason"] for k in keys_of(hub)] == [None, "repaired", "loan"]
    assert node_of(hub)["clone"] is None, "one after the other is no clone"


def test_only_the_operator_replaces_and_only_what_there_is(hub: Hub) -> None:
    hub.node()
    for act, body in (("replacement", {}), ("hardware", {"hardware": "abcdef"})):
        path = f"/api/v1/nodes/node-1/{act}"
        assert said(hub.client.post(path, json=body, headers=NOBODY)) == (401, "credentials")
        assert said(hub.client.post(f"/api/v1/nodes/nobody/{act}", json=body, headers=AUTH)) == (404, "node")
    assert hub.client.get("/api/v1/nodes/nobody/keys").status_code == 404


def test_a_token_of_one_site_is_not_for_another(hub: Hub) -> None:
    answer = SimulatedNode(hub.client).enrol(hub.token(site="5th Ave"))  # the simulated one says Main St
    assert said(answer) == (403, "token_site")
    assert "5th Ave" in answer.json()["message"]
    assert SimulatedNode(hub.client).enrol(hub.token(site="Main St")).status_code == 200
    silent = EnrolRequest(node="n", token=hub.token(site="5th Ave"), public_key=SimulatedNode(None).public_key)
    assert hub.client.post("/api/v1/enrol", content=encode(silent)).status_code == 200
    assert node_of(hub, "n")["site"] == "5th Ave"


def test_a_stranger_is_not_told_that_a_key_was_revoked(hub: Hub) -> None:
    hub.node()
    SimulatedNode(hub.client).enrol(hub.replacement("node-1"))
    stranger = SimulatedNode(hub.client)
    stranger.nonce = hub.client.get("/api/v1/nonce", params={"node": "node-1"}).json()["nonce"]
    assert said(stranger.post(stranger.request([]))) == (401, "signature")


def test_a_refused_old_node_does_not_use_up_the_new_ones_nonce(hub: Hub) -> None:
    old = hub.node()
    new = SimulatedNode(hub.client)
    new.enrol(hub.replacement("node-1"))
    for _ in range(5):
        assert said(old.post(old.request([]))) == (403, "key_revoked")
        body = new.request([new.summary()])
        assert new.send(body, new.headers(body)).status_code == 200, "with the nonce that it holds"


def test_the_new_hardware_is_given_the_sites_release(hub: Hub) -> None:
    old = hub.node()
    keys = OfflineKeys(hub.client)
    keys.initialise()
    assert keys.publish("1.0.0", bundle_of("1.0.0")).status_code == 204
    old.sync()
    rollout = {"bundle": "traffic-flow", "version": "1.0.0", "target": "models/traffic-flow-1.0.0.bundle"}
    assert hub.client.post("/api/v1/rollouts", json=rollout | {"phases": [100]}, headers=AUTH).status_code == 201
    old.run("1.0.0")
    old.sync()
    new = SimulatedNode(hub.client)
    new.enrol(hub.replacement("node-1"))
    desired = new.sync().desired
    assert desired is not None
    assert desired.version == "1.0.0"
    (listed,) = hub.get("/api/v1/rollouts")["rollouts"]  # type: ignore[misc]
    assert listed["state"] == "completed", "a replacement starts nothing anew"


@pytest.mark.both_stores
def test_a_request_that_was_under_way_when_the_node_was_replaced_stores_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature was checked before the other hardware enrolled, the rows come to the store after."""
    old, new = hub.node(), SimulatedNode(hub.client)
    token = hub.replacement("node-1", reason="water in the cabinet")
    decode_sync = api_nodes.decoded_sync
    request = EnrolRequest(node="node-1", token=token, public_key=new.public_key)

    def meanwhile(body: bytes) -> Any:
        monkeypatch.setattr(api_nodes, "decoded_sync", decode_sync)  # once
        with store_of(hub) as connection:
            assert enrol(connection, request, api_nodes.now_ms())[1] == "replaced"
        return decode_sync(body)

    monkeypatch.setattr(api_nodes, "decoded_sync", meanwhile)
    refused = old.post(old.request([old.summary()]))
    assert said(refused) == (403, "key_revoked")
    assert "water in the cabinet" in refused.json()["message"], "why, also to whom the hub has just forgotten"
    assert hub.get("/api/v1/summaries")["summaries"] == []


def test_many_replacements_do_not_slow_the_refusal_without_bound(hub: Hub) -> None:
    keys = MAX_PAST_KEYS + 2
    first = hub.node()
    for _ in range(keys):
        last = SimulatedNode(hub.client)
        last.enrol(hub.replacement("node-1"))
    assert len(keys_of(hub)) == keys + 1
    assert said(first.post(first.request([]))) == (401, "signature"), f"older than the last {MAX_PAST_KEYS}"
    assert last.sync().stored == 0


def test_a_revoked_keys_signature_needs_the_nonce_like_any_other(hub: Hub) -> None:
    old = hub.node()
    SimulatedNode(hub.client).enrol(hub.replacement("node-1"))
    body = old.request([])
    headers = old.headers(body, nonce=secrets.token_urlsafe(32))
    answer = old.send(body, headers)
    assert said(answer) == (401, "nonce")
    assert answer.headers[NONCE_HEADER]
    headers = old.headers(body) | {SIGNATURE_HEADER: base64.b64encode(bytes(64)).decode()}
    assert said(old.send(body, headers)) == (401, "signature")
