"""A storm of nodes that come back at once is taken in turns; what is fresh never waits for history."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.hub.conftest import Hub
from wayside.cloud.hub.door.steering import FALL, HORIZON_S, LEAST_RATE, QUICK_S, RATE, Steering, phase
from wayside.cloud.hub.ingest import Ingest
from wayside.contracts.sync import BACKLOG_ROWS, FRESH_ROWS, MAX_SUMMARIES

SYNC_S = 300.0


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_node_without_a_backlog_is_left_alone() -> None:
    assert Steering(Clock()).turn("node-1", SYNC_S, BACKLOG_ROWS - 1) == (0.0, None)


def test_turns_of_one_instant_follow_one_another_at_the_granted_rate() -> None:
    steering = Steering(Clock())
    turns = [steering.turn(f"node-{i}", SYNC_S, 768) for i in range(100)]
    assert [t.grant for t in turns] == [768] * 100
    waits = [t.not_before_s for t in turns]
    assert waits[0] == 0.0
    assert all(abs(b - a - 768 / RATE) < 1e-6 for a, b in itertools.pairwise(waits))


def test_where_turns_are_booked_out_the_next_sync_is_a_regular_one_at_a_phase_of_the_nodes_own() -> None:
    clock = Clock()
    steering = Steering(clock)
    turns = {f"node-{i}": steering.turn(f"node-{i}", SYNC_S, 5_000) for i in range(20_000)}
    later = {name: t for name, t in turns.items() if t.grant == FRESH_ROWS}
    assert len(later) > 10_000
    assert all(SYNC_S / 2 <= t.not_before_s <= 1.5 * SYNC_S for t in later.values())
    arrivals = Counter(int((clock.now_s + t.not_before_s) % SYNC_S) for t in later.values())
    assert max(arrivals.values()) < 3 * len(later) / SYNC_S, "no second is everybody's"
    assert all(0 <= phase(name) < 1 for name in turns)


def run(steering: Steering, clock: Clock, took_s: float, windows: int) -> None:
    for _ in range(windows):
        for i in range(40):
            clock.now_s += 0.025
            steering.note(took_s)
            steering.turn(f"node-{i}", SYNC_S, MAX_SUMMARIES)


def test_the_rate_falls_while_syncs_are_slow_and_rises_while_they_are_quick() -> None:
    clock = Clock()
    steering = Steering(clock)
    run(steering, clock, 2 * QUICK_S, 4)
    assert steering.strained
    slow = steering.rate
    assert slow <= RATE * FALL**2
    run(steering, clock, QUICK_S / 10, 8)
    assert not steering.strained
    assert steering.rate > 2 * slow


def test_turns_that_were_given_in_a_storm_hold_nobody_to_its_rate() -> None:
    clock = Clock()
    steering = Steering(clock)
    run(steering, clock, 2 * QUICK_S, 40)
    assert steering.rate == LEAST_RATE
    clock.now_s += 2 * HORIZON_S
    turns = [steering.turn(f"node-{i}", SYNC_S, MAX_SUMMARIES) for i in range(1000)]
    assert max(t.not_before_s for t in turns if t.grant == MAX_SUMMARIES) <= HORIZON_S
    clock.now_s += HORIZON_S
    run(steering, clock, QUICK_S / 10, 15)
    assert steering.rate > RATE, "what is booked does not keep the rate down"


def test_a_strained_hub_spreads_those_who_have_no_backlog_too() -> None:
    clock = Clock()
    steering = Steering(clock)
    run(steering, clock, 2 * QUICK_S, 3)
    waits = [steering.turn(f"node-{i}", SYNC_S, 0).not_before_s for i in range(200)]
    assert min(waits) >= SYNC_S
    assert max(waits) <= 2 * SYNC_S
    assert max(waits) - min(waits) > SYNC_S / 2


def test_the_reply_tells_a_node_with_a_backlog_its_turn(hub: Hub) -> None:
    one, other = hub.node("node-1"), hub.node("node-2")
    assert (one.sync(backlog=20).not_before_s, one.sync(backlog=20).grant) == (0.0, None)
    assert one.sync(backlog=5_000).grant == MAX_SUMMARIES
    waiting = other.sync([other.summary(1.0)], backlog=601)
    assert waiting.grant == 600
    assert 0 < waiting.not_before_s <= MAX_SUMMARIES / RATE


def test_a_hub_that_is_behind_says_so_at_once_and_nothing_is_lost_by_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited longer than its patience would come again, and be work twice: nobody would be served in time."""
    monkeypatch.setattr("wayside.cloud.hub.signed.AT_WORK", 2)
    *served, late = (hub.node(f"node-{i}") for i in range(3))
    begun, go_on = threading.Semaphore(0), threading.Event()
    real = Ingest.store

    def slow(*args: Any, **more: Any) -> Any:
        begun.release()
        assert go_on.wait(20)
        return real(*args, **more)

    monkeypatch.setattr(Ingest, "store", slow)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(node.sync, [node.summary()]) for node in served]
        assert begun.acquire(timeout=20)
        deadline = time.monotonic() + 20
        while hub.client.get("/api/v1/nonce", params={"node": late.name}).status_code != 503:
            assert time.monotonic() < deadline, "two are at work, and a third is let in"
        body = late.request([late.summary()])
        refused = late.post(body)
        assert (refused.status_code, refused.json()["error"]) == (503, "behind")
        assert hub.client.get("/healthz").json()["status"] != "failing", "it is busy, not ill"
        go_on.set()
        assert [answer.result(timeout=20).stored for answer in answers] == [1, 1]
    assert late.post(body).status_code == 200
    (stats,) = hub.get("/api/v1/stats", node=late.name)["nodes"]  # type: ignore[misc]
    assert stats["stored"] == 1
