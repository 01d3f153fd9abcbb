"""Hostile bytes never become a bundle; what is refused is refused by the right name."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import zipfile

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.exported_bundle import exported
from wayside.contracts.passport import MAX_BUNDLE_BYTES, PASSPORT_FILE
from wayside.contracts.rollout import Refusal
from wayside.contracts.wire import encode
from wayside.edge.trusted_bundle import BundleRefused, open_bundle
from wayside.export.bundle import GOLDEN_INPUTS, GOLDEN_OUTPUTS, files_of, npy, pack, passport_of


def good() -> bytes:
    return exported().bundle


def parts():
    work = exported()
    return work.passport, files_of(work.trained, work.parity)


def zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def entries() -> list[tuple[str, bytes]]:
    passport, files = parts()
    return [(PASSPORT_FILE, encode(passport)), *files.items()]


def refused(data: bytes, **wanted) -> tuple[Refusal, str]:
    with pytest.raises(BundleRefused) as info:
        open_bundle(data, **({"agent_version": "0.1.0"} | wanted))
    return info.value.refusal, str(info.value)


def test_an_exported_bundle_opens_with_everything_its_passport_names():
    passport, files = parts()
    bundle = open_bundle(good(), agent_version="0.1.0", bundle="traffic-flow", version="1.0.0")
    assert bundle.passport == passport
    assert bundle.files == files
    np.testing.assert_array_equal(bundle.golden_inputs, exported().trained.golden)
    np.testing.assert_array_equal(bundle.golden_outputs, exported().parity.golden_outputs)


def test_a_deflated_bundle_opens_too():
    assert open_bundle(zipped(entries(), zipfile.ZIP_DEFLATED), agent_version="0.1.0").passport == parts()[0]


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_not_an_archive(data):
    assert refused(data)[0] is Refusal.ARCHIVE


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=0, max_value=10**6), st.integers(min_value=1, max_value=255))
def test_no_flipped_byte_changes_what_runs(where, flip):
    data = bytearray(good())
    data[where % len(data)] ^= flip
    try:
        bundle = open_bundle(bytes(data), agent_version="0.1.0")
    except BundleRefused:
        return
    assert bundle.files == parts()[1]  # a byte of zip bookkeeping that nobody reads
    assert bundle.passport == parts()[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=0, max_value=10**6))
def test_a_truncated_bundle_is_refused(cut):
    data = good()
    assert refused(data[: cut % len(data)])[0] is Refusal.ARCHIVE


def test_a_bundle_larger_than_the_limit_is_refused_before_it_is_parsed():
    refusal, reason = refused(good() + b"\0" * MAX_BUNDLE_BYTES)
    assert refusal is Refusal.ARCHIVE
    assert str(MAX_BUNDLE_BYTES) in reason


def test_a_zip_bomb_is_refused_by_what_it_declares():
    bomb = zipped([("bomb", b"\0" * (MAX_BUNDLE_BYTES + 1))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    assert refused(bomb) == (
        Refusal.ARCHIVE,
        f"the bundle unpacks to {MAX_BUNDLE_BYTES + 1} bytes; the limit is {MAX_BUNDLE_BYTES}",
    )


def test_a_zip_bomb_that_lies_about_its_size_is_refused():
    bomb = bytearray(zipped([("bomb", b"\0" * 50_000_000)], zipfile.ZIP_DEFLATED))
    central = bomb.rindex(b"PK\x01\x02")
    bomb[central + 24 : central + 28] = struct.pack("<I", 1000)
    assert refused(bytes(bomb))[0] is Refusal.ARCHIVE


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", ".hidden", "a\\b", "x" * 65, "\u202egnp"])
def test_an_entry_that_is_no_plain_name_is_refused(name):
    assert refused(zipped([*entries(), (name, b"")]))[0] is Refusal.ARCHIVE


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused():
    assert refused(zipped([*entries(), (PASSPORT_FILE, b"{}")])) == (
        Refusal.ARCHIVE,
        "the bundle has two entries named 'passport.json'",
    )


def test_too_many_entries_are_refused():
    assert refused(zipped([(f"f{i}", b"") for i in range(65)]))[0] is Refusal.ARCHIVE


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_compression_is_refused(method):
    assert refused(zipped(entries(), method))[0] is Refusal.ARCHIVE


def test_a_bundle_without_passport_is_refused():
    assert refused(zipped(entries()[1:])) == (Refusal.ARCHIVE, "the bundle has no passport.json")


def test_a_passport_that_breaks_its_contract_names_the_field():
    passport, files = parts()
    raw = msgspec.json.decode(encode(passport))
    raw["residual_std"] = -1
    refusal, reason = refused(zipped([(PASSPORT_FILE, msgspec.json.encode(raw)), *files.items()]))
    assert refusal is Refusal.PASSPORT
    assert "residual_std" in reason


def test_files_that_the_passport_does_not_name_and_missing_ones_are_refused():
    extra = refused(zipped([*entries(), ("run.sh", b"rm -rf /")]))
    assert extra[0] is Refusal.PASSPORT
    assert "run.sh" in extra[1]
    missing = refused(zipped([e for e in entries() if e[0] != GOLDEN_OUTPUTS]))
    assert missing[0] is Refusal.PASSPORT
    assert GOLDEN_OUTPUTS in missing[1]


def test_every_file_must_have_the_passports_hash():
    for victim in [name for name, _ in entries()[1:]]:
        changed = [(n, c[:-1] + bytes([c[-1] ^ 1]) if n == victim else c) for n, c in entries()]
        refusal, reason = refused(zipped(changed))
        assert refusal is Refusal.PASSPORT
        assert reason.startswith(f"{victim} has SHA-256")


def resigned(name: str, content: bytes) -> bytes:
    """The bundle with another golden file, its hash in the passport corrected."""
    passport, files = parts()
    field = "inputs_sha256" if name == GOLDEN_INPUTS else "outputs_sha256"
    golden = msgspec.structs.replace(passport.golden, **{field: hashlib.sha256(content).hexdigest()})
    return pack(msgspec.structs.replace(passport, golden=golden), files | {name: content})


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def huge_header() -> bytes:
    body = npy(np.zeros((1, 1), np.float32))
    return body.replace(b"(1, 1)", b"(9999999999, 9999999)")[: len(body)]


@pytest.mark.parametrize(
    "content",
    [
        lambda right: b"",
        lambda right: b"\x93NUMPY",
        lambda right: pickled(),
        lambda right: huge_header(),
        lambda right: npy(np.zeros((3, 3), np.float32)),
        lambda right: npy(right)[:-1],
        lambda right: npy(right) + b"x",
        lambda right: npy(np.full_like(right, np.nan)),
    ],
    ids=["empty", "magic only", "pickle", "huge", "shape", "truncated", "trailing", "NaN"],
)
def test_golden_arrays_are_plain_finite_and_of_the_tasks_shape(content):
    refusal, reason = refused(resigned(GOLDEN_OUTPUTS, content(exported().parity.golden_outputs)))
    assert refusal is Refusal.PASSPORT
    assert GOLDEN_OUTPUTS in reason


def test_another_bundle_or_version_than_wanted_is_refused():
    assert refused(good(), bundle="other")[0] is Refusal.PASSPORT
    assert refused(good(), version="1.0.1") == (
        Refusal.PASSPORT,
        "the passport's version is '1.0.0', wanted is '1.0.1'",
    )


def test_an_agent_that_is_too_old_is_told_to_update():
    passport, files = parts()
    newer = pack(msgspec.structs.replace(passport, min_agent="0.10.0"), files)
    refusal, reason = refused(newer, agent_version="0.9.9")
    assert refusal is Refusal.UNSUPPORTED
    assert "update the agent" in reason
    assert open_bundle(newer, agent_version="0.10.0").passport.min_agent == "0.10.0"
    assert open_bundle(newer, agent_version=None).passport.min_agent == "0.10.0"


def test_unknown_passport_fields_of_a_newer_exporter_are_kept():
    work = exported()
    passport = passport_of(work.trained, work.parity, bundle="traffic-flow", version="1.0.0")
    raw = msgspec.json.decode(encode(passport)) | {"colour": "red"}
    bundle = open_bundle(
        zipped([(PASSPORT_FILE, msgspec.json.encode(raw)), *parts()[1].items()]), agent_version="0.1.0"
    )
    assert bundle.passport.extra == {"colour": "red"}
    assert dataclasses.is_dataclass(bundle)
