"""Records of commissioning: a node hands them in, people read them."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response

from wayside.cloud.hub import audit, commissioning, views
from wayside.cloud.hub.auth import used_nonce
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.people.access import Seen, allow, by_node
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.registry import Node
from wayside.cloud.hub.serials import Serials
from wayside.cloud.hub.signed import HEADERS, SignedRequests
from wayside.cloud.hub.writer import Writer
from wayside.contracts.commissioning import MAX_RECORD_BYTES, CommissioningReply, SignedCommissioning

_BODY_BYTES = 4 * MAX_RECORD_BYTES  # the record is a string in JSON: its quotes and umlauts grow


def routes(engine: sa.Engine, writer: Writer, signed: SignedRequests, serials: Serials) -> APIRouter:
    router = APIRouter(tags=["commissioning"])

    @router.post(
        "/api/v1/commissioning",
        dependencies=[by_node()],
        responses=answers(CommissioningReply, errors=(400, 401, 403, 408, 409, 413, 422, 429, 503, 507)),
        openapi_extra=takes(SignedCommissioning) | HEADERS,
    )
    async def commission(request: Request) -> Response:
        """A signed record of commissioning. A 200 means: committed to disk; the same record again is harmless."""
        return await signed.answer(request, keep)

    async def keep(request: Request, known: Node) -> tuple[Response, int]:
        node, document, _, serial = await signed.document(
            request, known, _BODY_BYTES, lambda body: decoded(body, SignedCommissioning)
        )
        record = commissioning.verified(document, node)
        at = now_ms()
        by = Actor(f"node:{node.name}", None, request.client.host if request.client is not None else "")

        def job(connection: sa.Connection) -> bool | None:
            if not serials.take(connection, node.id, serial):
                return None  # not raised: it would undo the work of those whose transaction it shares
            serials.note(connection, node.id)
            new = commissioning.store(connection, node, document, record, at)
            if new:
                about = {"record": record.id, "by": record.by, "passed": record.passed}
                audit.record(connection, by, "node.commissioned", node.name, at, **about)
            return new

        new = await writer.write(job, node.id)
        if new is None:
            raise used_nonce()
        return reply(CommissioningReply(id=record.id, new=new)), serial + 1

    @router.get(
        "/api/v1/nodes/{node:path}/commissioning",
        dependencies=[allow(Role.DEPARTMENT)],
        responses=answers(views.CommissioningPage, errors=(404, 422)),
    )
    def list_records(
        sight: Seen,
        node: Annotated[str, Path(max_length=64)],
        cursor: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> Response:
        """The newest records first, each as it was signed: ``contracts.commissioning`` says how to verify one."""
        with engine.connect() as connection:
            return reply(commissioning.of_node(connection, node, cursor, limit, sight=sight))

    return router
