"""A node that has gone wrong has an end at the hub: it loses nothing, is not silent, and others notice nothing."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.edge.test_steered import agent
from tests.edge.test_steered import row as old_row
from tests.hub.conftest import AUTH, OPERATOR, Hub, initialise
from tests.simulators.node import SimulatedNode
from tests.simulators.plain_hub import PlainHub
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.door import quotas
from wayside.cloud.hub.door.quotas import Quotas, parsed
from wayside.cloud.hub.errors import ConfigurationError
from wayside.contracts.summary import Kind
from wayside.contracts.sync import SyncReply
from wayside.contracts.wire import decode
from wayside.edge.hub_client import HubRefused


class Small:
    """A hub with small quotas."""

    def __init__(self, data: Path, client: TestClient) -> None:
        self.hub = Hub(data, client)
        self.node = self.hub.node("node-1")

    def send(self, *rows: object) -> httpx.Response:
        return self.node.post(self.node.request(list(rows)))  # type: ignore[arg-type]

    def rows(self, count: int, **about: object) -> list[object]:
        return [self.node.summary(1.0, **about) for _ in range(count)]

    def shown(self) -> dict[str, object]:
        return self.hub.get("/api/v1/nodes/node-1")


@pytest.fixture
def small(tmp_path: Path):  # type: ignore[no-untyped-def]
    data = initialise(tmp_path / "hub")
    few = Quotas(datastreams=3, rows=20, bytes=1_000_000, boots=3)
    with TestClient(create_app(data, OPERATOR, quotas=few), raise_server_exceptions=False, headers=AUTH) as client:
        yield Small(data, client)


def test_beyond_its_rows_of_the_day_a_node_keeps_them_and_is_heard(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small.send(*small.rows(15))
    assert decode(first.content, SyncReply).grant == 5
    what = {"what": "the cabinet's door is open", "condition": "door_open"}
    refused = small.send(*small.rows(10), small.node.summary(None, kind=Kind.ALERT, detail=what))
    assert (refused.status_code, refused.json()["error"]) == (429, "quota")
    assert "20 rows" in refused.json()["message"]
    assert small.hub.get("/api/v1/stats", node="node-1")["stored"] == 16, "the alert is here, no interval"
    assert small.shown()["trouble"][0].startswith("quota: ")  # type: ignore[index]
    assert small.shown()["requests"] == 2
    last = decode(small.send(*small.rows(4)).content, SyncReply)
    assert (last.stored, last.grant) == (4, 0)
    assert [n.code for n in last.notices] == ["quota"]
    assert small.shown()["trouble"] == []
    now_ms = quotas.DAY_MS * 30_000
    monkeypatch.setattr("wayside.cloud.hub.api.nodes.now_ms", lambda: now_ms)
    assert decode(small.send(*small.rows(12)).content, SyncReply).stored == 12, "tomorrow is another day"


def test_new_datastreams_beyond_the_quota_are_named_and_all_others_are_stored(small: Small) -> None:
    names = [f"d/{i}" for i in range(5)]
    rows = [small.node.summary(1.0, datastream=name) for name in names]
    refused = small.send(*rows)
    assert refused.status_code == 429
    assert refused.json()["datastreams"] == ["d/3", "d/4"]
    again = decode(small.send(*rows[:3]).content, SyncReply)
    assert (again.stored, again.duplicates) == (0, 3), "they were stored, and are acknowledged now"
    assert len(small.hub.get("/api/v1/datastreams")["datastreams"]) == 3  # type: ignore[arg-type]


def test_more_boots_than_an_agent_has_leave_no_trace(small: Small) -> None:
    rows = [small.node.summary(1.0, boot=f"{i:032x}") for i in range(10)]
    assert small.send(*rows).status_code == 429
    assert small.send(small.node.summary(1.0)).status_code == 200, "its own boot is one of the day"
    for _ in range(3):
        small.node.restart()
        status = small.send().status_code
    assert status == 429
    assert small.shown()["requests"] == 5, "each was heard"


def test_what_a_node_used_is_known_after_a_restart_of_the_hub(small: Small) -> None:
    assert small.send(*small.rows(15)).status_code == 200
    data = small.hub.data
    with TestClient(create_app(data, OPERATOR, quotas=Quotas(rows=20)), headers=AUTH) as client:
        small.node.client = client
        assert small.send(*small.rows(10)).status_code == 429


async def test_an_agent_at_its_quota_sends_what_happened_and_none_of_what_is_not_taken(
    tmp_path: Path,
) -> None:
    with PlainHub() as hub, agent(tmp_path, hub) as (one, sync):
        client = sync._client()
        await sync._once(client)
        one.outbox.commit([old_row(1), old_row(2), old_row(3, Kind.ALERT)])
        sync._on_refused(HubRefused("quota", "over", 429, None, ("other",)), sync._next_rows())
        assert [r.seq for r in sync._next_rows().rows if r.seq < 4 and r.boot == old_row(1).boot] == [3]
        sync._granted = None
        assert {1, 2, 3} <= {r.seq for r in sync._next_rows().rows if r.boot == old_row(1).boot}
        sync._on_refused(HubRefused("quota", "over", 429, None, ("d",)), sync._next_rows())
        sync._granted = None
        assert not [r for r in sync._next_rows().rows if r.datastream == "d"]
        before = one.outbox.rows
        sync._unwanted_until_s = 0.0
        assert [r for r in sync._next_rows().rows if r.datastream == "d"]
        assert one.outbox.rows == before, "nothing is given up"
        await client.close()


def test_quotas_are_given_by_name() -> None:
    assert parsed(["rows=5", "boots=7"]) == Quotas(rows=5, boots=7)
    for wrong in ("rows", "rows=0", "rows=-1", "rows=x", "nodes=3", "rows=" + "9" * 30):
        with pytest.raises(ConfigurationError, match="NAME=NUMBER"):
            parsed([wrong])


def test_an_unrelated_node_has_quotas_of_its_own(small: Small) -> None:
    assert small.send(*small.rows(25)).status_code == 429
    other: SimulatedNode = small.hub.node("node-2")
    assert other.sync([other.summary(1.0) for _ in range(20)]).stored == 20
