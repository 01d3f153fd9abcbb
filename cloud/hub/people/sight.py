"""What somebody sees, as conditions of queries: what they do not see is never read, so that nothing has to be left out.

Every query of the read API takes a :class:`Sight`. A department sees the nodes and sites that it was given with all
that they say, and of other nodes single datastreams; nobody sees the datastreams that are released as open data.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.store import datastreams, department_scopes, nodes, open_datastreams, summaries

Condition = sa.ColumnElement[bool]


class Sight(NamedTuple):
    """Conditions for queries that read ``store.nodes``, the third one ``store.datastreams`` as well."""

    nodes: Condition  # that there is such a node, and where
    whole: Condition  # all that it says: heartbeat, alerts, decisions, records
    datastreams: Condition  # intervals of the datastream

    @property
    def rows(self) -> list[Condition]:
        """For queries of ``store.summaries`` alone; none where all is seen."""
        if self is EVERYTHING:
            return []
        row = summaries.c
        streams = sa.select(datastreams.c.id).join_from(datastreams, nodes).where(self.datastreams)
        whole = sa.select(nodes.c.id).where(self.whole)
        return [row.datastream_id.in_(streams), sa.or_(row.kind == "interval", row.node_id.in_(whole))]


EVERYTHING = Sight(sa.true(), sa.true(), sa.true())
NOTHING = Sight(sa.false(), sa.false(), sa.false())


def sight_of(actor: Actor) -> Sight:
    """Nodes have none: what they may ask is their own."""
    if actor.role is None:
        return _open() if actor.name == "nobody" else NOTHING
    if actor.role is Role.DEPARTMENT:
        return NOTHING if actor.department is None else _of_department(actor.department)
    return EVERYTHING


def _of_department(department: str) -> Sight:
    scope = department_scopes.c
    here = sa.and_(scope.department == department, sa.or_(scope.node_id == nodes.c.id, scope.site == nodes.c.site))
    whole = scope.datastream.is_(None)
    return Sight(
        nodes=sa.exists().where(here),
        whole=sa.exists().where(here, whole),
        datastreams=sa.exists().where(here, sa.or_(whole, scope.datastream == datastreams.c.name)),
    )


def _open() -> Sight:
    released = open_datastreams.c
    return Sight(
        nodes=sa.exists().where(released.node_id == nodes.c.id),
        whole=sa.false(),
        datastreams=sa.exists().where(released.node_id == nodes.c.id, released.name == datastreams.c.name),
    )
