"""What people and programs read: the fleet, its summaries, alerts, errors of the forecast."""

from __future__ import annotations

from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Response

from wayside.cloud.hub import conditions, queries, series, views
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.openapi import answers, reply
from wayside.cloud.hub.people.access import Seen, allow
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.retention.cold import Cold
from wayside.cloud.hub.rollout import views as rollout_views
from wayside.cloud.hub.rollout.store import Published, list_withdrawals, load

Id = Annotated[int | None, Query(ge=0, le=2**53)]
Text = Annotated[str | None, Query(max_length=64)]
After = Annotated[str | None, Query(max_length=160)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Kind = Literal["interval", "alert", "decision", "gap"]

ALL = [allow(Role.VIEWER)]
SOME = [allow(Role.DEPARTMENT)]
OPEN = [allow(Role.DEPARTMENT, open_data=True)]


def routes(engine: sa.Engine, cold: Cold, published: Published) -> APIRouter:
    router = APIRouter(tags=["reads"])

    @router.get(
        "/api/v1/nodes/{node:path}/keys", dependencies=SOME, responses=answers(views.KeyList, errors=(404, 422))
    )
    def list_keys(node: Annotated[str, Path(max_length=64)], sight: Seen) -> Response:
        """The keys that the node has and had, with when and why each was revoked."""
        with engine.connect() as connection:
            return reply(queries.list_keys(connection, node, sight=sight))

    @router.get("/api/v1/nodes/{node:path}", dependencies=OPEN, responses=answers(views.NodeView, errors=(404, 422)))
    def get_node(node: Annotated[str, Path(max_length=64)], sight: Seen) -> Response:
        with engine.connect() as connection:
            return reply(queries.get_node(connection, node, now_ms(), published, sight=sight))

    @router.get("/api/v1/datastreams", dependencies=OPEN, responses=answers(views.DatastreamList, errors=(422,)))
    def list_datastreams(sight: Seen, node: Text = None, after: After = None, limit: Limit = 1000) -> Response:
        """A page by node and name; ``after`` is the last page's ``next``."""
        with engine.connect() as connection:
            return reply(queries.list_datastreams(connection, node, sight=sight, after=after, limit=limit))

    @router.get("/api/v1/summaries", dependencies=OPEN, responses=answers(views.SummaryPage, errors=(422, 503)))
    def list_summaries(
        *,
        sight: Seen,
        node: Text = None,
        datastream: Text = None,
        kind: Annotated[Kind | None, Query()] = None,
        since: Id = None,
        cursor: Id = None,
        order: Annotated[Literal["oldest", "newest"], Query()] = "oldest",
        limit: Limit = 100,
    ) -> Response:
        """A page in order of arrival; ``since`` is phenomenon time in Unix ms, ``cursor`` the last page's ``next``."""
        with engine.connect() as connection:
            page = queries.list_summaries(
                connection,
                cold,
                sight=sight,
                node=node,
                datastream=datastream,
                kind=kind,
                since=since,
                cursor=cursor,
                newest_first=order == "newest",
                limit=limit,
            )
        return reply(page)

    @router.get("/api/v1/alerts", dependencies=SOME, responses=answers(views.SummaryPage, errors=(422, 503)))
    def list_alerts(sight: Seen, node: Text = None, cursor: Id = None, limit: Limit = 50) -> Response:
        """The newest alerts first."""
        with engine.connect() as connection:
            return reply(
                queries.list_summaries(
                    connection,
                    cold,
                    sight=sight,
                    node=node,
                    kind="alert",
                    cursor=cursor,
                    newest_first=True,
                    limit=limit,
                )
            )

    @router.get("/api/v1/conditions", dependencies=SOME, responses=answers(views.SpanList, errors=(422, 503)))
    def list_conditions(sight: Seen, node: Text = None, limit: Limit = 50) -> Response:
        """What was wrong from when to when, the newest first: beginnings and ends of conditions, paired."""
        with engine.connect() as connection:
            return reply(views.SpanList(conditions=conditions.spans(connection, cold, node, limit, sight=sight)))

    @router.get("/api/v1/series", dependencies=OPEN, responses=answers(views.Series, errors=(404, 422, 503)))
    def get_series(
        sight: Seen,
        node: Annotated[str, Query(max_length=64)],
        datastream: Annotated[str, Query(max_length=64)],
        hours: Annotated[float, Query(gt=0, le=87_840)] = 24.0,
        points: Annotated[int, Query(ge=10, le=20_000)] = 2000,
    ) -> Response:
        """The last ``hours`` of one datastream's intervals, as columns; of more than ``points`` the means of spans."""
        with engine.connect() as connection:
            return reply(
                series.series(
                    connection,
                    cold,
                    node,
                    datastream,
                    sight=sight,
                    hours=hours,
                    points=points,
                    now_ms=now_ms(),
                )
            )

    @router.get("/api/v1/rollouts", dependencies=ALL, responses=answers(views.RolloutList))
    def list_rollouts() -> Response:
        """Every rollout, the newest first."""
        with engine.connect() as connection:
            each = rollout_views.list_views(connection)
            return reply(views.RolloutList(rollouts=each, held=restored.is_held(connection)))

    @router.get("/api/v1/rollouts/{rollout}", dependencies=ALL, responses=answers(views.RolloutView, errors=(404, 422)))
    def get_rollout(rollout: Annotated[int, Path(ge=0, le=2**53)]) -> Response:
        with engine.connect() as connection:
            return reply(rollout_views.view(connection, load(connection, rollout)))

    @router.get("/api/v1/withdrawals", dependencies=ALL, responses=answers(views.WithdrawalList))
    def list_withdrawn() -> Response:
        """Versions that nobody gets any more, the newest first."""
        with engine.connect() as connection:
            each = [views.WithdrawalView(**w._asdict()) for w in list_withdrawals(connection)]
        return reply(views.WithdrawalList(withdrawals=each))

    return router
