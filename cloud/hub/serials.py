"""Serial numbers: the order in which a node's signed requests take effect, over all processes of the hub.

``nodes.serial`` counts them. Whoever serves a node takes its row for the transaction, serves the request that is for
the present serial, and counts up in the same transaction: of two that come at once, for one serial, one is served. And
what a process remembers of a node (boots, pages, datastreams, hardware, offers) is true as long as the serial is the
one that it left: whatever else changes a node's row counts up, too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import sqlalchemy as sa

from wayside.cloud.hub.store import nodes

_ONE = sa.select(nodes.c.serial).where(nodes.c.id == sa.bindparam("node"))
_LOCKED = (  # in the order of their numbers: no two processes wait for each other
    sa.select(nodes.c.id, nodes.c.serial)
    .where(nodes.c.id.in_(sa.bindparam("nodes", expanding=True)))
    .order_by(nodes.c.id)
    .with_for_update()
)
_NEXT = sa.text("UPDATE nodes SET serial = serial + 1 WHERE id = :node")


class Memory(Protocol):
    """What is remembered of nodes."""

    def forget(self, node: int | None = None) -> None:
        """Everything, or what is remembered of one node, by its row."""


class Serials:
    """The writer thread's, as the memories are. :meth:`forget` after a rollback."""

    def __init__(self, *memories: Memory) -> None:
        self._memories = memories
        self._serials: dict[int, int] = {}

    def forget(self, node: int | None = None) -> None:
        """Everything, or what is remembered of one node."""
        if node is None:
            self._serials.clear()
        else:
            self._serials.pop(node, None)
        for memory in self._memories:
            memory.forget(node)

    def lock(self, connection: sa.Connection, of: Collection[int]) -> None:
        """Take these nodes' rows until the transaction ends."""
        if of:
            for node, serial in connection.execute(_LOCKED, {"nodes": sorted(of)}):
                self._learn(node, serial)

    def take(self, connection: sa.Connection, node: int, serial: int) -> bool:
        """Whether ``node``'s request for ``serial`` is to be served; then the caller counts it: :meth:`note`."""
        if self._serials.get(node) != serial:
            self._learn(node, serial_of(connection, node))
        if self._serials[node] != serial:
            return False
        self._serials[node] = serial + 1
        return True

    def _learn(self, node: int, serial: int) -> None:
        if self._serials.get(node) != serial:
            self.forget(node)
            self._serials[node] = serial

    def note(self, connection: sa.Connection, node: int) -> None:
        """Count a serial that :meth:`take` gave."""
        connection.execute(_NEXT, {"node": node})


def serial_of(connection: sa.Connection, node: int) -> int:
    return int(connection.execute(_ONE, {"node": node}).scalar_one())
