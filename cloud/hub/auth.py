"""Who asks: nodes by Ed25519 signature over a nonce (contracts.identity), operators by a bearer token.

A nonce is ``issued_ns | random | HMAC``: the hub keeps no nonce, only, per node, the issue time of the last one that
was used. Each works once, older ones never again, and asking for nonces costs the hub no memory. The HMAC key is new
in each process: after a restart nodes get a 401 with a fresh nonce.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, Request

from wayside.cloud.hub.errors import ConfigurationError, UnauthenticatedError
from wayside.contracts.identity import signing_input
from wayside.text import TextError, decode_unicode, read_file

NONCE_LIFE_S = 900.0
OPERATOR_TOKEN_FILE = "operator.token"  # noqa: S105 a file name
MAX_TOKEN_FILE_BYTES = 4096
OPERATOR_TOKEN_ENV = "WAYSIDE_OPERATOR_TOKEN"  # noqa: S105 a variable's name
_PLACEHOLDER = re.compile(r"change|secret|example|placeholder|password", re.IGNORECASE)
_MAC_BYTES = 16


class Nonces:
    """Issues and takes nonces. Not thread-safe: the event loop's."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._key = secrets.token_bytes(32)
        self._last = 0
        self._used: dict[str, int] = {}  # per node: issue time of the newest nonce that was used

    def issue(self, node: str) -> str:
        self._last = max(self._clock_ns(), self._last + 1)  # no two are the same
        issued = self._last.to_bytes(8, "big") + os.urandom(8)
        return base64.urlsafe_b64encode(issued + self._mac(node, issued)).rstrip(b"=").decode()

    def check(self, node: str, nonce: str) -> int:
        """Return the issue time (ns) of a nonce that ``node`` may still use.

        Raises:
            UnauthenticatedError: not ours, another node's, used, or older than ``NONCE_LIFE_S``.
        """
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        issued, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(raw) != 16 + _MAC_BYTES or not hmac.compare_digest(mac, self._mac(node, issued)):
            raise UnauthenticatedError("nonce", "the nonce is not one of this hub's for this node; sign the fresh one")
        at = int.from_bytes(issued[:8], "big")
        if at <= self._used.get(node, -1):
            raise UnauthenticatedError("nonce", "the nonce was used already; sign the fresh one")
        if self._clock_ns() - at > NONCE_LIFE_S * 1e9:
            raise UnauthenticatedError("nonce", f"the nonce is older than {NONCE_LIFE_S:.0f} s; sign the fresh one")
        return at

    def use(self, node: str, issued_ns: int) -> None:
        self._used[node] = issued_ns

    def _mac(self, node: str, issued: bytes) -> bytes:
        return hmac.digest(self._key, issued + node.encode(), "sha256")[:_MAC_BYTES]


def verify_signature(
    key: Ed25519PublicKey, signature: str, *, node: str, nonce: str, method: str, path: str, body: bytes
) -> None:
    """Check the request's signature (RFC 8032).

    Raises:
        UnauthenticatedError: not base64, or not this node's signature over this request.
    """
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, signing_input(node=node, nonce=nonce, method=method, path=path, body=body))
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


def check_operator(expected: str, authorization: str | None) -> None:
    """Check an ``Authorization: Bearer`` header.

    Raises:
        UnauthenticatedError: missing or wrong.
    """
    scheme, _, token = (authorization or "").partition(" ")
    given, wanted = (hashlib.sha256(t.strip().encode()).digest() for t in (token, expected))
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
        raise UnauthenticatedError("operator", "this needs the operator's token: Authorization: Bearer TOKEN")


def operator_only(token: str) -> Any:
    """A dependency that lets only the operator in."""

    def check(request: Request) -> None:
        check_operator(token, request.headers.get("authorization"))

    return Depends(check)
