"""The node's key is made once, on the node, and never silently replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.identity import KEY_FILE, IdentityError, load_or_create


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
