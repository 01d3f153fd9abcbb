"""The measures by which a task is judged.

Forecasts (N, H) in output units: ``mae``, ``rmse``, ``mse``, ``mape`` (%, where the truth is not 0), over all horizon
steps or one of them; in standard deviations of the training rows where the task says so (the convention of the ETT
benchmark). Quantile forecasts (N, H, Q) are judged by their median; ``coverage`` is the share of truths between the
outer two. Pictures: ``accuracy`` and ``balanced``, the mean of the classes' accuracies. Counts (N, K): as forecasts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wayside.contracts.task import TaskSpec

Array = npt.NDArray[np.float32]
RISING = frozenset({"accuracy", "balanced", "nab", "vus_pr", "precision", "recall"})
"""Of these more is better."""


def point(answers: Array, task: TaskSpec) -> Array:
    """(N, H, Q) → the medians (N, H); anything else as it is."""
    return answers[..., task.median] if task.quantiles and answers.ndim == 3 else answers


def step(of: str, horizon: int) -> slice:
    """``"h4"``: the fourth step of the horizon; ``""``: all.

    Raises:
        ValueError: no such step.
    """
    if not of:
        return slice(None)
    number = int(of.removeprefix("h"))
    if not 1 <= number <= horizon:
        raise ValueError(f"the goal is of step {of}, the horizon has {horizon}")
    return slice(number - 1, number)


def measure(answers: Array, truth: npt.NDArray[np.generic], task: TaskSpec, of: str = "") -> dict[str, float]:
    """Every measure that fits the kind of ``task``. ``truth`` is (N, H), (N,) classes, or (N, K) counts."""
    if task.kind == "classify":
        right = answers.argmax(axis=1) == truth
        classes = [float(right[truth == c].mean()) for c in np.unique(truth)]
        return {"accuracy": float(right.mean()), "balanced": float(np.mean(classes))}
    if task.kind == "count":
        error = answers.astype(np.float64) - truth
        return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
    steps = step(of, task.horizon)
    wanted = truth[:, steps].astype(np.float64)
    error = point(answers, task)[:, steps] - wanted
    square = float((error**2).mean())
    measures = {"mae": float(np.abs(error).mean()), "mse": square, "rmse": float(np.sqrt(square))}
    some = wanted != 0
    if some.any():
        measures["mape"] = 100 * float(np.abs(error[some] / wanted[some]).mean())
    if task.quantiles and answers.ndim == 3:
        inside = (wanted >= answers[:, steps, 0]) & (wanted <= answers[:, steps, -1])
        measures["coverage"] = float(inside.mean())
    return measures


def loss(metric: str, int8: float, fp32: float) -> float:
    """How much worse int8 is, relative to fp32."""
    if not fp32:
        return 0.0 if int8 == fp32 else float("inf")
    return (fp32 - int8) / fp32 if metric in RISING else (int8 - fp32) / fp32


def reached(metric: str, value: float, goal: float) -> bool:
    return value >= goal if metric in RISING else value <= goal
