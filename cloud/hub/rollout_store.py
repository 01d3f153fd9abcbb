"""Rollouts and withdrawn versions on disk, and the copy in memory that answers every sync."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.candidates import unfit
from wayside.cloud.hub.errors import NotFoundError
from wayside.cloud.hub.offers import Kept
from wayside.cloud.hub.reports import bundles_of, reported_of, useless_of
from wayside.cloud.hub.rollouts import LIVE, Member, Rollout, wanted
from wayside.cloud.hub.store import nodes, rollout_nodes, rollouts, withdrawals
from wayside.contracts.hub_api import Candidates
from wayside.contracts.passport import Passport
from wayside.contracts.rollout import MemberState, RolloutState
from wayside.contracts.sync import Desired, Heartbeat
from wayside.contracts.task_config import Offer
from wayside.contracts.wire import ContractError, decode, encode

MAX_WANTED = 64  # bundles of one reply
_ACTS = {
    "pause": ({RolloutState.RUNNING}, "one that runs can be paused"),
    "resume": ({RolloutState.PAUSED}, "one that is paused can go on"),
    "abort": (LIVE, "one that runs or is paused can be aborted; `wayside rollout back` returns its nodes"),
}
Published = Callable[[str, str], str | None]


class Withdrawal(NamedTuple):
    bundle: str
    version: str
    reason: str
    withdrawn_ms: int


class RolloutStore:
    """The writer thread's. Loaded when first needed; ``forget`` after a rolled-back transaction.

    ``published`` tells the TUF target of a bundle and version.
    """

    def __init__(self, published: Published = lambda _bundle, _version: None) -> None:
        self._published = published
        self._loaded: dict[str, list[Rollout]] | None = None  # by bundle, newest first
        self._passports: dict[int, Passport | None] = {}
        self._withdrawn: frozenset[tuple[str, str]] = frozenset()

    def forget(self) -> None:
        self._loaded = None
        self._passports.clear()

    def wanted(self, connection: sa.Connection, node: str, heartbeat: Heartbeat) -> tuple[Desired, ...]:
        """What ``node`` should run: at most one version of each bundle."""
        return wanted_of_all(self._by_bundle(connection), node, heartbeat, self._withdrawn, self._published)

    def observe(self, connection: sa.Connection, node: str, heartbeat: Heartbeat, offer: Kept, now_ms: int) -> None:
        """Learn from a sync what ``node`` runs and what it can take."""
        for bundle, of_bundle in self._by_bundle(connection).items():
            if offer.new is not None:
                fitting = self._refit(connection, of_bundle, node, offer.new, now_ms)
                self._join(connection, fitting, node, heartbeat)
            elif not offer.known and bundle in bundles_of(heartbeat):
                self._join(connection, of_bundle, node, heartbeat)
            for rollout in of_bundle:
                if node not in rollout.members:
                    continue
                useless = useless_of(heartbeat, bundle, rollout.version)
                if rollout.observe(node, reported_of(heartbeat, bundle), now_ms, useless):
                    _save(connection, rollout, [rollout.members[node]])

    def _refit(
        self, connection: sa.Connection, of_bundle: list[Rollout], node: str, offer: Offer, now_ms: int
    ) -> list[Rollout]:
        """Tell the rollouts whether ``node`` can still take them; return those that it can."""
        fitting = []
        for rollout in of_bundle:
            reason = unfit(self._passport(connection, rollout.id), rollout.bundle, offer)
            if reason is None:
                fitting.append(rollout)
            if rollout.refit(node, reason, now_ms):
                _save(connection, rollout, [rollout.members[node]])
        return fitting

    def _join(self, connection: sa.Connection, of_bundle: list[Rollout], node: str, heartbeat: Heartbeat) -> None:
        """A node takes part in the rollout that runs for everyone, and in the last one that ended for everyone."""
        for rollout in of_bundle:
            if (rollout.bundle, rollout.version) in self._withdrawn or not rollout.is_open_to_all():
                continue
            if rollout.join(node, reported_of(heartbeat, rollout.bundle).version):
                _save(connection, rollout, [rollout.members[node]])
            if rollout.state not in LIVE:
                return

    def tick(self, connection: sa.Connection, now_ms: int) -> None:
        for rollout in self._all(connection):
            if rollout.is_due(now_ms):
                seen = {
                    row.name: row.last_seen_ms
                    for row in connection.execute(sa.select(nodes.c.name, nodes.c.last_seen_ms))
                }
                if rollout.tick(now_ms, seen):
                    _save(connection, rollout, list(rollout.members.values()))

    def due(self) -> bool:
        """Whether a deadline may be running."""
        loaded = self._loaded
        return loaded is None or any(r.state is RolloutState.RUNNING for some in loaded.values() for r in some)

    def start(self, connection: sa.Connection, rollout: Rollout, passport: Passport, candidates: Candidates) -> Rollout:
        """Store a new rollout; its ``id`` is given here."""
        about = {"passport": encode(passport).decode(), "left_out": encode(candidates).decode()}
        done = connection.execute(rollouts.insert().values(_columns(rollout) | about))
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
        from_states, rule = _ACTS[act]
        if rollout.state not in from_states:
            raise ContractError("state", f"is {rollout.state.value.replace('_', ' ')}: only {rule}")
        if act == "pause":
            rollout.pause("paused by the operator")
        elif act == "resume":
            rollout.resume(now_ms)
        else:
            rollout.abort("aborted by the operator", now_ms)
        self.save(connection, rollout)
        return rollout

    def save(self, connection: sa.Connection, rollout: Rollout) -> None:
        _save(connection, rollout, list(rollout.members.values()))
        self.forget()

    def _by_bundle(self, connection: sa.Connection) -> dict[str, list[Rollout]]:
        if self._loaded is None:
            self._loaded = by_bundle(load_all(connection))
            self._withdrawn = withdrawn(connection)
        return self._loaded

    def _all(self, connection: sa.Connection) -> Iterable[Rollout]:
        return [r for some in self._by_bundle(connection).values() for r in some]

    def _passport(self, connection: sa.Connection, rollout: int) -> Passport | None:
        if rollout not in self._passports:
            text = connection.execute(sa.select(rollouts.c.passport).where(rollouts.c.id == rollout)).scalar()
            self._passports[rollout] = decode(text.encode(), Passport) if text else None
        return self._passports[rollout]


def wanted_of_all(
    rollouts_by_bundle: dict[str, list[Rollout]],
    node: str,
    heartbeat: Heartbeat | None,
    withdrawn_versions: frozenset[tuple[str, str]],
    published: Published,
) -> tuple[Desired, ...]:
    """What ``node`` should run of every bundle; the bundle of its first task first."""
    runs = bundles_of(heartbeat) if heartbeat else {}
    first = heartbeat.reported.bundle if heartbeat else None
    every = [
        desired
        for bundle, of_bundle in rollouts_by_bundle.items()
        if (desired := wanted(of_bundle, node, runs.get(bundle), withdrawn_versions, published)) is not None
    ]
    return tuple(sorted(every, key=lambda d: (d.bundle != first, d.bundle))[:MAX_WANTED])


def by_bundle(newest_first: Iterable[Rollout]) -> dict[str, list[Rollout]]:
    sorted_out: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in newest_first:
        sorted_out[rollout.bundle].append(rollout)
    return dict(sorted_out)


def load_all(connection: sa.Connection) -> list[Rollout]:
    """Every rollout, newest first."""
    columns = [c for c in rollouts.c if c.name not in ("passport", "left_out")]
    loaded = {
        row["id"]: Rollout(
            **{**row, "phases": tuple(json.decode(row["phases"])), "state": RolloutState(row["state"])},
        )
        for row in connection.execute(sa.select(*columns).order_by(rollouts.c.id.desc())).mappings()
    }
    for row in connection.execute(sa.select(rollout_nodes)).mappings():
        about = {k: v for k, v in row.items() if k not in ("rollout_id", "state")}
        loaded[row["rollout_id"]].members[row["node"]] = Member(**about, state=MemberState(row["state"]))
    return list(loaded.values())


def load(connection: sa.Connection, rollout_id: int) -> Rollout:
    """Raises NotFoundError."""
    for rollout in load_all(connection):
        if rollout.id == rollout_id:
            return rollout
    raise NotFoundError("rollout", f"there is no rollout {rollout_id}; `wayside rollout list` shows them")


def left_out(connection: sa.Connection, rollout_id: int | None = None) -> dict[int, Candidates]:
    """Of each rollout (or one), which nodes could take it at its start, and why the others could not."""
    query = sa.select(rollouts.c.id, rollouts.c.left_out).where(rollouts.c.left_out.is_not(None))
    if rollout_id is not None:
        query = query.where(rollouts.c.id == rollout_id)
    return {id_: decode(text.encode(), Candidates) for id_, text in connection.execute(query)}


def list_withdrawals(connection: sa.Connection) -> list[Withdrawal]:
    """The newest first."""
    query = sa.select(withdrawals).order_by(withdrawals.c.withdrawn_ms.desc(), withdrawals.c.bundle)
    return [Withdrawal(**row) for row in connection.execute(query).mappings()]


def withdrawn(connection: sa.Connection) -> frozenset[tuple[str, str]]:
    return frozenset((w.bundle, w.version) for w in list_withdrawals(connection))


def _save(connection: sa.Connection, rollout: Rollout, members: list[Member]) -> None:
    connection.execute(rollouts.update().where(rollouts.c.id == rollout.id).values(_columns(rollout)))
    if members:
        connection.exec_driver_sql(
            "INSERT INTO rollout_nodes (rollout_id, node, phase, state, reason, ran, old_failure, unfit, joined_later) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rollout_id, node) DO UPDATE SET state = excluded.state, "
            "reason = excluded.reason, ran = excluded.ran, old_failure = excluded.old_failure, unfit = excluded.unfit",
            [
                (
                    rollout.id,
                    m.node,
                    m.phase,
                    m.state.value,
                    m.reason,
                    m.ran,
                    m.old_failure,
                    m.unfit,
                    m.joined_later,
                )
                for m in members
            ],
        )


def _columns(rollout: Rollout) -> dict[str, object]:
    same = (
        "bundle version target deadline_s phase created_ms phase_started_ms reason max_failed_percent "
        "max_silent_percent ended_ms back_of recalled"
    )
    return {
        **{name: getattr(rollout, name) for name in same.split()},
        "phases": json.encode(rollout.phases).decode(),
        "state": rollout.state.value,
    }
