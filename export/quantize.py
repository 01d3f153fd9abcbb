"""Static int8 of both formats, calibrated on training examples; input and output stay float32.

What lies around the network stays float: normalization and calendar encoding take columns of one tensor with
ranges as unlike as volume 0–400 and weekday 0–6, for which one int8 scale is ruin; embeddings are tables; the
residual connection and physical units at the end would lose 1/255 of the whole range. So only layers with weights
and what lies between two of them are quantized. Which of those layers stay float too is for the measured loss to
say: :func:`softer` gives the next attempt.

Calibration is min/max: ai-edge-quantizer's default, a moving average of each sample's range, clips badly. Weights
are per channel. Never dynamic: tflite-runtime 2.14 answers wrong numbers for channel-wise dynamic layers.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from wayside.export import onnx as onnx_format
from wayside.export import tflite as tflite_format
from wayside.export.checkpoint import Float32
from wayside.export.errors import ConversionError
from wayside.export.graph import Graph
from wayside.export.onnx import INPUT, canonical
from wayside.export.quiet import quiet
from wayside.export.tflite import INPUT as TFLITE_INPUT
from wayside.export.tflite import SIGNATURE as TFLITE_SIGNATURE

WEIGHTED = frozenset({"Gemm", "MatMul", "Conv"})
"""ONNX operations that carry the weights and most of the work."""
TFLITE_WEIGHTED = frozenset({"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"})
TFLITE_BETWEEN = frozenset(
    {"ADD", "AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "MEAN", "PAD", "RELU", "RESHAPE", "SLICE", "TRANSPOSE"}
)
"""Quantized where they lie between weighted ones: their int8 kernels are exact or nearly so in both runtimes."""
ATTEMPTS: tuple[tuple[str, ...], ...] = ((), ("direct",), ("direct", "last"), ("direct", "first", "last"))
"""Which layers stay float, softer each time. *first* has no layer with weights before it, *last* none behind it;
*direct* is both: a linear way from the window to the answer beside the network."""


class Node(NamedTuple):
    """An operation of either format; lists of them are in topological order."""

    name: str
    kind: str
    inputs: tuple[str, ...]  # tensors
    outputs: tuple[str, ...]
    weighted: bool


def int8(fp32: Graph, calibration: Float32) -> Graph:
    """Quantize ``fp32`` as far as it goes; ``calibration`` (N, *input).

    Raises:
        ConversionError: the format's quantizer refuses the graph, or there is nothing to quantize.
    """
    return _attempt(fp32, calibration, _nodes(fp32), frozenset())


def softer(fp32: Graph, calibration: Float32) -> Iterator[Graph]:
    """Further attempts, softer each time: those of :data:`ATTEMPTS` that keep other layers float, and not all.

    Raises:
        ConversionError: as :func:`int8`.
    """
    nodes = _nodes(fp32)
    place = places(nodes)
    seen = {frozenset[str](), frozenset(place)}
    for where in ATTEMPTS:
        kept = frozenset(name for name, at in place.items() if at in where)
        if kept not in seen:
            seen.add(kept)
            yield _attempt(fp32, calibration, nodes, kept)


def places(nodes: Sequence[Node]) -> dict[str, str]:
    """Weighted node → *first*, *last*, *direct* or *inner*."""
    after, first = set[str](), dict[str, bool]()  # tensors downstream of a weighted node
    for node in nodes:
        below = bool(after.intersection(node.inputs))
        if node.weighted:
            first[node.name] = not below
        if node.weighted or below:
            after.update(node.outputs)
    before, last = set[str](), dict[str, bool]()  # tensors upstream of one
    for node in reversed(nodes):
        above = bool(before.intersection(node.outputs))
        if node.weighted:
            last[node.name] = not above
        if node.weighted or above:
            before.update(node.inputs)
    names = {(True, True): "direct", (True, False): "first", (False, True): "last", (False, False): "inner"}
    return {name: names[first[name], last[name]] for name in first}


def inside(nodes: Sequence[Node], kept: frozenset[str] = frozenset()) -> set[str]:
    """Names of the nodes to quantize: the weighted ones, less ``kept``, and what lies between two of them."""
    weighted = {n.name for n in nodes if n.weighted} - kept
    after, before = set[str](), set[str]()
    for node in nodes:
        if node.name in weighted or after.intersection(node.inputs):
            after.update(node.outputs)
    for node in reversed(nodes):
        if node.name in weighted or before.intersection(node.outputs):
            before.update(node.inputs)
    between = {n.name for n in nodes if after.intersection(n.inputs) and before.intersection(n.outputs)}
    return weighted | (between - kept)


def _nodes(fp32: Graph) -> list[Node]:
    return onnx_nodes(onnx.load_from_string(_prepared(fp32.content))) if fp32.format == "onnx" else tflite_nodes(fp32)


def _attempt(fp32: Graph, calibration: Float32, nodes: list[Node], kept: frozenset[str]) -> Graph:
    if not {n.name for n in nodes if n.weighted} - kept:
        raise ConversionError(f"nothing in the {fp32.format} model can be quantized")
    chosen = inside(nodes, kept)
    if fp32.format == "onnx":
        content = _onnx_int8(fp32.content, calibration, [n.name for n in nodes if n.name not in chosen])
        ops = onnx_format.ops(content)
    else:
        chosen = {n.name for n in nodes if n.name in chosen and (n.weighted or n.kind in TFLITE_BETWEEN)}
        content = _tflite_int8(fp32.content, calibration, [n for n in nodes if n.name in chosen])
        ops = tflite_format.ops(content)
    float_ops = tuple(sorted({n.kind for n in nodes if n.name not in chosen}))
    return Graph(fp32.format, "int8", content, ops, tuple(n.name[:256] for n in nodes if n.name in kept), float_ops)


def onnx_nodes(model: onnx.ModelProto) -> list[Node]:
    constant = {i.name for i in model.graph.initializer}
    return [
        Node(
            n.name,
            n.op_type,
            tuple(n.input),
            tuple(n.output),
            n.op_type in WEIGHTED and any(i in constant for i in n.input),
        )
        for n in model.graph.node
    ]


def _prepared(content: bytes) -> bytes:
    """Folded and with shapes, as onnxruntime's quantizer wants it."""
    with tempfile.TemporaryDirectory() as folder:
        source, prepared = Path(folder) / "source.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(content)
        try:
            with quiet():
                quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        except (ValueError, RuntimeError, onnx.checker.ValidationError) as exc:
            raise ConversionError(f"onnxruntime does not quantize the model: {exc}") from exc
        return prepared.read_bytes()


def _onnx_int8(content: bytes, calibration: Float32, outside: list[str]) -> bytes:
    class Examples(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Float32] = iter(calibration)

        def get_next(self) -> dict[str, Float32] | None:
            example = next(self.left, None)
            return None if example is None else {INPUT: example[None]}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(_prepared(content))
        try:
            with quiet():
                quantize_static(
                    str(source),
                    str(target),
                    Examples(),
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
        raise ConversionError("nothing in the onnx model can be quantized")
    return bytes(model.SerializeToString(deterministic=True))


def _tflite_int8(content: bytes, calibration: Float32, chosen: Sequence[Node]) -> bytes:
    with quiet():
        from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
        from ai_edge_quantizer.utils import qsv_utils
    recipe = recipe_manager.RecipeManager()
    for node in chosen:
        operation = qtyping.TFLOperationName(node.kind)
        recipe.add_static_config(f"^{re.escape(node.name)}$", operation, 8, 8, qtyping.QuantGranularity.CHANNELWISE)
    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder) / "source.tflite"), str(Path(folder) / "int8.tflite")
        Path(source).write_bytes(content)
        try:
            with quiet():
                ranges = calibrator.Calibrator(source, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
                examples = [{TFLITE_INPUT: np.ascontiguousarray(w[None])} for w in calibration]
                ranges.calibrate({TFLITE_SIGNATURE: examples}, recipe)
                result = quantizer.Quantizer(source, recipe.get_quantization_recipe()).quantize(ranges.get_model_qsvs())
                result.export_model(target, overwrite=True)
        except (ValueError, RuntimeError, KeyError) as exc:
            raise ConversionError(f"ai-edge-quantizer does not quantize the model: {exc}") from exc
        return Path(target).read_bytes()


def tflite_nodes(fp32: Graph) -> list[Node]:
    """The operations of the one subgraph; a name is the quantizer's scope.

    Weighted are those with constant weights and a constant bias, if any. The converter fuses a residual connection
    into the last layer as its bias: a bias that is no constant, which int8 kernels do not take. Such a layer stays
    float.
    """
    with quiet():
        from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer
    model = flatbuffer.read_model(bytearray(fp32.content))
    (graph,) = model.subgraphs
    names = tflite_format.names()
    nodes = []
    for operator in graph.operators:

        def constant(index: int) -> bool:
            return bool(index < 0 or model.buffers[graph.tensors[index].buffer].data is not None)

        named = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        weighted = named in TFLITE_WEIGHTED and all(map(constant, operator.inputs[1:]))
        scope = flatbuffer.get_op_scope(operator, graph.tensors)
        tensors = tuple(tuple(str(i) for i in indices) for indices in (operator.inputs, operator.outputs))
        nodes.append(Node(scope, named, *tensors, weighted))
    return nodes
