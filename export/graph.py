"""One converted model, as the stages hand it to each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Graph:
    format: str  # "onnx", "tflite"
    precision: str  # "fp32", "int8"
    content: bytes
    ops: tuple[str, ...]  # kinds of operations, sorted, each once
    float_layers: tuple[str, ...] = ()  # int8: layers with weights that were kept float
    float_ops: tuple[str, ...] = ()  # int8: kinds of operations that run in float

    @property
    def name(self) -> str:
        return f"{self.format}-{self.precision}"

    @property
    def file(self) -> str:
        return f"model-{self.precision}.{self.format}"
