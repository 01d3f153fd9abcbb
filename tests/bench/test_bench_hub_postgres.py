"""Ingest on PostgreSQL beside a bare COPY and COMMIT of the same rows, in one run, rounds alternating.

Both write into the hub's own table, on one server that syncs to its disk. The hub's side is what follows the signature
and the decoding: each row once, its counts, bitmap, boot and heartbeat, the group commit. The bare side keeps no order
and refuses no duplicate.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.bench.test_bench_hub import fsync_ms
from tests.hub.conftest import initialise
from tests.simulators.node import SimulatedNode
from tests.simulators.postgres import running_postgres
from wayside.cloud.hub import registry
from wayside.cloud.hub.engine import APPENDED, open_engine
from wayside.cloud.hub.ingest import Ingest, _rows
from wayside.cloud.hub.serials import Serials, serial_of
from wayside.cloud.hub.writer import Writer
from wayside.contracts.sync import EnrolRequest, SyncRequest
from wayside.contracts.wire import decode

NODES = 24
ROUNDS = 9


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_postgres(durable=True) as server, server.database() as made:
        yield made


def enrolled(data: Path, address: str, name: str) -> tuple[SimulatedNode, int]:
    node = SimulatedNode(None, name)
    engine = open_engine(data, address)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        token = registry.make_token(connection, node=name, site=None, ttl_s=60, now_ms=0)
        made, _ = registry.enrol(connection, EnrolRequest(node=name, token=token, public_key=node.public_key), 0)
    engine.dispose()
    return node, made.id


def request(node: SimulatedNode, rows: int) -> SyncRequest:
    about = {"forecast": 41.5, "naive": 39.0, "anomaly": 0.2, "model": "traffic-flow 1.0.0"}
    return decode(node.request([node.summary(40.0, **about) for _ in range(rows)]), SyncRequest)


def bare(address: str, sample: tuple[object, ...], rows: int, batches: int) -> Callable[[], float]:
    """A round of batches; returns its seconds."""
    connection = psycopg.connect(address)
    seq = itertools.count(1_000_000)
    place = APPENDED.index("seq")
    statement = f"COPY summaries ({', '.join(APPENDED)}) FROM STDIN"

    def work() -> float:
        each = [[(*sample[:place], next(seq), *sample[place + 1 :]) for _ in range(rows)] for _ in range(batches)]
        started = time.perf_counter()
        for batch in each:
            with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                for row in batch:
                    copy.write_row(row)
            connection.commit()
        return time.perf_counter() - started

    return work


@pytest.mark.parametrize(("rows", "batches"), [(60, 384), (1000, 48)])
def test_bench_ingest_beside_bare_copy(
    benchmark: object, tmp_path: Path, address: str, rows: int, batches: int
) -> None:
    data = initialise(tmp_path / "hub", address)
    nodes = [enrolled(data, address, f"node-{rows}-{i}") for i in range(NODES)]
    engine, ingest = open_engine(data, address), Ingest(grouped=True)
    serials = Serials(ingest)
    writer = Writer(engine, on_rollback=serials.forget, on_begin=serials.lock, on_end=ingest.flush)
    writer.start()
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        first = request(nodes[0][0], 1)
        ingest.store(connection, nodes[0][1], first, 0, 0)
        sample = next(_rows(connection, ingest._nodes[nodes[0][1]], first.summaries, 0))
        turns = {node: serial_of(connection, node) for _, node in nodes}
    serials.forget()
    bare_round = bare(address, sample, rows, batches)
    bare_s: list[float] = []
    fsyncs: list[float] = []

    def prepare() -> tuple[tuple[list[tuple[int, SyncRequest]]], dict[str, object]]:
        fsyncs.append(fsync_ms(tmp_path))
        bare_s.append(bare_round())
        return ([(id_, request(node, rows)) for _ in range(batches // NODES) for node, id_ in nodes],), {}

    def work(requests: list[tuple[int, SyncRequest]]) -> None:
        def job(node: int, one: SyncRequest) -> Callable[..., object]:
            def store(connection: sa.Connection) -> None:
                assert serials.take(connection, node, turns[node])
                turns[node] += 1
                ingest.store(connection, node, one, 10_000, 0)

            return store

        for future in [writer.submit(job(node, one), node) for node, one in requests]:
            future.result()

    benchmark.pedantic(work, setup=prepare, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[attr-defined]
    hub_s = benchmark.stats.stats.data  # type: ignore[attr-defined]
    print(f"\n  {rows} rows a request\n  {'fsync ms':>9} {'bare COPY rows/s':>17} {'hub rows/s':>11} {'ratio':>6}")
    ratios = []
    for fsync, alone, ours in zip(fsyncs[-ROUNDS:], bare_s[-ROUNDS:], hub_s, strict=True):
        ratios.append(alone / ours)
        print(f"  {fsync:9.2f} {rows * batches / alone:17,.0f} {rows * batches / ours:11,.0f} {alone / ours:6.2f}")
    print(f"  median ratio {sorted(ratios)[ROUNDS // 2]:.2f}")
    writer.stop()
    engine.dispose()
