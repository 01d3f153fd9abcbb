"""What each node has said that it offers (:class:`contracts.task_config.Offer`): kept for those who choose models."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.rollout.candidates import FleetNode
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

    def forget(self, node: int | None = None) -> None:
        if node is None:
            self._boots.clear()
        else:
            self._boots.pop(node, None)

    def keep(self, connection: sa.Connection, node_id: int, boot: str, offer: Offer | None) -> Kept:
        """Store what a sync request says; costs no query while a boot has said it already and says nothing new."""
        if node_id not in self._boots:
            query = sa.select(nodes.c.offer_boot).where(nodes.c.id == node_id)
            self._boots[node_id] = connection.execute(query).scalar()
        if offer is None:
            said_by = self._boots[node_id]
            return Kept(known=said_by is not None, wanted=said_by != boot, new=None)
        text = encode(offer).decode()
        was = connection.execute(sa.select(nodes.c.offer).where(nodes.c.id == node_id)).scalar()
        if (was, self._boots[node_id]) != (text, boot):
            connection.execute(nodes.update().where(nodes.c.id == node_id).values(offer=text, offer_boot=boot))
        self._boots[node_id] = boot
        return Kept(known=True, wanted=False, new=None if was == text else offer)


def fleet(connection: sa.Connection) -> list[FleetNode]:
    """Every node of the fleet with what it offers and reports. Those that are shut out are not of it."""
    inside = sa.and_(nodes.c.revoked_ms.is_(None), nodes.c.retired_ms.is_(None))
    rows = connection.execute(sa.select(nodes.c.name, nodes.c.offer, nodes.c.heartbeat).where(inside))
    return [
        FleetNode(
            name,
            decode(offer.encode(), Offer) if offer else None,
            decode(heartbeat.encode(), Heartbeat) if heartbeat else None,
        )
        for name, offer, heartbeat in rows
    ]
