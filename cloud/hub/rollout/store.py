"""Rollouts and withdrawn versions on disk, and the copy in memory that answers every sync."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub import audit
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.backups.ahead import Ahead
from wayside.cloud.hub.backups.restored import Restore
from wayside.cloud.hub.engine import has_other_writers
from wayside.cloud.hub.errors import NotFoundError
from wayside.cloud.hub.reports import bundles_of, reported_of, useless_of
from wayside.cloud.hub.rollout.candidates import unfit
from wayside.cloud.hub.rollout.offers import Kept
from wayside.cloud.hub.rollout.rollouts import LIVE, Member, Rollout, wanted
from wayside.cloud.hub.store import nodes, rollout_nodes, rollouts, withdrawals
from wayside.contracts.hub_api import Candidates
from wayside.contracts.passport import Passport
from wayside.contracts.rollout import MemberState, RolloutState
from wayside.contracts.sync import Desired, Heartbeat, Restored
from wayside.contracts.task_config import Offer
from wayside.contracts.wire import ContractError, decode, encode

MAX_WANTED = 64  # bundles of one reply
_ACTS = {
    "pause": ({RolloutState.RUNNING}, "one that runs can be paused"),
    "resume": ({RolloutState.PAUSED}, "one that is paused can go on"),
    "abort": (LIVE, "one that runs or is paused can be aborted; `wayside rollout back` returns its nodes"),
}
_SAVE_MEMBER = sa.text("""
INSERT INTO rollout_nodes (rollout_id, node, phase, state, reason, ran, old_failure, unfit, joined_later, changed)
VALUES (:rollout, :node, :phase, :state, :reason, :ran, :old_failure, :unfit, :joined_later, :changed)
ON CONFLICT (rollout_id, node) DO UPDATE SET state = excluded.state, reason = excluded.reason, ran = excluded.ran,
  old_failure = excluded.old_failure, unfit = excluded.unfit, changed = excluded.changed
""")
_CLAIM = sa.text("UPDATE changes SET number = number + 1 WHERE what = 'rollouts'")
_NUMBER = sa.text("SELECT number FROM changes WHERE what = 'rollouts'")
Published = Callable[[str, str], str | None]
_ABOUT = ("rollout_id", "node", "phase", "state", "reason", "ran", "old_failure", "unfit", "joined_later")
_MEMBERS = sa.select(*(rollout_nodes.c[name] for name in _ABOUT))
_STATES = {state.value: state for state in MemberState}


class Withdrawal(NamedTuple):
    bundle: str
    version: str
    reason: str
    withdrawn_ms: int


class RolloutStore:
    """The writer thread's. Loaded when first needed; ``forget`` after a rolled-back transaction.

    Several processes may have one each: who changes rollouts claims them first, until its transaction ends, and knows
    then what the others changed. Each change has a number, and each row that of its last change.

    ``published`` tells the TUF target of a bundle and version.
    """

    def __init__(self, published: Published = lambda _bundle, _version: None, ahead: Ahead | None = None) -> None:
        self._published = published
        self._ahead = ahead or Ahead(dict)
        self._number = 0  # of the last change that is known here
        self._claimed = False  # in this transaction
        self._loaded: dict[str, list[Rollout]] | None = None  # by bundle, newest first
        self._passports: dict[int, Passport | None] = {}
        self._withdrawn: frozenset[tuple[str, str]] = frozenset()
        self._restore: Restore | None = None

    def forget(self) -> None:
        self._loaded = None
        self._passports.clear()

    def begin(self, connection: sa.Connection) -> None:
        """In each transaction, before anything else: learn what other processes changed."""
        self._claimed = False
        if self._loaded is not None and has_other_writers(connection):
            self._catch_up(connection, int(connection.execute(_NUMBER).scalar_one()))

    def claim(self, connection: sa.Connection) -> None:
        """From here on nobody else changes rollouts or withdrawals until this transaction ends."""
        if self._claimed:
            return
        connection.execute(_CLAIM)
        number = int(connection.execute(_NUMBER).scalar_one())
        if self._loaded is not None:
            self._catch_up(connection, number - 1)
        self._number, self._claimed = number, True

    def _catch_up(self, connection: sa.Connection, number: int) -> None:
        if number == self._number or self._loaded is None:
            return
        for row in connection.execute(_select_rollouts().where(rollouts.c.changed > self._number)).mappings():
            new = _rollout(row)
            of_bundle = self._loaded.setdefault(new.bundle, [])
            known = next((r for r in of_bundle if r.id == new.id), None)
            if known is None:
                of_bundle.append(new)
                of_bundle.sort(key=lambda r: -r.id)
            else:
                vars(known).update(vars(new) | {"members": known.members})
        by_id = {rollout.id: rollout for some in self._loaded.values() for rollout in some}
        for member in connection.execute(_MEMBERS.where(rollout_nodes.c.changed > self._number)):
            by_id[member[0]].members[member[1]] = _member(member)
        self._withdrawn, self._restore = withdrawn(connection), restored.newest(connection)
        self._number = number

    def wanted(self, connection: sa.Connection, node: str, heartbeat: Heartbeat) -> tuple[Desired, ...]:
        """What ``node`` should run: at most one version of each bundle; nothing while a restored hub holds."""
        by_bundle = self._by_bundle(connection)
        if self._restore is not None and self._restore.held:
            return ()
        return wanted_of_all(by_bundle, node, heartbeat, self._withdrawn, self._published)

    def restored(self, connection: sa.Connection) -> Restored | None:
        """What to ask of nodes since the hub was restored."""
        self._by_bundle(connection)
        return self._restore.asked if self._restore is not None else None

    def release(self, connection: sa.Connection, now_ms: int) -> Restore:
        """End the hold after a restore.

        Raises:
            ConflictError: nothing is held.
        """
        self.claim(connection)
        released = restored.release(connection, now_ms)
        self.forget()
        return released

    def observe(self, connection: sa.Connection, node: str, heartbeat: Heartbeat, offer: Kept, now_ms: int) -> None:
        """Learn from a sync what ``node`` runs, what it can take, and which signed metadata it knows."""
        self._ahead.hear(node, heartbeat.trusted)
        if self._is_news(connection, node, heartbeat, offer):
            self.claim(connection)
            self._learn(connection, node, heartbeat, offer, now_ms)

    def _is_news(self, connection: sa.Connection, node: str, heartbeat: Heartbeat, offer: Kept) -> bool:
        """Whether a sync changes any rollout: the rule, which is nobody's to claim."""
        running = () if offer.known else bundles_of(heartbeat)
        for bundle, of_bundle in self._by_bundle(connection).items():
            if offer.new is not None:
                return True
            for rollout in of_bundle:
                if bundle in running and node not in rollout.members and rollout.is_open_to_all():
                    return True
                useless = useless_of(heartbeat, bundle, rollout.version)
                if node in rollout.members and rollout.is_news(node, reported_of(heartbeat, bundle), useless):
                    return True
        return False

    def _learn(self, connection: sa.Connection, node: str, heartbeat: Heartbeat, offer: Kept, now_ms: int) -> None:
        for bundle, of_bundle in self._by_bundle(connection).items():
            if offer.new is not None:
                fitting = self._refit(connection, of_bundle, node, offer.new, now_ms)
                self._join(connection, fitting, node, heartbeat)
            elif not offer.known and bundle in bundles_of(heartbeat):
                self._join(connection, of_bundle, node, heartbeat)
            for rollout in of_bundle:
                if node not in rollout.members:
                    continue
                useless, before = useless_of(heartbeat, bundle, rollout.version), (rollout.state, rollout.phase)
                if rollout.observe(node, reported_of(heartbeat, bundle), now_ms, useless):
                    self._save(connection, rollout, [rollout.members[node]])
                    _record(connection, rollout, before, now_ms)

    def leave(self, connection: sa.Connection, node: str, why: str, now_ms: int) -> None:
        """Nothing waits for ``node`` any more."""
        self.claim(connection)
        for rollout in self._all(connection):
            before = (rollout.state, rollout.phase)
            if rollout.refit(node, why, now_ms):
                self._save(connection, rollout, [rollout.members[node]])
                _record(connection, rollout, before, now_ms)

    def _refit(
        self, connection: sa.Connection, of_bundle: list[Rollout], node: str, offer: Offer, now_ms: int
    ) -> list[Rollout]:
        """Tell the rollouts whether ``node`` can still take them; return those that it can."""
        fitting = []
        for rollout in of_bundle:
            reason = unfit(self._passport(connection, rollout.id), rollout.bundle, offer)
            if reason is None:
                fitting.append(rollout)
            before = (rollout.state, rollout.phase)
            if rollout.refit(node, reason, now_ms):
                self._save(connection, rollout, [rollout.members[node]])
                _record(connection, rollout, before, now_ms)
        return fitting

    def _join(self, connection: sa.Connection, of_bundle: list[Rollout], node: str, heartbeat: Heartbeat) -> None:
        """A node takes part in the rollout that runs for everyone, and in the last one that ended for everyone."""
        for rollout in of_bundle:
            if (rollout.bundle, rollout.version) in self._withdrawn or not rollout.is_open_to_all():
                continue
            if rollout.join(node, reported_of(heartbeat, rollout.bundle).version):
                self._save(connection, rollout, [rollout.members[node]])
            if rollout.state not in LIVE:
                return

    def tick(self, connection: sa.Connection, now_ms: int) -> None:
        """Apply the deadlines that are over."""
        if any(rollout.is_due(now_ms) for rollout in self._all(connection)):
            self.claim(connection)
        for rollout in self._all(connection):
            if rollout.is_due(now_ms):
                seen = {
                    row.name: row.last_seen_ms
                    for row in connection.execute(sa.select(nodes.c.name, nodes.c.last_seen_ms))
                }
                before = (rollout.state, rollout.phase)
                if rollout.tick(now_ms, seen):
                    self._save(connection, rollout, list(rollout.members.values()))
                    _record(connection, rollout, before, now_ms)

    def due(self) -> bool:
        """Whether a deadline may be running."""
        loaded = self._loaded
        return loaded is None or any(r.state is RolloutState.RUNNING for some in loaded.values() for r in some)

    def start(self, connection: sa.Connection, rollout: Rollout, passport: Passport, candidates: Candidates) -> Rollout:
        """Store a new rollout; its ``id`` is given here."""
        self.claim(connection)
        about = {"passport": encode(passport).decode(), "left_out": encode(candidates).decode()}
        done = connection.execute(rollouts.insert().values(_columns(rollout) | about))
        rollout.id = int(done.inserted_primary_key[0]) if done.inserted_primary_key else 0
        self._save(connection, rollout, list(rollout.members.values()))
        self.forget()
        return rollout

    def change(self, connection: sa.Connection, rollout_id: int, act: str, now_ms: int) -> Rollout:
        """``pause``, ``resume`` or ``abort``.

        Raises:
            NotFoundError: there is no such rollout.
            ContractError: its state does not allow it.
        """
        self.claim(connection)
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
        """Store a rollout that was loaded after :meth:`claim`."""
        self._save(connection, rollout, list(rollout.members.values()))
        self.forget()

    def _save(self, connection: sa.Connection, rollout: Rollout, members: list[Member]) -> None:
        assert self._claimed  # noqa: S101 else another process may change it meanwhile
        values = _columns(rollout) | {"changed": self._number}
        connection.execute(rollouts.update().where(rollouts.c.id == rollout.id).values(values))
        if members:
            about = {"rollout": rollout.id, "changed": self._number}
            connection.execute(_SAVE_MEMBER, [vars(m) | about | {"state": m.state.value} for m in members])

    def _by_bundle(self, connection: sa.Connection) -> dict[str, list[Rollout]]:
        if self._loaded is None:
            self._number = int(connection.execute(_NUMBER).scalar_one())
            self._loaded = by_bundle(load_all(connection))
            self._withdrawn = withdrawn(connection)
            self._restore = restored.newest(connection)
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


def load_all(connection: sa.Connection, members: Sequence[str] | None = None) -> list[Rollout]:
    """Every rollout, newest first; of the members only these nodes, if they are given."""
    query = _select_rollouts().order_by(rollouts.c.id.desc())
    loaded = {row["id"]: _rollout(row) for row in connection.execute(query).mappings()}
    of_these = _MEMBERS
    if members is not None:
        of_these = of_these.where(rollout_nodes.c.rollout_id.in_(loaded), rollout_nodes.c.node.in_(members))
    for row in connection.execute(of_these):
        if (rollout := loaded.get(row[0])) is not None:  # else it began between the two queries
            rollout.members[row[1]] = _member(row)
    return list(loaded.values())


def _select_rollouts() -> sa.Select[Any]:
    return sa.select(*(c for c in rollouts.c if c.name not in ("passport", "left_out", "changed")))


def _rollout(row: sa.RowMapping) -> Rollout:
    return Rollout(**{**row, "phases": tuple(json.decode(row["phases"])), "state": RolloutState(row["state"])})


def _member(row: Sequence[Any]) -> Member:
    """Of :data:`_MEMBERS`, by place: of a large fleet these are a hundred thousand."""
    _, node, phase, state, reason, ran, old_failure, cannot, later = row
    return Member(node, phase, _STATES[state], reason, ran, old_failure, cannot, bool(later))


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


def _record(connection: sa.Connection, rollout: Rollout, before: tuple[RolloutState, int], now_ms: int) -> None:
    """What the rollout did by its own rules: the next phase, a pause, its end."""
    if (rollout.state, rollout.phase) == before:
        return
    action = "advanced" if rollout.state is before[0] else rollout.state.value
    about = {"phase": rollout.phase + 1, "reason": rollout.reason}
    name = f"{rollout.id} {rollout.bundle} {rollout.version}"
    audit.record(connection, audit.hub(), f"rollout.{action}", name, now_ms, **about)


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
