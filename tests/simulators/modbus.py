"""A Modbus line: pymodbus's own server as a process, and the cable between it and the node, which can be spoilt.

The network between a node and a TCP server is :mod:`tests.simulators.modbus_tcp`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

Spoil = Callable[[bytes], bytes]
"""What the node hears instead of the bytes that a device sent."""


class Cable:
    """Between two pseudo-terminals: ``node`` is the port that the node opens, ``device`` the server's.

    ``to_node`` and ``to_device`` may change what passes; ``echo`` gives the node its own words back, as a cheap RS-485
    adapter does; ``say`` puts bytes on the line.
    """

    def __init__(self, folder: Path, silent: tuple[int, ...] = ()) -> None:
        """``silent``: devices that are not there. (pymodbus's server answers for those, too; a real line is silent.)"""
        self.silent = silent
        self.late_s = 0.0  # by how much answers are late
        self._late: list[tuple[float, bytes]] = []
        self.node, self.device = folder / "modbus.tty", folder / "device.tty"
        self.to_node: Spoil = lambda data: data
        self.to_device: Spoil = lambda data: data
        self.echo = False
        self.flood = b""  # said without end while it is not empty
        self.heard: list[bytes] = []
        self._device = self._pty(self.device)
        self._node: tuple[int, int] | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.plug()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @staticmethod
    def _pty(link: Path) -> tuple[int, int]:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        beside = link.with_suffix(".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.ttyname(slave))
        beside.replace(link)
        return master, slave

    def plug(self) -> None:
        with self._lock:
            self._node = self._pty(self.node)

    def pull(self) -> None:
        with self._lock:
            assert self._node is not None
            self.node.unlink()
            for fd in self._node:
                os.close(fd)
            self._node = None

    def say(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._node is not None:
                os.write(self._node[0], data)

    def _carry(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                node = self._node[0] if self._node else -1
                if self.flood and node >= 0:
                    with contextlib.suppress(OSError):
                        os.write(node, self.flood)
                ready = select.select([fd for fd in (node, self._device[0]) if fd >= 0], [], [], 0)[0]
                with contextlib.suppress(OSError):
                    if node in ready:
                        said = os.read(node, 4096)
                        self.heard.append(said)
                        if self.echo:
                            os.write(node, said)
                        if said[0] not in self.silent:
                            os.write(self._device[0], self.to_device(said))
                    if self._device[0] in ready:
                        answer = self.to_node(os.read(self._device[0], 4096))
                        self._late.append((time.monotonic() + self.late_s, answer))
                    while node >= 0 and self._late and self._late[0][0] <= time.monotonic():
                        os.write(node, self._late.pop(0)[1])
            self._ended.wait(0.002)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for pair in (self._node, self._device):
            for fd in pair or ():
                os.close(fd)

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Write(NamedTuple):
    """A coil (function 5) or holding register (6; 16 where there were several) was written, and holds ``held`` now."""

    device: int
    function: int
    address: int
    asked: int
    held: int


class Meters:
    """pymodbus's server as a process, at the end of a cable or on a TCP port.

    ``set`` changes what its registers read, from the next question on.

    What is written stays until ``set`` changes it, or the power is lost: then all is as it was at first.
    """

    def __init__(self, port: Path, registers: dict[int, list[int]], tcp_port: int | None = None) -> None:
        """
        Args:
            port: the end of the cable; of a TCP server only the name of its files.
            registers: by device, its holding and input registers from address 0; coils are their lowest bits.
        """
        self._port, self._file = port if tcp_port is None else tcp_port, port.with_suffix(".registers")
        self._stuck, self._writes = port.with_suffix(".stuck"), port.with_suffix(".writes")
        self._registers = registers
        self._write()
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self._port), str(self._file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it prints every request for another device
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"READY\n"

    def set(self, device: int, address: int, *values: int) -> None:
        self._registers[device][address : address + len(values)] = values
        self._write()

    def get_stuck(self, stuck: bool = True) -> None:
        """While it is, it takes every write, says so, and holds what it held."""
        if stuck:
            self._stuck.touch()
        else:
            self._stuck.unlink(missing_ok=True)

    def writes(self, address: int) -> list[Write]:
        """Of that coil or register, since the beginning."""
        lines = self._writes.read_text().splitlines() if self._writes.exists() else []
        return [w for line in lines if (w := Write(*json.loads(line))).address == address]

    def lose_power(self) -> None:
        self._end()
        self._start()

    def _write(self) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(self._registers))
        beside.replace(self._file)

    def __enter__(self) -> Meters:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


async def _serve(port: str, file: Path) -> None:
    import asyncio

    from pymodbus import FramerType
    from pymodbus.server import ModbusSerialServer, ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    def registers() -> dict[str, list[int]]:
        loaded: dict[str, list[int]] = json.loads(file.read_text())
        return loaded

    stuck, writes = file.with_suffix(".stuck"), file.with_suffix(".writes")

    def device(number: str, values: list[int]) -> SimDevice:
        seen: dict[int, list[int]] = {}  # by function: what the file said last

        async def act(function: int, start: int, address: int, count: int, current: list[int], new: Any) -> None:
            if new:
                write(function, address - start, current, new)
            elif function in (3, 4):
                refresh(function, current)

        def write(function: int, at: int, current: list[int], new: list[Any]) -> None:
            for i, asked in enumerate(list(new)):
                held = bool(current[at // 16] >> at % 16 & 1) if function == 5 else current[at + i]
                new[i] = held if stuck.exists() else asked
                with writes.open("a") as log:
                    log.write(json.dumps([int(number), function, at + i, int(asked), int(new[i])]) + "\n")

        def refresh(function: int, current: list[int]) -> None:
            with contextlib.suppress(OSError, ValueError):
                fresh, before = registers()[number], seen.get(function, values)
                for i, (now, then) in enumerate(zip(fresh, before, strict=True)):
                    current[i] = now if now != then else current[i]
                seen[function] = fresh

        bits = [bool(v & 1) for v in values]
        words = SimData(0, values=values, datatype=DataType.REGISTERS)
        flags = SimData(0, values=bits, datatype=DataType.BITS)
        return SimDevice(int(number), simdata=([flags], [flags], [words], [words]), action=act)

    devices = [device(number, values) for number, values in registers().items()]
    server: Any
    if port.isdigit():
        server = ModbusTcpServer(devices, address=("127.0.0.1", int(port)))
    else:
        server = ModbusSerialServer(devices, framer=FramerType.RTU, port=port, baudrate=9600)
    await server.serve_forever(background=True)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import asyncio

    asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
