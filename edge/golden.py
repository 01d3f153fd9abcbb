"""The golden test: does this runtime, here, give the answers that torch gave?

One function, two users: the exporter's parity gate, and every node before it switches to a new model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.runtime import Float32, Runtime


class GoldenMismatch(EdgeError):  # noqa: N818  (what happened, not that it is an error)
    """The outputs differ from the golden ones by more than the tolerance. The message quotes the numbers."""


class GoldenResult(NamedTuple):
    """Differences over all windows and outputs, in output units."""

    max_abs_diff: float
    mean_abs_diff: float


def check(runtime: Runtime, inputs: Float32, outputs: Float32, tolerance: float) -> GoldenResult:
    """Run ``inputs`` (N, …) one by one and compare with ``outputs`` (N, …); a missing input is NaN.

    Args:
        tolerance: largest allowed absolute difference, in output units.

    Raises:
        GoldenMismatch: other shapes, an output that is not finite, a constant output where torch's varies, or a
            difference beyond ``tolerance``.
    """
    answers = run_all(runtime, inputs)
    if answers.shape != outputs.shape:
        raise GoldenMismatch(f"{runtime.name} answers {answers.shape}, the golden outputs are {outputs.shape}")
    bad = ~np.isfinite(_rows(answers)).all(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        raise GoldenMismatch(
            f"{runtime.name}: {int(bad.sum())} of {len(answers)} golden windows give no finite number (first: {first})"
        )
    spread = float(np.ptp(outputs, axis=0).max()) if len(outputs) else 0.0
    if len(answers) > 1 and spread > tolerance and not np.ptp(answers, axis=0).any():
        raise GoldenMismatch(
            f"{runtime.name} gives the constant {_few(answers[0])} where the golden outputs vary by {spread:.6g}"
        )
    diff = np.abs(answers.astype(np.float64) - outputs)
    result = GoldenResult(float(diff.max()), float(diff.mean()))
    if not result.max_abs_diff <= tolerance:  # also when a golden output is NaN
        window = int(np.argmax(_rows(np.where(np.isnan(diff), np.inf, diff)).max(axis=1)))
        raise GoldenMismatch(
            f"{runtime.name}: golden window {window} of {len(diff)} gives {_few(answers[window])} instead of "
            f"{_few(outputs[window])}; max difference {result.max_abs_diff:.6g} > tolerance {tolerance:.6g}"
        )
    return result


def run_all(runtime: Runtime, inputs: Float32) -> npt.NDArray[np.float32]:
    """Answers (N, *output) of ``inputs`` (N, *input), run one by one."""
    n = len(inputs)
    answers = np.empty((n, *runtime.output_shape[1:]), np.float32)
    for i in range(n):
        answers[i] = runtime.run(inputs[i : i + 1])[0]
    return answers


def _rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, …) → (N, rest)."""
    return array.reshape(len(array), -1)


def _few(answer: Float32) -> str:
    """A long answer must not drown the message."""
    shown = ", ".join(f"{value:.6g}" for value in answer.ravel()[:4])
    return f"[{shown}{', …' if answer.size > 4 else ''}]"
