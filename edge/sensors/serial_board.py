"""The board on its serial line: open, say hello, read, give signs of life, and begin again after an unplug.

A technician's command may borrow the port (:mod:`wayside.firmware_bridge.line.borrow`): then the line is closed and
comes back by itself. That is no fault: no alert, no restart by the watchdog.

An event is acknowledged to the board only when it is durable here; the board keeps it until then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from wayside.contracts.sensor_config import BoardConfig
from wayside.edge.backoff import full_jitter
from wayside.edge.node import Node
from wayside.firmware_bridge.errors import LineError, MessageError, PortLent, WrongBoard
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.borrow import is_lent
from wayside.firmware_bridge.line.finder import find_board, is_pattern
from wayside.firmware_bridge.line.transport import Line, open_transport

HEARTBEAT_S = 0.2
SILENT_S = 5.0  # without a good frame the line is opened anew
RETRY_BASE_S, RETRY_CAP_S = 0.2, 10.0
log = structlog.get_logger(__name__)


class SerialBoard:
    """Feeds ``node`` from the board of ``config`` until cancelled."""

    def __init__(self, config: BoardConfig, node: Node, congested: Callable[[], bool]) -> None:
        """``congested`` says that storage does not keep up: then nothing is read, and the board keeps its events."""
        self._config, self._node, self._congested = config, node, congested
        self._link = BoardLink(config.identity)
        self._line: Line | None = None
        self._request = 0
        self.connected = False
        self.lent = False  # to a technician's command
        self.heard_at = float("-inf")  # loop time of the last good frame
        self.raw_bytes = 0
        self.decode_errors = 0
        self._errors_before = 0

    async def run(self) -> None:
        attempt = 0
        said: str | None = None  # a fault that lasts is one alert and one line in the log, not one an attempt
        while True:
            trouble = "closed"
            before = self._link.received.statuses
            try:
                await self._converse()
            except PortLent as exc:
                self._close()
                self.connected = False
                await self._wait_for_return(exc.port)
                attempt, said = 0, None
                continue
            except WrongBoard as exc:
                trouble = f"wrong board: {exc}"
                if trouble != said:
                    self._node.ledger.alert("board", trouble[:256])
                self._errors_before = self.decode_errors
                self._link = BoardLink(self._config.identity)
                before = 0
            except (LineError, TimeoutError) as exc:
                trouble = str(exc) or "silent"
            except asyncio.CancelledError:
                self.connected = False  # the agent stops: nothing is wrong with the line
                raise
            finally:
                self._close()
            if self.connected:
                self._node.ledger.begin("line_lost", "board", f"line lost: {trouble}"[:256])
            self.connected = False
            talked = self._link.received.statuses > before
            attempt = 0 if talked else attempt + 1
            if talked or trouble != said:
                log.warning("board line down", trouble=trouble)
            said = trouble
            await asyncio.sleep(max(0.05, full_jitter(attempt, RETRY_BASE_S, RETRY_CAP_S, random.Random())))  # noqa: S311

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    async def _wait_for_return(self, port: str) -> None:
        self.lent = True
        log.info("board lent", port=port)
        try:
            while is_lent(port):  # noqa: ASYNC110 -- a file lock of another process tells nobody when it ends
                await asyncio.sleep(HEARTBEAT_S)
        finally:
            self.lent = False
        log.info("board returned", port=port)

    async def _converse(self) -> None:
        loop = asyncio.get_running_loop()
        port, identity = self._config.port, self._config.identity
        if identity is not None and is_pattern(port):
            port = await find_board(port, self._config.baud, identity)
        if is_lent(port):
            raise PortLent(port)
        self._line = line = open_transport(port, self._config.baud)
        boot, seq = self._node.durable
        line.write(self._link.hello(seq, boot) if boot else self._link.hello())
        opened = next_beat = loop.time()
        good = self._link.counts.frames
        while True:
            while self._congested():
                await asyncio.sleep(HEARTBEAT_S)  # no sign of life: after a while the board stops sending and keeps
                if is_lent(port):
                    raise PortLent(port)
            now = loop.time()
            if now >= next_beat:
                if is_lent(port):
                    raise PortLent(port)
                boot, seq = self._node.durable
                line.write(self._link.heartbeat(seq, boot or None))
                self._send_plan(line)
                next_beat = now + HEARTBEAT_S
            try:
                async with asyncio.timeout(max(0.0, next_beat - now)):
                    data = await line.read()
            except TimeoutError:
                data = b""
            if data:
                self.raw_bytes += len(data)
                self._node.receive(self._link.receive(data))
                self._count_errors()
            if self._link.counts.frames != good:
                good = self._link.counts.frames
                self.heard_at = loop.time()
                self.connected = self.connected or self._link.identity is not None
                if self.connected:
                    self._node.ledger.end("line_lost", "board")
            if loop.time() - max(self.heard_at, opened) > SILENT_S:
                raise TimeoutError(f"{self._config.port}: nothing heard for {SILENT_S:.0f} s")

    def _send_plan(self, line: Line) -> None:
        plan, self._node.plan = self._node.plan, None
        cycle_s = self._node.cycle_s
        if plan is None or cycle_s is None:
            return
        self._request = (self._request + 1) & 0xFFFF
        try:
            line.write(self._link.phase_times(self._request, plan, cycle_s))
        except MessageError as exc:
            self._node.ledger.alert("board", f"the plan does not fit the line: {exc}"[:256])

    def _count_errors(self) -> None:
        self.decode_errors = self._errors_before + self._link.counts.dropped + self._link.received.refused
