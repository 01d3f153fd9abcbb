"""Nodes are known by an Ed25519 signature over a nonce (contracts.identity), the operator by a token.

A nonce is ``serial | time | HMAC``. The serial is a count in the node's row: it rises in the transaction of each
request that takes effect, and only a nonce for the present serial is served. So each works once and older ones never
again, whatever any clock says, however many processes serve, and through restarts; and asking for nonces stores
nothing. The time bounds how long a signed request can be held back by somebody in between: docs/adr/0043.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wayside.cloud.hub.errors import ConfigurationError, UnauthenticatedError
from wayside.durable import replace_file
from wayside.text import TextError, decode_unicode, read_file

NONCE_LIFE_S = 900.0
OPERATOR_TOKEN_FILE = "operator.token"  # noqa: S105 a file name
MAX_TOKEN_FILE_BYTES = 4096
NONCE_KEY_FILE = "nonce.key"
NONCE_KEY_BYTES = 32
OPERATOR_TOKEN_ENV = "WAYSIDE_OPERATOR_TOKEN"  # noqa: S105 a variable's name
_PLACEHOLDER = re.compile(r"change|secret|example|placeholder|password", re.IGNORECASE)
_MAC_BYTES = 16


class Nonces:
    """Issues and opens nonces. Whether the serial is the present one, the store says:
    :class:`wayside.cloud.hub.serials.Serials`.

    Not thread-safe: the event loop's.
    """

    def __init__(self, key: bytes, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Args:
        key: 32 bytes that all processes of the hub share: :func:`load_nonce_key`.
        clock_ns: the hub's wall clock. It may jump; then nonces that are out are refused, and fresh ones work.
        """
        self._clock_ns = clock_ns
        self._key = key
        self._over: dict[str, int] = {}  # per node: serials before this one are over, as far as this process knows

    def issue(self, node: str, serial: int) -> str:
        """A nonce for ``node``'s present ``serial``."""
        self._over[node] = max(serial, self._over.get(node, 0))
        issued = serial.to_bytes(8, "big") + self._clock_ns().to_bytes(8, "big", signed=True)
        return base64.urlsafe_b64encode(issued + self._mac(node, issued)).rstrip(b"=").decode()

    def opened(self, node: str, nonce: str) -> int:
        """The serial that a nonce of ``node`` is for.

        Raises:
            UnauthenticatedError: not ours, another node's, known to be used, or further than ``NONCE_LIFE_S`` from now.
        """
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        issued, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(raw) != 16 + _MAC_BYTES or not hmac.compare_digest(mac, self._mac(node, issued)):
            raise UnauthenticatedError("nonce", "the nonce is not one of this hub's for this node; sign the fresh one")
        serial, at = int.from_bytes(issued[:8], "big"), int.from_bytes(issued[8:], "big", signed=True)
        if serial < self._over.get(node, 0):
            raise used_nonce()
        # Also one of a time to come: the hub's clock was wrong then, or is now, and nobody knows how old it is.
        if abs(self._clock_ns() - at) > NONCE_LIFE_S * 1e9:
            raise UnauthenticatedError("nonce", f"the nonce is older than {NONCE_LIFE_S:.0f} s; sign the fresh one")
        return serial

    def _mac(self, node: str, issued: bytes) -> bytes:
        return hmac.digest(self._key, issued + node.encode(), "sha256")[:_MAC_BYTES]


def used_nonce() -> UnauthenticatedError:
    return UnauthenticatedError("nonce", "the nonce was used already; sign the fresh one")


def load_nonce_key(data: Path) -> bytes:
    """The key of this hub's nonces, made where there is none: a new one costs each node one more request, once.

    Raises:
        ConfigurationError: the file cannot be read or written, or holds no key.
    """
    file = data / NONCE_KEY_FILE
    try:
        if not file.exists():
            replace_file(file, secrets.token_bytes(NONCE_KEY_BYTES), mode=0o600)
        key = read_file(file, MAX_TOKEN_FILE_BYTES)
    except OSError as exc:
        raise ConfigurationError("nonce_key", f"cannot use {file}: {exc.strerror}") from exc
    except TextError as exc:
        raise ConfigurationError("nonce_key", f"{file} holds no key: {exc}") from exc
    if len(key) != NONCE_KEY_BYTES:
        raise ConfigurationError("nonce_key", f"{file} holds no key: remove it, and start the hub again to make one")
    return key


def verify_signature(key: Ed25519PublicKey, signature: str, message: bytes) -> None:
    """Check a signature (RFC 8032) over :func:`wayside.contracts.identity.signing_input`.

    Raises:
        UnauthenticatedError: not base64, or not this node's signature over this request.
    """
    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (binascii.Error, ValueError, InvalidSignature) as exc:
        raise UnauthenticatedError(
            "signature", "the signature does not fit this node's key, the nonce, the path and the body as sent"
        ) from exc


def load_operator_token(data: Path, environment: dict[str, str] | os._Environ[str] = os.environ) -> str:
    """The operator's token: from the environment, else from the file that ``hub init`` made.

    Raises:
        ConfigurationError: there is none, or it is short or a placeholder.
    """
    file = data / OPERATOR_TOKEN_FILE
    if token := environment.get(OPERATOR_TOKEN_ENV, "").strip():
        source = OPERATOR_TOKEN_ENV
    elif file.exists():
        token, source = _token_in(file), str(file)
    else:
        raise ConfigurationError(
            "operator_token", f"there is no operator token: run `wayside hub init --data {data}` first"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            "operator_token",
            f"{source} holds no token, which is one word of ASCII characters: `openssl rand -hex 32` makes one",
        )
    if len(token) < 24 or len(set(token)) < 8 or _PLACEHOLDER.search(token):
        raise ConfigurationError(
            "operator_token", f"{source} holds a short or placeholder token; `openssl rand -hex 32` makes a good one"
        )
    return token


def _token_in(file: Path) -> str:
    try:
        return decode_unicode(read_file(file, MAX_TOKEN_FILE_BYTES)).strip()
    except OSError as exc:
        raise ConfigurationError("operator_token", f"cannot read {file}: {exc.strerror}") from exc
    except TextError as exc:
        raise ConfigurationError("operator_token", f"{file} holds no token: {exc}") from exc
