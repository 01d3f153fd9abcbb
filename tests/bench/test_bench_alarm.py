"""What the alarm stage adds to a score: one step beside the bare int8 run of the same process, and its stored state."""

from __future__ import annotations

import statistics
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.bench.test_bench_runtimes import bare
from tests.simulators.exported_bundle import exported
from wayside.contracts.alarm import Alarm, AlarmSpec

STAGES = {
    "the score alone": AlarmSpec(usual_rows=0),
    "with the value's and the mean's novelty": AlarmSpec(trust=0.7, novelty=1.0),
}
YEAR = 35_040  # quarter-hours
RUNS = 2000


@pytest.mark.benchmark(group="one step of the alarm stage after a year, against the bare int8 run")
@pytest.mark.parametrize("name", STAGES)
def test_bench_alarm_step(benchmark: Any, name: str) -> None:
    stage = Alarm(STAGES[name])
    rng = np.random.default_rng(1)
    rows = list(zip(rng.poisson(40, YEAR).tolist(), rng.exponential(size=YEAR).tolist(), strict=True))
    for value, score in rows:
        stage.step(value, score)
    content = next(g.content for g in exported().graphs if g.name == "onnx-int8")
    run = bare("onnxruntime", content, exported().trained.golden[:1])
    left = iter(rows * 2)
    benchmark.pedantic(lambda: stage.step(*next(left)), rounds=RUNS, iterations=10, warmup_rounds=20)
    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter_ns()
        run()
        taken.append(time.perf_counter_ns() - begun)
    bare_us = statistics.median(taken) / 1000
    step_us = benchmark.stats.stats.median * 1e6 if benchmark.stats else 0.0
    benchmark.extra_info |= {"bare_us": round(bare_us, 1), "state_bytes": len(msgspec.json.encode(stage.state()))}
    print(
        f"\nalarm step, {name}: {step_us:.1f} µs, {step_us / bare_us:.2f} × a bare int8 run ({bare_us:.1f} µs);"
        f" stored state {benchmark.extra_info['state_bytes'] / 1000:.1f} kB a site"
    )
