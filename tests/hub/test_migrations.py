"""The migrations make the tables that the code describes, and take them away again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient

from tests.hub.conftest import AUTH, OPERATOR, Hub, initialise
from tests.simulators.node import SimulatedNode
from tests.simulators.postgres import PostgresServer
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import DATABASE, migrate, open_engine
from wayside.cloud.hub.store import metadata

COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = 'public' ORDER BY 1, 2"
)


def tables(data: Path) -> set[str]:
    with sqlite3.connect(data / DATABASE) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def columns(data: Path) -> dict[str, set[str]]:
    with sqlite3.connect(data / DATABASE) as database:
        return {t: {row[1] for row in database.execute(f"PRAGMA table_info({t})")} for t in tables(data)}


@pytest.mark.both_stores
def test_the_migrated_schema_is_the_described_one(tmp_path: Path, database: str | None) -> None:
    migrate(tmp_path, database=database)
    engine = open_engine(tmp_path, database)
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


def test_rows_of_the_second_schema_go_up_and_down_in_postgresql_as_in_sqlite(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    node = SimulatedNode(None)
    with postgres.database() as address:
        name = address.rpartition("/")[2]
        migrate(tmp_path, "0002", database=address)
        was = postgres.execute(COLUMNS, name)
        postgres.execute(SECOND.format(key=node.public_key, boot=node.boot), name)
        migrate(tmp_path, database=address)
        counted = "SELECT intervals, decisions, scored, forecast_error, naive_error, missing FROM nodes WHERE id = 7"
        assert postgres.execute(counted, name) == [(2, 1, 1, 2.0, 10.0, 0)]
        rows = "SELECT id, node_id, time_ms, seq, derived FROM summaries ORDER BY id"
        assert postgres.execute(rows, name) == [(1, 7, 6, 0, True), (2, 7, 6, 1, False), (3, 7, 6, 2, False)]
        assert postgres.execute("SELECT nextval('summaries_id_seq')", name) == [(4,)]
        assert postgres.execute("SELECT page, bits FROM received", name) == [(0, b"\7")]
        types = "SELECT DISTINCT data_type FROM information_schema.columns WHERE column_name LIKE '%\\_ms'"
        assert postgres.execute(f"{types} AND table_schema = 'public' AND column_name <> 'gap_ms'", name) == [
            ("bigint",)
        ]
        migrate(tmp_path, "0002", down=True, database=address)
        assert postgres.execute(COLUMNS, name) == was
        assert postgres.execute("SELECT wall_ms, seq FROM summaries ORDER BY id", name) == [
            (None, 0),
            (None, 1),
            (None, 2),
        ]
        migrate(tmp_path, "base", database=address)
        left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')"
        assert postgres.execute(left, name) == [("alembic_version",)]


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
    with TestClient(create_app(data, OPERATOR), headers=AUTH, raise_server_exceptions=False) as client:
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


SECOND = """
INSERT INTO nodes (id, name, public_key, enrolled_ms) VALUES (7, 'node-1', '{key}', 1), (8, 'node-2', '{key}', 1);
INSERT INTO node_keys (node_id, public_key, since_ms) VALUES (7, '{key}', 1), (8, '{key}', 1);
INSERT INTO boots (id, node_id, boot, first_ms) VALUES (3, 7, '{boot}', 5);
INSERT INTO datastreams (id, node_id, name) VALUES
  (1, 7, 'intersection/volume'), (2, 7, 'detector/2/volume'), (3, 7, 'signal/plan');
INSERT INTO summaries (boot_id, seq, datastream_id, kind, mono_ns, clock, duration_s, value, forecast, naive, unit,
  quality, n, received_ms) VALUES
  (3, 0, 1, 'interval', 1, 'unknown', 900, 80, 40, 40, '{{vehicle}}', 'good', 9, 6),
  (3, 1, 2, 'interval', 1, 'unknown', 900, 40, 42, 50, '{{vehicle}}', 'good', 9, 6),
  (3, 2, 3, 'decision', 1, 'unknown', 0, NULL, NULL, NULL, '1', 'good', 0, 6);
INSERT INTO rollouts (id, bundle, version, target, phases, deadline_s, state, phase, created_ms, phase_started_ms,
  reason) VALUES
         (1, 'traffic-flow', '1.0.0', 'models/traffic-flow-1.0.0.bundle', '[100]', 60, 'completed', 0, 1, 1, NULL),
         (2, 'traffic-flow', '1.0.1', 'models/traffic-flow-1.0.1.bundle', '[100]', 60, 'completed', 0, 2, 2, NULL),
         (3, 'traffic-flow', '1.0.2', 'models/traffic-flow-1.0.2.bundle', '[100]', 60, 'paused', 0, 3, 3, 'by hand');
INSERT INTO rollout_nodes (rollout_id, node, phase, state, reason) VALUES
  (1, 'node-1', 0, 'active', NULL), (1, 'node-2', 0, 'waiting', NULL),
  (2, 'node-1', 0, 'active', NULL), (2, 'node-2', 0, 'excused', 'golden: off by 4'),
  (3, 'node-1', 0, 'waiting', 'golden: off by 9'), (3, 'node-2', 0, 'failed', 'golden: off by 5');
"""


def test_a_hub_of_the_second_schema_keeps_its_rollouts_and_says_of_them_what_is_true(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    migrate(data, "0002", down=True)
    second = columns(data)
    node = SimulatedNode(None)
    with sqlite3.connect(data / DATABASE) as database:
        database.executescript(SECOND.format(key=node.public_key, boot=node.boot))
    with TestClient(create_app(data, OPERATOR), headers=AUTH, raise_server_exceptions=False) as client:
        hub = Hub(data, client)
        node.client, node.seq = client, 3
        shown = {r["id"]: r for r in hub.get("/api/v1/rollouts")["rollouts"]}  # type: ignore[attr-defined]
        assert shown[1]["summary"] == "completed: the one node ran it"
        assert [n["node"] for n in shown[1]["joined_later"]] == ["node-2"]
        assert shown[2]["state"] == "completed_with_exceptions", "it was called completed"
        assert shown[2]["summary"] == "completed, 1 excused: node-2 (golden: off by 4)"
        assert shown[3]["state"] == "paused"
        assert hub.get("/api/v1/stats")["forecast"] == {"n": 1, "mae": 2.0, "naive_mae": 10.0}, "the sum is derived"
        streams = {d["datastream"]: (d["unit"], d["derived"]) for d in hub.get("/api/v1/datastreams")["datastreams"]}  # type: ignore[attr-defined]
        assert streams == {
            "intersection/volume": ("{vehicle}", True),
            "detector/2/volume": ("{vehicle}", False),
            "signal/plan": (None, False),
        }
        node.refuse("1.0.2", reason="off by 9")  # said before the start already: no news
        reply = node.sync([node.summary(41.0, datastream="mast/pm25", unit="ug/m3")])
        assert [d.version for d in reply.wanted] == ["1.0.1"]
        again = client.post("/api/v1/rollouts/3/resume", headers=AUTH).json()
        assert again["state"] == "running"
        node.sync()
        assert hub.get("/api/v1/rollouts/3")["state"] == "running"
    migrate(data, "0002", down=True)
    assert columns(data) == second
    with sqlite3.connect(data / DATABASE) as database:
        assert database.execute("SELECT id, state FROM rollouts ORDER BY id").fetchall() == [
            (1, "completed"),
            (2, "completed"),
            (3, "running"),
        ]
        assert database.execute("SELECT count(*) FROM summaries").fetchone() == (4,)
        members = database.execute("SELECT node, state, reason FROM rollout_nodes WHERE rollout_id = 3 ORDER BY node")
        assert members.fetchall() == [
            ("node-1", "waiting", "golden: off by 9"),
            ("node-2", "excused", "golden: off by 5"),
        ]
