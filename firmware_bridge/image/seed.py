"""The cloud-init NoCloud seed of a node: user-data, meta-data, network-config, and the kernel's pointer to them.

Nothing secret is in it: the boot partition is readable on every laptop. A base without cloud-init ignores the seed; the
node does not depend on it, what it needs stands in the root file system.
"""

from __future__ import annotations

import json
import re

NETWORK = """\
# Wired, by DHCP; booting does not wait for it. `--network-config` gives another.
version: 2
ethernets:
  wired:
    match: {name: "e*"}
    dhcp4: true
    optional: true
"""


def hostname(node: str) -> str:
    """A node's name as a host name (RFC 1123): letters, digits, hyphens, at most 63."""
    return re.sub(r"[^a-z0-9]+", "-", node.lower()).strip("-")[:63].rstrip("-") or "node"


def seed_files(node: str, instance: str, network: str | None) -> dict[str, bytes]:
    """Name to content. JSON is YAML, so that no value of ours can break out of its place.

    ``network`` None leaves the network to the base's own defaults.
    """
    host = hostname(node)
    user = {
        "hostname": host,
        "preserve_hostname": False,
        "manage_etc_hosts": "localhost",
        # Not the default user; the technician, if any, is the image's own. An empty list is invalid before 23.1.
        "users": ["root"],
        "ssh_pwauth": False,
        "disable_root": True,
        "package_update": False,
        "package_upgrade": False,
    }
    files = {
        "user-data": "#cloud-config\n" + json.dumps(user, indent=1) + "\n",
        "meta-data": json.dumps({"instance-id": instance, "local-hostname": host}, indent=1) + "\n",
    }
    if network is not None:
        files["network-config"] = network
    return {name: text.encode() for name, text in files.items()}


def pointed_to_seed(cmdline: bytes, instance: str) -> bytes:
    """Raspberry Pi OS's kernel command line with ``ds=nocloud;i=INSTANCE`` once: the seed is read at every boot."""
    words = [word for word in cmdline.decode(errors="surrogateescape").split() if not word.startswith("ds=nocloud")]
    return " ".join([*words, f"ds=nocloud;i={instance}"]).encode(errors="surrogateescape") + b"\n"


def cloud_config(label: str | None) -> bytes:
    """Where another base than Raspberry Pi OS finds the seed: on its FAT partition, or else in its own folder."""
    text = "# The seed is on this card: no network is asked for one.\ndatasource_list: [NoCloud, None]\n"
    if label:
        text += f"datasource:\n  NoCloud:\n    fs_label: {json.dumps(label)}\n"
    return text.encode()
