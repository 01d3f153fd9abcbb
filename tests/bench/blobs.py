"""A request as one blob, written out afterwards, beside its rows at once: ``python -m tests.bench.blobs``.

Eight requests a transaction, one process, no HTTP. Prints milliseconds of computing for each request.
"""

from __future__ import annotations

import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.bench.test_bench_hub import requests_of
from tests.hub.conftest import initialise
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub import registry
from wayside.cloud.hub.door.bodies import decoded_sync
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.ingest import Ingest
from wayside.contracts.sync import EnrolRequest

GROUP = 8


def main() -> None:
    print(f"{'rows':>6} {'rows at once':>14} {'blob':>10} {'written later':>14}   ms of computing a request")
    for rows, count in ((60, 480), (1000, 48)):
        with tempfile.TemporaryDirectory() as folder:
            compare(initialise(Path(folder) / "hub"), rows, count)


def compare(data: Path, rows: int, count: int) -> None:
    engine, ingest, node = open_engine(data), Ingest(), SimulatedNode(None, "n")
    with engine.connect().execution_options(writes=True) as connection:
        with connection.begin():
            token = registry.make_token(connection, node="n", site=None, ttl_s=60, now_ms=0)
            request = EnrolRequest(node="n", token=token, public_key=node.public_key)
            made, _ = registry.enrol(connection, request, 0)
            connection.exec_driver_sql("CREATE TABLE blobs (id INTEGER PRIMARY KEY, node INTEGER, body BLOB)")
        bodies = [gzip.compress(body, 6) for body in requests_of(node, 2 * count, rows)]

        def written(sent: bytes) -> None:
            ingest.store(connection, made.id, decoded_sync(gzip.decompress(sent)), len(sent), 0)

        def blob(sent: bytes) -> None:
            connection.exec_driver_sql("INSERT INTO blobs (node, body) VALUES (?, ?)", (made.id, sent))

        at_once = grouped(connection, bodies[:count], written)
        first = grouped(connection, bodies[count:], blob)
        kept = [body for (body,) in connection.exec_driver_sql("SELECT body FROM blobs ORDER BY id")]
        connection.rollback()
        later = grouped(connection, kept, written)
        print(f"{rows:6} {at_once:14.2f} {first:10.2f} {later:14.2f}")
    engine.dispose()


def grouped(connection: sa.Connection, bodies: list[bytes], act: Callable[[bytes], None]) -> float:
    """Milliseconds of computing for each body."""
    began = time.process_time()
    for start in range(0, len(bodies), GROUP):
        with connection.begin():
            for body in bodies[start : start + GROUP]:
                act(body)
    return (time.process_time() - began) * 1000 / len(bodies)


if __name__ == "__main__":
    main()
