"""The statements of docs/scaling.md, run as they stand there under a hub that goes on syncing."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.hub.conftest import AUTH, OPERATOR, ROOT, Hub, initialise, miscounted
from tests.simulators.node import SimulatedNode
from tests.simulators.postgres import PostgresServer
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import check_schema
from wayside.cloud.hub.store import summaries
from wayside.contracts.summary import Kind, Summary

PAGE = (ROOT / "docs" / "scaling.md").read_text()
OCTOBER, NOVEMBER, DECEMBER = (datetime(2026, m, 20, tzinfo=UTC).timestamp() for m in (10, 11, 12))


def statements(heading: str) -> str:
    (block,) = re.findall(rf"^## {heading}\n.*?```sql\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    return str(block)


def rows_of(node: SimulatedNode, count: int) -> list[Summary]:
    """As many in each of three months, with alerts between them."""
    made = []
    for at in (OCTOBER, NOVEMBER, DECEMBER):
        node.wall_ms = int(at * 1000)
        made += [node.summary(float(i)) for i in range(count)]
        made.append(node.summary(None, kind=Kind.ALERT, detail={"what": "the door"}))
    return made


@contextlib.contextmanager
def hub_at(data: Path, address: str) -> Iterator[Hub]:
    app = create_app(data, OPERATOR, address)
    with TestClient(app, headers=AUTH, raise_server_exceptions=False) as client:
        yield Hub(data, client, address)


def run(address: str, text: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(text.encode())


def goes_on(data: Path, address: str, node: SimulatedNode, before: list[Summary]) -> list[Summary]:
    """A hub started on the changed table takes new rows once, old ones not again, and reads both; the new ones."""
    check_schema(data, address)
    with hub_at(data, address) as hub:
        node.client = hub.client
        new = rows_of(node, 10)
        answer = node.sync([*before, *new])
        assert (answer.stored, answer.duplicates) == (len(new), len(before))
        answer = node.sync(new[::-1])
        assert (answer.stored, answer.duplicates) == (0, len(new))
        read = hub.get("/api/v1/summaries", limit=1000)["summaries"]
        assert [row["seq"] for row in read] == [row.seq for row in [*before, *new]]  # type: ignore[attr-defined]
        assert len(hub.get("/api/v1/alerts")["summaries"]) == 6  # type: ignore[arg-type]
        series = hub.get("/api/v1/series", node="node-1", datastream="intersection/volume", hours=24 * 90)
        assert series["intervals"] == 60
        assert hub.get("/api/v1/stats")["stored"] == len(before) + len(new)
    assert miscounted(data, address) == []
    return new


@pytest.fixture
def begun(tmp_path: Path, postgres: PostgresServer, template: str) -> Iterator[tuple[Path, str, SimulatedNode]]:
    with postgres.database(template) as address:
        yield from _begun(tmp_path, address)


def _begun(tmp_path: Path, address: str) -> Iterator[tuple[Path, str, SimulatedNode]]:
    data = initialise(tmp_path / "hub", address)
    with hub_at(data, address) as hub:
        node = hub.node()
        node.sync(rows_of(node, 10))
    yield data, address, node


def before_of(node: SimulatedNode) -> list[Summary]:
    node.seq = 0
    return rows_of(node, 10)


def test_a_table_cut_by_time_takes_each_row_once_and_a_dropped_month_does_not_come_again(
    begun: tuple[Path, str, SimulatedNode], postgres: PostgresServer
) -> None:
    data, address, node = begun
    name = address.rpartition("/")[2]
    run(address, statements("Cut by time"))
    before = before_of(node)
    new = goes_on(data, address, node, before)
    for partition in ("other", "2026_11", "2026_12"):
        assert postgres.execute(f"SELECT count(*) FROM ONLY summaries_{partition}", name) == [(22,)]
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'summaries' ORDER BY 1"
    there = {index for (index,) in postgres.execute(indexes, name)}
    assert there == {"summaries_pkey", *(index.name for index in summaries.indexes)}
    run(address, "DROP TABLE summaries_2026_11")
    with hub_at(data, address) as hub:
        node.client = hub.client
        answer = node.sync([*before, *new])
        assert (answer.stored, answer.duplicates) == (0, 66)
        assert len(hub.get("/api/v1/summaries", limit=1000)["summaries"]) == 44  # type: ignore[arg-type]


@pytest.mark.parametrize(("heading", "extension"), [("TimescaleDB", "timescaledb"), ("Citus", "citus")])
def test_a_hypertable_and_a_distributed_table_take_each_row_once(
    heading: str, extension: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = os.environ.get("WAYSIDE_TEST_DATABASE")
    if address is None:
        server: PostgresServer = request.getfixturevalue("postgres")
        address = server.address("postgres")
    with psycopg.connect(address) as connection:
        query = "SELECT count(*) FROM pg_available_extensions WHERE name = %s"
        (there,) = connection.execute(query, (extension,)).fetchone() or (0,)
    if not there:
        pytest.skip(f"no {extension} here; WAYSIDE_TEST_DATABASE may name an empty database of a server that has it")
    for data, at, node in _begun(tmp_path, address):
        run(at, statements(heading))
        goes_on(data, at, node, before_of(node))
