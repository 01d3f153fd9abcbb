"""Which runtimes are installed here, and loading a model into one of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from wayside.contracts.node_config import runtimes_for
from wayside.edge.runtimes.runtime import FORMATS, MODULES, Runtime, RuntimeLoadError
from wayside.text import read_file


def available() -> tuple[str, ...]:
    """Names of the runtimes whose package is installed here, best first. Nothing is imported."""
    return tuple(name for name in runtimes_for() if importlib.util.find_spec(MODULES[name]) is not None)


def load_runtime(
    kind: str,
    model: Path | bytes,
    *,
    threads: int = 1,
    providers: Sequence[str] = ("cpu",),
    output: int | None = None,
) -> Runtime:
    """Load ``model``, a file or its verified bytes, into the runtime ``kind``.

    Args:
        kind: one of :data:`FORMATS`.
        model: an ``.onnx`` or ``.tflite`` file, or its content.
        threads: of one inference.
        providers: onnxruntime's execution providers in order of preference, of ``tensorrt``, ``cuda``, ``cpu``;
            ``cpu`` is always the last resort. The TFLite runtimes have the CPU only.
        output: which one, of a model that has several (a detector: boxes, classes, scores); such a model's further
            inputs, its state, stay zero (TFLite). Ours have one of each.

    Raises:
        RuntimeLoadError: unknown runtime, package not installed, file unreadable or damaged, more than one input,
            several outputs and none chosen, neither float32 nor integers of a stated scale, or a batch other than 1.
    """
    if kind not in FORMATS:
        raise RuntimeLoadError(f"there is no runtime {kind!r}; choose one of {', '.join(FORMATS)}")
    try:
        content = model if isinstance(model, bytes) else read_file(model)
    except OSError as exc:
        raise RuntimeLoadError(f"the model cannot be read: {exc}") from exc
    try:
        if kind == "onnxruntime":
            from wayside.edge.runtimes.onnx import OnnxRuntime

            return OnnxRuntime(content, threads=threads, providers=providers, output=output)
        from wayside.edge.runtimes.tflite import TfliteRuntime

        return TfliteRuntime(kind, content, threads=threads, providers=providers, output=output)
    except ImportError as exc:
        raise RuntimeLoadError(
            f'the runtime {kind} is not installed here ({exc}); pip install "{kind}" or choose another in [model]'
        ) from exc
