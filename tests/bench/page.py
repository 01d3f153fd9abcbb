"""What the page and the API ask, each timed over HTTP against a hub with a large store.

    python -m tests.bench.page --rows 50000000 --nodes 10000

*Cold* is the first time, with the database's file dropped from the kernel's cache; *warm* the 95th of a hundred of 20
repetitions. The goal is 100 ms. Needs some 160 bytes of disk a row, and twice as many while the index is made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from tests.bench.large_store import fill, shape
from tests.hub.conftest import AUTH, HubProcess
from tests.simulators.fleet_nodes import STREAMS, name_of
from wayside.cloud.hub.engine import DATABASE
from wayside.terminal import Bars, Screen

GOAL_MS = 100.0
REPEATS = 20


def questions(nodes: int) -> dict[str, str]:
    """By what they are called in the table."""
    young, old, stream = name_of(nodes - 1), name_of(0), STREAMS[2]
    middle, day_ago = f"0:{name_of(nodes // 2)}", int(time.time() * 1000) - 86_400_000
    series, newest = f"/api/v1/series?datastream={stream}", "/api/v1/summaries?order=newest"
    return {
        "the fleet in numbers": "/api/v1/fleet",
        "nodes, the worst 100": "/api/v1/nodes?order=worst&limit=100",
        "nodes, 100 by name, from the middle": f"/api/v1/nodes?limit=100&after={middle}",
        "nodes, 100 that are silent": "/api/v1/nodes?health=silent&limit=100",
        "nodes, by a part of the name": "/api/v1/nodes?text=-001&limit=100",
        "nodes, a whole page of 1000": "/api/v1/nodes?limit=1000",
        "a node": f"/api/v1/nodes/{young}",
        "datastreams of a node": f"/api/v1/datastreams?node={young}",
        "datastreams, a page of 1000": "/api/v1/datastreams?limit=1000",
        "series, a day": f"{series}&node={young}&hours=24",
        "series, a week": f"{series}&node={old}&hours=168",
        "series, a year": f"{series}&node={old}&hours=8760",
        "alerts, the newest 60": "/api/v1/alerts?limit=60",
        "alerts of a node": f"/api/v1/alerts?limit=60&node={young}",
        "decisions, the newest 20": "/api/v1/summaries?kind=decision&order=newest&limit=20",
        "rows, the newest 100": newest,
        "rows of a datastream, the newest 97": f"{newest}&limit=97&node={old}&datastream={stream}",
        "rows of a node, the newest 100": f"{newest}&node={old}",
        "rows since a day, the oldest 100": f"/api/v1/summaries?node={old}&since={day_ago}",
        "conditions as spans": "/api/v1/conditions?limit=30",
        "conditions that are open": "/api/v1/conditions/open?limit=60",
        "counts, a page of 1000 nodes": "/api/v1/stats",
        "counts of a node": f"/api/v1/stats?node={young}",
        "rollouts": "/api/v1/rollouts",
        "a rollout": "/api/v1/rollouts/5",
        "metrics": "/metrics",
        "healthz": "/healthz",
    }


def forget_file(path: Path) -> None:
    """Out of the kernel's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(client: httpx.Client, path: str) -> tuple[float, int]:
    """Milliseconds, and bytes of the answer."""
    started = time.perf_counter()
    answer = client.get(path)
    ms = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, (path, answer.text[:300])
    return ms, len(answer.content)


def measure(hub: HubProcess, nodes: int, bars: Bars) -> list[dict[str, Any]]:
    asked = questions(nodes)
    task = bars.add_task("asking", total=len(asked), status="")
    found = []
    with httpx.Client(base_url=hub.url, headers=AUTH, timeout=120) as client:
        for what, path in asked.items():
            bars.update(task, status=what)
            forget_file(hub.data / DATABASE)
            cold, size = timed(client, path)
            warm = sorted(timed(client, path)[0] for _ in range(REPEATS))
            found.append(
                {
                    "what": what,
                    "path": path,
                    "cold_ms": round(cold, 1),
                    "p50_ms": round(warm[REPEATS // 2], 1),
                    "p95_ms": round(warm[int(REPEATS * 0.95) - 1], 1),
                    "kb": round(size / 1000, 1),
                }
            )
            bars.update(task, advance=1)
    return found


def markdown(report: dict[str, Any]) -> str:
    lines = [
        f"| {report['rows']:,} rows, {report['nodes']:,} nodes | cold ms | p50 ms | p95 ms | kB |",
        "|---|---|---|---|---|",
    ]
    for q in report["questions"]:
        over = "" if q["p95_ms"] < GOAL_MS else " **over**"
        lines.append(f"| {q['what']} | {q['cold_ms']:g} | {q['p50_ms']:g} | {q['p95_ms']:g}{over} | {q['kb']:g} |")
    lines += ["", f"Database {report['database_mib']:,} MiB, filled in {report['filled_s']:g} s."]
    return "\n".join(lines)


def run(args: argparse.Namespace) -> dict[str, Any]:
    folder = Path(args.data or tempfile.mkdtemp(prefix="wayside-page-", dir=args.folder))
    data, made = folder / "hub", shape(args.rows, args.nodes)
    hub = HubProcess(data)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[status]}")
    started = time.monotonic()
    try:
        with Bars(*columns, screen=Screen(stderr=True)) as bars:
            if not (data / DATABASE).exists():
                task = bars.add_task("filling", total=made.rows, status="")
                fill(data, made, lambda rows: bars.update(task, completed=rows, status=f"{rows:,} rows"))
            filled_s = round(time.monotonic() - started, 1)
            hub.start()
            asked = measure(hub, args.nodes, bars)
        size = (data / DATABASE).stat().st_size >> 20
    finally:
        if hub.process is not None:
            hub.kill()
        if not args.data:
            shutil.rmtree(folder, ignore_errors=True)
    return {"rows": made.rows, "nodes": args.nodes, "filled_s": filled_s, "database_mib": size, "questions": asked}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.bench.page", description=(__doc__ or "").split("\n\n")[0])
    made.add_argument("--rows", type=int, default=50_000_000, help="rows of the store, about (50000000)")
    made.add_argument("--nodes", type=int, default=10_000, help="nodes of the fleet (10000)")
    made.add_argument("--data", help="keep the store in this folder, and use it again (a temporary one)")
    made.add_argument("--folder", help="make the temporary folder in this one")
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def main() -> int:
    args = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the hub is stopped and its store deleted
    report = run(args)
    print(json.dumps(report, indent=1) if args.json else markdown(report))
    return 0 if all(q["p95_ms"] < GOAL_MS for q in report["questions"]) else 1


if __name__ == "__main__":
    sys.exit(main())
