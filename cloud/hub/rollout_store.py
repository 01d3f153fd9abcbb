"""Rollouts on disk, and the copy in memory that answers every sync."""

from __future__ import annotations

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.errors import NotFoundError
from wayside.cloud.hub.rollouts import Member, MemberState, Rollout
from wayside.cloud.hub.store import rollout_nodes, rollouts
from wayside.contracts.rollout import RolloutState
from wayside.contracts.sync import Desired, Reported


class RolloutStore:
    """The writer thread's. Loaded when first needed; ``forget`` after a rolled-back transaction."""

    def __init__(self) -> None:
        self._loaded: list[Rollout] | None = None  # newest first, without the aborted

    def forget(self) -> None:
        self._loaded = None

    def desired(self, connection: sa.Connection, node: str) -> Desired | None:
        """What the newest rollout that offers ``node`` something offers."""
        return next((r.desired for r in self._live(connection) if r.offers(node)), None)

    def observe(self, connection: sa.Connection, node: str, reported: Reported, now_ms: int) -> None:
        for rollout in self._live(connection):
            if rollout.observe(node, reported, now_ms):
                _save(connection, rollout, [rollout.members[node]])

    def join(self, connection: sa.Connection, node: str) -> None:
        """A new node takes part in what runs or has run for everyone."""
        for rollout in self._live(connection):
            if rollout.join(node):
                _save(connection, rollout, [rollout.members[node]])

    def tick(self, connection: sa.Connection, now_ms: int) -> None:
        for rollout in self._live(connection):
            if rollout.tick(now_ms):
                _save(connection, rollout, [])

    def due(self) -> bool:
        """Whether a deadline may be running."""
        return self._loaded is None or any(r.state is RolloutState.RUNNING for r in self._loaded)

    def start(self, connection: sa.Connection, rollout: Rollout) -> Rollout:
        """Store a new rollout; its ``id`` is given here."""
        done = connection.execute(rollouts.insert().values(_columns(rollout)))
        rollout.id = int(done.inserted_primary_key[0]) if done.inserted_primary_key else 0
        _save(connection, rollout, list(rollout.members.values()))
        self.forget()
        return rollout

    def change(self, connection: sa.Connection, rollout_id: int, act: str, now_ms: int) -> Rollout:
        """``pause``, ``resume`` or ``abort``.

        Raises:
            NotFoundError: there is no such rollout.
            ContractError: its state does not allow it.
        """
        rollout = load(connection, rollout_id)
        if act == "pause":
            rollout.pause("paused by the operator")
        elif act == "resume":
            rollout.resume(now_ms)
        else:
            rollout.abort("aborted by the operator")
        _save(connection, rollout, list(rollout.members.values()))
        self.forget()
        return rollout

    def _live(self, connection: sa.Connection) -> list[Rollout]:
        if self._loaded is None:
            self._loaded = [r for r in load_all(connection) if r.state is not RolloutState.ABORTED]
        return self._loaded


def load_all(connection: sa.Connection) -> list[Rollout]:
    """Every rollout, newest first."""
    found = {
        row["id"]: Rollout(
            **{k: row[k] for k in ("id", "bundle", "version", "target", "deadline_s", "created_ms", "reason")},
            phases=tuple(json.decode(row["phases"])),
            phase_started_ms=row["phase_started_ms"],
            state=RolloutState(row["state"]),
            phase=row["phase"],
        )
        for row in connection.execute(sa.select(rollouts).order_by(rollouts.c.id.desc())).mappings()
    }
    for row in connection.execute(sa.select(rollout_nodes)).mappings():
        found[row["rollout_id"]].members[row["node"]] = Member(
            row["node"], row["phase"], MemberState(row["state"]), row["reason"]
        )
    return list(found.values())


def load(connection: sa.Connection, rollout_id: int) -> Rollout:
    """Raises NotFoundError."""
    for rollout in load_all(connection):
        if rollout.id == rollout_id:
            return rollout
    raise NotFoundError("rollout", f"there is no rollout {rollout_id}")


def _save(connection: sa.Connection, rollout: Rollout, members: list[Member]) -> None:
    connection.execute(rollouts.update().where(rollouts.c.id == rollout.id).values(_columns(rollout)))
    if members:
        connection.exec_driver_sql(
            "INSERT INTO rollout_nodes (rollout_id, node, phase, state, reason) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (rollout_id, node) DO UPDATE SET state = excluded.state, reason = excluded.reason",
            [(rollout.id, m.node, m.phase, m.state.value, m.reason) for m in members],
        )


def _columns(rollout: Rollout) -> dict[str, object]:
    return {
        "bundle": rollout.bundle,
        "version": rollout.version,
        "target": rollout.target,
        "phases": json.encode(rollout.phases).decode(),
        "deadline_s": rollout.deadline_s,
        "state": rollout.state.value,
        "phase": rollout.phase,
        "created_ms": rollout.created_ms,
        "phase_started_ms": rollout.phase_started_ms,
        "reason": rollout.reason,
    }
