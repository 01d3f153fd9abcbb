"""What each node has said that it offers (:class:`contracts.task_config.Offer`): kept for those who choose models."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.candidates import FleetNode
from wayside.cloud.hub.store import nodes
from wayside.contracts.sync import Heartbeat
from wayside.contracts.task_config import Offer
from wayside.contracts.wire import decode, encode


class Kept(NamedTuple):
    known: bool  # the node has said what it offers, in this boot or an earlier one
    wanted: bool  # it has not in this boot
    new: Offer | None  # it said something else than before


class Offers:
    """The writer thread's: remembers who has said it in which boot. ``forget`` after a rollback."""

    def __init__(self) -> None:
        self._boots: dict[int, str | None] = {}

    def forget(self) -> None:
        self._boots.clear()

    def keep(self, connection: sa.Connection, node_id: int, boot: str, offer: Offer | None) -> Kept:
        """Store what a sync request says; costs no query while a boot has said it already and says nothing new."""
        if node_id not in self._boots:
            query = "SELECT offer_boot FROM nodes WHERE id = ?"
            self._boots[node_id] = connection.exec_driver_sql(query, (node_id,)).scalar()
        if offer is None:
            said_by = self._boots[node_id]
            return Kept(known=said_by is not None, wanted=said_by != boot, new=None)
        text = encode(offer).decode()
        was = connection.exec_driver_sql("SELECT offer FROM nodes WHERE id = ?", (node_id,)).scalar()
        if (was, self._boots[node_id]) != (text, boot):
            update = "UPDATE nodes SET offer = ?, offer_boot = ? WHERE id = ?"
            connection.exec_driver_sql(update, (text, boot, node_id))
        self._boots[node_id] = boot
        return Kept(known=True, wanted=False, new=None if was == text else offer)


def fleet(connection: sa.Connection) -> list[FleetNode]:
    """Every enrolled node with what it offers and reports."""
    rows = connection.execute(sa.select(nodes.c.name, nodes.c.offer, nodes.c.heartbeat))
    return [
        FleetNode(
            name,
            decode(offer.encode(), Offer) if offer else None,
            decode(heartbeat.encode(), Heartbeat) if heartbeat else None,
        )
        for name, offer, heartbeat in rows
    ]
