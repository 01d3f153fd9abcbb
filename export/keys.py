"""The offline signing keys of one fleet: ed25519 PEM files in a directory that only their owner reads.

``root-1.pem`` … ``root-3.pem`` (two of three sign a root), ``targets.pem`` (delegates), ``models.pem`` (signs
releases). Keep the root keys on separate media; daily work needs ``models.pem`` and ``root.json`` alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from wayside.durable import sync_folder
from wayside.export.errors import ReleaseError
from wayside.text import read_file

ROOT_KEYS = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD = 2
NAMES = (*ROOT_KEYS, "targets", "models")


def make_keys(folder: Path) -> None:
    """Make all keys in ``folder``, mode 0600, the folder 0700.

    Raises:
        ReleaseError: there are keys already (they are never replaced), or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        old = [name for name in NAMES if (folder / f"{name}.pem").exists()]
        if old:
            raise ReleaseError(f"{folder} holds {old[0]}.pem already; choose an empty directory")
        for name in NAMES:
            fd = os.open(folder / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(CryptoSigner.generate_ed25519().private_bytes)
                os.fsync(file.fileno())
        sync_folder(folder)
    except OSError as exc:
        raise ReleaseError(f"the keys cannot be written: {exc}") from exc


def signer(folder: Path, name: str) -> CryptoSigner:
    """The signer of key ``name``.

    Raises:
        ReleaseError: the file is missing, readable by others, or no ed25519 private key.
    """
    path = folder / f"{name}.pem"
    try:
        if path.stat().st_mode & 0o077:
            raise ReleaseError(f"{path} can be read by others; chmod 600 {path}")
        key = load_pem_private_key(read_file(path), password=None)
    except OSError as exc:
        raise ReleaseError(f"the key {name} cannot be read ({exc}); `wayside release keys DIR` makes keys") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ReleaseError(f"{path} is not a private key: {exc}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{path} is not an ed25519 key")
    return CryptoSigner(key)
