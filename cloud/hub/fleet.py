"""The fleet as a whole: how many are in which state, and which nodes a page of the list shows. Decodes no heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import sqlalchemy as sa

from wayside.cloud.hub import views
from wayside.cloud.hub.errors import ContractBrokenError
from wayside.cloud.hub.health import DEFAULT_GAP_S, LATE_AFTER, SHORTEST_GAP_S, SILENT_AFTER, Health
from wayside.cloud.hub.people.sight import EVERYTHING, Sight
from wayside.cloud.hub.store import nodes, open_conditions, total

Order = Literal["name", "worst"]
WORST_FIRST: tuple[Health, ...] = ("unhealthy", "silent", "late", "never", "lent", "fresh")
assert set(WORST_FIRST) == set(get_args(Health))  # noqa: S101  a new one has its place here
HERE = nodes.c.retired_ms.is_(None)
"""Nodes that have not left the fleet."""


class Filter(NamedTuple):
    """Which nodes; None: it does not matter."""

    site: str | None = None
    health: Sequence[Health] | None = None
    text: str | None = None  # in the name, the label or the site, whatever its case
    names: Sequence[str] | None = None
    retired: bool = False  # those that have left the fleet instead


def health_at(now_ms: int, sight: Sight) -> sa.Case[str]:
    """:func:`cloud.hub.health.health` as an expression over ``nodes``; without what is not seen of a node."""
    row = nodes.c
    told = sa.func.coalesce(row.sync_ms, sa.func.nullif(row.gap_ms, 0), DEFAULT_GAP_S * 1000)
    usual = sa.case((told < SHORTEST_GAP_S * 1000, SHORTEST_GAP_S * 1000), else_=told)
    age = now_ms - row.last_seen_ms
    return sa.case(
        (sa.or_(row.revoked_ms.is_not(None), row.retired_ms.is_not(None)), "silent"),  # it is not let in
        (sa.or_(row.last_seen_ms.is_(None), row.heartbeat.is_(None)), "never"),
        (age > SILENT_AFTER * usual, "silent"),
        (age > LATE_AFTER * usual, "late"),
        else_=row.said if sight is EVERYTHING else sa.case((sight.whole, row.said), else_="fresh"),
    )


def chosen(
    connection: sa.Connection,
    now_ms: int,
    which: Filter,
    *,
    sight: Sight,
    order: Order,
    after: str | None,
    limit: int,
) -> tuple[list[int], str | None]:
    """The rows of one page of nodes in order, and what to pass as ``after`` for the next one; None: it was the last.

    Raises:
        ContractBrokenError: ``after`` is not from here.
    """
    health = health_at(now_ms, sight)
    rank: sa.ColumnElement[int] = (
        sa.literal(0) if order == "name" else sa.case({h: i for i, h in enumerate(WORST_FIRST)}, value=health)
    )
    query = sa.select(nodes.c.id, nodes.c.name, rank.label("rank")).where(*_matching(which, health), sight.nodes)
    if after is not None:
        at, name = _place(after)
        query = query.where(sa.or_(rank > at, sa.and_(rank == at, nodes.c.name > name)))
    rows = connection.execute(query.order_by(*([] if order == "name" else [rank]), nodes.c.name).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return [row.id for row in rows[:limit]], None if last is None else f"{last.rank}:{last.name}"


def _place(after: str) -> tuple[int, str]:
    rank, colon, name = after.partition(":")
    if not colon or rank not in set("012345"):
        raise ContractBrokenError("after", "is the `next` of an earlier page", "after")
    return int(rank), name


def _matching(which: Filter, health: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
    matching: list[sa.ColumnElement[bool]] = [sa.not_(HERE) if which.retired else HERE]
    if which.site is not None:
        matching.append(nodes.c.site == which.site)
    if which.names is not None:
        matching.append(nodes.c.name.in_(which.names))
    if which.health:
        matching.append(health.in_(which.health))
    if which.text:
        columns = (nodes.c.name, nodes.c.label, nodes.c.site)
        matching.append(sa.or_(*(c.icontains(which.text, autoescape=True) for c in columns)))
    return matching


def summed(connection: sa.Connection, now_ms: int, *, sight: Sight) -> views.FleetView:
    """All of it in numbers."""
    row, health = nodes.c, health_at(now_ms, sight).label("health")
    columns = ("stored", "duplicates", "missing", "scored", "forecast_error", "naive_error")
    sums = [total(row[name]).label(name) for name in (*columns, "backlog", "allowed", "refused")]
    faults = [
        sa.func.sum(sa.case((row.signal_fault, 1), else_=0)).label("faults"),
        sa.func.sum(sa.case((row.clone.is_not(None), 1), else_=0)).label("cloned"),
    ]
    query = sa.select(health, sa.func.count().label("nodes"), *sums, *faults).where(HERE, sight.whole).group_by(health)
    found = connection.execute(query).all()
    open_ = connection.execute(
        sa.select(open_conditions.c.code, open_conditions.c.severe, sa.func.count())
        .join_from(open_conditions, nodes)
        .where(HERE, sight.whole)
        .group_by(open_conditions.c.code, open_conditions.c.severe)
    ).all()
    codes: dict[str, int] = {}
    for code, _, count in open_:
        codes[code] = codes.get(code, 0) + count
    return views.FleetView(
        hub_unix_ms=now_ms,
        nodes=sum(r.nodes for r in found),
        health={h: r.nodes for h in WORST_FIRST for r in found if r.health == h},
        stored=sum(r.stored for r in found),
        duplicates_refused=sum(r.duplicates for r in found),
        missing=sum(r.missing for r in found),
        backlog=sum(r.backlog for r in found),
        proposals_allowed=sum(r.allowed for r in found),
        proposals_refused=sum(r.refused for r in found),
        cloned=sum(r.cloned for r in found),
        signal_faults=sum(r.faults for r in found),
        open_conditions=codes,
        severe=sum(count for _, severe, count in open_ if severe),
        forecast=views.forecast_error(
            sum(r.scored for r in found), sum(r.forecast_error for r in found), sum(r.naive_error for r in found)
        ),
    )


def open_now(connection: sa.Connection, node: str | None, limit: int, *, sight: Sight) -> list[views.OpenCondition]:
    """What the nodes say is wrong now: severe first, then the oldest."""
    row = open_conditions.c
    query = (
        sa.select(nodes.c.name.label("node"), row.code, row.subject, row.severe, row.since_ms, row.message, row.times)
        .join_from(open_conditions, nodes)
        .where(HERE, sight.whole)
        .order_by(row.severe.desc(), sa.func.coalesce(row.since_ms, 0), nodes.c.name, row.code, row.subject)
        .limit(limit)
    )
    if node is not None:
        query = query.where(nodes.c.name == node)
    return [
        views.OpenCondition(**{**found, "severe": bool(found["severe"])})
        for found in connection.execute(query).mappings()
    ]
