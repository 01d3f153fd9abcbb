"""Who belongs to the fleet: nodes are shut out, retired, labelled; enrolment tokens are listed and withdrawn."""

from __future__ import annotations

from typing import Annotated

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from wayside.cloud.hub import audit, membership, queries, views
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.bodies import read_body
from wayside.cloud.hub.membership import Leaves
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.people.access import By, allow
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.people.sight import EVERYTHING
from wayside.cloud.hub.registry import Node, Registry
from wayside.cloud.hub.rollout.store import Published, RolloutStore
from wayside.cloud.hub.serials import Serials
from wayside.cloud.hub.writer import Writer

_BODY_BYTES = 65_536
Name = Annotated[str, Path(max_length=64)]
_ERRORS = (400, 401, 403, 404, 408, 409, 413, 422, 429, 503, 507)


def routes(
    *,
    engine: sa.Engine,
    writer: Writer,
    fleet: Registry,
    serials: Serials,
    rollouts: RolloutStore,
    published: Published,
) -> APIRouter:
    router = APIRouter(tags=["fleet"], dependencies=[allow(Role.OPERATOR)])

    async def shown(node: str) -> Response:
        def read() -> views.NodeView:
            with engine.connect() as connection:
                return queries.get_node(connection, node, now_ms(), published, sight=EVERYTHING)

        return reply(await run_in_threadpool(read))

    async def shut_out(request: Request, name: str, how: Leaves, by: Actor) -> Response:
        document = decoded(await read_body(request, _BODY_BYTES), views.OutRequest)
        at = now_ms()

        def job(connection: sa.Connection) -> Node:
            node, _ = membership.shut_out(connection, rollouts, name, how=how, reason=document.reason, now_ms=at)
            audit.record(connection, by, f"node.{how}", name, at, reason=document.reason)
            serials.forget(node.id)  # a sync whose signature was good before is refused by its job
            return node

        known = fleet.get(name)
        fleet.add(await writer.write(job, known.id if known is not None else None))
        return await shown(name)

    @router.post(
        "/api/v1/nodes/{node:path}/revocation",
        responses=answers(views.NodeView, errors=_ERRORS),
        openapi_extra=takes(views.OutRequest),
    )
    async def revoke(request: Request, node: Name, by: By) -> Response:
        """Its key is refused from now on; what it delivered stays. A replacement puts hardware in its place."""
        return await shut_out(request, node, "revoked", by)

    @router.post(
        "/api/v1/nodes/{node:path}/retirement",
        responses=answers(views.NodeView, errors=_ERRORS),
        openapi_extra=takes(views.OutRequest),
    )
    async def retire(request: Request, node: Name, by: By) -> Response:
        """It leaves lists, counts and rollouts; its history stays, and its name with it."""
        return await shut_out(request, node, "retired", by)

    @router.post(
        "/api/v1/nodes/{node:path}/description",
        responses=answers(views.NodeView, errors=_ERRORS),
        openapi_extra=takes(views.NodeChange),
    )
    async def describe(request: Request, node: Name, by: By) -> Response:
        """Set what people call it, or its site. Its name is what it signs with, and stays."""
        document = decoded(await read_body(request, _BODY_BYTES), views.NodeChange)
        fields = {"label": document.label, "site": document.site}
        changes = {field: value for field, value in fields.items() if not isinstance(value, msgspec.UnsetType)}

        def job(connection: sa.Connection) -> None:
            before = membership.describe(connection, node, changes)
            audit.record(connection, by, "node.described", node, before=before, after=changes)

        await writer.write(job)
        return await shown(node)

    @router.get("/api/v1/tokens", responses=answers(views.TokenList, errors=(401, 403, 422, 429)))
    def list_tokens(*, every: Annotated[bool, Query(alias="all")] = False) -> Response:
        """Enrolment tokens that may still be used, or all that were made; none can be read from it."""
        with engine.connect() as connection:
            return reply(views.TokenList(tokens=membership.list_tokens(connection, now_ms(), only_open=not every)))

    @router.delete(
        "/api/v1/tokens/{token}", responses=answers(views.TokenList, errors=(401, 403, 404, 409, 422, 429, 503, 507))
    )
    async def withdraw_token(token: Annotated[str, Path(pattern=r"^[0-9a-f]{6,64}$")], by: By) -> Response:
        """Nobody enrols with it; ``token`` is the ``id`` of the list, or begins it."""

        def job(connection: sa.Connection) -> views.TokenView:
            done, _ = membership.withdraw_token(connection, token, now_ms())
            audit.record(connection, by, "token.withdrawn", done.node or "", id=done.id)
            return done

        return reply(views.TokenList(tokens=[await writer.write(job)]))

    return router
