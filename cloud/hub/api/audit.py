"""The audit log, as operators read it."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from msgspec import json

from wayside.cloud.hub import audit, views
from wayside.cloud.hub.openapi import answers, reply
from wayside.cloud.hub.people.access import allow
from wayside.cloud.hub.people.actor import Role

Text = Annotated[str | None, Query(max_length=256)]


def routes(engine: sa.Engine) -> APIRouter:
    router = APIRouter(tags=["audit"], dependencies=[allow(Role.OPERATOR)])

    @router.get("/api/v1/audit", responses=answers(views.AuditPage, errors=(401, 403, 422, 429)))
    def list_entries(
        *,
        actor: Text = None,
        action: Text = None,
        target: Text = None,
        cursor: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Changes with who, when and from where, the newest first. `wayside hub audit verify` holds the chain."""
        with engine.connect() as connection:
            found = audit.entries(connection, actor=actor, action=action, target=target, cursor=cursor, limit=limit + 1)
        return reply(
            views.AuditPage(
                entries=[views.AuditEntry(**e._asdict() | {"detail": json.decode(e.detail)}) for e in found[:limit]],
                next=found[limit - 1].id if len(found) > limit else None,
            )
        )

    return router
