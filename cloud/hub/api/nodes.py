"""What nodes ask: a nonce, enrolment, sync (docs/wire.md §2)."""

from __future__ import annotations

import time
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from wayside.cloud.hub import audit, registry
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.bodies import decoded_sync, read_body
from wayside.cloud.hub.door.limits import Refusals
from wayside.cloud.hub.door.quotas import NOTICE
from wayside.cloud.hub.door.steering import Steering
from wayside.cloud.hub.errors import ForbiddenError, HubError
from wayside.cloud.hub.exchange import Asked, Exchange
from wayside.cloud.hub.health import DEFAULT_GAP_S
from wayside.cloud.hub.metrics import Metrics
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.people.access import by_node
from wayside.cloud.hub.people.actor import Actor
from wayside.cloud.hub.registry import Enrolled, Node, Registry
from wayside.cloud.hub.serials import Serials
from wayside.cloud.hub.signed import HEADERS, SignedRequests
from wayside.cloud.hub.writer import Writer
from wayside.contracts.identity import NONCE_HEADER
from wayside.contracts.sync import (
    MAX_BODY_BYTES,
    EnrolReply,
    EnrolRequest,
    NonceReply,
    SyncReply,
    SyncRequest,
)

_ENROL_BYTES = 16_384


def routes(
    *,
    engine: sa.Engine,
    refusals: Refusals,
    writer: Writer,
    fleet: Registry,
    signed: SignedRequests,
    serials: Serials,
    metrics: Metrics,
    steering: Steering,
    exchange: Exchange,
) -> APIRouter:
    router = APIRouter(tags=["nodes"], dependencies=[by_node()])

    @router.get("/api/v1/nonce", responses=answers(NonceReply, errors=(404, 422, 503)))
    async def nonce(node: Annotated[str, Query(max_length=64)]) -> Response:
        """A single-use nonce for a node's next signed request."""
        return reply(NonceReply(nonce=await signed.nonce_for(node)))

    def check(document: EnrolRequest, at: int) -> None:
        with engine.connect() as connection:
            registry.check(connection, document, at)

    @router.post(
        "/api/v1/enrol",
        responses=answers(EnrolReply, errors=(400, 403, 408, 409, 413, 422, 429, 503, 507)),
        openapi_extra=takes(EnrolRequest),
    )
    async def enrol(request: Request) -> Response:
        """Bind a node to its public key with a one-time token; repeating it is harmless.

        With a replacement token (``POST /api/v1/nodes/{node}/replacement``) the key takes the node's place.
        """
        address = request.client.host if request.client is not None else ""
        refusals.admit(address)
        try:
            document = decoded(await read_body(request, _ENROL_BYTES), EnrolRequest)
            at = now_ms()
            await run_in_threadpool(check, document, at)
        except HubError:
            refusals.note(address, "enrolment")
            raise

        def job(connection: sa.Connection) -> Node:
            node, outcome = registry.enrol(connection, document, at)
            serials.forget(node.id)
            _record(connection, outcome, document, address, at)
            return node

        node = await writer.write(job)
        fleet.add(node)
        return reply(EnrolReply(node=node.name, hub_unix_ms=at), headers={NONCE_HEADER: await signed.nonce(node)})

    @router.post(
        "/api/v1/sync",
        responses=answers(SyncReply, errors=(400, 401, 403, 408, 409, 413, 422, 429, 503, 507)),
        openapi_extra=takes(SyncRequest) | HEADERS,
    )
    async def sync(request: Request) -> Response:
        """Summaries and heartbeat in, desired state out. A 200 means: committed to disk.

        Every answer to a known node carries the nonce for its next request.
        """
        return await signed.answer(request, synced)

    async def synced(request: Request, known: Node) -> tuple[Response, int]:
        node, document, sent_bytes, serial = await signed.document(request, known, MAX_BODY_BYTES, decoded_sync)
        began = time.perf_counter()
        if document.node != node.name:
            raise ForbiddenError("other_node", f"{node.name} signed, but the request says {document.node}", "node")
        at = now_ms()

        asked = Asked(node, document, sent_bytes, serial)
        done = await writer.write(lambda c: exchange.serve(c, asked, at), node.id)
        verdict, left = done.verdict, done.left
        steering.note(time.perf_counter() - began)
        if verdict.refusal is not None:  # not raised by the job: what it learned is to stay
            raise verdict.refusal
        metrics.rows.inc(done.stored.stored)
        metrics.duplicates.inc(done.stored.duplicates)
        beat = document.heartbeat
        at_node = beat.backlog - len(document.summaries)
        turn = steering.turn(node.name, beat.sync_s or DEFAULT_GAP_S, at_node if left is None else min(at_node, left))
        answer = reply(
            SyncReply(
                stored=done.stored.stored,
                duplicates=done.stored.duplicates,
                hub_unix_ms=at,
                not_before_s=turn.not_before_s,
                grant=turn.grant if left is None else left if turn.grant is None else min(left, turn.grant),
                desired=done.wanted[0] if done.wanted else None,
                wanted=done.wanted,
                offer_wanted=done.offer_wanted,
                notices=(*verdict.notices, NOTICE) if left == 0 else verdict.notices,
                restored=done.restored,
            )
        )
        return answer, serial + 1

    return router


def _record(connection: sa.Connection, outcome: Enrolled, document: EnrolRequest, address: str, at: int) -> None:
    if outcome == "same":
        return
    action = "node.enrolled" if outcome == "new" else "node.replaced"
    about = {"hardware": document.hardware, "key": document.public_key, "token": registry.shown(document.token)}
    audit.record(connection, Actor(f"node:{document.node}", None, address), action, document.node, at, **about)
