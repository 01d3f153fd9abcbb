"""Listening to the board of a node for some time of its own clock; nothing is acknowledged to it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from rich.progress import BarColumn, TextColumn

from wayside.contracts.sensor_config import BoardConfig
from wayside.edge.commission.live import FIRST_STATUS_S, RETRY_S, board_port, borrow_board
from wayside.edge.commission.record import CommissionError
from wayside.edge.commission.wiring.events_file import take
from wayside.edge.commission.wiring.observed import Observer
from wayside.firmware_bridge.errors import BridgeError
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.conversation import open_conversation
from wayside.firmware_bridge.line.messages import Event, Identity, Status
from wayside.terminal import Bars, Screen

LOST_S = 60.0  # a line that is away for longer ends the listening


def listen(board: BoardConfig, seconds: float, console: Screen) -> tuple[Observer, bool]:
    """Events of ``seconds`` of the board's clock, and whether it was all of that time; Ctrl-C ends it early.

    Raises:
        CommissionError: the board is silent or another, or a signal ended it.
    """
    observer = Observer()
    bar = Bars(
        TextColumn("Listening to the board"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.description}"),
        screen=console,
        transient=True,
    )
    with contextlib.ExitStack() as held, bar:
        task = bar.add_task("", total=seconds)

        def heard(elapsed_s: float, vehicles: int) -> None:
            minutes = max(0.0, seconds - elapsed_s) / 60
            bar.update(
                task, completed=min(elapsed_s, seconds), description=f"{vehicles} vehicles, {minutes:.0f} min left"
            )

        ports = borrow_board(board, held)
        try:
            return observer, asyncio.run(_listen(board, ports, seconds, observer, heard))
        except KeyboardInterrupt:
            return observer, False
        except asyncio.CancelledError as exc:
            raise CommissionError("ended by a signal") from exc


async def _listen(
    board: BoardConfig, ports: list[str], seconds: float, observer: Observer, heard: Callable[[float, int], None]
) -> bool:
    current = asyncio.current_task()
    assert current is not None  # noqa: S101
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, current.cancel)
    clock = _BoardClock()
    loop = asyncio.get_running_loop()
    patience_s = FIRST_STATUS_S
    lost_s = loop.time()
    while clock.elapsed_s < seconds:
        try:
            port = await board_port(board, ports)
            with open_conversation(port, board.baud, BoardLink(board.identity)) as conversation:
                while clock.elapsed_s < seconds:
                    for message in await conversation.turn():
                        take(message, observer)
                        if clock.take(message):
                            lost_s, patience_s = loop.time(), LOST_S
                    heard(clock.elapsed_s, clock.vehicles)
        except (BridgeError, OSError) as exc:
            if loop.time() - lost_s > patience_s:
                if clock.elapsed_s:
                    return False
                raise CommissionError(f"{exc}; check the board's power, its cable, board.port and board.baud") from exc
            observer.interrupt()
            if board.port.startswith("replay://"):
                return False
        await asyncio.sleep(RETRY_S)
    return True


class _BoardClock:
    """How much of the board's time has passed, over its restarts."""

    def __init__(self) -> None:
        self.vehicles = 0
        self._before_ms = self._now_ms = 0
        self._from_ms: int | None = None

    @property
    def elapsed_s(self) -> float:
        return (self._before_ms + (self._now_ms - self._from_ms if self._from_ms is not None else 0)) / 1000

    def take(self, message: object) -> bool:
        """Whether it was a sign of life."""
        if isinstance(message, Identity) and message.rebooted and self._from_ms is not None:
            self._before_ms += self._now_ms - self._from_ms
            self._from_ms = None
        if isinstance(message, Event):
            self.vehicles += int(message.kind == 1 and message.value == 1)
        if not isinstance(message, Status):
            return False
        if self._from_ms is None:
            self._from_ms = message.ms
        self._now_ms = max(message.ms, self._from_ms)
        return True
