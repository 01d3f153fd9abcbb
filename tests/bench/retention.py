"""What a row costs in the database and in a file, what rollups cost beside ingest, and syncs while rows are moved.

    python -m tests.bench.retention [--nodes 40] [--days 5] [--syncs 400]

Rows are like those of an intersection: eight detectors with a float32 forecast, their sum, and an air mast, every 15
minutes, sent each five minutes by a node whose clock and scheduler jitter. They came two months ago, so that the
default configuration moves them.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.hub.conftest import ROOT, HubProcess, initialise
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.engine import open_engine, settled_id, size_of
from wayside.cloud.hub.ingest import Ingest
from wayside.cloud.hub.retention.rollups import roll
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import Counters, Heartbeat, Reported, SyncRequest

DETECTORS, STEP_MS, DAY_MS = 8, 900_000, 86_400_000


def float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def rows_of(node: str, boot: str, seed: int, start_ms: int, steps: int) -> Iterator[list[Summary]]:
    """Of each step."""
    dice, seq, last = random.Random(seed), 0, [30.0] * DETECTORS
    began_ns = dice.randrange(10**15)
    deviation = 4.0 + dice.random()
    for step in range(steps):
        end_ms = start_ms + (step + 1) * STEP_MS
        hour = step % 96 / 4
        noise_ns = dice.randrange(2_000_000)
        at = Stamp(
            boot=boot,
            mono_ns=began_ns + step * STEP_MS * 1_000_000 + noise_ns,
            wall_ms=end_ms,
            clock=ClockState.NTP,
            error_ms=dice.choice((4, 5, 5, 6)),
        )

        def row(name: str, at: Stamp = at, **other: object) -> Summary:
            nonlocal seq
            seq += 1
            common = {"node": node, "boot": boot, "seq": seq - 1, "kind": Kind.INTERVAL, "datastream": name, "at": at}
            return Summary(**{**common, "duration_s": 900.0, **other})  # type: ignore[arg-type]

        made, sums = [], [0.0, 0.0, 0.0]
        for detector in range(DETECTORS):
            mean = 20 + 100 * abs(12 - abs(hour - 12)) / 12
            value = float(max(0, round(dice.gauss(mean, 5))))
            forecast, naive = float32(dice.gauss(mean, 3)), last[detector]
            last[detector] = value
            sums = [a + b for a, b in zip(sums, (value, forecast, naive), strict=True)]
            made.append(
                row(
                    f"detector/{detector}/volume",
                    value=value,
                    unit="{veh}",
                    n=9000,
                    forecast=forecast,
                    naive=naive,
                    anomaly=abs(value - forecast) / deviation,
                    model="traffic-flow 1.0.0",
                )
            )
        total, ahead, past = sums
        about = {"unit": "{veh}", "n": 72_000, "derived": True, "model": "traffic-flow 1.0.0"}
        made.append(row("intersection/volume", value=total, forecast=ahead, naive=past, **about))
        made.append(row("mast/pm25", value=round(dice.gauss(12, 3), 1), unit="ug/m3", n=900))
        yield made


def fill(data: Path, nodes: int, days: int, start_ms: int) -> tuple[int, float]:
    """Rows in the order in which nodes would have sent them; how many, and the seconds of the writer."""
    engine, ingest = open_engine(data), Ingest()
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for i in range(nodes):
            sql = "INSERT INTO nodes (id, name, public_key, enrolled_ms) VALUES (?, ?, ?, 0)"
            connection.exec_driver_sql(sql, (i + 1000, f"old-{i}", SimulatedNode(None).public_key))
    boots = [secrets.token_hex(16) for _ in range(nodes)]
    streams = [rows_of(f"old-{i}", boots[i], i, start_ms, days * 96) for i in range(nodes)]
    stamp = Stamp(boot=boots[0], mono_ns=1)
    beat = Heartbeat(
        agent="0.1.0", at=stamp, uptime_s=1, healthy=True, reported=Reported(), counters=Counters(), rss_bytes=1
    )
    dice, count, seconds = random.Random(0), 0, 0.0
    phases = [dice.randrange(300_000) for _ in range(nodes)]
    for step in range(days * 96):
        for i in sorted(range(nodes), key=phases.__getitem__):
            rows = next(streams[i])
            request = SyncRequest(node=f"old-{i}", boot=boots[i], heartbeat=beat, summaries=rows)
            now_ms = start_ms + (step + 1) * STEP_MS + phases[i] + dice.randrange(200)
            began = time.perf_counter()
            with engine.connect().execution_options(writes=True) as connection, connection.begin():
                ingest.store(connection, i + 1000, request, 0, now_ms)
            seconds += time.perf_counter() - began
            count += len(rows)
    engine.dispose()
    return count, seconds


def roll_up(data: Path) -> float:
    """Seconds of the writer for all rollups, in the pieces in which the hub makes them."""
    engine = open_engine(data)
    began, more = time.perf_counter(), True
    with engine.connect().execution_options(writes=True) as connection:
        with connection.begin():
            upto = settled_id(connection)
        while more:
            with connection.begin():
                more = roll(connection, upto)
    engine.dispose()
    return time.perf_counter() - began


def verb(data: Path, *words: str) -> dict[str, object]:
    command = [sys.executable, "-m", "wayside", "hub", "retention", *words, "--data", str(data), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def syncs(hub: HubProcess, number: int, stop: threading.Event | None = None) -> list[float]:
    """Seconds of each of ``number`` syncs of 60 rows, one after the other with pauses; or until ``stop``."""
    node = hub.node(f"fresh-{secrets.token_hex(3)}")
    node.client = httpx.Client(base_url=hub.url, timeout=30)
    taken: list[float] = []
    while len(taken) < number or (stop is not None and not stop.is_set()):
        rows = [node.summary(40.0, forecast=41.5, naive=39.0) for _ in range(60)]
        began = time.perf_counter()
        node.sync(rows)
        taken.append(time.perf_counter() - began)
        time.sleep(0.02)
        if stop is not None and stop.is_set():
            break
    return taken


def told(name: str, seconds: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{name}: {len(seconds)} syncs, median {1000 * cuts[49]:.1f} ms, p99 {1000 * cuts[98]:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=40)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--syncs", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = initialise(Path(folder) / "hub")
        start_ms = (time.time_ns() // 1_000_000 // DAY_MS - 75) * DAY_MS
        rows, ingest_s = fill(data, given.nodes, given.days, start_ms)
        engine = open_engine(data)
        with engine.connect() as connection:
            hot = size_of(connection)
            before = (hot.bytes - hot.free) / rows
        print(f"in the database: {rows} rows, {before:.0f} bytes a row with its indices and bitmaps")
        rolled_s = roll_up(data)
        with engine.connect() as connection:
            buckets = connection.exec_driver_sql("SELECT count(*) FROM rollups").scalar_one()
            after = size_of(connection)
        engine.dispose()
        grown = (after.bytes - after.free) / rows - before
        print(f"ingest {1e6 * ingest_s / rows:.1f} us a row, rollups {1e6 * rolled_s / rows:.1f} us a row more")
        print(f"rollups: {buckets} buckets, {grown * rows / buckets:.0f} bytes each, {grown:.1f} for each row")
        hub = HubProcess(data).start()
        told("hub alone", syncs(hub, given.syncs))
        stop, made = threading.Event(), list[float]()
        worker = threading.Thread(target=lambda: made.extend(syncs(hub, 20, stop)))
        worker.start()
        time.sleep(0.5)
        began = time.perf_counter()
        done = verb(data, "run")
        spent = time.perf_counter() - began
        stop.set()
        worker.join()
        told("while rows are moved", made)
        hub.stop()
        print(f"moved {done['rows']} rows into {len(done['files'])} files in {spent:.1f} s")  # type: ignore[arg-type]
        print(f"in files of a day: {int(str(done['bytes'])) / int(str(done['rows'])):.1f} bytes a row")
        shown = verb(data, "show", "--verify")
        print(f"in all files, merged by month: {shown['kinds'][0]['cold_bytes_a_row']:.1f} bytes a row")  # type: ignore[index]


if __name__ == "__main__":
    main()
