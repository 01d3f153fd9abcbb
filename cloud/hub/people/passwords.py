"""Passwords: what a new one has to be (NIST SP 800-63B, 3.1.1), and whether one fits (argon2id).

Checking one costs memory and time on purpose. It is done by one thread of its own, outside Python's lock, and only so
many may wait for it: whoever types passwords without end keeps no node from syncing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from wayside.cloud.hub.errors import ContractBrokenError, TooOftenError

SHORTEST, LONGEST = 12, 256  # characters
WAITING = 16
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's least for argon2id: 19 MiB
_COMMON = re.compile(
    r"[\W\d_]*(password|passwort|passwd|qwerty(uiop)?|qwertz(uiop)?|letmein|welcome|willkommen|changeme|administrator|"
    r"admin|iloveyou|monkey|dragon|wayside|traffic|secret|geheim|hub|city|stadt|abc|test)*[\W\d_]*",
    re.IGNORECASE,
)
_NOBODYS = _HASHER.hash(secrets.token_hex())  # a name that there is not takes as long as one that there is


def hashed(password: str) -> str:
    return _HASHER.hash(_plain(password))


def made() -> str:
    """A password of 100 random bits, easy to type."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"  # 32: no 0, o, 1, l
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def check_new(password: str, name: str) -> None:
    """No rules of composition: length, and not what everybody tries first.

    Raises:
        ContractBrokenError: with the rule.
    """
    plain = _plain(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        why = f"has {len(plain)} characters; a password has {SHORTEST} to {LONGEST}, of any kind"
    elif _COMMON.fullmatch(plain) or len(set(plain)) < 5 or name.casefold() in plain.casefold():
        why = "is one of those that are tried first; take some words that do not belong together"
    else:
        return
    raise ContractBrokenError("password", f"the password {why}", "password")


class Passwords:
    """The event loop's."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hub-password")
        self._waiting = 0

    async def fits(self, password: str, hash_: str | None) -> bool:
        """Whether it is the one that was hashed; null: nobody's, which takes as long and is never so.

        Raises:
            TooOftenError: too many wait already.
        """
        if self._waiting >= WAITING:
            raise TooOftenError("too_often", "too many people log in at this moment: try again in a second", retry_s=1)
        self._waiting += 1
        try:
            fits = await asyncio.get_running_loop().run_in_executor(self._thread, _fits, password, hash_ or _NOBODYS)
        finally:
            self._waiting -= 1
        return fits and hash_ is not None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _fits(password: str, hash_: str) -> bool:
    try:
        return _HASHER.verify(hash_, _plain(password)) if len(password) <= LONGEST else False
    except (VerificationError, InvalidHashError):
        return False


def _plain(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
