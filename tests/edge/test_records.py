"""Records of commissioning leave the node once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.edge.test_hub_sync import hub_toml
from tests.hub.conftest import AUTH, HubProcess, hub_process
from tests.simulators.agent import AgentProcess
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.engine import DATABASE
from wayside.contracts.node_config import HubConfig
from wayside.contracts.wire import encode
from wayside.edge.hand_in import FOLDER, hand_in, waiting
from wayside.edge.hub_client import HubClient, HubRefused, HubUnreachable
from wayside.edge.hub_tls import HubTls
from wayside.edge.identity import KEY_FILE, load_or_create

__all__ = ["hub_process"]


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / FOLDER).iterdir())


def leave(state: Path, node: SimulatedNode, name: str) -> None:
    """As `wayside commission` does."""
    (state / FOLDER).mkdir(parents=True, exist_ok=True)
    (state / FOLDER / f"{name}.json").write_bytes(encode(node.walked()))


async def test_what_waits_is_handed_in_once_and_what_the_hub_refuses_is_set_aside(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    node = hub.node("node-1")
    stranger = SimulatedNode(hub.client)
    leave(tmp_path, node, "1")
    leave(tmp_path, stranger, "2")
    leave(tmp_path, node, "3")
    (tmp_path / FOLDER / "4.json").write_bytes(b"half a rec")
    config = HubConfig(url=hub.url)
    identity = load_or_create(tmp_path)
    identity._key = node.key
    client = HubClient(config, "node-1", identity, HubTls(config, tmp_path))
    try:
        assert await hand_in(client, tmp_path) == 2
        assert files(tmp_path) == ["1.sent", "2.refused", "3.sent", "4.refused"]
        assert await hand_in(client, tmp_path) == 0
        (tmp_path / FOLDER / "1.sent").rename(tmp_path / FOLDER / "1.json")  # power failed before the renaming
        assert await hand_in(client, tmp_path) == 1
        leave(tmp_path, node, "5")
        hub.kill()
        with pytest.raises(HubUnreachable):
            await hand_in(client, tmp_path)
        assert [p.name for p in waiting(tmp_path)] == ["5.json"]
    finally:
        await client.close()
    hub.start()
    assert len(hub.client.get("/api/v1/nodes/node-1/commissioning").json()["records"]) == 2


async def test_a_computer_that_was_replaced_keeps_its_records_for_when_it_is_put_back(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    node = hub.node("node-1")
    leave(tmp_path, node, "1")

    def passes_to(other: SimulatedNode) -> None:
        token = hub.client.post("/api/v1/nodes/node-1/replacement", json={}, headers=AUTH).json()["token"]
        assert other.enrol(token).status_code == 200

    passes_to(SimulatedNode(hub.client))
    config = HubConfig(url=hub.url)
    identity = load_or_create(tmp_path)
    identity._key = node.key
    client = HubClient(config, "node-1", identity, HubTls(config, tmp_path))
    try:
        with pytest.raises(HubRefused, match="key_revoked"):
            await hand_in(client, tmp_path)
        assert files(tmp_path) == ["1.json"]
        passes_to(node)
        assert await hand_in(client, tmp_path) == 1
    finally:
        await client.close()


async def test_a_node_that_is_not_enrolled_keeps_its_records(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    leave(tmp_path, SimulatedNode(hub.client), "1")
    config = HubConfig(url=hub.url)
    client = HubClient(config, "node-1", load_or_create(tmp_path), HubTls(config, tmp_path))
    try:
        with pytest.raises(HubRefused, match="unknown_node"):
            await hand_in(client, tmp_path)
    finally:
        await client.close()
    assert files(tmp_path) == ["1.json"]


def test_the_agent_hands_in_what_was_walked_offline(tmp_path: Path, hub_process: Callable[..., HubProcess]) -> None:
    hub = hub_process()
    toml = f'node = "node-1"\nstate_dir = "state"\n{hub_toml(hub)}[task]\nbundle = "b"\n'
    state = tmp_path / "state"
    walker = SimulatedNode(hub.client)
    load_or_create(state)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    walker.key = load_pem_private_key((state / KEY_FILE).read_bytes(), None)  # type: ignore[assignment]
    leave(state, walker, "before")
    with AgentProcess(tmp_path, toml) as agent:
        agent.wait(lambda _: (state / FOLDER / "before.sent").exists())
        leave(state, walker, "beside")
        agent.wait(lambda _: (state / FOLDER / "beside.sent").exists())
        agent.wait(lambda a: a.status.get("notices") == [])
        assert agent.stop() == 0
    assert len(hub.client.get("/api/v1/nodes/node-1/commissioning").json()["records"]) == 2


def test_a_hub_that_cannot_take_records_now_still_syncs(tmp_path: Path, hub_process: Callable[..., HubProcess]) -> None:
    """An older hub, or one in trouble: the record waits, and summaries do not wait with it."""
    hub = hub_process()
    state = tmp_path / "state"
    leave(state, SimulatedNode(hub.client, key=load_or_create(state)._key), "1")
    toml = f'node = "node-1"\nstate_dir = "state"\n{hub_toml(hub)}[task]\nbundle = "b"\n'
    with contextlib.closing(sqlite3.connect(hub.data / DATABASE, isolation_level=None, timeout=20)) as database:
        database.execute("ALTER TABLE commissionings RENAME TO away")

        def syncs(_: AgentProcess) -> bool:
            return (database.execute("SELECT max(requests) FROM nodes").fetchone()[0] or 0) > 4

        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(syncs, timeout_s=90)
            said = (tmp_path / "agent.log").read_text()
            assert "commissioning records wait" in said
            assert "sync failed" not in said
            assert files(state) == ["1.json"]
            database.execute("ALTER TABLE away RENAME TO commissionings")
            agent.wait(lambda _: files(state) == ["1.sent"], timeout_s=90)
            assert agent.stop() == 0
