"""A fleet of real clients against a real hub: a period of every day, then everybody back after an outage.

    python -m tests.simulators.fleet --nodes 10000 --steady-s 300 --outage-h 24

The hub is a process of its own on an empty SQLite store; the nodes live in a few processes beside it, each with its own
Ed25519 key, address and connection (plain HTTP over loopback). *Steady*: every node syncs every 300 s and brings a row
of each of its 8 detectors each time, three times as often as quarter-hours end. *Back*: the hub was away for the
outage; all nodes return within ``--return-s`` with 8 rows for each quarter-hour, and go on measuring; witnesses without
a backlog sync beside them every 5 s. At the end every row is accounted for: by the hub's counters, and by reading all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from tests.hub.conftest import HubProcess, initialise
from tests.simulators.fleet_nodes import DETECTORS, Tally, key_of, name_of
from tests.simulators.fleet_worker import Phase, work
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.engine import DATABASE, open_engine
from wayside.cloud.hub.recount import recount
from wayside.cloud.hub.retention.cold import Cold
from wayside.cloud.hub.store import boots, node_keys, nodes, summaries
from wayside.terminal import Bars, Screen

WITNESS_SYNC_S = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Load:
    """Of the hub's process, sampled once a second."""

    pid: int
    cpu_s: float = 0.0
    rss_mib: int = 0  # the most
    connections: int = 0  # the most
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        before = self._cpu()
        while not self._stop.wait(1.0):
            status = Path(f"/proc/{self.pid}/status").read_text()
            rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            self.rss_mib = max(self.rss_mib, rss // 1024)
            self.connections = max(self.connections, sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()) - 20)
            self.cpu_s = self._cpu() - before

    def stop(self) -> None:
        self._stop.set()

    def _cpu(self) -> float:
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS


def enrol(data: Path, seed: int, count: int) -> None:
    """Every node as if it had enrolled: straight into the store."""
    engine, at = open_engine(data), now_ms()
    keys = {name_of(n): key_of(seed, n).public_key().public_bytes_raw().hex() for n in range(count)}
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        rows = [
            {"name": name, "public_key": key, "site": f"Site {i // 40}", "hardware": "aarch64", "enrolled_ms": at}
            for i, (name, key) in enumerate(keys.items())
        ]
        connection.execute(nodes.insert(), rows)
        ids = {row.name: row.id for row in connection.execute(nodes.select())}
        bound = [{"node_id": ids[name], "public_key": key, "since_ms": at} for name, key in keys.items()]
        connection.execute(node_keys.insert(), bound)
    engine.dispose()


class Workers:
    """The processes with the nodes."""

    def __init__(self, processes: int, seed: int, count: int, witnesses: int) -> None:
        # rows acknowledged, rows waiting, nodes with rows of the outage: of each process
        self.seen = multiprocessing.Array("q", 3 * processes)
        self._lines: list[Connection] = []
        self._processes = []
        for i in range(processes):
            ours, theirs = multiprocessing.Pipe()
            numbers = range(i, count + witnesses, processes)
            each = multiprocessing.Process(target=work, args=(theirs, self.seen, i, seed, numbers, count), daemon=True)
            each.start()
            self._lines.append(ours)
            self._processes.append(each)
        for line in self._lines:
            line.recv()

    def begin(self, phase: Phase) -> None:
        with self.seen.get_lock():
            self.seen[:] = [0, 0, 1] * len(self._lines)  # not done until it says so
        for line in self._lines:
            line.send(phase)

    def end(self) -> tuple[Tally, int, float]:
        """Stop the phase: what all saw, the rows they have produced so far, and their CPU seconds in the phase."""
        for line in self._lines:
            line.send("end")
        tally, produced, cpu_s = Tally(), 0, 0.0
        for line in self._lines:
            one, rows, cpu = line.recv()
            if isinstance(one, Exception):
                raise one
            for name in ("fresh_s", "backlog_s", "witness_s"):
                getattr(tally, name).extend(getattr(one, name))
            for name in ("rows", "duplicates", "steered"):
                setattr(tally, name, getattr(tally, name) + getattr(one, name))
            tally.refused += one.refused
            tally.unreachable += one.unreachable
            tally.broken += one.broken
            produced += rows
            cpu_s += cpu
        return tally, produced, cpu_s

    def sums(self) -> tuple[int, int, int]:
        """Rows acknowledged in this phase, rows that wait, and nodes with rows of the outage.

        Raises whatever ended a process before its time.
        """
        for line in self._lines:
            if line.poll():
                raise line.recv()[0]
        values = list(self.seen)
        return sum(values[0::3]), sum(values[1::3]), sum(values[2::3])

    def stop(self) -> None:
        for line in self._lines:
            line.send("stop")
        for process in self._processes:
            process.join(10)


def centile(values: Any, share: float) -> float | None:
    """Milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1) if ordered else None


def told(tally: Tally, load: Load, seconds: float, clients_cpu_s: float) -> dict[str, Any]:
    waits = {}
    for name, values in (("fresh", tally.fresh_s), ("backlog", tally.backlog_s), ("witness", tally.witness_s)):
        waits[name] = {
            "exchanges": len(values),
            "p50_ms": centile(values, 0.5),
            "p99_ms": centile(values, 0.99),
            "max_ms": centile(values, 1.0),
        }
    return {
        "seconds": round(seconds, 1),
        "rows": tally.rows,
        "rows_per_s": round(tally.rows / seconds),
        **waits,
        "steered": tally.steered,
        "duplicates": tally.duplicates,
        "refused": dict(tally.refused),
        "unreachable": dict(tally.unreachable),
        "broken": dict(tally.broken),
        "hub_cpu": round(load.cpu_s / seconds, 2),
        "clients_cpu": round(clients_cpu_s / seconds, 2),
        "hub_rss_mib": load.rss_mib,
        "hub_connections": load.connections,
    }


@contextlib.contextmanager
def watched(hub: HubProcess) -> Iterator[Load]:
    assert hub.process is not None
    load = Load(hub.process.pid)
    thread = threading.Thread(target=load.watch, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join()


def steady(workers: Workers, hub: HubProcess, bars: Bars, args: argparse.Namespace) -> dict[str, Any]:
    """One period of every day: nobody is in step with anybody."""
    task = bars.add_task("steady", total=args.steady_s, status="")
    every_s = args.sync_s / args.speed
    with watched(hub) as load:
        started = time.monotonic()
        workers.begin(Phase(hub.url, sync_s=every_s, spread_s=every_s, late_ms=args.outage_h * 3_600_000))
        while (gone := time.monotonic() - started) < args.steady_s:
            time.sleep(min(1.0, args.steady_s - gone))
            bars.update(task, completed=gone, status=f"{workers.sums()[0]:,} rows")
        seconds = time.monotonic() - started
        tally, _, cpu_s = workers.end()
    bars.update(task, completed=args.steady_s)
    return told(tally, load, seconds, cpu_s)


def back(workers: Workers, hub: HubProcess, bars: Bars, args: argparse.Namespace) -> dict[str, Any]:
    """Everybody with the rows of the outage; until none of those waits any more."""
    total = args.nodes * DETECTORS * args.outage_h * 4
    task = bars.add_task("back", total=total, status="")
    with watched(hub) as load:
        started = time.monotonic()
        workers.begin(
            Phase(
                hub.url,
                sync_s=args.sync_s / args.speed,
                spread_s=args.return_s,
                backlog=args.outage_h * 4,
                witness_sync_s=WITNESS_SYNC_S,
                timeout_s=args.timeout_s,
            )
        )
        waiting = args.nodes
        while waiting and time.monotonic() - started < args.patience_s:
            time.sleep(0.5)
            rows, _, waiting = workers.sums()
            bars.update(task, completed=min(rows, total - 1), status=f"{waiting:,} nodes are not done")
        drained_s = time.monotonic() - started
        tally, produced, cpu_s = workers.end()
    bars.update(task, completed=total)
    return {
        **told(tally, load, drained_s, cpu_s),
        "drained": waiting == 0,
        "drained_s": round(drained_s, 1),
        "backlog_rows": total,
        "produced": produced,
    }


def accounted(data: Path, produced: int) -> dict[str, Any]:
    """Whether each row is there once: by the counters, and by reading all of them."""
    import sqlalchemy as sa

    started = time.monotonic()
    engine = open_engine(data)
    with engine.connect() as connection:
        counted = connection.execute(sa.select(sa.func.sum(nodes.c.stored), sa.func.sum(nodes.c.missing))).one()
        of_boots = connection.execute(sa.select(sa.func.sum(boots.c.rows))).scalar_one()
        there = connection.execute(sa.select(sa.func.count()).select_from(summaries)).scalar_one()
        wrong = recount(connection, Cold(data))
    engine.dispose()
    return {
        "produced": produced,
        "counted": int(counted[0]),
        "counted_by_boots": int(of_boots),
        "in_the_table": int(there),
        "missing": int(counted[1]),
        "miscounted": wrong[:5],
        "lost": produced - int(there),
        "database_mib": (data / DATABASE).stat().st_size >> 20,
        "seconds": round(time.monotonic() - started, 1),
    }


def markdown(report: dict[str, Any]) -> str:
    columns = [name for name in ("steady", "back") if name in report]

    def waits(kind: str) -> list[str]:
        each = [report[c][kind] for c in columns]
        return [f"{e['p50_ms']:g} / {e['p99_ms']:g} ms ({e['exchanges']:,})" if e["exchanges"] else "–" for e in each]

    def plain(name: str, form: str = "{:,}") -> list[str]:
        return [form.format(report[c][name]) for c in columns]

    def failures(name: str) -> list[str]:
        return [", ".join(f"{n:,} {why}" for why, n in report[c][name].items()) or "0" for c in columns]

    rows = {
        "seconds": plain("seconds"),
        "rows": plain("rows"),
        "rows/s": plain("rows_per_s"),
        "exchanges with fresh rows, p50 / p99 (how many)": waits("fresh"),
        "exchanges of the backlog alone": waits("backlog"),
        "exchanges of witnesses": waits("witness"),
        "replies that steer": plain("steered"),
        "refused": failures("refused"),
        "no answer": failures("unreachable"),
        "agents that failed": failures("broken"),
        "rows that came twice": plain("duplicates"),
        "hub: cores, MiB, connections at most": [
            f"{report[c]['hub_cpu']:.2f}, {report[c]['hub_rss_mib']}, {report[c]['hub_connections']:,}" for c in columns
        ],
        "clients: cores": plain("clients_cpu", "{:.2f}"),
    }
    lines = [f"| {report['nodes']:,} nodes | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    told_ = report["accounted"]
    sentence = (
        f"Produced {told_['produced']:,} rows; counted {told_['counted']:,}, in the table {told_['in_the_table']:,}, "
        f"lost {told_['lost']}, missing {told_['missing']}, miscounted {len(told_['miscounted'])}; "
        f"{told_['database_mib']:,} MiB."
    )
    return "\n".join([*lines, "", sentence])


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The report of the whole run."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = Path(args.data or tempfile.mkdtemp(prefix="wayside-fleet-"))
    bar = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[status]}")
    hub = HubProcess(folder / "hub")
    workers = None
    try:
        with Bars(*bar, screen=Screen(stderr=True)) as bars:
            enrol(initialise(folder / "hub"), args.seed, args.nodes + args.witnesses)
            workers = Workers(args.processes, args.seed, args.nodes, args.witnesses)
            report: dict[str, Any] = {"nodes": args.nodes, "seed": args.seed}
            if args.steady_s:
                hub.start()
                report["steady"] = steady(workers, hub, bars, args)
                hub.stop()  # the outage
            hub.start()
            report["back"] = back(workers, hub, bars, args)
            hub.stop()
            report["accounted"] = accounted(folder / "hub", report["back"]["produced"])
    finally:
        if workers is not None:
            workers.stop()
        if hub.process is not None and hub.process.poll() is None:
            hub.kill()
        if not args.data:
            shutil.rmtree(folder, ignore_errors=True)
    return report


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.simulators.fleet", description=__doc__.split("\n\n")[0])
    made.add_argument("--nodes", type=int, default=10_000, help="nodes of the fleet (10000)")
    made.add_argument("--steady-s", type=float, default=300.0, help="seconds of every day first; 0: none (300)")
    made.add_argument("--outage-h", type=int, default=24, help="hours that the hub was away (24)")
    made.add_argument("--return-s", type=float, default=60.0, help="seconds within which all are back (60)")
    made.add_argument("--sync-s", type=float, default=300.0, help="seconds between two syncs of a node (300)")
    made.add_argument("--speed", type=float, default=1.0, help="syncs come so many times as often (1)")
    made.add_argument("--timeout-s", type=float, default=10.0, help="after which a node gives an exchange up (10)")
    made.add_argument("--witnesses", type=int, default=20, help="nodes without a backlog that sync beside (20)")
    made.add_argument("--processes", type=int, default=2, help="in which the nodes live (2)")
    made.add_argument("--patience-s", type=float, default=330.0, help="after which an undrained backlog is told (330)")
    made.add_argument("--seed", type=int, default=1, help="of keys, values and of when each comes (1)")
    made.add_argument("--data", help="keep the hub's store in this folder (a temporary one that is deleted)")
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def main() -> int:
    args = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the hub is stopped and its store deleted
    report = run(args)
    print(json.dumps(report, indent=1) if args.json else markdown(report))
    told_ = report["accounted"]
    return 0 if report["back"]["drained"] and not told_["lost"] and not told_["miscounted"] else 1


if __name__ == "__main__":
    sys.exit(main())
