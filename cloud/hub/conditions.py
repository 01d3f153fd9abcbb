"""Conditions as spans: an alert says that one began, a later one that it is over (docs/wire.md §2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.people.sight import Sight
from wayside.cloud.hub.retention.cold import Cold
from wayside.cloud.hub.retention.tiers import Asked, page
from wayside.cloud.hub.store import nodes, open_conditions
from wayside.cloud.hub.views import Span

Key = tuple[str, str, str]
"""Node, code, subject."""


class Alert(NamedTuple):
    """One row of kind alert whose detail names a condition."""

    node: str
    subject: str
    wall_ms: int | None
    detail: dict[str, Any]


def spans(connection: sa.Connection, cold: Cold, node: str | None, limit: int, *, sight: Sight) -> list[Span]:
    """The newest ``limit`` conditions.

    Raises:
        StoreUnavailableError: a file that may have alerts of them is missing or damaged.
    """
    asked = Asked(node=node, kind="alert", newest_first=True, condition=True, limit=3 * limit + 64)
    alerts = [
        Alert(row["node"], row["datastream"], None if row["clock"] == "unknown" else row["time_ms"], detail)
        for row in page(connection, cold, asked, sight)
        if "condition" in (detail := json.decode(row["detail"]))
    ]
    now = open_conditions.c
    open_now = sa.select(nodes.c.name, now.code, now.subject).join_from(open_conditions, nodes)
    talks = nodes.c.retired_ms.is_(None), nodes.c.name.in_({alert.node for alert in alerts})
    still_open = {(name, code, subject) for name, code, subject in connection.execute(open_now.where(*talks))}
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
