"""The agent as a service of this computer: the unit that cards have, for the paths and groups that are here."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple

from wayside.durable import replace_file
from wayside.edge.errors import EdgeError

UNIT = "wayside-agent.service"
FOLDER = Path("/etc/systemd/system")
STATE_DIR = "/var/lib/wayside"  # what StateDirectory=wayside makes
CARD = Path("/opt/wayside/bin/wayside")
GROUPS = ("dialout", "gpio")  # serial ports, GPIO chips; not every system has both
_OURS = "Description=wayside agent"
_HOMES = ("/home/", "/root/", "/run/user/")  # what ProtectHome= hides
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")


class Service(NamedTuple):
    """What the unit is made for."""

    config: Path  # absolute
    state_dir: Path  # absolute
    command: tuple[str, ...]  # that runs wayside
    user: str = "wayside"
    group: str | None = None  # None: the user's own


def this_command() -> tuple[str, ...]:
    """The program that runs now, as a service can run it."""
    beside = Path(sys.executable).parent / "wayside"
    if beside.exists():
        # A card's environment is named by its version; what points to it stays.
        if CARD.exists() and CARD.samefile(beside):
            return (str(CARD),)
        return (str(beside),)
    return (str(Path(sys.executable)), "-m", "wayside")


def unit_text(service: Service) -> str:
    """The unit.

    Raises:
        EdgeError: no such user or group, or a path that a service cannot reach.
    """
    _check_names(service)
    paths = [str(service.config), str(service.state_dir), service.command[0]]
    for path in paths:
        if path.startswith(("/tmp/", "/var/tmp/")):  # noqa: S108 -- PrivateTmp= hides them
            raise EdgeError(f"{path}: a service has a /tmp of its own and would not see it: put it elsewhere")
        if not path.isprintable() or '"' in path:
            raise EdgeError(f"{path!r}: systemd takes no such path: rename it")
    command = " ".join(_quoted(word) for word in (*service.command, "agent", "run", str(service.config)))
    groups = " ".join(name for name in GROUPS if _has_group(name))
    lines = []
    for line in package_files("wayside.edge").joinpath(UNIT).read_text("utf-8").splitlines():
        key = line.partition("=")[0]
        if key == "ExecStart":
            lines.append(f"ExecStart={command}")
        elif key == "User":
            lines += [f"User={service.user}", *([f"Group={service.group}"] if service.group else [])]
        elif key == "SupplementaryGroups":
            lines += [f"SupplementaryGroups={groups}"] if groups else []
        elif key == "StateDirectory" and str(service.state_dir) != STATE_DIR:
            lines.append(f"ReadWritePaths={_quoted(str(service.state_dir))}")
        elif key == "ProtectHome" and any(path.startswith(_HOMES) for path in paths):
            lines.append("ProtectHome=read-only")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _check_names(service: Service) -> None:
    for name in (service.user, service.group):
        if name is not None and not _NAME.fullmatch(name):
            raise EdgeError(f"{name!r} is no name of a user or group: small letters, digits, _ and -")
    try:
        pwd.getpwnam(service.user)
    except KeyError as exc:
        home = f"--home-dir {STATE_DIR} --no-create-home --shell /usr/sbin/nologin"
        raise EdgeError(
            f"there is no user {service.user} here: `sudo useradd --system {home} {service.user}`, "
            "or name one with --user"
        ) from exc
    if service.group is not None and not _has_group(service.group):
        raise EdgeError(f"there is no group {service.group} here: name another with --group, or leave it out")


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _quoted(word: str) -> str:
    """As systemd.service(5) reads a command line: % and $ stand for themselves when doubled."""
    word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if " " in word or "\\" in word or "'" in word or ";" in word else word


def doubts(service: Service) -> list[str]:
    """What the agent's user could not do, with what to type."""
    found = []
    user = pwd.getpwnam(service.user)
    group = grp.getgrnam(service.group).gr_gid if service.group else user.pw_gid
    facts = service.config.stat()
    readable = (
        (facts.st_uid == user.pw_uid and facts.st_mode & 0o400)
        or (facts.st_gid == group and facts.st_mode & 0o040)
        or facts.st_mode & 0o004
    )
    if user.pw_uid != 0 and not readable:
        name = service.group or grp.getgrgid(group).gr_name
        found.append(
            f"{service.user} may not read {service.config}: `sudo chgrp {name} {service.config}`, "
            f"`sudo chmod 640 {service.config}`"
        )
    if str(service.state_dir) != STATE_DIR and not service.state_dir.is_dir():
        found.append(
            f"{service.state_dir} is not there: before it starts, "
            f"`sudo install -d -m 750 -o {service.user} {service.state_dir}`"
        )
    found += [f"there is no group {name} here, so the service is not in it" for name in GROUPS if not _has_group(name)]
    return found


def install(text: str, folder: Path = FOLDER) -> bool:
    """Write the unit and have systemd read it; whether anything changed.

    Raises:
        EdgeError: it may not be written, or another's unit has the name.
    """
    path = folder / UNIT
    there = _read(path)
    if there == text:
        return False
    if there is not None and _OURS not in there:
        raise EdgeError(f"{path} is a unit of another kind: move it away first; nothing was written")
    try:
        replace_file(path, text.encode())
    except OSError as exc:
        raise _refused(path, exc) from exc
    _systemctl(folder, "daemon-reload")
    return True


def uninstall(folder: Path = FOLDER) -> bool:
    """Stop the service and take its unit away; whether there was one. Configuration and state stay.

    Raises:
        EdgeError: it may not be removed, or is another's.
    """
    path = folder / UNIT
    there = _read(path)
    if there is None:
        return False
    if _OURS not in there:
        raise EdgeError(f"{path} is a unit of another kind: it stays")
    if not os.access(folder, os.W_OK):
        raise EdgeError(f"{path}: only root may remove it: run the same command with sudo")
    _systemctl(folder, "disable", "--now", UNIT)
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


def _refused(path: Path, exc: OSError) -> EdgeError:
    fix = "run the same command with sudo" if isinstance(exc, PermissionError) else "is this a system with systemd?"
    return EdgeError(f"{path}: {exc.strerror or exc}; {fix}")


def _systemctl(folder: Path, *words: str) -> None:
    """Tell the systemd that runs here, if one does and the unit is where it looks."""
    if folder != FOLDER or not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgeError(f"systemctl {' '.join(words)}: {done.stderr.strip() or f'status {done.returncode}'}")
