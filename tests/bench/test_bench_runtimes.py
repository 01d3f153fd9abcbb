"""One inference through ``Runtime.run`` beside the bare call of the same runtime, and the size of each variant.

``python -m pytest tests/bench/test_bench_runtimes.py --benchmark-only``: read the ratio inside one run.
"""

from __future__ import annotations

import importlib

import numpy as np
import onnxruntime as ort
import pytest

from edge.runtimes.runtime import FORMATS, MODULES, available, load_runtime
from tests.simulators.exported_bundle import exported

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
