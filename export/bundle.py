"""The passport, and the bundle: one zip whose bytes depend on the model alone (no times, paths or latencies)."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wayside.contracts.passport import MAX_BUNDLE_BYTES, PASSPORT_FILE, Accuracy, Golden, Passport, Variant
from wayside.contracts.wire import decode, encode
from wayside.export.checkpoint import Float32, Trained
from wayside.export.errors import BundleError
from wayside.export.parity import Parity

GOLDEN_INPUTS, GOLDEN_OUTPUTS = "golden_inputs.npy", "golden_outputs.npy"
GOLDEN_BYTES = 200_000
SITES = 16
"""Slices by site in a passport."""
MIN_AGENT = "0.1.0"
"""The oldest agent that reads what this version writes."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's first day


def files_of(trained: Trained, parity: Parity) -> dict[str, bytes]:
    """Content of the bundle beside the passport: name → bytes."""
    models = {m.graph.file: m.graph.content for m in parity.measured}
    shipped = golden_shipped(trained.golden)
    golden = {GOLDEN_INPUTS: npy(trained.golden[shipped]), GOLDEN_OUTPUTS: npy(parity.golden_outputs[shipped])}
    return {**models, **golden}


def golden_shipped(golden: Float32) -> npt.NDArray[np.int64]:
    """Indices of the golden examples that travel to the node: all, or of pictures as many as :data:`GOLDEN_BYTES`
    hold, evenly drawn. The gate has tried them all.
    """
    most = max(8, GOLDEN_BYTES // golden[0].nbytes)
    n = len(golden)
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def passport_of(trained: Trained, parity: Parity, *, bundle: str, version: str) -> Passport:
    """State what the bundle is, what it was made from and what it must answer.

    Raises:
        ContractError: a name or version is not one.
    """
    files = files_of(trained, parity)
    passport = Passport(
        bundle=bundle,
        version=version,
        min_agent=MIN_AGENT,
        task=trained.task,
        family=trained.family,
        parameters=trained.parameters,
        seed=trained.seed,
        data_sha256=trained.data_sha256,
        calibration_sha256=trained.calibration_sha256,
        code_version=code_version(),
        residual_std=trained.residual_std,
        variants=tuple(
            Variant(
                name=m.graph.name,
                file=m.graph.file,
                format=m.graph.format,
                precision=m.graph.precision,
                sha256=_sha256(m.graph.content),
                bytes=len(m.graph.content),
                runtimes=m.runtimes,
                ops=m.graph.ops,
                max_abs_diff=m.max_abs_diff,
                mean_abs_diff=m.mean_abs_diff,
                tolerance=m.tolerance,
                float_layers=m.graph.float_layers,
                float_ops=m.graph.float_ops,
            )
            for m in parity.measured
        ),
        golden=Golden(
            inputs=GOLDEN_INPUTS,
            outputs=GOLDEN_OUTPUTS,
            inputs_sha256=_sha256(files[GOLDEN_INPUTS]),
            outputs_sha256=_sha256(files[GOLDEN_OUTPUTS]),
            count=len(golden_shipped(trained.golden)),
        ),
        accuracy=tuple(_told(parity.accuracy)),
        limits={name: float(value) for name, value in asdict(parity.limits).items()},
        left_out=parity.refused,
        seen_until=trained.seen_until,
        honest=trained.honest,
    )
    return decode(encode(passport), Passport)  # msgspec checks constraints when it decodes


def _told(accuracy: Sequence[Accuracy]) -> Iterator[Accuracy]:
    """Of many sites only those that lose most: the passport travels to every node. The gate has judged them all."""
    sites = [a for a in accuracy if a.slice.startswith("site ")]
    by_loss = sorted(sites, key=lambda a: -max((loss.loss for loss in a.losses.values()), default=0.0))
    dropped = {id(a) for a in by_loss[SITES:]}
    return (a for a in accuracy if id(a) not in dropped)


def pack(passport: Passport, files: dict[str, bytes]) -> bytes:
    """Zip the passport and ``files``. Stored, not deflated: deflate's bytes differ between zlib builds.

    Raises:
        BundleError: larger than a node accepts.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [(PASSPORT_FILE, encode(passport)), *sorted(files.items())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    data = buffer.getvalue()
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"the bundle has {len(data)} bytes; a node accepts {MAX_BUNDLE_BYTES}")
    return data


def npy(array: Float32) -> bytes:
    """``array`` as a ``.npy`` file, float32, C order."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return buffer.getvalue()


def code_version() -> str:
    """SHA-256 over the sources that shape a bundle: ``models`` and ``export``. Needs no version control."""
    digest = hashlib.sha256()
    house = Path(__file__).resolve().parent.parent
    for room in ("models", "export"):
        for source in sorted((house / room).glob("*.py")):
            digest.update(f"{room}/{source.name}\0".encode() + source.read_bytes() + b"\0")
    return f"sha256:{digest.hexdigest()[:16]}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
