"""The node's key is made once, on the node, and never silently replaced."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wayside.edge.identity import KEY_FILE, IdentityError, load_or_create, machine_fingerprint


def test_the_key_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "state")
    assert load_or_create(tmp_path / "state").public_hex == first.public_hex
    assert stat.S_IMODE((tmp_path / "state" / KEY_FILE).stat().st_mode) == 0o600
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(first.public_hex)).verify(first.sign(b"x"), b"x")


def test_a_key_left_half_written_by_a_power_cut_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "node.part").write_bytes(b"-----BEGIN")
    assert len(load_or_create(tmp_path).public_hex) == 64


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"not a key"])
def test_a_broken_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(IdentityError, match="enrol this node anew"):
        load_or_create(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def machine(root: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = root / {"tree": "proc/device-tree/serial-number", "dmi": "sys/class/dmi/id/product_uuid"}[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_the_fingerprint_tells_computers_apart_and_hides_the_serial_number(tmp_path: Path) -> None:
    pi = machine(tmp_path / "pi", tree=b"10000000a3b1c5d7\0")
    same = machine(tmp_path / "same", tree=b"10000000a3b1c5d7\0", dmi=b"ignored, since the board names itself\n")
    other = machine(tmp_path / "other", tree=b"10000000a3b1c5d8\0")
    found = machine_fingerprint("node-1", pi)
    assert found is not None
    assert len(found) == 64
    assert found == machine_fingerprint("node-1", same) == hashlib.sha256(b"node-1\n10000000a3b1c5d7").hexdigest()
    assert found != machine_fingerprint("node-1", other)
    assert found != machine_fingerprint("node-2", pi), "nobody can follow a board from site to site"


def test_a_pc_names_itself_by_its_firmware(tmp_path: Path) -> None:
    pc = machine(tmp_path, dmi=b"4C4C4544-0042-3510-8051-B7C04F4D3732\n")
    assert machine_fingerprint("node-1", pc) == machine_fingerprint("node-1", pc)
    assert machine_fingerprint("node-1", pc) is not None


@pytest.mark.parametrize(
    "serial",
    [b"", b"\0", b"0000000000000000\0", b"ffffffff-ffff-ffff-ffff-ffffffffffff\n", b"Default string\n", b"\xff\xfe"],
)
def test_a_serial_number_that_nobody_wrote_is_none(tmp_path: Path, serial: bytes) -> None:
    assert machine_fingerprint("node-1", machine(tmp_path, tree=serial, dmi=serial)) is None
    assert machine_fingerprint("node-1", tmp_path / "nothing") is None
