"""A Modbus RTU line (MODBUS over Serial Line V1.02): registers polled and set-points written, one at a time, through
pymodbus.

The line may be silent, echo, chatter or be torn off; each request has a deadline of its own here, whatever the library
does. After a time-out the line rests for another one: Modbus answers carry no number, so a late answer would pass for
that of the next request. A device that does not answer is asked ever more rarely and holds up no other; when nobody
answers any more the port is closed, which also ends whatever a babbling line costs, and opened anew after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.sensor_config import ModbusConfig, RegisterConfig
from wayside.edge.backoff import full_jitter
from wayside.edge.errors import EdgeError
from wayside.firmware_bridge.line.finder import is_pattern, matching

RETRY_BASE_S, RETRY_CAP_S = 0.5, 15.0
SETPOINT_S = 2.0  # from one look at a set-point's register to the next
STOP_S = 4.0  # for the safe values at the end
SILENT_CAP_S = 30.0  # at most between two requests to a device that does not answer
MAX_UNANSWERED = 3  # requests in a row, of whatever device; then the line is opened anew
REFUSALS = {
    1: "does not know this kind of register",
    2: "has no register at this address",
    3: "refuses this number of registers",
    4: "has failed",
    6: "is busy",
    10: "is a gateway without a path",
    11: "is a gateway, and the device behind it does not answer",
}  # MODBUS Application Protocol V1.1b3 §7
log = structlog.get_logger(__name__)
# Errors of the line are counted and reported here, once; the library would print each.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)


class ModbusError(EdgeError):
    """The line cannot be had, or a register cannot be read."""


class LineSilent(ModbusError):  # noqa: N818
    """No answer in time, or an unreadable one."""


class Refused(ModbusError):  # noqa: N818
    """The device answered with an exception code."""


class _EchoDetector:
    """Notices that the line returns what was sent. A request for registers 0x0300 to 0x03ff has by its length and
    checksum the form of an answer, which the library then takes for one.
    """

    def __init__(self) -> None:
        self._request = b""
        self.echo = False

    def __call__(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._request, self.echo = data, False
        elif self._request in data:
            self.echo = True
        return data


class Setpoint(Protocol):
    """A register that is to hold a value: :class:`wayside.edge.actuators.RegisterSetpoint`."""

    config: SetpointConfig

    def pending(self) -> float | None: ...
    def confirmed(self, value: float, /) -> None: ...
    def failed(self, why: str, /) -> None: ...
    def stop(self) -> None: ...


class Port:
    """An open line. One request at a time."""

    def __init__(self, config: ModbusConfig, client: AsyncModbusSerialClient, name: str, echo: _EchoDetector) -> None:
        self.name = name
        self._config, self._client, self._echo_detector = config, client, echo

    @property
    def lost(self) -> bool:
        return not self._client.connected

    async def read(self, register: RegisterConfig) -> float:
        """The raw value of ``register``.

        Raises:
            LineSilent, Refused: also for an answer that is not the one to this question.
        """
        answer = await self._exchange(register, self._ask(register))
        if self._echo_detector.echo:
            raise LineSilent(f"{self._where(register)}: the adapter hears itself: set modbus.echo = true")
        return _value(answer, register, self._where(register))

    async def write(self, register: RegisterConfig, raw: int) -> None:
        """Write one coil or holding register. That it was answered says little: read it back.

        Raises:
            LineSilent, Refused.
        """
        if register.table == "coil":
            request = self._client.write_coil(register.address, bool(raw), device_id=register.device)
        else:
            request = self._client.write_register(register.address, raw, device_id=register.device)
        await self._exchange(register, request)  # a good answer is the request again, as an echo is

    def _where(self, register: RegisterConfig) -> str:
        return f"device {register.device} on {self.name}"

    async def _exchange(self, register: RegisterConfig, request: Awaitable[ModbusPDU]) -> ModbusPDU:
        where = self._where(register)
        try:
            async with asyncio.timeout(2 * self._config.timeout_s + 1):
                answer = await request
        except (ModbusException, TimeoutError, OSError) as exc:
            if self._echo_detector.echo:
                raise LineSilent(f"{where}: the adapter hears itself: set modbus.echo = true") from exc
            raise LineSilent(
                f"{where} does not answer: check address, baud rate, parity and the two wires (A and B may be swapped)"
            ) from exc
        except Exception as exc:  # a damaged answer with a right checksum may raise anything inside the library
            raise LineSilent(f"{where} answers with something that is no answer: {exc!r}") from exc
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The library waits with wait_for, which up to Python 3.11 loses a cancellation that comes with the answer.
            raise asyncio.CancelledError
        if answer.isError():
            code = answer.exception_code
            refusal = REFUSALS.get(code, f"refuses with code {code}")
            raise Refused(
                f"{where} {refusal} ({register.table} register {register.address}): correct the configuration"
            )
        if answer.dev_id != register.device:
            raise LineSilent(f"{where}: device {answer.dev_id} answered instead")
        return answer

    async def rest(self) -> None:
        """Wait until a late answer has arrived and was discarded."""
        await asyncio.sleep(self._config.timeout_s)

    async def _ask(self, register: RegisterConfig) -> ModbusPDU:
        read: Any = {
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
        }[register.table]
        answer: ModbusPDU = await read(register.address, count=register.words, device_id=register.device)
        return answer

    def close(self) -> None:
        self._client.close()


def _value(answer: ModbusPDU, register: RegisterConfig, where: str) -> float:
    if register.table in ("coil", "discrete"):
        if len(answer.bits) != 8:  # one bit comes in one byte
            raise LineSilent(f"{where}: the answer has {len(answer.bits)} bits, not one")
        return float(answer.bits[0])
    if len(answer.registers) != register.words:
        raise LineSilent(f"{where}: the answer has {len(answer.registers)} registers, not {register.words}")
    kinds = AsyncModbusSerialClient.DATATYPE
    kind = {
        "uint16": kinds.UINT16,
        "int16": kinds.INT16,
        "uint32": kinds.UINT32,
        "int32": kinds.INT32,
        "float32": kinds.FLOAT32,
    }[register.type]
    value: Any = AsyncModbusSerialClient.convert_from_registers(list(answer.registers), kind, register.word_order)
    if not math.isfinite(value):
        raise Refused(f"{where}: register {register.address} is no number; is its type {register.type}?")
    return float(value)


def _register_of(setpoint: SetpointConfig) -> RegisterConfig:
    """How a set-point's register is read back."""
    target = setpoint.register
    return RegisterConfig(
        datastream=setpoint.name, device=target.device, address=target.address, table=target.table, poll_s=SETPOINT_S
    )


async def open_port(config: ModbusConfig) -> Port:
    """Open the line of ``config``.

    Raises:
        ModbusError: no such port, more than one, taken, or not an address that pyserial knows.
    """
    name = config.port
    if is_pattern(name):
        ports = await asyncio.to_thread(matching, name)
        if len(ports) != 1:
            listed = f"{', '.join(ports)} all match" if ports else "nothing matches"
            raise ModbusError(f"{listed} modbus.port {name}: plug the adapter in, or name it by /dev/serial/by-id/…")
        name = ports[0]
    echo_detector = _EchoDetector()
    client = AsyncModbusSerialClient(
        name,
        trace_packet=echo_detector,
        framer=FramerType.RTU,
        baudrate=config.baud,
        parity=config.parity[0].upper(),
        stopbits=config.stop_bits,
        handle_local_echo=config.echo,
        timeout=config.timeout_s,
        retries=0,
        reconnect_delay=0,
    )
    try:
        async with asyncio.timeout(config.timeout_s + 1):
            opened = await client.connect()
    except Exception as exc:  # pyserial raises many unrelated kinds
        client.close()
        raise ModbusError(f"cannot open modbus.port {name}: {exc}") from exc
    if not opened:
        client.close()
        raise ModbusError(f"cannot open modbus.port {name}: is the adapter plugged in, and is the port free?")
    return Port(config, client, name, echo_detector)


class ModbusLine:
    """Polls the registers of ``config`` until cancelled, and keeps each set-point's register at its value.

    ``on_read(index, raw)`` and ``on_failed(index, reason)`` run on the event loop, one of them for each due poll. When
    it is cancelled the safe values are written, if the line still answers.
    """

    def __init__(
        self,
        config: ModbusConfig,
        on_read: Callable[[int, float], None],
        on_failed: Callable[[int, str], None],
        setpoints: Sequence[Setpoint] = (),
    ) -> None:
        self._config, self._on_read, self._on_failed = config, on_read, on_failed
        self._setpoints = setpoints
        self._registers = (*config.registers, *(_register_of(s.config) for s in setpoints))
        self._due = [0.0] * len(self._registers)
        self._silent_until: dict[int, float] = {}  # by device
        self._silences: dict[int, int] = {}
        self._draw = random.Random()  # noqa: S311
        self.connected = False
        self.polls = self.errors = self.opened = 0

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                port = await open_port(self._config)
            except ModbusError as exc:
                failures += 1
                await self._wait(full_jitter(failures, RETRY_BASE_S, RETRY_CAP_S, self._draw), str(exc))
                continue
            self.opened += 1
            try:
                answered, why = await self._poll(port)
            except asyncio.CancelledError:
                await self._make_safe(port)
                raise
            finally:
                self.connected = False
                port.close()
            failures = 0 if answered else failures + 1
            await self._wait(full_jitter(failures, RETRY_BASE_S, RETRY_CAP_S, self._draw), why)

    async def _wait(self, pause_s: float, why: str) -> None:
        """While there is no line, every poll that falls due fails."""
        loop = asyncio.get_running_loop()
        until = loop.time() + max(0.1, pause_s)
        while (now := loop.time()) < until:
            self._fail_due(now, why)
            await asyncio.sleep(max(0.01, min(until, *self._due) - now))

    def _fail_due(self, now: float, why: str) -> None:
        for index, due in enumerate(self._due):
            if due <= now:
                self._reschedule(index, now)
                self._fail(index, why)

    def _setpoint(self, index: int) -> Setpoint | None:
        """Set-points come behind the registers that are polled."""
        own = index - len(self._config.registers)
        return self._setpoints[own] if own >= 0 else None

    def _fail(self, index: int, why: str) -> None:
        setpoint = self._setpoint(index)
        if setpoint is not None:
            setpoint.failed(why)
        else:
            self._on_failed(index, why)

    async def _serve(self, port: Port, index: int) -> None:
        """Read a register; of a set-point write what is pending first. Raises: LineSilent, Refused."""
        register, setpoint = self._registers[index], self._setpoint(index)
        if setpoint is None:
            self._on_read(index, await port.read(register))
            return
        target, value = setpoint.config.register, setpoint.pending()
        if value is not None:
            await port.write(register, target.raw(value))
        setpoint.confirmed(target.value(round(await port.read(register))))

    async def _make_safe(self, port: Port) -> None:
        """In a task of its own, since the caller's is cancelled, and once a request that was cut short is answered."""

        async def write() -> None:
            await port.rest()
            for own, setpoint in enumerate(self._setpoints):
                setpoint.stop()
                with contextlib.suppress(ModbusError):
                    await self._serve(port, len(self._config.registers) + own)

        if self._setpoints and not port.lost:
            task = asyncio.create_task(write())
            await asyncio.wait({task}, timeout=STOP_S)
            task.cancel()
            await asyncio.wait({task})

    def _reschedule(self, index: int, now: float) -> None:
        poll_s = self._registers[index].poll_s
        later = self._due[index] + poll_s
        self._due[index] = later if later > now else now + poll_s  # missed polls are not made up for

    async def _poll(self, port: Port) -> tuple[bool, str]:
        """Poll until the line is lost or no device answers. Returns whether any answered, and the last error."""
        loop = asyncio.get_running_loop()
        answered, unanswered, why = False, 0, ""
        while True:
            index = min(range(len(self._due)), key=self._due.__getitem__)
            now = loop.time()
            if self._due[index] > now:
                await asyncio.sleep(min(self._due[index] - now, 1.0))  # a lost port is seen within a second
                if port.lost:
                    return answered, f"{port.name} is gone: plug the adapter in again"
                continue
            register = self._registers[index]
            self._reschedule(index, now)
            if now < self._silent_until.get(register.device, 0.0):
                self._fail(index, f"device {register.device} on {port.name} does not answer")
                continue
            self.polls += 1
            try:
                await self._serve(port, index)
            except Refused as exc:
                self.errors += 1
                answered, unanswered = True, 0
                self._fail(index, str(exc))
            except LineSilent as exc:
                self.errors += 1
                why = str(exc)
                self._fail(index, why)
                if port.lost:
                    return answered, f"{port.name} is gone: plug the adapter in again"
                unanswered += 1
                self._silence(register.device, loop.time())
                await port.rest()
                if unanswered >= MAX_UNANSWERED:
                    return answered, why
            else:
                answered, unanswered = True, 0
                self._silences.pop(register.device, None)
                self.connected = True

    def _silence(self, device: int, now: float) -> None:
        times = self._silences[device] = self._silences.get(device, 0) + 1
        if times > 1:  # one lost answer is noise
            self._silent_until[device] = now + min(SILENT_CAP_S, self._config.timeout_s * 2.0 ** min(times, 10))
