"""Which proxy a request to a hub goes through. One rule for the agent and for every verb (docs/node.md, hub).

- ``hub.proxy`` of a node's file decides alone: an address, or ``none``.
- Else the variables, as Python reads them: ``HTTPS_PROXY`` for an https hub, ``HTTP_PROXY`` for an http one, then
  ``ALL_PROXY``; in small letters first, and an empty one in small letters switches the one in capitals off.
- ``NO_PROXY`` names hosts that are reached directly: ``example.org`` (and all below it), ``10.0.0.0/8``,
  ``host:8443``, ``*``. Names are compared as they are written; no name server is asked.
- This computer itself (localhost, 127.0.0.0/8, ::1) is never asked for through a proxy.

A proxy that cannot be used is never gone around: the requests that would take it fail with a sentence that names the
variable, and nothing else does.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from wayside.contracts.hub_address import NO_PROXY, HubAddress, proxy_rule

_VARIABLES = {"https": ("HTTPS_PROXY", "ALL_PROXY"), "http": ("HTTP_PROXY", "ALL_PROXY")}
_ENTRY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*|[0-9A-Fa-f:.]+(?:/\d+)?)(?::(?P<port>[0-9]{1,5}))?")


class ProxyError(ValueError):
    """A proxy cannot be used; the message names the variable or key, and what to do."""


class Route(NamedTuple):
    """How a hub is reached. ``proxy`` may hold a password: show :attr:`shown`."""

    proxy: str | None = None  # URL; None: directly
    source: str = ""  # the variable or key that says so

    @property
    def shown(self) -> str:
        """``http://proxy:3128 (HTTPS_PROXY)``, without user and password."""
        return f"{_without_password(self.proxy)} ({self.source})" if self.proxy else ""


def route(address: HubAddress, configured: str | None = None, environment: Mapping[str, str] | None = None) -> Route:
    """Args:
        configured: ``hub.proxy`` of the node's file, if it has one.
        environment: of the process, unless another one is given.

    Raises:
        ProxyError: the proxy that ``address`` would be reached through cannot be used.
    """
    env = os.environ if environment is None else environment
    if configured == NO_PROXY:
        return Route(source="hub.proxy")
    if address.is_loopback:
        return Route()
    if configured is not None:
        return Route(proxy_url(configured, "hub.proxy"), "hub.proxy")
    for name in _VARIABLES[address.scheme]:
        source, value = _variable(name, env)
        if value:
            exempt, told = _variable("NO_PROXY", env)
            return Route(source=exempt) if _is_exempt(address, told) else Route(proxy_url(value, source), source)
    return Route()


def mistakes(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """One sentence for each proxy variable that cannot be used as it is, whether or not the hub needs it."""
    env = os.environ if environment is None else environment
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        source, value = _variable(name, env)
        try:
            if value:
                proxy_url(value, source)
        except ProxyError as exc:
            yield str(exc)
    source, told = _variable("NO_PROXY", env)
    yield from (f"{source}: {entry[:64]!r} is no host, no network and no *" for entry in _entries(told) if _bad(entry))


def proxy_url(text: str, source: str) -> str:
    """``text`` as a proxy's URL; ``host:port`` is one that speaks HTTP.

    Raises:
        ProxyError: it is none, or what it needs is not installed.
    """
    shown = _without_password(text)
    if (rule := proxy_rule(text)) is not None:
        raise ProxyError(f"{source}={shown}: {rule}, or unset it")
    scheme, mark, rest = text.rpartition("://")
    scheme = scheme.lower() if mark else "http"
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ProxyError(
            f'{source}={shown} needs the package socksio, which is not installed: pip install "httpx[socks]", '
            "name an http:// proxy, or unset it"
        )
    return f"{scheme}://{rest.rstrip('/')}"


def _variable(name: str, env: Mapping[str, str]) -> tuple[str, str]:
    """The name as it is set, and what it says."""
    small = name.lower()
    return (small, env[small].strip()) if small in env else (name, env.get(name, "").strip())


def _entries(told: str) -> list[str]:
    return [entry for entry in re.split(r"[,\s]+", told) if entry]


def _is_exempt(address: HubAddress, told: str) -> bool:
    return any(_covers(entry, address) for entry in _entries(told) if not _bad(entry))


def _bad(entry: str) -> bool:
    if entry == "*":
        return False
    host, _ = _of_entry(entry)
    if "/" in entry or ":" in host:
        return _network(host) is None
    return not re.fullmatch(r"(\*?\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?", host)


def _covers(entry: str, address: HubAddress) -> bool:
    if entry == "*":
        return True
    host, port = _of_entry(entry)
    if port is not None and port != address.port:
        return False
    network = _network(host)
    if network is not None:
        try:
            return ipaddress.ip_address(address.host) in network
        except ValueError:
            return False  # a name: what it stands for is not looked up
    name = host.removeprefix("*").strip(".").lower()
    return address.host == name or address.host.endswith(f".{name}")


def _of_entry(entry: str) -> tuple[str, int | None]:
    if "/" in entry or (entry.count(":") > 1 and not entry.startswith("[")):
        return entry.strip("[]"), None
    match = _ENTRY.fullmatch(entry)
    if match is None:
        return "", None
    return match["host"].strip("[]"), int(match["port"]) if match["port"] else None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _without_password(text: str) -> str:
    scheme, mark, rest = text.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"[:128]
