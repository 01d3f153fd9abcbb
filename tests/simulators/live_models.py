"""Bundles of models that pass every test before the switch and then answer nonsense, and of models of other domains.

Made without torch: each graph is a few nodes on the window (1, 4, 3) of volume, hour, weekday.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from tests.simulators.trained_run import TASK
from wayside.contracts.passport import Golden, Passport, Variant
from wayside.contracts.task import Input, TaskSpec
from wayside.edge.runtimes.load import load_runtime
from wayside.export.bundle import GOLDEN_INPUTS, GOLDEN_OUTPUTS, npy, pack

FILE = "model-int8.onnx"
TOP = 1000.0  # vehicles in 15 minutes: more than any street of the tests has
CALENDAR = TASK.inputs[1:]
ZERO_SHA = "0" * 64
_SIDE = 256  # of the matrix that a slow model multiplies


def of(quantity: str, unit: str, **changes: Any) -> TaskSpec:
    """The traffic task, of another quantity."""
    first = Input(name=quantity, unit=unit, low=0, high=400)
    return msgspec.structs.replace(TASK, inputs=(first, *CALENDAR), output=quantity, output_unit=unit, **changes)


OTHERS = {
    "km/h": of("speed", "km/h"),
    "kW": of("load", "kW"),
    "hourly": msgspec.structs.replace(TASK, interval_s=3600.0),
    "elsewhere": msgspec.structs.replace(
        TASK, inputs=(*TASK.inputs, Input(name="site", unit="1", low=0, high=2)), sites=("Elm St", "Oak St")
    ),
    "pictures": TaskSpec(
        name="pictures",
        domain="safety",
        kind="classify",
        inputs=(Input(name="pixel", unit="1", low=0, high=255),),
        output="class",
        output_unit="1",
        window=1,
        horizon=1,
        interval_s=900,
        season=1,
        image=(8, 8, 3),
        classes=("empty", "vehicle"),
    ),
}
"""Tasks that a node which counts vehicles cannot do, by what they are."""


def last_value(name: str = "y") -> list[NodeProto]:
    """x (1, T, F) → the newest volume (1, 1)."""
    return [
        helper.make_node("Gather", ["x", "newest"], ["row"], axis=1),
        helper.make_node("Gather", ["row", "volume"], ["value"], axis=2),
        helper.make_node("Reshape", ["value", "shape"], [name]),
    ]


def good() -> bytes:
    """Persistence."""
    return _model(last_value())


def answers_nan() -> bytes:
    """Right where there are more than :data:`TOP` vehicles, as in its golden windows; no number below."""
    nodes = [*last_value("last"), *_binary("Sub", "last", "top", "rest"), helper.make_node("Sqrt", ["rest"], ["y"])]
    return _model(nodes, top=TOP)


def answers_constant() -> bytes:
    return _model([*last_value("last"), *_binary("Mul", "last", "zero", "no"), *_binary("Add", "no", "c", "y")],
                  zero=0.0, c=42.0)  # fmt: skip


def answers_tenfold() -> bytes:
    return _model([*last_value("last"), *_binary("Mul", "last", "ten", "y")], ten=10.0)


def answers_after(seconds: float) -> bytes:
    """Persistence that takes ``seconds`` or more on this machine as it is now, in one thread."""
    trial = 40
    runtime = load_runtime("onnxruntime", _slow(trial), threads=1)
    x = np.zeros((1, TASK.window, len(TASK.inputs)), np.float32)
    took = []
    for _ in range(5):  # the fastest counts: the machine may be busier now than later
        began = time.perf_counter()
        runtime.run(x)
        took.append(time.perf_counter() - began)
    runtime.close()
    return _slow(int(seconds * trial / min(took)) + 1)


def made(
    name: str,
    version: str,
    content: bytes | None = None,
    task: TaskSpec = TASK,
    *,
    golden_shift: float = 0.0,
    volume: float = 20.0,
) -> bytes:
    """A bundle.

    Args:
        volume: in its golden windows.
        golden_shift: by which its golden outputs are wrong.
    """
    given, content = content is not None, content or good()
    inputs = np.zeros((2, *task.input_shape), np.float32)
    outputs: npt.NDArray[np.float32] = np.zeros((2, *task.output_shape), np.float32)
    if task.image is None:
        inputs[0, :, 0], inputs[1, :, 0] = volume, volume + 9
    if task == TASK or (given and task.image is not None):
        runtime = load_runtime("onnxruntime", content, threads=1)
        outputs = np.concatenate([runtime.run(x[None]) for x in inputs])
        runtime.close()
    outputs = outputs + np.float32(golden_shift)
    files = {FILE: content, GOLDEN_INPUTS: npy(inputs), GOLDEN_OUTPUTS: npy(outputs)}
    hashes = {file: hashlib.sha256(each).hexdigest() for file, each in files.items()}
    variant = Variant(
        name="onnx-int8",
        file=FILE,
        format="onnx",
        precision="int8",
        sha256=hashes[FILE],
        bytes=len(content),
        runtimes=("onnxruntime",),
        ops=("Gather",),
        max_abs_diff=0.0,
        mean_abs_diff=0.0,
        tolerance=0.5,
    )
    passport = Passport(
        bundle=name,
        version=version,
        min_agent="0.1.0",
        task=task,
        family="mlp",
        parameters=1,
        seed=0,
        data_sha256=ZERO_SHA,
        calibration_sha256=ZERO_SHA,
        code_version="test",
        residual_std=1.0,
        variants=(variant,),
        golden=Golden(
            inputs=GOLDEN_INPUTS,
            outputs=GOLDEN_OUTPUTS,
            inputs_sha256=hashes[GOLDEN_INPUTS],
            outputs_sha256=hashes[GOLDEN_OUTPUTS],
            count=2,
        ),
        accuracy=(),
    )
    return pack(passport, files)


def _binary(op: str, left: str, right: str, to: str) -> list[NodeProto]:
    return [helper.make_node(op, [left, right], [to])]


def _slow(times: int) -> bytes:
    """The newest volume after ``times`` products of matrices."""
    square = helper.make_tensor_value_info
    body: GraphProto = helper.make_graph(
        [helper.make_node("MatMul", ["m", "step"], ["next"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            square("i", TensorProto.INT64, []),
            square("go", TensorProto.BOOL, []),
            square("m", TensorProto.FLOAT, [_SIDE, _SIDE]),
        ],
        [square("on", TensorProto.BOOL, []), square("next", TensorProto.FLOAT, [_SIDE, _SIDE])],
    )
    nodes = [
        helper.make_node("Expand", ["part", "square"], ["step"]),
        helper.make_node("Loop", ["times", "true", "step"], ["product"], body=body),
        helper.make_node("ReduceMean", ["product"], ["mean"], keepdims=0),
        *_binary("Mul", "mean", "zero", "nothing"),
        *last_value("last"),
        *_binary("Add", "last", "nothing", "y"),
    ]
    return _model(
        nodes,
        part=np.full((1, 1), 1 / _SIDE, np.float32),
        square=np.array([_SIDE, _SIDE], np.int64),
        times=np.array(times, np.int64),
        true=np.array(True),
        zero=0.0,
    )


def _model(nodes: list[NodeProto], **constants: float | npt.NDArray[Any]) -> bytes:
    named: dict[str, Any] = {
        "newest": np.array([-1], np.int64),
        "volume": np.array([0], np.int64),
        "shape": np.array([1, 1], np.int64),
        **{name: np.asarray(c, np.float32) if isinstance(c, float) else c for name, c in constants.items()},
    }
    graph = helper.make_graph(
        nodes,
        "live",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, TASK.window, len(TASK.inputs)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(value, name) for name, value in named.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
