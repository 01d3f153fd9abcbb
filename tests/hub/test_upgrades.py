"""A database that an earlier hub wrote says the same in this one, and its nodes go on."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient

from tests.hub.conftest import AUTH, OPERATOR, Hub, initialise, miscounted
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import migrate
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.sqlite import DATABASE

GOLDEN = Path(__file__).parents[1] / "golden" / "hub"
REVISIONS = sorted(path.name.partition(".")[0] for path in GOLDEN.glob("*.sqlite.gz"))


@pytest.fixture(params=REVISIONS)
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Hub, dict[str, Any]]]:
    data = initialise(tmp_path / "hub")
    for left in data.glob(f"{DATABASE}*"):
        left.unlink()
    (data / DATABASE).write_bytes(gzip.decompress((GOLDEN / f"{request.param}.sqlite.gz").read_bytes()))
    told = json.loads((GOLDEN / f"{request.param}.json").read_text())
    with TestClient(create_app(data, OPERATOR), raise_server_exceptions=False, headers=AUTH) as client:
        yield Hub(data, client), told


def every_row(hub: Hub) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: dict[str, object] = {}
    while True:
        page: Any = hub.get("/api/v1/summaries", limit=1000, **cursor)
        rows += page["summaries"]
        if page["next"] is None:
            return rows
        cursor = {"cursor": page["next"]}


def test_every_revision_that_was_released_has_a_database() -> None:
    """Who adds a revision, adds what the release before it wrote once that is out: tests/golden/README.md."""
    assert REVISIONS == ["0001", "0002", "0003"]


def test_rows_counts_and_rollouts_are_what_the_earlier_hub_said_and_its_nodes_sync_on(
    upgraded: tuple[Hub, dict[str, Any]],
) -> None:
    hub, told = upgraded
    rows = every_row(hub)
    assert (len(rows), round(sum(row["value"] or 0.0 for row in rows), 3)) == (told["rows"], told["sum"])
    kinds = Counter((row["node"], row["kind"]) for row in rows)
    stats: Any = hub.get("/api/v1/stats")
    assert {n["node"]: (n["stored"], n["missing"]) for n in stats["nodes"]} == {
        name: (n["stored"], n["missing"]) for name, n in told["nodes"].items()
    }
    for name, node in told["nodes"].items():
        assert {kind: kinds[name, kind] for kind in node["kinds"]} == node["kinds"]
    shown: Any = hub.get("/api/v1/rollouts")
    assert [(r["id"], r["version"], r["state"]) for r in shown["rollouts"]] == [
        (r["id"], r["version"], r["state"]) for r in told["rollouts"]
    ]
    assert miscounted(hub.data) == []
    for name, known in told["keys"].items():
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["key"]))
        node = SimulatedNode(hub.client, name, key)
        node.boot, node.seq = known["boot"], known["seq"] - 1
        if name == "node-1":
            node.machine = "5e" * 32  # the hardware that took its place, where the hub knew of that
        reply = node.sync([node.summary(), node.summary()])
        assert (reply.stored, reply.duplicates) == (1, 1), name
    assert miscounted(hub.data) == []


def test_a_database_of_a_later_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    with sqlite3.connect(data / DATABASE) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=r"written by another release of wayside .*run that release"):
        migrate(data)
    with sqlite3.connect(data / DATABASE) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
