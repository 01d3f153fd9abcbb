"""The hub's own key of the TUF repository: it signs snapshot and timestamp, nothing else."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wayside.cloud.hub.errors import ConfigurationError
from wayside.durable import replace_file
from wayside.text import read_file

KEY_FILE = "online.key"


def make_online_key(data: Path) -> None:
    """Make the hub's key, once; an existing one stays.

    Raises:
        ConfigurationError: the one that is there is no key.
    """
    file = data / "tuf" / KEY_FILE
    if file.exists():
        online_key(file)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace_file(file, pem, mode=0o600)


def online_key(file: Path) -> Ed25519PrivateKey:
    """Read it. Raises: ConfigurationError: it is not there, or is no such key."""
    try:
        private = serialization.load_pem_private_key(read_file(file), password=None)
    except OSError as exc:
        raise ConfigurationError("online_key", f"cannot read {file}: {exc.strerror}; run `wayside hub init`") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:  # TypeError: it has a password
        raise ConfigurationError(
            "online_key", f"{file} is damaged, or no private key without a password: put its backup there"
        ) from exc
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError("online_key", f"{file} is not an Ed25519 key")
    return private
