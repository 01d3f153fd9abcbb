"""What the node knows becomes durable: rows, steps, counters and state in one transaction.

Only after a commit may the board forget what it sent. A disk that fails stops nothing: everything stays in memory, the
next commit tries again, and beyond :data:`MAX_PENDING` rows the board is asked to keep its events.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from wayside.contracts.node_config import StorageConfig
from wayside.contracts.summary import Kind
from wayside.contracts.sync import Restored
from wayside.edge.event_log import EventLog
from wayside.edge.node import Node
from wayside.edge.outbox import Batch, Outbox, StorageError
from wayside.edge.sensors.serial_board import SerialBoard

MAX_PENDING = 20_000  # rows in memory while the disk is full; beyond that the board keeps its events
IDLE_COMMIT_S = 10.0
LATE_S = 60.0  # without a commit for so long the node is not healthy
log = structlog.get_logger(__name__)


class Committer:
    """The one writer of the outbox's rows and state.

    Attributes:
        trouble: why nothing is durable at the moment; None while it is.
        urgent: set when something that should not wait for the next sync became durable.
    """

    def __init__(self, config: StorageConfig, node: Node, outbox: Outbox, boot: str) -> None:
        self._config, self._node, self._outbox, self._boot = config, node, outbox, boot
        self._board: SerialBoard | None = None
        self.events: EventLog | None = None
        self._before: dict[str, int] = {}  # the board's totals of earlier runs
        self._stored_at = time.monotonic()
        self.trouble: str | None = None
        self.urgent = asyncio.Event()

    def count_board(self, board: SerialBoard) -> None:
        """Keep the totals of ``board``'s line among the counters."""
        self._board = board
        self._before = {name: self._node.ledger.counters.get(name, 0) for name in ("raw_bytes", "decode_errors")}

    def congested(self) -> bool:
        return len(self._node.ledger.rows) > MAX_PENDING

    def stores(self) -> bool:
        return self.trouble is None and time.monotonic() - self._stored_at < LATE_S

    async def run(self) -> None:
        node = self._node
        while True:
            await asyncio.sleep(self._config.checkpoint_s)
            node.pass_time()
            idle = time.monotonic() - self._stored_at < IDLE_COMMIT_S
            if node.ledger.rows or node.ahead() or not idle:
                self.commit()
            self.restamp_if_known()

    def commit(
        self, acknowledged: Batch | None = None, hub_ms: int | None = None, restored: Restored | None = None
    ) -> bool:
        """Make everything so far durable, or keep it in memory and say why.

        Args:
            acknowledged: rows that the hub has; they leave the outbox.
            hub_ms: when it took them, by its clock.
            restored: it was, from a backup: what it may have lost goes out again, as far as it is still here.
        """
        node, ledger = self._node, self._node.ledger
        self.tally()
        before = dict(ledger.counters)
        doomed: dict[Kind, list[int]] = {}
        try:
            doomed = self._outbox.over_limit() if acknowledged is None else {}
            for kind, ids in doomed.items():
                ledger.dropped(kind, len(ids))
            gone = acknowledged.ids if acknowledged else [i for ids in doomed.values() for i in ids]
            ledger.count("summaries_produced", len(ledger.rows))
            if acknowledged:
                ledger.count("summaries_acknowledged", len(acknowledged.ids))
            if restored:
                again = self._outbox.delivered_since(restored.since_ms)
                ledger.count("summaries_acknowledged", -min(again, before.get("summaries_acknowledged", 0)))
            self._outbox.commit(
                ledger.rows,
                node.state(),
                node.steps,
                gone,
                kept=node.kept,
                hub_ms=hub_ms if acknowledged else None,
                restored=restored,
            )
        except StorageError as exc:
            ledger.counters.clear()
            ledger.counters.update(before)
            if doomed:
                del ledger.rows[-len(doomed) :]
            self._fails(exc)
            return False
        self._works()
        self._stored_at = time.monotonic()
        ledger.rows.clear()
        node.steps.clear()
        node.committed()
        if self.events is not None:  # after the commit: what the board sends again after a crash is not in it yet
            self.events.append(*node.take_events())
        if ledger.urgent:
            ledger.urgent = False
            self.urgent.set()
        return True

    def _fails(self, exc: StorageError) -> None:
        if self.trouble is None:
            log.error("storage failed", error=str(exc))
            self._node.ledger.begin("storage_fails", "storage", str(exc))
        self.trouble = str(exc)

    def _works(self) -> None:
        if self.trouble is not None:
            log.info("storage works again")
        self.trouble = None
        # After the commit: its end is a row of the next one. Also one that an earlier run of the agent left open.
        self._node.ledger.end("storage_fails", "storage")

    def tally(self) -> None:
        """Bring the board's totals up to date."""
        if self._board is not None:
            counters = self._node.ledger.counters
            counters["raw_bytes"] = self._before["raw_bytes"] + self._board.raw_bytes
            counters["decode_errors"] = self._before["decode_errors"] + self._board.decode_errors

    def restamp_if_known(self) -> None:
        """When a trusted time has arrived, the rows of this boot that wait get their wall time, once."""
        if not self._node.clock_arrived():
            return
        try:
            rows = [(id_, self._node.ledger.restamp(row)) for id_, row in self._outbox.timeless(self._boot)]
            self._outbox.rewrite(rows)
            log.info("clock known", restamped=len(rows))
        except StorageError as exc:
            log.error("rows keep their unknown time", error=str(exc))
