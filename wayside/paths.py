"""Paths as people write them: ``~`` is a home, and a name may hold any character. Standard library only."""

from __future__ import annotations

import errno
import os
import pwd
import re
from collections.abc import Sequence
from pathlib import Path

_VALUE = re.compile(r"(?P<option>--[A-Za-z0-9][A-Za-z0-9-]*=)(?P<path>~[^/]*(?:/.*)?)", re.DOTALL)


def placed(folder: Path, text: str) -> Path:
    """The path that ``text`` of a file means: relative ones begin at ``folder``, ``~`` and ``~name`` are homes.

    A ``~`` that is nobody's home stays a character of a name; :func:`homeless` says so.
    """
    home = _home(text)
    return folder / text if home is None else home / text.partition("/")[2].lstrip("/")


def settled(folder: Path, text: str) -> Path:
    """As :func:`placed`, with links followed as far as they lead anywhere."""
    return Path(os.path.realpath(placed(folder, text)))


def homeless(text: str) -> str | None:
    """What to say of a path that begins with a ``~`` that is nobody's home here; None: it is one, or there is none."""
    if not text.startswith("~") or _home(text) is not None:
        return None
    name = text.partition("/")[0]
    why = "this user has no home, and HOME names none" if name == "~" else f"there is no user {name[1:]}"
    return f"{text}: {why} on this computer, so that {name} is a folder of that name; write the whole path"


def _home(text: str) -> Path | None:
    """Of the user that ``text`` begins with. HOME counts where it is a whole path, as it is not in some services."""
    name = text.partition("/")[0]
    if not name.startswith("~"):
        return None
    if name == "~" and not os.environ.get("HOME", "/").startswith("/"):
        try:
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
        except KeyError:
            return None
    try:
        home = Path(name).expanduser()
    except (RuntimeError, ValueError):  # ValueError: a name with a NUL
        return None
    return home if home.is_absolute() else None


def listed(text: str) -> list[str]:
    """Names, or paths, with commas between; a path that has commas in it is one if there is such a file."""
    parts, names = text.split(","), []
    while parts:
        joined = (number for number in range(len(parts), 1, -1) if _is_file(",".join(parts[:number]).strip()))
        number = next(joined, 1)
        names.append(",".join(parts[:number]).strip())
        parts = parts[number:]
    return names


def _is_file(text: str) -> bool:
    return os.path.isfile(text)  # noqa: PTH113  (Path's raises for what is too long to be a name)


def sqlite_uri(path: Path) -> str:
    """``path`` for ``sqlite3.connect(…, uri=True)``: to be read, never made. ``?``, ``#`` and ``%`` are of its name.

    Raises:
        OSError: it is a pipe, for which SQLite would wait for ever.
    """
    if path.is_fifo():
        raise OSError(errno.EINVAL, "a pipe, not a file", str(path))
    return f"{path.absolute().as_uri()}?mode=ro"


def with_homes(arguments: Sequence[str]) -> list[str]:
    """A command line whose ``--option=~/path`` begins at home, as a shell has it only where ``~`` begins a word.

    One that is nobody's home stays as it is.
    """
    return [
        f"{match['option']}{placed(Path(), match['path'])}" if (match := _VALUE.fullmatch(argument)) else argument
        for argument in arguments
    ]
