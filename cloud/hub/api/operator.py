"""What the operator does: tokens, replacements and rollouts. Every route needs ``Authorization: Bearer``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request, Response

from wayside.cloud.hub import registry, views
from wayside.cloud.hub.auth import operator_only
from wayside.cloud.hub.bodies import read_body
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.errors import ConflictError
from wayside.cloud.hub.instances import Instances
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.queries import rollout_view
from wayside.cloud.hub.rollout_store import RolloutStore, load_all
from wayside.cloud.hub.rollouts import Rollout, failure_of, plan
from wayside.cloud.hub.store import nodes
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.writer import Writer
from wayside.contracts.rollout import RolloutState
from wayside.contracts.sync import Heartbeat
from wayside.contracts.wire import ContractError

_BODY_BYTES = 65_536


def routes(
    *, writer: Writer, rollouts: RolloutStore, instances: Instances, tuf: TufRepository, token: str
) -> APIRouter:
    router = APIRouter(tags=["operator"], dependencies=[operator_only(token)])
    security: dict[str, Any] = {"security": [{"operator": []}]}

    @router.post(
        "/api/v1/tokens",
        status_code=201,
        responses=answers(views.TokenReply, 201, errors=(400, 401, 413, 422, 503, 507)),
        openapi_extra=takes(views.TokenRequest) | security,
    )
    async def make_token(request: Request) -> Response:
        """A one-time enrolment token; it is shown only here."""
        document = decoded(await read_body(request, _BODY_BYTES), views.TokenRequest)
        at = now_ms()
        made = await writer.write(
            lambda c: registry.make_token(c, node=document.node, site=document.site, ttl_s=document.ttl_s, now_ms=at)
        )
        return reply(
            views.TokenReply(token=made, node=document.node, expires_ms=at + int(document.ttl_s * 1000)), status=201
        )

    @router.post(
        "/api/v1/nodes/{node:path}/replacement",
        status_code=201,
        responses=answers(views.TokenReply, 201, errors=(400, 401, 404, 413, 422, 503, 507)),
        openapi_extra=takes(views.ReplacementRequest) | security,
    )
    async def replace(request: Request, node: Annotated[str, Path(max_length=64)]) -> Response:
        """A one-time token with which new hardware takes over the node's name; then the old key is revoked."""
        document = decoded(await read_body(request, _BODY_BYTES), views.ReplacementRequest)
        at = now_ms()
        made = await writer.write(
            lambda c: registry.make_replacement_token(c, node, reason=document.reason, ttl_s=document.ttl_s, now_ms=at)
        )
        return reply(views.TokenReply(token=made, node=node, expires_ms=at + int(document.ttl_s * 1000)), status=201)

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

    @router.post(
        "/api/v1/rollouts",
        status_code=201,
        responses=answers(views.RolloutView, 201, errors=(400, 401, 409, 413, 422, 503, 507)),
        openapi_extra=takes(views.RolloutRequest) | security,
    )
    async def start(request: Request) -> Response:
        """Offer a published version to the fleet, phase by phase."""
        document = decoded(await read_body(request, _BODY_BYTES), views.RolloutRequest)
        tuf.check_published(document.target, document.bundle, document.version)

        def job(connection: sa.Connection) -> Rollout:
            fleet = dict(connection.execute(sa.select(nodes.c.name, nodes.c.heartbeat)).all())
            if not fleet:
                raise ConflictError("no_nodes", "no node is enrolled: there is nothing to roll out to")
            running = [r for r in load_all(connection) if r.state is RolloutState.RUNNING]
            if running:
                raise ConflictError(
                    "running", f"rollout {running[0].id} ({running[0].version}) is running: pause or abort it first"
                )
            members = plan(document.bundle, fleet, document.phases)
            for name, member in members.items():
                if heartbeat := fleet[name]:
                    member.reason = failure_of(decoded(heartbeat.encode(), Heartbeat).reported, document.version)
            at = now_ms()
            return rollouts.start(
                connection,
                Rollout(
                    id=0,
                    bundle=document.bundle,
                    version=document.version,
                    target=document.target,
                    phases=document.phases,
                    deadline_s=document.deadline_s,
                    created_ms=at,
                    phase_started_ms=at,
                    members=members,
                ),
            )

        return reply(rollout_view(await writer.write(job)), status=201)

    @router.post(
        "/api/v1/rollouts/{rollout}/{act}",
        responses=answers(views.RolloutView, errors=(401, 404, 409, 422, 503, 507)),
        openapi_extra=security,
    )
    async def change(
        rollout: Annotated[int, Path(ge=0, le=2**53)], act: Literal["pause", "resume", "abort"]
    ) -> Response:
        """Pause, resume (nodes that refused are excused) or abort (the rollout before it counts again)."""
        try:
            changed = await writer.write(lambda c: rollouts.change(c, rollout, act, now_ms()))
        except ContractError as exc:
            raise ConflictError("state", f"rollout {rollout} {exc.rule}") from exc
        return reply(rollout_view(changed))

    return router
