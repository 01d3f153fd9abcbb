"""What the operator does with versions: preview, start, steer and take back rollouts; withdraw a version."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response

from wayside.cloud.hub import operations, rollout_views, views
from wayside.cloud.hub.auth import operator_only
from wayside.cloud.hub.bodies import read_body
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.errors import ConflictError
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.rollout_store import RolloutStore, Withdrawal
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.writer import Writer
from wayside.contracts.hub_api import BackRequest, RolloutPreview, RolloutRequest, WithdrawalRequest
from wayside.contracts.wire import ContractError

_BODY_BYTES = 65_536
RolloutId = Annotated[int, Path(ge=0, le=2**53)]


def routes(engine: sa.Engine, writer: Writer, store: RolloutStore, tuf: TufRepository, token: str) -> APIRouter:
    router = APIRouter(tags=["rollouts"], dependencies=[operator_only(token)])
    security: dict[str, Any] = {"security": [{"operator": []}]}

    @router.get(
        "/api/v1/rollouts/preview",
        responses=answers(RolloutPreview, errors=(401, 409, 422)),
        openapi_extra=security,
    )
    def preview(target: Annotated[str, Query(pattern=r"^models/[A-Za-z0-9_.-]{1,96}$")]) -> Response:
        """Which nodes could take a published target, and why the others cannot. It starts nothing."""
        passport = tuf.passport(target)
        with engine.connect() as connection:
            return reply(operations.preview(connection, passport, target))

    @router.post(
        "/api/v1/rollouts",
        status_code=201,
        responses=answers(views.RolloutView, 201, errors=(400, 401, 409, 413, 422, 503, 507)),
        openapi_extra=takes(RolloutRequest) | security,
    )
    async def start(request: Request) -> Response:
        """Offer a published version, phase by phase, to the nodes that have a task which it fits."""
        document = decoded(await read_body(request, _BODY_BYTES), RolloutRequest)
        tuf.check_published(document.target, document.bundle, document.version)
        passport = await asyncio.to_thread(tuf.passport, document.target)
        if (passport.bundle, passport.version) != (document.bundle, document.version):
            message = f"{document.target} is {passport.bundle} {passport.version}, says its passport"
            raise ConflictError("not_that_version", message)

        def job(connection: sa.Connection) -> views.RolloutView:
            rollout = operations.start(
                connection,
                store,
                passport,
                document.target,
                now_ms(),
                phases=document.phases,
                deadline_s=document.deadline_s,
                max_failed_percent=document.max_failed_percent,
                max_silent_percent=document.max_silent_percent,
            )
            return rollout_views.view(connection, rollout)

        return reply(await writer.write(job), status=201)

    @router.post(
        "/api/v1/rollouts/{rollout}/back",
        responses=answers(views.RolloutView, errors=(400, 401, 404, 409, 413, 422, 503, 507)),
        openapi_extra=takes(BackRequest) | security,
    )
    async def back(request: Request, rollout: RolloutId) -> Response:
        """Return its nodes to the version that they ran before, by a rollout of that version; repeating is harmless."""
        document = decoded(await read_body(request, _BODY_BYTES), BackRequest)

        def job(connection: sa.Connection) -> views.RolloutView:
            back = operations.back(connection, store, tuf, rollout, now_ms(), at_once=document.now)
            return rollout_views.view(connection, back)

        return reply(await writer.write(job))

    @router.post(
        "/api/v1/rollouts/{rollout}/{act}",
        responses=answers(views.RolloutView, errors=(401, 404, 409, 422, 503, 507)),
        openapi_extra=security,
    )
    async def change(rollout: RolloutId, act: Literal["pause", "resume", "abort"]) -> Response:
        """Pause, resume (without the nodes that failed or were late) or abort: it moves no node to another version."""

        def job(connection: sa.Connection) -> views.RolloutView:
            return rollout_views.view(connection, store.change(connection, rollout, act, now_ms()))

        try:
            return reply(await writer.write(job))
        except ContractError as exc:
            raise ConflictError("state", f"rollout {rollout} {exc.rule}") from exc

    @router.post(
        "/api/v1/withdrawals",
        responses=answers(views.WithdrawalReply, errors=(400, 401, 404, 413, 422, 503, 507)),
        openapi_extra=takes(WithdrawalRequest) | security,
    )
    async def withdraw(request: Request) -> Response:
        """Nobody gets it again; nodes that run it are wanted back on the version before. Repeating is harmless."""
        document = decoded(await read_body(request, _BODY_BYTES), WithdrawalRequest)
        asked = Withdrawal(document.bundle, document.version, document.reason, now_ms())
        done = await writer.write(lambda c: operations.withdraw(c, store, asked, tuf.find))
        return reply(
            views.WithdrawalReply(
                bundle=document.bundle,
                version=document.version,
                withdrawn=True,
                summary=operations.explained(done),
                aborted=done.aborted,
                returning=done.returning,
                stranded=done.stranded,
            )
        )

    @router.delete(
        "/api/v1/withdrawals",
        responses=answers(views.WithdrawalReply, errors=(401, 422, 503, 507)),
        openapi_extra=security,
    )
    async def undo(
        bundle: Annotated[str, Query(max_length=64)], version: Annotated[str, Query(max_length=64)]
    ) -> Response:
        """The version is one like any other again. No node moves by that: start a rollout of it."""
        await writer.write(lambda c: operations.undo_withdrawal(c, store, bundle, version))
        summary = f"{bundle} {version} is not withdrawn; nodes get it again only by a rollout"
        return reply(views.WithdrawalReply(bundle=bundle, version=version, withdrawn=False, summary=summary))

    return router
