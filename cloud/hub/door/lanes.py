"""Who looks at pages waits for others who look, and nobody else does: nodes, updates and health have their own way.

Threads and connections to the store are few. A page's question takes one of :data:`PAGES` places until its answer
begins; what nodes ask, the TUF repository and ``/healthz`` take none and so never find all threads in use.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside.cloud.hub.errors import TooBusyError
from wayside.cloud.hub.openapi import refusal

PAGES = 4  # questions at once; more would only take turns on a few cores
PATIENCE_S = 20.0
_OWN_WAY = ("/healthz", "/tuf/", "/static/", "/api/v1/sync", "/api/v1/nonce", "/api/v1/enrol", "/api/v1/commissioning")


class Lanes:
    """ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._places = asyncio.Semaphore(PAGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN_WAY):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._places.acquire()
        except TimeoutError:
            busy = TooBusyError("busy", "too many people look at once: ask again in a minute")
            await refusal(busy)(scope, receive, send)
            return
        place = _Place(self._places)

        async def send_without_place(message: Message) -> None:
            place.leave()  # it is computed: how slowly it is read is the reader's affair
            await send(message)

        async def receive_without_place() -> Any:
            # A body that comes slowly, or not at all, would hold the place as long.
            place.leave()
            message = await receive()
            await place.enter()
            return message

        try:
            await self._app(scope, receive_without_place, send_without_place)
        finally:
            place.leave()


class _Place:
    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._taken = True

    def leave(self) -> None:
        if self._taken:
            self._taken = False
            self._places.release()

    async def enter(self) -> None:
        if not self._taken:
            await self._places.acquire()
            self._taken = True
