"""Browsers that a user has logged in with before: strangers at the same address do not slow down their next login.

A limit by address alone is one that a neighbour behind the same NAT can use up for a user. So a login leaves a cookie
by which this browser is counted by itself, for this user ("device cookies", OWASP). It lets nobody in.
"""

from __future__ import annotations

import hmac
import secrets

DEVICE_S = 180 * 86_400


class Devices:
    def __init__(self, key: bytes) -> None:
        """``key``: of this hub, for whatever purpose; another one is made of it."""
        self._key = hmac.digest(key, b"devices", "sha256")

    def made(self, user: str) -> str:
        """A cookie for a browser that ``user`` just logged in with."""
        device = secrets.token_hex(8)
        return f"{device}.{self._mac(device, user)}"

    def known(self, cookie: str | None, user: str) -> str | None:
        """What the limits count this browser as; None: ``user`` has not logged in with it."""
        device, _, mac = (cookie or "").partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(device, user).encode()):
            return None
        return f"device {device}"

    def _mac(self, device: str, user: str) -> str:
        return hmac.digest(self._key, f"{device}\n{user}".encode(), "sha256").hex()
