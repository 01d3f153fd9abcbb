"""What the agent adds to a bare inference, and events through it against the line. Ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from tests.bench.test_bench_runtimes import bare
from tests.simulators.agent import node_toml
from tests.simulators.exported_bundle import exported
from tests.simulators.tiny_model import TinyModel, int8_mlp
from wayside.contracts.node_config import load_node_config
from wayside.contracts.passport import Passport
from wayside.contracts.summary import Kind, Summary
from wayside.edge.clock import open_clock
from wayside.edge.node import Node
from wayside.edge.outbox import Outbox
from wayside.edge.runtimes.load import load_runtime
from wayside.edge.runtimes.runtime import Runtime
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.messages import PROTOCOL, SCHEMA, Event, Identity, Status

pytestmark = pytest.mark.usefixtures("shared_greens")
BAUD = 921_600
STEP_MS = 900_000
BATCH = 100  # steps of one transaction


def frame(message: messages.Message) -> bytes:
    return frames.encode(messages.encode(message))


def identity() -> Identity:
    return Identity(PROTOCOL, SCHEMA, 0, 1, 0, "board-1", 7, 1, 8192)


class Loaded(NamedTuple):
    """Stands where :class:`wayside.edge.update.trial.ActiveModel` does."""

    passport: Passport
    runtime: Runtime
    content: bytes


def tiny() -> Loaded:
    """The strict case: the smallest int8 MLP, three products."""
    model = TinyModel()
    return Loaded(model.passport, model.real, int8_mlp(model.passport.task.window))


def exported_mlp() -> Loaded:
    """What a node runs: trained, exported, int8, with the calendar in the graph."""
    work = exported()
    assert work.passport is not None
    content = next(g.content for g in work.graphs if g.name == "onnx-int8")
    return Loaded(work.passport, load_runtime("onnxruntime", content), content)


def made(detectors: int, model: Loaded, tasks: int = 1) -> tuple[Node, BoardLink]:
    """A node whose ``tasks`` forecast all ``detectors``; the first one's policy drives the signal."""
    text = node_toml(
        "/dev/null", anchor_s=time.time() + 3600, detectors=tuple(range(1, detectors + 1)), green_times=True
    )
    config = load_node_config(text)
    flow = config.tasks[0]
    further = [
        msgspec.structs.replace(flow, name=f"flow{i}", bundle=f"flow-{i}", policy=None, actuator=None, settings={})
        for i in range(1, tasks)
    ]
    config = msgspec.structs.replace(config, tasks=(flow, *further))
    node = Node(config, open_clock(config.clock), "0" * 32)
    for task in config.tasks:
        passport = msgspec.structs.replace(model.passport, bundle=task.bundle)
        node.set_model(task.bundle, Loaded(passport, load_runtime("onnxruntime", model.content), model.content))
    assert [state.why for state in node.task_states()] == [None] * tasks
    link = BoardLink()
    link.hello()
    node.receive(link.receive(frame(identity()) + frame(Status(0, 1, 1, 0, 0, 0, 0, 1))))
    return node, link


@pytest.mark.benchmark(group="decoded frame to stored decision, against the bare int8 run")
@pytest.mark.parametrize("tasks", [1, 2, 4])
@pytest.mark.parametrize("detectors", [1, 2, 8, 16])
@pytest.mark.parametrize("load", [tiny, exported_mlp])
def test_bench_decision(benchmark: Any, tmp_path: Path, load: Callable[[], Loaded], detectors: int, tasks: int) -> None:
    """One step: STATUS heard → step closed → windows → int8 run of each detector and task → policy, guard → rows.

    Every detector is live: it counts vehicles in each step, and each task's model runs for it. The rows of ``BATCH``
    steps share a transaction, so the median step is one without a COMMIT. The second ratio is the median over whole
    batches, encoding, INSERT, COMMIT and fsync included.
    """
    model = load()
    node, _ = made(detectors, model, tasks)
    outbox = Outbox(tmp_path / "n.sqlite3", 1_000_000_000)
    seq, ms, rounds = 1, 0, 0

    def one() -> None:
        nonlocal seq, ms, rounds
        heard: list[Any] = []
        for channel in range(1, detectors + 1):
            for i in range(1 + (rounds + channel) % 3):
                heard.append(Event(seq, ms + 1000 * i + channel, 1, channel, 1))
                seq += 1
        ms += STEP_MS
        node.receive([*heard, Status(ms, seq, 1, seq - 1, 0, 0, 0, 1)])
        rounds += 1
        if rounds % BATCH == 0:  # the committer's batch
            outbox.commit(node.ledger.rows, node.state(), node.steps, kept=node.kept)
            node.ledger.rows.clear()
            node.steps.clear()

    for _ in range(2 * BATCH):
        one()
    assert node.ledger.rows == []
    forecast = [r for r in _rows_of(one, node) if r.kind is Kind.INTERVAL and r.forecast is not None and not r.derived]
    assert len(forecast) == detectors * tasks, "every model runs for every detector"
    rounds = 0
    node.ledger.rows.clear()
    benchmark.pedantic(one, rounds=10 * BATCH, iterations=1)
    x = np.full(model.runtime.input_shape, 20, np.float32)
    run = bare("onnxruntime", model.content, x)  # onnxruntime's own `run`, nothing of ours around it
    times = []
    for _ in range(5000):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    floor = statistics.median(times)
    each = benchmark.stats.stats.data
    whole = [sum(each[i : i + BATCH]) / BATCH for i in range(0, len(each), BATCH)]
    step, stored = statistics.median(each) / detectors, statistics.median(whole) / detectors
    benchmark.extra_info["bare run µs"] = round(floor * 1e6, 2)
    benchmark.extra_info["ratio at the median"] = round(step / floor, 1)
    benchmark.extra_info["ratio with its share of the commit"] = round(stored / floor, 1)
    print(
        f"\n{load.__name__}, {detectors} detector(s), {tasks} task(s): {step * 1e6:.1f} µs a detector, bare run "
        f"{floor * 1e6:.2f} µs: {stored / floor:.1f} × with its share of the commit, {step / floor:.1f} × at the median"
    )


def _rows_of(one: Callable[[], None], node: Node) -> list[Summary]:
    """Of one step."""
    before = len(node.ledger.rows)
    one()
    return node.ledger.rows[before:]


@pytest.mark.benchmark(group="events through decoding, quality and window, against the line")
def test_bench_events(benchmark: Any) -> None:
    count = 20_000
    events = [
        Event(seq, seq * 400, 1, 1 + seq % 8, 1 - (seq // 8) % 2) for seq in range(1, count + 1)
    ]  # a step of 900 s has 2250
    wire = b"".join(frame(e) for e in events)
    model = tiny()
    chunks = [wire[i : i + 4096] for i in range(0, len(wire), 4096)]

    def fresh() -> tuple[tuple[Node, BoardLink], dict[str, Any]]:
        return made(8, model), {}

    def through(node: Node, link: BoardLink) -> None:
        for chunk in chunks:
            node.receive(link.receive(chunk))
        assert node.count()["readings_received"] == count

    benchmark.pedantic(through, setup=fresh, rounds=10)
    rate = count / benchmark.stats.stats.median
    line = BAUD / 10 / (len(wire) / count)  # a byte is ten bits on the line
    benchmark.extra_info["× line rate"] = round(rate / line, 1)
    print(f"\n{rate:,.0f} events/s; {BAUD:,} baud carry {line:,.0f}/s: {rate / line:.0f} ×")
