"""That a hub was restored from a backup: what it asks of nodes since, and its rollouts that wait for an operator.

A restored hub knows less than its nodes do. What it would order by what it knows, such as a release of last week that
the fleet has left behind, it does not order until an operator has looked (docs/adr/0047-restored-hubs-hold.md).
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.errors import ConflictError
from wayside.cloud.hub.store import restores, rollouts, sessions
from wayside.contracts.rollout import RolloutState
from wayside.contracts.sync import Restored

# `at` of a reply is taken before its rows are committed, and a clock may have been set meanwhile.
EARLIER_MS = 15 * 60_000
# A node that slept through a restore hears only of the newest: each asks for what the ones before it asked for, too.
REMEMBERED_MS = 90 * 86_400_000


class Restore(NamedTuple):
    """The newest one."""

    restored_ms: int
    backup_ms: int
    since_ms: int  # rows that were acknowledged since then are asked for again
    held: bool  # no node is ordered anything

    @property
    def asked(self) -> Restored:
        return Restored(at_ms=self.restored_ms, since_ms=self.since_ms)


def newest(connection: sa.Connection) -> Restore | None:
    """None: this hub never was."""
    rows = connection.execute(sa.select(restores).order_by(restores.c.id.desc()).limit(100)).all()
    if not rows:
        return None
    last = rows[0]
    recent = [row.backup_ms for row in rows if row.restored_ms >= last.restored_ms - REMEMBERED_MS]
    held = last.released_ms is None
    return Restore(last.restored_ms, last.backup_ms, max(0, min(recent) - EARLIER_MS), held)


def is_held(connection: sa.Connection) -> bool:
    restore = newest(connection)
    return restore is not None and restore.held


def mark(connection: sa.Connection, backup_ms: int, now_ms: int) -> None:
    """In a store that was just restored: its rollouts are held, those that run are paused, nobody is logged in."""
    connection.execute(restores.insert().values(restored_ms=now_ms, backup_ms=backup_ms))
    connection.execute(
        rollouts.update()
        .where(rollouts.c.state == RolloutState.RUNNING.value)
        .values(state=RolloutState.PAUSED.value, reason="the hub was restored from a backup")
    )
    connection.execute(sessions.delete())


def release(connection: sa.Connection, now_ms: int) -> Restore:
    """From now on nodes are ordered what the rollouts say.

    Raises:
        ConflictError: nothing is held.
    """
    restore = newest(connection)
    if restore is None or not restore.held:
        raise ConflictError("not_held", "no rollouts are held: the hub was not restored, or they were released already")
    connection.execute(restores.update().where(restores.c.released_ms.is_(None)).values(released_ms=now_ms))
    return restore._replace(held=False)
