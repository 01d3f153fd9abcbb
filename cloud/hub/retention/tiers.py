"""Rows of both tiers as one: those in the database and those in files, each once.

The database is asked first. A row that moves between the two questions is in both answers, and is taken once; asked the
other way round it would be in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.errors import StoreUnavailableError
from wayside.cloud.hub.people.sight import EVERYTHING, Sight
from wayside.cloud.hub.retention.cold import Cold, ColdFile, files
from wayside.cloud.hub.store import WALL_MS, boots, cold_files, datastreams, nodes, summaries
from wayside.contracts.summary import Kind

Row = dict[str, Any]
"""Columns of ``summaries``, and the names ``node``, ``boot`` and ``datastream``."""

INTERVAL = Kind.INTERVAL.value


class Asked(NamedTuple):
    node: str | None = None
    datastream: str | None = None
    kind: str | None = None
    since_ms: int | None = None  # by the time that nodes gave
    cursor: int | None = None  # beyond this row
    newest_first: bool = False
    condition: bool = False  # of alerts, those whose detail names a condition
    limit: int = 100


def page(connection: sa.Connection, cold: Cold, asked: Asked, sight: Sight) -> list[Row]:
    """At most ``limit`` rows in the order of arrival.

    Raises:
        StoreUnavailableError: a file that may have rows of the page is missing or damaged.
    """
    found = {row["id"]: row for row in _hot(connection, asked, sight)}
    node_id = None
    if asked.node is not None:
        node_id = connection.execute(sa.select(nodes.c.id).where(nodes.c.name == asked.node)).scalar()
        if node_id is None:
            return []
    seen: _Seen | None = None
    for file in _files(connection, asked):
        if len(found) >= asked.limit and _is_beyond(file, _ordered(found, asked)[-1]["id"], asked):
            break
        seen = seen or _seen(connection, node_id, sight)
        for row in _in_file(connection, cold, file, asked, seen):
            found.setdefault(row["id"], row)
        found = {row["id"]: row for row in _ordered(found, asked)}
    rows = _ordered(found, asked)
    _name_nodes(connection, rows)
    return rows


def _ordered(found: dict[int, Row], asked: Asked) -> list[Row]:
    return [found[id_] for id_ in sorted(found, reverse=asked.newest_first)[: asked.limit]]


def _hot(connection: sa.Connection, asked: Asked, sight: Sight) -> list[Row]:
    row = summaries.c
    # What chooses few rows is to be found by its index, and then put in order: the order's own way leads through all.
    place = row.id if asked.node is None else row.id + 0
    chosen = sa.select(row.id).where(*_chosen(connection, asked), *sight.rows)
    if asked.kind is not None:
        chosen = chosen.where(row.kind == asked.kind)
        if asked.kind != INTERVAL:
            chosen = chosen.where(row.kind != INTERVAL)  # lets the partial index serve
    if asked.since_ms is not None:
        chosen = chosen.where(asked.since_ms <= WALL_MS)
    if asked.cursor is not None:
        chosen = chosen.where(place < asked.cursor if asked.newest_first else place > asked.cursor)
    if asked.condition:
        chosen = chosen.where(row.detail.like('%"condition":%'))
    order = place.desc() if asked.newest_first else place
    ids = list(connection.execute(chosen.order_by(order).limit(asked.limit)).scalars())
    query = (
        sa.select(summaries, nodes.c.name.label("node"), boots.c.boot, datastreams.c.name.label("datastream"))
        .join_from(summaries, boots, row.boot_id == boots.c.id)
        .join(datastreams, row.datastream_id == datastreams.c.id)
        .join(nodes, row.node_id == nodes.c.id)
        .where(row.id.in_(ids))
    )
    return [dict(found) for found in connection.execute(query).mappings()]


def _chosen(connection: sa.Connection, asked: Asked) -> list[sa.ColumnElement[bool]]:
    """Of a node, of a datastream, or of both; of a node by an index."""
    row = summaries.c
    if asked.node is None and asked.datastream is None:
        return []
    if asked.datastream is None and asked.kind not in (None, INTERVAL):
        return [row.node_id == sa.select(nodes.c.id).where(nodes.c.name == asked.node).scalar_subquery()]
    streams = sa.select(datastreams.c.id)
    if asked.datastream is not None:
        streams = streams.where(datastreams.c.name == asked.datastream)
    if asked.node is None:
        return [row.datastream_id.in_(streams)]
    streams = streams.join_from(datastreams, nodes).where(nodes.c.name == asked.node)
    of_streams = row.datastream_id.in_(list(connection.execute(streams).scalars()))
    return [of_streams] if asked.since_ms is None else [of_streams, row.time_ms >= asked.since_ms]


class _Seen(NamedTuple):
    """What somebody sees, as DuckDB can be told it. None: everything."""

    node_id: int | None = None  # that is asked for
    streams: list[int] | None = None
    whole: list[int] | None = None  # nodes


def _seen(connection: sa.Connection, node_id: int | None, sight: Sight) -> _Seen:
    if sight is EVERYTHING:
        return _Seen(node_id)
    streams = sa.select(datastreams.c.id).join_from(datastreams, nodes).where(sight.datastreams)
    whole = sa.select(nodes.c.id).where(sight.whole)
    ids = (list(connection.execute(each).scalars()) for each in (streams, whole))
    return _Seen(node_id, *ids)


def _files(connection: sa.Connection, asked: Asked) -> list[ColdFile]:
    """Those that may have rows of the page, the nearest to its beginning first."""
    file = cold_files.c
    where = [file.moved_rows > 0]
    if asked.kind is not None:
        where.append(file.kind == asked.kind)
    if asked.since_ms is not None:
        where.append(file.max_ms >= asked.since_ms)
    if asked.cursor is not None:
        where.append(file.first_id < asked.cursor if asked.newest_first else file.moved_id > asked.cursor)
    found = files(connection, *where)
    return sorted(found, key=lambda f: -f.moved_id) if asked.newest_first else found


def _is_beyond(file: ColdFile, last: int, asked: Asked) -> bool:
    return file.moved_id < last if asked.newest_first else file.first_id > last


def _in_file(connection: sa.Connection, cold: Cold, file: ColdFile, asked: Asked, seen: _Seen) -> list[Row]:
    where, values = ["true"], list[object]()
    for words, given in (
        ("node_id = ?", seen.node_id),
        ("datastream = ?", asked.datastream),
        ("clock <> 'unknown' AND time_ms >= ?", asked.since_ms),
        ("id < ?" if asked.newest_first else "id > ?", asked.cursor),
        ("list_contains(CAST(? AS BIGINT[]), datastream_id)", seen.streams),
        ("(kind = 'interval' OR list_contains(CAST(? AS BIGINT[]), node_id))", seen.whole),
    ):
        if given is not None:
            where.append(words)
            values.append(given)
    if asked.condition:
        where.append("contains(detail, '\"condition\":')")
    end = f"ORDER BY id {'DESC' if asked.newest_first else ''} LIMIT {asked.limit}"
    return read(connection, cold, file, " AND ".join(where), values, end=end)


def read(
    connection: sa.Connection,
    cold: Cold,
    file: ColdFile,
    where: str,
    values: Sequence[object],
    *,
    columns: str = "*",
    end: str = "",
) -> list[Row]:
    """As :meth:`Cold.rows`; a file that was merged into another while we looked is looked for there."""
    try:
        return cold.rows(file, where, values, columns=columns, end=end)
    except StoreUnavailableError:
        column = cold_files.c
        over = files(
            connection, column.kind == file.kind, column.first_id <= file.last_id, column.last_id >= file.first_id
        )
        if not over or over == [file]:
            raise
        within = f"id BETWEEN {file.first_id} AND {file.last_id} AND ({where})"
        return [row for other in over for row in cold.rows(other, within, values, columns=columns, end=end)]


def _name_nodes(connection: sa.Connection, rows: list[Row]) -> None:
    """Files have the names that nodes had when they were written: nodes are named as they are called now."""
    ids = {row["node_id"] for row in rows}
    named = sa.select(nodes.c.id, nodes.c.name).where(nodes.c.id.in_(ids))
    names = {node.id: node.name for node in connection.execute(named)}
    for row in rows:
        row["node"] = names.get(row["node_id"], row["node"])
