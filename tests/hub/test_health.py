"""``/healthz`` says what is wrong with the hub, and answers whatever else is busy."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.hub.conftest import AUTH, OPERATOR, Hub, initialise
from tests.hub.offline_keys import OfflineKeys
from tests.hub.test_full_disk import fill_the_disk, make_room
from wayside.cloud.hub import queries, watch
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.backups.ahead import Ahead
from wayside.cloud.hub.door.lanes import PAGES
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.errors import StoreFullError
from wayside.cloud.hub.sqlite import DATABASE
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.watch import Watch
from wayside.cloud.hub.writer import Writer


class Watched:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.engine = open_engine(data)
        self.tuf = TufRepository(data)
        self.writer = Writer(self.engine)
        self.watch = Watch(data, self.engine, self.writer, self.tuf, Ahead(dict))

    def wrong(self) -> dict[str, bool]:
        """Codes, and whether no rows can be taken for it."""
        self.watch._seen = self.watch.look()
        return {f.code: f.failing for f in self.watch.told().findings}


@pytest.fixture
def hub_watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(initialise(tmp_path / "hub"))
    yield one
    one.engine.dispose()


def test_a_hub_in_order_says_ok_and_shows_no_more_to_strangers(hub: Hub) -> None:
    hub.node()
    said = hub.client.get("/healthz", headers={"Authorization": ""}).json()
    assert said == {"wire": 1, "status": "ok", "nodes": said["nodes"], "wrong": []}
    told = hub.client.get("/api/v1/health", headers=AUTH).json()
    assert told["findings"] == []
    assert told["last_commit_age_s"] >= 0
    assert told["disk_free_bytes"] > 0


def test_a_store_that_was_taken_away_is_told(hub_watched: Watched) -> None:
    assert hub_watched.wrong() == {}
    (hub_watched.data / DATABASE).rename(hub_watched.data / "elsewhere")
    assert hub_watched.wrong() == {"store_away": True}


def test_a_damaged_store_is_told(hub_watched: Watched) -> None:
    with hub_watched.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    hub_watched.engine.dispose()
    with (hub_watched.data / DATABASE).open("r+b") as file:
        file.write(b"\0" * 100_000)
    assert hub_watched.wrong()["store_fails"]


def test_a_schema_that_another_release_changed_is_told(hub_watched: Watched) -> None:
    with hub_watched.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert hub_watched.wrong() == {"schema": True}


def test_what_the_writer_could_not_do_is_told_until_it_can(hub_watched: Watched) -> None:
    hub_watched.writer.trouble = StoreFullError("store_full", "the hub's disk is full")
    assert hub_watched.wrong() == {"store_full": True}
    hub_watched.writer.start()
    hub_watched.writer.submit(lambda _: None).result(timeout=20)
    assert hub_watched.wrong() == {}
    hub_watched.writer.stop()


def test_a_writer_that_hangs_and_a_watch_that_cannot_look_are_told(
    hub_watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    hub_watched.writer.start()
    job = hub_watched.writer.submit(lambda _: hold.wait(20))
    while hub_watched.writer.since_s is None:
        pass
    hub_watched.writer.since_s -= 1 + watch.SLOW_S
    assert hub_watched.wrong() == {"writer_slow": False}
    hub_watched.writer.since_s -= watch.STUCK_S
    assert hub_watched.wrong() == {"writer_slow": True}
    hold.set()
    job.result(timeout=20)
    hub_watched.writer.stop()
    monkeypatch.setattr(watch, "BLIND_S", -1.0)
    assert hub_watched.wrong() == {"blind": True}


def test_roles_that_expire_are_told_by_name(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    OfflineKeys(hub.client).initialise()
    watched = Watched(hub.data)
    assert watched.wrong() == {}
    soon = {role: dt.datetime.now(dt.UTC) + dt.timedelta(days=3) for role in watched.tuf.expiries()}
    monkeypatch.setattr(watched.tuf, "expiries", lambda: soon)
    assert watched.wrong() == {"tuf_expires": False}
    soon["timestamp"] = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    assert watched.wrong() == {"tuf_expires": False, "tuf_expired": False}
    watched.engine.dispose()


def test_a_full_disk_is_not_ok(hub_process, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    hub = hub_process()

    def status_is(wanted: int) -> dict[str, object]:
        for _ in range(200):
            answer = hub.client.get("/healthz")
            if answer.status_code == wanted:
                return dict(answer.json())
            threading.Event().wait(0.1)
        raise AssertionError(answer.text)

    fill_the_disk(hub)
    said = status_is(503)
    assert said["status"] == "failing"
    assert "disk_full" in said["wrong"]  # type: ignore[operator]
    make_room(hub)
    assert status_is(200)["wrong"] == []


async def test_forty_five_who_look_at_pages_hold_up_neither_health_nor_updates_nor_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = initialise(tmp_path / "hub")
    hold, inside = threading.Event(), threading.Semaphore(0)
    real = queries.list_nodes

    def slow(*args: object, **more: object) -> object:
        inside.release()
        assert hold.wait(60)
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(queries, "list_nodes", slow)
    app = create_app(data, OPERATOR)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        viewers = [asyncio.create_task(http.get("/api/v1/nodes", headers=AUTH)) for _ in range(45)]
        for _ in range(PAGES):
            assert await asyncio.to_thread(inside.acquire, timeout=20)
        async with asyncio.timeout(20):
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/tuf/metadata/1.root.json")).status_code == 404
            assert (await http.get("/api/v1/nonce", params={"node": "nobody"})).status_code == 404
            assert (await http.get("/static/hub.js")).status_code == 200
        assert not inside.acquire(blocking=False), "who looks waits for others who look"
        hold.set()
        assert {(await viewer).status_code for viewer in viewers} == {200}
