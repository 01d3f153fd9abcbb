"""What a node's root file system gets: configuration, trust, wheels, units, and mounts that spare the card."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from importlib.resources import files as package_files
from pathlib import Path
from typing import NamedTuple, get_args

from wayside.contracts.node_check import checked_node_config
from wayside.contracts.node_config import NodeConfig, Runtime
from wayside.contracts.wire import ContractError, parsed_toml
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.disk import Entry, Ext4
from wayside.firmware_bridge.image.seed import hostname
from wayside.firmware_bridge.image.wheels import GLIBC, WheelSet
from wayside.text import TextError, decode_unicode

STATE_DIR = "/var/lib/wayside"  # the unit's StateDirectory
CONFIG = "/etc/wayside/node.toml"
CA_FILE = "hub-ca.pem"
MAX_MISTAKES = 20  # that are named of one configuration
_UNITS = "/etc/systemd/system"
_SSH_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-\S+|sk-\S+@openssh\.com) [A-Za-z0-9+/=]{40,}( [^\n]*)?")
_AARCH64 = 183  # ELF e_machine


class Personality(NamedTuple):
    """What makes an image one node's; :func:`personality` checks it."""

    config: NodeConfig
    config_text: str
    root: bytes
    hub_ca: bytes | None = None
    site: str | None = None
    ssh_key: str | None = None
    network: str | None = None

    @property
    def hub(self) -> str:
        return self.config.hub.url if self.config.hub else ""


def personality(
    config_text: str,
    root: bytes,
    *,
    token: str | None = None,
    hub_ca: bytes | None = None,
    site: str | None = None,
    ssh_key: str | None = None,
    network: str | None = None,
) -> Personality:
    """Put token and CA into a node's configuration and check all that is to go onto its card.

    Raises:
        ImageError: naming what is wrong and where to mend it.
    """
    text = config_text.removeprefix("\ufeff")
    if token is not None:
        text = with_hub_key(text, "token", token.strip())
    if hub_ca is not None:
        _check_authority(hub_ca)
        text = with_hub_key(text, "ca", CA_FILE)
    try:
        config = checked_node_config(text).config
    except ContractError as exc:
        listed = "; ".join(f"{field}: {rule}" for field, rule in exc.mistakes[:MAX_MISTAKES])
        raise ImageError(f"the node's configuration: {listed}") from exc
    if config.hub is None:
        raise ImageError("the node's configuration has no [hub]: the node would never report; add hub.url")
    if config.hub.token is None:
        raise ImageError("there is no enrolment token: --token-file gives one, `wayside hub token` makes one")
    if config.state_dir != STATE_DIR:
        raise ImageError(f'state_dir is "{config.state_dir}"; on a card it is "{STATE_DIR}", where the unit may write')
    if "/" in config.model.tuf_root or config.model.tuf_root in ("", ".", ".."):
        raise ImageError('model.tuf_root is a plain file name beside node.toml, such as "root.json"')
    try:
        signed = json.loads(root)["signed"]["_type"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ImageError("the trust root is no TUF root.json; `wayside release init` makes one") from exc
    if signed != "root":
        raise ImageError(f"the trust root is TUF {signed!r} metadata, not root")
    if site is not None and (len(site) > 64 or not site.isprintable()):
        raise ImageError("the site's name has more than 64 characters, or one that cannot be printed")
    if ssh_key is not None and not _SSH_KEY.fullmatch(ssh_key.strip()):
        raise ImageError("the SSH key is not one public key in OpenSSH's form (ssh-ed25519 AAAA… name)")
    return Personality(config, text, root, hub_ca, site, ssh_key.strip() if ssh_key else None, network)


def _check_authority(pem: bytes) -> None:
    if b"PRIVATE KEY-----" in pem:
        raise ImageError("the hub's CA file holds a private key, which no node may have: give the certificate alone")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as exc:
        raise ImageError(f"the hub's CA is no PEM certificate: {exc}") from exc


def with_hub_key(text: str, key: str, value: str) -> str:
    """``text`` with ``key = value`` in its [hub] table, comments and all else untouched."""
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    table = re.search(r"^[ \t]*\[[ \t]*hub[ \t]*\][^\n]*\n?", text, re.MULTILINE)
    if table is None:
        raise ImageError("the node's configuration has no [hub] table to put the enrolment into")
    following = re.search(r"^[ \t]*\[", text[table.end() :], re.MULTILINE)
    end = table.end() + following.start() if following else len(text)
    inside = re.sub(rf"^[ \t]*{key}[ \t]*=.*\n?", "", text[table.end() : end], flags=re.MULTILINE)
    head = text[: table.end()]
    made = f"{head}{'' if head.endswith(chr(10)) else chr(10)}{line}\n{inside}{text[end:]}"
    try:
        hub = parsed_toml(made).get("hub", {})
    except ContractError as exc:
        raise ImageError(f"the node's configuration: {exc}") from exc
    if not isinstance(hub, dict) or hub.get(key) != value:
        raise ImageError(f"hub.{key} could not be put into the node's configuration: write [hub] as a plain table")
    return made


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


def root_entries(who: Personality, wheels: WheelSet, root: Ext4, instance: str) -> list[Entry]:
    """Everything for the root file system, given what the base already has.

    Raises:
        ImageError: what the configuration asks for is not among the wheels or in the base.
    """
    runtime = who.config.model.runtime
    if not any(wheel.startswith(f"{runtime.replace('-', '_')}-") for wheel in wheels.manifest.files):
        raise ImageError(
            f"model.runtime is {runtime}, and the wheels for Python {wheels.manifest.python} have none of it: "
            f"write {' or '.join(_runtimes(wheels)) or 'one that they have'}, or take a base with another Python"
        )
    return [
        *_config(who, instance),
        *_agent(wheels),
        *_system(who, root),
        *(_technician(who.ssh_key, root) if who.ssh_key else ()),
    ]


def _runtimes(wheels: WheelSet) -> list[str]:
    projects = {wheel.split("-")[0].replace("_", "-") for wheel in wheels.manifest.files}
    return [runtime for runtime in get_args(Runtime) if runtime in projects]


def _part(name: str) -> bytes:
    return (package_files("wayside.firmware_bridge") / "first_boot" / name).read_bytes()


def _config(who: Personality, instance: str) -> Iterator[Entry]:
    # Readable by root alone: it holds the token. The first boot creates the agent's user and hands the file over.
    yield Entry(CONFIG, who.config_text.encode(), mode=0o600)
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


def _technician(key: str, root: Ext4) -> Iterator[Entry]:
    unit = next(
        (u for u in ("/usr/lib/systemd/system/ssh.service", "/lib/systemd/system/ssh.service") if root.inode(u)), None
    )
    if unit is None:
        raise ImageError("--ssh-key: the base image has no OpenSSH server")
    yield Entry("/etc/wayside/technician.pub", f"{key}\n".encode())
    yield Entry("/etc/ssh/sshd_config.d/10-wayside.conf", _part("sshd.conf"))
    yield Entry("/etc/sudoers.d/wayside", b"technician ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    yield Entry(f"{_UNITS}/multi-user.target.wants/ssh.service", link=unit)


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


def read_named(path: Path, what: str, limit: int = 1 << 20) -> bytes:
    """A small file that a person named; ``what`` is the option, or what the file is.

    Raises:
        ImageError: unreadable, or far too large to be it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as exc:
        raise ImageError(f"{what}: cannot read {path}: {exc.strerror}; name the right file") from exc
    if len(data) > limit:
        raise ImageError(f"{what}: {path} is larger than {limit} bytes; is it the right file?")
    return data


def read_named_text(path: Path, what: str, limit: int = 1 << 20) -> str:
    """The same, of text in UTF-8, or in UTF-16 with its mark.

    Raises:
        ImageError: as :func:`read_named`, or it is no such text.
    """
    try:
        return decode_unicode(read_named(path, what, limit))
    except TextError as exc:
        raise ImageError(f"{what}: {path}: {exc}") from exc
