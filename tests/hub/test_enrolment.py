"""Enrolment and the operator: one token, one node, one key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.conftest import AUTH, NOBODY, Hub
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.auth import load_operator_token
from wayside.cloud.hub.errors import ConfigurationError


@pytest.mark.both_stores
def test_repeating_the_same_enrolment_is_harmless(hub: Hub) -> None:
    token = hub.token()
    node = SimulatedNode(hub.client)
    assert node.enrol(token).status_code == 200
    assert node.enrol(token).status_code == 200
    assert len(hub.get("/api/v1/nodes")["nodes"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("same_name", [True, False])
@pytest.mark.both_stores
def test_a_used_token_is_refused_to_anyone_else(hub: Hub, same_name: bool) -> None:
    token = hub.token()
    assert SimulatedNode(hub.client, "node-1").enrol(token).status_code == 200
    answer = SimulatedNode(hub.client, "node-1" if same_name else "node-2").enrol(token)
    assert (answer.status_code, answer.json()["error"]) == (403, "token_used")


def test_a_name_is_not_given_to_another_key(hub: Hub) -> None:
    hub.node("node-1")
    answer = SimulatedNode(hub.client, "node-1").enrol(hub.token())
    assert (answer.status_code, answer.json()["error"]) == (409, "node_exists")


def test_a_token_for_one_node_is_not_for_another(hub: Hub) -> None:
    answer = SimulatedNode(hub.client, "node-2").enrol(hub.token(node="node-1"))
    assert (answer.status_code, answer.json()["error"]) == (403, "token")


def test_an_unknown_or_expired_token_is_refused(hub: Hub) -> None:
    import time

    assert SimulatedNode(hub.client).enrol("x" * 20).json()["error"] == "token"
    token = hub.token(ttl_s=0.001)
    time.sleep(0.01)
    assert SimulatedNode(hub.client).enrol(token).json()["error"] == "token_expired"


def test_the_token_itself_is_nowhere_on_disk(hub: Hub) -> None:
    token = hub.token()
    for file in hub.data.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "headers",
    [NOBODY, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc"}, {"Authorization": "ü".encode()}],
)
@pytest.mark.parametrize("path", ["/api/v1/tokens", "/api/v1/rollouts", "/api/v1/rollouts/1/abort"])
def test_acts_need_the_operators_token(hub: Hub, path: str, headers: dict[str, str]) -> None:
    answer = hub.client.post(path, json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "credentials")


@pytest.mark.parametrize("token", ["", "short", "changeme-changeme-changeme-1234", "a" * 40])
def test_short_and_placeholder_operator_tokens_are_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigurationError):
        load_operator_token(tmp_path, {"WAYSIDE_OPERATOR_TOKEN": token})


def test_every_error_has_the_one_shape(hub: Hub) -> None:
    for answer in (
        hub.client.get("/nowhere"),
        hub.client.delete("/api/v1/nodes"),
        hub.client.get("/api/v1/nodes/nobody"),
        hub.client.get("/api/v1/summaries", params={"limit": 0}),
        hub.client.post("/api/v1/rollouts/1/explode", headers=AUTH),
        hub.client.post("/api/v1/enrol", content=b"?"),
    ):
        assert answer.status_code >= 400
        assert set(answer.json()) <= {"wire", "error", "message", "field"}
        assert {"wire", "error", "message"} <= set(answer.json())
