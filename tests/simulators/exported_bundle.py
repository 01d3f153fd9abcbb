"""A real bundle, exported once per test process from :mod:`tests.simulators.trained_run`."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.simulators.trained_run import build, write_run
from wayside.export.pipeline import Options, Work, run


@functools.cache
def trained() -> Path:
    """The run directory."""
    return write_run(Path(tempfile.mkdtemp(prefix="wayside-run-")))


@functools.cache
def exported() -> Work:
    """All stages done: ``.trained``, ``.graphs``, ``.parity``, ``.passport``, ``.bundle``."""
    return run(trained(), Options(bundle="traffic-flow"), build=build)


def failing_onnx() -> bytes:
    """It loads, and fails when it runs: it gathers a row that the window's own values name, out of reach."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Add", ["top", "far"], ["beyond"]),
        helper.make_node("Cast", ["beyond"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["x", "index"], ["row"], axis=1),
        helper.make_node("ReduceMean", ["row"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fails",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [
            numpy_helper.from_array(np.array(1000.0, np.float32), "far"),
            numpy_helper.from_array(np.array([1, 1], np.int64), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
