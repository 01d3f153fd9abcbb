"""The agent as a service of this computer: the unit that cards have, for the paths and groups that are here."""

from __future__ import annotations

import grp
import pwd
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple

from wayside.systemd import HOMES, Unit, check_names, check_paths, quoted
from wayside.systemd import has_group as _has_group

UNIT = Unit("wayside-agent.service", "Description=wayside agent")
STATE_DIR = "/var/lib/wayside"  # what StateDirectory=wayside makes
CARD = Path("/opt/wayside/bin/wayside")
GROUPS = ("dialout", "gpio")  # serial ports, GPIO chips; not every system has both


class Service(NamedTuple):
    """What the unit is made for."""

    config: Path  # absolute
    state_dir: Path  # absolute
    command: tuple[str, ...]  # that runs wayside
    user: str = "wayside"
    group: str | None = None  # None: the user's own


def unit_text(service: Service) -> str:
    """The unit.

    Raises:
        UnitError: no such user or group, or a path that a service cannot reach.
    """
    check_names(service.user, service.group, STATE_DIR)
    paths = [str(service.config), str(service.state_dir), service.command[0]]
    check_paths(paths)
    command = " ".join(quoted(word) for word in (*service.command, "agent", "run", str(service.config)))
    groups = " ".join(name for name in GROUPS if _has_group(name))
    lines = []
    for line in package_files("wayside.edge").joinpath(UNIT.name).read_text("utf-8").splitlines():
        key = line.partition("=")[0]
        if key == "ExecStart":
            lines.append(f"ExecStart={command}")
        elif key == "User":
            lines += [f"User={service.user}", *([f"Group={service.group}"] if service.group else [])]
        elif key == "SupplementaryGroups":
            lines += [f"SupplementaryGroups={groups}"] if groups else []
        elif key == "StateDirectory" and str(service.state_dir) != STATE_DIR:
            lines.append(f"ReadWritePaths={quoted(str(service.state_dir))}")
        elif key == "ProtectHome" and any(path.startswith(HOMES) for path in paths):
            lines.append("ProtectHome=read-only")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


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
