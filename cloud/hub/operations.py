"""What an operator does with versions: start, take back, withdraw. Jobs of the writer thread."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from msgspec import json

from wayside.cloud.hub.errors import ConflictError, NotFoundError
from wayside.cloud.hub.health import is_alive
from wayside.cloud.hub.reports import bundles_of, failure_of, reported_of
from wayside.cloud.hub.rollout.candidates import candidates, sentence
from wayside.cloud.hub.rollout.offers import fleet
from wayside.cloud.hub.rollout.rollouts import LIVE, Rollout, plan, version_before
from wayside.cloud.hub.rollout.store import (
    Published,
    RolloutStore,
    Withdrawal,
    by_bundle,
    list_withdrawals,
    load,
    load_all,
    wanted_of_all,
    withdrawn,
)
from wayside.cloud.hub.store import nodes, withdrawals
from wayside.contracts.hub_api import RolloutPreview
from wayside.contracts.passport import Passport
from wayside.contracts.rollout import RolloutState

_WITHDRAW = sa.text("""
INSERT INTO withdrawals (bundle, version, reason, withdrawn_ms) VALUES (:bundle, :version, :reason, :withdrawn_ms)
ON CONFLICT DO NOTHING
""")


class Releases(Protocol):
    """What is published."""

    def find(self, bundle: str, version: str) -> str | None:
        """The TUF target of a version."""

    def passport(self, target: str) -> Passport:
        """Raises ConflictError: not published, or not a bundle."""


def preview(connection: sa.Connection, passport: Passport, target: str) -> RolloutPreview:
    """What a rollout would do; it changes nothing."""
    judged = candidates(passport, fleet(connection))
    live = _live(load_all(connection), passport.bundle)
    stopped = _withdrawal(connection, passport.bundle, passport.version)
    return RolloutPreview(
        bundle=passport.bundle,
        version=passport.version,
        target=target,
        candidates=judged,
        summary=sentence(judged, passport.bundle, passport.version),
        withdrawn=stopped.reason if stopped else None,
        live=live.id if live else None,
    )


def start(
    connection: sa.Connection,
    store: RolloutStore,
    passport: Passport,
    target: str,
    now_ms: int,
    *,
    only: Collection[str] | None = None,
    **about: Any,
) -> Rollout:
    """Begin a rollout of a published bundle to the nodes that can take it.

    Args:
        only: nodes that it may go to; None: all.
        about: further fields of :class:`Rollout`: phases, deadline, tolerances.

    Raises:
        ConflictError: the version is withdrawn, the bundle has a rollout under way, or no node can take it.
    """
    store.claim(connection)
    bundle, version = passport.bundle, passport.version
    if (stopped := _withdrawal(connection, bundle, version)) is not None:
        raise ConflictError(
            "withdrawn",
            f"{bundle} {version} was withdrawn: {stopped.reason}. `wayside rollout withdraw {bundle} {version} --undo` "
            "makes it a version like any other again",
        )
    if (live := _live(load_all(connection), bundle)) is not None:
        end = "let it end, or abort it first" if live.state is RolloutState.RUNNING else "resume or abort it first"
        raise ConflictError("running", f"rollout {live.id} ({bundle} {live.version}) is {live.state.value}: {end}")
    all_nodes = fleet(connection)
    if not all_nodes:
        raise ConflictError("no_nodes", "no node is enrolled: there is nothing to roll out to")
    judged = candidates(passport, all_nodes)
    chosen = [name for name in judged.members if only is None or name in only]
    if not chosen:
        raise ConflictError("no_fit", f"the rollout does not begin: {sentence(judged, bundle, version)[:900]}")
    members = plan(bundle, chosen, about["phases"], absent=_absent(connection, now_ms))
    heartbeats = {node.name: node.heartbeat for node in all_nodes}
    for name, member in members.items():
        if (heartbeat := heartbeats[name]) is not None:
            reported = reported_of(heartbeat, bundle)
            member.old_failure = failure_of(reported, version)
            member.ran = reported.version if reported.version != version else None
    rollout = Rollout(
        id=0,
        bundle=bundle,
        version=version,
        target=target,
        created_ms=now_ms,
        phase_started_ms=now_ms,
        members=members,
        **about,
    )
    return store.start(connection, rollout, passport, judged)


def back(
    connection: sa.Connection,
    store: RolloutStore,
    releases: Releases,
    rollout_id: int,
    now_ms: int,
    *,
    at_once: bool,
) -> Rollout:
    """Return the members of a rollout to the version that they ran before: a rollout of that version.

    A second time it returns the same one.

    Raises:
        NotFoundError: there is no such rollout.
        ConflictError: a newer one came after it, or nothing ran before it.
    """
    store.claim(connection)
    rollout = load(connection, rollout_id)
    same_bundle = [r for r in load_all(connection) if r.bundle == rollout.bundle]
    newer = [r for r in same_bundle if r.id > rollout.id and r.state is not RolloutState.ABORTED]
    for other in newer:
        if other.back_of == rollout.id:
            return other
    if newer:
        raise ConflictError(
            "not_newest",
            f"rollout {newer[0].id} ({rollout.bundle} {newer[0].version}) came after rollout {rollout.id}: "
            f"`wayside rollout back {newer[0].id}` takes that one back; `wayside rollout start` brings any version",
        )
    older = [r for r in same_bundle if r.id < rollout.id]
    version = version_before(rollout, older, withdrawn(connection), releases.find)
    target = releases.find(rollout.bundle, version) if version else None
    if version is None or target is None:
        raise ConflictError(
            "nothing_before",
            f"no published version of {rollout.bundle} that ran before {rollout.version} is known; "
            f"`wayside rollout start {rollout.bundle} VERSION` brings one",
        )
    if rollout.state in LIVE:
        rollout.abort(f"taken back to {version} by the operator", now_ms)
        store.save(connection, rollout)
    last = rollout.phases[-1]
    return start(
        connection,
        store,
        releases.passport(target),
        target,
        now_ms,
        only=rollout.members,
        back_of=rollout.id,
        phases=(100,) if at_once else tuple(max(1, p * 100 // last) for p in rollout.phases),
        deadline_s=rollout.deadline_s,
        max_failed_percent=rollout.max_failed_percent,
        max_silent_percent=rollout.max_silent_percent,
    )


class Withdrawn(NamedTuple):
    """What a withdrawal did: rollouts that it stopped, and where the nodes go that run the version."""

    withdrawal: Withdrawal
    aborted: list[int]
    returning: dict[str, str]  # node → version that it is wanted back on
    stranded: list[str]  # nodes that run it, and there is no other version to go to


def withdraw(
    connection: sa.Connection,
    store: RolloutStore,
    asked: Withdrawal,
    published: Published,
) -> Withdrawn:
    """Nobody gets the version again, and nodes that run it are wanted back on what they ran before. Idempotent.

    Raises:
        NotFoundError: nobody knows such a version.
    """
    store.claim(connection)
    bundle, version = asked.bundle, asked.version
    of_version = [r for r in load_all(connection) if (r.bundle, r.version) == (bundle, version)]
    running = [
        node
        for node in fleet(connection)
        if node.heartbeat is not None and bundles_of(node.heartbeat).get(bundle) == version
    ]
    if not of_version and not running and published(bundle, version) is None:
        raise NotFoundError("unknown_version", f"{bundle} {version} is not published, and no node runs it")
    connection.execute(_WITHDRAW, asked._asdict())
    aborted = []
    for rollout in of_version:
        if rollout.state in LIVE:
            aborted.append(rollout.id)
        if not rollout.recalled:
            rollout.recall(f"{version} was withdrawn: {asked.reason}", asked.withdrawn_ms)
            store.save(connection, rollout)
    store.forget()
    rollouts, stopped = by_bundle(load_all(connection)), withdrawn(connection)
    returning: dict[str, str] = {}
    for node in running:
        wanted = wanted_of_all(rollouts, node.name, node.heartbeat, stopped, published)
        for desired in wanted:
            if desired.bundle == bundle:
                returning[node.name] = desired.version
    kept = _withdrawal(connection, bundle, version) or asked
    return Withdrawn(kept, aborted, returning, [n.name for n in running if n.name not in returning])


def undo_withdrawal(connection: sa.Connection, store: RolloutStore, bundle: str, version: str) -> None:
    """The version may be rolled out again; nothing moves by itself. Idempotent."""
    store.claim(connection)
    connection.execute(withdrawals.delete().where(withdrawals.c.bundle == bundle, withdrawals.c.version == version))
    store.forget()


def explained(withdrawn: Withdrawn) -> str:
    """What a withdrawal means, in a sentence."""
    w = withdrawn.withdrawal
    parts = [f"{w.bundle} {w.version} is withdrawn: {w.reason}. Nobody gets it again"]
    by_version: dict[str, int] = {}
    for version in withdrawn.returning.values():
        by_version[version] = by_version.get(version, 0) + 1
    parts += [f"{n} nodes that run it are wanted back on {v}" for v, n in sorted(by_version.items())]
    if withdrawn.stranded:
        some = ", ".join(withdrawn.stranded[:5]) + (" …" if len(withdrawn.stranded) > 5 else "")
        parts.append(
            f"{len(withdrawn.stranded)} nodes keep running it, since there is no other version to go to: {some}; "
            f"`wayside rollout start {w.bundle} VERSION` brings one"
        )
    return "; ".join(parts)[:1000]


def _live(rollouts: list[Rollout], bundle: str) -> Rollout | None:
    return next((r for r in rollouts if r.bundle == bundle and r.state in LIVE), None)


def _withdrawal(connection: sa.Connection, bundle: str, version: str) -> Withdrawal | None:
    return next((w for w in list_withdrawals(connection) if (w.bundle, w.version) == (bundle, version)), None)


def _absent(connection: sa.Connection, now_ms: int) -> set[str]:
    query = sa.select(nodes.c.name, nodes.c.last_seen_ms, nodes.c.gap_ms, nodes.c.heartbeat)
    return {
        name
        for name, seen, gap, beat in connection.execute(query)
        if not is_alive(seen, gap, json.decode(beat) if beat else None, now_ms)
    }
