"""How much of the store a node may take: generous to every honest one, and an end for one that has gone wrong.

What is beyond a quota is refused as a whole request (429 ``quota``), so that also nodes of earlier releases keep their
rows. Of such a request the hub keeps the heartbeat and what happened (alerts, gaps, decisions): a quota makes no node
silent. The node then sends no intervals until the hub grants some (``grant``), and none of the datastreams that the
refusal names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from wayside.cloud.hub.errors import ConfigurationError, QuotaError
from wayside.cloud.hub.store import boots, datastreams, nodes
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import MAX_SUMMARIES, Notice, SyncRequest

DAY_MS = 86_400_000


class Quotas(NamedTuple):
    """Of one node. A day is one of UTC, by the hub's clock."""

    datastreams: int = 2_000
    rows: int = 1_000_000  # a day; a year of eight detectors every 15 minutes is 280,000
    bytes: int = 500_000_000  # a day, as sent
    boots: int = 500  # a day: an agent that restarts every three minutes


def parsed(given: Sequence[str]) -> Quotas:
    """Of ``NAME=NUMBER``, as an operator types them. Raises ConfigurationError."""
    quotas = Quotas()
    for one in given:
        name, _, number = one.partition("=")
        if name not in Quotas._fields or not number.isdecimal() or not 0 < int(number) < 2**53:
            names = ", ".join(Quotas._fields)
            raise ConfigurationError("quota", f"--quota {one}: give NAME=NUMBER, with one of {names}")
        quotas = quotas._replace(**{name: int(number)})
    return quotas


class Charge(NamedTuple):
    """What a request adds to its node's row."""

    day: int = 0
    boots: int = 0
    over: str | None = None  # what it was refused for


class Ruling(NamedTuple):
    """What may be stored of a request, and how it is answered then."""

    request: SyncRequest
    charge: Charge
    refusal: QuotaError | None
    boot_known: bool  # False: the boot that asks is one too many, and leaves no trace


class Used(NamedTuple):
    """By a node, of the day."""

    day: int
    rows: int
    bytes: int
    boots: int


class Keeper:
    """The writer thread's. Remembers what nodes have used; ``forget`` after a rollback."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._used: dict[int, Used] = {}
        self._boots: dict[int, set[str]] = {}
        self._streams: dict[int, set[str]] = {}

    def forget(self, node: int | None = None) -> None:
        memories: tuple[dict[int, Any], ...] = (self._used, self._boots, self._streams)
        for memory in memories:
            if node is None:
                memory.clear()
            else:
                memory.pop(node, None)

    def judge(self, connection: sa.Connection, node: int, request: SyncRequest, sent: int, now_ms: int) -> Ruling:
        """Before anything of it is stored."""
        quotas, rows = self._quotas, request.summaries
        used = self._of_day(connection, node, now_ms)
        boots_new = self._new_boots(connection, node, {request.boot, *(row.boot for row in rows)})
        streams = self._beyond(connection, node, rows)
        intervals = sum(row.kind is Kind.INTERVAL for row in rows)
        full = used.rows + intervals > quotas.rows or used.bytes + sent > quotas.bytes
        overfull = used.rows + len(rows) > 2 * quotas.rows  # also of what happened there is an end
        restless = used.boots + len(boots_new) > quotas.boots
        over = [f"{quotas.rows} rows and {quotas.bytes} bytes a day"] if (full and intervals) or overfull else []
        over += [f"{quotas.boots} boots a day"] if restless else []
        over += [f"{quotas.datastreams} datastreams"] if streams else []
        if not restless:
            self._boots[node] |= boots_new
        charge = Charge(used.day, 0 if restless else len(boots_new), " and ".join(over) or None)
        if not over:
            return Ruling(request, charge, None, True)
        kept = [
            row
            for row in rows
            if row.boot in self._boots[node]
            and row.datastream not in streams
            and not overfull
            and not (full and row.kind is Kind.INTERVAL)
        ]
        known = request.boot in self._boots[node]
        return Ruling(msgspec.structs.replace(request, summaries=kept), charge, _refusal(charge.over, streams), known)

    def count(self, node: int, stored: int, sent: int, charge: Charge) -> int | None:
        """Note what was stored. How many intervals the node's next request may carry; None: as many as fit."""
        was, quotas = self._used[node], self._quotas
        used = self._used[node] = Used(was.day, was.rows + stored, was.bytes + sent, was.boots + charge.boots)
        if used.bytes >= quotas.bytes or used.rows >= quotas.rows or used.boots >= quotas.boots:
            return 0
        return quotas.rows - used.rows if quotas.rows - used.rows < MAX_SUMMARIES else None

    def _of_day(self, connection: sa.Connection, node: int, now_ms: int) -> Used:
        used = self._used.get(node)
        if used is None:
            columns = (nodes.c.day, nodes.c.day_rows, nodes.c.day_bytes, nodes.c.day_boots)
            used = Used(*connection.execute(sa.select(*columns).where(nodes.c.id == node)).one())
        if used.day != now_ms // DAY_MS:
            used = Used(now_ms // DAY_MS, 0, 0, 0)
        self._used[node] = used
        return used

    def _new_boots(self, connection: sa.Connection, node: int, named: set[str]) -> set[str]:
        known = self._boots.setdefault(node, set())
        if named <= known:
            return set()
        query = sa.select(boots.c.boot).where(boots.c.node_id == node, boots.c.boot.in_(named - known))
        known.update(connection.execute(query).scalars())
        return named - known

    def _beyond(self, connection: sa.Connection, node: int, rows: Sequence[Summary]) -> frozenset[str]:
        """Datastreams beyond the quota: of the new ones those that come last."""
        named = dict.fromkeys(row.datastream for row in rows)
        known = self._streams.get(node)
        if known is None:
            query = sa.select(datastreams.c.name).where(datastreams.c.node_id == node)
            known = self._streams[node] = set(connection.execute(query).scalars())
        if named.keys() <= known:
            return frozenset()
        new = [name for name in named if name not in known]
        room = max(0, self._quotas.datastreams - len(known))
        known.update(new[:room])
        return frozenset(new[room:])


def _refusal(over: str | None, streams: frozenset[str]) -> QuotaError:
    what = f"this node is over its quota of {over}: it keeps what was not taken"
    return QuotaError("quota", f"{what}; an operator may raise it (`wayside hub run --quota`)", tuple(sorted(streams)))


NOTICE = Notice(
    code="quota",
    message="the hub takes no more intervals of this node today: it is at its quota. They are kept here, and go later",
)
