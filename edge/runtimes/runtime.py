"""One interface over the inference runtimes that a node may have.

``EdgeError``
 ├── ``RuntimeLoadError``   the package is missing, or the model does not load
 └── ``RuntimeInputError``  a window of another shape or type (also a ``ValueError``)

A runtime runs one window at a time, batch 1, float32 in and out, also for int8 models: quantizing sits in the
graph. It owns its buffers and is therefore not for two threads at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import EdgeError

Float32 = npt.NDArray[np.float32]

FORMATS: dict[str, str] = {"onnxruntime": "onnx", "tflite-runtime": "tflite", "ai-edge-litert": "tflite"}
"""What each runtime reads."""
MODULES: dict[str, str] = {
    "onnxruntime": "onnxruntime",
    "tflite-runtime": "tflite_runtime",
    "ai-edge-litert": "ai_edge_litert",
}


class RuntimeLoadError(EdgeError):
    """The runtime's package is missing, or the model is damaged or has the wrong signature."""


class RuntimeRunError(EdgeError):
    """The model loaded, and failed when it ran."""


class RuntimeInputError(EdgeError, ValueError):
    """The window is not float32 of the model's shape."""


class Runtime(Protocol):
    """A loaded model.

    Attributes:
        name: the runtime, e.g. ``"onnxruntime"``.
        provider: what really executes, e.g. ``"cpu"``, ``"cuda"``, ``"tensorrt"``.
        input_shape: ``(1, T, F)``.
        output_shape: ``(1, H)``.
    """

    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def output_shape(self) -> tuple[int, ...]: ...

    def run(self, x: Float32) -> Float32:
        """Infer ``x`` (1, T, F) float32; return a fresh (1, H) float32 array.

        Raises:
            RuntimeInputError: another shape or type.
        """
        ...

    def close(self) -> None:
        """Release the model. The runtime cannot run afterwards."""
        ...


def available() -> tuple[str, ...]:
    """Names of the runtimes whose package is installed here. Nothing is imported."""
    return tuple(name for name, module in MODULES.items() if importlib.util.find_spec(module) is not None)


def load_runtime(kind: str, model: Path | bytes, *, threads: int = 1, providers: Sequence[str] = ("cpu",)) -> Runtime:
    """Load ``model``, a file or its verified bytes, into the runtime ``kind``.

    Args:
        kind: one of :data:`FORMATS`.
        model: an ``.onnx`` or ``.tflite`` file, or its content.
        threads: of one inference.
        providers: onnxruntime's execution providers in order of preference, of ``tensorrt``, ``cuda``, ``cpu``;
            ``cpu`` is always the last resort. The TFLite runtimes have the CPU only.

    Raises:
        RuntimeLoadError: unknown runtime, package not installed, file unreadable or damaged, more than one input
            or output, not float32, or a batch other than 1.
    """
    if kind not in FORMATS:
        raise RuntimeLoadError(f"there is no runtime {kind!r}; choose one of {', '.join(FORMATS)}")
    try:
        content = model if isinstance(model, bytes) else model.read_bytes()
    except OSError as exc:
        raise RuntimeLoadError(f"the model cannot be read: {exc}") from exc
    try:
        if kind == "onnxruntime":
            from edge.runtimes.onnx import OnnxRuntime

            return OnnxRuntime(content, threads=threads, providers=providers)
        from edge.runtimes.tflite import TfliteRuntime

        return TfliteRuntime(kind, content, threads=threads, providers=providers)
    except ImportError as exc:
        raise RuntimeLoadError(
            f'the runtime {kind} is not installed here ({exc}); pip install "{kind}" or choose another in [model]'
        ) from exc


def check_signature(
    inputs: Sequence[tuple[Sequence[object], bool]], outputs: Sequence[tuple[Sequence[object], bool]]
) -> None:
    """Refuse what is not (1, T, F) → (1, H); each item is (shape, is float32).

    Raises:
        RuntimeLoadError: naming the rule.
    """
    for what, items, rank in (("input", inputs, 3), ("output", outputs, 2)):
        if len(items) != 1:
            raise RuntimeLoadError(f"the model has {len(items)} {what}s instead of one")
        shape, is_float32 = items[0]
        if len(shape) != rank or shape[0] != 1 or not all(isinstance(n, int) and n > 0 for n in shape):
            wanted = "(1, T, F)" if rank == 3 else "(1, H)"
            raise RuntimeLoadError(f"the model's {what} has the shape {tuple(shape)} instead of a fixed {wanted}")
        if not is_float32:
            raise RuntimeLoadError(f"the model's {what} is not float32")
