"""What the read API asks the store. Each function takes a reading connection and returns a view."""

from __future__ import annotations

import operator
import threading
import time
from collections import defaultdict
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub import commissioning, views
from wayside.cloud.hub.errors import NotFoundError
from wayside.cloud.hub.instances import decoded_clone
from wayside.cloud.hub.registry import node_id
from wayside.cloud.hub.rollout_store import load_all
from wayside.cloud.hub.rollouts import Member, MemberState, Rollout
from wayside.cloud.hub.store import boots, datastreams, node_keys, nodes, summaries
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.rollout import RolloutState

DEFAULT_GAP_S = 300.0  # of a node that has synced once; NodeConfig's default


def list_nodes(connection: sa.Connection, now_ms: int, only: str | None = None) -> list[views.NodeView]:
    query = sa.select(nodes).order_by(nodes.c.name)
    if only is not None:
        query = query.where(nodes.c.name == only)
    live = [r for r in load_all(connection) if r.state is not RolloutState.ABORTED]
    keys = sa.select(node_keys.c.node_id, node_keys.c.since_ms).where(node_keys.c.revoked_ms.is_(None))
    this = None if only is None else sa.select(nodes.c.id).where(nodes.c.name == only).scalar_subquery()
    if this is not None:
        keys = keys.where(node_keys.c.node_id == this)
    since = dict(connection.execute(keys).all())
    commissioned = commissioning.latest(connection, this)
    return [
        _node(dict(row), live, now_ms, since.get(row["id"]), commissioned.get(row["id"]))
        for row in connection.execute(query).mappings()
    ]


def get_node(connection: sa.Connection, name: str, now_ms: int) -> views.NodeView:
    """Raises NotFoundError."""
    found = list_nodes(connection, now_ms, only=name)
    if not found:
        raise NotFoundError("node", f"no node {name[:64]!r} is enrolled")
    return found[0]


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
    live: list[Rollout],
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
        health=_health(age, gap, heartbeat),
        reported=(heartbeat or {}).get("reported", {}),
        counters=(heartbeat or {}).get("counters", {}),
        heartbeat=heartbeat,
        desired=next((r.desired for r in live if r.offers(row["name"])), None),
        machine=row["machine"],
        machine_seen=row["machine_seen"],
        key_since_ms=key_since_ms,
        clone=_clone(row),
        commissioned=commissioned,
    )


def _health(age: float | None, gap: float | None, heartbeat: dict[str, Any] | None) -> views.Health:
    if age is None or heartbeat is None:
        return "never"
    usual = DEFAULT_GAP_S if gap is None else max(5.0, gap)
    if age > 10 * usual:
        return "silent"
    if age > 3 * usual:
        return "late"
    return "fresh" if heartbeat.get("healthy") else "unhealthy"


def list_datastreams(connection: sa.Connection, node: str | None) -> views.DatastreamList:
    query = (
        sa.select(nodes.c.name, datastreams.c.name.label("datastream"))
        .join_from(datastreams, nodes)
        .order_by(nodes.c.name, datastreams.c.name)
    )
    if node is not None:
        query = query.where(nodes.c.name == node)
    rows = connection.execute(query)
    return views.DatastreamList(datastreams=[views.DatastreamView(node=n, datastream=d) for n, d in rows])


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
    same = "id received_ms node boot seq kind datastream duration_s value unit quality n forecast naive anomaly model"
    return views.SummaryView(
        **{name: row[name] for name in same.split()},
        at=Stamp(
            boot=row["boot"],
            mono_ns=row["mono_ns"],
            wall_ms=row["wall_ms"],
            clock=ClockState(row["clock"]),
            error_ms=row["error_ms"],
        ),
        detail=json.decode(row["detail"]) if row["detail"] else {},
        extra=json.decode(row["extra"]) if row["extra"] else {},
    )


def series(connection: sa.Connection, node: str, datastream: str, hours: float) -> views.Series:
    """The intervals of the last ``hours`` before the newest one, by phenomenon time.

    Raises:
        NotFoundError: the node has no such datastream.
    """
    found = connection.execute(
        sa.select(datastreams.c.id)
        .join_from(datastreams, nodes)
        .where(nodes.c.name == node, datastreams.c.name == datastream)
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError("datastream", f"{node[:64]!r} has sent no datastream {datastream[:64]!r}")
    rows = connection.exec_driver_sql(
        """
        SELECT wall_ms, duration_s, value, forecast, quality, unit FROM summaries
        WHERE datastream_id = :id AND kind = 'interval' AND wall_ms >
          (SELECT max(wall_ms) FROM summaries WHERE datastream_id = :id) - :span ORDER BY wall_ms LIMIT 20000
        """,
        {"id": found, "span": int(hours * 3_600_000)},
    ).all()
    untimed = connection.exec_driver_sql(
        "SELECT count(*) FROM summaries WHERE datastream_id = ? AND wall_ms IS NULL", (found,)
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
FROM summaries s JOIN boots b ON b.id = s.boot_id JOIN datastreams d ON d.id = s.datastream_id
WHERE s.kind = 'interval' AND s.value IS NOT NULL AND s.forecast IS NOT NULL AND s.naive IS NOT NULL
  AND d.name NOT LIKE 'intersection/%' -- sums of the others
GROUP BY b.node_id
"""


def stats(connection: sa.Connection) -> views.Stats:
    """Counts and forecast errors of every node, over all that is stored."""
    by_boot: dict[int, dict[str, dict[str, tuple[int, int, int]]]] = defaultdict(lambda: defaultdict(dict))
    for row_id, boot, kind, rows, distinct, last in connection.exec_driver_sql(_BOOTS):
        by_boot[row_id][boot][kind] = (rows, distinct, last)
    errors = {row.node_id: row for row in connection.exec_driver_sql(_ERRORS)}
    found = []
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
        found.append(
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
        nodes=found,
        stored=sum(n.stored for n in found),
        duplicates_refused=sum(n.duplicates_refused for n in found),
        missing=sum(n.missing for n in found),
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


def rollout_view(rollout: Rollout) -> views.RolloutView:
    by_phase: dict[int, list[Member]] = defaultdict(list)
    for member in rollout.members.values():
        by_phase[member.phase].append(member)
    stopped: dict[RolloutState, Literal["paused", "aborted"]] = {
        RolloutState.PAUSED: "paused",
        RolloutState.ABORTED: "aborted",
    }
    now: Literal["paused", "aborted", "running"] = stopped.get(rollout.state, "running")
    settled = (MemberState.ACTIVE, MemberState.EXCUSED)
    phases = []
    for i, percent in enumerate(rollout.phases):
        members = sorted(by_phase[i], key=lambda m: m.node)
        complete = i <= rollout.phase and all(m.state in settled for m in members)
        phases.append(
            views.PhaseView(
                percent=percent,
                state="complete" if complete else now if i == rollout.phase else "waiting",
                nodes=[views.MemberView(node=m.node, state=m.state.value, reason=m.reason) for m in members],
            )
        )
    return views.RolloutView(
        id=rollout.id,
        bundle=rollout.bundle,
        version=rollout.version,
        target=rollout.target,
        state=rollout.state.value,
        reason=rollout.reason,
        deadline_s=rollout.deadline_s,
        created_ms=rollout.created_ms,
        phase=rollout.phase + 1,
        phase_started_ms=rollout.phase_started_ms,
        phases=phases,
    )
