"""What a page asks costs the same whether the store holds a thousand rows or forty thousand."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from tests.bench import large_store
from tests.hub.conftest import AUTH, OPERATOR, Hub
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import APPENDED, append_summaries, open_engine
from wayside.contracts.summary import Kind

PATHS = (
    "/api/v1/nodes",
    "/api/v1/nodes/node-1",
    "/api/v1/stats",
    "/api/v1/stats?node=node-1",
    "/api/v1/datastreams",
    "/api/v1/alerts?limit=60",
    "/api/v1/summaries?kind=decision&order=newest&limit=20",
    "/api/v1/summaries?order=newest",
    "/api/v1/conditions?limit=30",
    "/api/v1/conditions/open?limit=60",
    "/api/v1/fleet",
    "/api/v1/nodes?order=worst&limit=25",
    "/api/v1/series?node=node-1&datastream=intersection/volume&hours=24",
    "/api/v1/rollouts",
    "/api/v1/withdrawals",
    "/metrics",
    "/healthz",
)


class Steps:
    """Steps of SQLite's machine that the readers take, in tens."""

    def __init__(self) -> None:
        self.tens = 0

    def count(self) -> int:
        self.tens += threading.current_thread().name != "hub-writer"  # rollups are made meanwhile
        return 0


@pytest.fixture
def steps() -> Iterator[Steps]:
    counted = Steps()

    def watch(connection: object, _record: object) -> None:
        connection.set_progress_handler(counted.count, 10)  # type: ignore[attr-defined]

    sa.event.listen(sa.pool.Pool, "connect", watch)
    yield counted
    sa.event.remove(sa.pool.Pool, "connect", watch)


def fill(hub: Hub, node: SimulatedNode, rows: int) -> None:
    """As many older intervals of another datastream of the node, as if it had been here for long."""
    engine = open_engine(hub.data)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        found = connection.exec_driver_sql("SELECT * FROM summaries WHERE kind = 'interval' LIMIT 1").mappings().one()
        sample = {name: found[name] for name in APPENDED}
        boot = connection.exec_driver_sql(
            "INSERT INTO boots (node_id, boot, first_ms, rows, last_seq) VALUES (?, ?, 0, ?, ?) RETURNING id",
            (sample["node_id"], secrets.token_hex(16), rows, rows - 1),
        ).scalar_one()
        older = (
            {**sample, "boot_id": boot, "seq": i, "time_ms": sample["time_ms"] - 86_400_000 - 900_000 * i}
            for i in range(rows)
        )
        append_summaries(connection, [tuple(row.values()) for row in older])
    engine.dispose()


def test_no_page_reads_all_rows(hub: Hub, steps: Steps) -> None:
    node = hub.node()
    node.sync([node.summary(float(i)) for i in range(50)])
    node.sync([node.summary(None, kind=Kind.ALERT, detail={"what": "door"}) for _ in range(20)])

    def cost() -> dict[str, int]:
        each = {}
        for path in PATHS:
            before = steps.tens
            assert hub.client.get(path).status_code == 200, path
            each[path] = steps.tens - before
        return each

    fill(hub, node, 1_000)
    few = cost()
    fill(hub, node, 40_000)
    many = cost()
    assert {path: (few[path], many[path]) for path in PATHS if many[path] > 1.5 * few[path] + 20} == {}


LISTS = (
    "/api/v1/fleet",
    "/api/v1/nodes?order=worst&limit=20",
    "/api/v1/nodes?limit=20",
    "/api/v1/nodes/node-00003",
    "/api/v1/datastreams?limit=20",
    "/api/v1/datastreams?node=node-00003",
    "/api/v1/stats?limit=20",
    "/api/v1/conditions?limit=10",
    "/api/v1/conditions/open?limit=10",
    "/api/v1/rollouts",
    "/api/v1/summaries?order=newest&limit=20",
)


def test_lists_of_a_large_fleet_ask_and_answer_what_those_of_a_small_one_do(tmp_path: Path) -> None:
    """No statement for each node, and no answer that grows with the fleet. What the hub asks by itself is a few."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    def cost(nodes: int) -> dict[str, tuple[int, int]]:
        data = tmp_path / f"hub-{nodes}"
        large_store.fill(data, large_store.Shape(nodes=nodes, intervals=1, old_intervals=4))
        each = {}
        with TestClient(create_app(data, OPERATOR), headers=AUTH) as client:
            for path in LISTS:
                asked.clear()
                answer = client.get(path)
                assert answer.status_code == 200, answer.text
                each[path] = (len(asked), len(answer.content))
        return each

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
    try:
        small, large = cost(600), cost(1200)
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
    grew = [p for p in LISTS if large[p][0] > small[p][0] + 10 or large[p][1] > 1.5 * small[p][1]]
    assert {path: (small[path], large[path]) for path in grew} == {}
