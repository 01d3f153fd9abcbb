"""The passport: what a bundle is, what it was made from, and what it must answer. It is data that TUF signs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from contracts.reading import Name
from contracts.task import TaskSpec
from contracts.wire import Document, wire_field

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]

PASSPORT_FILE = "passport.json"
MAX_BUNDLE_BYTES = 64_000_000


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


class Golden(Document, frozen=True, kw_only=True):
    """Golden windows: ``inputs`` (N, T, F) and torch's ``outputs`` (N, H), float32 ``.npy`` files."""

    inputs: FileName
    outputs: FileName
    inputs_sha256: Sha256
    outputs_sha256: Sha256
    count: Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Accuracy(Document, frozen=True, kw_only=True):
    """Mean absolute error on the held-out days, per slice, in output units; keys: variant names, ``torch``,
    ``naive``, ``seasonal``."""

    slice: Annotated[str, msgspec.Meta(max_length=64)]  # "all", "hour 07", …
    n: Annotated[int, msgspec.Meta(ge=0)]
    mae: dict[str, NonNegative]


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

    def __post_init__(self) -> None:
        for what in ("name", "file"):
            values = [getattr(v, what) for v in self.variants]
            if len(set(values)) != len(values):
                raise ValueError(f"variants have distinct {what}s")
