"""The one maker of HTTP clients: no redirects, and of the environment only what :mod:`wayside.hub_http.proxy` reads."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import TypedDict

import httpx

from wayside.contracts.hub_address import HubAddress
from wayside.hub_http.proxy import ProxyError, Route, route


class TrustError(ValueError):
    """The authorities that may vouch for a hub cannot be read."""


class TokenError(ValueError):
    """What should be an operator's token cannot be one. The message does not hold it."""


def bearer(token: str | None) -> dict[str, str]:
    """The header that shows an operator's token; none without one.

    Raises:
        TokenError: it has characters that no token has.
    """
    shown = (token or "").strip()
    for place, character in enumerate(shown, 1):
        if not "!" <= character <= "~":
            what = f"has {character!a} as character {place}, which no token has"
            raise TokenError(f"the operator's token {what}: copy it anew from the hub's operator.token")
    return {"Authorization": f"Bearer {shown}"} if shown else {}


class Options(TypedDict):
    """Of an ``httpx.Client`` or ``AsyncClient``."""

    headers: Mapping[str, str] | None
    timeout: float
    follow_redirects: bool
    trust_env: bool
    proxy: httpx.Proxy | None
    verify: ssl.SSLContext | bool


def options(
    address: HubAddress,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> Options:
    """For a client that a library makes; :func:`client` for all others.

    Args:
        verify: how to verify the server; None: by the system's authorities, or those that SSL_CERT_FILE names.
        proxy: ``hub.proxy`` of a node's file.

    Raises:
        ProxyError: its way leads through a proxy that cannot be used.
        TrustError: there are no authorities to verify it by.
    """
    return {
        "headers": headers,
        "timeout": timeout_s,
        "follow_redirects": False,
        "trust_env": False,
        "proxy": _proxy(route(address, proxy)),
        "verify": _verify(address, verify),
    }


def client(
    address: HubAddress,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> httpx.Client:
    """A client whose paths begin at ``address``; arguments and errors as of :func:`options`."""
    how = options(address, timeout_s=timeout_s, headers=headers, verify=verify, proxy=proxy)
    return httpx.Client(base_url=address.url, **how)


def async_client(
    address: HubAddress,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> httpx.AsyncClient:
    """As :func:`client`, for an event loop."""
    how = options(address, timeout_s=timeout_s, headers=headers, verify=verify, proxy=proxy)
    return httpx.AsyncClient(base_url=address.url, **how)


def _proxy(way: Route) -> httpx.Proxy | None:
    if way.proxy is None:
        return None
    try:
        return httpx.Proxy(way.proxy)
    except (httpx.InvalidURL, ValueError) as exc:
        raise ProxyError(f"{way.shown} is no address of a proxy: {exc}; correct or unset it") from exc


def _verify(address: HubAddress, given: ssl.SSLContext | None) -> ssl.SSLContext | bool:
    if given is not None or not address.secure:
        return given if given is not None else True
    return system_trust()


def system_trust() -> ssl.SSLContext:
    """Raises: TrustError: SSL_CERT_FILE or SSL_CERT_DIR names what cannot be read; OpenSSL alone would be silent."""
    file, folder = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if file is None and folder is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except OSError as exc:  # SSLError is one
        named = f"SSL_CERT_FILE={file}" if file else f"SSL_CERT_DIR={folder}"
        raise TrustError(f"{named} cannot be used: {exc.strerror or exc}; correct or unset it") from exc
