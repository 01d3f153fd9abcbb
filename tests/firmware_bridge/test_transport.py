"""The line for asyncio: what waits is read at once, a line that goes away says so, for every kind of port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import socket
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
import serial.rfc2217

from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.errors import LineLost, LineUnavailable
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.messages import Event
from wayside.firmware_bridge.line.transport import PAUSE_BYTES, open_transport


@pytest.fixture
def ends() -> Iterator[tuple[int, str]]:
    """A pty's master and the path of its slave."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


async def test_a_loopback_address_needs_no_cable() -> None:
    line = open_transport("loop://", 115_200)
    line.write(b"to and fro")
    got = b""
    while len(got) < 10:
        got += await line.read()
    assert got == b"to and fro"
    line.close()


async def test_a_port_that_is_closed_and_opened_again_does_not_reset_the_board(ends: tuple[int, str]) -> None:
    """A pty has no DTR; what can be seen is that the driver is told to leave it as it is."""
    fd = os.open(ends[1], os.O_RDWR | os.O_NOCTTY)
    attributes = termios.tcgetattr(fd)
    attributes[2] |= termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
    open_transport(ends[1], 115_200).close()
    assert not termios.tcgetattr(fd)[2] & termios.HUPCL
    os.close(fd)


async def test_all_that_waits_is_read_at_once(ends: tuple[int, str]) -> None:
    line = open_transport(ends[1], 921_600)
    os.write(ends[0], bytes(range(256)) * 8)
    assert await line.read() == bytes(range(256)) * 8
    line.close()


async def test_read_waits_for_bytes_and_never_returns_none(ends: tuple[int, str]) -> None:
    line = open_transport(ends[1], 115_200)
    reading = asyncio.create_task(line.read())
    await asyncio.sleep(0.05)
    assert not reading.done()
    os.write(ends[0], b"x")
    assert await reading == b"x"
    line.close()


async def test_more_than_the_line_takes_is_sent_in_order_later(ends: tuple[int, str]) -> None:
    line = open_transport(ends[1], 921_600)
    os.set_blocking(ends[0], False)
    sent = os.urandom(200_000)
    for at in range(0, len(sent), 1000):
        line.write(sent[at : at + 1000])
    got = bytearray()
    async with asyncio.timeout(10):
        while len(got) < len(sent):
            try:
                got += os.read(ends[0], 65_536)
            except BlockingIOError:
                await asyncio.sleep(0.001)
    assert bytes(got) == sent
    line.close()


async def test_a_host_that_does_not_read_holds_a_bounded_number_of_bytes() -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 8 * PAUSE_BYTES)
        await writer.drain()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    line = open_transport(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}", 115_200)
    await asyncio.sleep(0.3)
    got = await line.read()
    assert PAUSE_BYTES <= len(got) < 2 * PAUSE_BYTES
    while len(got) < 8 * PAUSE_BYTES:
        got += await line.read()
    line.close()
    server.close()


async def test_a_hang_up_is_reported_after_the_last_byte_was_read() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    line = open_transport(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}", 115_200)
    await asyncio.sleep(0.1)
    assert await line.read() == b"last words"
    with pytest.raises(LineLost, match="hung up"):
        await line.read()
    with pytest.raises(LineLost):
        line.write(b"x")
    line.close()
    server.close()


async def test_an_unplugged_port_ends_the_read_that_waits() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    line = open_transport(os.ttyname(slave), 115_200)
    reading = asyncio.create_task(line.read())
    await asyncio.sleep(0.05)
    os.close(slave)
    os.close(master)
    with pytest.raises(LineLost):
        await asyncio.wait_for(reading, 5)
    line.close()


@pytest.mark.parametrize("url", ["loop://", "pty"])
async def test_closing_ends_the_read_that_waits_and_may_be_repeated(url: str, ends: tuple[int, str]) -> None:
    line = open_transport(ends[1] if url == "pty" else url, 115_200)
    reading = asyncio.create_task(line.read())
    await asyncio.sleep(0.05)
    line.close()
    line.close()
    with pytest.raises(LineLost, match="closed"):
        await asyncio.wait_for(reading, 5)


class NetworkPort(threading.Thread):
    """An RFC 2217 server before a port, pyserial's own: what a terminal server in a cabinet does."""

    def __init__(self, port: str) -> None:
        super().__init__(daemon=True)
        self.serial = _Modemless(port, 115_200, timeout=0.02)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open = True

    def run(self) -> None:
        connection = self.listener.accept()[0]
        connection.settimeout(0.01)
        self.write = connection.sendall
        manager = serial.rfc2217.PortManager(self.serial, self)
        while self.open:
            with contextlib.suppress(OSError):  # nothing asked, or the host has hung up
                if data := self.serial.read(self.serial.in_waiting or 1):
                    connection.sendall(b"".join(manager.escape(data)))
                self.serial.write(b"".join(manager.filter(connection.recv(4096))))
        connection.close()
        self.serial.close()
        self.listener.close()


class _Modemless(serial.Serial):
    """A pty has no modem lines."""

    dtr = rts = cts = dsr = cd = True
    ri = False

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyserial's own
async def test_a_board_behind_a_network_port_speaks_as_over_a_cable(tmp_path: Path) -> None:
    with BoardProcess(tmp_path, [(i, 1, 3, i % 2) for i in range(300)]) as board:
        server = NetworkPort(board.port)
        server.start()
        link, events = BoardLink("board-1"), 0
        line = open_transport(server.url, 115_200)
        line.write(link.hello())
        async with asyncio.timeout(20):
            while events < 300:
                events += sum(isinstance(m, Event) for m in link.receive(await line.read()))
                line.write(link.heartbeat(0))
        line.close()
        server.open = False
        await asyncio.to_thread(server.join)
    assert link.received.duplicates == 0


@pytest.mark.parametrize(
    "url", ["/dev/no-such-port", "carrier-pigeon://x", "socket://127.0.0.1:1", "socket://nonsense"]
)
async def test_a_port_that_cannot_be_opened_is_named(url: str) -> None:
    with pytest.raises(LineUnavailable, match=url):
        open_transport(url, 115_200)


async def test_a_port_in_use_is_not_shared(ends: tuple[int, str]) -> None:
    line = open_transport(ends[1], 115_200)
    with pytest.raises(LineUnavailable, match="is it free"):
        open_transport(ends[1], 115_200)
    line.close()
