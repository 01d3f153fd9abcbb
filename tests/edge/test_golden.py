"""The golden test lets torch's answers pass, and nothing else; what it says quotes the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.edge import golden


class Scripted:
    """A runtime that answers ``f(window mean)``."""

    name, provider, input_shape, output_shape = "scripted", "cpu", (1, 4, 3), (1, 1)

    def __init__(self, f):
        self.f = f

    def run(self, x):
        return np.array([[self.f(float(x.mean()))]], np.float32)

    def close(self):
        pass


INPUTS = np.repeat(np.arange(8, dtype=np.float32), 12).reshape(8, 4, 3)
OUTPUTS = np.arange(8, dtype=np.float32)[:, None]


def test_equal_answers_pass_with_zero_difference():
    assert golden.check(Scripted(lambda m: m), INPUTS, OUTPUTS, 0.0) == (0.0, 0.0)


@given(shift=st.floats(min_value=-10, max_value=10, allow_nan=False, width=32))
def test_a_difference_passes_exactly_when_it_is_within_the_tolerance(shift):
    answers = np.float32(OUTPUTS + np.float32(shift))
    real = float(np.abs(answers.astype(np.float64) - OUTPUTS).max())
    runtime = Scripted(lambda m: np.float32(m) + np.float32(shift))
    if real <= 1.0:
        assert golden.check(runtime, INPUTS, OUTPUTS, 1.0).max_abs_diff == real
    else:
        with pytest.raises(golden.GoldenMismatch, match="> tolerance 1"):
            golden.check(runtime, INPUTS, OUTPUTS, 1.0)


def test_one_wrong_golden_vector_is_found_and_named():
    wrong = OUTPUTS.copy()
    wrong[5] += 3
    with pytest.raises(golden.GoldenMismatch, match=r"golden window 5 of 8 gives \[5\] instead of \[8\]"):
        golden.check(Scripted(lambda m: m), INPUTS, wrong, 0.5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_answer_that_is_not_finite_never_passes(bad):
    with pytest.raises(golden.GoldenMismatch, match="1 of 8 golden windows give no finite number"):
        golden.check(Scripted(lambda m: bad if m == 2 else m), INPUTS, OUTPUTS, 1e9)


def test_a_golden_output_that_is_not_a_number_never_passes():
    wrong = OUTPUTS.copy()
    wrong[0] = np.nan
    with pytest.raises(golden.GoldenMismatch):
        golden.check(Scripted(lambda m: m), INPUTS, wrong, 1e9)


def test_a_constant_answer_is_called_by_its_name():
    with pytest.raises(golden.GoldenMismatch, match="gives the constant"):
        golden.check(Scripted(lambda m: 3.5), INPUTS, OUTPUTS, 5.0)


def test_outputs_of_another_shape_never_pass():
    with pytest.raises(golden.GoldenMismatch, match="the golden outputs are"):
        golden.check(Scripted(lambda m: m), INPUTS, OUTPUTS[:5], 1.0)
