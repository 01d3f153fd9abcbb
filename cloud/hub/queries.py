"""What the read API asks the store. Each function takes a reading connection and returns a view."""

from __future__ import annotations

import operator
import threading
import time
from collections import defaultdict
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub import commissioning, views
from wayside.cloud.hub.errors import NotFoundError
from wayside.cloud.hub.health import health, trouble
from wayside.cloud.hub.instances import decoded_clone
from wayside.cloud.hub.registry import node_id
from wayside.cloud.hub.rollout_store import Published, by_bundle, load_all, wanted_of_all, withdrawn
from wayside.cloud.hub.store import boots, datastreams, node_keys, nodes, summaries
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.sync import Desired, Heartbeat
from wayside.contracts.why import told
from wayside.contracts.wire import decode


def list_nodes(
    connection: sa.Connection, now_ms: int, published: Published, only: str | None = None
) -> list[views.NodeView]:
    query = sa.select(nodes).order_by(nodes.c.name)
    if only is not None:
        query = query.where(nodes.c.name == only)
    rollouts, stopped = by_bundle(load_all(connection)), withdrawn(connection)
    keys = sa.select(node_keys.c.node_id, node_keys.c.since_ms).where(node_keys.c.revoked_ms.is_(None))
    this = None if only is None else sa.select(nodes.c.id).where(nodes.c.name == only).scalar_subquery()
    if this is not None:
        keys = keys.where(node_keys.c.node_id == this)
    since = dict(connection.execute(keys).all())
    commissioned = commissioning.latest(connection, this)
    shown = []
    for row in connection.execute(query).mappings():
        beat = decode(row["heartbeat"].encode(), Heartbeat) if row["heartbeat"] else None
        wanted = wanted_of_all(rollouts, row["name"], beat, stopped, published)
        shown.append(_node(dict(row), wanted, now_ms, since.get(row["id"]), commissioned.get(row["id"])))
    return shown


def get_node(connection: sa.Connection, name: str, now_ms: int, published: Published) -> views.NodeView:
    """Raises NotFoundError."""
    shown = list_nodes(connection, now_ms, published, only=name)
    if not shown:
        raise NotFoundError("node", f"no node {name[:64]!r} is enrolled")
    offer = connection.execute(sa.select(nodes.c.offer).where(nodes.c.name == name)).scalar()
    return msgspec.structs.replace(shown[0], offer=json.decode(offer) if offer else None)


def list_keys(connection: sa.Connection, name: str) -> views.KeyList:
    """Raises NotFoundError."""
    query = sa.select(node_keys).where(node_keys.c.node_id == node_id(connection, name))
    rows = connection.execute(query.order_by(node_keys.c.id.desc())).mappings()
    fields = views.KeyView.__struct_fields__
    return views.KeyList(node=name, keys=[views.KeyView(**{f: row[f] for f in fields}) for row in rows])


def _clone(row: dict[str, Any]) -> views.CloneView | None:
    clone = decoded_clone(row["clone"])
    if clone is None:
        return None
    instances = [views.InstanceView(boot=i.boot, machine=i.machine, seen_ms=i.seen_ms) for i in clone.instances]
    return views.CloneView(since_ms=clone.since_ms, settled=clone.is_settled_by(row["machine"]), instances=instances)


def _node(
    row: dict[str, Any],
    wanted: tuple[Desired, ...],
    now_ms: int,
    key_since_ms: int | None,
    commissioned: views.CommissioningBrief | None,
) -> views.NodeView:
    heartbeat = json.decode(row["heartbeat"]) if row["heartbeat"] else None
    age = None if row["last_seen_ms"] is None else max(0.0, (now_ms - row["last_seen_ms"]) / 1000)
    gap = None if row["gap_ms"] is None else row["gap_ms"] / 1000
    return views.NodeView(
        node=row["name"],
        **{k: row[k] for k in ("site", "hardware", "enrolled_ms", "last_seen_ms", "stored", "duplicates", "requests")},
        bytes=row["bytes"],
        age_s=age,
        usual_gap_s=gap,
        health=health(age, gap, heartbeat),
        trouble=trouble(heartbeat) if heartbeat else [],
        reported=(heartbeat or {}).get("reported", {}),
        counters=(heartbeat or {}).get("counters", {}),
        heartbeat=heartbeat,
        desired=wanted[0] if wanted else None,
        wanted=list(wanted),
        machine=row["machine"],
        machine_seen=row["machine_seen"],
        key_since_ms=key_since_ms,
        clone=_clone(row),
        commissioned=commissioned,
    )


def list_datastreams(connection: sa.Connection, node: str | None) -> views.DatastreamList:
    query = (
        sa.select(nodes.c.name.label("node"), datastreams.c.name, datastreams.c.unit, datastreams.c.derived)
        .join_from(datastreams, nodes)
        .order_by(nodes.c.name, datastreams.c.name)
    )
    if node is not None:
        query = query.where(nodes.c.name == node)
    return views.DatastreamList(
        datastreams=[
            views.DatastreamView(node=row.node, datastream=row.name, unit=row.unit, derived=row.derived)
            for row in connection.execute(query)
        ]
    )


def list_summaries(
    connection: sa.Connection,
    *,
    node: str | None = None,
    datastream: str | None = None,
    kind: str | None = None,
    since: int | None = None,
    cursor: int | None = None,
    newest_first: bool = False,
    limit: int = 100,
) -> views.SummaryPage:
    """A page in order of arrival. ``since`` is phenomenon time (ms); ``cursor`` is the last page's ``next``."""
    query = (
        sa.select(summaries, nodes.c.name.label("node"), boots.c.boot, datastreams.c.name.label("datastream"))
        .join_from(summaries, boots)
        .join(datastreams, summaries.c.datastream_id == datastreams.c.id)
        .join(nodes, boots.c.node_id == nodes.c.id)
        .order_by(summaries.c.id.desc() if newest_first else summaries.c.id)
        .limit(limit + 1)
    )
    for column, is_, given in (
        (nodes.c.name, operator.eq, node),
        (datastreams.c.name, operator.eq, datastream),
        (summaries.c.kind, operator.eq, kind),
        (summaries.c.wall_ms, operator.ge, since),
        (summaries.c.id, operator.lt if newest_first else operator.gt, cursor),
    ):
        if given is not None:
            query = query.where(is_(column, given))
    if kind is not None and kind != "interval":
        query = query.where(summaries.c.kind != "interval")  # lets the partial index serve
    rows = [_summary(dict(row)) for row in connection.execute(query).mappings()]
    return views.SummaryPage(summaries=rows[:limit], next=rows[limit - 1].id if len(rows) > limit else None)


def _summary(row: dict[str, Any]) -> views.SummaryView:
    detail = json.decode(row["detail"]) if row["detail"] else {}
    same = "id received_ms node boot seq kind datastream duration_s value unit quality n forecast naive anomaly model"
    return views.SummaryView(
        **{name: row[name] for name in same.split()},
        derived=row["derived"],
        at=Stamp(
            boot=row["boot"],
            mono_ns=row["mono_ns"],
            wall_ms=row["wall_ms"],
            clock=ClockState(row["clock"]),
            error_ms=row["error_ms"],
        ),
        detail=detail,
        sentence=told(row["datastream"], detail, row["model"]) if row["kind"] == "decision" else None,
        extra=json.decode(row["extra"]) if row["extra"] else {},
    )


def series(connection: sa.Connection, node: str, datastream: str, hours: float) -> views.Series:
    """The intervals of the last ``hours`` before the newest one, by phenomenon time.

    Raises:
        NotFoundError: the node has no such datastream.
    """
    datastream_id = connection.execute(
        sa.select(datastreams.c.id)
        .join_from(datastreams, nodes)
        .where(nodes.c.name == node, datastreams.c.name == datastream)
    ).scalar_one_or_none()
    if datastream_id is None:
        raise NotFoundError("datastream", f"{node[:64]!r} has sent no datastream {datastream[:64]!r}")
    rows = connection.exec_driver_sql(
        """
        SELECT wall_ms, duration_s, value, forecast, quality, unit FROM summaries
        WHERE datastream_id = :id AND kind = 'interval' AND wall_ms >
          (SELECT max(wall_ms) FROM summaries WHERE datastream_id = :id) - :span ORDER BY wall_ms LIMIT 20000
        """,
        {"id": datastream_id, "span": int(hours * 3_600_000)},
    ).all()
    untimed = connection.exec_driver_sql(
        "SELECT count(*) FROM summaries WHERE datastream_id = ? AND wall_ms IS NULL", (datastream_id,)
    ).scalar_one()
    return views.Series(
        node=node,
        datastream=datastream,
        unit=rows[-1].unit if rows else None,
        end_ms=[r.wall_ms for r in rows],
        duration_s=[r.duration_s for r in rows],
        value=[r.value for r in rows],
        forecast=[r.forecast for r in rows],
        quality=[r.quality for r in rows],
        untimed=untimed,
    )


_BOOTS = """
SELECT b.node_id, b.boot, s.kind, count(*), count(DISTINCT s.seq), max(s.seq)
FROM summaries s JOIN boots b ON b.id = s.boot_id GROUP BY b.id, s.kind ORDER BY b.id
"""
_ERRORS = """
SELECT b.node_id, count(*) AS n, total(abs(s.value - s.forecast)) AS forecast, total(abs(s.value - s.naive)) AS naive
FROM summaries s JOIN boots b ON b.id = s.boot_id
WHERE s.kind = 'interval' AND s.value IS NOT NULL AND s.forecast IS NOT NULL AND s.naive IS NOT NULL
  AND NOT s.derived -- sums of the others
GROUP BY b.node_id
"""


def stats(connection: sa.Connection) -> views.Stats:
    """Counts and forecast errors of every node, over all that is stored."""
    by_boot: dict[int, dict[str, dict[str, tuple[int, int, int]]]] = defaultdict(lambda: defaultdict(dict))
    for row_id, boot, kind, rows, distinct, last in connection.exec_driver_sql(_BOOTS):
        by_boot[row_id][boot][kind] = (rows, distinct, last)
    errors = {row.node_id: row for row in connection.exec_driver_sql(_ERRORS)}
    each: list[views.NodeStats] = []
    for node in connection.execute(sa.select(nodes.c.id, nodes.c.name, nodes.c.duplicates).order_by(nodes.c.name)):
        kinds: dict[str, int] = defaultdict(int)
        node_boots, distinct = [], 0
        for boot, parts in by_boot[node.id].items():
            rows, last = sum(p[0] for p in parts.values()), max(p[2] for p in parts.values())
            distinct += sum(p[1] for p in parts.values())
            node_boots.append(views.BootStats(boot=boot, rows=rows, last_seq=last, missing=last + 1 - rows))
            for kind, (count, _, _) in parts.items():
                kinds[kind] += count
        error = errors.get(node.id)
        each.append(
            views.NodeStats(
                node=node.name,
                stored=sum(b.rows for b in node_boots),
                distinct=distinct,
                kinds=dict(kinds),
                duplicates_refused=node.duplicates,
                missing=sum(b.missing for b in node_boots),
                boots=node_boots,
                forecast=_error(error.n, error.forecast, error.naive) if error else _error(0, 0, 0),
            )
        )
    return views.Stats(
        nodes=each,
        stored=sum(n.stored for n in each),
        duplicates_refused=sum(n.duplicates_refused for n in each),
        missing=sum(n.missing for n in each),
        forecast=_error(
            sum(e.n for e in errors.values()),
            sum(e.forecast for e in errors.values()),
            sum(e.naive for e in errors.values()),
        ),
    )


class RecentStats:
    """The one answer that reads every row: asked at most every two seconds, and at most a twentieth of the time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._kept: views.Stats | None = None
        self._good_until = 0.0

    def get(self) -> views.Stats:
        with self._lock:
            if self._kept is None or time.monotonic() > self._good_until:
                started = time.monotonic()
                with self._engine.connect() as connection:
                    self._kept = stats(connection)
                took = time.monotonic() - started
                self._good_until = time.monotonic() + max(2.0, 20 * took)
            return self._kept


def _error(n: int, forecast: float, naive: float) -> views.ForecastError:
    return views.ForecastError(n=n, mae=forecast / n if n else None, naive_mae=naive / n if n else None)
