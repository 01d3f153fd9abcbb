"""An innocent node's syncs while others send the corpus of hostile requests without a pause, beside none doing so."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil

from tests.hub.conftest import HubProcess, hub_process  # noqa: F401 a fixture
from tests.hub.hostile import CORPUS, Attack, delivered
from tests.simulators.node import SimulatedNode

ATTACKERS = 3  # enrolled nodes that fell into bad hands
SYNCS, PAUSE_S, ROUNDS = 300, 0.01, 3


def attack(url: str, key: bytes, name: str, prepared: list[Attack]) -> None:
    """For ever, one after the other, each signed anew."""
    import httpx
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    os.nice(19)  # it is elsewhere: what it computes here is not to be counted as the hub's
    host, port = url.removeprefix("http://").split(":")
    node = SimulatedNode(None, name, Ed25519PrivateKey.from_private_bytes(key))
    with httpx.Client(base_url=url, timeout=30) as http:
        while True:
            for one in prepared:
                nonce = http.get("/api/v1/nonce", params={"node": name}).json().get("nonce", "none")
                delivered((host, int(port)), one, node.headers(one.body, nonce=nonce))


def syncs(node: SimulatedNode) -> list[float]:
    took = []
    for _ in range(SYNCS):
        body = node.request([node.summary(1.0) for _ in range(3)])
        started = time.perf_counter()
        assert node.post(body).status_code == 200
        took.append(time.perf_counter() - started)
        time.sleep(PAUSE_S)
    return sorted(took)


def test_bench_an_innocent_node_beside_the_corpus(
    benchmark: Any,
    hub_process: Callable[[], HubProcess],  # noqa: F811
) -> None:
    hub = hub_process()
    innocent = hub.node("innocent")
    bad = [hub.node(f"bad-{i}") for i in range(ATTACKERS)]
    prepared = [[one for group in CORPUS for _, one in group(node) if one.whole] for node in bad]
    many = multiprocessing.get_context("spawn")
    print(f"\n  {'':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99 beside':>11} {'ratio':>6}")
    ratios = []
    for _ in range(ROUNDS):
        alone = syncs(innocent)
        attackers = [
            many.Process(target=attack, args=(hub.url, n.key.private_bytes_raw(), n.name, p), daemon=True)
            for n, p in zip(bad, prepared, strict=True)
        ]
        for one in attackers:
            one.start()
        time.sleep(3)  # they have begun
        beside = syncs(innocent)
        for one in attackers:
            psutil.Process(one.pid).kill()
            one.join()
        p50, p99, under = alone[SYNCS // 2] * 1e3, alone[SYNCS * 99 // 100] * 1e3, beside[SYNCS * 99 // 100] * 1e3
        ratios.append(under / p99)
        print(f"  {'':>8} {p50:8.1f} {p99:8.1f} {under:11.1f} {ratios[-1]:6.2f}")
    print(f"  p99 beside the corpus: {statistics.median(ratios):.2f} × (median)")
    benchmark.pedantic(lambda: None)
