"""What the agent adds to a bare inference, and events through it against the line. Ratios within one run."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.node_config import load_node_config
from edge.clock import open_clock
from edge.outbox import Outbox
from edge.tasks import Pipeline
from firmware_bridge import frames, messages
from firmware_bridge.board import BoardLink
from firmware_bridge.messages import PROTOCOL, SCHEMA, Event, Identity, Status
from tests.simulators.agent import node_toml
from tests.simulators.tiny_model import TinyModel

LINE_EVENTS_S = 4850  # 19-byte frames at 921,600 baud
STEP_MS = 900_000


def frame(message: messages.Message) -> bytes:
    return frames.encode(messages.encode(message))


def identity() -> Identity:
    return Identity(PROTOCOL, SCHEMA, 0, 1, 0, "board-1", 7, 1, 8192)


def made(detectors: int) -> tuple[Pipeline, BoardLink, TinyModel]:
    text = node_toml("/dev/null", anchor_s=time.time() + 3600, detectors=tuple(range(1, detectors + 1)))
    config = load_node_config(text)
    model = TinyModel()
    model.run = model.real.run  # type: ignore[method-assign]  # without the copy that tests look at
    pipeline = Pipeline(config, open_clock(config.clock), "0" * 32)
    pipeline.set_model(model)
    link = BoardLink()
    link.hello()
    pipeline.receive(link.receive(frame(identity()) + frame(Status(0, 1, 1, 0, 0, 0, 0, 1))))
    return pipeline, link, model


@pytest.mark.benchmark(group="decoded frame to stored decision, against the bare int8 run")
@pytest.mark.parametrize("detectors", [1, 2])
def test_bench_decision(benchmark: Any, tmp_path: Path, detectors: int) -> None:
    """One step: STATUS heard → step closed → windows → int8 run of each detector → policy, guard → rows in SQLite."""
    pipeline, _, model = made(detectors)
    outbox = Outbox(tmp_path / "n.sqlite3", 1_000_000_000)
    seq = itertools.count(1)
    ms = 0
    rounds = 0

    def one() -> None:
        nonlocal ms, rounds
        event = Event(next(seq), ms + 1000, 1, 1, 1)
        ms += STEP_MS
        pipeline.receive([event, Status(ms, event.seq + 1, 1, event.seq, 0, 0, 0, 1)])
        rounds += 1
        if rounds % 100 == 0:  # the committer's batch
            outbox.commit(pipeline.rows, pipeline.state(), pipeline.steps)
            pipeline.rows.clear()
            pipeline.steps.clear()

    for _ in range(200):
        one()
    benchmark.pedantic(one, rounds=3000, iterations=1)
    x = np.full((1, 5, 4), 20, np.float32)
    bare = []
    for _ in range(5000):
        began = time.perf_counter()
        model.real.run(x)
        bare.append(time.perf_counter() - began)
    per_decision = benchmark.stats.stats.median / detectors
    floor = statistics.median(bare)
    mean_ratio = benchmark.stats.stats.mean / detectors / floor
    benchmark.extra_info["bare run µs"] = round(floor * 1e6, 2)
    benchmark.extra_info["ratio at the median"] = round(per_decision / floor, 1)
    print(
        f"\n{detectors} detector(s): {per_decision * 1e6:.1f} µs a detector, bare run {floor * 1e6:.2f} µs: "
        f"{per_decision / floor:.1f} × at the median, {mean_ratio:.1f} × in the mean with the commits"
    )


@pytest.mark.benchmark(group="events through decoding, quality and window, against the line")
def test_bench_events(benchmark: Any) -> None:
    count = 20_000
    events = [
        Event(seq, seq * 400, 1, 1 + seq % 8, 1 - (seq // 8) % 2) for seq in range(1, count + 1)
    ]  # a step of 900 s has 2250
    wire = b"".join(frame(e) for e in events)
    chunks = [wire[i : i + 4096] for i in range(0, len(wire), 4096)]

    def fresh() -> tuple[tuple[Pipeline, BoardLink], dict[str, Any]]:
        pipeline, link, _ = made(8)
        return (pipeline, link), {}

    def through(pipeline: Pipeline, link: BoardLink) -> None:
        for chunk in chunks:
            pipeline.receive(link.receive(chunk))
        assert pipeline.count()["readings_received"] == count

    benchmark.pedantic(through, setup=fresh, rounds=10)
    rate = count / benchmark.stats.stats.median
    benchmark.extra_info["× line rate"] = round(rate / LINE_EVENTS_S, 1)
    print(f"\n{rate:,.0f} events/s = {rate / LINE_EVENTS_S:.0f} × 921,600 baud")
