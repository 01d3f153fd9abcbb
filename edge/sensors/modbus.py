"""A Modbus line, serial or TCP: registers polled one at a time, and between two polls one set-point at most.

A device that does not answer is asked ever more rarely and holds up no other; when nobody answers any more the port is
closed, which also ends whatever a babbling line costs, and opened anew after a while.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import structlog

from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig
from wayside.edge.actuators import ReadBackSetpoint
from wayside.edge.backoff import full_jitter
from wayside.edge.sensors.modbus_lines import OnFailed, OnRead
from wayside.edge.sensors.modbus_port import LineSilent, ModbusError, Port, Refused, open_port
from wayside.edge.sensors.setpoints import SetpointTurn
from wayside.edge.sensors.sunspec import SunspecTurn

RETRY_BASE_S, RETRY_CAP_S = 0.5, 15.0
SILENT_CAP_S = 30.0  # at most between two requests to a device that does not answer
MAX_UNANSWERED = 3  # requests in a row, of whatever device; then the line is opened anew
STOP_S = 4.0  # for the safe values at the end; a last sync needs as long, and the agent has ten seconds
STOP_TRIES = 3
log = structlog.get_logger(__name__)


class RegisterTurn:
    """The poll of one register."""

    def __init__(
        self,
        index: int,
        register: RegisterConfig,
        on_read: OnRead,
        on_failed: OnFailed,
    ) -> None:
        self.device = register.device
        self.due = 0.0
        self._index, self._register = index, register
        self._on_read, self._on_failed = on_read, on_failed

    async def ask(self, port: Port) -> None:
        """Raises: LineSilent, Refused."""
        self._reschedule()
        self._on_read(self._index, await port.read(self._register), None)

    def fail(self, why: str) -> None:
        """It was asked in vain."""
        self._on_failed(self._index, why)

    def skip(self, why: str) -> None:
        """It is due and is not asked."""
        self._reschedule()
        self._on_failed(self._index, why)

    def _reschedule(self) -> None:
        now = asyncio.get_running_loop().time()
        later = self.due + self._register.poll_s
        self.due = later if later > now else now + self._register.poll_s  # missed polls are not made up for


class ModbusLine:
    """Polls the values of ``config`` until cancelled, and writes the set-points; at the end their safe values.

    ``on_read(index, raw, wraps_at)`` and ``on_failed(index, reason)`` run on the event loop, one of them for each due
    poll of each value (:meth:`wayside.edge.sources.values.ValueSource.read`).
    """

    def __init__(
        self,
        config: ModbusConfig,
        on_read: OnRead,
        on_failed: OnFailed,
        setpoints: Iterable[ReadBackSetpoint] = (),
    ) -> None:
        self._config = config
        self._polls: list[RegisterTurn | SunspecTurn] = [
            RegisterTurn(i, r, on_read, on_failed) for i, r in enumerate(config.registers)
        ]
        first = len(config.registers)
        for device in config.sunspec:
            self._polls.append(SunspecTurn(first, device, on_read, on_failed))
            first += len(device.points)
        self._setpoints = [SetpointTurn(s) for s in setpoints]
        self._turns: list[RegisterTurn | SunspecTurn | SetpointTurn] = [*self._polls, *self._setpoints]
        self._set_last = False  # the last turn was a set-point's
        self._port: Port | None = None
        self._silent_until: dict[int, float] = {}  # by device
        self._silences: dict[int, int] = {}
        self._draw = random.Random()  # noqa: S311
        self.connected = False
        self.polls = self.errors = self.opened = 0

    async def run(self) -> None:
        try:
            await self._keep_open()
        finally:
            self.connected = False
            try:
                if self._setpoints:
                    # In a task of its own: in this one, which is cancelled, a request would be, too.
                    await asyncio.create_task(self._leave_safe())
            finally:
                self._close()

    async def _keep_open(self) -> None:
        failures = 0
        while True:
            try:
                self._port = port = await open_port(self._config)
            except ModbusError as exc:
                failures += 1
                await self._wait(full_jitter(failures, RETRY_BASE_S, RETRY_CAP_S, self._draw), str(exc))
                continue
            self.opened += 1
            answered, why = await self._take_turns(port)
            self.connected = False
            self._close()
            failures = 0 if answered else failures + 1
            await self._wait(full_jitter(failures, RETRY_BASE_S, RETRY_CAP_S, self._draw), why)

    def _close(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    async def _wait(self, pause_s: float, why: str) -> None:
        """While there is no line, every turn that falls due fails."""
        loop = asyncio.get_running_loop()
        until = loop.time() + max(0.1, pause_s)
        while (now := loop.time()) < until:
            for turn in self._turns:
                if turn.due <= now:
                    turn.skip(why)
            await asyncio.sleep(max(0.01, min(until, *(turn.due for turn in self._turns)) - now))

    def _next(self, now: float) -> RegisterTurn | SunspecTurn | SetpointTurn | None:
        """Set-points go first, but never two of them while a poll is due."""
        poll = min(self._polls, key=lambda t: t.due, default=None)
        setpoint = min(self._setpoints, key=lambda t: t.due, default=None)
        poll_due = poll is not None and poll.due <= now
        self._set_last = setpoint is not None and setpoint.due <= now and not (poll_due and self._set_last)
        if self._set_last:
            return setpoint
        return poll if poll_due else None

    async def _take_turns(self, port: Port) -> tuple[bool, str]:
        """Ask until the line is lost or no device answers. Returns whether any answered, and the last error."""
        loop = asyncio.get_running_loop()
        answered, unanswered, why = False, 0, ""
        for each in self._setpoints:
            each.hasten()
        while True:
            now = loop.time()
            turn = self._next(now)
            if turn is None:
                first = min(t.due for t in self._turns)
                await asyncio.sleep(min(first - now, 1.0))  # a lost port or a new value is seen within a second
                if port.lost:
                    return answered, port.why_lost
                continue
            if now < self._silent_until.get(turn.device, 0.0):
                turn.skip(f"device {turn.device} on {port.name} does not answer")
                continue
            self.polls += 1
            try:
                await turn.ask(port)
            except Refused as exc:
                self.errors += 1
                answered, unanswered = True, 0
                turn.fail(str(exc))
            except LineSilent as exc:
                self.errors += 1
                why = str(exc)
                turn.fail(why)
                if port.lost:
                    return answered, port.why_lost
                unanswered += 1
                self._silence(turn.device, loop.time())
                await port.rest()
                if unanswered >= MAX_UNANSWERED:
                    return answered, why
            else:
                answered, unanswered = True, 0
                self._answered(turn)

    def _answered(self, turn: RegisterTurn | SunspecTurn | SetpointTurn) -> None:
        self.connected = True
        if self._silences.pop(turn.device, None) is not None:  # it may have lost power meanwhile
            for each in self._setpoints:
                if each is not turn and each.device == turn.device:
                    each.hasten()

    def _silence(self, device: int, now: float) -> None:
        times = self._silences[device] = self._silences.get(device, 0) + 1
        if times > 1:  # one lost answer is noise
            self._silent_until[device] = now + min(SILENT_CAP_S, self._config.timeout_s * 2.0 ** min(times, 10))

    async def _leave_safe(self) -> None:
        """Write the safe values and read them back, for :data:`STOP_S` at most; those of silent devices last."""
        for each in self._setpoints:
            each.stop()
        whys: dict[SetpointTurn, str] = {}
        try:
            async with asyncio.timeout(STOP_S):
                if self._port is None or self._port.lost:
                    self._close()
                    self._port = await open_port(self._config)
                for _ in range(STOP_TRIES):
                    for each in sorted(self._setpoints, key=lambda s: self._silences.get(s.device, 0)):
                        if each.pending:
                            try:
                                await each.ask(self._port)
                            except ModbusError as exc:
                                whys[each] = str(exc)
                                await self._port.rest()
        except (ModbusError, TimeoutError) as exc:
            whys = {each: str(exc) for each in self._setpoints} | whys
        for each in self._setpoints:
            if each.pending:
                why = whys.get(each) or "it could not be read back"
                each.give_up(f"the agent ended before the safe value was confirmed: {why}")
