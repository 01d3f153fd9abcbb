"""The hub's FastAPI app: parts put together, errors in one shape, background work."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import DBAPIError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside.cloud.hub import audit, openapi, pages
from wayside.cloud.hub.api import accounts as api_accounts
from wayside.cloud.hub.api import audit as api_audit
from wayside.cloud.hub.api import commissioning as api_commissioning
from wayside.cloud.hub.api import fleet as api_fleet
from wayside.cloud.hub.api import health as api_health
from wayside.cloud.hub.api import membership as api_membership
from wayside.cloud.hub.api import nodes as api_nodes
from wayside.cloud.hub.api import operator as api_operator
from wayside.cloud.hub.api import reads as api_reads
from wayside.cloud.hub.api import restored as api_restored
from wayside.cloud.hub.api import rollouts as api_rollouts
from wayside.cloud.hub.api import tuf as api_tuf
from wayside.cloud.hub.auth import Nonces, load_nonce_key
from wayside.cloud.hub.backups.ahead import Ahead
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.hosts import HostNames, TrustedHosts
from wayside.cloud.hub.door.lanes import Lanes
from wayside.cloud.hub.door.limits import Refusals
from wayside.cloud.hub.door.quotas import Keeper, Quotas
from wayside.cloud.hub.door.steering import Steering
from wayside.cloud.hub.engine import migrate, open_engine, translated
from wayside.cloud.hub.errors import HubError, StoreFullError, StoreUnavailableError
from wayside.cloud.hub.exchange import Exchange
from wayside.cloud.hub.ingest import Ingest
from wayside.cloud.hub.instances import Instances
from wayside.cloud.hub.metrics import Metrics
from wayside.cloud.hub.peers import Peers
from wayside.cloud.hub.people.access import Access, allow, each, undeclared
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.people.devices import Devices
from wayside.cloud.hub.people.login import Login
from wayside.cloud.hub.people.passwords import Passwords
from wayside.cloud.hub.registry import Registry
from wayside.cloud.hub.retention.cold import Cold
from wayside.cloud.hub.retention.upkeep import keep_retention, keep_rolled
from wayside.cloud.hub.rollout.offers import Offers
from wayside.cloud.hub.rollout.store import RolloutStore
from wayside.cloud.hub.serials import Serials
from wayside.cloud.hub.signed import SignedRequests
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.watch import Watch
from wayside.cloud.hub.writer import Writer
from wayside.contracts.sync import ErrorReply

if TYPE_CHECKING:
    from wayside.cloud.hub.people.oidc import Provider

TICK_S = 1.0  # deadlines of rollouts
TUF_REFRESH_S = 900.0
_log = logging.getLogger("wayside.hub")

SECURITY_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
HSTS = (b"strict-transport-security", b"max-age=31536000")  # RFC 6797: over HTTPS alone


def create_app(
    data: Path,
    operator_token: str,
    database: str | None = None,
    *,
    public_read: bool = False,
    provider: Provider | None = None,
    names: HostNames | None = None,
    quotas: Quotas = Quotas(),  # noqa: B008  immutable
) -> FastAPI:
    """The app over an initialised data directory; its schema is brought up to date.

    Args:
        database: PostgreSQL's address; None: the rows are in the data directory.
        names: by which the hub may be asked; None: by any.
        quotas: of each node.

    Raises:
        ConfigurationError, StoreUnavailableError: the data directory or the database cannot be used.
    """
    migrate(data, database=database)
    engine = open_engine(data, database)
    tuf, metrics = TufRepository(data), Metrics(engine)
    key = load_nonce_key(data)
    fleet, nonces, devices = Registry(), Nonces(key), Devices(key)
    ingest, offers, instances = Ingest(grouped=True), Offers(), Instances()
    ahead, keeper = Ahead(lambda: tuf.versions), Keeper(quotas)
    rollouts, cold = RolloutStore(tuf.find, ahead), Cold(data)
    refusals, passwords = Refusals(count=metrics.count_refused), Passwords()

    serials, peers = Serials(ingest, offers, instances, keeper), Peers(engine, fleet)
    exchange = Exchange(
        serials=serials, instances=instances, keeper=keeper, ingest=ingest, offers=offers, rollouts=rollouts
    )

    writer = Writer(
        engine, exchange.forget, exchange.begin, functools.partial(audit.committed, data), on_end=ingest.flush
    )

    watch = Watch(data, engine, writer, tuf, ahead)
    engine.dispose()  # workers may be forked from here on: each opens connections of its own

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with engine.connect() as connection:
            fleet.load(connection)
        for thread in (writer, peers, watch):
            thread.start()
        await writer.write(lambda c: audit.record_found(c, tuf.versions))
        tasks = [
            asyncio.create_task(_keep_deadlines(writer, rollouts, peers)),
            asyncio.create_task(_keep_tuf_fresh(tuf, peers)),
            asyncio.create_task(keep_rolled(writer, peers)),
            asyncio.create_task(keep_retention(data, database, peers)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for thread in (watch, writer, peers):
                await asyncio.to_thread(thread.stop)
            passwords.close()
            engine.dispose()

    app = FastAPI(
        title="wayside hub",
        version="1",
        description="Nodes sync summaries and learn what to run; operators roll models out; people look.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.access = Access(engine, writer, operator_token, refusals, public_read=public_read)
    signed = SignedRequests(engine, fleet, nonces, shared=peers.are_possible)
    app.include_router(
        api_nodes.routes(
            engine=engine,
            refusals=refusals,
            writer=writer,
            fleet=fleet,
            signed=signed,
            serials=serials,
            metrics=metrics,
            steering=Steering(),
            exchange=exchange,
        )
    )
    app.include_router(api_commissioning.routes(engine, writer, signed, serials))  # before /nodes/{node:path}
    # Before /rollouts/{rollout}: it has /rollouts/preview.
    app.include_router(api_rollouts.routes(engine, writer, rollouts, tuf))
    app.include_router(api_fleet.routes(engine, tuf.find))
    app.include_router(
        api_membership.routes(
            engine=engine, writer=writer, fleet=fleet, serials=serials, rollouts=rollouts, published=tuf.find
        )
    )
    app.include_router(api_audit.routes(engine))
    app.include_router(api_health.routes(watch))
    app.include_router(api_reads.routes(engine, cold, tuf.find))
    app.include_router(api_restored.routes(engine, writer, rollouts, ahead, tuf.find))
    app.include_router(api_operator.routes(writer=writer, instances=instances, serials=serials))
    _include_people(app, engine, writer, refusals=refusals, passwords=passwords, provider=provider, devices=devices)
    app.include_router(api_tuf.routes(tuf, writer))

    _include_metrics(app, metrics)
    _answer_failures(app)
    _wrap(app, metrics, names)
    _refuse_undeclared(app)
    return app


def _refuse_undeclared(app: FastAPI) -> None:
    if open_to_all := undeclared(app.routes):
        raise AssertionError(f"routes that do not declare who may ask: {open_to_all}")


def _include_metrics(app: FastAPI, metrics: Metrics) -> None:
    @app.get(
        "/metrics",
        dependencies=[allow(Role.VIEWER)],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def show_metrics() -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _include_people(
    app: FastAPI,
    engine: sa.Engine,
    writer: Writer,
    *,
    refusals: Refusals,
    passwords: Passwords,
    devices: Devices,
    provider: Provider | None,
) -> None:
    """Their accounts, their logins and the page."""
    app.include_router(api_accounts.routes(engine, writer))
    templates = pages.templates()
    login = Login(
        engine=engine,
        writer=writer,
        access=app.state.access,
        refusals=refusals,
        passwords=passwords,
        devices=devices,
        templates=templates,
        provider=provider,
    )
    app.include_router(pages.routes(login, templates))
    app.mount("/static", pages.static_files())


class Measured:
    """ASGI: request times by route, and the security headers on every answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                over_tls = [HSTS] if scope.get("scheme") == "https" else []
                message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS, *over_tls]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, scope["method"], status).observe(time.perf_counter() - started)


async def _keep_deadlines(writer: Writer, rollouts: RolloutStore, peers: Peers) -> None:
    def tick(connection: sa.Connection) -> None:
        rollouts.tick(connection, now_ms())

    while True:
        await asyncio.sleep(TICK_S)
        if peers.leads and (peers.are_possible or rollouts.due()):  # another one may have begun a rollout
            try:
                await writer.write(tick)
            except HubError as exc:
                _log.warning("deadlines not checked: %s", exc.message)


async def _keep_tuf_fresh(tuf: TufRepository, peers: Peers) -> None:
    anew = True
    while True:
        if not peers.leads:
            await asyncio.sleep(TICK_S)
            continue
        try:
            if await asyncio.to_thread(tuf.refresh, anew=anew):
                anew = False
                _log.info("signed a new TUF timestamp")
        except (HubError, OSError) as exc:
            _log.error("cannot sign the TUF timestamp: %s", exc)
        await asyncio.sleep(TUF_REFRESH_S)


def _wrap(app: FastAPI, metrics: Metrics, names: HostNames | None) -> None:
    app.add_middleware(Lanes)
    app.add_middleware(TrustedHosts, names=names)
    app.add_middleware(Measured, metrics=metrics)
    openapi.describe(app)


def _answer_failures(app: FastAPI) -> None:
    app.add_exception_handler(HubError, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(DBAPIError, _answer_store)
    app.add_exception_handler(TimeoutError, _answer_store)
    app.add_exception_handler(OSError, _answer_disk)
    app.add_exception_handler(Exception, _answer_bug)


def _answer(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HubError)  # noqa: S101 registered for it
    if exc.status == 401 and request.url.path == "/" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/login", 303)
    return openapi.refusal(exc)


def _answer_invalid(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101
    first: dict[str, Any] = dict(exc.errors()[0])
    field = ".".join(str(part) for part in first["loc"])[:256]
    return openapi.reply(ErrorReply(error="invalid", message=f"{field}: {first['msg']}"[:1024], field=field), 422)


def _answer_http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101
    code = {404: "not_found", 405: "method_not_allowed"}.get(exc.status_code, "http")
    headers = dict(exc.headers or {})
    if exc.status_code == 405:  # the router names only the first route of this path
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    said = "the hub has nothing at this address" if exc.status_code == 404 else str(exc.detail)
    return openapi.reply(ErrorReply(error=code, message=said[:1024]), exc.status_code, headers)


def _methods(request: Request) -> set[str]:
    """Of the path that says most: a node's own path also takes what stands behind its name."""
    found = [route for route in each(request.app.routes) if route.path_regex.match(request.url.path)]
    closest = max((route.path_format for route in found), key=len, default="")
    return {method for route in found if route.path_format == closest for method in route.methods or ()}


def _answer_store(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, DBAPIError | TimeoutError)  # noqa: S101
    return _answer(request, translated(exc))


def _answer_disk(request: Request, exc: Exception) -> Response:
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _answer(request, StoreFullError("store_full", "the hub's disk is full; send it again later"))
    return _answer(request, StoreUnavailableError("store_unavailable", f"the hub's disk fails: {exc}"))


def _answer_bug(_request: Request, exc: Exception) -> Response:
    _log.exception("a bug of the hub", exc_info=exc)
    return openapi.reply(ErrorReply(error="bug", message="the hub failed; its log says where"), 500)
