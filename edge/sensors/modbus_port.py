"""The port of a Modbus RTU line (MODBUS over Serial Line V1.02): one request and its answer, through pymodbus.

The line may be silent, echo, chatter or be torn off; each request has a deadline of its own here, whatever the library
does. After a request without an answer the line rests as long as one may take: Modbus answers carry no number, so a
late one would pass for that of the next request.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from wayside.contracts.actuator_config import RegisterTarget
from wayside.contracts.sensor_config import ModbusConfig, RegisterConfig
from wayside.edge.errors import EdgeError
from wayside.firmware_bridge.line.finder import is_pattern, matching

REFUSALS = {
    1: "does not know this kind of register",
    2: "has no register at this address",
    3: "refuses this number of registers, or this value",
    4: "has failed",
    6: "is busy",
    10: "is a gateway without a path",
    11: "is a gateway, and the device behind it does not answer",
}  # MODBUS Application Protocol V1.1b3 §7
READS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}  # function codes, §6
WRITES = {"coil": 5, "holding": 6}
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


class Port:
    """An open line. One request at a time."""

    def __init__(self, config: ModbusConfig, client: AsyncModbusSerialClient, name: str, echo: _EchoDetector) -> None:
        self.name = name
        self._config, self._client, self._echo_detector = config, client, echo
        self._open_request = False  # its answer may still come

    @property
    def lost(self) -> bool:
        return not self._client.connected

    async def read(self, register: RegisterConfig) -> float:
        """The raw value of ``register``.

        Raises:
            LineSilent, Refused: also for an answer that is not the one to this question.
        """
        read: Any = {
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
        }[register.table]
        answer = await self._exchange(
            lambda: read(register.address, count=register.words, device_id=register.device),
            READS[register.table],
            register.device,
            f"{register.table} register {register.address}",
        )
        if self._echo_detector.echo:
            raise LineSilent(f"{self._where(register.device)}: the adapter hears itself: set modbus.echo = true")
        return _value(answer, register, self._where(register.device))

    async def write(self, target: RegisterTarget, raw: int) -> None:
        """Write ``raw`` to a coil (function 5) or holding register (6). The answer repeats the request, as the echo of
        an adapter does: only reading it back tells that it is there.

        Raises:
            LineSilent, Refused
        """
        write: Any = self._client.write_coil if target.table == "coil" else self._client.write_register
        await self._exchange(
            lambda: write(target.address, bool(raw) if target.table == "coil" else raw, device_id=target.device),
            WRITES[target.table],
            target.device,
            f"{raw} to {target.table} register {target.address}",
        )

    async def rest(self) -> None:
        """Wait until a late answer has arrived and was discarded."""
        await asyncio.sleep(self._config.timeout_s)
        self._open_request = False

    async def _exchange(
        self, request: Callable[[], Awaitable[ModbusPDU]], function: int, device: int, what: str
    ) -> ModbusPDU:
        """Raises: LineSilent, Refused."""
        where = self._where(device)
        try:
            if self._open_request:  # the one before was cut short
                await self.rest()
            self._open_request = True
            async with asyncio.timeout(2 * self._config.timeout_s + 1):
                answer = await request()
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
        if answer.dev_id != device:
            raise LineSilent(f"{where}: device {answer.dev_id} answered instead")
        if answer.function_code & 0x7F != function:
            raise LineSilent(f"{where} answers another question (function {answer.function_code}, not {function})")
        self._open_request = False
        if answer.isError():
            code = answer.exception_code
            refusal = REFUSALS.get(code, f"refuses with code {code}")
            raise Refused(f"{where} {refusal} ({what}): correct the configuration")
        return answer

    def _where(self, device: int) -> str:
        return f"device {device} on {self.name}"

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
    except asyncio.CancelledError:
        client.close()
        raise
    except Exception as exc:  # pyserial raises many unrelated kinds
        client.close()
        raise ModbusError(f"cannot open modbus.port {name}: {exc}") from exc
    if not opened:
        client.close()
        raise ModbusError(f"cannot open modbus.port {name}: is the adapter plugged in, and is the port free?")
    return Port(config, client, name, echo_detector)
