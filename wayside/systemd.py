"""A program of ours as a service of systemd: what is the same for each of them.

Every room may use this module; it stands on the standard library alone.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wayside.durable import replace_file
from wayside.errors import WaysideError

FOLDER = Path("/etc/systemd/system")
HOMES = ("/home/", "/root/", "/run/user/")  # what ProtectHome= hides
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")


class UnitError(WaysideError):
    """A unit that systemd would not take, or that may not be written."""


class Unit(NamedTuple):
    name: str  # of the file
    ours: str  # a line by which it is known as ours


def this_command(fixed: Path | None = None) -> tuple[str, ...]:
    """The program that runs now, as a service can run it.

    Args:
        fixed: where it stands on computers whose environments are named by their version.
    """
    beside = Path(sys.executable).parent / "wayside"
    if beside.exists():
        # What points to the environment stays; the environment goes with its version.
        if fixed is not None and fixed.exists() and fixed.samefile(beside):
            return (str(fixed),)
        return (str(beside),)
    return (str(Path(sys.executable)), "-m", "wayside")


def check_names(user: str, group: str | None, home: str) -> None:
    """Raises: UnitError: no such user or group here; it says how to make one, with ``home`` as its folder."""
    for name in (user, group):
        if name is not None and not _NAME.fullmatch(name):
            raise UnitError(f"{name!r} is no name of a user or group: small letters, digits, _ and -")
    try:
        pwd.getpwnam(user)
    except KeyError as exc:
        home = f"--home-dir {home} --no-create-home --shell /usr/sbin/nologin"
        raise UnitError(
            f"there is no user {user} here: `sudo useradd --system {home} {user}`, or name one with --user"
        ) from exc
    if group is not None and not has_group(group):
        raise UnitError(f"there is no group {group} here: name another with --group, or leave it out")


def check_paths(paths: Sequence[str]) -> None:
    """Raises: UnitError: a service cannot reach it, or systemd cannot be told of it."""
    for path in paths:
        if path.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108 -- PrivateTmp= hides them
            raise UnitError(f"{path}: a service has a /tmp of its own and would not see it: put it elsewhere")
        if not path.isprintable() or '"' in path:
            raise UnitError(f"{path!r}: systemd takes no such path: rename it")


def has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def quoted(word: str) -> str:
    """As systemd.service(5) reads a command line: % and $ stand for themselves when doubled."""
    word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if " " in word or "\\" in word or "'" in word or ";" in word else word


def install(unit: Unit, text: str, folder: Path = FOLDER) -> bool:
    """Write the unit and have systemd read it; whether anything changed.

    Raises:
        UnitError: it may not be written, or another's unit has the name.
    """
    path = folder / unit.name
    there = _read(path)
    if there == text:
        return False
    if there is not None and unit.ours not in there:
        raise UnitError(f"{path} is a unit of another kind: move it away first; nothing was written")
    try:
        replace_file(path, text.encode())
    except OSError as exc:
        raise _refused(path, exc) from exc
    _systemctl(folder, "daemon-reload")
    return True


def uninstall(unit: Unit, folder: Path = FOLDER) -> bool:
    """Stop the service and take its unit away; whether there was one. What it works with stays.

    Raises:
        UnitError: it may not be removed, or is another's.
    """
    path = folder / unit.name
    there = _read(path)
    if there is None:
        return False
    if unit.ours not in there:
        raise UnitError(f"{path} is a unit of another kind: it stays")
    if not os.access(folder, os.W_OK):
        raise UnitError(f"{path}: only root may remove it: run the same command with sudo")
    _systemctl(folder, "disable", "--now", unit.name)
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise _refused(path, exc) from exc
    _systemctl(folder, "daemon-reload")
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _refused(path, exc) from exc


def _refused(path: Path, exc: OSError) -> UnitError:
    fix = "run the same command with sudo" if isinstance(exc, PermissionError) else "is this a system with systemd?"
    return UnitError(f"{path}: {exc.strerror or exc}; {fix}")


def _systemctl(folder: Path, *words: str) -> None:
    """Tell the systemd that runs here, if one does and the unit is where it looks."""
    if folder != FOLDER or not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnitError(f"systemctl {' '.join(words)}: {done.stderr.strip() or f'status {done.returncode}'}")
