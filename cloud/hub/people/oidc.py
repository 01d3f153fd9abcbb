"""Login by another's word: OpenID Connect, authorization code with PKCE, state and nonce.

The provider says who somebody is and which groups they have; a file of the hub says what a group may do here. Whoever
has none of these groups is not let in. While the provider is away, passwords of this hub still work.
"""

from __future__ import annotations

import hmac
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from wayside.cloud.hub.errors import ConfigurationError, ForbiddenError, ProviderAwayError, UnauthenticatedError
from wayside.cloud.hub.people.account_views import Department, UserName
from wayside.cloud.hub.people.accounts import Known, secret_hash
from wayside.cloud.hub.people.actor import Role
from wayside.contracts.hub_address import HubAddress, hub_address
from wayside.hub_http.client import async_client, options
from wayside.text import TextError, decode_unicode, loads_toml, read_file

FILE, MAX_FILE_BYTES, MAX_ANSWER_BYTES = "oidc.toml", 65_536, 1 << 20
TIMEOUT_S, KEEP_S, LEEWAY_S = 10.0, 3600.0, 60
ALGORITHMS = ["RS256", "ES256", "PS256", "EdDSA"]  # signed by the provider alone: none that a shared secret can make


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``oidc.toml``."""

    issuer: str
    client_id: str
    client_secret_file: str | None = None  # beside this file; without: a public client, by PKCE alone
    shown_as: str = "your organisation"
    scope: str = "openid profile"
    name_claim: str = "preferred_username"
    group_claim: str = "groups"
    roles: dict[str, Role] = {}  # group → role; of several the one that may most
    departments: dict[str, Department] = {}  # group → department, for who has no role


class Started(NamedTuple):
    """Kept by the browser, in a cookie, until it comes back."""

    state: str
    nonce: str
    verifier: str


def load(file: Path) -> Provider:
    """Raises: ConfigurationError."""
    try:
        settings = msgspec.convert(loads_toml(decode_unicode(read_file(file, MAX_FILE_BYTES))), Settings)
        secret_file = None if settings.client_secret_file is None else file.parent / settings.client_secret_file
        secret = None if secret_file is None else decode_unicode(read_file(secret_file, 4096)).strip()
    except OSError as exc:
        raise ConfigurationError("oidc", f"cannot read {exc.filename or file}: {exc.strerror}") from exc
    except (TextError, msgspec.ValidationError) as exc:
        raise ConfigurationError("oidc", f"{file}: {exc}") from exc
    address = urlsplit(settings.issuer)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in ("localhost", "127.0.0.1")):
        raise ConfigurationError("oidc", f"{file}: issuer is no https:// address")
    if Role.DEPARTMENT in settings.roles.values():
        raise ConfigurationError("oidc", f"{file}: who is of a department stands in [departments], not in [roles]")
    if not settings.roles and not settings.departments:
        raise ConfigurationError("oidc", f"{file}: [roles] and [departments] are empty, so that nobody could log in")
    return Provider(settings, secret)


class Provider:
    """The event loop's."""

    def __init__(self, settings: Settings, secret: str | None) -> None:
        self.settings, self._secret = settings, secret
        self._found: tuple[float, dict[str, Any], KeySet] | None = None

    async def start(self, back: str) -> tuple[str, Started]:
        """Where to send the browser, and what it keeps. Raises: ProviderAwayError."""
        about, _ = await self._discovered()
        started = Started(*(secrets.token_urlsafe(32) for _ in range(3)))
        async with self._client(back, about["authorization_endpoint"]) as client:
            url, _ = client.create_authorization_url(
                about["authorization_endpoint"],
                state=started.state,
                nonce=started.nonce,
                code_verifier=started.verifier,
            )
        return str(url), started

    async def finish(self, back: str, query: dict[str, str], started: Started) -> Known:
        """Who came back.

        Raises:
            UnauthenticatedError: refused there, or not the answer to what this browser asked.
            ForbiddenError: known there, without a role here.
            ProviderAwayError: it does not answer, or not as OpenID Connect says.
        """
        if not hmac.compare_digest(query.get("state", "").encode(), started.state.encode()):
            raise UnauthenticatedError("oidc", "This answer belongs to another login: begin again.")
        if "error" in query or "code" not in query:
            raise UnauthenticatedError("oidc", f"{self.settings.shown_as} did not let you in: try again.")
        about, keys = await self._discovered()
        try:
            async with self._client(back, about["token_endpoint"]) as client:
                token = await client.fetch_token(
                    about["token_endpoint"], code=query["code"], code_verifier=started.verifier
                )
            claims = self._claims(str(token.get("id_token")), keys, started.nonce)
        except AuthlibBaseError as exc:
            raise UnauthenticatedError("oidc", f"{self.settings.shown_as} did not take the code: try again.") from exc
        except (JoseError, ValueError) as exc:
            raise UnauthenticatedError("oidc", f"{self.settings.shown_as} vouched for nobody: {exc}") from exc
        except Exception as exc:  # of whichever HTTP client authlib stands on
            raise self._away(exc) from exc
        return self._known(claims)

    def _claims(self, token: str, keys: KeySet, nonce: str) -> dict[str, Any]:
        """Of an ID token (OpenID Connect Core 3.1.3.7). Raises: JoseError, ValueError."""
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(decoded.claims)
        authorized = decoded.claims.get("azp")
        if authorized is not None and authorized != self.settings.client_id:
            raise ValueError("the token is for another program")
        return dict(decoded.claims)

    def _known(self, claims: dict[str, Any]) -> Known:
        given = claims.get(self.settings.group_claim)
        groups = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        named = [g for g in groups if isinstance(g, str)]
        roles = [self.settings.roles[g] for g in named if g in self.settings.roles]
        departments = [self.settings.departments[g] for g in named if g in self.settings.departments]
        subject, rank = str(claims["sub"])[:255], tuple(Role)
        name = str(claims.get(self.settings.name_claim) or "").casefold()
        try:
            name = msgspec.convert(name, UserName)
        except msgspec.ValidationError:
            name = f"oidc-{secret_hash(subject)[:16]}"
        if roles:
            return Known(self.settings.issuer, subject, name, max(roles, key=rank.index), None)
        if departments:
            return Known(self.settings.issuer, subject, name, Role.DEPARTMENT, departments[0])
        raise ForbiddenError(
            "no_role", f"{name} is known to {self.settings.shown_as}, but has no role at this hub: ask an admin of it."
        )

    async def _discovered(self) -> tuple[dict[str, Any], KeySet]:
        """What the provider says of itself, and its keys; asked again once an hour."""
        if self._found is not None and time.monotonic() - self._found[0] < KEEP_S:
            return self._found[1], self._found[2]
        issuer = self.settings.issuer
        try:
            about = await _asked(issuer.rstrip("/") + "/.well-known/openid-configuration")
            _check(about, issuer)
            keys = KeySet.import_key_set(await _asked(about["jwks_uri"]))  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError) as exc:
            raise self._away(exc) from exc
        self._found = (time.monotonic(), about, keys)
        return about, keys

    def _client(self, back: str, url: str) -> Any:
        return AsyncOAuth2Client(
            client_id=self.settings.client_id,
            client_secret=self._secret,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            scope=self.settings.scope,
            redirect_uri=back,
            code_challenge_method="S256",
            **options(_server(url), timeout_s=TIMEOUT_S),
        )

    def _away(self, exc: Exception) -> ProviderAwayError:
        why = str(exc)[:200] or type(exc).__name__
        return ProviderAwayError(
            "oidc_away", f"{self.settings.shown_as} does not answer ({why}): log in with a password here, or try later."
        )


def _check(about: dict[str, Any], issuer: str) -> None:
    """Raises: ValueError."""
    if about.get("issuer") != issuer:
        raise ValueError(f"it says that it is {str(about.get('issuer'))[:128]!r}")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not str(about.get(name)).startswith(("https://", "http://")):
            raise ValueError(f"it names no {name}")


def _server(url: str) -> HubAddress:
    """Raises: ContractError, which is a ValueError: an address that no server has."""
    parts = urlsplit(url)
    return hub_address(f"{parts.scheme}://{parts.netloc}", "the provider's address")


async def _asked(url: str) -> dict[str, Any]:
    async with async_client(_server(url), timeout_s=TIMEOUT_S) as client:
        answer = await client.get(url)
    answer.raise_for_status()
    document = msgspec.json.decode(answer.content[:MAX_ANSWER_BYTES])
    if not isinstance(document, dict):
        raise TypeError(f"{url} is no JSON object")
    return document
