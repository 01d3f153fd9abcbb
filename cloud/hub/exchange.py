"""What one sync does in the writer's transaction: judged, held to the quotas, stored, observed, answered."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.auth import used_nonce
from wayside.cloud.hub.door.quotas import Keeper
from wayside.cloud.hub.ingest import Ingest, Stored
from wayside.cloud.hub.instances import Instances, Verdict
from wayside.cloud.hub.registry import Node
from wayside.cloud.hub.rollout.offers import Offers
from wayside.cloud.hub.rollout.store import RolloutStore
from wayside.cloud.hub.serials import Serials
from wayside.contracts.sync import Desired, Restored, SyncRequest


class Asked(NamedTuple):
    """A sync request whose signature fits."""

    node: Node
    document: SyncRequest
    sent_bytes: int
    serial: int  # that its nonce is for


class Done(NamedTuple):
    verdict: Verdict  # its refusal is not raised by the job: what the hub learned by it is to stay
    stored: Stored = Stored(0, 0)
    left: int | None = None  # intervals that its quotas let the next request carry; None: as many as fit
    offer_wanted: bool = False
    wanted: tuple[Desired, ...] = ()
    restored: Restored | None = None


class Exchange:
    """The writer thread's."""

    def __init__(
        self,
        *,
        serials: Serials,
        instances: Instances,
        keeper: Keeper,
        ingest: Ingest,
        offers: Offers,
        rollouts: RolloutStore,
    ) -> None:
        self._serials, self._instances, self._keeper = serials, instances, keeper
        self._ingest, self._offers, self._rollouts = ingest, offers, rollouts

    def begin(self, connection: sa.Connection, nodes: Collection[int]) -> None:
        """In a new transaction: what other processes changed is forgotten, or learned."""
        self._serials.lock(connection, nodes)
        self._rollouts.begin(connection)

    def forget(self) -> None:
        """After a rollback: everything that is remembered of nodes and rollouts."""
        self._serials.forget()
        self._rollouts.forget()

    def serve(self, connection: sa.Connection, asked: Asked, now_ms: int) -> Done:
        node, document, sent_bytes, serial = asked
        if not self._serials.take(connection, node.id, serial):
            return Done(Verdict(used_nonce()))
        ruling = self._keeper.judge(connection, node.id, document, sent_bytes, now_ms)
        verdict = Verdict()
        if ruling.boot_known:
            verdict = self._instances.judge(connection, node, document.boot, document.machine, now_ms)
        if verdict.refusal is not None:
            self._serials.note(connection, node.id)
            return Done(verdict)
        stored = self._ingest.store(connection, node.id, ruling.request, sent_bytes, now_ms, ruling.charge)
        left = self._keeper.count(node.id, stored.stored, sent_bytes, ruling.charge)
        if ruling.refusal is not None:
            return Done(Verdict(ruling.refusal))
        if verdict.disputed:
            return Done(verdict, stored, left, restored=self._rollouts.restored(connection))
        offer = self._offers.keep(connection, node.id, document.boot, document.offer)
        self._rollouts.observe(connection, node.name, document.heartbeat, offer, now_ms)
        wanted = self._rollouts.wanted(connection, node.name, document.heartbeat)
        return Done(verdict, stored, left, offer.wanted, wanted, self._rollouts.restored(connection))
