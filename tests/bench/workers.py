"""What several processes of a hub bring, and what a front of processes before SQLite's one writer could.

    python -m tests.bench.workers           syncs a second with 1 and 2 workers, on a PostgreSQL that syncs to the disk
    python -m tests.bench.workers --front   where the time of one sync of 60 rows goes, in one process on SQLite

The nodes that ask run on the same cores: on a computer of two, the workers share them with their own load and with the
database. Rounds alternate; read ratios of one run.
"""

from __future__ import annotations

import argparse
import gzip
import marshal
import os
import re
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.hub.conftest import HubProcess, initialise
from tests.simulators.node import SYNC, SimulatedNode
from tests.simulators.postgres import running_postgres
from wayside.cloud.hub.auth import verify_signature
from wayside.cloud.hub.door.bodies import decoded_sync, decompressed
from wayside.cloud.hub.engine import open_engine, transaction
from wayside.cloud.hub.ingest import Ingest, _Known
from wayside.cloud.hub.store import nodes
from wayside.contracts.identity import NONCE_HEADER, SIGNATURE_HEADER, signing_input
from wayside.contracts.sync import MAX_BODY_BYTES

ROWS = 60  # of one request
NODES = 16
REQUESTS = 24  # of a node in a round
TIMES = 200


class Measured(NamedTuple):
    syncs_per_s: float  # median of the rounds
    cpu_ms: float  # of the hub's processes, for one sync


def measure_workers(rounds: int, counts: tuple[int, ...]) -> None:
    print(f"{'workers':>8} {'syncs/s':>8} {'rows/s':>9} {'CPU ms a sync':>14}   {NODES} nodes, {ROWS} rows a sync")
    with running_postgres(durable=True) as server:
        for count in counts:
            with server.database() as address:
                told(f"{count}", measured(rounds, address, ["--workers", f"{count}"]))


def told(what: str, done: Measured) -> None:
    print(f"{what:>8} {done.syncs_per_s:8.0f} {done.syncs_per_s * ROWS:9,.0f} {done.cpu_ms:14.2f}")


def measured(rounds: int, database: str | None, options: list[str]) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        data = initialise(Path(folder) / "hub", database)
        hub = HubProcess(data, database=database, options=options).start()
        try:
            fleet = [hub.node(f"node-{i}") for i in range(NODES)]
            round_s(hub, fleet)  # what is remembered of nodes is remembered
            before = cpu_s(hub)
            seconds = [round_s(hub, fleet) for _ in range(rounds)]
            syncs = NODES * REQUESTS
            return Measured(syncs / statistics.median(seconds), 1000 * (cpu_s(hub) - before) / (rounds * syncs))
        finally:
            hub.stop()


def cpu_s(hub: HubProcess) -> float:
    assert hub.process is not None
    pid = hub.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for each in (f"{pid}", *children):
        ticks += sum(int(word) for word in Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def round_s(hub: HubProcess, fleet: list[SimulatedNode]) -> float:
    host, port = hub.url.removeprefix("http://").split(":")
    lines = [socket.create_connection((host, int(port))) for _ in fleet]
    bodies = [requests_of(node, REQUESTS) for node in fleet]

    def talk(node: SimulatedNode, line: socket.socket, of_node: list[bytes]) -> None:
        for body in of_node:
            node.nonce = post(line, node.headers(body) | {"Host": host, "Content-Length": f"{len(body)}"}, body)

    threads = [threading.Thread(target=talk, args=each) for each in zip(fleet, lines, bodies, strict=True)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    for line in lines:
        line.close()
    return took


def requests_of(node: SimulatedNode, count: int) -> list[bytes]:
    about = {"forecast": 41.5, "naive": 39.0, "anomaly": 0.2, "model": "traffic-flow 1.0.0"}
    return [node.request([node.summary(40.0, **about) for _ in range(ROWS)]) for _ in range(count)]


def post(line: socket.socket, headers: dict[str, str], body: bytes) -> str:
    """The next nonce. A client library would take more of the cores than the hub."""
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


def measure_front() -> None:
    """The parts of a sync, alone, and what it costs to hand decoded rows to another process."""
    with tempfile.TemporaryDirectory() as folder:
        data = initialise(Path(folder) / "hub")
        node, row = SimulatedNode(None), 1
        with transaction(data) as connection:
            about = {"id": row, "name": node.name, "public_key": node.public_key, "enrolled_ms": 0}
            connection.execute(nodes.insert().values(about))
        bodies = requests_of(node, TIMES)
        sent = [gzip.compress(body, compresslevel=6, mtime=0) for body in bodies]
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(node.public_key))
        headers = [node.headers(body, nonce="n") for body in sent]
        requests = [decoded_sync(body) for body in bodies]
        engine, ingest = open_engine(data), Ingest()
        verified = each_ms(
            lambda i: verify_signature(
                key,
                headers[i][SIGNATURE_HEADER],
                signing_input(node=node.name, nonce="n", method="POST", path=SYNC, body=sent[i]),
            )
        )
        inflated = each_ms(lambda i: decompressed(sent[i], "gzip", MAX_BODY_BYTES))
        decoded = each_ms(lambda i: decoded_sync(bodies[i]))
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            stored = each_ms(lambda i: ingest.store(connection, row, requests[i], 0, 0))
            known = ingest._nodes[row]
            tuples = [rows_of(ingest, connection, known, request.summaries) for request in requests]
        engine.dispose()
        packed = [marshal.dumps(rows) for rows in tuples]
        parts = {
            "signature verified": verified,
            "inflated": inflated,
            "decoded into rows": decoded,
            "written (without COMMIT)": stored,
            "rows packed for another process": each_ms(lambda i: marshal.dumps(tuples[i])),
            "rows unpacked there": each_ms(lambda i: marshal.loads(packed[i])),
        }
    for what, ms in parts.items():
        print(f"{ms:8.3f} ms  {what}")
    whole = measured(3, None, [])
    print(
        f"{whole.cpu_ms:8.3f} ms  CPU of the hub for the whole sync, HTTP and COMMIT with it: {whole.syncs_per_s:.0f}/s"
    )


def rows_of(ingest: Ingest, connection: object, known: _Known, rows: object) -> list[tuple[object, ...]]:
    return [ingest._row(connection, known, row, 0) for row in rows]  # type: ignore[arg-type, attr-defined]


def each_ms(part: Callable[[int], object]) -> float:
    """The median of one call's CPU and waiting time."""
    took = []
    for i in range(TIMES):
        started = time.perf_counter()
        part(i)
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--front", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    if asked.front:
        measure_front()
    else:
        measure_workers(asked.rounds, tuple(asked.workers))


if __name__ == "__main__":
    main()
