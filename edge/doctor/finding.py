"""What one check found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    check: str
    state: Literal["ok", "warn", "fail", "skip"]
    said: str
    fix: str = ""


def looked_at(check: str, look: Callable[[], Finding]) -> Finding:
    """A check that this user may not make is no crash, and not passed."""
    try:
        return look()
    except OSError as exc:
        reason = f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)
        return Finding(check, "fail", reason, "run this as the agent's user, or with sudo")
