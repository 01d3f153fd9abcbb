"""TFLite models on tflite-runtime, or on its successor ai-edge-litert: one interpreter interface, two packages."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.runtime import (
    MODULES,
    Float32,
    RuntimeInputError,
    RuntimeLoadError,
    RuntimeRunError,
    Tensor,
    check_signature,
)

log = structlog.get_logger(__name__)


class TfliteRuntime:
    """See :class:`wayside.edge.runtimes.runtime.Runtime`."""

    provider = "cpu"

    def __init__(
        self,
        kind: str,
        content: bytes,
        *,
        threads: int = 1,
        providers: Sequence[str] = ("cpu",),
        output: int | None = None,
    ) -> None:
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
        if output is not None:
            for state in inputs[1:]:  # a recurrent model of another maker: every frame is its first
                interpreter.set_tensor(
                    state["index"], np.full(state["shape"], state["quantization"][1], state["dtype"])
                )
            inputs = inputs[:1]
        chosen = check_signature(
            [Tensor(i["shape"].tolist(), _fits(i)) for i in inputs],
            [Tensor(o["shape"].tolist(), _fits(o)) for o in outputs],
            output,
        )
        self.input_shape: tuple[int, ...] = tuple(inputs[0]["shape"].tolist())
        self.output_shape: tuple[int, ...] = tuple(outputs[chosen]["shape"].tolist())
        self._input, self._output = int(inputs[0]["index"]), int(outputs[chosen]["index"])
        self._takes, self._gives = _integers(inputs[0]), _integers(outputs[chosen])
        self._interpreter = interpreter
        self._set, self._invoke, self._get = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor

    def run(self, x: Float32) -> Float32:
        """Infer ``x`` of ``input_shape`` → ``output_shape``, both float32."""
        if x.shape != self.input_shape or x.dtype != np.float32:
            raise RuntimeInputError(f"the window is {x.dtype} {x.shape}; the model takes float32 {self.input_shape}")
        try:
            self._set(self._input, x if self._takes is None else self._takes.of(x))
            self._invoke()
            y: Float32 = self._get(self._output)  # a copy
        except (RuntimeError, ValueError) as exc:
            if isinstance(exc, EdgeError):
                raise
            raise RuntimeRunError(f"{self.name} cannot run the model: {exc}") from exc
        return y if self._gives is None else self._gives.real(y)

    def close(self) -> None:
        def closed(*_: object) -> None:
            raise RuntimeInputError("the runtime is closed")

        self._set = closed
        self._interpreter = self._invoke = self._get = None


class _Integers(NamedTuple):
    """How a tensor of 8-bit integers stands for real numbers."""

    dtype: type[np.int8] | type[np.uint8]
    scale: float
    zero_point: int

    def of(self, x: Float32) -> npt.NDArray[np.int8 | np.uint8]:
        if np.isnan(x).any():  # as an integer it would look like a value
            raise RuntimeInputError("the window has missing values; this model takes integers and knows none")
        limits = np.iinfo(self.dtype)
        integers: npt.NDArray[np.int8 | np.uint8] = np.clip(
            np.rint(x / self.scale + self.zero_point), limits.min, limits.max
        ).astype(self.dtype)
        return integers

    def real(self, y: npt.NDArray[Any]) -> Float32:
        return np.float32(self.scale) * (y.astype(np.float32) - self.zero_point)


def _integers(tensor: dict[str, Any]) -> _Integers | None:
    """``None`` for float32."""
    if tensor["dtype"] is np.float32:
        return None
    scale, zero_point = tensor["quantization"]
    return _Integers(tensor["dtype"], float(scale), int(zero_point))


def _fits(tensor: dict[str, Any]) -> bool:
    return tensor["dtype"] is np.float32 or (tensor["dtype"] in (np.int8, np.uint8) and tensor["quantization"][0] > 0)
