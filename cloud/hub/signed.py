"""Requests that a node signs: who asks, whether the key is still its own, and the nonce for its next one."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError

from wayside.cloud.hub import registry
from wayside.cloud.hub.auth import Nonces, verify_signature
from wayside.cloud.hub.door.bodies import decompressed, read_body
from wayside.cloud.hub.door.shares import Shares
from wayside.cloud.hub.errors import HubError, NotFoundError, TooBusyError, UnauthenticatedError
from wayside.cloud.hub.openapi import refusal
from wayside.cloud.hub.registry import Node, Registry
from wayside.cloud.hub.serials import serial_of
from wayside.contracts.identity import NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER, signing_input

D = TypeVar("D")

AT_WORK = 64
"""Requests between body and answer at once. Some half a second of work: who comes beyond it would wait longer than its
patience, come again, and be work twice; told so at once, it backs off."""

HEADERS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in (NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER)
    ]
}
"""FastAPI's ``openapi_extra`` for a signed request."""


class Signed(NamedTuple, Generic[D]):
    """A request whose signature fits."""

    node: Node  # as it is now: another process may have given it another key
    document: D
    sent_bytes: int  # as sent, compressed
    serial: int  # that its nonce is for: whether that is still the present one, the writer says


class SignedRequests:
    """The event loop's, as the nonces are."""

    def __init__(self, engine: sa.Engine, fleet: Registry, nonces: Nonces, *, shared: bool) -> None:
        """Args:
        shared: whether other processes enrol nodes, too: whom this one does not know is looked for in the store.
        """
        self._engine = engine
        self._fleet = fleet
        self._nonces = nonces
        self._shared = shared
        self._shares = Shares()
        self._at_work: set[Request] = set()  # their bodies are complete

    async def answer(
        self, request: Request, act: Callable[[Request, Node], Awaitable[tuple[Response, int]]]
    ) -> Response:
        """``act``'s answer or refusal with the nonce for the node's next request.

        Args:
            act: returns its answer and the node's serial from then on.

        Raises:
            TooBusyError: the hub is behind; nothing was read.
            UnauthenticatedError: no such node is enrolled.
        """
        self.refuse_if_behind()
        node = await self.known(request.headers.get(NODE_HEADER, ""))
        if node is None:
            raise UnauthenticatedError("unknown_node", "no such node is enrolled here; enrol first", NODE_HEADER)
        try:
            answer, serial = await act(request, node)
            answer.headers[NONCE_HEADER] = self._nonces.issue(node.name, serial)
        except HubError as exc:
            answer = refusal(exc)
            with contextlib.suppress(DBAPIError):  # the store that fails is told already
                answer.headers[NONCE_HEADER] = await self.nonce(node)
        finally:
            self._at_work.discard(request)
        return answer

    def refuse_if_behind(self) -> None:
        """Raises: TooBusyError: as many requests are at work as are done before their nodes lose patience."""
        if len(self._at_work) >= AT_WORK:
            raise TooBusyError("behind", "the hub has more to do than it keeps up with: come again later")

    async def known(self, name: str) -> Node | None:
        """The enrolled node of this name."""
        node = self._fleet.get(name)
        if node is None and self._shared:
            node = await run_in_threadpool(self._find, name)
        return node

    async def nonce_for(self, name: str) -> str:
        """Raises: NotFoundError. TooBusyError: whoever asks would only send a body next."""
        self.refuse_if_behind()
        node = await self.known(name)
        if node is None:
            raise NotFoundError("unknown_node", f"no node {name!r} is enrolled here; enrol first")
        return await self.nonce(node)

    async def nonce(self, node: Node) -> str:
        """A nonce for the node's present serial."""
        return self._nonces.issue(node.name, await run_in_threadpool(self._serial, node.id))

    def _serial(self, node: int) -> int:
        with self._engine.connect() as connection:
            return serial_of(connection, node)

    def _find(self, name: str) -> Node | None:
        with self._engine.connect() as connection, contextlib.suppress(NotFoundError):
            node = registry.find(connection, name)
            self._fleet.add(node)
            return node
        return None

    async def document(self, request: Request, node: Node, limit: int, read: Callable[[bytes], D]) -> Signed[D]:
        """What ``read`` makes of the body, which the node's present key has signed over a nonce that is not known to be
        used. What reading costs is charged to the node.

        Raises:
            UnauthenticatedError: nonce or signature.
            ForbiddenError: a key that the node had before made the signature, or the node is shut out.
            TooLargeError, BadRequestError: the body itself.
            TooOftenError: the node has used up its share of the hub's time.
            TooBusyError: the hub is behind.
        """
        given, signature = request.headers.get(NONCE_HEADER, ""), request.headers.get(SIGNATURE_HEADER, "")
        serial = self._nonces.opened(node.name, given)
        sent = await read_body(request, limit)
        self.refuse_if_behind()  # bodies are complete at the same moment where many came at once
        self._at_work.add(request)
        what = signing_input(node=node.name, nonce=given, method="POST", path=request.url.path, body=sent)
        try:
            _verify(node, signature, what)
        except HubError:
            newer = await run_in_threadpool(self._find, node.name) if self._shared else None
            if newer is None or newer.public_key == node.public_key:
                raise
            node = newer
            _verify(node, signature, what)
        if node.out is not None and self._shared:  # another process may have let it in again
            newer = await run_in_threadpool(self._find, node.name)
            node = newer if newer is not None else node
        if node.out is not None:
            raise registry.shut_out(node.name, node.out)
        with self._shares.charged(node.id):
            plain = decompressed(sent, request.headers.get("content-encoding"), limit)
            return Signed(node, read(plain), len(sent), serial)


def _verify(node: Node, signature: str, what: bytes) -> None:
    try:
        verify_signature(node.key, signature, what)
    except UnauthenticatedError:
        for past in node.past:
            with contextlib.suppress(UnauthenticatedError):
                verify_signature(past.key, signature, what)
                raise registry.revoked(node, past.key.public_bytes_raw().hex()) from None
        raise
