"""What a base image has, as far as a card made of it depends on it: looked at first, and nothing is written."""

from __future__ import annotations

import re
from typing import NamedTuple

from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.disk import Ext4
from wayside.firmware_bridge.image.wheels import GLIBC

_AARCH64 = 183  # ELF e_machine
_SSH_UNITS = ("/usr/lib/systemd/system/ssh.service", "/lib/systemd/system/ssh.service")


class Base(NamedTuple):
    python: str  # that the agent will run with, such as "3.11"
    cloud_init: bool
    netplan: bool
    network_manager: bool
    wpa_supplicant: bool
    lgpio: bool  # Debian's own, for every Python 3
    ssh_unit: str | None


def read_base(root: Ext4) -> Base:
    """Raises: ImageError: as :func:`base_python`."""

    def has(*paths: str) -> bool:
        return any(root.inode(path) is not None for path in paths)

    return Base(
        python=base_python(root),
        cloud_init=has("/usr/bin/cloud-init"),
        netplan=has("/usr/sbin/netplan"),
        network_manager=has("/usr/sbin/NetworkManager"),
        wpa_supplicant=has("/usr/sbin/wpa_supplicant", "/sbin/wpa_supplicant"),
        lgpio=has("/usr/lib/python3/dist-packages/lgpio.py"),
        ssh_unit=next((unit for unit in _SSH_UNITS if has(unit)), None),
    )


def base_python(root: Ext4) -> str:
    """The Python that the base will run the agent with, such as ``3.11``: its own, or a supported one beside it.

    Raises:
        ImageError: there is none that is supported, or the base is not for 64-bit ARM.
    """
    link = root.inode("/usr/bin/python3")
    own = re.fullmatch(r"(?:/usr/bin/)?python(3\.\d+)", (link.link or "") if link else "")
    there = [version for version in GLIBC if root.inode(f"/usr/bin/python{version}") is not None]
    if not there:
        if own is None:
            raise ImageError("the base image has no /usr/bin/python3: take Raspberry Pi OS, or Debian with python3")
        raise ImageError(
            f"the base image has Python {own[1]}, for which there are no wheels of the agent; {', '.join(GLIBC)} are "
            "supported: install one of them into the base beside its own (Ubuntu 22.04: python3.11 of universe)"
        )
    python = own[1] if own is not None and own[1] in there else there[0]
    head = (root.read(f"/usr/bin/python{python}") or b"")[:20]
    if head[:4] != b"\x7fELF" or head[4] != 2 or int.from_bytes(head[18:20], "little") != _AARCH64:
        raise ImageError("the base image is not for 64-bit ARM (aarch64): take the 64-bit variant")
    return python
