"""What the node says of itself: to the hub in its heartbeat, to people in the status file, to systemd's watchdog."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from wayside.contracts.node_config import NodeConfig
from wayside.contracts.sync import Board, Counters, Heartbeat
from wayside.contracts.version import VERSION
from wayside.edge.commit import Committer
from wayside.edge.node import Node
from wayside.edge.outbox import Outbox
from wayside.edge.sensors.gpio import Contacts
from wayside.edge.sensors.serial_board import SILENT_S, SerialBoard
from wayside.edge.status import STATUS_FILE, replace_status
from wayside.edge.supervisor import Notifier
from wayside.edge.update.installs import Installs

if TYPE_CHECKING:
    from wayside.edge.sync import Sync

REPORT_S = 2.0
log = structlog.get_logger(__name__)


class Health:
    """How the node is, and its heartbeat."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        node: Node,
        committer: Committer,
        outbox: Outbox,
        board: SerialBoard | None,
        installs: Installs,
    ) -> None:
        self._config, self._node, self._committer = config, node, committer
        self._outbox, self._board, self._installs = outbox, board, installs
        self._began = time.monotonic()
        self._flowed: bool | None = None  # when the agent was told to stop

    def stop(self) -> None:
        """The agent closes its lines now: that they are closed is no trouble of the node."""
        self._flowed = self.flows()

    def flows(self) -> bool:
        """Readings flow from the sensor to the disk."""
        if self._flowed is not None:
            return self._flowed and self._committer.stores()
        if self._board is None:
            return self._committer.stores()
        heard = asyncio.get_running_loop().time() - self._board.heard_at < 2 * SILENT_S
        return self._committer.stores() and self._board.connected and heard

    def healthy(self) -> bool:
        """Readings flow, and no severe condition is open."""
        return self.flows() and not any(c.severe for c in self._node.ledger.conditions())

    def worth_keeping(self) -> bool:
        """A restart would not help: readings flow, or the board is lent to a technician."""
        lent = self._board is not None and self._board.lent
        return self.flows() or (lent and self._committer.stores())

    @property
    def storage_trouble(self) -> str | None:
        return self._committer.trouble

    @property
    def board_trouble(self) -> str | None:
        if self._board is None or self._board.connected:
            return None
        return "board lent to a technician" if self._board.lent else "board not connected"

    def heartbeat(self) -> Heartbeat:
        self._committer.tally()
        reports = self._installs.reports()
        return Heartbeat(
            agent=VERSION,
            at=self._node.ledger.now(),
            uptime_s=time.monotonic() - self._began,
            healthy=self.healthy(),
            timezone=self._config.clock.timezone,
            sync_s=self._config.hub.sync_s if self._config.hub is not None else None,
            reported=self._installs.first_report(),
            models=reports,
            tasks=self._node.task_states(),
            conditions=self._node.ledger.conditions(),
            counters=msgspec.convert(self._node.count(), Counters),
            board=self._board_state(),
            rss_bytes=_rss_bytes(),
            backlog=self._outbox.rows,
            trusted=self._installs.trusted(),
        )

    def _board_state(self) -> Board | None:
        if self._board is None:
            return None
        identity, status = self._node.board, self._node.status
        return Board(
            connected=self._board.connected,
            lent=self._board.lent,
            identity=identity.board if identity else None,
            firmware=identity.firmware if identity else None,
            fail_safe=bool(status and status.fail_safe),
            signal_fault=self._node.signal_fault,
            signal_mode=self._node.signal_mode,
        )


class Reporter:
    """Writes the status file and pets the watchdog, every :data:`REPORT_S`."""

    def __init__(
        self,
        name: str,
        boot: str,
        state_dir: Path,
        *,
        node: Node,
        health: Health,
        sync: Sync | None,
        contacts: Contacts,
        uart: Callable[[], Sequence[dict[str, Any]]] = tuple,
    ) -> None:
        """``uart``: what its sensors on serial ports say of themselves."""
        self._name, self._boot, self._path = name, boot, state_dir / STATUS_FILE
        self._node, self._health, self._sync, self._contacts = node, health, sync, contacts
        self._uart = uart
        self.notifier = Notifier()

    async def run(self) -> None:
        while True:
            if self._health.worth_keeping():
                self.notifier.pet()
            beat = self._health.heartbeat()
            trouble = self._trouble()
            first = trouble["storage"] or self._health.board_trouble or trouble["hub"] or "ok"
            self.notifier.status(f"{first}; {beat.backlog} rows wait")
            self._write(beat)
            await asyncio.sleep(REPORT_S)

    def write_status(self) -> None:
        self._write(self._health.heartbeat())

    def _write(self, beat: Heartbeat) -> None:
        document: dict[str, Any] = {
            "node": self._name,
            "boot": self._boot,
            **msgspec.to_builtins(beat),
            "counters": {name: getattr(beat.counters, name) for name in Counters.__struct_fields__ if name != "extra"},
            "readings": self._node.readings(),
            "contacts": [
                {"datastream": name, "closed": closed, "closures": self._node.closures.get(name, 0)}
                for name, closed in self._contacts.closed.items()
            ],
            "setpoints": [s.shown() for s in self._node.outputs.setpoints.values()],
            "beat": self._node.beat(),
            "uart": self._uart(),
            "pid": os.getpid(),
            "cameras": self._node.cameras(),
            "notices": [{"code": n.code, "message": n.message} for n in (self._sync.notices if self._sync else ())],
            "trouble": self._trouble(),
        }
        try:
            replace_status(self._path, document)
        except OSError as exc:
            log.debug("no status file", error=str(exc))

    def _trouble(self) -> dict[str, str | None]:
        return {"storage": self._health.storage_trouble, "hub": self._sync.trouble if self._sync else None}


def _rss_bytes() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
