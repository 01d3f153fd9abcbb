"""The passport out of a published bundle: a small read of bytes that are not trusted."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.bundles import AIR, archive, bundle_of, passport
from tests.hub.conftest import AUTH, Hub
from tests.hub.offline_keys import OfflineKeys
from wayside.cloud.hub.bundles import read_passport
from wayside.cloud.hub.errors import ConflictError
from wayside.contracts.passport import MAX_PASSPORT_BYTES, PASSPORT_FILE

GOOD = json.dumps(passport("1.0.0")).encode()


def told(tmp_path: Path, content: bytes) -> str:
    """Why ``content`` is no bundle."""
    file = tmp_path / f"{'ab' * 32}.flow-1.0.0.bundle"
    file.write_bytes(content)
    with pytest.raises(ConflictError) as refusal:
        read_passport(file)
    assert refusal.value.code == "not_a_bundle"
    assert refusal.value.message.startswith("flow-1.0.0.bundle is published, but is no bundle")
    return refusal.value.message


def with_entries(count: int) -> bytes:
    """The same archive, whose last record claims to have ``count`` entries."""
    good = archive({PASSPORT_FILE: GOOD})
    return good[:-14] + struct.pack("<2H", count, count) + good[-10:]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_passport_is_read_whatever_else_the_bundle_holds(tmp_path: Path, method: int) -> None:
    file = tmp_path / "x.bundle"
    file.write_bytes(archive({"model.onnx": b"\0" * 100_000, PASSPORT_FILE: GOOD}, method))
    read = read_passport(file)
    assert (read.bundle, read.version, read.task.output) == ("traffic-flow", "1.0.0", "volume")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"x" * 5000, "not a zip archive"),
        (archive({"other.json": GOOD}), "0 entries named passport.json"),
        (archive({PASSPORT_FILE: GOOD}, zipfile.ZIP_LZMA), "neither stored nor deflated"),
        (archive({PASSPORT_FILE: b"0" * (MAX_PASSPORT_BYTES + 1)}), "1000001 bytes"),
        (archive({PASSPORT_FILE: b"{}"}), "breaks the contract"),
        (archive({PASSPORT_FILE: b"not json"}), "breaks the contract"),
        (archive({PASSPORT_FILE: GOOD})[:-1], "not a zip archive"),
        (archive({PASSPORT_FILE: GOOD})[30:], ""),
        (archive({f"{i}.bin": b"" for i in range(65)}), "65 entries"),
        (with_entries(0xFFFF), "65535 entries"),
    ],
)
def test_what_is_no_bundle_is_refused_and_why_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    assert why in told(tmp_path, content)


def test_two_passports_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        file = tmp_path / "two.zip"
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(PASSPORT_FILE, GOOD)
            made.writestr(PASSPORT_FILE, GOOD)
    assert "2 entries" in told(tmp_path, file.read_bytes())


def test_an_entry_that_unpacks_to_more_than_it_declares_stops_there(tmp_path: Path) -> None:
    bomb = bytearray(archive({PASSPORT_FILE: b"0" * 500_000}))
    at = bomb.rindex(b"PK\x01\x02") + 24  # the size that the directory declares
    bomb[at : at + 4] = struct.pack("<L", 100)
    assert told(tmp_path, bytes(bomb))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_bundle_is_read_or_refused_and_nothing_else_happens(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(bundle_of("1.0.0"))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / f"{'ab' * 32}.flow-1.0.0.bundle"
    file.write_bytes(bytes(content))
    try:
        assert read_passport(file).bundle
    except ConflictError as refusal:
        assert refusal.code == "not_a_bundle"


def test_a_published_target_that_is_no_bundle_or_another_one_does_not_begin(hub: Hub) -> None:
    hub.node().sync()
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", b"no zip at all, but signed")
    keys.publish("1.0.1", bundle_of("1.0.0"))
    keys.publish("2.0.0", bundle_of("2.0.0", "air-pm25", **AIR))
    for version, error in (("1.0.0", "not_a_bundle"), ("1.0.1", "not_that_version"), ("2.0.0", "not_that_version")):
        target = f"models/traffic-flow-{version}.bundle"
        ask = {"bundle": "traffic-flow", "version": version, "target": target, "phases": [100]}
        answer = hub.client.post("/api/v1/rollouts", json=ask, headers=AUTH)
        assert (answer.status_code, answer.json()["error"]) == (409, error)
        assert hub.client.get("/api/v1/rollouts/preview", params={"target": target}, headers=AUTH).status_code == 409
