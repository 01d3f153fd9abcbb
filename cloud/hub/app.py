"""The hub's FastAPI app: parts put together, errors in one shape, background work."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside.cloud.hub import openapi, pages
from wayside.cloud.hub.api import commissioning as api_commissioning
from wayside.cloud.hub.api import nodes as api_nodes
from wayside.cloud.hub.api import operator as api_operator
from wayside.cloud.hub.api import reads as api_reads
from wayside.cloud.hub.api import rollouts as api_rollouts
from wayside.cloud.hub.api import tuf as api_tuf
from wayside.cloud.hub.auth import Nonces
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.engine import migrate, open_engine, translated
from wayside.cloud.hub.errors import HubError, StoreFullError, StoreUnavailableError
from wayside.cloud.hub.ingest import Ingest
from wayside.cloud.hub.instances import Instances
from wayside.cloud.hub.metrics import Metrics
from wayside.cloud.hub.offers import Offers
from wayside.cloud.hub.queries import RecentStats
from wayside.cloud.hub.registry import Registry
from wayside.cloud.hub.rollout_store import RolloutStore
from wayside.cloud.hub.signed import SignedRequests
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.writer import Writer
from wayside.contracts.sync import ErrorReply

TICK_S = 1.0  # deadlines of rollouts
TUF_REFRESH_S = 900.0
_log = logging.getLogger("wayside.hub")

SECURITY_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


def create_app(data: Path, operator_token: str) -> FastAPI:
    """The app over an initialised data directory; its schema is brought up to date.

    Raises:
        ConfigurationError, StoreUnavailableError: the data directory cannot be used.
    """
    migrate(data)
    engine = open_engine(data)
    tuf = TufRepository(data)
    fleet, nonces, ingest, offers, instances = Registry(), Nonces(), Ingest(), Offers(), Instances()
    rollouts = RolloutStore(tuf.find)
    stats = RecentStats(engine)
    metrics = Metrics(engine, stats, tuf.find)

    def forget() -> None:
        ingest.forget()
        offers.forget()
        rollouts.forget()
        instances.forget()

    writer = Writer(engine, on_rollback=forget)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with engine.connect() as connection:
            fleet.load(connection)
        writer.start()
        tasks = [asyncio.create_task(_keep_deadlines(writer, rollouts)), asyncio.create_task(_keep_tuf_fresh(tuf))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(writer.stop)
            engine.dispose()

    app = FastAPI(
        title="wayside hub",
        version="1",
        description="Nodes sync summaries and learn what to run; operators roll models out; people look.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    signed = SignedRequests(fleet, nonces)
    app.include_router(
        api_nodes.routes(
            writer=writer,
            fleet=fleet,
            nonces=nonces,
            signed=signed,
            ingest=ingest,
            offers=offers,
            rollouts=rollouts,
            instances=instances,
            metrics=metrics,
        )
    )
    app.include_router(api_commissioning.routes(engine, writer, signed))  # before /nodes/{node:path}
    # Before /rollouts/{rollout}: it has /rollouts/preview.
    app.include_router(api_rollouts.routes(engine, writer, rollouts, tuf, operator_token))
    app.include_router(api_reads.routes(engine, stats, tuf.find))
    app.include_router(api_operator.routes(writer=writer, instances=instances, token=operator_token))
    app.include_router(api_tuf.routes(tuf, operator_token))
    app.include_router(pages.routes())
    app.mount("/static", pages.static_files())

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def show_metrics() -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.add_exception_handler(HubError, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(DBAPIError, _answer_store)
    app.add_exception_handler(OSError, _answer_disk)
    app.add_exception_handler(Exception, _answer_bug)
    app.add_middleware(Measured, metrics=metrics)
    openapi.describe(app)
    return app


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
                message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, scope["method"], status).observe(time.perf_counter() - started)


async def _keep_deadlines(writer: Writer, rollouts: RolloutStore) -> None:
    def tick(connection: sa.Connection) -> None:
        rollouts.tick(connection, now_ms())

    while True:
        await asyncio.sleep(TICK_S)
        if rollouts.due():
            try:
                await writer.write(tick)
            except HubError as exc:
                _log.warning("deadlines not checked: %s", exc.message)


async def _keep_tuf_fresh(tuf: TufRepository) -> None:
    while True:
        try:
            if await asyncio.to_thread(tuf.refresh):
                _log.info("signed a new TUF timestamp")
        except (HubError, OSError) as exc:
            _log.error("cannot sign the TUF timestamp: %s", exc)
        await asyncio.sleep(TUF_REFRESH_S)


def _answer(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HubError)  # noqa: S101 registered for it
    headers = {"WWW-Authenticate": "Bearer"} if exc.code == "operator" else None
    return openapi.reply(exc.reply(), exc.status, headers)


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
    return openapi.reply(ErrorReply(error=code, message=str(exc.detail)[:1024]), exc.status_code, headers)


def _methods(request: Request) -> set[str]:
    return {
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.path_regex.match(request.url.path)
        for method in route.methods or ()
    }


def _answer_store(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, DBAPIError)  # noqa: S101
    return _answer(request, translated(exc))


def _answer_disk(request: Request, exc: Exception) -> Response:
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _answer(request, StoreFullError("store_full", "the hub's disk is full; send it again later"))
    return _answer(request, StoreUnavailableError("store_unavailable", f"the hub's disk fails: {exc}"))


def _answer_bug(_request: Request, exc: Exception) -> Response:
    _log.exception("a bug of the hub", exc_info=exc)
    return openapi.reply(ErrorReply(error="bug", message="the hub failed; its log says where"), 500)
