"""One process of a simulated fleet: runs its nodes through the phases that it is told."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import structlog

from tests.simulators.fleet_nodes import INTERVAL_MS, FleetNode, Tally
from wayside.contracts.node_config import HubConfig

HAND_OVERS = 32  # at once
HAND_OVER_S = 600.0  # for all of them


class Phase(NamedTuple):
    url: str
    sync_s: float
    spread_s: float  # the nodes begin within it
    late_ms: int = 0  # how far back the nodes' clock is
    backlog: int = 0  # intervals that wait at each node when it begins
    witness_sync_s: float | None = None  # None: witnesses rest
    timeout_s: float = 10.0


def work(line: Connection, seen: Any, place: int, seed: int, numbers: range, witnesses_from: int) -> None:
    """The process: of ``seen`` its three numbers are at ``3 * place``."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    nodes = [FleetNode(seed, number, witness=number >= witnesses_from) for number in numbers]
    gc.freeze()
    gc.set_threshold(50_000)
    line.send("ready")
    while (told := line.recv()) != "stop":
        if not isinstance(told, Phase):  # the end of one that failed, which was told already
            continue
        cpu_s = time.process_time()
        tally: Tally | Exception
        try:
            tally = asyncio.run(run(nodes, told, line, seen, place))
        except Exception as exc:  # its repr: not every exception goes through a pipe
            tally = RuntimeError(repr(exc))
        line.send((tally, sum(node.outbox.produced for node in nodes), time.process_time() - cpu_s))


async def run(nodes: list[FleetNode], phase: Phase, line: Connection, seen: Any, place: int) -> Tally:
    tally, trust = Tally(), ssl.create_default_context()
    config = HubConfig(url=phase.url, proxy="none", sync_s=phase.sync_s, timeout_s=phase.timeout_s)
    often = HubConfig(url=phase.url, proxy="none", sync_s=phase.witness_sync_s or 1.0, timeout_s=phase.timeout_s)
    now = time.time_ns() // 1_000_000
    tasks = []
    for node in nodes:
        node.outbox.late_ms = phase.late_ms
        if not node.witness and phase.backlog:
            node.outbox.add([now - INTERVAL_MS * i for i in range(phase.backlog, 0, -1)])
        node.outbox.fresh_from = node.outbox.produced
        if not node.witness or phase.witness_sync_s is not None:
            after_s = node.draw.uniform(
                0, min(phase.spread_s, phase.witness_sync_s or 1e9) if node.witness else phase.spread_s
            )
            its = often if node.witness else config
            tasks.append(asyncio.create_task(node.run(its, tally, trust, after_s=after_s)))
    while not line.poll():
        await asyncio.sleep(0.5)
        with seen.get_lock():
            away = [n.outbox for n in nodes if n.outbox.rows and n.outbox.first_waiting < n.outbox.fresh_from]
            seen[3 * place : 3 * place + 3] = [tally.rows, sum(n.outbox.rows for n in nodes), len(away)]
        if (broken := next((t for t in tasks if t.done()), None)) is not None:
            broken.result()
            raise AssertionError("a node stopped by itself")
    line.recv()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    after, places = Tally(), asyncio.Semaphore(HAND_OVERS)

    async def hand_over(node: FleetNode) -> None:
        async with places:
            await node.hand_over(config, after, trust)

    async with asyncio.timeout(HAND_OVER_S):
        await asyncio.gather(*(hand_over(node) for node in nodes if node.outbox.rows))
    return tally
