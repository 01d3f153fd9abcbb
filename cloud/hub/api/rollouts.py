"""What the operator does with versions: preview, start, steer and take back rollouts; withdraw a version."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response

from wayside.cloud.hub import audit, operations, views
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.bodies import read_body
from wayside.cloud.hub.errors import ConflictError
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.people.access import By, allow
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.rollout import views as rollout_views
from wayside.cloud.hub.rollout.rollouts import Rollout
from wayside.cloud.hub.rollout.store import RolloutStore, Withdrawal
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.writer import Writer
from wayside.contracts.hub_api import BackRequest, RolloutPreview, RolloutRequest, WithdrawalRequest
from wayside.contracts.wire import ContractError

_BODY_BYTES = 65_536
_DONE = {"pause": "paused", "resume": "resumed", "abort": "aborted"}
RolloutId = Annotated[int, Path(ge=0, le=2**53)]


def routes(engine: sa.Engine, writer: Writer, store: RolloutStore, tuf: TufRepository) -> APIRouter:
    router = APIRouter(tags=["rollouts"], dependencies=[allow(Role.OPERATOR)])

    @router.get(
        "/api/v1/rollouts/preview",
        responses=answers(RolloutPreview, errors=(401, 409, 422)),
    )
    def preview(target: Annotated[str, Query(pattern=r"^models/[A-Za-z0-9_.-]{1,96}$")]) -> Response:
        """Which nodes could take a published target, and why the others cannot. It starts nothing."""
        passport = tuf.passport(target)
        with engine.connect() as connection:
            return reply(operations.preview(connection, passport, target))

    @router.post(
        "/api/v1/rollouts",
        status_code=201,
        responses=answers(views.RolloutView, 201, errors=(400, 401, 408, 409, 413, 422, 503, 507)),
        openapi_extra=takes(RolloutRequest),
    )
    async def start(request: Request, by: By) -> Response:
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
            about = {"target": document.target, "phases": document.phases, "nodes": len(rollout.members)}
            audit.record(connection, by, "rollout.started", _named(rollout), **about)
            return rollout_views.view(connection, rollout)

        return reply(await writer.write(job), status=201)

    @router.post(
        "/api/v1/rollouts/{rollout}/back",
        responses=answers(views.RolloutView, errors=(400, 401, 404, 408, 409, 413, 422, 503, 507)),
        openapi_extra=takes(BackRequest),
    )
    async def back(request: Request, rollout: RolloutId, by: By) -> Response:
        """Return its nodes to the version that they ran before, by a rollout of that version; repeating is harmless."""
        document = decoded(await read_body(request, _BODY_BYTES), BackRequest)

        def job(connection: sa.Connection) -> views.RolloutView:
            back = operations.back(connection, store, tuf, rollout, now_ms(), at_once=document.now)
            about = {"by_rollout": back.id, "to": back.version, "now": document.now}
            audit.record(connection, by, "rollout.taken_back", f"{rollout} {back.bundle}", **about)
            return rollout_views.view(connection, back)

        return reply(await writer.write(job))

    @router.post(
        "/api/v1/rollouts/{rollout}/{act}",
        responses=answers(views.RolloutView, errors=(401, 404, 409, 422, 503, 507)),
    )
    async def change(rollout: RolloutId, act: Literal["pause", "resume", "abort"], by: By) -> Response:
        """Pause, resume (without the nodes that failed or were late) or abort: it moves no node to another version."""

        def job(connection: sa.Connection) -> views.RolloutView:
            changed = store.change(connection, rollout, act, now_ms())
            audit.record(connection, by, f"rollout.{_DONE[act]}", _named(changed), phase=changed.phase + 1)
            return rollout_views.view(connection, changed)

        try:
            return reply(await writer.write(job))
        except ContractError as exc:
            raise ConflictError("state", f"rollout {rollout} {exc.rule}") from exc

    @router.post(
        "/api/v1/withdrawals",
        responses=answers(views.WithdrawalReply, errors=(400, 401, 404, 408, 413, 422, 503, 507)),
        openapi_extra=takes(WithdrawalRequest),
    )
    async def withdraw(request: Request, by: By) -> Response:
        """Nobody gets it again; nodes that run it are wanted back on the version before. Repeating is harmless."""
        document = decoded(await read_body(request, _BODY_BYTES), WithdrawalRequest)
        asked = Withdrawal(document.bundle, document.version, document.reason, now_ms())

        def job(connection: sa.Connection) -> operations.Withdrawn:
            done = operations.withdraw(connection, store, asked, tuf.find)
            target = f"{document.bundle} {document.version}"
            audit.record(connection, by, "version.withdrawn", target, reason=asked.reason, aborted=done.aborted)
            return done

        done = await writer.write(job)
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
    )
    async def undo(
        bundle: Annotated[str, Query(max_length=64)], version: Annotated[str, Query(max_length=64)], by: By
    ) -> Response:
        """The version is one like any other again. No node moves by that: start a rollout of it."""

        def job(connection: sa.Connection) -> None:
            operations.undo_withdrawal(connection, store, bundle, version)
            audit.record(connection, by, "version.allowed", f"{bundle} {version}")

        await writer.write(job)
        summary = f"{bundle} {version} is not withdrawn; nodes get it again only by a rollout"
        return reply(views.WithdrawalReply(bundle=bundle, version=version, withdrawn=False, summary=summary))

    return router


def _named(rollout: Rollout) -> str:
    """As the audit log calls it."""
    return f"{rollout.id} {rollout.bundle} {rollout.version}"
