"""Judge a model as its node would meet it: the bundle's files, on the node's runtimes, one window at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from wayside.cloud.evaluate.errors import NothingToJudge
from wayside.cloud.evaluate.metrics import Array, loss, measure
from wayside.contracts.task import TaskSpec
from wayside.edge.runtimes.load import load_runtime
from wayside.edge.runtimes.runtime import FORMATS, Runtime
from wayside.edge.trusted_bundle import Bundle
from wayside.export.bundle_file import read_bundle
from wayside.export.errors import BundleError
from wayside.export.quiet import quiet

CHUNK = 2048  # windows gathered at once
SLICE_N = 100  # as at the gate: a smaller slice says more about chance than about int8
TIMED = 300  # calls that the median time of one inference is taken over
OnShare = Callable[[float], None]
"""Told how much is done, 0 to 1."""
Slices = Iterable[tuple[str, npt.NDArray[np.bool_]]]


class Examples(Protocol):
    """Windows or pictures, as ``cloud.train.datasets`` gives them."""

    def __len__(self) -> int: ...
    def take(self, index: npt.NDArray[np.int64], /) -> tuple[Array, npt.NDArray[Any]]: ...


def open_model(path: Path) -> Bundle:
    """The bundle at ``path``.

    Raises:
        NothingToJudge: there is none, or it is damaged.
    """
    try:
        return read_bundle(path)[1]
    except BundleError as exc:
        raise NothingToJudge(f"{exc}; remove it, and it is made again") from exc


def runtimes(bundle: Bundle) -> Iterator[tuple[str, Runtime]]:
    """Each variant by name, loaded into the first runtime that its passport promises and this machine has."""
    for variant in bundle.passport.variants:
        name = next(name for name in variant.runtimes if name in FORMATS)
        with quiet():
            runtime = load_runtime(name, bundle.files[variant.file])
        try:
            yield variant.name, runtime
        finally:
            runtime.close()


def answers(runtime: Runtime, examples: Examples, on_share: OnShare = lambda share: None) -> Array:
    """(N, *task.output_shape), one example at a time, as a node runs them."""
    n = len(examples)
    given = np.empty((n, *runtime.output_shape[1:]), np.float32)
    for start in range(0, n, CHUNK):
        x, _ = examples.take(np.arange(start, min(n, start + CHUNK)))
        for i, window in enumerate(x):
            given[start + i] = runtime.run(window[None])[0]
        on_share(min(n, start + CHUNK) / n)
    return given


def torch_answers(model: Any, examples: Examples) -> Array:
    """The same of a torch module, many at once."""
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(examples), CHUNK):
            x, _ = examples.take(np.arange(start, min(len(examples), start + CHUNK)))
            parts.append(model(torch.as_tensor(x)).numpy())
    return np.concatenate(parts)


def truth(examples: Examples) -> npt.NDArray[Any]:
    return np.concatenate(
        [
            examples.take(np.arange(start, min(len(examples), start + CHUNK)))[1]
            for start in range(0, len(examples), CHUNK)
        ]
    )


def microseconds(runtime: Runtime, window: Array) -> float:
    """Median of one inference on this machine."""
    taken = []
    for _ in range(TIMED):
        begun = time.perf_counter_ns()
        runtime.run(window)
        taken.append(time.perf_counter_ns() - begun)
    return float(np.median(taken)) / 1000


class Judge(NamedTuple):
    """What to compare: the truth, and the measure of the task."""

    task: TaskSpec
    truth: npt.NDArray[Any]
    metric: str
    of: str = ""

    def value(self, answers: Array, mask: npt.NDArray[np.bool_] | slice = slice(None)) -> float | None:
        return measure(answers[mask], self.truth[mask], self.task, self.of).get(self.metric)

    def worst(self, slices: Slices, int8: Array, fp32: Array) -> dict[str, Any]:
        """The slice with enough examples in which int8 loses most, and how much."""
        worst: dict[str, Any] = {}
        for name, mask in slices:
            n = int(mask.sum())
            before, after = (self.value(each, mask) for each in (fp32, int8)) if n >= SLICE_N else (None, None)
            if before is None or after is None:
                continue
            lost = loss(self.metric, after, before)
            if not worst or lost > worst["loss"]:
                worst = {"slice": name, "loss": lost, "n": n}
        return worst
