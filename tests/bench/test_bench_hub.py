"""Signed ingest of 60 rows a request beside a bare ``executemany`` and COMMIT of the same rows, in one run.

Every side writes the same rows into the same schema with WAL and ``synchronous=FULL``. "through HTTP" is the whole
way: several nodes, each with its own connection and its own nonce chain, to a hub in a process of its own.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.hub.conftest import HubProcess, hub_process, initialise  # noqa: F401 a fixture
from tests.simulators.node import SYNC, SimulatedNode
from wayside.cloud.hub import registry
from wayside.cloud.hub.engine import DATABASE, open_engine
from wayside.cloud.hub.ingest import Ingest, _insert
from wayside.cloud.hub.writer import Writer
from wayside.contracts.identity import NONCE_HEADER
from wayside.contracts.sync import EnrolRequest, SyncRequest
from wayside.contracts.wire import decode

ROWS = 60  # of one request
NODES = 24
REQUESTS = 16  # of one node, in one round
BARE_INSERT = _insert(1).split("ON CONFLICT")[0]


def note(benchmark: object, rows: int, seconds: float) -> None:
    benchmark.extra_info["rows_per_s"] = round(rows / seconds)  # type: ignore[attr-defined]
    print(f"\n  {rows / seconds:,.0f} rows/s")


def requests_of(node: SimulatedNode, count: int) -> list[bytes]:
    return [
        node.request(
            [
                node.summary(40.0, forecast=41.5, naive=39.0, anomaly=0.2, model="traffic-flow 1.0.0")
                for _ in range(ROWS)
            ]
        )
        for _ in range(count)
    ]


def enrolled(data: Path, name: str) -> tuple[SimulatedNode, int]:
    node = SimulatedNode(None, name)
    engine = open_engine(data)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        token = registry.make_token(connection, node=name, site=None, ttl_s=60, now_ms=0)
        request = EnrolRequest(node=name, token=token, public_key=node.public_key)
        made, _ = registry.enrol(connection, request, 0)
    engine.dispose()
    return node, made.id


def test_bench_ingest_in_process(benchmark: object, tmp_path: Path) -> None:
    """Decoding and the group-commit writer, without HTTP and signatures."""
    data = initialise(tmp_path / "hub")
    node, node_id = enrolled(data, "node-1")
    engine, ingest = open_engine(data), Ingest()
    writer = Writer(engine, on_rollback=ingest.forget)
    writer.start()
    batches = NODES * REQUESTS

    def work(bodies: list[bytes]) -> None:
        def job(body: bytes) -> Callable[..., object]:
            request = decode(body, SyncRequest)
            return lambda connection: ingest.store(connection, node_id, request, len(body), 0)

        for future in [writer.submit(job(body)) for body in bodies]:
            future.result()

    benchmark.pedantic(work, setup=lambda: ((requests_of(node, batches),), {}), rounds=5)  # type: ignore[attr-defined]
    note(benchmark, batches * ROWS, benchmark.stats.stats.median)  # type: ignore[attr-defined]
    writer.stop()
    engine.dispose()


def bare(data: Path) -> Callable[[], float]:
    """A round of the same rows without HTTP and signatures, one COMMIT for 60 rows; returns its seconds."""
    node, node_id = enrolled(data, "bare")
    ingest, engine = Ingest(), open_engine(data)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        first = decode(requests_of(node, 1)[0], SyncRequest)
        ingest.store(connection, node_id, first, 0, 0)
        sample = ingest._row(connection, node_id, first.summaries[0], 0)
    engine.dispose()
    database = sqlite3.connect(data / DATABASE, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        database.execute(f"PRAGMA {pragma}")
    seq = itertools.count(1_000_000)

    def work() -> float:
        batches = [[(sample[0], next(seq), *sample[2:]) for _ in range(ROWS)] for _ in range(NODES * REQUESTS)]
        started = time.perf_counter()
        for rows in batches:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(BARE_INSERT, rows)
            database.execute("COMMIT")
        return time.perf_counter() - started

    return work


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


def fsync_ms(folder: Path) -> float:
    with (folder / "probe").open("wb") as out:
        started = time.perf_counter()
        for _ in range(50):
            out.write(bytes(4096))
            out.flush()
            os.fsync(out.fileno())
    return (time.perf_counter() - started) * 1000 / 50


def test_bench_signed_ingest_over_http_beside_bare_sqlite(
    benchmark: object,
    hub_process: Callable[[], HubProcess],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Rounds alternate, since the disk's fsync decides who wins and changes from minute to minute: it is printed."""
    hub = hub_process()
    host, port = hub.url.removeprefix("http://").split(":")
    nodes = [hub.node(f"node-{i}") for i in range(NODES)]
    lines = [socket.create_connection((host, int(port))) for _ in nodes]
    bare_round = bare(initialise(tmp_path / "bare"))
    bare_s: list[float] = []
    fsyncs: list[float] = []

    def talk(node: SimulatedNode, line: socket.socket, bodies: list[bytes]) -> None:
        for body in bodies:
            node.nonce = post(line, node.headers(body) | {"Host": host, "Content-Length": str(len(body))}, body)

    def prepare() -> tuple[tuple[list[list[bytes]]], dict[str, object]]:
        fsyncs.append(fsync_ms(tmp_path))
        bare_s.append(bare_round())
        return ([requests_of(node, REQUESTS) for node in nodes],), {}

    def work(everyone: list[list[bytes]]) -> None:
        threads = [threading.Thread(target=talk, args=each) for each in zip(nodes, lines, everyone, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    benchmark.pedantic(work, setup=prepare, rounds=7)  # type: ignore[attr-defined]
    rows, http_s = NODES * REQUESTS * ROWS, benchmark.stats.stats.data  # type: ignore[attr-defined]
    print(f"\n  {'fsync ms':>9} {'bare rows/s':>12} {'signed HTTP rows/s':>19} {'ratio':>6}")
    for fsync, alone, signed in zip(fsyncs, bare_s, http_s, strict=True):
        print(f"  {fsync:9.2f} {rows / alone:12,.0f} {rows / signed:19,.0f} {alone / signed:6.2f}")
    note(benchmark, rows, benchmark.stats.stats.median)  # type: ignore[attr-defined]
    stats = hub.client.get("/api/v1/stats").json()
    assert (stats["duplicates_refused"], stats["missing"]) == (0, 0)
