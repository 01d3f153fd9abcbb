"""What the operator does: tokens and replacements. Every route needs ``Authorization: Bearer``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from wayside.cloud.hub import registry, views
from wayside.cloud.hub.auth import operator_only
from wayside.cloud.hub.bodies import read_body
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.instances import Instances
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.writer import Writer
from wayside.contracts.hub_api import TokenReply, TokenRequest

_BODY_BYTES = 65_536


def routes(*, writer: Writer, instances: Instances, token: str) -> APIRouter:
    router = APIRouter(tags=["operator"], dependencies=[operator_only(token)])
    security: dict[str, Any] = {"security": [{"operator": []}]}

    @router.post(
        "/api/v1/tokens",
        status_code=201,
        responses=answers(TokenReply, 201, errors=(400, 401, 413, 422, 503, 507)),
        openapi_extra=takes(TokenRequest) | security,
    )
    async def make_token(request: Request) -> Response:
        """A one-time enrolment token; it is shown only here."""
        document = decoded(await read_body(request, _BODY_BYTES), TokenRequest)
        at = now_ms()
        made = await writer.write(
            lambda c: registry.make_token(c, node=document.node, site=document.site, ttl_s=document.ttl_s, now_ms=at)
        )
        return reply(TokenReply(token=made, node=document.node, expires_ms=at + int(document.ttl_s * 1000)), status=201)

    @router.post(
        "/api/v1/nodes/{node:path}/replacement",
        status_code=201,
        responses=answers(TokenReply, 201, errors=(400, 401, 404, 413, 422, 503, 507)),
        openapi_extra=takes(views.ReplacementRequest) | security,
    )
    async def replace(request: Request, node: Annotated[str, Path(max_length=64)]) -> Response:
        """A one-time token with which new hardware takes over the node's name; then the old key is revoked."""
        document = decoded(await read_body(request, _BODY_BYTES), views.ReplacementRequest)
        at = now_ms()
        made = await writer.write(
            lambda c: registry.make_replacement_token(c, node, reason=document.reason, ttl_s=document.ttl_s, now_ms=at)
        )
        return reply(TokenReply(token=made, node=node, expires_ms=at + int(document.ttl_s * 1000)), status=201)

    @router.post(
        "/api/v1/nodes/{node:path}/hardware",
        responses=answers(views.HardwareReply, errors=(400, 401, 404, 409, 413, 422, 503, 507)),
        openapi_extra=takes(views.HardwareRequest) | security,
    )
    async def accept_hardware(request: Request, node: Annotated[str, Path(max_length=64)]) -> Response:
        """Decide which computer is the node, after its card was moved or a copy was found and turned off."""
        document = decoded(await read_body(request, _BODY_BYTES), views.HardwareRequest)
        machine = await writer.write(lambda c: instances.accept(c, node, document.hardware))
        return reply(views.HardwareReply(node=node, machine=machine))

    return router
