"""That the hub was restored from a backup, what its nodes know better, and the end of the hold on its rollouts."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter, Response

from wayside.cloud.hub import audit, views
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.backups.ahead import Ahead
from wayside.cloud.hub.backups.moves import moves
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.openapi import answers, reply
from wayside.cloud.hub.people.access import By, allow
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.rollout.store import Published, RolloutStore
from wayside.cloud.hub.writer import Writer


def routes(engine: sa.Engine, writer: Writer, store: RolloutStore, ahead: Ahead, published: Published) -> APIRouter:
    router = APIRouter(tags=["restores"])

    def view(restore: restored.Restore | None) -> views.RestoredView:
        return views.RestoredView(
            restored_ms=restore.restored_ms if restore else None,
            backup_ms=restore.backup_ms if restore else None,
            held=restore is not None and restore.held,
            missing=ahead.sentences(),
        )

    @router.get("/api/v1/restored", dependencies=[allow(Role.VIEWER)], responses=answers(views.RestoredView))
    def get_restored() -> Response:
        """Whether the hub was restored from a backup, whether rollouts are held since, and what nodes know better."""
        with engine.connect() as connection:
            return reply(view(restored.newest(connection)))

    @router.get("/api/v1/restored/moves", dependencies=[allow(Role.OPERATOR)], responses=answers(views.MoveList))
    def list_moves() -> Response:
        """What the end of the hold would order: which nodes, from which version to which. It orders nothing."""
        with engine.connect() as connection:
            each = [views.MoveView(**move._asdict()) for move in moves(connection, published)]
        return reply(views.MoveList(moves=each))

    @router.post(
        "/api/v1/restored/release",
        dependencies=[allow(Role.OPERATOR)],
        responses=answers(views.RestoredView, errors=(401, 409, 503, 507)),
    )
    async def release(by: By) -> Response:
        """The hold ends: nodes are ordered what the rollouts say. 409 `not_held`."""

        def job(connection: sa.Connection) -> restored.Restore:
            released = store.release(connection, now_ms())
            audit.record(connection, by, "hub.released")
            return released

        return reply(view(await writer.write(job)))

    return router
