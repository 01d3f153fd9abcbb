"""The hub as a service of systemd: ``wayside-hub.service`` for the paths and the user that are here."""

from __future__ import annotations

import pwd
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple

from wayside.systemd import HOMES, Unit, check_names, check_paths, quoted

UNIT = Unit("wayside-hub.service", "Description=wayside hub")
DATA = "/var/lib/wayside-hub"  # what StateDirectory=wayside-hub makes
PRIVILEGED = 1024  # ports below are root's, or of who has CAP_NET_BIND_SERVICE


class Service(NamedTuple):
    """What the unit is made for."""

    data: Path  # absolute
    command: tuple[str, ...]  # that runs wayside
    options: tuple[str, ...] = ()  # of ``wayside hub run``, beside --data
    port: int = 8000
    user: str = "wayside-hub"


def unit_text(service: Service) -> str:
    """The unit.

    Raises:
        UnitError: no such user, or a path that a service cannot reach.
    """
    check_names(service.user, None, DATA)
    absolute = [option for option in service.options if option.startswith("/")]
    paths = [str(service.data), service.command[0], *absolute]
    check_paths(paths)
    words = (*service.command, "hub", "run", "--data", str(service.data), *service.options)
    lines = []
    for line in package_files("wayside.cloud.hub").joinpath(UNIT.name).read_text("utf-8").splitlines():
        key = line.partition("=")[0]
        if key == "ExecStart":
            lines.append(f"ExecStart={' '.join(map(quoted, words))}")
        elif key == "User":
            lines.append(f"User={service.user}")
        elif key == "StateDirectory" and str(service.data) != DATA:
            lines.append(f"ReadWritePaths={quoted(str(service.data))}")
        elif key == "StateDirectoryMode" and str(service.data) != DATA:
            continue
        elif key == "CapabilityBoundingSet" and 0 < service.port < PRIVILEGED:
            lines += [f"{name}=CAP_NET_BIND_SERVICE" for name in ("CapabilityBoundingSet", "AmbientCapabilities")]
        elif key == "ProtectHome" and any(path.startswith(HOMES) for path in paths):
            lines.append("ProtectHome=read-only")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def doubts(service: Service) -> list[str]:
    """What stands in the hub's way, with what to type."""
    user = f"sudo -u {service.user}"
    if not service.data.is_dir():
        made = f"`sudo install -d -m 700 -o {service.user} {service.data}`, then "
        return [f"there is no hub in {service.data} yet: {made}`{user} wayside hub init --data {service.data}`"]
    if (owner := service.data.stat().st_uid) != pwd.getpwnam(service.user).pw_uid:
        return [f"{service.data} is uid {owner}'s: `sudo chown -R {service.user}: {service.data}`"]
    return []
