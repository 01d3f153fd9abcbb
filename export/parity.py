"""The parity gate: every variant, on every runtime that the passport promises, against torch.

Two questions. Are the answers on the golden windows torch's? (``edge.golden``, the node's own test.) Is int8 as
accurate on the held-out days, overall and in the worst hour? Quantization that is fine on average and bad at
night is the failure that nobody sees. A number beyond its limit refuses; nothing else decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from contracts.passport import Accuracy
from edge import golden
from edge.runtimes.runtime import FORMATS, load_runtime
from export.checkpoint import Float32, Trained
from export.errors import GateRefused
from export.quiet import quiet

INT8_OPTIONAL = frozenset({"linear", "gru"})
"""Families that ship without int8 if the gate refuses it: it neither shrinks nor speeds up so few or such
recurrent weights. For the others a refused int8 variant refuses the export."""


@dataclass(frozen=True)
class Graph:
    """One converted model."""

    format: str  # "onnx", "tflite"
    precision: str  # "fp32", "int8"
    content: bytes
    ops: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.format}-{self.precision}"

    @property
    def file(self) -> str:
        return f"model-{self.precision}.{self.format}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The gate's thresholds. Golden differences are relative to the range of torch's golden outputs."""

    fp32_golden: float = 1e-4
    int8_golden: float = 0.10
    int8_mae: float = 0.01  # relative to torch's mean absolute error, all held-out windows
    int8_hour_mae: float = 0.03  # the same, worst hour of the day
    hour_min_n: int = 100  # hours with fewer held-out windows do not judge
    margin: float = 1.5  # the node's tolerance: measured difference × margin + floor
    fp32_floor: float = 1e-4  # other processors round differently
    int8_floor: float = 1 / 255  # … and may land one quantization step away


@dataclass(frozen=True)
class Measured:
    """One variant that passed; differences in output units, worst of its runtimes."""

    graph: Graph
    runtimes: tuple[str, ...]
    max_abs_diff: float
    mean_abs_diff: float
    tolerance: float


@dataclass
class Parity:
    golden_outputs: Float32  # (N, H), torch's
    measured: list[Measured] = field(default_factory=list)
    accuracy: tuple[Accuracy, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)  # optional variants: name → the number that failed


def parity(trained: Trained, graphs: Sequence[Graph], runtimes: Sequence[str], limits: Limits | None = None) -> Parity:
    """Measure ``graphs`` on ``runtimes`` and let pass what is within ``limits``.

    Raises:
        GateRefused: naming variant, runtime, number and limit; or a format that no runtime here can run.
        RuntimeLoadError: a runtime does not load a variant.
    """
    limits = limits or Limits()
    held = trained.heldout
    result = Parity(trained.answers(trained.golden, batch=1))
    if not np.ptp(result.golden_outputs):
        raise GateRefused("torch answers all golden windows with one number; the model was not trained")
    answers = {"torch": trained.answers(held.x, batch=1024), "naive": held.naive, "seasonal": held.seasonal}
    for graph in graphs:
        names = tuple(name for name in runtimes if FORMATS[name] == graph.format)
        if not names:
            raise GateRefused(f"{graph.name}: no runtime for {graph.format} is here, so nothing can be promised")
        try:
            measured, answers[graph.name] = _measure(graph, trained, result.golden_outputs, names, limits)
            if graph.precision == "int8":
                _judge_int8(graph, answers[graph.name], answers["torch"], trained, limits)
        except GateRefused as exc:
            answers.pop(graph.name, None)
            if graph.precision != "int8" or trained.family not in INT8_OPTIONAL:
                raise
            result.refused[graph.name] = str(exc)
        else:
            result.measured.append(measured)
    result.accuracy = _accuracy(answers, held.y, held.hour)
    return result


def _measure(
    graph: Graph, trained: Trained, expected: Float32, names: Sequence[str], limits: Limits
) -> tuple[Measured, Float32]:
    """The golden test on the runtimes ``names``; also the held-out answers of the one that errs most."""
    spread = float(np.ptp(expected))
    fp32 = graph.precision == "fp32"
    allowed = (limits.fp32_golden if fp32 else limits.int8_golden) * spread
    results, answers = [], []
    for name in names:
        with quiet():  # TFLite announces its delegate
            runtime = load_runtime(name, graph.content)
        try:
            results.append(golden.check(runtime, trained.golden, expected, allowed))
            answers.append(golden.run_all(runtime, trained.heldout.x))
        except golden.GoldenMismatch as exc:
            raise GateRefused(f"{graph.name}: {exc}") from exc
        finally:
            runtime.close()
    worst = max(result.max_abs_diff for result in results)
    floor = (limits.fp32_floor if fp32 else limits.int8_floor) * spread
    measured = Measured(
        graph, tuple(names), worst, max(result.mean_abs_diff for result in results), limits.margin * worst + floor
    )
    return measured, max(answers, key=lambda a: _mae(a, trained.heldout.y))


def _judge_int8(graph: Graph, int8: Float32, torch: Float32, trained: Trained, limits: Limits) -> None:
    held = trained.heldout
    hours = [h for h in range(24) if int((held.hour == h).sum()) >= limits.hour_min_n]
    for where, pick, limit in [
        ("all", slice(None), limits.int8_mae),
        *((f"hour {h:02d}", held.hour == h, limits.int8_hour_mae) for h in hours),
    ]:
        base, mae = _mae(torch[pick], held.y[pick]), _mae(int8[pick], held.y[pick])
        if not mae <= base * (1 + limit):
            worse = mae / base - 1 if base else math.inf
            raise GateRefused(
                f"{graph.name}: held-out mean absolute error, {where}: {mae:.4f} {trained.task.output_unit} is "
                f"{worse:.2%} worse than torch's {base:.4f}; the limit is {limit:.2%}"
            )


def _accuracy(answers: dict[str, Float32], y: Float32, hour: npt.NDArray[np.int64]) -> tuple[Accuracy, ...]:
    slices = [("all", np.ones(len(y), bool)), *((f"hour {h:02d}", hour == h) for h in range(24))]
    return tuple(
        Accuracy(slice=name, n=int(pick.sum()), mae={k: round(_mae(a[pick], y[pick]), 6) for k, a in answers.items()})
        for name, pick in slices
        if pick.any()
    )


def _mae(answers: Float32, y: Float32) -> float:
    return float(np.abs(answers.astype(np.float64) - y).mean())
