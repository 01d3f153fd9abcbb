"""What a node's trust stands on, read before a card is made of it: trust root, authority, SSH key, enrolment token.

Each reader raises one ImageError or TextError that says what the file is instead; who calls it names the file.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from wayside.firmware_bridge.errors import ImageError
from wayside.text import decode, decode_unicode, pem

_OPERATORS = re.compile(r"[0-9a-f]{64}")  # as `wayside hub init` makes it; a node's has other letters
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
UNKNOWN_TOKEN = "x" * 43  # stands for one while the rest is checked
SOON = timedelta(days=90)
_SSH_KEY = re.compile(
    r"(?P<kind>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" (?P<key>[A-Za-z0-9+/=]{40,})(?P<name> [^\n]*)?"
)
_SSH_PARTS = {"ssh-ed25519": 2, "ssh-rsa": 3, "sk-ssh-ed25519@openssh.com": 3, "sk-ecdsa-sha2-nistp256@openssh.com": 4}
_RSA_BITS = 2048


class Credential(NamedTuple):
    content: bytes  # for the card: ASCII or UTF-8 without a mark
    hints: tuple[str, ...] = ()  # what works and is odd


def root_of(data: bytes, now: datetime | None = None) -> Credential:
    """Read a trust root as the node's updater will: TUF metadata of the role root, signed by its own keys.

    Raises:
        TextError: it is no text.
        ImageError: it is another thing, or its signatures are not enough.
    """
    from securesystemslib.exceptions import StorageError
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]

    root = decode_unicode(data).replace("\r\n", "\n").encode()
    if b"PRIVATE KEY" in root:
        raise ImageError("the trust root holds a private key, which no node may have: give root.json")
    try:
        metadata: Metadata[Root] = Metadata.from_bytes(root)
    # python-tuf's parser lets what a wrong shape raises through: KeyError, TypeError, AttributeError.
    except (RepositoryError, StorageError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise ImageError("the trust root is no TUF root.json; `wayside release init` makes one") from exc
    if metadata.signed.type != Root.type:
        raise ImageError(f"the trust root is TUF {metadata.signed.type!r} metadata, not root")
    try:
        metadata.verify_delegate(Root.type, metadata)
    except (RepositoryError, ValueError) as exc:
        raise ImageError(f"the trust root is not signed by its own keys ({exc}): copy root.json again") from exc
    expires, now = metadata.signed.expires.replace(tzinfo=UTC), now or datetime.now(UTC)
    late = f"the trust root expired on {expires:%Y-%m-%d}: the node takes models once the hub has a newer one"
    return Credential(root, (late,) if expires < now else ())


def authority_of(data: bytes, now: datetime | None = None) -> Credential:
    """Read the certificates of the hub's authority.

    Raises:
        TextError: it is no text.
        ImageError: none, one that is not valid today, one of a server, or a private key.
    """
    from cryptography import x509

    if data[:1] == b"\x30" and not data.isascii():
        raise ImageError("the hub's CA is DER, not PEM: `openssl x509 -inform der -in FILE -out ca.pem`")
    text = pem(data).replace("\r\n", "\n")
    if "PRIVATE KEY-----" in text:
        raise ImageError("the hub's CA file holds a private key, which no node may have: give the certificate alone")
    if "CERTIFICATE REQUEST-----" in text:
        raise ImageError("the hub's CA file is a request for a certificate, not PEM of the certificate itself")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ImageError("the hub's CA is no PEM certificate: no line -----BEGIN CERTIFICATE----- stands in it")
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
    except ValueError as exc:
        raise ImageError("the hub's CA is a damaged PEM certificate: copy it again") from exc
    now, hints = now or datetime.now(UTC), []
    for certificate in certificates:
        try:
            who = f"the hub's CA {certificate.subject.rfc4514_string() or 'without a name'}"
            own = certificate.issuer == certificate.subject
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
            vouches = basic.ca or own
        except x509.ExtensionNotFound:
            vouches = own  # as authorities of version 1 are
        except ValueError as exc:
            raise ImageError("the hub's CA is a damaged PEM certificate: copy it again") from exc
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not vouches:
            raise ImageError(
                f"{who} is a server's certificate, not an authority's: give the one that issued it, "
                f"{certificate.issuer.rfc4514_string()}"
            )
        if ends < now:
            raise ImageError(f"{who} expired on {ends:%Y-%m-%d}: no node could reach the hub; renew it first")
        if begins > now:
            raise ImageError(
                f"{who} is valid from {begins:%Y-%m-%d} on, not today: give the present one, or correct this clock"
            )
        if ends < now + SOON:
            hints.append(f"{who} expires on {ends:%Y-%m-%d}: the node needs another one by then")
    return Credential(text.encode(), tuple(hints))


def ssh_key_of(data: bytes) -> str:
    """One public key in OpenSSH's form, as ``authorized_keys`` takes it.

    Raises:
        TextError: it is no text.
        ImageError: it is none, several, a private key, or damaged.
    """
    key = decode_unicode(data).strip()
    if "PRIVATE KEY-----" in key:
        raise ImageError("the SSH key is a private key, which no node may have: give the .pub file beside it")
    match = _SSH_KEY.fullmatch(key)
    if match is None:
        raise ImageError("the SSH key is not one public key in OpenSSH's form (ssh-ed25519 AAAA… name)")
    kind = match["kind"]
    try:
        parts = _ssh_parts(base64.b64decode(match["key"], validate=True))
    except (binascii.Error, ValueError) as exc:
        raise ImageError("the SSH key is damaged: copy the .pub file again") from exc
    if parts[0] != kind.encode() or len(parts) != _SSH_PARTS.get(kind, 3):
        raise ImageError(f"the SSH key is damaged: it says {kind}, and is another kind or cut")
    if kind == "ssh-ed25519" and len(parts[1]) != 32:
        raise ImageError("the SSH key is damaged: an ed25519 key has 32 bytes")
    if kind == "ssh-rsa" and int.from_bytes(parts[2]).bit_length() < _RSA_BITS:
        raise ImageError(f"the SSH key is RSA of less than {_RSA_BITS} bits: `ssh-keygen -t ed25519` makes a good one")
    return key


def _ssh_parts(blob: bytes) -> list[bytes]:
    """The strings of an SSH wire blob (RFC 4251, 5). Raises: ValueError: it is cut."""
    parts, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4])
        at += 4 + size
        if at > len(blob):
            raise ValueError("cut")
        parts.append(blob[at - size : at])
    if not parts:
        raise ValueError("empty")
    return parts


def token_of(data: bytes) -> str:
    """The enrolment token in a file that holds it alone.

    Raises:
        TextError: it is no text.
        ImageError: it holds another thing, or more.
    """
    words = decode(data).text.split()
    if len(words) != 1:
        what = "is empty" if not words else f"holds {len(words)} words"
        raise ImageError(f"the file {what}, not one enrolment token: `wayside hub token > FILE` makes one")
    return checked_token(words[0])


def checked_token(token: str) -> str:
    """Raises: ImageError: it cannot be a token."""
    if not TOKEN.fullmatch(token):
        raise ImageError("the enrolment token is 16 to 128 letters, digits, _ and -: copy all of it, and nothing else")
    if _OPERATORS.fullmatch(token):
        raise ImageError(
            "that is the operator's token by its form, which no node may have: `wayside hub token` makes one"
        )
    return token
