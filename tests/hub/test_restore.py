"""A hub is backed up while it runs and restored: nothing is lost that nodes have, and no node refuses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, OPERATOR, Hub, HubProcess, initialise, miscounted
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.keeping_node import KeepingNode
from tests.simulators.postgres import PostgresServer
from wayside.cloud.hub import audit
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.backups.archive import Writing, verify
from wayside.cloud.hub.backups.backup import make
from wayside.cloud.hub.backups.restore import restore
from wayside.cloud.hub.engine import transaction
from wayside.cloud.hub.errors import BackupError, ConflictError
from wayside.cloud.hub.retention.runs import alone
from wayside.cloud.hub.sqlite import DATABASE
from wayside.cloud.hub.store import sessions, users

NODES = 3


def silent(what: str, done: int, total: int) -> None:
    pass


class Fleet:
    """Nodes that produce and sync all the time until :meth:`rest`."""

    def __init__(self, nodes: list[KeepingNode]) -> None:
        self.nodes = nodes
        self._stop = False

    async def work(self) -> None:
        async def one(node: KeepingNode) -> None:
            while not self._stop:
                node.produce(20)
                if not await node.sync():
                    await asyncio.sleep(0.05)

        self._stop = False
        await asyncio.gather(*(one(node) for node in self.nodes))

    def rest(self) -> None:
        self._stop = True

    async def all_sent(self) -> None:
        for node in self.nodes:
            for _ in range(3):  # unknown, enrolled again, asked for what may be lost
                await node.sync()
            while node.outbox.rows:
                assert await node.sync(), "the hub does not answer"


async def produced(nodes: list[KeepingNode], more: int) -> None:
    goal = [node.produced + more for node in nodes]
    for _ in range(3000):
        if all(node.produced >= wanted for node, wanted in zip(nodes, goal, strict=True)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the nodes do not get on")


def roll_out(hub: HubProcess, version: str) -> int:
    target = f"models/traffic-flow-{version}.bundle"
    ask = {"bundle": "traffic-flow", "version": version, "target": target, "phases": [100]}
    answer = hub.client.post("/api/v1/rollouts", json=ask, headers=AUTH)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_backup_and_restore_under_load_lose_nothing_and_no_node_refuses(
    hub_process: Callable[[], HubProcess], tmp_path: Path
) -> None:
    asyncio.run(_backup_and_restore_under_load(hub_process(), tmp_path))


async def _backup_and_restore_under_load(hub: HubProcess, tmp_path: Path) -> None:
    port = int(hub.url.rpartition(":")[2])
    keys = OfflineKeys(hub.client)
    root = keys.initialise()
    keys.publish("1.0.0", bundle_of("1.0.0"))
    nodes = []
    for i in range(NODES):
        token = hub.client.post("/api/v1/tokens", json={"node": f"node-{i}"}, headers=AUTH).json()["token"]
        nodes.append(KeepingNode(tmp_path, f"node-{i}", hub.url, token, root))
        await nodes[-1].enrol()
    unused = hub.client.post("/api/v1/tokens", json={}, headers=AUTH).json()["token"]
    fleet = Fleet(nodes)
    await fleet.all_sent()
    roll_out(hub, "1.0.0")
    await asyncio.to_thread(lambda: [node.install("1.0.0") for node in nodes])

    working = asyncio.create_task(fleet.work())
    await produced(nodes, 200)
    backup = tmp_path / "hub.backup"
    manifest = await asyncio.to_thread(make, hub.data, backup, silent)
    assert 0 < manifest.rows < sum(node.produced for node in nodes)

    # What the backup knows nothing of: rows that are acknowledged, a release that runs everywhere, a new node.
    keys.publish("1.1.0", bundle_of("1.1.0"))
    keys.publish("1.2.0", bundle_of("1.2.0"))
    roll_out(hub, "1.2.0")
    await asyncio.to_thread(lambda: [node.install("1.2.0") for node in nodes])
    late = KeepingNode(tmp_path, "node-late", hub.url, unused, root)
    await late.enrol()
    late.produce(50)
    await Fleet([late]).all_sent()
    await produced(nodes, 200)

    hub.kill()
    done = await asyncio.to_thread(lambda: restore(backup, hub.data, silent, replace=True))
    assert done.aside is not None
    hub.start(port)
    await produced(nodes, 100)
    fleet.rest()
    await working
    everyone = [*nodes, late]
    await Fleet(everyone).all_sent()

    assert [refusal for node in everyone for refusal in node.refusals] == []
    stats = hub.client.get("/api/v1/stats", headers=AUTH).json()
    assert {n["node"]: (n["stored"], n["missing"]) for n in stats["nodes"]} == {
        node.name: (node.produced, 0) for node in everyone
    }
    assert miscounted(hub.data) == []
    assert [node.wanted for node in nodes] == [()] * NODES, "none is ordered back to what the backup knows"

    state = hub.client.get("/api/v1/restored", headers=AUTH).json()
    assert state["held"]
    assert "has models 4, this hub 2" in state["missing"][0]
    moves = hub.client.get("/api/v1/restored/moves", headers=AUTH).json()["moves"]
    assert [(m["runs"], m["to"], len(m["nodes"])) for m in moves] == [("1.2.0", "1.0.0", NODES), (None, "1.0.0", 1)]

    # Published again, with other bytes under numbers that nodes know; then it is what they are to run.
    keys.models.version = 2
    del keys.models.targets["models/traffic-flow-1.1.0.bundle"], keys.models.targets["models/traffic-flow-1.2.0.bundle"]
    for version in ("1.2.0", "1.3.0"):
        assert keys.publish(version, bundle_of(version)).status_code == 204
    assert hub.client.get("/api/v1/restored", headers=AUTH).json()["missing"] == []
    roll_out(hub, "1.2.0")
    moves = hub.client.get("/api/v1/restored/moves", headers=AUTH).json()["moves"]
    assert [(m["runs"], m["to"], m["nodes"]) for m in moves] == [(None, "1.2.0", ["node-late"])]
    assert hub.client.post("/api/v1/restored/release", headers=AUTH).json()["held"] is False
    assert hub.client.post("/api/v1/restored/release", headers=AUTH).status_code == 409
    await fleet.all_sent()
    assert {d.version for node in nodes for d in node.wanted} == {"1.2.0"}
    await asyncio.to_thread(lambda: [node.install("1.3.0") for node in nodes])
    assert [refusal for node in nodes for refusal in node.refusals] == []
    assert {node.model for node in nodes} == {"1.3.0"}
    assert hub.stop() == 0


def test_what_was_signed_for_the_hub_of_before_is_refused_and_nobody_is_logged_in(hub: Hub, tmp_path: Path) -> None:
    node = hub.node()
    node.sync([node.summary()])
    with transaction(hub.data) as connection:
        connection.execute(users.insert().values(name="ana", role="viewer", created_ms=1))
        session = {"hash": "ab", "user_name": "ana", "created_ms": 1, "seen_ms": 1, "expires_ms": 2**50}
        connection.execute(sessions.insert().values(session))
    make(hub.data, tmp_path / "hub.backup", silent)
    held_back = node.request([node.summary(7.0)])
    headers = node.headers(held_back)
    restore(tmp_path / "hub.backup", tmp_path / "restored", silent)
    with TestClient(create_app(tmp_path / "restored", OPERATOR)) as client:
        node.client = client
        answer = node.send(held_back, headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "nonce")
        assert node.sync([node.summary()]).restored is not None
    with transaction(tmp_path / "restored", writes=False) as connection:
        assert connection.execute(sa.select(users.c.name)).scalars().all() == ["ana"]
        assert connection.execute(sa.select(sessions)).all() == []
        assert not audit.verify(connection, tmp_path / "restored").wrong


def test_damage_of_any_part_is_found_and_nothing_is_made_of_it(hub: Hub, tmp_path: Path) -> None:
    hub.node()
    backup = tmp_path / "hub.backup"
    manifest = make(hub.data, backup, silent)
    assert backup.stat().st_mode & 0o777 == 0o600
    whole = backup.read_bytes()
    found = 0
    for at in range(0, len(whole), len(whole) // 100):
        backup.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            assert verify(backup, silent) == manifest, "it was a date of the archive's own"
        except BackupError:
            found += 1
            with pytest.raises(BackupError):
                restore(backup, tmp_path / "restored", silent)
    assert found > 90
    backup.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError, match="no backup of a hub, or is damaged"):
        restore(backup, tmp_path / "restored", silent)
    assert {path.name for path in tmp_path.iterdir()} == {"hub", "hub.backup"}


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "a/../../outside", "a\\b", "a/."])
def test_an_archive_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with (tmp_path / "bad").open("wb") as out, Writing(out) as writing:
        writing.add(path, [b"x"], lambda _: None)
        writing.finish(made_ms=1, release="1", revision="0001", store="sqlite", nodes=0, rows=0)
    with pytest.raises(BackupError, match="it is damaged, or was changed"):
        restore(tmp_path / "bad", tmp_path / "restored", silent)
    assert {entry.name for entry in tmp_path.iterdir()} == {"bad"}


def test_no_rows_move_while_a_backup_is_made(hub: Hub, tmp_path: Path) -> None:
    refused: list[str] = []

    def look(what: str, done: int, total: int) -> None:
        if what in ("copying the store", "packing"):
            with pytest.raises(ConflictError), alone(hub.data):
                raise AssertionError("a file may be merged away that the store still names")
            refused.append(what)

    make(hub.data, tmp_path / "hub.backup", look)
    assert set(refused) == {"copying the store", "packing"}
    with alone(hub.data):
        pass


def test_whatever_stops_a_backup_leaves_no_file(hub: Hub, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == stage:
            raise KeyboardInterrupt

    for stage in ("copying the store", "looking through the copy", "packing"):
        with pytest.raises(KeyboardInterrupt):
            make(hub.data, tmp_path / "hub.backup", stop)
        assert {path.name for path in tmp_path.iterdir()} == {"hub"}, stage


def test_whatever_stops_a_restore_leaves_the_old_data(hub: Hub, tmp_path: Path) -> None:
    hub.node()
    make(hub.data, tmp_path / "hub.backup", silent)
    old = initialise(tmp_path / "old")
    before = (old / DATABASE).read_bytes()

    def stop(what: str, done: int, total: int) -> None:
        if what == stage:
            raise KeyboardInterrupt

    for stage in ("unpacking", "bringing it up to date"):
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "hub.backup", old, stop, replace=True)
        assert (old / DATABASE).read_bytes() == before
        assert {path.name for path in tmp_path.iterdir()} == {"hub", "hub.backup", "old"}, stage
    aside = restore(tmp_path / "hub.backup", old, silent, replace=True).aside
    assert aside is not None
    assert (aside / DATABASE).read_bytes() == before


def test_the_rows_of_a_postgresql_are_in_the_backup_as_of_one_instant(
    postgres: PostgresServer, template: str, tmp_path: Path
) -> None:
    with postgres.database(template) as address, postgres.database() as empty:
        data = initialise(tmp_path / "hub", address)
        with TestClient(create_app(data, OPERATOR, address), headers=AUTH) as client:
            hub = Hub(data, client, address)
            node = hub.node()
            node.sync([node.summary(float(i)) for i in range(50)])
            make(data, tmp_path / "hub.backup", silent, address)
            node.sync([node.summary(99.0)])
        with pytest.raises(BackupError, match="name an empty one with --database"):
            restore(tmp_path / "hub.backup", tmp_path / "restored", silent)
        with pytest.raises(BackupError, match="is not empty"):
            restore(tmp_path / "hub.backup", tmp_path / "restored", silent, database=address)
        restore(tmp_path / "hub.backup", tmp_path / "restored", silent, database=empty)
        with TestClient(create_app(tmp_path / "restored", OPERATOR, empty), headers=AUTH) as client:
            node.client = client
            assert node.sync([node.summary(100.0)]).restored is not None
            other = Hub(tmp_path / "restored", client, empty).node("node-2")
            assert other.sync([other.summary()]).stored == 1
            stats = Hub(data, client).get("/api/v1/stats")
            assert [(n["node"], n["stored"], n["missing"]) for n in stats["nodes"]] == [  # type: ignore[attr-defined]
                ("node-1", 51, 1),
                ("node-2", 1, 0),
            ]
        assert miscounted(tmp_path / "restored", empty) == []
