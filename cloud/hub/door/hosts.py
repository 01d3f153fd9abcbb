"""The hub's door: by which names it may be called, and whom it believes where a request comes from.

A page of anybody can have a name that leads to the hub's address (DNS rebinding), and ask it by the visitor's browser
from inside the city's network. So a hub answers by its own names alone. Addresses are let through: no name can stand
behind one, and nodes are configured by them. What nodes ask needs no names either, since they sign it; a strange name
is told in the log there, and they go on working.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from wayside.cloud.hub import openapi
from wayside.cloud.hub.errors import BadRequestError, ConfigurationError, HubError, MisdirectedError

NODE_PATHS = ("/api/v1/sync", "/api/v1/nonce", "/api/v1/enrol", "/api/v1/commissioning", "/tuf/", "/healthz")
TOLD_AGAIN_S = 3600.0
MAX_TOLD = 100  # names that are remembered as told
_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
_log = logging.getLogger("wayside.hub.door")


class HostNames:
    """The names that a hub goes by."""

    def __init__(self, names: Iterable[str], more: Callable[[], Iterable[str]] = tuple) -> None:
        """Args:
            names: DNS names, ``*.`` before one for all one level below.
            more: further ones, which may change: those of the certificate.

        Raises:
            ConfigurationError: one is no name.
        """
        self._names = frozenset(map(_checked, names))
        self._more = more

    def trusts(self, host: str) -> bool:
        """Args:
        host: as the header says it, with or without a port.
        """
        name = _without_port(host)
        if name is None:
            return False
        if _is_address(name):
            return True
        name = name.removesuffix(".")
        wild = f"*.{name.partition('.')[2]}"
        known = self._names.union(self._more())
        return name in known or wild in known or name == "localhost" or name.endswith(".localhost")


def own_names(host: str) -> set[str]:
    """By what this computer is called, and what it was told to listen on."""
    computer = socket.gethostname().lower()
    names = {computer, computer.partition(".")[0], f"{computer.partition('.')[0]}.local", host.lower()}
    return {name for name in names if _NAME.fullmatch(name) and not _is_address(name)}


class TrustedHosts:
    """ASGI: refuses what is asked of another name."""

    def __init__(self, app: ASGIApp, names: HostNames | None, clock_s: Callable[[], float] = time.monotonic) -> None:
        """``names`` None: by any name."""
        self._app, self._names, self._clock_s = app, names, clock_s
        self._told: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" and self._names is not None else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        await openapi.refusal(refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> HubError | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1:
            return BadRequestError("host", "a request has one Host", "Host")
        if not hosts or self._names is None or self._names.trusts(hosts[0]):  # no browser leaves it out
            return None
        shown = hosts[0][:253].encode("ascii", "backslashreplace").decode()
        lets = scope["path"].startswith(NODE_PATHS)
        self._tell(shown, scope, lets)
        if lets:
            return None
        return MisdirectedError(
            "host", f"this hub is not {shown!r}; if it is, run it with --host-name {shown.partition(':')[0]}", "Host"
        )

    def _tell(self, shown: str, scope: Scope, lets: bool) -> None:
        now = self._clock_s()
        if now - self._told.get(shown, -TOLD_AGAIN_S) < TOLD_AGAIN_S or len(self._told) >= MAX_TOLD:
            return
        self._told[shown] = now
        address = scope["client"][0] if scope.get("client") else "nobody"
        what = "nodes are served by it, people are not" if lets else "refused"
        _log.warning("asked as %r by %s: %s. Is it this hub's name? --host-name says so", shown, address, what)


def proxies(given: Iterable[str]) -> list[str]:
    """Addresses and networks of proxies, also as a socket for both families of addresses sees them.

    Raises:
        ConfigurationError: one is neither.
    """
    made = []
    for text in given:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as exc:
            raise ConfigurationError(
                "behind_proxy", f"--behind-proxy {text!r} is no address or network: {exc}"
            ) from exc
        made.append(text)
        if isinstance(network, ipaddress.IPv4Network):
            mapped = f"::ffff:{network.network_address}"
            made.append(mapped if network.prefixlen == 32 else f"{mapped}/{96 + network.prefixlen}")
    return made


def _checked(name: str) -> str:
    lower = name.lower().removesuffix(".")
    if not _NAME.fullmatch(lower) or len(lower) > 253:
        raise ConfigurationError("host_name", f"--host-name {name[:80]!r} is no host's name")
    return lower


def _without_port(host: str) -> str | None:
    """Lower case; None: it is no host."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", host.lower())
    return None if found is None else found[1].strip("[]")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
