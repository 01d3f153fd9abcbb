"""TFLite models on tflite-runtime, or on its successor ai-edge-litert: one interpreter interface, two packages."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import numpy as np
import structlog

from edge.errors import EdgeError
from edge.runtimes.runtime import (
    MODULES,
    Float32,
    RuntimeInputError,
    RuntimeLoadError,
    RuntimeRunError,
    check_signature,
)

log = structlog.get_logger(__name__)


class TfliteRuntime:
    """See :class:`edge.runtimes.runtime.Runtime`."""

    provider = "cpu"

    def __init__(self, kind: str, content: bytes, *, threads: int = 1, providers: Sequence[str] = ("cpu",)) -> None:
        """Raises: RuntimeLoadError, ImportError."""
        self.name = kind
        if providers[0] != "cpu":
            log.info("the runtime has the CPU only", runtime=kind, wanted=providers[0])
        module = importlib.import_module(f"{MODULES[kind]}.interpreter")
        try:
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError, SystemError) as exc:  # SystemError: tflite-runtime 2.14 under numpy 2
            raise RuntimeLoadError(f"{kind} cannot load the model: {exc}") from exc
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        check_signature(
            [(i["shape"].tolist(), i["dtype"] is np.float32) for i in inputs],
            [(o["shape"].tolist(), o["dtype"] is np.float32) for o in outputs],
        )
        self.input_shape: tuple[int, ...] = tuple(inputs[0]["shape"].tolist())
        self.output_shape: tuple[int, ...] = tuple(outputs[0]["shape"].tolist())
        self._input, self._output = int(inputs[0]["index"]), int(outputs[0]["index"])
        self._interpreter = interpreter
        self._set, self._invoke, self._get = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor

    def run(self, x: Float32) -> Float32:
        """Infer ``x`` (1, T, F) float32 → (1, H) float32."""
        if x.shape != self.input_shape or x.dtype != np.float32:
            raise RuntimeInputError(f"the window is {x.dtype} {x.shape}; the model takes float32 {self.input_shape}")
        try:
            self._set(self._input, x)
            self._invoke()
            y: Float32 = self._get(self._output)  # a copy
        except (RuntimeError, ValueError) as exc:
            if isinstance(exc, EdgeError):
                raise
            raise RuntimeRunError(f"{self.name} cannot run the model: {exc}") from exc
        return y

    def close(self) -> None:
        def closed(*_: object) -> None:
            raise RuntimeInputError("the runtime is closed")

        self._set = closed
        self._interpreter = self._invoke = self._get = None
