"""A camera's picture on its way: file decoded → count stored, beside the decoder and a bare ``run`` of the model.

``python -m pytest tests/bench/test_bench_pictures.py --benchmark-only -s``. The goal is 1.3 times; read the ratios, of
the medians and of the fastest, of CPU time. In between: cut and size, view, hand-over, count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.edge.tasks.test_picture import Street
from tests.simulators.pictures import LightModel, jpeg, scene, taken
from wayside.cloud.train.taskfile import load_task
from wayside.contracts.camera_config import ViewConfig
from wayside.contracts.frames import Frame
from wayside.contracts.picture import decoded, prepared
from wayside.contracts.reading import Stamp
from wayside.edge.runtimes.load import load_runtime
from wayside.edge.sources.view import View
from wayside.export.graph import Graph
from wayside.export.onnx import to_onnx
from wayside.export.quantize import int8
from wayside.models.count import Count

SIZES = {"640 x 480": (480, 640), "1280 x 720": (720, 1280), "1920 x 1080": (1080, 1920)}
ROUNDS = 60
AT = Stamp(boot="0" * 32, mono_ns=1)


def counting() -> LightModel:
    """The shipped task ``vehicle_count`` in int8, with its first weights: they cost what trained ones do."""
    torch.manual_seed(0)
    spec = load_task("vehicle_count").task
    sample = torch.rand(1, *spec.input_shape) * 255
    fp32 = to_onnx(Count(spec).eval(), sample)
    calibration = (torch.rand(8, *spec.input_shape) * 255).numpy()
    model = LightModel(spec, "count")
    model.real = load_runtime("onnxruntime", int8(Graph("onnx", "fp32", fp32, ()), calibration).content)
    return model


def took(acts: dict[str, Callable[[int], object]]) -> dict[str, list[float]]:
    """Seconds of this thread's CPU that each takes, in turn: all is done in it, and a busy machine adds nothing."""
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for n in range(ROUNDS):
        for name, act in acts.items():
            began = time.thread_time()
            act(n)
            seconds[name].append(time.thread_time() - began)
    return seconds


class Way:
    """Pictures of one size through one node."""

    def __init__(self, height: int, width: int, model: LightModel) -> None:
        self.size = (width, height)
        dice, ground = np.random.default_rng(0), scene(1, 480, 640)
        times = (-(-height // 480), -(-width // 640), 1)
        self.files = [jpeg(np.tile(taken(ground, dice), times)[:height, :width]) for _ in range(4)]
        self.pictures = [decoded(f) for f in self.files]
        self.view, self.run = View(ViewConfig()), model.real.run
        model.run = model.real.run  # type: ignore[method-assign]
        self.node = Street().node
        self.node.set_model("count", model)  # type: ignore[arg-type]
        (self.look,) = self.node.looks(0)
        self.x = np.zeros((1, *self.look.image), np.float32)

    def whole(self, n: int) -> None:
        """As :mod:`wayside.edge.sensors.camera` does, without its thread."""
        with Frame(decoded(self.files[n % 4]), AT) as frame:
            seen = self.view.judge(frame.pixels, n)
            frames = {
                look.task: Frame(prepared(frame.pixels, look.region, look.spec, look.image), AT)
                for look in self.node.looks(0)
            }
        self.node.see(0, seen, self.size, frames)

    def acts(self) -> dict[str, Callable[[int], object]]:
        look = self.look
        return {
            "decode": lambda n: decoded(self.files[n % 4]),
            "run": lambda _: self.run(self.x),
            "size": lambda n: prepared(self.pictures[n % 4], look.region, look.spec, look.image),
            "view": lambda n: self.view.judge(self.pictures[n % 4], n),
            "whole": self.whole,
        }


def test_the_way_of_a_picture(benchmark):
    table = Table("picture", "decode ms", "run ms", "cut and size ms", "view ms", "whole ms", "ratio", "of the fastest")
    model = counting()
    for name, (height, width) in SIZES.items():
        way = Way(height, width, model)
        seconds = took(way.acts())
        middle = {k: statistics.median(v) * 1e3 for k, v in seconds.items()}
        best = {k: min(v) * 1e3 for k, v in seconds.items()}
        ratios = [f"{of['whole'] / (of['decode'] + of['run']):.2f}" for of in (middle, best)]
        table.add_row(name, *(f"{middle[k]:.2f}" for k in ("decode", "run", "size", "view", "whole")), *ratios)
        assert way.node.cameras()[0]["counts"], "nothing was counted"
    Console(width=120).print(table)
    benchmark.pedantic(way.whole, args=(0,), rounds=5)
