"""ONNX models on onnxruntime, with its execution providers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
import structlog

from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.runtime import (
    Float32,
    RuntimeInputError,
    RuntimeLoadError,
    RuntimeRunError,
    Tensor,
    check_signature,
)

PROVIDERS: dict[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# TF32 rounds fp32 weights to 10 bits: more than the golden tolerance of an fp32 variant allows.
OPTIONS: dict[str, dict[str, str]] = {"cuda": {"use_tf32": "0"}}
log = structlog.get_logger(__name__)


class OnnxRuntime:
    """See :class:`wayside.edge.runtimes.runtime.Runtime`.

    Input and output are bound once to two buffers of ours: ``session.run`` builds and tears down that binding on
    every call, which for a small model costs more than the inference.
    """

    name = "onnxruntime"

    def __init__(
        self,
        content: bytes,
        *,
        threads: int = 1,
        providers: Sequence[str] = ("cpu",),
        output: int | None = None,
    ) -> None:
        """Raises: RuntimeLoadError."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; they also arrive as exceptions
        wanted = _present(providers)
        try:
            session = ort.InferenceSession(
                content, options, providers=[(PROVIDERS[p], OPTIONS.get(p, {})) for p in wanted]
            )
        except Exception as exc:  # pybind11 types without a common base
            raise RuntimeLoadError(f"onnxruntime cannot load the model: {exc}") from exc
        used = session.get_providers()
        self.provider = next(p for p, full in PROVIDERS.items() if full == used[0])
        if self.provider != wanted[0]:
            log.warning("provider did not start", wanted=wanted[0], using=self.provider)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        chosen = check_signature(
            [Tensor(i.shape, i.type == "tensor(float)") for i in inputs],
            [Tensor(o.shape, o.type == "tensor(float)") for o in outputs],
            output,
        )
        self.input_shape: tuple[int, ...] = tuple(inputs[0].shape)
        self.output_shape: tuple[int, ...] = tuple(outputs[chosen].shape)
        self._x = np.zeros(self.input_shape, np.float32)
        self._y = np.zeros(self.output_shape, np.float32)
        binding = session.io_binding()
        # Bound to the host's memory: with a device provider onnxruntime copies there and back by itself.
        binding.bind_input(inputs[0].name, "cpu", 0, np.float32, self.input_shape, self._x.ctypes.data)
        binding.bind_output(outputs[chosen].name, "cpu", 0, np.float32, self.output_shape, self._y.ctypes.data)
        self._session, self._binding = session, binding
        self._infer = session.run_with_iobinding

    def run(self, x: Float32) -> Float32:
        """Infer ``x`` of ``input_shape`` → ``output_shape``, both float32."""
        if x.shape != self.input_shape or x.dtype != np.float32:
            raise RuntimeInputError(f"the window is {x.dtype} {x.shape}; the model takes float32 {self.input_shape}")
        self._x[...] = x
        try:
            self._infer(self._binding)
        except EdgeError:
            raise
        except Exception as exc:  # pybind11 types without a common base
            raise RuntimeRunError(f"onnxruntime cannot run the model: {exc}") from exc
        return self._y.copy()

    def close(self) -> None:
        def closed(_: object) -> None:
            raise RuntimeInputError("the runtime is closed")

        self._infer = closed
        self._binding = self._session = None


def _present(providers: Sequence[str]) -> list[str]:
    """Those of ``providers`` that this onnxruntime was built with, the CPU last."""
    built = set(ort.get_available_providers())
    present = []
    for provider in providers:
        if provider not in PROVIDERS:
            raise RuntimeLoadError(f"there is no provider {provider!r}; choose of {', '.join(PROVIDERS)}")
        if PROVIDERS[provider] in built:
            present.append(provider)
        else:
            log.warning("provider is not in this onnxruntime", wanted=provider, built=sorted(built))
    return present if "cpu" in present else [*present, "cpu"]
