"""What a street camera sees, and small models that look at it: made with stated seeds, without torch.

A scene is a mosaic of small pictures: the real ones of ``vehicles32`` where :data:`tests.real_data` has them, else
noise of several sizes. What drives by is laid over it.
"""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.real_data import DATA
from tests.simulators.live_models import made
from tests.simulators.tiny_model import ZERO_SHA
from wayside.contracts.passport import Golden, Passport, Variant
from wayside.contracts.task import Input, PictureSpec, TaskSpec
from wayside.edge.runtimes.load import load_runtime

UInt8 = npt.NDArray[np.uint8]
SIDE = 32


@functools.cache
def tiles() -> tuple[UInt8, UInt8]:
    """Pictures (n, 32, 32, 3) of street without a vehicle, and of vehicles."""
    path = DATA / "images" / "vehicles32_train.npz" if DATA is not None else None
    if path is not None and path.exists():
        with np.load(path) as arrays:
            x, y = arrays["x"], arrays["y"]
        return x[y == 0], x[y == 1]
    dice = np.random.default_rng(0)
    sizes = dice.integers(2, 12, 400)
    rough = [
        np.asarray(Image.fromarray(dice.integers(30, 220, (n, n, 3)).astype(np.uint8)).resize((SIDE, SIDE)))
        for n in sizes
    ]
    x = np.stack(rough)
    return x[:300], x[300:]


def scene(seed: int, height: int = 480, width: int = 640, scale: int = 2) -> UInt8:
    """(height, width, 3)"""
    ground, _ = tiles()
    side = SIDE * scale
    down, across = -(-height // side), -(-width // side)
    first = int(np.random.default_rng(seed).integers(len(ground)))
    rows = []
    for r in range(down):
        row = ground[(first + r * across + np.arange(across)) % len(ground)]
        joined = np.concatenate([t[:, ::-1] if c % 2 else t for c, t in enumerate(row)], 1)
        rows.append(joined[::-1] if r % 2 else joined)
    whole = Image.fromarray(np.ascontiguousarray(np.concatenate(rows, 0)))
    sized = whole.resize((whole.width * scale, whole.height * scale), Image.Resampling.BICUBIC)
    return np.asarray(sized)[:height, :width].copy()


@functools.cache
def _grain() -> npt.NDArray[np.float32]:
    """Of a sensor; another part of it on each frame, since to draw it anew takes longer than all the rest."""
    return np.random.default_rng(7).normal(0, 1, (1000, 1400)).astype(np.float32)


def taken(of: UInt8, dice: np.random.Generator, *, light: float = 1.0, noise: float = 2.0, vehicles: int = 4) -> UInt8:
    """A frame of the scene: things drive by, the light is another, and the sensor adds its noise."""
    frame = of.astype(np.float32)
    _, things = tiles()
    for _ in range(int(dice.integers(vehicles + 1))):
        k = int(dice.integers(1, 3))
        thing = np.kron(things[dice.integers(len(things))], np.ones((k, k, 1)))
        top, left = (int(dice.integers(0, max(1, n - SIDE * k))) for n in frame.shape[:2])
        part = frame[top : top + SIDE * k, left : left + SIDE * k]
        part[:] = thing[: part.shape[0], : part.shape[1]]
    grain = _grain()
    top, left = (
        int(dice.integers(0, whole - part + 1)) for whole, part in zip(grain.shape, frame.shape[:2], strict=True)
    )
    frame = frame * light + noise * grain[top : top + frame.shape[0], left : left + frame.shape[1], None]
    seen: UInt8 = frame.clip(0, 255).astype(np.uint8)
    return seen


def jpeg(picture: UInt8, **how: Any) -> bytes:
    return encoded(picture, "JPEG", **how)


def encoded(picture: npt.NDArray[Any], form: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, form, **how)
    return out.getvalue()


def task(kind: str = "classify", side: int = 32, **changes: Any) -> TaskSpec:
    classes = ("dim", "bright") if kind == "classify" else ("vehicle",)
    fields: dict[str, Any] = {
        "name": "light",
        "domain": "safety",
        "kind": kind,
        "inputs": (Input(name="pixel", unit="1", low=0, high=255),),
        "output": "class",
        "output_unit": "1",
        "window": 1,
        "horizon": 1,
        "interval_s": 1.0,
        "season": 1,
        "image": (side, side, 3),
        "classes": classes,
        "picture": PictureSpec(),
    }
    return TaskSpec(**fields | changes)


def content(spec: TaskSpec) -> bytes:
    """A graph: a picture is bright whose mean is over 128; it shows a vehicle for each 64 of its mean."""
    classify = spec.kind == "classify"
    constants = {"slope": np.array([-1, 1] if classify else [1 / 64], np.float32)}
    constants["offset"] = np.array([128, -128] if classify else [0], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "offset"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "light",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *spec.input_shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, len(spec.classes)])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
        ],
    )
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return model


def bundle(name: str = "light", version: str = "1.0.0", spec: TaskSpec | None = None) -> bytes:
    spec = spec or task()
    return made(name, version, content(spec), spec)


class LightModel:
    """Stands where :class:`wayside.edge.update.trial.ActiveModel` does."""

    def __init__(self, spec: TaskSpec | None = None, name: str = "light") -> None:
        spec = spec or task()
        self.real = load_runtime("onnxruntime", content(spec))
        self.runtime: Any = self
        self.name, self.provider = self.real.name, self.real.provider
        self.input_shape, self.output_shape = self.real.input_shape, self.real.output_shape
        self.seen: list[npt.NDArray[np.float32]] = []
        self.answer: Any = None  # instead of its own
        variant = Variant(
            name="onnx-int8", file="m.onnx", format="onnx", precision="int8", sha256=ZERO_SHA, bytes=1,
            runtimes=("onnxruntime",), ops=("Add",), max_abs_diff=0, mean_abs_diff=0, tolerance=1,
        )  # fmt: skip
        golden = Golden(inputs="i", outputs="o", inputs_sha256=ZERO_SHA, outputs_sha256=ZERO_SHA, count=1)
        self.passport = Passport(
            bundle=name, version="1.0.0", min_agent="0.1.0", task=spec, family="cnn", parameters=1, seed=0,
            data_sha256=ZERO_SHA, calibration_sha256=ZERO_SHA, code_version="", residual_std=1.0, variants=(variant,),
            golden=golden, accuracy=(),
        )  # fmt: skip

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.seen.append(x.copy())
        if self.answer is not None:
            return np.asarray(self.answer, np.float32)
        return self.real.run(x)

    def close(self) -> None:
        self.real.close()
