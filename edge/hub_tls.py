"""Whom a node takes for its hub: the authority in ``hub.ca`` and no other, or those that every browser knows.

The chain and the name are always checked. The dates are checked only while NTP disciplines the clock: before that the
system may say 1970, every certificate begins in its future, and the hub is where the node would learn the time from.
Why nothing is lost by that: docs/adr/0013-commissioning-and-replacement.md.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from wayside.contracts.node_config import HubConfig
from wayside.edge.clock import kernel_sync_error_ms
from wayside.edge.errors import EdgeError
from wayside.hub_http.failure import causes
from wayside.paths import placed
from wayside.text import TextError, pem, read_file

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h; Python has no name for it."""

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET, _EXPIRED = 9, 10
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
_OTHER_NAME = (62, 64)


class TlsError(EdgeError):
    """``hub.ca`` cannot be read, or is no certificate."""


class HubTls:
    """The trust of one node in one hub. ``folder`` is the configuration file's."""

    def __init__(
        self,
        hub: HubConfig,
        folder: Path,
        disciplined: Callable[[], bool] = lambda: kernel_sync_error_ms() is not None,
    ) -> None:
        self.hub, self.folder = hub, folder
        self._url = hub.url
        self._ca = placed(folder, hub.ca) if hub.ca is not None else None
        self._disciplined = disciplined
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        """How to verify the hub in the next connection; ``None`` where the hub speaks plain HTTP.

        Always the same object: ask again before each connection, since the clock may have become known.

        Raises:
            TlsError: ``hub.ca`` cannot be used, or is not for this address. What is put right counts at the next call.
        """
        if not self._url.startswith("https:"):
            if self.hub.ca is not None:  # whoever named it does not want to talk to just anybody
                raise TlsError("hub.ca is for a hub.url that begins with https: one of the two is wrong")
            return None
        if self._context is None:
            self._context = _pinned(self._ca) if self._ca is not None else _public()
        flags = int(self._context.verify_flags)
        wanted = flags & ~NO_CHECK_TIME if self._disciplined() else flags | NO_CHECK_TIME
        self._context.verify_flags = ssl.VerifyFlags(wanted)
        return self._context

    def why(self, failure: BaseException) -> str | None:
        """What a failed verification means and what to do; ``None`` if ``failure`` is something else."""
        error = next((e for e in causes(failure) if isinstance(e, ssl.SSLCertVerificationError)), None)
        return self._meaning(error) if error is not None else None

    def _meaning(self, error: ssl.SSLCertVerificationError) -> str:
        code, host = error.verify_code, urlsplit(self._url).hostname
        if code in _OTHER_NAME:
            return f"the hub's certificate is not for {host}: hub.url must use a name that stands in it"
        if code == _EXPIRED:
            return f"the hub's certificate has expired (here it is {_today()}): renew it at the hub"
        if code == _NOT_YET:
            return f"the hub's certificate is not valid yet (here it is {_today()}): is one of the two clocks wrong?"
        if code not in _UNKNOWN_ISSUER:
            return f"the hub's certificate is refused: {error.verify_message}"
        if self._ca is None:
            return (
                "the hub's certificate comes from an authority that this system does not know: put the authority's "
                "PEM file beside the configuration and name it in hub.ca"
            )
        return (
            f"the hub's certificate does not come from the authority in {self._ca}: either another machine answers at "
            f"{host}, or the hub has a new authority, whose PEM file then belongs there"
        )


def _pinned(ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and name, TLS 1.2 or newer
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # an intermediate may be pinned, too
    try:
        context.load_verify_locations(cadata=pem(read_file(ca)))
    except TextError as exc:
        raise TlsError(f"hub.ca: {ca} is not a PEM certificate: {exc}") from exc
    except (ssl.SSLError, ValueError) as exc:  # ValueError: it is empty
        raise TlsError(f"hub.ca: {ca} is not a PEM certificate; it begins with -----BEGIN CERTIFICATE-----") from exc
    except OSError as exc:
        raise TlsError(f"hub.ca: {ca}: {exc.strerror}; copy the authority's certificate there") from exc
    return context


def _public() -> ssl.SSLContext:
    try:
        import httpx  # it knows the public authorities; a hub with one of its own needs none

        return httpx.create_ssl_context()
    except OSError as exc:  # SSLError is one
        where = "SSL_CERT_FILE or SSL_CERT_DIR" if exc.filename is None else exc.filename
        raise TlsError(f"the public authorities cannot be read: {where}: {exc.strerror or exc}") from exc


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"
