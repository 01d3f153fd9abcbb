"""What people and programs read: the fleet, its summaries, alerts, errors of the forecast."""

from __future__ import annotations

from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Response

from wayside.cloud.hub import conditions, queries, rollout_views, views
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.openapi import answers, reply
from wayside.cloud.hub.rollout_store import Published, list_withdrawals, load

Id = Annotated[int | None, Query(ge=0, le=2**53)]
Text = Annotated[str | None, Query(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Kind = Literal["interval", "alert", "decision", "gap"]


def routes(engine: sa.Engine, stats: queries.RecentStats, published: Published) -> APIRouter:
    router = APIRouter(tags=["reads"])

    @router.get("/api/v1/nodes", responses=answers(views.NodeList))
    def list_nodes() -> Response:
        """Every node: what it reports, what it should run, when it was last seen."""
        with engine.connect() as connection:
            at = now_ms()
            return reply(views.NodeList(hub_unix_ms=at, nodes=queries.list_nodes(connection, at, published)))

    @router.get("/api/v1/nodes/{node:path}/keys", responses=answers(views.KeyList, errors=(404, 422)))
    def list_keys(node: Annotated[str, Path(max_length=64)]) -> Response:
        """The keys that the node has and had, with when and why each was revoked."""
        with engine.connect() as connection:
            return reply(queries.list_keys(connection, node))

    @router.get("/api/v1/nodes/{node:path}", responses=answers(views.NodeView, errors=(404, 422)))
    def get_node(node: Annotated[str, Path(max_length=64)]) -> Response:
        with engine.connect() as connection:
            return reply(queries.get_node(connection, node, now_ms(), published))

    @router.get("/api/v1/datastreams", responses=answers(views.DatastreamList, errors=(422,)))
    def list_datastreams(node: Text = None) -> Response:
        with engine.connect() as connection:
            return reply(queries.list_datastreams(connection, node))

    @router.get("/api/v1/summaries", responses=answers(views.SummaryPage, errors=(422,)))
    def list_summaries(
        *,
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
                node=node,
                datastream=datastream,
                kind=kind,
                since=since,
                cursor=cursor,
                newest_first=order == "newest",
                limit=limit,
            )
        return reply(page)

    @router.get("/api/v1/alerts", responses=answers(views.SummaryPage, errors=(422,)))
    def list_alerts(node: Text = None, cursor: Id = None, limit: Limit = 50) -> Response:
        """The newest alerts first."""
        with engine.connect() as connection:
            return reply(
                queries.list_summaries(
                    connection, node=node, kind="alert", cursor=cursor, newest_first=True, limit=limit
                )
            )

    @router.get("/api/v1/conditions", responses=answers(views.SpanList, errors=(422,)))
    def list_conditions(node: Text = None, limit: Limit = 50) -> Response:
        """What was wrong from when to when, the newest first: beginnings and ends of conditions, paired."""
        with engine.connect() as connection:
            return reply(views.SpanList(conditions=conditions.spans(connection, node, limit)))

    @router.get("/api/v1/series", responses=answers(views.Series, errors=(404, 422)))
    def get_series(
        node: Annotated[str, Query(max_length=64)],
        datastream: Annotated[str, Query(max_length=64)],
        hours: Annotated[float, Query(gt=0, le=8784)] = 24.0,
    ) -> Response:
        """The last ``hours`` of one datastream's intervals, as columns."""
        with engine.connect() as connection:
            return reply(queries.series(connection, node, datastream, hours))

    @router.get("/api/v1/stats", responses=answers(views.Stats))
    def get_stats() -> Response:
        """Rows, duplicates, missing sequence numbers and forecast errors, a few seconds old at most."""
        return reply(stats.get())

    @router.get("/api/v1/rollouts", responses=answers(views.RolloutList))
    def list_rollouts() -> Response:
        """Every rollout, the newest first."""
        with engine.connect() as connection:
            return reply(views.RolloutList(rollouts=rollout_views.list_views(connection)))

    @router.get("/api/v1/rollouts/{rollout}", responses=answers(views.RolloutView, errors=(404, 422)))
    def get_rollout(rollout: Annotated[int, Path(ge=0, le=2**53)]) -> Response:
        with engine.connect() as connection:
            return reply(rollout_views.view(connection, load(connection, rollout)))

    @router.get("/api/v1/withdrawals", responses=answers(views.WithdrawalList))
    def list_withdrawn() -> Response:
        """Versions that nobody gets any more, the newest first."""
        with engine.connect() as connection:
            each = [views.WithdrawalView(**w._asdict()) for w in list_withdrawals(connection)]
        return reply(views.WithdrawalList(withdrawals=each))

    @router.get("/healthz", responses=answers(views.HealthReply))
    def healthz() -> Response:
        """Whether the hub runs and its database answers."""
        with engine.connect() as connection:
            nodes = connection.exec_driver_sql("SELECT count(*) FROM nodes").scalar_one()
        return reply(views.HealthReply(status="ok", nodes=nodes))

    return router
