"""One inference through ``Runtime.run`` beside the bare call of the same runtime; and, for every family of ``models``,
microseconds and kB of each variant.

``python -m pytest tests/bench/test_bench_runtimes.py --benchmark-only -s``: read the ratios inside one run.
"""

from __future__ import annotations

import importlib
import statistics
import time

import numpy as np
import onnxruntime as ort
import pytest
from rich.console import Console
from rich.table import Table

from tests.simulators.exported_bundle import exported
from tests.simulators.family_runs import family_work, served
from wayside.edge.runtimes.load import available, load_runtime
from wayside.edge.runtimes.runtime import FORMATS, MODULES

CASES = [(name, precision) for name in FORMATS for precision in ("fp32", "int8")]


def content(name: str, precision: str) -> bytes:
    return next(g.content for g in exported().graphs if g.name == f"{FORMATS[name]}-{precision}")


def bare(name: str, model: bytes, x: np.ndarray):
    """What a program would write that knows only this runtime."""
    if name == "onnxruntime":
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names, feed = [session.get_outputs()[0].name], {session.get_inputs()[0].name: x}
        return lambda: session.run(names, feed)
    module = importlib.import_module(f"{MODULES[name]}.interpreter")
    interpreter = module.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    i, o = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call():
        interpreter.set_tensor(i, x)
        interpreter.invoke()
        return interpreter.get_tensor(o)

    return call


@pytest.mark.parametrize("how", ["bare", "wayside"])
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_one_inference(benchmark, name, precision, how):
    if name not in available():
        pytest.skip(f"{name} is not installed here")
    model, x = content(name, precision), exported().trained.golden[:1]
    benchmark.group = f"{FORMATS[name]}-{precision} on {name}"
    benchmark.extra_info["kB"] = round(len(model) / 1000, 1)
    runtime = load_runtime(name, model)
    act = bare(name, model, x) if how == "bare" else lambda: runtime.run(x)
    benchmark.pedantic(act, rounds=200, iterations=100, warmup_rounds=5)


def median_us(name: str, model: bytes, x: np.ndarray) -> float:
    """Of 30 batches of calls, each long enough for the clock."""
    runtime = load_runtime(name, model)
    runtime.run(x)
    begun = time.perf_counter()
    runtime.run(x)
    calls = max(1, min(200, int(0.002 / (time.perf_counter() - begun))))
    batches = []
    for _ in range(30):
        begun = time.perf_counter()
        for _ in range(calls):
            runtime.run(x)
        batches.append((time.perf_counter() - begun) / calls * 1e6)
    runtime.close()
    return statistics.median(batches)


def test_every_family_and_variant(benchmark):
    """A table; what pytest-benchmark times is one family's fp32 beside it, so that runs can be compared."""
    table = Table("family and task", "variant", "kB", *(f"µs, {name}" for name in FORMATS))
    for case in served():
        work = family_work(case)
        x = work.trained.golden[:1]
        for graph in work.graphs:
            if graph.name in work.parity.refused:
                continue
            us = {n: median_us(n, graph.content, x) for n in available() if FORMATS[n] == graph.format}
            cells = (f"{us[name]:.1f}" if name in us else "" for name in FORMATS)
            table.add_row(case, graph.name, f"{len(graph.content) / 1000:.1f}", *cells)
    Console(width=120).print(table)
    runtime = load_runtime("onnxruntime", content("onnxruntime", "fp32"))
    benchmark.pedantic(lambda: runtime.run(exported().trained.golden[:1]), rounds=50, iterations=100)
