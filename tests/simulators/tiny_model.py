"""A small int8 ONNX MLP on the node's own runtime, with a passport: quick to make, without torch."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from wayside.contracts.passport import Golden, Passport, Variant
from wayside.contracts.task import Input, TaskSpec
from wayside.edge.runtimes.load import load_runtime
from wayside.edge.runtimes.runtime import Float32

INPUTS = ("volume", "hour", "weekday", "lanes")
UNITS = ("{veh}", "h", "d", "1")
HIGH = 170.0
ZERO_SHA = "0" * 64


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, windows: npt.NDArray[np.float32]) -> None:
        self._each = iter([{"x": w[None]} for w in windows])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        return next(self._each, None)


@cache
def int8_mlp(window: int, hidden: int = 64, quantiles: int = 0) -> bytes:
    """Forecast = mean of the window's volumes, by way of ``hidden`` units; features scaled in the graph.

    With ``quantiles``, the answer is (1, 1, Q): the forecast at half, at once and at one and a half times.
    """
    rng = np.random.default_rng(0)
    features = len(INPUTS)
    first = np.zeros((window * features, hidden), np.float32)
    first[::features, :] = 1 / window
    first[1::features, :] = rng.normal(0, 1e-4, (window, hidden))
    second = np.eye(hidden, dtype=np.float32)
    third = np.full((hidden, 1), HIGH / hidden, np.float32)
    scale = np.array([HIGH, 24, 7, 8], np.float32)
    weights = {"scale": scale, "w1": first, "w2": second, "w3": third, "flat": np.array([1, -1], np.int64)}
    nodes = [
        helper.make_node("Div", ["x", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "w1"], ["a1"]),
        helper.make_node("Relu", ["a1"], ["h1"]),
        helper.make_node("MatMul", ["h1", "w2"], ["a2"]),
        helper.make_node("Relu", ["a2"], ["h2"]),
        helper.make_node("MatMul", ["h2", "w3"], ["last" if quantiles else "y"]),
    ]
    if quantiles:
        weights["times"] = np.linspace(0.5, 1.5, quantiles, dtype=np.float32).reshape(1, 1, quantiles)
        weights["axis"] = np.array([2], np.int64)
        nodes += [
            helper.make_node("Unsqueeze", ["last", "axis"], ["deep"]),
            helper.make_node("Mul", ["deep", "times"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, window, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, quantiles] if quantiles else [1, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    windows = rng.uniform(0, 1, (64, window, features)).astype(np.float32) * scale
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "f.onnx", Path(folder) / "q.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            _Calibration(windows),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Relu"],
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


class TinyModel:
    """Stands where :class:`wayside.edge.update.trial.ActiveModel` does."""

    def __init__(
        self,
        window: int = 5,
        interval_s: float = 900.0,
        quantiles: tuple[float, ...] = (),
        bundle: str = "traffic-flow",
        quantity: tuple[str, str] = ("volume", "{veh}"),
    ) -> None:
        """``quantity``: name and unit of what it forecasts from its own past."""
        content = int8_mlp(window, quantiles=len(quantiles))
        self.runtime = self
        self.real = load_runtime("onnxruntime", content)
        self.name, self.provider = self.real.name, self.real.provider
        self.input_shape, self.output_shape = self.real.input_shape, self.real.output_shape
        self.last: Float32 | None = None
        task = TaskSpec(
            name="flow",
            domain="traffic",
            inputs=tuple(
                Input(name=n, unit=u, low=0, high=1000)
                for n, u in (quantity, *list(zip(INPUTS, UNITS, strict=True))[1:])
            ),
            output=quantity[0],
            output_unit=quantity[1],
            window=window,
            horizon=1,
            interval_s=interval_s,
            season=672,
            quantiles=quantiles,
            missing="last",  # its graph has no way to say so
        )
        variant = Variant(
            name="onnx-int8",
            file="m.onnx",
            format="onnx",
            precision="int8",
            sha256=ZERO_SHA,
            bytes=len(content),
            runtimes=("onnxruntime",),
            ops=("MatMul",),
            max_abs_diff=1,
            mean_abs_diff=1,
            tolerance=1,
        )
        golden = Golden(inputs="i.npy", outputs="o.npy", inputs_sha256=ZERO_SHA, outputs_sha256=ZERO_SHA, count=1)
        self.passport = Passport(
            bundle=bundle,
            version="1.0.0",
            min_agent="0.1.0",
            task=task,
            family="mlp",
            parameters=1,
            seed=0,
            data_sha256=ZERO_SHA,
            calibration_sha256=ZERO_SHA,
            code_version="test",
            residual_std=5.0,
            variants=(variant,),
            golden=golden,
            accuracy=(),
        )

    @staticmethod
    def truth(volumes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Volumes (N, T) → forecasts (N,)."""
        mean: npt.NDArray[np.float32] = volumes.mean(axis=1)
        return mean

    def run(self, x: Float32) -> Float32:
        self.last = x.copy()
        return self.real.run(x)

    def close(self) -> None:
        self.real.close()
