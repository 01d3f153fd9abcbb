"""A card's ``network-config``: netplan's YAML as cloud-init's NoCloud seed takes it, read before a card is made of it.

What a node could not use is refused with its line or key. What no reader here knows is kept, and said.
Sources: cloud-init's network-config version 1 and 2, netplan-yaml(5).

Longer than the house's files: both versions are one grammar of the same interfaces, addresses and routes.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import yaml

from wayside.firmware_bridge.errors import ImageError
from wayside.text import decode

MAX_BYTES = 65_536
MAX_NODES, MAX_DEPTH = 10_000, 32  # of a document with its aliases written out
_OTHER_FORMATS = (
    (r"^\s*network\s*=\s*\{", "a wpa_supplicant.conf"),
    (r"^\s*(ctrl_interface|update_config|country)\s*=", "a wpa_supplicant.conf"),
    (r"^\s*\[(connection|ipv4|ipv6|wifi|Match|Network)\]\s*$", "a file of NetworkManager or systemd-networkd"),
    (r"^\s*(auto|allow-hotplug|iface)\s+\S+", "an /etc/network/interfaces"),
    (r"^\s*#cloud-config\b", "cloud-init's user-data"),
)
EXAMPLE = (
    'wifis: {wlan0: {dhcp4: true, access-points: {"the network": {password: "its password"}}}} '
    "below `version: 2` (docs/images.md)"
)


class Network(NamedTuple):
    """``text`` is what the card gets; ``hints`` what a person should hear; the rest is for who makes many cards."""

    text: str
    hints: tuple[str, ...]
    wifi: bool  # needs wpa_supplicant on the node
    fixed: tuple[str, ...]  # addresses that a second card would have, too
    renderer: str | None


def read_network(data: bytes) -> Network:
    """Read and check the file of ``--network-config``.

    Raises:
        TextError: it is no text.
        ImageError: naming every mistake by line or key.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(f"has more than {MAX_BYTES >> 10} KiB; is it the right file?")
    decoded = decode(data)
    hints = ["read as Windows-1252; save it as UTF-8 to be sure"] if decoded.guessed else []
    text = re.sub(r"\r\n?", "\n", decoded.text)
    given = _loaded(text)
    if set(given) == {"network"} and isinstance(given["network"], dict):
        # As netplan's own files: cloud-init's older readers want what is inside.
        given = given["network"]
        text = json.dumps(given, indent=1, ensure_ascii=False) + "\n"
        hints.append("the key `network` around it was taken off, as the seed of a card has it")
    version = given.get("version")
    if version not in (1, 2) or isinstance(version, bool):
        what = "misses its version" if version is None else f"has the version {repr(version)[:40]}"
        raise ImageError(f"the file {what}: write `version: 2` in its first line")
    judged = _Judged()
    (_version_1 if version == 1 else _version_2)(given, judged)
    if not judged.wrong and not judged.addressed:
        judged.wrong.append("no interface gets an address, the node would stay off line: write `dhcp4: true`")
    if judged.wrong:
        raise ImageError("; ".join(judged.wrong))
    return Network(text, (*hints, *judged.hints), judged.wifi, tuple(judged.fixed), given.get("renderer"))


# --- YAML ---------------------------------------------------------------------------------------------


def _loaded(text: str) -> dict[Any, Any]:
    if not text.strip():
        raise ImageError(f"the file is empty: leave the option out for wired DHCP, or write {EXAMPLE}")
    for pattern, name in _OTHER_FORMATS:
        if re.search(pattern, text, re.MULTILINE):
            raise ImageError(f"that is {name}, a card takes netplan's YAML: write {EXAMPLE}")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            _bounded(node)
            given = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as exc:
        at = exc.problem_mark or exc.context_mark
        place = f"line {at.line + 1}: " if at is not None else ""
        what = exc.problem or exc.context or "cannot be read"
        if at is not None and "\t" in _line(text, at.line):
            what = "a tab; YAML is indented with spaces"
        raise ImageError(f"{place}no YAML: {what}") from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise ImageError(f"line {line}: no YAML: the character {exc.character:#x}") from exc
    except (yaml.YAMLError, ValueError, OverflowError) as exc:  # ValueError: 2024-13-45, which looks like a date
        raise ImageError(f"no YAML: {exc}") from exc
    except RecursionError as exc:
        raise ImageError("no YAML that can be read: it is nested too deep") from exc
    if not isinstance(given, dict):
        kind = {list: "a list", type(None): "only comments", str: "one piece of text"}.get(type(given), "one value")
        raise ImageError(f"the file is {kind}, not keys with values: write {EXAMPLE}")
    return given


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""


def _bounded(root: yaml.Node | None) -> None:
    """Refuse keys that stand twice (PyYAML takes the last), and aliases that never end or multiply.

    Raises:
        ImageError: naming the line.
    """
    sizes: dict[int, int] = {}  # of a node with its aliases written out
    above: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        line = node.start_mark.line + 1
        if id(node) in above:
            raise ImageError(f"line {line}: an alias that holds itself")
        if depth > MAX_DEPTH:
            raise ImageError(f"line {line}: nested deeper than {MAX_DEPTH}")
        if isinstance(node, yaml.ScalarNode) and any("\ud800" <= c <= "\udfff" for c in node.value):
            raise ImageError(f"line {line}: half a character (\\uD800): write the character itself")
        if id(node) not in sizes:
            above.add(id(node))
            children = []
            if isinstance(node, yaml.MappingNode):
                _refuse_twins(node)
                children = [each for pair in node.value for each in pair]
            elif isinstance(node, yaml.SequenceNode):
                children = node.value
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in children)
            above.discard(id(node))
        if sizes[id(node)] > MAX_NODES:
            raise ImageError(f"line {line}: aliases that unfold to more than {MAX_NODES} values")
        return sizes[id(node)]

    if root is not None:
        size(root, 0)


def _refuse_twins(node: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ImageError(f"line {line}: a key is a word, not a list or a table")
        if key.value in seen:
            raise ImageError(f"line {line}: {key.value!r} stands in line {seen[key.value]} already")
        seen[key.value] = line


# --- what the keys mean -------------------------------------------------------------------------------


class _Judged:
    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.hints: list[str] = []
        self.fixed: list[str] = []
        self.wifi = self.addressed = False


_T = TypeVar("_T", bound=msgspec.Struct)
Switch = bool
Names = tuple[str, ...]


class _Nameservers(msgspec.Struct, rename="kebab"):
    addresses: Names = ()
    search: Names = ()


class _Route(msgspec.Struct, rename="kebab"):
    to: str | None = None
    via: str | None = None
    metric: int | None = None
    on_link: Switch = False
    scope: str | None = None
    type: str | None = None
    table: int | None = None
    mtu: int | None = None


class _Match(msgspec.Struct, rename="kebab"):
    name: str | None = None
    macaddress: str | None = None
    driver: str | Names | None = None


class _Interface(msgspec.Struct, rename="kebab"):
    """Netplan's keys that every kind of interface has; what else stands there is for netplan to judge."""

    dhcp4: Switch = False
    dhcp6: Switch = False
    addresses: tuple[str | dict[str, Any], ...] = ()
    gateway4: str | None = None
    gateway6: str | None = None
    nameservers: _Nameservers | None = None
    routes: tuple[_Route, ...] = ()
    match: _Match | None = None
    set_name: str | None = None
    optional: Switch = False
    optional_addresses: Names = ()
    mtu: Annotated[int, msgspec.Meta(ge=68, le=65_536)] | None = None
    macaddress: str | None = None
    wakeonlan: Switch = False
    accept_ra: Switch = False
    link_local: Names = ()
    critical: Switch = False
    dhcp_identifier: str | None = None
    dhcp4_overrides: dict[str, Any] | None = None
    dhcp6_overrides: dict[str, Any] | None = None
    renderer: Literal["networkd", "NetworkManager"] | None = None


class _AccessPoint(msgspec.Struct, rename="kebab"):
    password: str | None = None
    mode: Literal["infrastructure", "ap", "adhoc"] = "infrastructure"
    hidden: Switch = False
    band: Literal["2.4GHz", "5GHz"] | None = None
    channel: int | None = None
    bssid: str | None = None
    auth: dict[str, Any] | None = None


_ACCESS = "access-points"
_OWN_KEYS = {  # of one kind of interface, beside _Interface's
    "ethernets": {"auth", "link", "virtual-function-count"},
    "wifis": {_ACCESS, "regulatory-domain", "wakeonwlan"},
    "bonds": {"interfaces", "parameters"},
    "bridges": {"interfaces", "parameters"},
    "vlans": {"id", "link"},
    "modems": {"apn", "auto-config", "device-id", "network-id", "number", "password", "pin", "sim-id", "username"},
    "tunnels": {"mode", "local", "remote", "key", "keys", "peers", "port", "ttl", "mark"},
    "dummy-devices": set(),
    "vrfs": {"interfaces", "table"},
}
_TOP = {"version", "renderer", *_OWN_KEYS}


def _version_2(given: dict[Any, Any], judged: _Judged) -> None:
    if given.get("renderer") not in (None, "networkd", "NetworkManager"):
        judged.wrong.append(f"renderer: {given['renderer']!r} is neither networkd nor NetworkManager")
    judged.hints += [
        f"{key}: a key that is not known here; it goes onto the card as it is" for key in given if key not in _TOP
    ]
    interfaces = [
        (kind, name, table)
        for kind in _OWN_KEYS
        if kind in given
        for name, table in _interfaces(kind, given[kind], judged)
    ]
    if not interfaces and not judged.wrong:
        judged.wrong.append(f"it names no interface: write {EXAMPLE}")
    members = {each for _, _, t in interfaces for each in t.get("interfaces") or () if isinstance(each, str)}
    members |= {t["link"] for kind, _, t in interfaces if kind == "vlans" and isinstance(t.get("link"), str)}
    for kind, name, table in interfaces:
        _interface(kind, name, table, judged, member=name in members)


def _interfaces(kind: str, given: Any, judged: _Judged) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(given, dict):
        judged.wrong.append(
            f"{kind}: is {_kind(given)}, not interfaces by name, such as `wlan0:` with its keys below it"
        )
        return
    for name, table in given.items():
        if not isinstance(name, str):
            judged.wrong.append(f"{kind}.{name}: an interface's name is text: put it in quotes")
        elif not isinstance(table, dict):
            judged.wrong.append(f"{kind}.{name}: is {_kind(table)}, not keys with values, such as `dhcp4: true`")
        else:
            yield name, table


def _interface(kind: str, name: str, table: dict[str, Any], judged: _Judged, *, member: bool) -> None:
    place = f"{kind}.{name}"
    known = {field.encode_name for field in msgspec.structs.fields(_Interface)} | _OWN_KEYS[kind]
    for key in table:
        if key not in known:
            judged.hints.append(f"{place}.{key}: a key that is not known here; it goes onto the card as it is")
    if kind == "wifis":
        judged.wifi = True
        _access_points(place, table.get(_ACCESS), judged)
    elif _ACCESS in table:
        judged.wrong.append(f"{place}.{_ACCESS}: an interface with access points stands under `wifis:`")
    if (it := _as(_Interface, table, place, judged)) is None:
        return
    judged.wrong += _addresses(place, it, judged)
    if it.dhcp4 or it.dhcp6 or it.addresses or it.accept_ra or kind in ("modems", "tunnels"):
        judged.addressed = True
    elif not member:
        judged.hints.append(f"{place}: gets no address; dhcp4, dhcp6 or addresses gives it one")


def _access_points(place: str, given: Any, judged: _Judged) -> None:
    shape = f'write {_ACCESS}: {{"the network": {{password: "its password"}}}}'
    if not isinstance(given, dict) or not given:
        what = "has none" if given in (None, {}) else f"is {_kind(given)}, not networks by name"
        judged.wrong.append(f"{place}.{_ACCESS}: {what}: {shape}")
        return
    for ssid, table in given.items():
        where = f"{place}.{_ACCESS}.{ssid}"
        if not isinstance(ssid, str):
            judged.wrong.append(f"{where}: YAML reads that name as {_kind(ssid)}: put it in quotes")
        elif not 1 <= len(ssid.encode()) <= 32:
            judged.wrong.append(f"{where}: a network's name has 1 to 32 bytes, this one has {len(ssid.encode())}")
        if table is None:
            table = {}  # noqa: PLW2901 -- an open network: `"name":` with nothing behind it
        if not isinstance(table, dict):
            judged.wrong.append(f"{where}: is {_kind(table)}, not keys with values: {shape}")
            continue
        for key in table:
            if key not in {field.encode_name for field in msgspec.structs.fields(_AccessPoint)}:
                judged.hints.append(f"{where}.{key}: a key that is not known here; it goes onto the card as it is")
        if "password" in table and not isinstance(table["password"], str):
            judged.wrong.append(f"{where}.password: YAML reads it as {_kind(table['password'])}: put it in quotes")
            continue
        point = _as(_AccessPoint, table, where, judged)
        if point is None or point.password is None or point.auth is not None:
            continue
        if not 8 <= len(point.password) <= 63 and not re.fullmatch(r"[0-9A-Fa-f]{64}", point.password):
            judged.wrong.append(
                f"{where}.password: has {len(point.password)} characters; WPA takes 8 to 63, or 64 hexadecimal digits"
            )


def _addresses(place: str, it: _Interface, judged: _Judged) -> Iterator[str]:
    for given in it.addresses:
        names = list(given) if isinstance(given, dict) else [given]
        for text in names:
            try:
                address = ipaddress.ip_interface(text)
            except ValueError:
                yield f"{place}.addresses: {text!r} is no IP address with its prefix, such as 192.0.2.10/24"
                continue
            if "/" not in str(text):
                yield f"{place}.addresses: {text} misses its prefix, such as {text}/24"
            else:
                judged.fixed.append(str(address))
    single = {"gateway4": it.gateway4, "gateway6": it.gateway6}
    servers = it.nameservers.addresses if it.nameservers else ()
    via = [route.via for route in it.routes]
    for key, value in [*single.items(), *(("nameservers", s) for s in servers), *(("routes.via", v) for v in via)]:
        if value is not None and not _is(ipaddress.ip_address, value):
            yield f"{place}.{key}: {value!r} is no IP address"
    for route in it.routes:
        if route.to is None:
            yield f"{place}.routes: a route misses `to`: a network, or `default`"
        elif route.to != "default" and not _is(lambda to: ipaddress.ip_network(to, strict=False), route.to):
            yield f"{place}.routes.to: {route.to!r} is no network, such as 192.0.2.0/24 or `default`"


def _is(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _as(shape: type[_T], table: dict[str, Any], place: str, judged: _Judged) -> _T | None:
    try:
        return msgspec.convert(table, shape)
    except msgspec.ValidationError as exc:
        what, _, at = str(exc).partition(" - at `$")
        judged.wrong.append(f"{place}{at.rstrip('`')}: {what[:1].lower()}{what[1:]}")
        return None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return f"the switch {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return {list: "a list", dict: "a table", type(None): "empty"}.get(type(value), f"a {type(value).__name__}")


def _version_1(given: dict[Any, Any], judged: _Judged) -> None:
    """cloud-init's own older form: a list of devices, each with its subnets."""
    devices = given.get("config")
    if not isinstance(devices, list) or not all(isinstance(device, dict) for device in devices):
        judged.wrong.append("config: version 1 is a list of devices; write version 2 if you may choose")
        return
    for number, device in enumerate(devices):
        place = f"config[{number}]"
        if not isinstance(device.get("type"), str):
            judged.wrong.append(f"{place}: misses its type, such as `type: physical`")
        elif device["type"] not in ("nameserver", "route") and not isinstance(device.get("name"), str):
            judged.wrong.append(f"{place}: misses its name, such as `name: eth0`")
        for subnet in device.get("subnets") or ():
            kind = subnet.get("type") if isinstance(subnet, dict) else None
            if not isinstance(kind, str):
                judged.wrong.append(f"{place}.subnets: each has a type, such as `type: dhcp4`")
                continue
            judged.addressed |= kind != "manual"
            if kind in ("static", "static6"):
                address = str(subnet.get("address"))
                if not _is(ipaddress.ip_interface, address):
                    judged.wrong.append(f"{place}.subnets: {address!r} is no IP address")
                judged.fixed.append(address)
