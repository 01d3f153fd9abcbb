"""One interface over the inference runtimes that a node may have.

``EdgeError``
 ├── ``RuntimeLoadError``   the package is missing, or the model does not load
 ├── ``RuntimeRunError``    the model loaded, and failed when it ran
 └── ``RuntimeInputError``  a window of another shape or type (also a ``ValueError``)

A runtime runs one example at a time, batch 1, float32 in and out. Our int8 models quantize in the graph. A model of
another maker that takes and gives int8 or uint8 itself is served too, where the file states scale and zero point:
real = scale × (integer − zero point). Such a model cannot be told that a value is missing, so NaN is refused there.

It owns its buffers and is therefore not for two threads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from wayside.edge.errors import EdgeError

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
        input_shape: ``(1, *task.input_shape)``: (1, T, F) or (1, height, width, channels).
        output_shape: ``(1, *task.output_shape)``.
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
        """Infer ``x``, float32 of ``input_shape``; return a fresh float32 array of ``output_shape``.

        Raises:
            RuntimeInputError: another shape or type, or NaN for a model that takes integers.
            RuntimeRunError: the model itself fails.
        """
        ...

    def close(self) -> None:
        """Release the model. The runtime cannot run afterwards."""
        ...


class Tensor(NamedTuple):
    """One input or output, as the model's file states it."""

    shape: Sequence[object]
    fits: bool  # float32, or integers of a stated scale


def check_signature(inputs: Sequence[Tensor], outputs: Sequence[Tensor], output: int | None) -> int:
    """Refuse what is not one example → one answer, batch 1, fixed shapes; return the index of the output to read.

    Raises:
        RuntimeLoadError: naming the rule.
    """
    if len(inputs) != 1:
        raise RuntimeLoadError(f"the model has {len(inputs)} inputs instead of one")
    if output is None and len(outputs) != 1:
        raise RuntimeLoadError(f"the model has {len(outputs)} outputs instead of one")
    chosen = output or 0
    if not 0 <= chosen < len(outputs):
        raise RuntimeLoadError(f"the model has {len(outputs)} outputs; there is no output {chosen}")
    for what, (shape, fits), ranks, wanted in (
        ("input", inputs[0], (3, 4), "(1, T, F) or (1, H, W, C)"),
        ("output", outputs[chosen], (2, 3, 4), "(1, …)"),
    ):
        if len(shape) not in ranks or shape[0] != 1 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise RuntimeLoadError(f"the model's {what} has the shape {tuple(shape)} instead of a fixed {wanted}")
        if not fits:
            raise RuntimeLoadError(f"the model's {what} is neither float32 nor int8 of a stated scale")
    return chosen
