"""Signed ingest beside a bare ``executemany`` and COMMIT of the same rows, and beside itself, each in one run.

Every side writes the same rows into the same schema with WAL and ``synchronous=FULL``. "through HTTP" is the whole
way: several nodes, each with its own connection and its own nonce chain, to a hub in a process of its own. What takes
turns in a run is compared within it: disks and neighbours change from minute to minute.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hub.conftest import HubProcess, hub_process, initialise  # noqa: F401 a fixture
from tests.simulators.node import SYNC, SimulatedNode
from wayside.cloud.hub import registry
from wayside.cloud.hub.engine import APPENDED, open_engine
from wayside.cloud.hub.ingest import Ingest
from wayside.cloud.hub.sqlite import DATABASE, insert
from wayside.contracts.identity import NONCE_HEADER
from wayside.contracts.sync import EnrolRequest, SyncRequest
from wayside.contracts.wire import decode

NODES = 24
ROUNDS = 7


def requests_of(node: SimulatedNode, count: int, rows: int, *, of_rows: bool = True, **newer: Any) -> list[bytes]:
    """``newer``: fields that this release does not know, of the heartbeat and, with ``of_rows``, of each row."""
    made = []
    for _ in range(count):
        about = {"forecast": 41.5, "naive": 39.0, "anomaly": 0.2, "model": "traffic-flow 1.0.0"}
        body = node.request([node.summary(40.0, **about) for _ in range(rows)])
        if newer:
            plain = json.loads(body)
            plain["heartbeat"] |= newer
            if of_rows:
                plain["summaries"] = [row | newer for row in plain["summaries"]]
            body = json.dumps(plain, separators=(",", ":")).encode()
        made.append(body)
    return made


class Fleet:
    """Nodes of a hub, each on a connection of its own."""

    def __init__(self, hub: HubProcess, count: int = NODES) -> None:
        self.host, port = hub.url.removeprefix("http://").split(":")
        self.nodes = [hub.node(f"node-{i}") for i in range(count)]
        self._lines = [socket.create_connection((self.host, int(port))) for _ in self.nodes]

    def send(self, everyone: list[list[bytes]]) -> float:
        """Seconds until the hub has acknowledged all of it."""
        threads = [
            threading.Thread(target=self._talk, args=each)
            for each in zip(self.nodes, self._lines, everyone, strict=True)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    def _talk(self, node: SimulatedNode, line: socket.socket, bodies: list[bytes]) -> None:
        for body in bodies:
            node.nonce = post(line, node.headers(body) | {"Host": self.host, "Content-Length": str(len(body))}, body)


def post(line: socket.socket, headers: dict[str, str], body: bytes) -> str:
    """Send a request and return the next nonce; a client library would take more of the two cores than the hub."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    line.sendall(f"POST {SYNC} HTTP/1.1\r\n{head}\r\n".encode() + body)
    answer = b""
    while not answer.endswith(b"}"):
        more = line.recv(65536)
        assert more, answer
        answer += more
    assert answer.startswith(b"HTTP/1.1 200"), answer
    nonce = re.search(rb"(?i)\r\n" + NONCE_HEADER.encode() + rb": (\S+)", answer)
    assert nonce is not None, answer
    return nonce[1].decode()


def bare(data: Path, rows: int) -> Callable[[int], float]:
    """Requests of the same rows without HTTP and signatures, one COMMIT for each; returns the seconds."""
    node, engine = SimulatedNode(None, "bare"), open_engine(data)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        token = registry.make_token(connection, node="bare", site=None, ttl_s=60, now_ms=0)
        made, _ = registry.enrol(connection, EnrolRequest(node="bare", token=token, public_key=node.public_key), 0)
        Ingest().store(connection, made.id, decode(requests_of(node, 1, 1)[0], SyncRequest), 0, 0)
        found = connection.exec_driver_sql("SELECT * FROM summaries").mappings().one()
        sample = tuple(found[name] for name in APPENDED)
    engine.dispose()
    database = sqlite3.connect(data / DATABASE, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        database.execute(f"PRAGMA {pragma}")
    seq, place = itertools.count(1_000_000), APPENDED.index("seq")
    statement = insert("summaries", APPENDED, 1)

    def work(requests: int) -> float:
        batches = [[(*sample[:place], next(seq), *sample[place + 1 :]) for _ in range(rows)] for _ in range(requests)]
        started = time.perf_counter()
        for batch in batches:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(statement, batch)
            database.execute("COMMIT")
        return time.perf_counter() - started

    return work


def fsync_ms(folder: Path) -> float:
    with (folder / "probe").open("wb") as out:
        started = time.perf_counter()
        for _ in range(50):
            out.write(bytes(4096))
            out.flush()
            os.fsync(out.fileno())
    return (time.perf_counter() - started) * 1000 / 50


@pytest.mark.parametrize(("rows", "requests"), [(60, 16), (1000, 2)])
def test_bench_signed_ingest_over_http_beside_bare_sqlite(
    benchmark: Any,
    hub_process: Callable[[], HubProcess],  # noqa: F811
    tmp_path: Path,
    rows: int,
    requests: int,
) -> None:
    """Rounds alternate, since the disk's fsync decides who wins and changes from minute to minute: it is printed."""
    hub = hub_process()
    fleet, alone = Fleet(hub), bare(initialise(tmp_path / "bare"), rows)
    count = NODES * requests * rows
    print(f"\n  {'fsync ms':>9} {'bare rows/s':>12} {'signed HTTP rows/s':>19} {'ratio':>6}")
    ratios = []
    for _ in range(ROUNDS):
        bodies = [requests_of(node, requests, rows) for node in fleet.nodes]
        fsync, bare_s, http_s = fsync_ms(tmp_path), alone(NODES * requests), fleet.send(bodies)
        ratios.append(bare_s / http_s)
        print(f"  {fsync:9.2f} {count / bare_s:12,.0f} {count / http_s:19,.0f} {ratios[-1]:6.2f}")
    print(f"  {rows} rows a request: {statistics.median(ratios):.2f} × bare SQLite (median)")
    benchmark.pedantic(lambda: None)
    benchmark.extra_info["ratio"] = round(statistics.median(ratios), 2)
    said = hub.client.get("/api/v1/fleet").json()
    assert said["stored"] == ROUNDS * count


def test_bench_fields_of_a_newer_release_beside_known_ones(
    benchmark: Any,
    hub_process: Callable[[], HubProcess],  # noqa: F811
) -> None:
    """The hub's computing time for the same syncs with and without fields that this release does not know, in turns."""
    hub = hub_process()
    assert hub.process is not None
    fleet, process = Fleet(hub, 8), psutil.Process(hub.process.pid)

    def spent_s(everyone: list[list[bytes]]) -> float:
        before = process.cpu_times()
        fleet.send(everyone)
        after = process.cpu_times()
        return after.user + after.system - before.user - before.system

    for what, rows, only in (("one of the heartbeat", 3, True), ("one of the heartbeat and of each row", 60, False)):
        ratios = []
        for _ in range(ROUNDS):
            known_s = spent_s([requests_of(node, 20, rows) for node in fleet.nodes])
            newer = [requests_of(node, 20, rows, of_rows=not only, newer_field=7) for node in fleet.nodes]
            ratios.append(spent_s(newer) / known_s)
        print(f"\n  unknown fields, {what}, {rows} rows: {statistics.median(ratios):.2f} × known ones (median)")
    benchmark.pedantic(lambda: None)
