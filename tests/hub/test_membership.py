"""A stolen node is out at once, a retired one leaves with its history kept; names stay, labels and sites change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, OPERATOR, Hub, HubProcess
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.node import SimulatedNode
from tests.simulators.verb import typed


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", "")


def revoke(hub: Hub, name: str = "node-1", reason: str | None = "stolen") -> dict[str, Any]:
    answer = hub.client.post(f"/api/v1/nodes/{name}/revocation", json={"reason": reason}, headers=AUTH)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def retire(hub: Hub, name: str = "node-1", reason: str | None = "the crossing is gone") -> dict[str, Any]:
    answer = hub.client.post(f"/api/v1/nodes/{name}/retirement", json={"reason": reason}, headers=AUTH)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(hub: Hub, **query: object) -> list[str]:
    return [n["node"] for n in hub.get("/api/v1/nodes", **query)["nodes"]]  # type: ignore[attr-defined]


@pytest.mark.both_stores
def test_a_stolen_node_is_refused_at_once_with_the_reason_and_its_rows_stay(hub: Hub) -> None:
    token = hub.token(node="node-1")
    node = SimulatedNode(hub.client)
    node.enrol(token)
    node.sync([node.summary(1.0)])
    spare = hub.replacement("node-1")
    shown = revoke(hub)
    assert (shown["health"], shown["trouble"]) == ("silent", ["its key was revoked: stolen"])
    refused = node.post(node.request([node.summary(2.0)]))
    assert said(refused) == (403, "key_revoked"), "a code that agents of every release back off for"
    assert "(stolen)" in refused.json()["message"]
    assert said(node.hand_in(node.walked())) == (403, "key_revoked")
    for old in (token, spare, hub.token()):
        assert said(SimulatedNode(hub.client, "node-1", node.key).enrol(old)) == (403, "key_revoked")
    thief = SimulatedNode(hub.client)
    assert said(thief.enrol(spare))[0] == 403
    assert hub.get("/api/v1/nodes/node-1")["stored"] == 1
    assert names(hub) == ["node-1"], "its place waits for hardware"
    (key,) = hub.get("/api/v1/nodes/node-1/keys")["keys"]  # type: ignore[misc]
    assert (key["revoked_ms"], key["reason"]) == (shown["revoked_ms"], "stolen")
    assert revoke(hub)["revoked_ms"] == shown["revoked_ms"], "a second time changes nothing"


def test_a_sync_that_was_on_its_way_when_the_key_was_revoked_stores_nothing(hub: Hub) -> None:
    """Its signature was good when it was checked."""
    from wayside.cloud.hub.engine import open_engine
    from wayside.cloud.hub.instances import Instances
    from wayside.cloud.hub.registry import find

    hub.node()
    engine = open_engine(hub.data, hub.database)
    with engine.connect() as connection:
        before = find(connection, "node-1")
    revoke(hub)
    with engine.connect() as connection:
        refusal = Instances().judge(connection, before, "b" * 32, None, 1).refusal
    engine.dispose()
    assert refusal is not None
    assert refusal.code == "key_revoked"


@pytest.mark.both_stores
def test_a_replacement_lets_the_same_or_other_hardware_in_again(hub: Hub) -> None:
    node = hub.node()
    node.sync([node.summary(1.0)])
    for again in (node, SimulatedNode(hub.client), node):
        revoke(hub)
        assert again.enrol(hub.replacement("node-1")).status_code == 200
        assert again.sync([again.summary(2.0)]).stored == 1
        shown = hub.get("/api/v1/nodes/node-1")
        assert (shown["revoked_ms"], shown["trouble"]) == (None, [])
    assert hub.get("/api/v1/nodes/node-1")["stored"] == 4


@pytest.mark.both_stores
def test_a_retired_node_leaves_lists_counts_and_rollouts_and_its_history_stays(hub: Hub) -> None:
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", bundle_of("1.0.0"))
    leaves, stays = hub.node("node-1"), hub.node("node-2")
    leaves.sync([leaves.summary(1.0)])
    stays.sync([stays.summary(2.0)])
    target = {"bundle": "traffic-flow", "version": "1.0.0", "target": "models/traffic-flow-1.0.0.bundle"}
    hub.client.post("/api/v1/rollouts", json={**target, "phases": [100]}, headers=AUTH)
    retire(hub)
    assert names(hub) == ["node-2"]
    assert names(hub, retired=True) == ["node-1"]
    assert hub.get("/api/v1/stats")["stored"] == 1
    assert 'wayside_nodes{health="silent"} 0.0' in hub.client.get("/metrics", headers=AUTH).text
    assert [d["node"] for d in hub.get("/api/v1/datastreams")["datastreams"]] == ["node-2"]  # type: ignore[attr-defined]
    stays.run("1.0.0")
    stays.sync()
    rollout = hub.get("/api/v1/rollouts/1")
    assert rollout["state"] == "completed_with_exceptions", "nothing waits for who left"
    shown = hub.get("/api/v1/nodes/node-1")
    assert (shown["stored"], shown["out_reason"]) == (1, "the crossing is gone")
    rows = hub.get("/api/v1/summaries", node="node-1")["summaries"]
    assert [row["value"] for row in rows] == [1.0]  # type: ignore[attr-defined]
    assert hub.get("/api/v1/series", node="node-1", datastream="intersection/volume")["intervals"] == 1
    assert said(leaves.post(leaves.request([]))) == (403, "node_retired")


def test_the_name_of_a_retired_node_is_not_enrolled_again_by_mistake(hub: Hub) -> None:
    node = hub.node()
    retire(hub)
    assert said(SimulatedNode(hub.client).enrol(hub.token(node="node-1"))) == (403, "node_retired")
    back = SimulatedNode(hub.client)
    assert back.enrol(hub.replacement("node-1")).status_code == 200
    assert names(hub) == ["node-1"]
    assert back.sync([back.summary(3.0)]).stored == 1
    assert said(node.post(node.request([]))) == (403, "key_revoked")


def test_a_node_that_comes_back_takes_part_in_rollouts_again(hub: Hub) -> None:
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", bundle_of("1.0.0"))
    node, other = hub.node(), hub.node("node-2")
    node.sync()
    other.sync()
    target = {"bundle": "traffic-flow", "version": "1.0.0", "target": "models/traffic-flow-1.0.0.bundle"}
    hub.client.post("/api/v1/rollouts", json={**target, "phases": [100]}, headers=AUTH)
    revoke(hub)
    node.enrol(hub.replacement("node-1"))
    node.restart()
    assert [d.version for d in node.sync().wanted] == ["1.0.0"]


def test_label_and_site_change_and_the_name_stays(hub: Hub) -> None:
    node = hub.node()
    node.sync([node.summary(1.0)])

    def change(**fields: str | None) -> dict[str, Any]:
        answer = hub.client.post("/api/v1/nodes/node-1/description", json=fields, headers=AUTH)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    shown = change(label="Elm and Main", site="Elm St")
    assert (shown["node"], shown["label"], shown["site"]) == ("node-1", "Elm and Main", "Elm St")
    assert change(label=None)["site"] == "Elm St", "what is left out stays"
    assert hub.get("/api/v1/nodes/node-1")["label"] is None
    assert node.sync([node.summary(2.0)]).stored == 1
    assert hub.client.post("/api/v1/nodes/node-1/description", json={"site": "x" * 65}, headers=AUTH).status_code == 422
    assert hub.client.post("/api/v1/nodes/none/description", json={"site": "x"}, headers=AUTH).status_code == 404


@pytest.mark.both_stores
def test_tokens_are_listed_without_themselves_and_withdrawn(hub: Hub) -> None:
    used = hub.node("node-1")
    token = hub.token(node="node-2", site="Main St")
    (shown,) = hub.get("/api/v1/tokens")["tokens"]  # type: ignore[misc]
    assert (shown["node"], shown["site"], shown["state"]) == ("node-2", "Main St", "open")
    assert token not in json.dumps(shown)
    for _ in range(2):
        answer = hub.client.delete(f"/api/v1/tokens/{shown['id']}", headers=AUTH)
        assert answer.json()["tokens"][0]["state"] == "withdrawn"
    assert said(SimulatedNode(hub.client, "node-2").enrol(token)) == (403, "token_withdrawn")
    every = {t["node"]: t for t in hub.get("/api/v1/tokens", all=True)["tokens"]}  # type: ignore[attr-defined]
    assert {n: t["state"] for n, t in every.items()} == {"node-1": "used", "node-2": "withdrawn"}
    refused = hub.client.delete(f"/api/v1/tokens/{every['node-1']['id']}", headers=AUTH)
    assert said(refused) == (409, "token_used")
    assert used.sync().stored == 0
    assert said(hub.client.delete("/api/v1/tokens/000000", headers=AUTH)) == (404, "token")


def test_the_same_from_the_command_line(hub_process: Callable[[], HubProcess]) -> None:
    hub = hub_process()
    node, other = hub.node("node-1"), hub.node("node-2")
    at = ["--hub", hub.url, "--operator-token", OPERATOR]
    assert "Elm and Main" in typed("hub", "node", "rename", "node-1", "Elm and Main", *at).out
    assert typed("hub", "node", "site", "node-1", "Elm St", *at).status == 0
    assert "is shut out" in typed("hub", "node", "revoke", "node-1", "--reason", "stolen", *at).out
    assert node.post(node.request([])).status_code == 403
    listed = typed("hub", "node", "list", *at).out
    assert "Elm and Main" in listed
    assert "stolen" in listed
    assert "has left the fleet" in typed("hub", "node", "retire", "node-2", *at).out
    assert other.post(other.request([])).status_code == 403
    assert [n["node"] for n in json.loads(typed("hub", "node", "list", "--retired", "--json", *at).out)] == ["node-2"]
    assert "is retired" in typed("hub", "node", "revoke", "node-2", *at).err
    typed("hub", "token", "--node", "node-3", *at)
    (token,) = json.loads(typed("hub", "token", "--list", "--json", *at).out)
    assert "nobody enrols" in typed("hub", "token", "--withdraw", token["id"], *at).out
    assert typed("hub", "token", "--list", "--node", "node-3", *at).status == 2
    assert typed("hub", "token", "--data", str(hub.data), "--node", "node-4").status == 0
    entries = json.loads(typed("hub", "audit", "list", "--data", str(hub.data), "--json").out)
    assert entries[0]["actor"].startswith("local:")
    assert entries == json.loads(typed("hub", "audit", "list", "--json", *at).out)
    whole = json.loads(typed("hub", "audit", "verify", "--data", str(hub.data), "--json").out)
    assert whole["whole"]
    assert whole["head"].startswith(f"{entries[0]['id']}:")
    known = ["--head", f"{entries[0]['id']}:{'0' * 64}"]
    forged = typed("hub", "audit", "verify", "--data", str(hub.data), *known)
    assert forged.status == 1
    assert "the log was written anew" in forged.out
