"""The node's own Ed25519 key: made here at the first start, never leaves. And which computer this is."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wayside.durable import replace_file
from wayside.edge.errors import EdgeError
from wayside.text import read_file

KEY_FILE = "node.key"
SERIAL_NUMBERS = ("proc/device-tree/serial-number", "sys/class/dmi/id/product_uuid")
"""Where the kernel shows them: boards with a device tree (Raspberry Pi, Jetson); PCs, there to root alone."""
NO_SERIAL = {"", "03000200-0400-0500-0006-000700080009", "default string", "to be filled by o.e.m.", "none"}
"""What boards say whose maker wrote none."""


class IdentityError(EdgeError):
    """The node's key cannot be read or written."""


class Identity:
    """Signs what the node sends (RFC 8032)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public_hex = raw.hex()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def load_or_create(state_dir: Path) -> Identity:
    """Return the node's identity; make it, readable by its user alone, if there is none.

    Raises:
        IdentityError: the key file cannot be read, or is no key. It is never overwritten: a new key would be another
            node, and the hub would refuse it.
    """
    path = state_dir / KEY_FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        pem = read_file(path)
    except FileNotFoundError:
        return _create(path)
    except OSError as exc:
        raise IdentityError(f"{path}: {exc.strerror}; the agent's user must be able to read it") from exc
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise IdentityError(f"{path} is not a key: restore it, or remove it and enrol this node anew") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"{path} is not an Ed25519 key: restore it, or remove it and enrol this node anew")
    return Identity(key)


def machine_fingerprint(node: str, root: Path = Path("/")) -> str | None:
    """Tells this computer from another one with a copy of its card (contracts.sync.Machine).

    A hash, and another one for each node: serial numbers stay here, and nobody can follow a board from site to site.

    Returns:
        None where the computer has no serial number, or this user may not read it.
    """
    for path in SERIAL_NUMBERS:
        try:
            serial = (root / path).read_bytes().strip(b"\0 \n").decode().lower()
        except (OSError, UnicodeDecodeError):
            continue
        if serial not in NO_SERIAL and len(set(serial) - {"-"}) > 1:
            return hashlib.sha256(f"{node}\n{serial}".encode()).hexdigest()
    return None


def _create(path: Path) -> Identity:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        replace_file(path, pem, mode=0o600)
    except OSError as exc:
        raise IdentityError(f"{path}: {exc.strerror}; the node's key could not be written") from exc
    return Identity(key)
