"""The agent as a process against the real firmware as a process."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, Edge, firmware
from wayside.contracts.reading import ClockState, Quality
from wayside.contracts.summary import Kind, Summary

STEP_MS = 900_000


def traffic(hours: float, channels: tuple[int, ...] = (1, 2), each_s: float = 20.0, seed: int = 1) -> list[Edge]:
    draw = random.Random(seed)
    edges: list[Edge] = []
    for channel in channels:
        ms = 0.0
        while (ms := ms + draw.uniform(0.5, 1.5) * each_s * 1000) < hours * 3_600_000 - 2000:
            edges += [(int(ms), 1, channel, 1), (int(ms) + 800, 1, channel, 0)]
    return sorted(edges)


def vehicles(edges: list[Edge], channel: int) -> dict[int, int]:
    counts: dict[int, int] = {}
    for ms, _, at, value in edges:
        if at == channel and value:
            counts[ms // STEP_MS] = counts.get(ms // STEP_MS, 0) + 1
    return counts


def intervals(rows: list[Summary], datastream: str) -> list[Summary]:
    return [r for r in rows if r.kind is Kind.INTERVAL and r.datastream == datastream]


def test_every_vehicle_is_counted_in_its_interval_without_hub_or_model(tmp_path: Path) -> None:
    edges = traffic(4)
    firmware()  # built before the clock starts
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:  # noqa: SIM117
        with AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=3600)) as agent:
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 16)
            assert agent.stop() == 0
            rows, counters = agent.rows(), agent.counters()
            assert agent.status["healthy"], "its last words: that it closed its own line is no trouble"
    for channel in (1, 2):
        truth = vehicles(edges, channel)
        seen = intervals(rows, f"det/{channel}")[:16]
        assert [r.value for r in seen] == [float(truth.get(i, 0)) for i in range(16)]
        assert [r.at.wall_ms for r in seen] == [1704067200_000 + (i + 1) * STEP_MS for i in range(16)]
        assert {r.at.clock for r in seen} == {ClockState.SIMULATED}
        assert {r.quality for r in seen} == {Quality.GOOD}
        assert [r.naive for r in seen[1:]] == [r.value for r in seen[:-1]]
    assert counters["readings_received"] == counters["readings_sent"] == len(edges)
    assert counters["readings_lost"] == 0
    held = [r for r in rows if r.kind is Kind.DECISION]
    assert held and all(r.detail["verdict"] == "held" and "no model" in str(r.detail["why"]) for r in held)


def test_after_sigkill_and_ring_overflow_received_and_lost_are_all_that_was_produced(tmp_path: Path) -> None:
    edges = traffic(5, each_s=10)
    firmware()  # built before the clock starts
    anchor = time.time() + 4.0  # a loaded machine needs that long to start an agent
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor, ring=64) as board:
        toml = node_toml(board.port, anchor_s=anchor, speed=3600)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) > len(edges) // 8)
            agent.stop(signal.SIGKILL)
            time.sleep(1.2)  # more than the ring holds
            agent.start()
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 20)
            agent.stop()
            rows, counters = agent.rows(), agent.counters()
    assert counters["readings_lost"] > 0
    assert counters["readings_received"] + counters["readings_lost"] == counters["readings_sent"] == len(edges)
    ledger = [r for r in rows if r.kind is Kind.GAP and r.datastream == "board/events"]
    assert sum(r.value or 0 for r in ledger) == counters["readings_lost"]
    truth = vehicles(edges, 1)
    seen = intervals(rows, "det/1")
    assert [r.at.wall_ms for r in seen] == [1704067200_000 + (i + 1) * STEP_MS for i in range(len(seen))]
    for i, row in enumerate(seen[:20]):
        if row.quality is Quality.GOOD:
            assert row.value == truth.get(i, 0)
        else:
            assert row.quality in (Quality.GAP, Quality.MISSING)
            assert row.value is None or 0 < row.value <= truth[i]
    assert any(r.quality is not Quality.GOOD for r in seen)
