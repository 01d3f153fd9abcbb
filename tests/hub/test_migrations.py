"""The migrations make the tables that the code describes, and take them away again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient

from tests.hub.conftest import OPERATOR, Hub, initialise
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import DATABASE, migrate, open_engine
from wayside.cloud.hub.store import metadata


def tables(data: Path) -> set[str]:
    with sqlite3.connect(data / DATABASE) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def columns(data: Path) -> dict[str, set[str]]:
    with sqlite3.connect(data / DATABASE) as database:
        return {t: {row[1] for row in database.execute(f"PRAGMA table_info({t})")} for t in tables(data)}


def test_the_migrated_schema_is_the_described_one(tmp_path: Path) -> None:
    migrate(tmp_path)
    engine = open_engine(tmp_path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_down_and_up_again(tmp_path: Path) -> None:
    migrate(tmp_path)
    there = tables(tmp_path)
    migrate(tmp_path, "base")
    assert tables(tmp_path) == {"alembic_version"}
    migrate(tmp_path)
    migrate(tmp_path)  # nothing to do
    assert tables(tmp_path) == there


def test_a_hub_of_the_first_schema_keeps_its_nodes_keys_and_rows(tmp_path: Path) -> None:
    """A hub that ran with schema 1 is brought up; its node goes on syncing, and can be replaced."""
    data = initialise(tmp_path / "hub")
    migrate(data, "0001", down=True)
    first = columns(data)
    node = SimulatedNode(None)
    with sqlite3.connect(data / DATABASE) as database:
        database.execute(
            "INSERT INTO nodes (id, name, public_key, site, hardware, enrolled_ms, last_seen_ms, stored) "
            "VALUES (7, 'node-1', ?, 'Main St', 'aarch64', 1700000000000, 1700000001000, 1)",
            (node.public_key,),
        )
        database.execute("INSERT INTO boots (id, node_id, boot, first_ms) VALUES (3, 7, ?, 5)", (node.boot,))
        database.execute("INSERT INTO datastreams VALUES (2, 7, 'intersection/volume')")
        database.execute(
            "INSERT INTO summaries (boot_id, seq, datastream_id, kind, mono_ns, clock, duration_s, value, unit, "
            "quality, n, received_ms) VALUES (3, 0, 2, 'interval', 1, 'unknown', 900, 41, '{vehicle}', 'good', 9, 6)"
        )
        database.execute("INSERT INTO tokens VALUES ('abc', 'node-1', NULL, 1, 2, NULL, NULL)")
    with TestClient(create_app(data, OPERATOR), raise_server_exceptions=False) as client:
        hub = Hub(data, client)
        node.client, node.seq = client, 1
        assert node.sync([node.summary(42.0)]).stored == 1
        (key,) = hub.get("/api/v1/nodes/node-1/keys")["keys"]  # type: ignore[misc]
        assert (key["public_key"], key["since_ms"], key["hardware"]) == (node.public_key, 1700000000000, "aarch64")
        rows = hub.get("/api/v1/summaries")["summaries"]
        assert [row["value"] for row in rows] == [41.0, 42.0]  # type: ignore[attr-defined]
        new = SimulatedNode(client)
        assert new.enrol(hub.replacement("node-1")).status_code == 200
        assert new.sync([new.summary(43.0)]).stored == 1
    migrate(data, "0001", down=True)
    assert columns(data) == first
    with sqlite3.connect(data / DATABASE) as database:
        kept = database.execute("SELECT id, name, public_key, site FROM nodes").fetchall()
        assert kept == [(7, "node-1", new.public_key, "Main St")]
        assert database.execute("SELECT count(*) FROM summaries").fetchone() == (3,)
        assert database.execute("SELECT hash, node FROM tokens WHERE hash = 'abc'").fetchall() == [("abc", "node-1")]
