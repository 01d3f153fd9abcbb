"""Requests that a node signs: who asks, whether the key is still its own, and the nonce for its next one."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response

from wayside.cloud.hub import registry
from wayside.cloud.hub.auth import Nonces, verify_signature
from wayside.cloud.hub.bodies import decompressed, read_body
from wayside.cloud.hub.errors import HubError, UnauthenticatedError
from wayside.cloud.hub.openapi import reply
from wayside.cloud.hub.registry import Node, Registry
from wayside.contracts.identity import NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER

HEADERS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in (NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER)
    ]
}
"""FastAPI's ``openapi_extra`` for a signed request."""


class SignedRequests:
    """The event loop's, as the nonces are."""

    def __init__(self, fleet: Registry, nonces: Nonces) -> None:
        self._fleet = fleet
        self._nonces = nonces

    async def answer(self, request: Request, act: Callable[[Request, Node], Awaitable[Response]]) -> Response:
        """``act``'s answer or refusal with the nonce for the node's next request.

        Raises:
            UnauthenticatedError: no such node is enrolled.
        """
        node = self._fleet.get(request.headers.get(NODE_HEADER, ""))
        if node is None:
            raise UnauthenticatedError("unknown_node", "no such node is enrolled here; enrol first", NODE_HEADER)
        try:
            answer = await act(request, node)
        except HubError as exc:
            answer = reply(exc.reply(), exc.status)
        answer.headers[NONCE_HEADER] = self._nonces.issue(node.name)
        return answer

    async def body(self, request: Request, node: Node, limit: int) -> tuple[bytes, int]:
        """The body, signed by the node's present key over a nonce, which is used up; and its size as sent.

        Raises:
            UnauthenticatedError: nonce or signature.
            ForbiddenError: a key that the node had before made the signature.
            TooLargeError, BadRequestError: the body itself.
        """
        given, signature = request.headers.get(NONCE_HEADER, ""), request.headers.get(SIGNATURE_HEADER, "")
        issued = self._nonces.check(node.name, given)
        sent = await read_body(request, limit)
        what: dict[str, Any] = {
            "node": node.name,
            "nonce": given,
            "method": "POST",
            "path": request.url.path,
            "body": sent,
        }
        try:
            verify_signature(node.key, signature, **what)
        except UnauthenticatedError:
            for past in node.past:
                with contextlib.suppress(UnauthenticatedError):
                    verify_signature(past.key, signature, **what)
                    raise registry.revoked(node, past.key.public_bytes_raw().hex()) from None
            raise
        self._nonces.check(node.name, given)  # again: another request may have used it while the body arrived
        self._nonces.use(node.name, issued)
        return decompressed(sent, request.headers.get("content-encoding"), limit), len(sent)
