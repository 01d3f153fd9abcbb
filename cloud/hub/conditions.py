"""Conditions as spans: an alert says that one began, a later one that it is over (docs/wire.md §2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.store import nodes
from wayside.cloud.hub.views import Span

Key = tuple[str, str, str]
"""Node, code, subject."""
_ROWS = """
SELECT n.name AS node, d.name AS subject, s.wall_ms, s.detail
FROM summaries s JOIN datastreams d ON d.id = s.datastream_id JOIN nodes n ON n.id = d.node_id
WHERE s.kind <> 'interval' AND s.kind = 'alert' AND json_extract(s.detail, '$.condition') IS NOT NULL
  AND (:node IS NULL OR n.name = :node)
ORDER BY s.id DESC LIMIT :most
"""


class Alert(NamedTuple):
    """One row of kind alert whose detail names a condition."""

    node: str
    subject: str
    wall_ms: int | None
    detail: dict[str, Any]


def spans(connection: sa.Connection, node: str | None, limit: int) -> list[Span]:
    """The newest ``limit`` conditions."""
    rows = connection.exec_driver_sql(_ROWS, {"node": node, "most": 3 * limit + 64})
    alerts = [Alert(r.node, r.subject, r.wall_ms, json.decode(r.detail)) for r in rows]
    beats = connection.execute(sa.select(nodes.c.name, nodes.c.heartbeat).where(nodes.c.heartbeat.is_not(None)))
    still_open = {
        (name, c["code"], c["subject"]) for name, beat in beats for c in json.decode(beat).get("conditions", ())
    }
    return paired(alerts, still_open)[:limit]


def paired(newest_first: Iterable[Alert], still_open: Collection[Key]) -> list[Span]:
    """Beginnings with their ends. A row that says that a condition came again belongs to the span around it."""
    made: list[tuple[Key, dict[str, Any]]] = []
    unbegun: dict[Key, dict[str, Any]] = {}  # spans whose beginning is still to come, as the rows go back in time
    latest: set[Key] = set()
    for alert in newest_first:
        code = str(alert.detail["condition"])[:64]
        key = (alert.node, code, alert.subject)
        span = unbegun.get(key)
        if alert.detail.get("ended") or span is None:
            ended = bool(alert.detail.get("ended"))
            is_open = not ended and key not in latest and key in still_open
            span = {
                "message": str(alert.detail.get("what", ""))[:256].removeprefix("over: ").removeprefix("again: "),
                "begin_ms": None,
                "end_ms": alert.wall_ms if ended else None,
                "state": "over" if ended else "open" if is_open else "unknown",
                "times": _times(alert),
                "lasted_s": alert.detail.get("lasted_s") if ended else None,
            }
            made.append((key, span))
            unbegun[key] = span
        latest.add(key)
        if not alert.detail.get("ended"):
            span["begin_ms"] = alert.wall_ms
            span["times"] = max(span["times"], _times(alert))
            if not alert.detail.get("flaps"):
                del unbegun[key]
    return [Span(node=node, code=code, subject=subject, **span) for (node, code, subject), span in made]


def _times(alert: Alert) -> int:
    times = alert.detail.get("times", 1)
    return times if isinstance(times, int) and not isinstance(times, bool) and times > 0 else 1
