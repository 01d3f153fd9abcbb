"""torch → ONNX through torch's dynamo exporter, opset 20, batch 1, bytes that depend on the model alone."""

from __future__ import annotations

import onnx
import torch
from torch import nn

from wayside.export.errors import ConversionError
from wayside.export.quiet import converting, quiet

OPSET = 20
INPUT, OUTPUT = "x", "y"


def to_onnx(model: nn.Module, sample: torch.Tensor) -> bytes:
    """Convert ``model``; ``sample`` (1, *input) fixes the input's shape.

    Raises:
        ConversionError: an operation of the model has no ONNX counterpart.
    """
    with converting("the model does not convert to ONNX"):
        with quiet():
            program = torch.onnx.export(
                model.eval(),
                (sample,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
        if program is None:
            raise ConversionError("torch's exporter returned nothing")
        return bytes(canonical(program.model_proto).SerializeToString(deterministic=True))


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Strip stack traces (absolute source paths), doc strings and stale value_info, in place.

    torch 2.13 leaves all three; the last makes onnxruntime's quantizer refuse the graph.
    """
    graph = model.graph
    del graph.value_info[:]
    holders = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for function in model.functions:
        holders += [function, *function.node]
    for holder in holders:
        holder.doc_string = ""
        del holder.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def ops(content: bytes) -> tuple[str, ...]:
    """Operator types of a model, sorted, each once."""
    return tuple(sorted({node.op_type for node in onnx.load_from_string(content).graph.node}))
