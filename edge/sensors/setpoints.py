"""A set-point's turn on a Modbus line: what is pending is written and read back, what is confirmed is read again.

A device that lost power holds something else than it was given, and nobody tells: so each register is read back about
once a minute.
"""

from __future__ import annotations

import asyncio
import random

from wayside.edge.actuators import ReadBackSetpoint
from wayside.edge.backoff import full_jitter
from wayside.edge.sensors.modbus_port import Port

READ_BACK_S = 60.0
RETRY_BASE_S, RETRY_CAP_S = 0.5, 15.0
MIN_RETRY_S = 0.1


class SetpointTurn:
    """When the register of one set-point is to be asked, and what is asked then. Its line keeps the time."""

    def __init__(self, setpoint: ReadBackSetpoint) -> None:
        self._setpoint = setpoint
        target = setpoint.config.register
        assert target is not None  # noqa: S101  (a pin's is no line's)
        self._target = target
        self._due = 0.0
        self._tried: float | None = None  # the pending value that was tried last
        self._failures = 0
        self._draw = random.Random()  # noqa: S311

    @property
    def device(self) -> int:
        return self._target.device

    @property
    def pending(self) -> bool:
        return self._setpoint.pending() is not None

    @property
    def due(self) -> float:
        """On the event loop's clock. A new value does not wait for the pause after the failure of another."""
        value = self._setpoint.pending()
        return 0.0 if value is not None and value != self._tried else self._due

    def hasten(self) -> None:
        """The line or the device is there again: nobody knows what it holds."""
        self._due, self._failures = 0.0, 0

    async def ask(self, port: Port) -> None:
        """Raises: LineSilent, Refused."""
        value = self._tried = self._setpoint.pending()
        if value is not None:
            await port.write(self._target, value)
        held = await port.read_back(self._target)
        if self._setpoint.pending() != value:
            return  # meanwhile another one is wanted: it is due at once
        self._setpoint.confirmed(held)
        if not self.pending:
            self._tried, self._failures = None, 0
            self._due = asyncio.get_running_loop().time() + READ_BACK_S
        elif self._setpoint.pending() == value:
            self._retry_later()

    def fail(self, why: str) -> None:
        self._setpoint.failed(why)
        self._tried = self._setpoint.pending()
        self._retry_later()

    skip = fail

    def stop(self) -> None:
        """The agent ends: the safe value is pending."""
        self._setpoint.stop()

    def give_up(self, why: str) -> None:
        self._setpoint.give_up(why)

    def _retry_later(self) -> None:
        pause_s = full_jitter(self._failures, RETRY_BASE_S, RETRY_CAP_S, self._draw)
        self._failures += 1
        self._due = asyncio.get_running_loop().time() + max(MIN_RETRY_S, pause_s)
