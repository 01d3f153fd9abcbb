"""Bytes → a bundle that may be believed, or a refusal. Pure: no file, no network, no clock.

The bytes arrive with their length and hash signed (TUF), and are still treated as hostile, since a signing key
or the exporter may be wrong. In order:

1. not larger than ``MAX_BUNDLE_BYTES``; a zip of at most 64 stored or deflated, unencrypted entries with plain
   distinct names; what they unpack to is bounded too (zip bombs), CRCs match              → ``archive``
2. ``passport.json`` keeps its contract; the other entries are exactly the files it names  → ``passport``
3. length and SHA-256 of every file are the passport's                                     → ``passport``
4. the golden arrays are float32 ``.npy`` of the task's shapes, never unpickled; inputs    → ``passport``
   may be missing (NaN) but not infinite, outputs are finite
5. bundle and version are the expected ones                                                → ``passport``
6. this agent is not older than ``min_agent``                                              → ``unsupported``
"""

from __future__ import annotations

import hashlib
import io
import re
import tokenize
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from wayside.contracts.passport import MAX_BUNDLE_BYTES, MAX_ENTRIES, MAX_PASSPORT_BYTES, PASSPORT_FILE, Passport
from wayside.contracts.rollout import Refusal
from wayside.contracts.wire import ContractError, decode
from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.runtime import Float32

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # contracts.passport.FileName


class BundleRefused(EdgeError):  # noqa: N818  (what happened, not that it is an error)
    """The bundle must not run here.

    Attributes:
        refusal: the kind of reason, as it is reported to the hub.
    """

    def __init__(self, refusal: Refusal, reason: str) -> None:
        super().__init__(reason)
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True)
class Bundle:
    passport: Passport
    files: dict[str, bytes]  # every file that the passport names
    golden_inputs: Float32  # (N, *task.input_shape), NaN = missing
    golden_outputs: Float32  # (N, *task.output_shape)


def open_bundle(
    data: bytes, *, agent_version: str | None, bundle: str | None = None, version: str | None = None
) -> Bundle:
    """Open ``data``; ``bundle`` and ``version`` are what was asked for, if anything was.

    Args:
        agent_version: of the agent that would run it; ``None`` off a node, where nobody would.

    Raises:
        BundleRefused: see the module's list.
    """
    files = _unzip(data)
    try:
        passport = decode(files.pop(PASSPORT_FILE), Passport)
    except KeyError as exc:
        raise BundleRefused(Refusal.ARCHIVE, f"the bundle has no {PASSPORT_FILE}") from exc
    except ContractError as exc:
        raise BundleRefused(Refusal.PASSPORT, f"the passport breaks its contract: {exc}") from exc
    _check_files(passport, files)
    golden, task = passport.golden, passport.task
    opened = Bundle(
        passport=passport,
        files=files,
        golden_inputs=_array(golden.inputs, files, (golden.count, *task.input_shape), missing=True),
        golden_outputs=_array(golden.outputs, files, (golden.count, *task.output_shape)),
    )
    for what, is_, wanted in (("bundle", passport.bundle, bundle), ("version", passport.version, version)):
        if wanted is not None and is_ != wanted:
            raise BundleRefused(Refusal.PASSPORT, f"the passport's {what} is {is_!r}, wanted is {wanted!r}")
    if agent_version is not None and _numbers(agent_version) < _numbers(passport.min_agent):
        raise BundleRefused(
            Refusal.UNSUPPORTED,
            f"the bundle needs agent {passport.min_agent}, this is {agent_version}: update the agent",
        )
    return opened


def _unzip(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleRefused(Refusal.ARCHIVE, f"the bundle has {len(data)} bytes; the limit is {MAX_BUNDLE_BYTES}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            # An entry may unpack to more than it declares: read() stops there, and the CRC then differs.
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError, RuntimeError) as exc:
        raise BundleRefused(Refusal.ARCHIVE, f"the bundle is not a sound zip archive: {exc}") from exc


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise BundleRefused(Refusal.ARCHIVE, f"the bundle has {len(entries)} entries; the limit is {MAX_ENTRIES}")
    seen = set[str]()
    for entry in entries:
        name = entry.filename
        if not _NAME.fullmatch(name):
            raise BundleRefused(Refusal.ARCHIVE, f"the bundle has an entry named {name[:80]!r}")
        if name in seen:
            raise BundleRefused(Refusal.ARCHIVE, f"the bundle has two entries named {name!r}")
        seen.add(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 0x1:
            raise BundleRefused(Refusal.ARCHIVE, f"the entry {name!r} is encrypted, or neither stored nor deflated")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BUNDLE_BYTES:
        raise BundleRefused(Refusal.ARCHIVE, f"the bundle unpacks to {total} bytes; the limit is {MAX_BUNDLE_BYTES}")
    passport = next((entry for entry in entries if entry.filename == PASSPORT_FILE), None)
    if passport is not None and passport.file_size > MAX_PASSPORT_BYTES:
        raise BundleRefused(Refusal.ARCHIVE, f"the passport has {passport.file_size} bytes")


def _check_files(passport: Passport, files: dict[str, bytes]) -> None:
    golden = passport.golden
    promised = [(v.file, v.sha256) for v in passport.variants]
    promised += [(golden.inputs, golden.inputs_sha256), (golden.outputs, golden.outputs_sha256)]
    names = {name for name, _ in promised}
    if len(names) != len(promised) or names != files.keys():
        odd = sorted(names ^ files.keys()) or sorted(names)
        raise BundleRefused(
            Refusal.PASSPORT, f"the bundle's files are not those of the passport: {', '.join(odd)[:200]}"
        )
    for name, sha256 in promised:
        actual = hashlib.sha256(files[name]).hexdigest()
        if actual != sha256:
            raise BundleRefused(
                Refusal.PASSPORT, f"{name} has SHA-256 {actual[:16]}…, the passport says {sha256[:16]}…"
            )
    for variant in passport.variants:
        if len(files[variant.file]) != variant.bytes:
            raise BundleRefused(Refusal.PASSPORT, f"{variant.file} does not have the passport's {variant.bytes} bytes")


def _array(name: str, files: dict[str, bytes], shape: tuple[int, ...], *, missing: bool = False) -> Float32:
    """Parse a ``.npy`` without trusting its header: nothing is allocated that the bytes do not pay for."""
    stream = io.BytesIO(files[name])
    try:
        np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
        actual, fortran, dtype = np.lib.format.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]
    except (ValueError, EOFError, SyntaxError, TypeError, tokenize.TokenError, RecursionError, MemoryError) as exc:
        why = next(iter(str(exc).splitlines()), type(exc).__name__)  # numpy reads a header as Python, and tokenizes it
        raise BundleRefused(Refusal.PASSPORT, f"{name} is not a plain .npy file: {why}") from exc
    if actual != shape or fortran or dtype != np.dtype("<f4"):
        raise BundleRefused(Refusal.PASSPORT, f"{name} is {dtype} {actual}, the passport's task wants float32 {shape}")
    body = stream.read()
    if len(body) != 4 * int(np.prod(shape)):
        raise BundleRefused(Refusal.PASSPORT, f"{name} is truncated or has extra bytes")
    array: Float32 = np.frombuffer(body, "<f4").reshape(shape)
    if not (np.isfinite(array) | (np.isnan(array) & missing)).all():
        raise BundleRefused(Refusal.PASSPORT, f"{name} has values that are not finite")
    return array


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
