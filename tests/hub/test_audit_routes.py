"""Every route that changes something leaves exactly one entry, by who asked. The routes say which there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, OPERATOR, Hub
from tests.hub.offline_keys import OfflineKeys
from tests.hub.test_login import PASSWORD, log_in
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub import audit
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.engine import open_engine, transaction
from wayside.cloud.hub.people.access import each
from wayside.cloud.hub.tuf_repository import TufRepository

SAFE = {"GET", "HEAD", "OPTIONS"}
NO_CHANGES = {
    ("POST", "/api/v1/sync"): "what a node delivers is data; what rollouts make of it is an entry of the hub's",
    ("POST", "/logout"): "a session ends by itself, too",
}


class Story:
    """One hub, to which everything is done once, in this order."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.client = hub, hub.client
        self.keys = OfflineKeys(self.client)
        self.node = SimulatedNode(self.client)
        self.token = ""
        self.rollout = 0
        self.version = 0

    def do(self, method: str, path: str, document: Any = None) -> Any:
        answer = self.client.request(method, path, json=document)
        assert answer.is_success, answer.text
        return answer.json()

    def make_token(self) -> None:
        self.token = self.do("POST", "/api/v1/tokens", {"node": "node-1"})["token"]

    def enrol(self) -> None:
        assert self.node.enrol(self.token).is_success

    def commission(self) -> None:
        assert self.node.hand_in(self.node.walked()).is_success

    def publish_root(self) -> None:
        assert self.keys.put_root().is_success

    def stage(self) -> None:
        assert self.keys.stage("traffic-flow-1.0.0.bundle", bundle_of("1.0.0")).is_success

    def prepare_rollout(self) -> None:
        assert self.keys.put_targets().is_success
        assert self.keys.put_models().is_success
        assert self.keys.publish("1.0.0", bundle_of("1.0.0")).is_success
        assert self.keys.publish("1.0.1", bundle_of("1.0.1")).is_success
        self.node.run("1.0.0")
        self.node.sync()

    def start(self) -> None:
        target = {"bundle": "traffic-flow", "version": "1.0.1", "target": "models/traffic-flow-1.0.1.bundle"}
        self.rollout = self.do("POST", "/api/v1/rollouts", {**target, "phases": [100]})["id"]

    def copy_syncs(self) -> None:
        self.node.machine = "a1" * 32
        self.node.sync()

    def open_token(self) -> None:
        self.do("POST", "/api/v1/tokens", {"node": "node-9"})

    def restore(self) -> None:
        with transaction(self.hub.data, self.hub.database) as connection:
            restored.mark(connection, 1, 2)

    def withdraw_token(self) -> None:
        (found,) = self.do("GET", "/api/v1/tokens")["tokens"]
        self.do("DELETE", f"/api/v1/tokens/{found['id']}")

    def log_in(self) -> None:
        assert log_in(TestClient(self.client.app), name="ada").status_code == 303


ADA = "/api/v1/users/ada"
OPEN = {"node": "node-1", "datastream": "intersection/volume"}
NODE = "/api/v1/nodes/node-1"
ACTS: dict[tuple[str, str], list[Callable[[Story], Any]]] = {  # the last one is the act, the others prepare it
    ("POST", "/api/v1/tokens"): [Story.make_token],
    ("POST", "/api/v1/enrol"): [Story.enrol],
    ("POST", "/api/v1/commissioning"): [Story.commission],
    ("POST", "/api/v1/nodes/{node:path}/description"): [
        lambda s: s.do("POST", f"{NODE}/description", {"label": "Elm", "site": "Elm St"})
    ],
    ("PUT", "/api/v1/tuf/metadata/{role}"): [Story.publish_root],
    ("PUT", "/api/v1/tuf/files/models/{name}"): [Story.stage],
    ("POST", "/api/v1/rollouts"): [Story.prepare_rollout, Story.start],
    ("POST", "/api/v1/rollouts/{rollout}/{act}"): [lambda s: s.do("POST", f"/api/v1/rollouts/{s.rollout}/pause")],
    ("POST", "/api/v1/rollouts/{rollout}/back"): [
        lambda s: s.do("POST", f"/api/v1/rollouts/{s.rollout}/back", {"now": True})
    ],
    ("POST", "/api/v1/withdrawals"): [
        lambda s: s.do(
            "POST", "/api/v1/withdrawals", {"bundle": "traffic-flow", "version": "1.0.1", "reason": "double in rain"}
        )
    ],
    ("DELETE", "/api/v1/withdrawals"): [
        lambda s: s.do("DELETE", "/api/v1/withdrawals?bundle=traffic-flow&version=1.0.1")
    ],
    ("POST", "/api/v1/users"): [
        lambda s: s.do("POST", "/api/v1/users", {"name": "ada", "role": "operator", "password": PASSWORD})
    ],
    ("POST", "/login"): [Story.log_in],
    ("POST", "/api/v1/users/{name}/role"): [lambda s: s.do("POST", f"{ADA}/role", {"role": "viewer"})],
    ("POST", "/api/v1/users/{name}/password"): [
        lambda s: s.do("POST", f"{ADA}/password", {"password": PASSWORD[::-1]})
    ],
    ("POST", "/api/v1/users/{name}/link"): [lambda s: s.do("POST", f"{ADA}/link")],
    ("POST", "/api/v1/users/{name}/disabled"): [lambda s: s.do("POST", f"{ADA}/disabled", {"disabled": True})],
    ("POST", "/api/v1/api-tokens"): [lambda s: s.do("POST", "/api/v1/api-tokens", {"name": "sums", "role": "viewer"})],
    ("DELETE", "/api/v1/api-tokens/{name}"): [lambda s: s.do("DELETE", "/api/v1/api-tokens/sums")],
    ("PUT", "/api/v1/departments/{department}"): [
        lambda s: s.do("PUT", "/api/v1/departments/health", {"sees": [{"node": "node-1"}]})
    ],
    ("POST", "/api/v1/open"): [
        lambda s: s.node.sync([s.node.summary(1.0)]),
        lambda s: s.do("POST", "/api/v1/open", OPEN),
    ],
    ("DELETE", "/api/v1/open"): [
        lambda s: s.do("DELETE", f"/api/v1/open?node={OPEN['node']}&datastream={OPEN['datastream']}")
    ],
    ("POST", "/api/v1/nodes/{node:path}/hardware"): [
        Story.copy_syncs,
        lambda s: s.do("POST", f"{NODE}/hardware", {"hardware": "a1" * 6}),
    ],
    ("POST", "/api/v1/nodes/{node:path}/replacement"): [
        lambda s: s.do("POST", f"{NODE}/replacement", {"reason": "water in the cabinet"})
    ],
    ("POST", "/api/v1/nodes/{node:path}/revocation"): [
        lambda s: s.do("POST", f"{NODE}/revocation", {"reason": "lost"})
    ],
    ("POST", "/api/v1/nodes/{node:path}/retirement"): [lambda s: s.do("POST", f"{NODE}/retirement", {})],
    ("DELETE", "/api/v1/tokens/{token}"): [Story.open_token, Story.withdraw_token],
    ("POST", "/api/v1/restored/release"): [Story.restore, lambda s: s.do("POST", "/api/v1/restored/release")],
}


def changing(app: FastAPI) -> set[tuple[str, str]]:
    return {(method, route.path) for route in each(app.routes) for method in (route.methods or set()) - SAFE}


@pytest.mark.both_stores
def test_every_route_that_changes_something_leaves_one_entry_by_who_asked(hub: Hub) -> None:
    app = hub.client.app
    assert isinstance(app, FastAPI)
    assert changing(app) == set(ACTS) | set(NO_CHANGES), "a new route has to take its place here"
    story, engine = Story(hub), open_engine(hub.data, hub.database)

    def last() -> int:
        with engine.connect() as connection:
            return next((e.id for e in audit.entries(connection, limit=1)), 0)

    for route, (*before, act) in ACTS.items():
        for prepare in before:
            prepare(story)
        seen = last()
        act(story)
        with engine.connect() as connection:
            new = [e for e in audit.entries(connection) if e.id > seen]
        assert len(new) == 1, (route, new)
        by = {"/api/v1/enrol": "node:node-1", "/api/v1/commissioning": "node:node-1", "/login": "user:ada"}
        assert new[0].actor == by.get(route[1], "token:operator")
        assert new[0].address == "testclient"
        assert story.token not in new[0].detail, "the log holds no secret"
        assert PASSWORD[:5] not in new[0].detail
    with engine.connect() as connection:
        assert audit.verify(connection, hub.data).wrong == []
    engine.dispose()
    page = hub.get("/api/v1/audit", limit=3, actor="token:operator")
    assert len(page["entries"]) == 3  # type: ignore[arg-type]
    assert hub.get("/api/v1/audit", cursor=page["next"], limit=3)["entries"] != page["entries"]


def test_what_a_rollout_does_by_its_own_rules_is_the_hubs_entry(hub: Hub) -> None:
    story = Story(hub)
    story.node = hub.node()
    story.publish_root()
    story.prepare_rollout()
    story.start()
    story.node.run("1.0.1")
    story.node.sync()
    (entry,) = hub.get("/api/v1/audit", actor="hub", action="rollout.completed")["entries"]  # type: ignore[misc]
    assert entry["target"] == "1 traffic-flow 1.0.1"


def test_what_came_into_the_tuf_repository_past_the_log_is_found_at_the_next_start(hub: Hub) -> None:
    keys = OfflineKeys(hub.client)
    keys.put_root()
    TufRepository(hub.data).publish("targets", keys.signed(keys.targets, keys.targets_key))
    for _ in range(2):
        with TestClient(create_app(hub.data, OPERATOR), headers=AUTH) as client:
            found = client.get("/api/v1/audit", params={"action": "tuf.found"}).json()["entries"]
    assert [(e["target"], e["detail"]) for e in found] == [("targets", {"version": 1})]
