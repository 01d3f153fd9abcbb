"""What nodes ask: a nonce, enrolment, sync (docs/wire.md §2)."""

from __future__ import annotations

import time
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response

from cloud.hub import registry
from cloud.hub.auth import Nonces, verify_signature
from cloud.hub.bodies import decoded_sync, decompressed, read_body
from cloud.hub.errors import ForbiddenError, HubError, NotFoundError, UnauthenticatedError
from cloud.hub.ingest import Ingest, Stored
from cloud.hub.metrics import Metrics
from cloud.hub.openapi import answers, decoded, reply, takes
from cloud.hub.registry import Node, Registry
from cloud.hub.rollout_store import RolloutStore
from cloud.hub.writer import Writer
from contracts.identity import NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER
from contracts.sync import (
    MAX_BODY_BYTES,
    Desired,
    EnrolReply,
    EnrolRequest,
    NonceReply,
    SyncReply,
    SyncRequest,
)

SYNC_PATH = "/api/v1/sync"
_ENROL_BYTES = 16_384
_SIGNED = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
    for name in (NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER)
]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def routes(
    *, writer: Writer, fleet: Registry, nonces: Nonces, ingest: Ingest, rollouts: RolloutStore, metrics: Metrics
) -> APIRouter:
    router = APIRouter(tags=["nodes"])

    @router.get("/api/v1/nonce", responses=answers(NonceReply, errors=(404, 422)))
    async def nonce(node: Annotated[str, Query(max_length=64)]) -> Response:
        """A single-use nonce for a node's next signed request."""
        if fleet.get(node) is None:
            raise NotFoundError("unknown_node", f"no node {node!r} is enrolled here; enrol first")
        return reply(NonceReply(nonce=nonces.issue(node)))

    @router.post(
        "/api/v1/enrol",
        responses=answers(EnrolReply, errors=(400, 403, 409, 413, 422, 503, 507)),
        openapi_extra=takes(EnrolRequest),
    )
    async def enrol(request: Request) -> Response:
        """Bind a node to its public key with a one-time token; repeating it is harmless."""
        document = decoded(await read_body(request, _ENROL_BYTES), EnrolRequest)
        at = now_ms()

        def job(connection: sa.Connection) -> Node:
            node, new = registry.enrol(connection, document, at)
            if new:
                rollouts.join(connection, node.name)
            return node

        node = await writer.write(job)
        fleet.add(node)
        return reply(EnrolReply(node=node.name, hub_unix_ms=at), headers={NONCE_HEADER: nonces.issue(node.name)})

    @router.post(
        SYNC_PATH,
        responses=answers(SyncReply, errors=(400, 401, 403, 413, 422, 503, 507)),
        openapi_extra=takes(SyncRequest) | {"parameters": _SIGNED},
    )
    async def sync(request: Request) -> Response:
        """Summaries and heartbeat in, desired state out. A 200 means: committed to disk.

        Every answer to a known node carries the nonce for its next request.
        """
        node = fleet.get(request.headers.get(NODE_HEADER, ""))
        if node is None:
            raise UnauthenticatedError("unknown_node", "no such node is enrolled here; enrol first", NODE_HEADER)
        try:
            return await signed_sync(request, node)
        except HubError as exc:
            return reply(exc.reply(), exc.status, {NONCE_HEADER: nonces.issue(node.name)})

    async def signed_sync(request: Request, node: Node) -> Response:
        given = request.headers.get(NONCE_HEADER, "")
        issued = nonces.check(node.name, given)
        sent = await read_body(request, MAX_BODY_BYTES)
        verify_signature(
            node.key,
            request.headers.get(SIGNATURE_HEADER, ""),
            node=node.name,
            nonce=given,
            method="POST",
            path=SYNC_PATH,
            body=sent,
        )
        nonces.check(node.name, given)  # again: another request may have used it while the body arrived
        nonces.use(node.name, issued)
        plain = decompressed(sent, request.headers.get("content-encoding"), MAX_BODY_BYTES)
        document = decoded_sync(plain)
        if document.node != node.name:
            raise ForbiddenError("other_node", f"{node.name} signed, but the request says {document.node}", "node")
        at = now_ms()

        def job(connection: sa.Connection) -> tuple[Stored, Desired | None]:
            done = ingest.store(connection, node.id, document, len(sent), at)
            rollouts.observe(connection, node.name, document.heartbeat.reported, at)
            return done, rollouts.desired(connection, node.name)

        done, desired = await writer.write(job)
        metrics.rows.inc(done.stored)
        metrics.duplicates.inc(done.duplicates)
        answer = SyncReply(stored=done.stored, duplicates=done.duplicates, hub_unix_ms=at, desired=desired)
        return reply(answer, headers={NONCE_HEADER: nonces.issue(node.name)})

    return router
