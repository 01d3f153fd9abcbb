"""What the operator does: tokens and replacements. Hardware is a technician's business, too."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request, Response

from wayside.cloud.hub import audit, registry, views
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.bodies import read_body
from wayside.cloud.hub.instances import Instances
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.people.access import By, allow
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.serials import Serials
from wayside.cloud.hub.writer import Writer
from wayside.contracts.hub_api import TokenReply, TokenRequest

_BODY_BYTES = 65_536


def routes(*, writer: Writer, instances: Instances, serials: Serials) -> APIRouter:
    router = APIRouter(tags=["operator"], dependencies=[allow(Role.TECHNICIAN)])

    @router.post(
        "/api/v1/tokens",
        status_code=201,
        responses=answers(TokenReply, 201, errors=(400, 401, 408, 413, 422, 503, 507)),
        openapi_extra=takes(TokenRequest),
    )
    async def make_token(request: Request, by: By) -> Response:
        """A one-time enrolment token; it is shown only here."""
        document = decoded(await read_body(request, _BODY_BYTES), TokenRequest)
        at = now_ms()

        def job(connection: sa.Connection) -> str:
            about: dict[str, Any] = {"site": document.site, "ttl_s": document.ttl_s}
            made = registry.make_token(connection, node=document.node, now_ms=at, **about)
            audit.record(connection, by, "token.made", document.node or "", at, id=registry.shown(made), **about)
            return made

        made = await writer.write(job)
        return reply(TokenReply(token=made, node=document.node, expires_ms=at + int(document.ttl_s * 1000)), status=201)

    @router.post(
        "/api/v1/nodes/{node:path}/replacement",
        status_code=201,
        responses=answers(TokenReply, 201, errors=(400, 401, 404, 408, 413, 422, 503, 507)),
        openapi_extra=takes(views.ReplacementRequest),
    )
    async def replace(request: Request, node: Annotated[str, Path(max_length=64)], by: By) -> Response:
        """A one-time token with which new hardware takes over the node's name; then the old key is revoked."""
        document = decoded(await read_body(request, _BODY_BYTES), views.ReplacementRequest)
        at = now_ms()

        def job(connection: sa.Connection) -> str:
            about: dict[str, Any] = {"reason": document.reason, "ttl_s": document.ttl_s}
            made = registry.make_replacement_token(connection, node, now_ms=at, **about)
            audit.record(connection, by, "replacement.made", node, at, id=registry.shown(made), **about)
            return made

        made = await writer.write(job)
        return reply(TokenReply(token=made, node=node, expires_ms=at + int(document.ttl_s * 1000)), status=201)

    @router.post(
        "/api/v1/nodes/{node:path}/hardware",
        responses=answers(views.HardwareReply, errors=(400, 401, 404, 408, 409, 413, 422, 503, 507)),
        openapi_extra=takes(views.HardwareRequest),
    )
    async def accept_hardware(request: Request, node: Annotated[str, Path(max_length=64)], by: By) -> Response:
        """Decide which computer is the node, after its card was moved or a copy was found and turned off."""
        document = decoded(await read_body(request, _BODY_BYTES), views.HardwareRequest)

        def job(connection: sa.Connection) -> str | None:
            accepted = instances.accept(connection, node, document.hardware)
            serials.forget(registry.node_id(connection, node))
            audit.record(connection, by, "hardware.accepted", node, machine=accepted)
            return accepted

        machine = await writer.write(job)
        return reply(views.HardwareReply(node=node, machine=machine))

    return router
