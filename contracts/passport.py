"""The passport: what a bundle is, what it was made from, and what it must answer. It is data that TUF signs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from wayside.contracts.reading import Name
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import Document, wire_field

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Layer = Annotated[str, msgspec.Meta(max_length=256)]

PASSPORT_FILE = "passport.json"
MAX_BUNDLE_BYTES = 64_000_000
MAX_ENTRIES = 64  # of a bundle's archive
MAX_PASSPORT_BYTES = 1_000_000


class Variant(Document, frozen=True, kw_only=True):
    """One file of the model. ``max_abs_diff``/``mean_abs_diff`` are against torch on the golden windows."""

    name: Name  # "onnx-int8"
    file: FileName
    format: Annotated[str, msgspec.Meta(pattern="^(onnx|tflite)$")]
    precision: Annotated[str, msgspec.Meta(pattern="^(fp32|int8)$")]
    sha256: Sha256
    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BUNDLE_BYTES)]
    runtimes: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]  # on which the parity gate ran it
    ops: tuple[str, ...]
    max_abs_diff: NonNegative
    mean_abs_diff: NonNegative
    tolerance: NonNegative  # the node refuses beyond this, on the golden windows, in output units
    float_layers: tuple[Layer, ...] = ()  # int8: layers with weights that stay float because the measured loss said so
    float_ops: tuple[Layer, ...] = ()  # int8: kinds of operations that run in float, e.g. normalization, embeddings


class Golden(Document, frozen=True, kw_only=True):
    """Golden examples: ``inputs`` (N, *task.input_shape), NaN = missing, and torch's ``outputs``
    (N, *task.output_shape); float32 ``.npy`` files."""

    inputs: FileName
    outputs: FileName
    inputs_sha256: Sha256
    outputs_sha256: Sha256
    count: Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Loss(Document, frozen=True, kw_only=True):
    """What an int8 variant loses against torch, relative: 0.01 is one per cent worse."""

    metric: str  # that loses most
    loss: float
    low: float  # 95 % interval, bootstrap over whole days (images: over examples)
    high: float


class Accuracy(Document, frozen=True, kw_only=True):
    """One slice of the held-out examples; keys of the maps: variant names, ``torch``, ``naive``, ``seasonal``."""

    slice: Annotated[str, msgspec.Meta(max_length=64)]  # "all", "hour 07", "site 3", "rain high", "class stop" …
    n: Annotated[int, msgspec.Meta(ge=0)]
    mae: dict[str, NonNegative]  # mean absolute error, output units; empty where the kind has none
    scores: dict[str, dict[str, float]] = {}  # the kind's further metrics: rmse, pinball, accuracy, auc, rank
    losses: dict[str, Loss] = {}  # int8 variants; of several runtimes, the one that loses most


class Passport(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    bundle: Name
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
    min_agent: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
    task: TaskSpec
    family: Name
    parameters: Annotated[int, msgspec.Meta(ge=1)]
    seed: int
    data_sha256: Sha256
    calibration_sha256: Sha256
    code_version: Annotated[str, msgspec.Meta(max_length=64)]
    residual_std: Annotated[float, msgspec.Meta(gt=0)]  # output units, validation days: scales the anomaly score
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=1, max_length=16)]
    golden: Golden
    accuracy: tuple[Accuracy, ...]
    limits: dict[str, float] = {}  # of the parity gate that let the variants pass
    left_out: dict[str, str] = {}  # int8 variants that it refused, with the number
    seen_until: Annotated[str, msgspec.Meta(max_length=64)] = ""  # the weights have seen the held-out days too, until …
    honest: dict[str, dict[str, float]] = {}  # … and these are the scores of before: part of the data → metric → value

    def __post_init__(self) -> None:
        for what in ("name", "file"):
            values = [getattr(v, what) for v in self.variants]
            if len(set(values)) != len(values):
                raise ValueError(f"variants have distinct {what}s")
