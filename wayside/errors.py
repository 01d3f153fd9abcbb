"""The root of the rooms' errors, and the statuses with which a command ends. The standard library only.

WaysideError
├── Refused       on purpose: what stands in the way is named, nothing was changed
└── Misuse        the command line asks for what no command does

Each room draws its own tree in its ``errors.py``, from a root that comes of ``WaysideError``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    INTERRUPTED = 130  # 128 + SIGINT, as shells count
    PIPE_CLOSED = 141  # 128 + SIGPIPE


MEANINGS: dict[ExitStatus, str] = {
    ExitStatus.DONE: "done",
    ExitStatus.FAILED: "failed: something is broken, or an input is damaged or not in order",
    ExitStatus.USAGE: "wrong usage: a verb, an option or a value that there is not",
    ExitStatus.REFUSED: "nothing to do, or refused: by a gate, a guard, the hub or a person, on purpose",
    ExitStatus.INTERRUPTED: "interrupted: Ctrl-C",
    ExitStatus.PIPE_CLOSED: "nobody reads on: the output went into a pipe that was closed, as `head` does",
}


class WaysideError(Exception):
    """Something that a person can read and act upon: what happened, whose fault it is, what to type next."""

    exit_status: ClassVar[int] = ExitStatus.FAILED


class Refused(WaysideError):  # noqa: N818  (what happened)
    """Nothing to do, or refused on purpose. A room's own class may come of this and of the room's root."""

    exit_status = ExitStatus.REFUSED


class Misuse(WaysideError):  # noqa: N818
    """The command line asks for what no command does, or for two things that do not go together."""

    exit_status = ExitStatus.USAGE
