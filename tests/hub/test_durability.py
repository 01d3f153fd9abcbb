"""What was acknowledged is on disk: through kill -9, restarts and a full disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, Hub, HubProcess, initialise, miscounted, store_of
from tests.hub.offline_keys import OfflineKeys
from wayside.cloud.hub.engine import DATABASE, open_engine
from wayside.cloud.hub.errors import StoreFullError
from wayside.cloud.hub.store import tokens
from wayside.cloud.hub.writer import Writer


@pytest.mark.both_stores
def test_killed_in_the_middle_the_hub_has_every_row_it_acknowledged(hub_process: Callable[[], HubProcess]) -> None:
    hub = hub_process()
    nodes = [hub.node(f"node-{i}") for i in range(4)]
    acknowledged: dict[str, set[int]] = {node.name: set() for node in nodes}
    enough = threading.Event()

    def work(node: object) -> None:
        node.client = httpx.Client(base_url=hub.url, timeout=10)  # type: ignore[attr-defined]
        try:
            for i in range(2000):
                rows = [node.summary(1.0) for _ in range(20)]  # type: ignore[attr-defined]
                node.sync(rows)  # type: ignore[attr-defined]
                acknowledged[node.name] |= {r.seq for r in rows}  # type: ignore[attr-defined]
                if i > 20 and all(acknowledged.values()):  # a slow starter has had its turn too
                    enough.set()
        except (httpx.TransportError, AssertionError):
            return  # it was killed

    threads = [threading.Thread(target=work, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    hub.kill()
    for thread in threads:
        thread.join()
    if hub.database is None:
        with sqlite3.connect(hub.data / DATABASE) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    stored = sa.text("SELECT seq FROM summaries s JOIN boots b ON b.id = s.boot_id WHERE b.boot = :boot")
    with store_of(hub) as connection:
        for node in nodes:
            there = connection.execute(stored, {"boot": node.boot})
            assert acknowledged[node.name] <= {seq for (seq,) in there}
    assert miscounted(hub.data, hub.database) == []
    assert min(len(seqs) for seqs in acknowledged.values()) > 0
    # and what was sent but not acknowledged can be sent again
    hub.start()
    node = nodes[0]
    node.client, last = hub.client, node.seq
    node.seq = 0
    rows = [node.summary(1.0) for _ in range(min(last, 900))]
    reply = node.sync(rows)
    assert reply.duplicates >= len(acknowledged[node.name] & set(range(900)))
    assert hub.stop() == 0


@pytest.mark.both_stores
def test_a_restart_keeps_nodes_rollouts_keys_and_the_nonces_that_are_out(
    hub_process: Callable[[], HubProcess],
) -> None:
    hub = hub_process()
    node = hub.node("node-1")
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", bundle_of("1.0.0"))
    node.sync()
    ask = {"bundle": "traffic-flow", "version": "1.0.0", "target": "models/traffic-flow-1.0.0.bundle", "phases": [100]}
    assert hub.client.post("/api/v1/rollouts", json=ask, headers=AUTH).status_code == 201
    online = hub.client.get("/api/v1/tuf/online-key").json()
    assert hub.stop() == 0
    hub.start()
    node.client = hub.client
    body = node.request([node.summary()])
    signed = node.headers(body)
    assert node.send(body, signed).status_code == 200
    replayed = node.send(body, signed)
    assert (replayed.status_code, replayed.json()["error"]) == (401, "nonce")
    reply = node.sync([node.summary()])
    assert reply.desired is not None
    assert hub.client.get("/api/v1/tuf/online-key").json() == online


def test_a_full_disk_is_507_and_nothing_is_acknowledged(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    node = hub.node()
    node.sync([node.summary()])

    def full(*_: object) -> None:
        raise StoreFullError("store_full", "the hub's disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("wayside.cloud.hub.ingest.Ingest.store", full)
        answer = node.post(node.request([node.summary()]))
        assert (answer.status_code, answer.json()["error"]) == (507, "store_full")
    assert len(hub.get("/api/v1/summaries")["summaries"]) == 1  # type: ignore[arg-type]
    node.seq = 1
    assert node.sync([node.summary()]).stored == 1


def test_sqlites_own_full_is_told_as_such_and_the_writer_lives_on(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    engine = open_engine(data)

    def fill(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql("CREATE TABLE ballast (x)")
        connection.exec_driver_sql("INSERT INTO ballast VALUES (zeroblob(10000000))")

    def room(connection: sa.Connection) -> int:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        return int(connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE name = 'ballast'").scalar_one())

    writer = Writer(engine)
    writer.start()
    with pytest.raises(StoreFullError):
        writer.submit(fill).result(5)
    assert writer.submit(room).result(5) == 0
    writer.stop()
    engine.dispose()


@pytest.mark.both_stores
def test_a_bad_job_spoils_only_itself(tmp_path: Path, database: str | None) -> None:
    engine = open_engine(initialise(tmp_path / "hub", database), database)
    forgotten: list[int] = []
    writer = Writer(engine, on_rollback=lambda: forgotten.append(1))

    def put(number: int) -> Callable[[sa.Connection], None]:
        def job(connection: sa.Connection) -> None:
            connection.execute(tokens.insert().values(hash=str(number), created_ms=0, expires_ms=0))
            if number == 3:
                raise ZeroDivisionError

        return job

    futures = [writer.submit(put(i)) for i in range(8)]  # queued before it starts: one batch
    writer.start()
    failed = [i for i, future in enumerate(futures) if future.exception(5)]
    writer.stop()
    assert failed == [3]
    assert forgotten
    with engine.connect() as connection:
        hashes = {h for (h,) in connection.exec_driver_sql("SELECT hash FROM tokens")}
    assert hashes == {str(i) for i in range(8)} - {"3"}
    engine.dispose()


def test_the_store_is_wal_and_syncs_fully(tmp_path: Path) -> None:
    engine = open_engine(initialise(tmp_path / "hub"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    engine.dispose()
