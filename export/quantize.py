"""Static int8 of both formats, calibrated on training windows; input and output stay float32.

What lies around the network stays float: normalization and calendar encoding take columns of one tensor with
ranges as unlike as volume 0–400 and weekday 0–6, for which one int8 scale is ruin, and the residual connection
and physical units at the end would lose 1/255 of the whole range. So only weighted operations and what lies
between two of them are quantized.

Calibration is min/max: ai-edge-quantizer's default, a moving average of each sample's range, clips badly.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge.runtimes.runtime import Float32
from export.errors import ConversionError
from export.onnx import INPUT, canonical
from export.quiet import quiet
from export.tflite import INPUT as TFLITE_INPUT
from export.tflite import SIGNATURE as TFLITE_SIGNATURE

WEIGHTED = frozenset({"Gemm", "MatMul", "Conv"})
"""ONNX operations that carry the weights and most of the work."""


def onnx_int8(content: bytes, calibration: Float32) -> bytes:
    """Quantize an ONNX model; ``calibration`` (N, T, F).

    Raises:
        ConversionError: onnxruntime's quantizer refuses the graph, or there is nothing to quantize.
    """

    class Windows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Float32] = iter(calibration)

        def get_next(self) -> dict[str, Float32] | None:
            window = next(self.left, None)
            return None if window is None else {INPUT: window[None]}

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder) / name for name in ("source.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(content)
        try:
            with quiet():
                quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
                outside = float_nodes(onnx.load(prepared))
                quantize_static(
                    str(prepared),
                    str(target),
                    Windows(),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                    nodes_to_exclude=outside,
                )
        except (ValueError, RuntimeError, onnx.checker.ValidationError) as exc:
            raise ConversionError(f"onnxruntime does not quantize the model: {exc}") from exc
        model = canonical(onnx.load(target))
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ConversionError("nothing in the ONNX model can be quantized")
    return bytes(model.SerializeToString(deterministic=True))


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that are neither weighted nor between two weighted ones."""
    nodes = list(model.graph.node)
    constant = {i.name for i in model.graph.initializer}
    weighted = [n for n in nodes if n.op_type in WEIGHTED and any(i in constant for i in n.input)]
    names = {n.name for n in weighted}
    after, before = set[str](), set[str]()  # tensors downstream, upstream of a weighted node
    for node in nodes:  # ONNX lists nodes in topological order
        if node.name in names or after.intersection(node.input):
            after.update(node.output)
    for node in reversed(nodes):
        if node.name in names or before.intersection(node.output):
            before.update(node.input)
    between = {n.name for n in nodes if after.intersection(n.input) and before.intersection(n.output)}
    return [n.name for n in nodes if n.name not in names | between]


def tflite_int8(content: bytes, calibration: Float32) -> bytes:
    """Quantize a TFLite model; ``calibration`` (N, T, F).

    Raises:
        ConversionError: ai-edge-quantizer refuses the graph, or there is nothing to quantize.
    """
    with quiet():
        from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
        from ai_edge_quantizer.utils import qsv_utils
    recipe = recipe_manager.RecipeManager()
    scopes = weighted_scopes(content)
    if not scopes:
        raise ConversionError("nothing in the TFLite model can be quantized")
    for kind, scope in scopes:
        operation = qtyping.TFLOperationName(kind)
        recipe.add_static_config(f"^{re.escape(scope)}$", operation, 8, 8, qtyping.QuantGranularity.CHANNELWISE)
    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder) / "source.tflite"), str(Path(folder) / "int8.tflite")
        Path(source).write_bytes(content)
        try:
            with quiet():
                ranges = calibrator.Calibrator(source, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
                windows = [{TFLITE_INPUT: np.ascontiguousarray(w[None])} for w in calibration]
                ranges.calibrate({TFLITE_SIGNATURE: windows}, recipe)
                result = quantizer.Quantizer(source, recipe.get_quantization_recipe()).quantize(ranges.get_model_qsvs())
                result.export_model(target, overwrite=True)
        except (ValueError, RuntimeError, KeyError) as exc:
            raise ConversionError(f"ai-edge-quantizer does not quantize the model: {exc}") from exc
        return Path(target).read_bytes()


def weighted_scopes(content: bytes) -> list[tuple[str, str]]:
    """(operation, scope) of the operations with constant weights and a constant bias, if any.

    The converter fuses a residual connection into the last layer as its bias: a bias that is no constant, which
    int8 kernels do not take. Such a layer stays float.
    """
    with quiet():
        from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer
    model = flatbuffer.read_model(bytearray(content))
    scopes = []
    for graph in model.subgraphs:

        def constant(index: int, tensors: Any = graph.tensors) -> bool:
            return index < 0 or model.buffers[tensors[index].buffer].data is not None

        for operator in graph.operators:
            kind = flatbuffer.TFL_OP_CODE_TO_NAME.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            if kind in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D") and all(map(constant, operator.inputs[1:])):
                scopes.append((str(kind.value), flatbuffer.get_op_scope(operator, graph.tensors)))
    return scopes
