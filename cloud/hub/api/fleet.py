"""What people and programs read of the fleet as a whole: lists in pages, sums, what is wrong now."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from wayside.cloud.hub import fleet, queries, views
from wayside.cloud.hub.api.reads import OPEN, SOME, After, Limit, Text
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.health import Health
from wayside.cloud.hub.openapi import answers, reply
from wayside.cloud.hub.people.access import Seen
from wayside.cloud.hub.rollout.store import Published


def routes(engine: sa.Engine, published: Published) -> APIRouter:
    router = APIRouter(tags=["reads"])

    @router.get("/api/v1/nodes", dependencies=OPEN, responses=answers(views.NodeList, errors=(422,)))
    def list_nodes(
        *,
        sight: Seen,
        name: Annotated[list[str] | None, Query(max_length=200)] = None,
        site: Text = None,
        health: Annotated[list[Health] | None, Query()] = None,
        text: Text = None,
        retired: Annotated[bool, Query()] = False,
        order: Annotated[fleet.Order, Query()] = "name",
        after: After = None,
        limit: Limit = 1000,
    ) -> Response:
        """A page of the nodes: what each reports, what it should run, when it was last seen.

        ``text`` is looked for in names, labels and sites; ``retired`` asks for those that have left instead; ``after``
        is the last page's ``next``. By ``order=worst`` a node that changes its state while somebody turns the pages
        may be seen twice, or not at all.
        """
        which = fleet.Filter(site, health, text, name, retired)
        with engine.connect() as connection:
            at = now_ms()
            ids, following = fleet.chosen(connection, at, which, sight=sight, order=order, after=after, limit=limit)
            shown = queries.list_nodes(connection, at, published, ids, sight=sight)
            return reply(views.NodeList(hub_unix_ms=at, nodes=shown, next=following))

    @router.get("/api/v1/fleet", dependencies=SOME, responses=answers(views.FleetView))
    def get_fleet(sight: Seen) -> Response:
        """All nodes in numbers: their states, rows, forecast errors, and what is wrong now."""
        with engine.connect() as connection:
            return reply(fleet.summed(connection, now_ms(), sight=sight))

    @router.get("/api/v1/conditions/open", dependencies=SOME, responses=answers(views.OpenConditionList, errors=(422,)))
    def list_open_conditions(sight: Seen, node: Text = None, limit: Limit = 100) -> Response:
        """What the nodes say is wrong now: severe first, then the oldest."""
        with engine.connect() as connection:
            return reply(views.OpenConditionList(conditions=fleet.open_now(connection, node, limit, sight=sight)))

    @router.get("/api/v1/stats", dependencies=SOME, responses=answers(views.Stats, errors=(404, 422)))
    def get_stats(sight: Seen, node: Text = None, after: After = None, limit: Limit = 1000) -> Response:
        """Rows, duplicates, missing sequence numbers and forecast errors; with ``node`` also of each of its boots.

        The sums are over all nodes; of the nodes this is a page, and ``after`` the last page's ``next``.
        """
        with engine.connect() as connection:
            return reply(queries.stats(connection, node, sight=sight, after=after, limit=limit))

    return router
