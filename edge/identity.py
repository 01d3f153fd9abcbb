"""The node's own Ed25519 key: made here at the first start, never leaves."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import EdgeError

KEY_FILE = "node.key"


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
        pem = path.read_bytes()
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


def _create(path: Path) -> Identity:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    part = path.with_suffix(".part")
    try:
        # Written whole, on disk, then named: power lost in between leaves no half key.
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, pem)
            os.fsync(fd)
        finally:
            os.close(fd)
        part.replace(path)
        fd = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        raise IdentityError(f"{path}: {exc.strerror}; the node's key could not be written") from exc
    return Identity(key)
