"""The board on its serial line: converse, pass on what it says, and begin again after an unplug.

A technician's command may borrow the port (:mod:`wayside.firmware_bridge.line.borrow`): then the line is closed and
comes back by itself. That is no fault: no condition, no restart by the watchdog.

An event is acknowledged to the board only when it is durable here; the board keeps it until then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from wayside.contracts.beat import Maxima, Request
from wayside.contracts.sensor_config import BoardConfig
from wayside.edge.backoff import full_jitter
from wayside.firmware_bridge.errors import LineError, MessageError, PortLent, WrongBoard
from wayside.firmware_bridge.line.board import BoardLink, Heard
from wayside.firmware_bridge.line.borrow import is_lent
from wayside.firmware_bridge.line.conversation import HEARTBEAT_S, SILENT_S, Conversation, open_conversation
from wayside.firmware_bridge.line.finder import find_board, is_pattern
from wayside.firmware_bridge.line.noise import WINDOW_S, ErrorBudget

__all__ = ["SILENT_S", "SerialBoard"]
ABSENT_S = 30.0  # for a board to be reached after the start or a loan: it may have to start first
RETRY_BASE_S, RETRY_CAP_S = 0.2, 10.0
SUBJECT = "board"
log = structlog.get_logger(__name__)


class Conditions(Protocol):
    """Records what is wrong from when to when: :class:`wayside.edge.ledger.Ledger`."""

    def begin(self, code: str, subject: str, message: str, *, severe: bool = True) -> object: ...

    def end(self, code: str, subject: str) -> object: ...


class Node(Protocol):
    """The node that the board belongs to."""

    plan: dict[int, float] | None  # green times, s, by phase, to be sent; taken away when they are

    @property
    def cycle_s(self) -> float | None: ...

    @property
    def durable(self) -> tuple[int, int]:
        """(boot of the board, seq) that the board may forget."""
        ...

    def receive(self, messages: Iterable[Heard], /) -> None: ...

    def requests(self) -> Sequence[tuple[int, Request | Maxima]]:
        """(number, request) to be sent, in order; taken away by this call."""
        ...


class SerialBoard:
    """Feeds ``node`` from the board of ``config`` until cancelled.

    Conditions of ``board``: ``line_lost``, ``wrong_board``, ``line_noisy`` (not severe), ``plan_unsendable``.
    """

    def __init__(self, config: BoardConfig, node: Node, conditions: Conditions, congested: Callable[[], bool]) -> None:
        """``congested`` says that storage does not keep up: then nothing is read, and the board keeps its events."""
        self._config, self._node, self._conditions, self._congested = config, node, conditions, congested
        self._link = BoardLink(config.identity)
        self._noise = ErrorBudget()
        self._request = 0
        self._absent_since_s = time.monotonic()
        self._raw_before = self._errors_before = self._frames_before = 0  # of the links before this one
        self.connected = False
        self.lent = False  # to a technician's command
        self.on_loan: Callable[[], None] = lambda: None  # called when a loan begins, and when the board is back
        self._was_lent = False
        self.heard_at = float("-inf")  # loop time of the last good frame

    @property
    def raw_bytes(self) -> int:
        return self._raw_before + self._link.counts.bytes

    @property
    def decode_errors(self) -> int:
        """Frames that were damaged or not understood."""
        return self._errors_before + self._link.counts.dropped + self._link.received.refused

    async def run(self) -> None:
        attempt = 0
        logged: str | None = None  # a fault that lasts is one line in the log, not one an attempt
        while True:
            statuses = self._link.received.statuses
            try:
                await self._converse()
            except PortLent as exc:
                self.connected = False
                await self._wait_for_return(exc.port)
                self._absent_since_s = time.monotonic()  # the command may have reset the board
                attempt, logged = 0, None
                continue
            except WrongBoard as exc:
                reason = f"wrong board: {exc}"
                self._conditions.begin("wrong_board", SUBJECT, reason[:256])
                self._replace_link()
                statuses = 0
            except LineError as exc:
                reason = str(exc)
                if self.connected or time.monotonic() - self._absent_since_s > ABSENT_S:
                    self._conditions.begin("line_lost", SUBJECT, f"line lost: {reason}"[:256])
            finally:
                self.connected = False
            talked = self._link.received.statuses > statuses
            attempt = 0 if talked else attempt + 1
            if talked or reason != logged:
                log.warning("board line down", trouble=reason)
            logged = reason
            await asyncio.sleep(max(0.05, full_jitter(attempt, RETRY_BASE_S, RETRY_CAP_S, random.Random())))  # noqa: S311

    def _replace_link(self) -> None:
        """The next board is another, with numbers of its own; the totals go on."""
        raw, errors, frames = self.raw_bytes, self.decode_errors, self._frames()
        self._link = BoardLink(self._config.identity)
        self._raw_before, self._errors_before, self._frames_before = raw, errors, frames

    def _frames(self) -> int:
        return self._frames_before + self._link.counts.frames + self._link.counts.dropped

    async def _wait_for_return(self, port: str) -> None:
        self.lent = self._was_lent = True
        log.info("board lent", port=port)
        self.on_loan()
        try:
            while is_lent(port):  # noqa: ASYNC110 -- a file lock of another process tells nobody when it ends
                await asyncio.sleep(HEARTBEAT_S)
        finally:
            self.lent = False
        log.info("board returned", port=port)

    async def _converse(self) -> None:
        """Never returns. Raises: LineError, PortLent, WrongBoard."""
        port, identity = self._config.port, self._config.identity
        if identity is not None and is_pattern(port):
            port = await find_board(port, self._config.baud, identity)

        def lend() -> None:
            if is_lent(port):
                raise PortLent(port)

        lend()
        with open_conversation(
            port, self._config.baud, self._link, durable=lambda: self._node.durable, before_heartbeat=lend
        ) as conversation:
            statuses = self._link.received.statuses
            while True:
                while self._congested():
                    await asyncio.sleep(HEARTBEAT_S)  # no sign of life: after a while the board stops sending and keeps
                    lend()
                if messages := await conversation.turn():
                    self._node.receive(messages)
                self.heard_at = max(self.heard_at, conversation.heard_s)
                if not self.connected and self._link.received.statuses > statuses:
                    self.connected = True
                    if self._was_lent:
                        self._was_lent = False
                        self.on_loan()
                    self._conditions.end("line_lost", SUBJECT)
                    self._conditions.end("wrong_board", SUBJECT)
                self._judge_noise()
                if self.connected:
                    self._send_plan(conversation)
                    for number, asked in self._node.requests():
                        conversation.send(self._link.request(number, asked))

    def _judge_noise(self) -> None:
        was_noisy = self._noise.noisy
        noisy = self._noise.observe(time.monotonic(), self.decode_errors, self._frames())
        if self._noise.quiet:  # also one that an earlier run of the agent left open
            self._conditions.end("line_noisy", SUBJECT)
        if not noisy or was_noisy:
            return
        message = (
            f"{self._noise.errors} frames within {WINDOW_S:.0f} s cannot be read: look at cable, shield and ground"
        )
        self._conditions.begin("line_noisy", SUBJECT, message, severe=False)

    def _send_plan(self, conversation: Conversation) -> None:
        plan, self._node.plan = self._node.plan, None
        cycle_s = self._node.cycle_s
        if plan is None or cycle_s is None:
            return
        self._request = (self._request + 1) & 0x7FFF  # the numbers beyond are those of requests
        try:
            conversation.send(self._link.phase_times(self._request, plan, cycle_s))
        except MessageError as exc:
            self._conditions.begin("plan_unsendable", SUBJECT, f"the plan does not fit the line: {exc}"[:256])
        else:
            self._conditions.end("plan_unsendable", SUBJECT)
