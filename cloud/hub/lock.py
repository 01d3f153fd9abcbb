"""One hub at a time on a data directory."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from wayside.cloud.hub.errors import ConfigurationError


def take(data: Path) -> IO[str]:
    """The data directory's lock, held until the process ends: nonces and the TUF key's versions are one process's."""
    try:
        lock = (data / "hub.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConfigurationError("data", f"another hub runs on {data}; stop it first") from exc
    except OSError as exc:
        raise ConfigurationError("data", f"cannot write in {data}: {exc.strerror}") from exc
    return lock
