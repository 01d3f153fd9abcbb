"""What the hub says of the fleet as a whole: in pages, in numbers, the worst first; and what it is worth at a size."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from msgspec import json

from tests.hub.conftest import AUTH, Hub
from tests.simulators import fleet as simulated
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.fleet import Filter, chosen, health_at
from wayside.cloud.hub.health import health
from wayside.cloud.hub.people.sight import EVERYTHING
from wayside.cloud.hub.store import nodes
from wayside.contracts.condition import Condition


def ask(hub: Hub, path: str, **query: object) -> dict[str, Any]:
    answer = hub.client.get(path, params=query, headers=AUTH)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def pages(hub: Hub, path: str, of: str, **query: object) -> list[dict[str, Any]]:
    page = ask(hub, path, **query)
    found = list(page[of])
    while page["next"] is not None:
        page = ask(hub, path, after=page["next"], **query)
        found += page[of]
    return found


def test_the_health_that_the_store_tells_is_the_one_that_a_node_is_shown_with(hub: Hub) -> None:
    """Every combination of when it was seen, how often it syncs, and what it says."""
    now = 1_800_000_000_000
    ages = (None, 0, 14_000, 15_001, 16_000, 51_000, 300_000, 900_001, 1_200_001, 3_000_001)
    beats = (
        None,
        {"healthy": True},
        {"healthy": False},
        {"healthy": False, "board": {"connected": False, "lent": True}},
    )
    rows = [
        {
            "name": f"node-{i}",
            "public_key": "",
            "enrolled_ms": 0,
            "last_seen_ms": None if age is None else now - age,
            "gap_ms": gap,
            "sync_ms": sync,
            "heartbeat": None
            if beat is None
            else json.encode(beat | ({"sync_s": sync / 1000} if sync else {})).decode(),
            "said": "fresh" if beat is None or beat["healthy"] else "lent" if "board" in beat else "unhealthy",
        }
        for i, (age, gap, sync, beat) in enumerate(
            itertools.product(ages, (None, 0.0, 2_000.0, 120_000.0), (None, 1_000, 300_000), beats)
        )
    ]
    engine = open_engine(hub.data)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(nodes.insert(), rows)
        told = dict(connection.execute(sa.select(nodes.c.name, health_at(now, EVERYTHING))).all())
        ids, _ = chosen(connection, now, Filter(), sight=EVERYTHING, order="worst", after=None, limit=1000)
    engine.dispose()
    for row in rows:
        age = None if row["last_seen_ms"] is None else (now - row["last_seen_ms"]) / 1000
        gap = None if row["gap_ms"] is None else row["gap_ms"] / 1000
        beat = None if row["heartbeat"] is None else json.decode(row["heartbeat"])
        assert told[row["name"]] == health(age, gap, beat), row
    assert len(ids) == len(rows)


def test_nodes_come_in_pages_by_name_or_the_worst_first_and_can_be_looked_for(hub: Hub) -> None:
    fleet = [hub.node(f"node-{i}") for i in range(7)]
    for node in fleet[:5]:
        node.sync([node.summary(40.0)], healthy=node is not fleet[3])
    names = [n["node"] for n in pages(hub, "/api/v1/nodes", "nodes", limit=3)]
    assert names == [f"node-{i}" for i in range(7)]
    worst = [(n["health"], n["node"]) for n in pages(hub, "/api/v1/nodes", "nodes", limit=2, order="worst")]
    assert worst[:3] == [("unhealthy", "node-3"), ("never", "node-5"), ("never", "node-6")]
    assert worst[3:] == [("fresh", f"node-{i}") for i in (0, 1, 2, 4)]
    assert [n["node"] for n in ask(hub, "/api/v1/nodes", health="never")["nodes"]] == ["node-5", "node-6"]
    both = ask(hub, "/api/v1/nodes", health=["never", "unhealthy"], text="E-3")["nodes"]
    assert [n["node"] for n in both] == ["node-3"], "whatever the case"
    assert len(ask(hub, "/api/v1/nodes", site="Main St")["nodes"]) == 7
    assert ask(hub, "/api/v1/nodes", text="%")["nodes"] == [], "a percent sign is no wildcard"
    refused = hub.client.get("/api/v1/nodes", params={"after": "elsewhere"}, headers=AUTH)
    assert (refused.status_code, refused.json()["field"]) == (422, "after")


def test_datastreams_and_counts_come_in_pages_and_their_sums_are_of_all(hub: Hub) -> None:
    for name in ("a", "a-2", "b"):
        node = hub.node(name)
        node.sync([node.summary(40.0, datastream=f"detector/{d}/volume") for d in (2, 4, 6)])
    streams = pages(hub, "/api/v1/datastreams", "datastreams", limit=2)
    assert [(s["node"], s["datastream"]) for s in streams] == [
        (name, f"detector/{d}/volume") for name in ("a", "a-2", "b") for d in (2, 4, 6)
    ]
    page = ask(hub, "/api/v1/stats", limit=2)
    assert ([n["node"] for n in page["nodes"]], page["stored"], page["next"]) == (["a", "a-2"], 9, "a-2")


def test_the_fleet_is_told_in_numbers(hub: Hub) -> None:
    well, ill = hub.node("well"), hub.node("ill")
    hub.node("new")
    well.sync([well.summary(40.0, forecast=41.0, naive=38.0)], backlog=5)
    open_ = tuple(
        Condition(
            code=code, subject="cabinet/door", message="it is open", since=ill.stamp(), severe=code == "line_lost"
        )
        for code in ("line_lost", "door_open")
    )
    ill.sync([ill.summary(40.0)], healthy=False, conditions=open_)
    told = ask(hub, "/api/v1/fleet")
    assert told["health"] == {"unhealthy": 1, "never": 1, "fresh": 1}
    assert (told["nodes"], told["stored"], told["backlog"], told["severe"]) == (3, 2, 5, 1)
    assert told["open_conditions"] == {"door_open": 1, "line_lost": 1}
    assert told["forecast"] == {"n": 1, "mae": 1.0, "naive_mae": 2.0}
    wrong = ask(hub, "/api/v1/conditions/open")["conditions"]
    assert [(c["node"], c["code"], c["severe"]) for c in wrong] == [
        ("ill", "line_lost", True),
        ("ill", "door_open", False),
    ]
    ill.sync([], conditions=open_[1:])
    assert [c["code"] for c in ask(hub, "/api/v1/conditions/open")["conditions"]] == ["door_open"]
    ill.sync([], conditions=(msgspec.structs.replace(open_[1], times=7),))
    assert [c["times"] for c in ask(hub, "/api/v1/conditions/open", node="ill")["conditions"]] == [7]
    ill.sync([])
    assert ask(hub, "/api/v1/conditions/open")["conditions"] == []


@pytest.mark.slow
def test_a_fleet_that_comes_back_at_once_loses_nothing() -> None:
    """Three hundred real clients with the rows of a day, over a hub that was restarted; every row once."""
    args = simulated.parser().parse_args(
        ["--nodes", "300", "--steady-s", "10", "--speed", "30", "--return-s", "5", "--witnesses", "5"]
    )
    report = simulated.run(args)
    told = report["accounted"]
    assert (told["lost"], told["missing"], told["miscounted"]) == (0, 0, [])
    assert told["produced"] == told["counted"] == told["counted_by_boots"] == told["in_the_table"]
    assert told["produced"] > report["back"]["backlog_rows"] == 300 * 8 * 96
    assert report["back"]["drained"], report["back"]
    assert report["back"]["refused"] == report["back"]["broken"] == {}
