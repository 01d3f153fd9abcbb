"""torch → TFLite through litert-torch: no TensorFlow."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
from torch import nn

from wayside.export.quiet import converting, quiet

SIGNATURE, INPUT = "serving_default", "args_0"


def to_tflite(model: nn.Module, sample: torch.Tensor) -> bytes:
    """Convert ``model``; ``sample`` (1, *input) fixes the input's shape.

    Raises:
        ConversionError: an operation of the model has no TFLite counterpart.
    """
    with converting("the model does not convert to TFLite"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        with quiet():
            import litert_torch

            litert_torch.convert(model.eval(), (sample,)).export(str(path))
        return flat_biases(path.read_bytes())


def flat_biases(content: bytes) -> bytes:
    """Give each constant bias of FULLY_CONNECTED the shape (N,).

    Folding a scale into the last layer leaves (1, N): floats do not mind, int8 quantization refuses.
    """
    with quiet():
        from ai_edge_litert.tools import flatbuffer_utils as fb
    model = fb.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        readers = [index for operator in graph.operators for index in operator.inputs]
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            if code != fb.BuiltinOperator.FULLY_CONNECTED or len(operator.inputs) < 3 or operator.inputs[2] < 0:
                continue
            bias = graph.tensors[operator.inputs[2]]
            constant = model.buffers[bias.buffer].data is not None
            if constant and len(bias.shape) > 1 and readers.count(operator.inputs[2]) == 1:
                bias.shape = [math.prod(bias.shape)]
    return bytes(fb.convert_object_to_bytearray(model))


def ops(content: bytes) -> tuple[str, ...]:
    """Operator types of a model, sorted, each once."""
    with quiet():
        from ai_edge_litert.tools import flatbuffer_utils as fb
    model = fb.read_model_from_bytearray(bytearray(content))
    known = names()
    return tuple(sorted({known[code.builtinCode] for code in model.operatorCodes}))


def names() -> dict[int, str]:
    """Code of a built-in operation → its name."""
    with quiet():
        from ai_edge_litert.tools import flatbuffer_utils as fb
    return {value: name for name, value in vars(fb.BuiltinOperator).items() if not name.startswith("_")}
