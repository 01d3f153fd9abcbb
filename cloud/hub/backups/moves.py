"""What the end of a hold after a restore would order: which nodes, from which version to which."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.reports import bundles_of
from wayside.cloud.hub.rollout.offers import fleet
from wayside.cloud.hub.rollout.store import Published, by_bundle, load_all, wanted_of_all, withdrawn


class Move(NamedTuple):
    bundle: str
    runs: str | None  # None: no version of it
    to: str
    nodes: tuple[str, ...]


def moves(connection: sa.Connection, published: Published) -> list[Move]:
    """The most nodes first. Reads every node."""
    rollouts, stopped = by_bundle(load_all(connection)), withdrawn(connection)
    moved: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for node in fleet(connection):
        runs = bundles_of(node.heartbeat) if node.heartbeat else {}
        for desired in wanted_of_all(rollouts, node.name, node.heartbeat, stopped, published):
            if (now := runs.get(desired.bundle)) != desired.version:
                moved[desired.bundle, now, desired.version].append(node.name)
    every = [Move(bundle, now, to, tuple(sorted(names))) for (bundle, now, to), names in moved.items()]
    return sorted(every, key=lambda move: (-len(move.nodes), move.bundle))
