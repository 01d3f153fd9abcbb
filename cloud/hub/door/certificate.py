"""The hub's certificate: read at the start, and again when its files change, so that renewing it needs no restart.

Each handshake is given the newest good pair (``SSLContext.sni_callback``, which OpenSSL also calls for clients that
name no server). Connections that are there go on with what they began with. A new pair that is not one is told in the
log, and the old one stays: between the two renames of a renewal that is the rule.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from wayside.cloud.hub.errors import ConfigurationError
from wayside.text import read_file

MAX_PEM_BYTES = 1 << 20
LOOK_S = 1.0  # at most so often are the files looked at
SOON_DAYS = 14
_log = logging.getLogger("wayside.hub.tls")
_Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificate:
    """A chain and its key, both PEM files.

    Attributes:
        context: for the server; its handshakes get the newest pair.
        names: DNS names of the newest pair, lower case; one may begin with ``*.``.
    """

    def __init__(self, chain: Path, key: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigurationError: they are not a certificate and its own key, or cannot be read."""
        self._files = (chain, key)
        self._clock_s = clock_s
        self._lock = threading.Lock()  # a signal and a handshake may come at once
        self._seen, self._looked = self._stamp(), clock_s()
        self.names: frozenset[str] = frozenset()
        self.context = self._newest = self._loaded()
        self.context.sni_callback = self._choose

    def reload(self) -> bool:
        """Read the files; whether they were a good pair, which counts from now on."""
        try:
            self._newest = self._loaded()
        except ConfigurationError as exc:
            _log.error("the certificate is not renewed, the one before stays: %s", exc.message)
            return False
        _log.warning("the certificate was read again: %s", ", ".join(sorted(self.names)) or "no names")
        return True

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        now = self._clock_s()
        if now - self._looked >= LOOK_S and self._lock.acquire(blocking=False):
            try:
                self._looked, stamp = now, self._stamp()
                if stamp != self._seen:
                    self._seen = stamp
                    self.reload()
            finally:
                self._lock.release()
        handshake.context = self._newest

    def _stamp(self) -> _Stamp:
        """Of both files: time, number, size; None: there is none, as in the middle of a renewal."""
        stamps: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                about = file.stat()
                stamps.append((about.st_mtime_ns, about.st_ino, about.st_size))
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    def _loaded(self) -> ssl.SSLContext:
        chain, key = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            pem, _ = (read_file(file, MAX_PEM_BYTES) for file in self._files)  # at a pipe OpenSSL would wait for ever
            context.load_cert_chain(chain, key, password="")
            leaf = x509.load_pem_x509_certificates(pem)[0]
            self.names = _names_of(leaf)
        except ssl.SSLError as exc:
            what = f"{chain} and {key} are not a PEM certificate and its own, unencrypted private key"
            raise ConfigurationError("tls", f"{what} ({exc.reason or exc})") from exc
        except ValueError as exc:
            raise ConfigurationError("tls", f"{chain} is no PEM certificate: {exc}") from exc
        except OSError as exc:
            raise ConfigurationError("tls", f"cannot read {exc.filename or chain}: {exc.strerror}") from exc
        _warn_of_end(chain, leaf)
        return context


def _names_of(leaf: x509.Certificate) -> frozenset[str]:
    try:
        said = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in said.get_values_for_type(x509.DNSName))


def _warn_of_end(chain: Path, leaf: x509.Certificate) -> None:
    days = (leaf.not_valid_after_utc - datetime.now(UTC)).days
    if days < SOON_DAYS:
        ends = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        _log.warning("%s ends at %s: nodes and browsers refuse the hub from then on", chain, ends)
