"""What nodes ask: a nonce, enrolment, sync (docs/wire.md §2)."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response

from wayside.cloud.hub import registry
from wayside.cloud.hub.auth import Nonces
from wayside.cloud.hub.bodies import decoded_sync, read_body
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.errors import ForbiddenError, NotFoundError
from wayside.cloud.hub.ingest import Ingest, Stored
from wayside.cloud.hub.instances import Instances, Verdict
from wayside.cloud.hub.metrics import Metrics
from wayside.cloud.hub.offers import Offers
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.registry import Node, Registry
from wayside.cloud.hub.rollout_store import RolloutStore
from wayside.cloud.hub.signed import HEADERS, SignedRequests
from wayside.cloud.hub.writer import Writer
from wayside.contracts.identity import NONCE_HEADER
from wayside.contracts.sync import (
    MAX_BODY_BYTES,
    Desired,
    EnrolReply,
    EnrolRequest,
    NonceReply,
    SyncReply,
    SyncRequest,
)

_ENROL_BYTES = 16_384


def routes(
    *,
    writer: Writer,
    fleet: Registry,
    nonces: Nonces,
    signed: SignedRequests,
    ingest: Ingest,
    offers: Offers,
    rollouts: RolloutStore,
    instances: Instances,
    metrics: Metrics,
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
        """Bind a node to its public key with a one-time token; repeating it is harmless.

        With a replacement token (``POST /api/v1/nodes/{node}/replacement``) the key takes the node's place.
        """
        document = decoded(await read_body(request, _ENROL_BYTES), EnrolRequest)
        at = now_ms()

        def job(connection: sa.Connection) -> Node:
            node, _ = registry.enrol(connection, document, at)
            instances.forget(node.id)
            return node

        node = await writer.write(job)
        fleet.add(node)
        return reply(EnrolReply(node=node.name, hub_unix_ms=at), headers={NONCE_HEADER: nonces.issue(node.name)})

    @router.post(
        "/api/v1/sync",
        responses=answers(SyncReply, errors=(400, 401, 403, 409, 413, 422, 503, 507)),
        openapi_extra=takes(SyncRequest) | HEADERS,
    )
    async def sync(request: Request) -> Response:
        """Summaries and heartbeat in, desired state out. A 200 means: committed to disk.

        Every answer to a known node carries the nonce for its next request.
        """
        return await signed.answer(request, exchange)

    async def exchange(request: Request, node: Node) -> Response:
        plain, sent_bytes = await signed.body(request, node, MAX_BODY_BYTES)
        document = decoded_sync(plain)
        if document.node != node.name:
            raise ForbiddenError("other_node", f"{node.name} signed, but the request says {document.node}", "node")
        at = now_ms()

        def job(connection: sa.Connection) -> tuple[Verdict, Stored, bool, tuple[Desired, ...]]:
            verdict = instances.judge(connection, node, document.boot, document.machine, at)
            if verdict.refusal is not None:
                return verdict, Stored(0, 0), False, ()
            done = ingest.store(connection, node.id, document, sent_bytes, at)
            if verdict.disputed:
                return verdict, done, False, ()
            offer = offers.keep(connection, node.id, document.boot, document.offer)
            rollouts.observe(connection, node.name, document.heartbeat, offer, at)
            return verdict, done, offer.wanted, rollouts.wanted(connection, node.name, document.heartbeat)

        verdict, done, offer_wanted, wanted = await writer.write(job)
        if verdict.refusal is not None:  # not raised by the job: what it learned is to stay
            raise verdict.refusal
        metrics.rows.inc(done.stored)
        metrics.duplicates.inc(done.duplicates)
        return reply(
            SyncReply(
                stored=done.stored,
                duplicates=done.duplicates,
                hub_unix_ms=at,
                desired=wanted[0] if wanted else None,
                wanted=wanted,
                offer_wanted=offer_wanted,
                notices=verdict.notices,
            )
        )

    return router
