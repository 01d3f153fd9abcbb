"""Whether an agent could keep its state in a folder of this computer. Makes nothing."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from wayside.edge.status import LOCK_FILE, OUTBOX_FILE

MADE_BY_SYSTEMD = Path("/var/lib")
"""Where a unit's StateDirectory= makes a folder and gives it to the unit's user."""


def mistakes(folder: Path, *, elsewhere: bool) -> Iterator[str]:
    """Why no agent can.

    Args:
        elsewhere: the node is another computer: only what no computer could have is told.
    """
    try:
        there = _nearest(folder)
        if not there.exists():
            yield f"{there} is a link that leads nowhere, so there can be no such folder"
        elif not there.is_dir():
            yield f"{there} is a file, so there can be no such folder"
        else:
            for part in folder.relative_to(there).parts:
                (there / part).exists()  # raises where the name is too long for a file system
            yield from () if elsewhere else _here(folder, there)
    except (OSError, ValueError) as exc:
        yield f"cannot be looked at: {getattr(exc, 'strerror', None) or exc}"


def _here(folder: Path, there: Path) -> Iterator[str]:
    user = _name(os.geteuid())
    if not _may_write(there):
        if _another(folder, there) is None:
            yield f"{there} may not be written by the user {user}, who runs this check"
        return
    for path in (folder / LOCK_FILE, folder / OUTBOX_FILE):
        if path.is_dir():
            yield f"{path} is a folder: the agent keeps a file of that name there"
        elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
            yield f"{path} may not be written by the user {user}: another one's agent ran here"


def hints(folder: Path) -> Iterator[str]:
    """Whose agent it has to be, where that is another user's than the one who asks; ask where there is no mistake."""
    there = _nearest(folder)
    if not _may_write(there) and (user := _another(folder, there)) is not None:
        yield f"this user may not write in {there}: the agent has to be {user}"


def _nearest(folder: Path) -> Path:
    """The folder, or what there is of the path to it."""
    return next(p for p in (folder, *folder.parents) if os.path.lexists(p))


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _another(folder: Path, there: Path) -> str | None:
    """Who can keep an agent's state there, if the user who asks cannot."""
    if folder.parent == there == MADE_BY_SYSTEMD:
        return "a service, whose StateDirectory= makes the folder"
    facts = there.stat()
    if there == folder and facts.st_uid not in (0, os.geteuid()) and facts.st_mode & 0o300 == 0o300:
        return f"the user {_name(facts.st_uid)}'s"
    return None


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
