"""Records of commissioning: a node hands them in, anybody reads them."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response

from wayside.cloud.hub import commissioning, views
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.registry import Node
from wayside.cloud.hub.signed import HEADERS, SignedRequests
from wayside.cloud.hub.writer import Writer
from wayside.contracts.commissioning import MAX_RECORD_BYTES, CommissioningReply, SignedCommissioning

_BODY_BYTES = 4 * MAX_RECORD_BYTES  # the record is a string in JSON: its quotes and umlauts grow


def routes(engine: sa.Engine, writer: Writer, signed: SignedRequests) -> APIRouter:
    router = APIRouter(tags=["commissioning"])

    @router.post(
        "/api/v1/commissioning",
        responses=answers(CommissioningReply, errors=(400, 401, 403, 409, 413, 422, 503, 507)),
        openapi_extra=takes(SignedCommissioning) | HEADERS,
    )
    async def commission(request: Request) -> Response:
        """A signed record of commissioning. A 200 means: committed to disk; the same record again is harmless."""
        return await signed.answer(request, keep)

    async def keep(request: Request, node: Node) -> Response:
        plain, _ = await signed.body(request, node, _BODY_BYTES)
        document = decoded(plain, SignedCommissioning)
        record = commissioning.verified(document, node)
        at = now_ms()
        new = await writer.write(lambda c: commissioning.store(c, node, document, record, at))
        return reply(CommissioningReply(id=record.id, new=new))

    @router.get(
        "/api/v1/nodes/{node:path}/commissioning", responses=answers(views.CommissioningPage, errors=(404, 422))
    )
    def list_records(
        node: Annotated[str, Path(max_length=64)],
        cursor: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> Response:
        """The newest records first, each as it was signed: ``contracts.commissioning`` says how to verify one."""
        with engine.connect() as connection:
            return reply(commissioning.of_node(connection, node, cursor, limit))

    return router
