"""What a node's root file system gets: configuration, trust, wheels, units, and mounts that spare the card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files as package_files
from typing import NamedTuple

from wayside.contracts.node_check import checked_node_config
from wayside.contracts.node_config import NODE_FILE, NodeConfig
from wayside.contracts.wire import ContractError, parsed_toml
from wayside.edge.policies.node_file import mistakes as policies_mistakes
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image import credentials
from wayside.firmware_bridge.image.base import Base
from wayside.firmware_bridge.image.card_files import noted
from wayside.firmware_bridge.image.disk import Entry, Ext4
from wayside.firmware_bridge.image.network import Network
from wayside.firmware_bridge.image.seed import hostname
from wayside.firmware_bridge.image.wheels import WheelSet

STATE_DIR = "/var/lib/wayside"  # the unit's StateDirectory
CA_FILE = "hub-ca.pem"
MAX_MISTAKES = 20  # that are named of one configuration
_UNITS = "/etc/systemd/system"


class Personality(NamedTuple):
    """What makes an image one node's; :func:`personality` checks it."""

    config: NodeConfig
    config_text: str
    root: bytes
    hub_ca: bytes | None = None
    site: str | None = None
    ssh_key: str | None = None
    network: Network | None = None

    @property
    def hub(self) -> str:
        return self.config.hub.url if self.config.hub else ""


def personality(
    config_text: str,
    root: bytes | None,
    *,
    token: str | None = None,
    hub_ca: bytes | None = None,
    site: str | None = None,
    ssh_key: str | None = None,
    network: Network | None = None,
    name: str = "the node's configuration",
) -> Personality:
    """Put token and CA into a node's configuration and check that it can work on a card.

    Args:
        root, hub_ca, ssh_key, network: as :mod:`wayside.firmware_bridge.image.card_files` reads them. ``root`` None:
            what is wrong with it is said elsewhere, and no card is made.
        name: what the configuration is called in messages.

    Raises:
        ImageError: naming everything that is wrong and where to mend it.
    """
    wrong: list[str] = []
    config = None
    with noted(wrong):
        config_text, config = node_file(config_text, name, token=token, ca=hub_ca is not None)
    if site is not None and (len(site) > 64 or not site.isprintable()):
        wrong.append("the site's name has more than 64 characters, or one that cannot be printed")
    if wrong or config is None:
        raise ImageError("; ".join(wrong))
    return Personality(config, config_text, root or b"", hub_ca, site, ssh_key, network)


def node_file(text: str, name: str, *, token: str | None = None, ca: bool = False) -> tuple[str, NodeConfig]:
    """The node's file with its enrolment in it, and what it says.

    Raises:
        ImageError: naming everything in it that cannot work on a card.
    """
    text = text.removeprefix("\ufeff")
    if token is not None:
        text = with_hub_key(text, "token", credentials.checked_token(token.strip()), name)
    if ca:
        text = with_hub_key(text, "ca", CA_FILE, name)
    try:
        config = checked_node_config(text, also=policies_mistakes).config
    except ContractError as exc:
        lines = [f"{field}: {rule}" if field != "$" else rule for field, rule in exc.mistakes[:MAX_MISTAKES]]
        raise ImageError(f"{name}: {'; '.join(lines)}") from exc
    wrong = []
    if config.hub is None:
        wrong.append("there is no [hub]: the node would never report; add hub.url")
    elif config.hub.token is None:
        wrong.append("there is no enrolment token: --token-file gives one, `wayside hub token` makes one")
    elif config.hub.ca is not None and not ca:
        wrong.append("hub.ca names a file that is not on the card: give it with --hub-ca")
    if config.state_dir != STATE_DIR:
        wrong.append(f'state_dir is "{config.state_dir}"; on a card it is "{STATE_DIR}", where the unit may write')
    if "/" in config.model.tuf_root or config.model.tuf_root in ("", ".", ".."):
        wrong.append('model.tuf_root is a plain file name beside node.toml, such as "root.json"')
    elif config.model.tuf_root in ("node.toml", "image.json", CA_FILE, "technician.pub"):
        wrong.append(f'model.tuf_root is "{config.model.tuf_root}", which is another file\'s name: write "root.json"')
    if wrong:
        raise ImageError(f"{name}: {'; '.join(wrong)}")
    return text, config


def with_hub_key(text: str, key: str, value: str, name: str) -> str:
    """``text`` with ``key = value`` in its [hub] table, comments and all else untouched."""
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    table = re.search(r"^[ \t]*\[[ \t]*hub[ \t]*\][^\n]*\n?", text, re.MULTILINE)
    if table is None:
        raise ImageError(f"{name}: there is no [hub] table to put the enrolment into; is it a node's file?")
    following = re.search(r"^[ \t]*\[", text[table.end() :], re.MULTILINE)
    end = table.end() + following.start() if following else len(text)
    inside = re.sub(rf"^[ \t]*{key}[ \t]*=.*\n?", "", text[table.end() : end], flags=re.MULTILINE)
    head = text[: table.end()]
    made = f"{head}{'' if head.endswith(chr(10)) else chr(10)}{line}\n{inside}{text[end:]}"
    try:
        hub = parsed_toml(made).get("hub", {})
    except ContractError as exc:
        raise ImageError(f"{name}: {exc.rule}") from exc
    if not isinstance(hub, dict) or hub.get(key) != value:
        raise ImageError(f"{name}: hub.{key} could not be put into it: write [hub] as a plain table")
    return made


def root_entries(who: Personality, wheels: WheelSet, root: Ext4, base: Base, instance: str) -> list[Entry]:
    """Everything for the root file system, given what the base already has."""
    return [
        *_config(who, instance),
        *_agent(wheels),
        *_system(who, root),
        *(_technician(who.ssh_key, base.ssh_unit) if who.ssh_key and base.ssh_unit else ()),
    ]


def _part(name: str) -> bytes:
    return (package_files("wayside.firmware_bridge") / "first_boot" / name).read_bytes()


def _config(who: Personality, instance: str) -> Iterator[Entry]:
    # Readable by root alone: it holds the token. The first boot creates the agent's user and hands the file over.
    yield Entry(NODE_FILE, who.config_text.encode(), mode=0o600)
    yield Entry(f"/etc/wayside/{who.config.model.tuf_root}", who.root)
    if who.hub_ca is not None:
        yield Entry(f"/etc/wayside/{CA_FILE}", who.hub_ca)
    made = {"node": who.config.node, "site": who.site, "instance": instance}
    yield Entry("/etc/wayside/image.json", json.dumps(made).encode() + b"\n")


def _agent(wheels: WheelSet) -> Iterator[Entry]:
    folder = "/opt/wayside-wheels"
    for path in wheels.files:
        yield Entry(f"{folder}/{path.name}", source=path)
    yield Entry(f"{folder}/requirements.txt", wheels.requirements)
    yield Entry(f"{folder}/pip.sha256", wheels.pip_checksum)
    yield Entry(f"{folder}/python", f"python{wheels.manifest.python}\n".encode())
    yield Entry(f"{folder}/id", wheels.id.encode() + b"\n")
    yield Entry(f"{folder}/installed-kilobytes", f"{wheels.installed_kilobytes}\n".encode())
    yield Entry("/usr/local/sbin/wayside-first-boot", _part("wayside-first-boot"), mode=0o755)
    yield Entry("/usr/local/bin/wayside", link="/opt/wayside/bin/wayside")  # there once the first boot has installed it
    # The unit of the version that will run, not of the version that writes the card.
    units = {"wayside-agent": wheels.agent_unit, "wayside-first-boot": _part("wayside-first-boot.service")}
    for name, unit in units.items():
        yield Entry(f"{_UNITS}/{name}.service", unit)
        yield Entry(f"{_UNITS}/multi-user.target.wants/{name}.service", link=f"{_UNITS}/{name}.service")


def _system(who: Personality, root: Ext4) -> Iterator[Entry]:
    host = hostname(who.config.node)
    yield Entry("/etc/hostname", f"{host}\n".encode())
    hosts = (root.read("/etc/hosts") or b"127.0.0.1\tlocalhost\n").decode(errors="surrogateescape")
    kept = [line for line in hosts.splitlines() if not re.match(r"127\.0\.1\.1\s", line)]
    yield Entry("/etc/hosts", _text([*kept, f"127.0.1.1\t{host}"]))
    yield Entry("/etc/machine-id", b"")  # made at the first boot: two cards are never one machine
    if (old := root.inode("/var/lib/dbus/machine-id")) is not None and old.kind == "regular":
        yield Entry("/var/lib/dbus/machine-id", link="/etc/machine-id")  # else systemd would take that one
    yield Entry("/etc/fstab", sparing_fstab(root.read("/etc/fstab") or b""))
    yield Entry("/etc/systemd/journald.conf.d/50-wayside.conf", _part("journald.conf"))
    users = _part("sysusers.conf")
    if who.ssh_key:
        users += b'u technician - "field technician" /home/technician /bin/bash\n'
        users += b"".join(b"m technician %s\n" % group for group in (b"dialout", b"gpio", b"wayside"))
    yield Entry("/etc/sysusers.d/wayside.conf", users)
    yield Entry("/etc/udev/rules.d/60-wayside.rules", _part("udev.rules"))
    if root.inode("/usr/lib/systemd/system/userconfig.service"):
        # Raspberry Pi OS would ask on the console for a user to create.
        yield Entry(f"{_UNITS}/userconfig.service", link="/dev/null")


def _technician(key: str, ssh_unit: str) -> Iterator[Entry]:
    yield Entry("/etc/wayside/technician.pub", f"{key}\n".encode())
    yield Entry("/etc/ssh/sshd_config.d/10-wayside.conf", _part("sshd.conf"))
    yield Entry("/etc/sudoers.d/wayside", b"technician ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    yield Entry(f"{_UNITS}/multi-user.target.wants/ssh.service", link=ssh_unit)


def sparing_fstab(fstab: bytes) -> bytes:
    """No access times, and ``/tmp`` in memory; lines of the base are kept otherwise."""
    lines, tmp = [], False
    for line in fstab.decode(errors="surrogateescape").splitlines():
        fields = line.split()
        if len(fields) >= 4 and not line.lstrip().startswith("#"):
            tmp |= fields[1] == "/tmp"  # noqa: S108 -- a mount point
            if fields[2].startswith("ext") and "noatime" not in fields[3].split(","):
                fields[3] = ",".join([o for o in fields[3].split(",") if o != "relatime"] + ["noatime"])
                lines.append("\t".join(fields))
                continue
        lines.append(line)
    if not tmp:
        lines.append("tmpfs\t/tmp\ttmpfs\tnosuid,nodev,mode=1777,size=64m\t0\t0")
    return _text(lines)


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
