"""Logging in and out: forms that work without JavaScript, sessions with an identifier that is new at each login."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import sqlalchemy as sa
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from wayside.cloud.hub import audit
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.bodies import read_body
from wayside.cloud.hub.door.limits import Refusals
from wayside.cloud.hub.errors import BadRequestError, ForbiddenError, HubError, NotFoundError, UnauthenticatedError
from wayside.cloud.hub.people import accounts
from wayside.cloud.hub.people.access import (
    COOKIE,
    SESSION_MS,
    Access,
    address_of,
    cookie_name,
    csrf_of,
    is_csrf,
    session_of,
)
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.people.devices import DEVICE_S, Devices
from wayside.cloud.hub.people.passwords import Passwords
from wayside.cloud.hub.store import sessions, users
from wayside.cloud.hub.writer import Writer

if TYPE_CHECKING:
    from wayside.cloud.hub.people.oidc import Provider  # a second of imports, for who uses it

FORM_BYTES = 4096


class Login:
    """What the routes of :mod:`wayside.cloud.hub.pages` do."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        writer: Writer,
        access: Access,
        refusals: Refusals,
        passwords: Passwords,
        devices: Devices,
        templates: Jinja2Templates,
        provider: Provider | None = None,
    ) -> None:
        self._engine, self._writer, self._access = engine, writer, access
        self._refusals, self._passwords, self._templates = refusals, passwords, templates
        self._provider, self._devices = provider, devices

    def form(self, request: Request, wrong: str = "", status: int = 200) -> Response:
        """The page. The cookie is set by this hub alone, so that no other page can log a person in as somebody else."""
        secret = secrets.token_urlsafe(32)
        about = {
            "csrf": csrf_of(secret),
            "wrong": wrong,
            "elsewhere": self._provider and self._provider.settings.shown_as,
        }
        page = self._templates.TemplateResponse(request, "login.html", about, status_code=status)
        page.headers["Cache-Control"] = "no-store"
        _set(page, request, _form_cookie(request), secret, 3600, strict=True)
        return page

    async def by_password(self, request: Request) -> Response:
        """A session, or the form again with what was wrong."""
        try:
            given = await fields(request)
            self._check_form(request, given)
            name = given.get("name", "").strip().casefold()
            known_device = self._devices.known(request.cookies.get(_device_cookie(request)), name)
            who = known_device or address_of(request)
            self._refusals.admit(who)  # before a password costs anything
            await asyncio.sleep(0 if known_device else self._refusals.pause_s(who, name))
            row = await run_in_threadpool(self._user, name)
            known = None if row is None or row["disabled"] else row["password"]
            if not await self._passwords.fits(given.get("password", ""), known):
                self._refusals.note(who, "password", name)
                raise UnauthenticatedError("login", "The name or the password is wrong.")
            self._refusals.right(address_of(request), name)
            return await self.begin(request, name)
        except HubError as exc:
            return self.form(request, exc.message, exc.status)

    async def by_link(self, request: Request, code: str) -> Response:
        """A session by a link that was made for it, once."""
        found, at = sessions.c.hash == accounts.secret_hash(code), now_ms()

        alive = (found, sessions.c.link, sessions.c.expires_ms > at, sa.not_(users.c.disabled))
        query = sa.select(users.c.name).join_from(sessions, users).where(*alive)

        def look() -> bool:
            with self._engine.connect() as connection:
                return connection.execute(query).first() is not None

        def take(connection: sa.Connection) -> str | None:
            name: str | None = connection.execute(query).scalar()
            connection.execute(sessions.delete().where(found, sessions.c.link))
            return name

        try:
            # What is refused never waits for the writer, nor anybody for it there.
            name = await self._writer.write(take) if await run_in_threadpool(look) else None
            if name is None:
                self._refusals.wrong(address_of(request), "link")
                raise UnauthenticatedError("link", "This link was used already, or has expired: ask for another one.")
            return await self.begin(request, name)
        except HubError as exc:
            return self.form(request, exc.message, exc.status)

    async def by_provider(self, request: Request) -> Response:
        """To who else vouches for users; what the browser has to come back with is kept in a cookie."""
        try:
            url, started = await self._known_provider().start(_back(request))
        except HubError as exc:
            return self.form(request, exc.message, exc.status)
        answer = RedirectResponse(url, 303)
        _set(answer, request, _provider_cookie(request), " ".join(started), 600)
        return answer

    async def from_provider(self, request: Request) -> Response:
        """A session for who comes back, or the form with what is in the way."""
        try:
            from wayside.cloud.hub.people.oidc import Started

            kept = request.cookies.get(_provider_cookie(request), "").split(" ")
            if len(kept) != len(Started._fields):
                raise UnauthenticatedError("oidc", "The login took too long, or cookies are off: begin again.")
            provider = self._known_provider()
            known = await provider.finish(_back(request), dict(request.query_params), Started(*kept))
            name = await self._writer.write(lambda c: accounts.known_elsewhere(c, known, now_ms()))
            answer = await self.begin(request, name)
        except HubError as exc:
            answer = self.form(request, exc.message, exc.status)
        answer.delete_cookie(_provider_cookie(request), path="/", secure=_is_secure(request), httponly=True)
        return answer

    def _known_provider(self) -> Provider:
        if self._provider is None:
            raise NotFoundError("oidc", "This hub knows nobody else who vouches for users: log in with a password.")
        return self._provider

    async def begin(self, request: Request, name: str) -> Response:
        """A new session for ``name``; the one that the browser had ends."""
        secret, before, at = secrets.token_urlsafe(32), session_of(request), now_ms()

        def job(connection: sa.Connection) -> None:
            role = connection.execute(sa.select(users.c.role).where(users.c.name == name)).scalar_one()
            if before is not None:
                connection.execute(sessions.delete().where(sessions.c.hash == accounts.secret_hash(before)))
            accounts.add_session(connection, name, secret, at, at + SESSION_MS)
            audit.record(connection, Actor(f"user:{name}", Role(role), address_of(request)), "user.login", name, at)

        await self._writer.write(job)
        answer = RedirectResponse("/", 303)
        _set(answer, request, cookie_name(request), secret, SESSION_MS // 1000)
        _set(answer, request, _device_cookie(request), self._devices.made(name), DEVICE_S, strict=True)
        answer.delete_cookie(_form_cookie(request), path="/", secure=_is_secure(request), httponly=True)
        return answer

    async def end(self, request: Request) -> Response:
        secret, given = session_of(request), await fields(request)
        if secret is not None:
            if not is_csrf(secret, given.get("csrf")):
                raise ForbiddenError("csrf", "this form is not one of this hub's pages: load the page again")
            found = sessions.c.hash == accounts.secret_hash(secret)
            await self._writer.write(lambda c: c.execute(sessions.delete().where(found)).rowcount)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(cookie_name(request), path="/", secure=_is_secure(request), httponly=True)
        return answer

    def _check_form(self, request: Request, given: dict[str, str]) -> None:
        secret = request.cookies.get(_form_cookie(request))
        if secret is None or not is_csrf(secret, given.get("csrf")):
            raise ForbiddenError("csrf", "The form had become too old, or cookies are off: try again.")

    def _user(self, name: str) -> sa.RowMapping | None:
        query = sa.select(users.c.password, users.c.disabled).where(users.c.name == name)
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().first()


async def fields(request: Request) -> dict[str, str]:
    """Of a form, the first value of each. Raises BadRequestError, TooLargeError."""
    try:
        text = (await read_body(request, FORM_BYTES)).decode("utf-8")
        return {name: each[0] for name, each in parse_qs(text, max_num_fields=16).items()}
    except ValueError as exc:
        raise BadRequestError("form", "this is no form as the hub's pages send it") from exc


def _device_cookie(request: Request) -> str:
    return cookie_name(request).replace(COOKIE, "wayside-device")


def _form_cookie(request: Request) -> str:
    return cookie_name(request).replace(COOKIE, "wayside-login")


def _provider_cookie(request: Request) -> str:
    return cookie_name(request).replace(COOKIE, "wayside-oidc")


def _back(request: Request) -> str:
    return str(request.base_url).rstrip("/") + "/login/oidc/back"


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _set(answer: Response, request: Request, name: str, value: str, max_age: int, *, strict: bool = False) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=max_age,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict" if strict else "lax",
    )
