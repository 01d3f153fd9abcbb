"""The port of a Modbus line, serial (MODBUS over Serial Line V1.02) or TCP (MODBUS Messaging on TCP/IP V1.0b): one
request and its answer, through pymodbus.

The line may be silent, echo, chatter or be torn off; each request has a deadline of its own here, whatever the library
does, and what passes is watched beside it (:mod:`wayside.edge.sensors.modbus_wire`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from wayside.contracts import registers
from wayside.contracts.actuator_config import RegisterTarget
from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig, TcpServer, of_manual
from wayside.edge.errors import EdgeError
from wayside.edge.sensors.modbus_wire import SerialWire, TcpWire, Wire
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
# Errors of the line are counted and reported here, once; the library would print each.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)


OnRead = Callable[[int, float | None, float | None], None]
"""Index, raw number, where a counter begins again: :meth:`wayside.edge.sources.values.ValueSource.read`."""
OnFailed = Callable[[int, str], None]


class ModbusError(EdgeError):
    """The line cannot be had, or a register cannot be read."""


class LineSilent(ModbusError):  # noqa: N818
    """No answer in time, or an unreadable one."""


class Refused(ModbusError):  # noqa: N818
    """The device answered with an exception code."""


class Port:
    """An open line. One request at a time."""

    def __init__(
        self, config: ModbusConfig, client: AsyncModbusSerialClient | AsyncModbusTcpClient, name: str, wire: Wire
    ) -> None:
        self.name = name
        self._config, self._client, self._wire = config, client, wire
        self._open_request = False  # its answer may still come

    @property
    def lost(self) -> bool:
        return not self._client.connected or self._wire.lost

    @property
    def why_lost(self) -> str:
        if self._client.connected:
            return f"{self.name}: an answer came in part, so the connection is begun anew"
        if self._config.server is not None:
            return f"{self.name} has closed the connection"
        return f"{self.name} is gone: plug the adapter in again"

    async def read(self, register: RegisterConfig) -> float | None:
        """The raw value of ``register``; None: the device says that it has none.

        Raises:
            LineSilent, Refused: also for an answer that is not the one to this question.
        """
        if register.is_bit:
            return float(await self.read_bit(register.device, register.table, register.address))
        words = await self.read_words(register.device, register.table, register.address, register.words)
        return registers.decode(words, register.type, register.word_order, register.byte_order, register.no_value)

    async def read_words(self, device: int, table: str, address: int, count: int) -> list[int]:
        """Holding or input registers.

        Raises:
            LineSilent, Refused
        """
        read: Any = self._client.read_holding_registers if table == "holding" else self._client.read_input_registers
        answer = await self._exchange(
            lambda: read(address, count=count, device_id=device), READS[table], device, _called(table, address)
        )
        if len(answer.registers) != count:
            raise LineSilent(f"{self._where(device)}: the answer has {len(answer.registers)} registers, not {count}")
        return list(answer.registers)

    async def read_bit(self, device: int, table: str, address: int) -> bool:
        """A coil or discrete input.

        Raises:
            LineSilent, Refused
        """
        read: Any = self._client.read_coils if table == "coil" else self._client.read_discrete_inputs
        answer = await self._exchange(
            lambda: read(address, count=1, device_id=device), READS[table], device, _called(table, address)
        )
        if len(answer.bits) != 8:  # one bit comes in one byte
            raise LineSilent(f"{self._where(device)}: the answer has {len(answer.bits)} bits, not one")
        return bool(answer.bits[0])

    async def write(self, target: RegisterTarget, value: float) -> None:
        """Write ``value`` to a coil (function 5), a holding register (6) or several of them at once (16). The answer
        repeats the request, as the echo of an adapter does: only reading it back tells that it is there.

        Raises:
            LineSilent, Refused
        """
        client: Any = self._client
        words = [] if target.table == "coil" else target.encode(value)
        write: Any
        content: Any
        function, write, content = 6, client.write_register, words[0] if words else 0
        if not words:
            function, write, content = 5, client.write_coil, bool(target.raw(value))
        elif len(words) > 1:
            function, write, content = 16, client.write_registers, words
        await self._exchange(
            lambda: write(target.address, content, device_id=target.device),
            function,
            target.device,
            f"{target.raw(value):g} to {target.table} register {target.address}",
        )

    async def read_back(self, target: RegisterTarget) -> float:
        """The value that ``target`` holds, in the actuator's unit.

        Raises:
            LineSilent, Refused: also when it is no number.
        """
        if target.table == "coil":
            return target.value(await self.read_bit(target.device, "coil", target.address))
        held = target.decode(await self.read_words(target.device, "holding", target.address, target.words))
        if held is None:
            raise Refused(f"{self._where(target.device)}: holding register {target.address} holds no number")
        return held

    async def rest(self) -> None:
        """Wait until a late answer has arrived and was discarded."""
        await self._wire.rest()
        self._open_request = False

    async def _exchange(
        self, request: Callable[[], Awaitable[ModbusPDU]], function: int, device: int, what: str
    ) -> ModbusPDU:
        """Raises: LineSilent, Refused."""
        where = self._where(device)
        if self._open_request:  # the one before was cut short
            await self.rest()
        if self.lost:
            raise LineSilent(self.why_lost)
        try:
            self._open_request = True
            async with asyncio.timeout(2 * self._config.timeout_s + 1):
                answer = await request()
        except (ModbusException, TimeoutError, OSError) as exc:
            raise LineSilent(f"{where} {self._wire.silence()}") from exc
        except Exception as exc:  # a damaged answer with a right checksum may raise anything inside the library
            raise LineSilent(f"{where} answers with something that is no answer: {exc!r}") from exc
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The library waits with wait_for, which up to Python 3.11 loses a cancellation that comes with the answer.
            raise asyncio.CancelledError
        if (doubt := self._wire.doubt(answer.transaction_id, answer.dev_id)) is not None:
            raise LineSilent(f"{where} {doubt}")
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


def _called(table: str, address: int) -> str:
    """The register, and what may have been meant: manuals number each table from 10001, 30001 or 40001."""
    manual = of_manual(address)
    hint = ""
    if manual is not None:
        hint = f'; if {address} is the manual\'s number, write address = {manual[1]}, table = "{manual[0]}"'
    return f"{table} register {address}{hint}"


async def open_port(config: ModbusConfig) -> Port:
    """Open the line of ``config``.

    Raises:
        ModbusError: no such port, more than one, taken, or not an address that pyserial knows; nobody listens there.
    """
    server = config.server
    if server is not None:
        return await _open_tcp(config, server)
    name = config.port
    if is_pattern(name):
        ports = await asyncio.to_thread(matching, name)
        if len(ports) != 1:
            listed = f"{', '.join(ports)} all match" if ports else "nothing matches"
            raise ModbusError(f"{listed} modbus.port {name}: plug the adapter in, or name it by /dev/serial/by-id/…")
        name = ports[0]
    wire = SerialWire(config.timeout_s)
    client = AsyncModbusSerialClient(
        name,
        trace_packet=wire,
        framer=FramerType.RTU,
        baudrate=config.serial.baud,
        parity=config.serial.parity[0].upper(),
        stopbits=config.serial.stop_bits,
        handle_local_echo=config.echo,
        timeout=config.timeout_s,
        retries=0,
        reconnect_delay=0,
    )
    await _connect(client, config, name, "is the adapter plugged in, and is the port free?")
    return Port(config, client, name, wire)


async def _open_tcp(config: ModbusConfig, server: TcpServer) -> Port:
    wire = TcpWire()
    client = AsyncModbusTcpClient(
        server.host,
        port=server.port,
        trace_packet=wire,
        framer=FramerType.SOCKET,
        timeout=config.timeout_s,
        retries=0,
        reconnect_delay=0,
    )
    client.set_max_no_responses(1_000_000)  # when to begin anew is the line's to say
    await _connect(client, config, config.port, "is the device there, and does it speak Modbus TCP?")
    return Port(config, client, config.port, wire)


async def _connect(
    client: AsyncModbusSerialClient | AsyncModbusTcpClient, config: ModbusConfig, name: str, question: str
) -> None:
    """Raises: ModbusError."""
    try:
        async with asyncio.timeout(config.timeout_s + 1):
            opened = await client.connect()
    except asyncio.CancelledError:
        client.close()
        raise
    except Exception as exc:  # pyserial raises many unrelated kinds
        client.close()
        raise ModbusError(f"cannot open modbus.port {name}: {exc or 'no answer in time'}") from exc
    if not opened:
        client.close()
        raise ModbusError(f"cannot open modbus.port {name}: {question}")
