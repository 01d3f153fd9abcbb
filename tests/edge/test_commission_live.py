"""What a walk sees of a node's sensors: a board that restarts or reports a fault, absent pins, a dead agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import signal
import threading
import time
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.simulators.agent import node_toml
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.uart_line import SensorPty
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.edge.commission import live as commission_live
from wayside.edge.commission.live import Live
from wayside.firmware_bridge.line.messages import DetectorFault, EventKind

PATIENCE_S = 30.0
CONTACT = '[[gpio.contacts]]\npin = 17\ndatastream = "ped/1"\nrole = "ped_button"\n'
METER = '[modbus]\nport = "/dev/none"\n[[modbus.registers]]\ndevice = 1\naddress = 0\ndatastream = "meter"\n'


class Seen:
    """A running :class:`Live` and what moved."""

    def __init__(self, config: NodeConfig, state_dir: Path, *, agent: bool, names: set[str]) -> None:
        self.moves: list[tuple[str, bool]] = []
        self.live = Live(config, state_dir, agent=agent, names=names, on_move=lambda n, v: self.moves.append((n, v)))

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def trouble(self, name: str) -> str:
        return self.live.states[name].trouble or ""


@asynccontextmanager
async def watching(config: NodeConfig, folder: Path, *names: str, agent: bool = False) -> AsyncIterator[Seen]:
    seen = Seen(config, folder / "state", agent=agent, names=set(names))
    seen.live.borrow()
    try:
        await seen.live.start()
        yield seen
    finally:
        await seen.live.stop()
        seen.live.give_back()


class Uart:
    """A line that stays up when the board behind it restarts, as that of a board on the header's pins does."""

    def __init__(self, port: Path) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        port.symlink_to(os.ttyname(self._slave))
        self._far = -1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def to(self, board: BoardProcess) -> None:
        self._far = os.open(board.port, os.O_RDWR | os.O_NOCTTY)

    def _carry(self) -> None:
        while not self._ended.is_set():
            far = self._far
            for fd in select.select([self._master, *([far] if far >= 0 else [])], [], [], 0.02)[0]:
                try:
                    data = os.read(fd, 65536)
                    os.write(self._master if fd == far else far, data)
                except OSError:  # the board is off
                    if fd == far == self._far:
                        self._far = -1

    def __enter__(self) -> Uart:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for fd in (self._master, self._slave, self._far):
            with contextlib.suppress(OSError):
                os.close(fd)


def node(port: str, extra: str = "") -> NodeConfig:
    return load_node_config(node_toml(port, anchor_s=time.time(), clock="system", extra=extra))


async def test_a_board_that_restarts_on_a_line_that_stays_up_is_heard_at_once(tmp_path: Path) -> None:
    many: list[Edge] = [(1, EventKind.DETECTOR, 1, i % 2) for i in range(4000)]
    few: list[Edge] = [(ms, EventKind.DETECTOR, 1, ms // 200 % 2) for ms in range(0, 600_000, 200)]
    with Uart(tmp_path / "uart.tty") as uart, BoardProcess(tmp_path, many) as first:
        uart.to(first)
        first.wait("", produced=len(many))
        async with watching(node(str(tmp_path / "uart.tty")), tmp_path, "det/1") as seen:
            assert seen.moves == []  # what was before is no movement now
            first.stop(signal.SIGKILL)
            with BoardProcess(tmp_path, few) as second:
                uart.to(second)
                await seen.until(lambda: len(seen.moves) >= 4)
            assert {name for name, _ in seen.moves} == {"det/1"}


async def test_a_fault_that_the_board_reports_is_shown_until_it_is_over(tmp_path: Path) -> None:
    fault = DetectorFault.STUCK_ON | DetectorFault.CHATTER
    feed: list[Edge] = [(0, EventKind.DETECTOR_FAULT, channel, fault) for channel in (1, 2)]
    feed += [(1, EventKind.DETECTOR_FAULT, 1, 0), (2, EventKind.DETECTOR, 1, 1)]
    with BoardProcess(tmp_path, feed) as board:
        async with watching(node(board.port), tmp_path, "det/1") as seen:
            await seen.until(lambda: bool(seen.live.states["det/1"].level))  # all of them are here
            assert seen.trouble("det/2") == "the board reports: stuck on, chatter"
            assert not seen.trouble("det/1")


@pytest.mark.skipif(bool(list(Path("/dev").glob("gpiochip*"))), reason="this machine has a GPIO chip")
async def test_pins_that_are_not_there_do_not_keep_the_detectors_from_being_walked(tmp_path: Path) -> None:
    feed: list[Edge] = [(ms, EventKind.DETECTOR, 1, ms // 200 % 2) for ms in range(0, 600_000, 200)]
    with BoardProcess(tmp_path, feed) as board:
        async with watching(node(board.port, "[gpio]\n" + CONTACT), tmp_path, "det/1", "ped/1") as seen:
            assert "GPIO (lgpio) cannot be opened" in seen.trouble("ped/1")
            await seen.until(lambda: ("det/1", True) in seen.moves)


async def test_the_word_of_an_agent_that_died_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commission_live, "LOOK_S", 0.05)
    monkeypatch.setattr(commission_live, "STALE_S", 1.0)
    status = tmp_path / "state" / "status.json"
    status.parent.mkdir()

    def says(closures: int, value: float) -> None:
        contacts = [{"datastream": "ped/1", "closed": False, "closures": closures}]
        readings = [{"datastream": "meter", "value": value, "unit": "Cel", "quality": "good"}]
        part = status.with_suffix(".part")
        part.write_text(json.dumps({"contacts": contacts, "readings": readings}))
        part.replace(status)

    says(0, 99.0)  # of the run before
    config = load_node_config('node = "n"\nstate_dir = "state"\n' + METER + CONTACT)
    async with watching(config, tmp_path, "ped/1", "meter", agent=True) as seen:
        await seen.until(lambda: "says nothing any more" in seen.trouble("meter"))
        assert seen.live.states["meter"].value is None
        says(7, 21.5)
        await seen.until(lambda: seen.live.states["meter"].value == "21.5 Cel" and not seen.trouble("meter"))
        assert seen.moves == []  # seven closures of before are no press now
        says(8, 21.5)
        await seen.until(lambda: ("ped/1", True) in seen.moves)
        await seen.until(lambda: "says nothing any more" in seen.trouble("ped/1"))


async def test_a_sensor_on_a_serial_port_shows_its_value_and_one_that_is_not_there_why(tmp_path: Path) -> None:
    toml = """
wire = 1
node = "mast"
state_dir = "state"
[[uart]]
protocol = "mhz19"
port = "{port}"
values = [{{ measure = "co2", datastream = "mast/co2", poll_s = 0.1 }}]
[[uart]]
protocol = "pms"
port = "{port}-none"
values = [{{ measure = "pm10", datastream = "mast/pm10", poll_s = 0.1 }}]
"""
    with SensorPty(tmp_path, "mhz19", {"co2": 612.0}) as sensor:
        config = load_node_config(toml.format(port=sensor.port))
        async with watching(config, tmp_path, "mast/co2", "mast/pm10") as seen:
            await seen.until(lambda: seen.live.states["mast/co2"].value == "612 [ppm]")
            assert seen.trouble("mast/co2") == ""
            assert seen.live._shows("mast/co2") == 612.0
            await seen.until(lambda: "cannot open" in seen.trouble("mast/pm10"))
            assert seen.live._shows("mast/pm10") is None


async def test_an_analogue_input_shows_what_the_board_tells_of_it(tmp_path: Path) -> None:
    feed: list[Edge] = [(10 * i, EventKind.ANALOG, 0, 100 + i) for i in range(100)]
    with BoardProcess(tmp_path, feed) as board:
        toml = node_toml(board.port, anchor_s=0, clock="system", detectors=(1,))
        analog = '[[analog]]\nchannel = 0\ndatastream = "street/light"\nunit = "lx"\nscale = 10.0\n'
        async with watching(load_node_config(toml + analog), tmp_path, "street/light") as seen:
            await seen.until(lambda: (seen.live.states["street/light"].value or "").endswith("0 lx"))
