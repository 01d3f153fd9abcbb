"""Where a hub is: ``https://NAME[:PORT][/PATH]``, read once, by the one reader whose result every client is made of.

Whatever passes here can be dialled: the host is spelled as DNS or an address literal spells it, the port fits into 16
bits, the path needs no quoting. A name may still stand for nobody; that is the network's to say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple

from wayside.contracts.wire import ContractError

DEFAULT_PORT = {"http": 80, "https": 443}
MAX_LENGTH = 1024
_PARTS = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL)
_PORT = re.compile(r"(?P<host>.*?)(?::(?P<port>[^:\]]*))?", re.DOTALL)
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_PROXY = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:[^@/?#\s]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
NO_PROXY = "none"  # hub.proxy: reached directly
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")


class HubAddress(NamedTuple):
    """``host`` of an IPv6 address has no brackets; ``path`` has no slash at its end."""

    scheme: str  # http or https
    host: str
    port: int
    path: str = ""

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORT[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def hub_address(text: str, field: str = "hub.url") -> HubAddress:
    """The address that ``text`` spells.

    Raises:
        ContractError: naming ``field`` and every rule that it breaks.
    """
    if rules := list(_mistakes(text)):
        raise ContractError(field, rules[0], [(field, rule) for rule in rules[1:]])
    parts, host, port = _split(text)
    scheme = parts["scheme"]
    literal = host[1:-1] if host.startswith("[") else host
    return HubAddress(scheme, literal.lower(), int(port) if port else DEFAULT_PORT[scheme], parts["path"].rstrip("/"))


def rules_broken(exc: ContractError) -> str:
    """All of them in one sentence."""
    return "; ".join(rule for _, rule in exc.mistakes)


def proxy_rule(text: str) -> str | None:
    """The rule that an address of a proxy breaks; ``host:port`` is one that speaks HTTP."""
    match = _PROXY.fullmatch(text)
    if match is None or (match["port"] and not 1 <= int(match["port"]) <= 65535):
        return "is no address of a proxy: write http://HOST:PORT"
    if (match["scheme"] or "http").lower() not in PROXY_SCHEMES:
        return f"there are proxies of {', '.join(PROXY_SCHEMES)} here, none of {match['scheme']}"
    return None


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this computer itself, by what is written and not by what a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _split(text: str) -> tuple[re.Match[str], str, str | None]:
    """Raises: ValueError, if it has no scheme."""
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise ValueError("no scheme")
    authority = parts["authority"].rpartition("@")[2]
    match = _PORT.fullmatch(authority)
    assert match is not None  # noqa: S101  (it takes any text)
    return parts, match["host"], match["port"]


def _mistakes(text: str) -> Iterator[str]:
    if len(text) > MAX_LENGTH:
        yield f"is longer than {MAX_LENGTH} characters"
        return
    if any(c.isspace() for c in text):
        yield "begins with https:// or http://, without spaces"
        return
    try:
        parts, host, port = _split(text)
    except ValueError:
        yield "begins with https:// or http://, without spaces"
        return
    if parts["scheme"] not in DEFAULT_PORT:
        yield f"begins with https:// or http://, in small letters, not with {parts['scheme'][:20]}://"
    if "@" in parts["authority"]:
        yield "holds a user's name; nodes sign with their key and operators have a token: remove it"
    if parts["rest"]:
        yield "ends with the path: a hub's URL has no ? and no #"
    if not text.isascii() or not text.isprintable():
        odd = next(c for c in text if not (c.isascii() and c.isprintable()))
        yield f"has {odd!a}, and only printable ASCII may stand there" + ("" if host.isascii() else _as_dns(host))
        return
    if host.count(":") > 0 and not host.startswith("["):
        yield f"an IPv6 address stands in brackets, such as http://[::1]:8000: {parts['authority'][:64]} does not"
        return
    yield from _host_mistakes(host)
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        yield f"the port is a number from 1 to 65535, not {port[:20] or 'nothing'}"
    path = parts["path"]
    if not _PATH.fullmatch(path):
        yield "the path has characters that a URL writes as % and two digits"
    if any(part in (".", "..") for part in path.split("/")):
        yield "the path goes down only: no . and no .. in it"


def _host_mistakes(host: str) -> Iterator[str]:
    if host.startswith("["):
        try:
            literal = ipaddress.IPv6Address(host[1:-1]) if host.endswith("]") and "%" not in host else None
        except ValueError:
            literal = None
        if literal is None:
            yield f"{host[:64]} is no name or address of a computer: in brackets stands an IPv6 address"
        elif literal.is_unspecified:
            yield _LISTENING.format(host)
        return
    if len(host) > 1 and host.endswith(".") and not host.endswith(".."):
        yield f"{host[:64]} has a dot at its end: write it without"
        return
    labels = host.split(".")
    if labels[-1].isdigit():  # no top-level domain is a number: this is meant as an address
        try:
            if ipaddress.IPv4Address(host).is_unspecified:
                yield _LISTENING.format(host)
        except ValueError:
            yield f"{host[:64]} is no name or address of a computer: an IPv4 address has four numbers up to 255"
        return
    named = all(_LABEL.fullmatch(label) and len(label) <= 63 and _spells(label) for label in labels)
    if not named or len(host) > 253:
        yield f"{host[:64] or 'nothing'} is no name or address of a computer"


_LISTENING = "{} is where a hub listens, on every address of its computer; write one that others reach it by"


def _spells(label: str) -> bool:
    """Whether a label of a host's name that stands for other letters (RFC 5891) does so."""
    if not label.lower().startswith("xn--"):
        return True
    try:
        letters = label[4:].encode().decode("punycode")
    except UnicodeError:
        return False
    return not letters.isascii() and all(c.isalnum() or c == "-" for c in letters)


def _as_dns(host: str) -> str:
    try:
        return f": write the name as DNS has it, {host.encode('idna').decode()}"
    except UnicodeError:
        return ": write the name as DNS has it (xn--…)"
