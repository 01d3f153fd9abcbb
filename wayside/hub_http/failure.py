"""What a failed request to a hub means, and what a person does about it: each cause has a sentence of its own."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Literal, NamedTuple

import httpx

from wayside.contracts.hub_address import HubAddress
from wayside.hub_http.proxy import Route

Kind = Literal["name", "refused", "network", "late", "tls", "proxy", "protocol", "answer"]
_UNREACHED = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENONET, errno.EADDRNOTAVAIL)
_NETWORK = "check the SIM or cable, and what lies in between"


def _faults() -> tuple[type[Exception], ...]:
    # Beside httpx's own: what a hostile answer or proxy gets through to below it.
    faults = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError, OverflowError, AssertionError)
    try:
        from socksio.exceptions import SOCKSError
    except ImportError:
        return faults
    return (*faults, SOCKSError)


FAULTS = _faults()
"""Whatever a request to a hub may raise that is not this program's fault."""


class Failure(NamedTuple):
    """``said`` goes on after the hub's URL; ``fix`` is what to do."""

    kind: Kind
    said: str
    fix: str

    def __str__(self) -> str:
        return f"{self.said}; {self.fix}"


def failure(exc: BaseException, address: HubAddress, way: Route, key: str = "hub.url") -> Failure:
    """Why a request did not come back.

    Args:
        key: how the person calls the address: ``hub.url``, ``--hub``.
    """
    errors = list(causes(exc))
    tls = next((e for e in errors if isinstance(e, ssl.SSLError)), None)
    system = [e for e in errors if isinstance(e, OSError) and e is not tls]
    if isinstance(exc, httpx.ProxyError):
        fix = f"correct {way.source}, or name the hub in NO_PROXY"
        return Failure("proxy", f"the proxy {way.shown} refuses: {exc}", fix)
    if tls is not None:
        return _of_tls(tls, address, key)
    if way.proxy and isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        why = "no answer in time" if isinstance(exc, httpx.TimeoutException) else _words(system, exc)
        return Failure("proxy", f"the proxy {way.shown} is not reached: {why}", f"correct {way.source}")
    if way.proxy and (isinstance(exc, httpx.RemoteProtocolError) or not isinstance(exc, httpx.HTTPError)):
        said = f"the proxy {way.shown} breaks off or answers nonsense: {exc or type(exc).__name__}"
        return Failure("proxy", said, f"correct {way.source}: is it a proxy of that kind?")
    return _of_system(system, exc, address, key)


def _of_system(system: list[OSError], exc: BaseException, address: HubAddress, key: str) -> Failure:
    where, numbers = f"{address.host}:{address.port}", {e.errno for e in system}
    name = next((e for e in system if isinstance(e, socket.gaierror)), None)
    if isinstance(exc, httpx.TimeoutException) or errno.ETIMEDOUT in numbers:
        made = Failure("late", f"{where} does not answer in time", _NETWORK)
    elif name is not None and name.errno == socket.EAI_AGAIN:
        fix = "check the SIM or cable, and the name server"
        made = Failure("name", f"no name server says who {address.host} is", fix)
    elif name is not None:
        fix = f"check the spelling in {key}, and the name server"
        made = Failure("name", f"there is no computer of the name {address.host}", fix)
    elif errno.ECONNREFUSED in numbers:
        made = Failure("refused", f"nothing listens at {where}", f"check the port in {key}, and whether the hub runs")
    elif numbers & set(_UNREACHED):
        made = Failure("network", f"no way leads to {where}: {_words(system, exc)}", _NETWORK)
    elif isinstance(exc, httpx.RemoteProtocolError | httpx.ReadError):
        fix = f"check {key}: " + ("is it the hub?" if address.secure else "does https:// belong there?")
        made = Failure("protocol", f"{where} breaks off or speaks no HTTP: {exc or type(exc).__name__}", fix)
    else:
        made = Failure("protocol", f"{exc or type(exc).__name__}", f"check {key}, and what lies in between")
    return made


def unexpected(status: int, location: str | None, address: HubAddress, way: Route, key: str = "hub.url") -> Failure:
    """What an answer means that is not the hub's."""
    via = f", or the proxy {way.shown}" if way.proxy else ""
    if 300 <= status < 400:
        to = f" to {location[:128]}" if location else ""
        said, fix = f" and sends elsewhere{to}", f"correct {key}, or log in at this network's captive portal{via}"
    elif status in (401, 403, 407, 511):
        said, fix = ": somebody in between lets nobody pass", f"ask who runs the network{via}"
    elif status in (404, 405):
        said, fix = ": another server than a hub, or its hub is below a path", f"check {key}"
    elif status in (502, 503, 504):
        said, fix = ": a server before the hub does not reach it, or its store is down", f"look at the hub{via}"
    elif status >= 500:
        said, fix = ": the hub failed", "look at the hub's own log"
    else:
        said, fix = ", but not as a hub does", f"check {key}; a captive portal answers so, too"
    return Failure("answer", f"answers {status}{said}", fix)


def causes(failure: BaseException) -> Iterator[BaseException]:
    """The exception, and what it was made from: by ``from``, in passing, in a group, or as a ``reason``."""
    left, seen = [failure], set[int]()
    while left:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        more = (
            one.__cause__,
            one.__context__,
            getattr(one, "reason", None),
            *one.args,
            *getattr(one, "exceptions", ()),
        )
        left += [e for e in more if isinstance(e, BaseException)]


def _of_tls(exc: ssl.SSLError, address: HubAddress, key: str) -> Failure:
    if isinstance(exc, ssl.SSLCertVerificationError):
        what = f"the certificate of {address.host} is not trusted: {exc.verify_message}"
        return Failure("tls", what, "SSL_CERT_FILE names its authority")
    if exc.reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        what = f"{address.host}:{address.port} speaks no TLS"
        return Failure("tls", what, f"check the port in {key}, or write http:// if the hub has no certificate")
    return Failure(
        "tls", f"no TLS connection: {exc.reason or exc}", "look at the certificate and the versions of TLS of the hub"
    )


def _words(system: list[OSError], exc: BaseException) -> str:
    told = next((e for e in system if e.errno is not None), None)
    if told is None or told.errno is None:
        return str(exc or type(exc).__name__)
    return os.strerror(told.errno) if told.errno > 0 else str(told.strerror)
