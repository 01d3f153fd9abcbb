"""What the read API asks the store. Each function takes a reading connection and what is seen, and returns a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub import commissioning, views
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.health import health, trouble
from wayside.cloud.hub.instances import decoded_clone
from wayside.cloud.hub.people.sight import Sight
from wayside.cloud.hub.registry import node_id, out_of
from wayside.cloud.hub.retention.cold import Cold
from wayside.cloud.hub.retention.tiers import Asked, page
from wayside.cloud.hub.rollout.store import Published, by_bundle, load_all, wanted_of_all, withdrawn
from wayside.cloud.hub.store import boots, datastreams, node_keys, nodes, total
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.sync import Desired, Heartbeat
from wayside.contracts.why import told
from wayside.contracts.wire import decode

_LISTED = [c for c in nodes.c if c.name not in ("offer", "extra")]  # what no list shows is not read


def list_nodes(
    connection: sa.Connection, now_ms: int, published: Published, ids: Sequence[int], *, sight: Sight
) -> list[views.NodeView]:
    """The nodes with these row ids, in this order: as many queries for one as for a thousand."""
    query = sa.select(*_LISTED, sight.whole.label("whole")).where(nodes.c.id.in_(ids), sight.nodes)
    found = {r["id"]: r for r in connection.execute(query).mappings()}
    names = [row["name"] for row in found.values()]
    rollouts, stopped = (
        by_bundle([] if restored.is_held(connection) else load_all(connection, members=names)),
        withdrawn(connection),
    )
    keys = sa.select(node_keys.c.node_id, node_keys.c.since_ms).where(node_keys.c.revoked_ms.is_(None))
    since = dict(connection.execute(keys.where(node_keys.c.node_id.in_(ids))).all())
    commissioned = commissioning.latest(connection, ids)
    shown = []
    for row in (found[i] for i in ids):
        if not row["whole"]:
            shown.append(_outline(dict(row), now_ms))
            continue
        beat = decode(row["heartbeat"].encode(), Heartbeat) if row["heartbeat"] else None
        wanted = wanted_of_all(rollouts, row["name"], beat, stopped, published)
        shown.append(_node(dict(row), wanted, now_ms, since.get(row["id"]), commissioned.get(row["id"])))
    return shown


def get_node(
    connection: sa.Connection, name: str, now_ms: int, published: Published, *, sight: Sight
) -> views.NodeView:
    """Raises NotFoundError."""
    this = node_id(connection, name, sight.nodes)
    (shown,) = list_nodes(connection, now_ms, published, [this], sight=sight)
    offer = connection.execute(sa.select(nodes.c.offer).where(nodes.c.id == this, sight.whole)).scalar()
    return msgspec.structs.replace(shown, offer=json.decode(offer) if offer else None)


def list_keys(connection: sa.Connection, name: str, *, sight: Sight) -> views.KeyList:
    """Raises NotFoundError."""
    query = sa.select(node_keys).where(node_keys.c.node_id == node_id(connection, name, sight.whole))
    rows = connection.execute(query.order_by(node_keys.c.id.desc())).mappings()
    fields = views.KeyView.__struct_fields__
    return views.KeyList(node=name, keys=[views.KeyView(**{f: row[f] for f in fields}) for row in rows])


def _clone(row: dict[str, Any]) -> views.CloneView | None:
    clone = decoded_clone(row["clone"])
    if clone is None:
        return None
    instances = [views.InstanceView(boot=i.boot, machine=i.machine, seen_ms=i.seen_ms) for i in clone.instances]
    return views.CloneView(since_ms=clone.since_ms, settled=clone.is_settled_by(row["machine"]), instances=instances)


_SAME = "site hardware enrolled_ms last_seen_ms stored duplicates requests bytes label revoked_ms retired_ms out_reason"


def _out(row: dict[str, Any]) -> str | None:
    """Why the node is shut out, if it is."""
    if (out := out_of(row)) is None:
        return None
    what = "it was retired" if out.retired else "its key was revoked"
    return f"{what}: {out.reason}" if out.reason else what


def _node(
    row: dict[str, Any],
    wanted: tuple[Desired, ...],
    now_ms: int,
    key_since_ms: int | None,
    commissioned: views.CommissioningBrief | None,
) -> views.NodeView:
    heartbeat = json.decode(row["heartbeat"]) if row["heartbeat"] else None
    age, gap = _ages(row, now_ms)
    out = _out(row)
    return views.NodeView(
        node=row["name"],
        **{k: row[k] for k in _SAME.split()},
        age_s=age,
        usual_gap_s=gap,
        health="silent" if out else health(age, gap, heartbeat),
        trouble=[out] if out else [*_over(row), *(trouble(heartbeat) if heartbeat else [])],
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


def _over(row: dict[str, Any]) -> list[str]:
    return [f"quota: the hub takes no more than {row['over_quota']}"] if row["over_quota"] else []


def _outline(row: dict[str, Any], now_ms: int) -> views.NodeView:
    """Of a node of which only datastreams are seen: its name, its site and whether it is in touch."""
    heartbeat = json.decode(row["heartbeat"]) if row["heartbeat"] else None
    age, gap = _ages(row, now_ms)
    quiet = heartbeat and {"healthy": True, "sync_s": heartbeat.get("sync_s")}
    return views.NodeView(
        node=row["name"],
        label=row["label"],
        site=row["site"],
        health="silent" if _out(row) else health(age, gap, quiet),
        enrolled_ms=row["enrolled_ms"],
        last_seen_ms=row["last_seen_ms"],
        age_s=age,
        usual_gap_s=gap,
        stored=0,
        duplicates=0,
        requests=0,
        bytes=0,
        hardware=None,
        reported={},
        counters={},
        heartbeat=None,
        desired=None,
        outline=True,
    )


def _ages(row: dict[str, Any], now_ms: int) -> tuple[float | None, float | None]:
    """Seconds since the last sync, and between two of them."""
    age = None if row["last_seen_ms"] is None else max(0.0, (now_ms - row["last_seen_ms"]) / 1000)
    return age, None if row["gap_ms"] is None else row["gap_ms"] / 1000


def list_datastreams(
    connection: sa.Connection, node: str | None, *, sight: Sight, after: str | None = None, limit: int = 1000
) -> views.DatastreamList:
    """By node and name. ``after``: the last page's ``next``."""
    query = (
        sa.select(nodes.c.name.label("node"), datastreams.c.name, datastreams.c.unit, datastreams.c.derived)
        .join_from(datastreams, nodes)
        .where(sight.datastreams)
        .order_by(nodes.c.name, datastreams.c.name)
        .limit(limit + 1)
    )
    query = query.where(nodes.c.retired_ms.is_(None) if node is None else nodes.c.name == node)
    if after is not None:
        at, _, name = after.partition("\n")
        query = query.where(nodes.c.name >= at, sa.or_(nodes.c.name > at, datastreams.c.name > name))
    rows = connection.execute(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return views.DatastreamList(
        datastreams=[
            views.DatastreamView(node=row.node, datastream=row.name, unit=row.unit, derived=row.derived)
            for row in rows[:limit]
        ],
        next=None if last is None else f"{last.node}\n{last.name}",
    )


def list_summaries(
    connection: sa.Connection,
    cold: Cold,
    *,
    sight: Sight,
    node: str | None = None,
    datastream: str | None = None,
    kind: str | None = None,
    since: int | None = None,
    cursor: int | None = None,
    newest_first: bool = False,
    limit: int = 100,
) -> views.SummaryPage:
    """A page in order of arrival, of the database and of the files.

    Args:
        since: phenomenon time, ms.
        cursor: the last page's ``next``.

    Raises:
        StoreUnavailableError: a file that may have rows of the page is missing or damaged.
    """
    asked = Asked(node, datastream, kind, since, cursor, newest_first, limit=limit + 1)
    rows = [_summary(row) for row in page(connection, cold, asked, sight)]
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
            wall_ms=None if row["clock"] == ClockState.UNKNOWN.value else row["time_ms"],
            clock=ClockState(row["clock"]),
            error_ms=row["error_ms"],
        ),
        detail=detail,
        sentence=told(row["datastream"], detail, row["model"]) if row["kind"] == "decision" else None,
        extra=json.decode(row["extra"]) if row["extra"] else {},
    )


_COUNTED = (
    "intervals",
    "alerts",
    "decisions",
    "gaps",
    "duplicates",
    "missing",
    "scored",
    "forecast_error",
    "naive_error",
)


def stats(
    connection: sa.Connection, only: str | None = None, *, sight: Sight, after: str | None = None, limit: int = 1000
) -> views.Stats:
    """Counts and forecast errors of every node, as they were counted when the rows came.

    Args:
        only: this node, with its boots.
        after: the last page's ``next``.

    Raises:
        NotFoundError: there is no such node.
    """
    mine = nodes.c.retired_ms.is_(None) if only is None else nodes.c.id == node_id(connection, only, sight.whole)
    columns = [nodes.c[name] for name in _COUNTED]
    query = (
        sa.select(nodes.c.id, nodes.c.name, *columns).where(mine, sight.whole).order_by(nodes.c.name).limit(limit + 1)
    )
    rows = connection.execute(query if after is None else query.where(nodes.c.name > after)).all()
    sums = sa.select(*(total(c).label(c.name) for c in columns)).where(mine, sight.whole)
    all_ = connection.execute(sums).one()
    return views.Stats(
        nodes=[_stats(row, [] if only is None else _boots(connection, row.id)) for row in rows[:limit]],
        stored=all_.intervals + all_.alerts + all_.decisions + all_.gaps,
        duplicates_refused=all_.duplicates,
        missing=all_.missing,
        forecast=views.forecast_error(all_.scored, all_.forecast_error, all_.naive_error),
        next=rows[limit - 1].name if len(rows) > limit else None,
    )


def _stats(row: Any, node_boots: list[views.BootStats]) -> views.NodeStats:
    kinds = {"interval": row.intervals, "alert": row.alerts, "decision": row.decisions, "gap": row.gaps}
    return views.NodeStats(
        node=row.name,
        stored=sum(kinds.values()),
        kinds={kind: count for kind, count in kinds.items() if count},
        duplicates_refused=row.duplicates,
        missing=row.missing,
        boots=node_boots,
        forecast=views.forecast_error(row.scored, row.forecast_error, row.naive_error),
    )


def _boots(connection: sa.Connection, node: int) -> list[views.BootStats]:
    query = sa.select(boots).where(boots.c.node_id == node, boots.c.rows > 0).order_by(boots.c.id)
    return [
        views.BootStats(boot=b.boot, rows=b.rows, last_seq=b.last_seq, missing=b.last_seq + 1 - b.rows)
        for b in connection.execute(query)
    ]
