"""Who may do what. Each route declares one rule, and the rule finds out who asks.

A route says ``dependencies=[allow(Role.VIEWER)]``, ``[public()]`` or ``[by_node()]``, itself or through its router; one
that needs to know who asks takes ``by: By``. A hub with a route that declares nothing does not start.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import sqlalchemy as sa
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute, APIRouter
from starlette.routing import BaseRoute

from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.limits import Refusals
from wayside.cloud.hub.errors import ForbiddenError, UnauthenticatedError
from wayside.cloud.hub.people.accounts import API_TOKEN_PREFIX, secret_hash
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.people.sight import Sight, sight_of
from wayside.cloud.hub.store import api_tokens, sessions, users
from wayside.cloud.hub.writer import Writer

RANK = tuple(Role)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE, CSRF_HEADER = "wayside-session", "X-CSRF-Token"
IDLE_MS, SESSION_MS, DAY_MS = 8 * 3_600_000, 7 * 86_400_000, 86_400_000


class Rule(NamedTuple):
    """``public``: anybody. ``node``: by signature or token, which the route checks. ``role``: at least ``least``.

    ``open_data``: with ``--public-read`` also anybody, who then sees what is released as open data (sight.py).
    """

    who: Literal["public", "node", "role"]
    least: Role | None = None
    open_data: bool = False


_rules: dict[Callable[..., Any], Rule] = {}


def allow(least: Role, *, open_data: bool = False) -> Any:
    """A dependency: people and tokens with this role, or one that may more."""
    return Depends(_check(Rule("role", least, open_data)))


def public() -> Any:
    """A dependency: anybody, without credentials."""
    return Depends(_check(Rule("public")))


def by_node() -> Any:
    """A dependency: nodes. What they sign, and the token they enrol with, is checked by the route."""
    return Depends(_check(Rule("node")))


@functools.cache  # the same function for the same rule: who asks is found out once a request
def _check(rule: Rule) -> Callable[[Request], Coroutine[Any, Any, None]]:
    async def check(request: Request) -> None:
        access: Access = request.app.state.access
        request.state.actor = await access.admit(request, rule)

    _rules[check] = rule
    return check


def _actor_of(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


By = Annotated[Actor, Depends(_actor_of)]
"""Who asks, for a route that declares a rule."""


def _seen_by(request: Request) -> Sight:
    return sight_of(_actor_of(request))


Seen = Annotated[Sight, Depends(_seen_by)]
"""What who asks sees, for a route that reads."""


def rules_of(route: APIRoute) -> list[Rule]:
    return [_rules[d.call] for d in route.dependant.dependencies if d.call in _rules]


def undeclared(routes: Iterable[BaseRoute]) -> list[str]:
    """Routes with another number of rules than one."""
    return [r.path for r in each(routes) if len(set(rules_of(r))) != 1]


def each(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    """Those of an app, and of all routers that it includes: FastAPI keeps these as they are."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif isinstance(router := getattr(route, "original_router", None), APIRouter):
            yield from each(router.routes)


class Access:
    """Finds out who asks, by what the request brings: a bearer token, else the cookie of a session."""

    def __init__(
        self, engine: sa.Engine, writer: Writer, operator_token: str, refusals: Refusals, *, public_read: bool = False
    ) -> None:
        self._engine, self._writer = engine, writer
        self._operator = hashlib.sha256(operator_token.encode()).digest()
        self._refusals = refusals
        self.public_read = public_read

    async def admit(self, request: Request, rule: Rule) -> Actor:
        """Who asks.

        Raises:
            UnauthenticatedError: the rule needs somebody, and there are no credentials or wrong ones.
            ForbiddenError: known, but without the role, or a change by a session without its CSRF token.
            TooOftenError: wrong credentials, once too often.
        """
        address = address_of(request)
        nobody = Actor("nobody", None, address)
        if rule.least is None:
            return nobody
        actor = await self.known(request)
        if actor is None and rule.open_data and self.public_read:
            return nobody
        if actor is None:
            raise UnauthenticatedError(
                "credentials", "this needs a login, or a token: Authorization: Bearer TOKEN (docs/users.md)"
            )
        if actor.role is None or RANK.index(actor.role) < RANK.index(rule.least):
            raise ForbiddenError("role", f"this needs the role {rule.least}; {actor.name} has the role {actor.role}")
        return actor

    async def known(self, request: Request) -> Actor | None:
        """Who asks; None: without credentials. Raises: as :meth:`admit` does for wrong ones."""
        authorization, address = request.headers.get("authorization", ""), address_of(request)
        if authorization:
            scheme, _, token = authorization.partition(" ")
            actor = await self._by_token(token.strip(), address) if scheme.lower() == "bearer" else None
            if actor is None:
                self._refusals.wrong(address, "token")
                raise UnauthenticatedError(
                    "credentials", "the token is not one of this hub's, has expired or was withdrawn"
                )
            return actor
        secret = session_of(request)
        if secret is None:
            return None
        actor = await run_in_threadpool(self._by_session, secret, address)
        if actor is None:  # no reason to be slowed down: each session ends once
            raise UnauthenticatedError("session", "the session is over: log in again")
        if request.method not in SAFE and not is_csrf(secret, request.headers.get(CSRF_HEADER)):
            raise ForbiddenError("csrf", f"a change by a session needs its token in {CSRF_HEADER}: GET /api/v1/me")
        return actor

    async def _by_token(self, token: str, address: str) -> Actor | None:
        if hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._operator):
            return Actor("token:operator", Role.ADMIN, address)
        if not token.startswith(API_TOKEN_PREFIX):
            return None
        return await run_in_threadpool(self._by_api_token, token, address)

    def _by_api_token(self, token: str, address: str) -> Actor | None:
        at, found = now_ms(), api_tokens.c.hash == secret_hash(token)
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(api_tokens).where(found)).first()
        if row is None or row.withdrawn_ms is not None or row.expires_ms <= at:
            return None
        if row.used_ms is None or row.used_ms < at - at % DAY_MS:
            used = api_tokens.update().where(found).values(used_ms=at - at % DAY_MS)
            self._writer.submit(lambda c: c.execute(used))
        return Actor(f"token:{row.name}", Role(row.role), address, row.department)

    def _by_session(self, secret: str, address: str) -> Actor | None:
        at, found = now_ms(), sessions.c.hash == secret_hash(secret)
        query = sa.select(sessions.c.seen_ms, users.c.name, users.c.role, users.c.department)
        query = query.join_from(sessions, users).where(
            found, sa.not_(sessions.c.link), sa.not_(users.c.disabled), sessions.c.expires_ms > at
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None or row.seen_ms < at - IDLE_MS:
            return None
        if row.seen_ms < at - 60_000:
            seen = sessions.update().where(found).values(seen_ms=at)
            self._writer.submit(lambda c: c.execute(seen))
        return Actor(f"user:{row.name}", Role(row.role), address, row.department)


def address_of(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def cookie_name(request: Request) -> str:
    """``__Host-``: no other host of the domain can set it."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def session_of(request: Request) -> str | None:
    return request.cookies.get(cookie_name(request))


def csrf_of(secret: str) -> str:
    """A session's CSRF token: whoever has the session can make it, and nobody else."""
    return hmac.digest(secret.encode(), b"csrf", "sha256").hex()


def is_csrf(secret: str, given: str | None) -> bool:
    return given is not None and hmac.compare_digest(csrf_of(secret).encode(), given.encode())
