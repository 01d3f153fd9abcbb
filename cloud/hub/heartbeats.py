"""What is kept of heartbeats beside them: what lists of ten thousand nodes sort, filter and sum by."""

from __future__ import annotations

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.health import said
from wayside.cloud.hub.store import open_conditions
from wayside.contracts.condition import Condition
from wayside.contracts.sync import Heartbeat
from wayside.contracts.wire import encode

_FORGET = sa.delete(open_conditions).where(open_conditions.c.node_id == sa.bindparam("node"))


class Heartbeats:
    """The writer thread's: remembers what each node's last one said is open. ``forget`` after a rollback."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Condition, ...]] = {}

    def forget(self, node: int | None = None) -> None:
        if node is None:
            self._open.clear()
        else:
            self._open.pop(node, None)

    def note(self, connection: sa.Connection, node_id: int, heartbeat: Heartbeat) -> dict[str, object]:
        """Keep the open conditions; return the columns of ``nodes`` that the heartbeat fills."""
        text, counters = encode(heartbeat), heartbeat.counters
        if self._open.get(node_id) != heartbeat.conditions:
            self._replace(connection, node_id, heartbeat.conditions)
        return {
            "heartbeat": text.decode(),
            "said": said(json.decode(text)),
            "sync_ms": None if heartbeat.sync_s is None else int(heartbeat.sync_s * 1000),
            "backlog": heartbeat.backlog,
            "allowed": counters.proposals_allowed,
            "refused": counters.proposals_refused,
            "signal_fault": heartbeat.board is not None and heartbeat.board.signal_fault,
        }

    def _replace(self, connection: sa.Connection, node_id: int, conditions: tuple[Condition, ...]) -> None:
        connection.execute(_FORGET, {"node": node_id})
        by_key = {(c.code, c.subject): c for c in conditions}
        if by_key:
            rows = [
                {
                    "node_id": node_id,
                    "code": c.code,
                    "subject": c.subject,
                    "severe": c.severe,
                    "since_ms": c.since.wall_ms,
                    "message": c.message,
                    "times": c.times,
                }
                for c in by_key.values()
            ]
            connection.execute(open_conditions.insert(), rows)
        self._open[node_id] = conditions
