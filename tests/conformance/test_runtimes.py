"""Every format × precision × runtime gives torch's answers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulators.exported_bundle import exported
from wayside.edge import golden
from wayside.edge.runtimes.load import available, load_runtime
from wayside.edge.runtimes.runtime import FORMATS, RuntimeInputError

CASES = {f"{FORMATS[name]}-{p}-on-{name}": (name, p) for name in FORMATS for p in ("fp32", "int8")}


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request):
    name, precision = request.param
    if name not in available():
        pytest.skip(f"{name} is not installed here")
    work = exported()
    (variant,) = (v for v in work.passport.variants if v.format == FORMATS[name] and v.precision == precision)
    content = next(g.content for g in work.graphs if g.name == variant.name)
    runtime = load_runtime(name, content)
    yield runtime, variant, work
    runtime.close()


class TestEveryRuntime:
    def test_gives_torchs_answers_on_the_golden_windows(self, case):
        runtime, variant, work = case
        result = golden.check(runtime, work.trained.golden, work.parity.golden_outputs, variant.tolerance)
        assert result.max_abs_diff <= variant.max_abs_diff * 1.0001

    def test_is_promised_by_the_passport(self, case):
        runtime, variant, _ = case
        assert runtime.name in variant.runtimes

    def test_takes_one_window_at_a_time_and_nothing_else(self, case):
        runtime, _, work = case
        shape = (1, work.trained.task.window, len(work.trained.task.inputs))
        assert runtime.input_shape == shape
        assert runtime.output_shape == (1, work.trained.task.horizon)
        for wrong in ((2, *shape[1:]), (1, shape[1], shape[2] + 1), shape[1:], (shape[1] * shape[2],)):
            with pytest.raises(RuntimeInputError, match="the model takes float32"):
                runtime.run(np.zeros(wrong, np.float32))
        for dtype in (np.float64, np.int8, np.float16):
            with pytest.raises(RuntimeInputError, match="the model takes float32"):
                runtime.run(np.zeros(shape, dtype))

    def test_answers_do_not_share_memory_from_call_to_call(self, case):
        runtime, _, work = case
        windows = work.trained.golden
        first = runtime.run(windows[:1])
        kept = first.copy()
        runtime.run(windows[-1:])
        np.testing.assert_array_equal(first, kept)
        assert first.dtype == np.float32

    def test_takes_windows_in_any_memory_layout(self, case):
        runtime, _, work = case
        window = work.trained.golden[:1]
        np.testing.assert_array_equal(runtime.run(np.asfortranarray(window)), runtime.run(window))

    def test_threads_do_not_change_the_answer_beyond_the_tolerance(self, case):
        runtime, variant, work = case
        content = next(g.content for g in work.graphs if g.name == variant.name)
        other = load_runtime(runtime.name, content, threads=2)
        golden.check(other, work.trained.golden, work.parity.golden_outputs, variant.tolerance)
        other.close()

    def test_a_closed_runtime_does_not_run(self, case):
        runtime, variant, work = case
        content = next(g.content for g in work.graphs if g.name == variant.name)
        other = load_runtime(runtime.name, content)
        other.close()
        with pytest.raises(RuntimeInputError, match="closed"):
            other.run(work.trained.golden[:1])


def test_int8_files_are_smaller_than_fp32_files():
    sizes = {v.name: v.bytes for v in exported().passport.variants}
    assert sizes["onnx-int8"] < sizes["onnx-fp32"]
    assert sizes["tflite-int8"] < sizes["tflite-fp32"]
