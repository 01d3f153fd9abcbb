"""How the hub itself is: for anybody in a word, for people in sentences."""

from __future__ import annotations

from fastapi import APIRouter, Response

from wayside.cloud.hub import views
from wayside.cloud.hub.openapi import answers, reply
from wayside.cloud.hub.people.access import allow, public
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.watch import Watch


def routes(watch: Watch) -> APIRouter:
    router = APIRouter(tags=["health"])

    # Both compute nothing and wait for no thread: they answer whatever else is busy.
    @router.get(
        "/healthz",
        dependencies=[public()],
        responses={**answers(views.HealthReply), 503: answers(views.HealthReply)[200]},
    )
    async def healthz() -> Response:
        """Whether the hub can take rows (else 503), and in a word what is wrong with it."""
        told = watch.told()
        wrong = list(dict.fromkeys(finding.code for finding in told.findings))
        status = 503 if told.status == "failing" else 200
        return reply(views.HealthReply(status=told.status, nodes=told.nodes, wrong=wrong), status)

    @router.get("/api/v1/health", dependencies=[allow(Role.VIEWER)], responses=answers(views.HealthDetail))
    async def health() -> Response:
        """What is wrong with the hub, and what to do about it."""
        return reply(watch.told())

    return router
