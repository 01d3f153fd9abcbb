"""Set-points on a Modbus line: what a device holds while it is switched, stuck, unplugged, and when the agent ends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from pymodbus.framer import FramerRTU

from tests.edge.test_ledger import Hand
from tests.simulators.agent import AgentProcess
from tests.simulators.modbus import Cable, Meters
from tests.simulators.tiny_model import TinyModel
from wayside.contracts.action import Setpoint
from wayside.contracts.actuator_config import RegisterTarget, SetpointConfig
from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig
from wayside.contracts.node_config import load_node_config
from wayside.contracts.summary import Kind
from wayside.edge.actuators import UNCONFIRMED, ReadBackSetpoint
from wayside.edge.agent import Agent
from wayside.edge.clock import open_clock
from wayside.edge.ledger import Ledger
from wayside.edge.node import Node
from wayside.edge.sensors import modbus, setpoints
from wayside.edge.sensors.modbus import ModbusLine
from wayside.edge.sensors.modbus_port import open_port

PATIENCE_S = 30.0
RELAY = SetpointConfig(name="relay", register=RegisterTarget(device=1, address=3), low=0, high=1, safe=0)
LAMP = SetpointConfig(
    name="lamp",
    register=RegisterTarget(device=1, address=2, table="holding", scale=0.5, offset=-10),
    low=0,
    high=100,
    safe=20,
)
FAR = SetpointConfig(name="far", register=RegisterTarget(device=9, address=0), low=0, high=1, safe=1)
METER = RegisterConfig(device=1, address=0, datastream="meter", poll_s=0.1)
WORDS = [5, 0, 0, 1]  # the relay is on when its device gets power


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is half a second, and what failed is tried again soon."""
    monkeypatch.setattr(setpoints, "READ_BACK_S", 0.5)
    monkeypatch.setattr(setpoints, "RETRY_CAP_S", 0.2)
    monkeypatch.setattr(modbus, "RETRY_CAP_S", 0.2)
    monkeypatch.setattr(modbus, "SILENT_CAP_S", 0.3)


class Writing:
    """A line with one meter, and its set-points."""

    def __init__(self, cable: Cable, *configs: SetpointConfig, **more: object) -> None:
        self.ledger = Ledger("n", "0" * 32, Hand())
        self.setpoints = {c.name: ReadBackSetpoint(c, self.ledger) for c in configs}
        self.values: list[float] = []
        config = ModbusConfig(port=str(cable.node), registers=(METER,), **{"timeout_s": 0.2, **more})  # type: ignore[arg-type]
        self.line = ModbusLine(config, lambda _, v, __: self.values.append(v), lambda *_: None, self.setpoints.values())

    def want(self, name: str, value: float) -> None:
        self.setpoints[name].carry(Setpoint(value))

    def confirmed(self, name: str) -> bool:
        return self.setpoints[name].pending() is None

    def complains(self, name: str) -> bool:
        return self.ledger.holds(UNCONFIRMED, name)

    @property
    def complaint(self) -> str:
        (condition,) = self.ledger.conditions()
        return condition.message

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def writing(cable: Cable, *configs: SetpointConfig, **more: object) -> AsyncIterator[Writing]:
    writing = Writing(cable, *configs, **more)
    task = asyncio.create_task(writing.line.run())
    try:
        yield writing
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def held(meters: Meters, address: int) -> list[int]:
    """What a coil or register held after each write."""
    return [w.held for w in meters.writes(address)]


async def test_a_relay_and_a_lamp_are_set_and_read_back_and_end_safe(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        async with writing(cable, RELAY, LAMP) as line:
            await line.until(lambda: line.confirmed("relay") and line.confirmed("lamp"))
            line.want("relay", 1)
            line.want("lamp", 50.2)
            await line.until(lambda: line.confirmed("relay") and line.confirmed("lamp"))
            assert held(meters, 3) == [0, 1]
            assert held(meters, 2) == [60, 120]  # (50.2 + 10) / 0.5, the nearest
            polls = len(line.values)
            await line.until(lambda: len(line.values) >= polls + 10)  # read back meanwhile, and not written again
        assert held(meters, 3) == [0, 1, 0]
        assert held(meters, 2) == [60, 120, 60]
        assert [w.function for w in (*meters.writes(3), *meters.writes(2))] == [5] * 3 + [6] * 3
        assert line.ledger.conditions() == ()
        assert set(line.values) == {5.0}


async def test_a_stuck_relay_is_written_again_and_told_until_it_moves(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        meters.get_stuck()
        async with writing(cable, RELAY) as line:
            await line.until(lambda: line.complains("relay"))
            assert line.complaint == "relay does not take its value: it holds 1 where 0 was written"
            assert len(held(meters, 3)) >= 3
            polls = len(line.values)
            await line.until(lambda: len(line.values) >= polls + 5)
            meters.get_stuck(False)
            await line.until(lambda: line.confirmed("relay"))
            assert line.ledger.conditions() == ()
        assert held(meters, 3)[-1] == 0


async def test_a_device_that_lost_power_is_set_again_without_a_word(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        async with writing(cable, RELAY, LAMP) as line:
            line.want("lamp", 30)
            await line.until(lambda: line.confirmed("relay") and line.confirmed("lamp"))
            before = len(held(meters, 3)), len(held(meters, 2))
            meters.lose_power()
            await line.until(lambda: len(held(meters, 3)) > before[0] and len(held(meters, 2)) > before[1])
            await line.until(lambda: line.confirmed("relay") and line.confirmed("lamp"))
            assert (held(meters, 3)[-1], held(meters, 2)[-1]) == (0, 80)


async def test_while_the_adapter_is_pulled_it_is_told_and_then_the_last_value_is_written(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        async with writing(cable, RELAY) as line:
            await line.until(lambda: line.confirmed("relay"))
            cable.pull()
            line.want("relay", 1)
            await line.until(lambda: line.complains("relay"))
            assert held(meters, 3) == [0]
            cable.plug()
            await line.until(lambda: line.confirmed("relay"))
            assert held(meters, 3) == [0, 1]
            assert not line.complains("relay")
        assert held(meters, 3)[-1] == 0


async def test_a_silent_device_holds_up_neither_polls_nor_other_set_points(tmp_path: Path) -> None:
    with Cable(tmp_path, silent=(9,)) as cable, Meters(cable.device, {1: WORDS}) as meters:
        async with writing(cable, FAR, RELAY) as line:
            await line.until(lambda: line.confirmed("relay") and line.complains("far"))
            line.want("relay", 1)
            polls = len(line.values)
            await line.until(lambda: line.confirmed("relay"))
            await line.until(lambda: len(line.values) >= polls + 6)
            assert (9, 9) not in pairwise(said[0] for said in cable.heard)  # another goes between two tries
            assert "device 9" in line.complaint
            assert "does not answer" in line.complaint
        assert held(meters, 3)[-1] == 0  # the other's silence did not keep it from ending safe
        assert "the agent ended before the safe value was confirmed" in line.complaint


async def test_a_refused_write_is_told_with_the_register_and_the_value(tmp_path: Path) -> None:
    nowhere = SetpointConfig(name="x", register=RegisterTarget(device=1, address=77), low=0, high=1, safe=1)
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}):
        async with writing(cable, nowhere) as line:
            await line.until(lambda: line.complains("x"))
            assert "has no register at this address (1 to coil register 77)" in line.complaint
            polls = len(line.values)
            await line.until(lambda: len(line.values) >= polls + 5)


async def test_an_echo_never_confirms_a_write(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        cable.echo = True
        cable.to_device = lambda _: b""
        async with writing(cable, RELAY, timeout_s=0.1) as line:
            await line.until(lambda: line.complains("relay") and "set modbus.echo" in line.complaint)
            assert not line.confirmed("relay")
        cable.to_device = lambda data: data
        async with writing(cable, RELAY, echo=True) as line:
            await line.until(lambda: line.confirmed("relay"))
        assert set(held(meters, 3)) == {0}


async def test_the_line_ends_safe_in_the_middle_of_an_exchange_and_while_its_port_is_closed(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        async with writing(cable, RELAY, timeout_s=0.5) as line:
            await line.until(lambda: line.confirmed("relay"))
            line.want("relay", 1)
            await line.until(lambda: line.confirmed("relay"))
            cable.late_s = 0.3
            requests = len(cable.heard)
            await line.until(lambda: len(cable.heard) > requests)  # its answer is still to come
        assert held(meters, 3)[-1] == 0
        assert line.ledger.conditions() == ()
        cable.late_s = 0.0
        async with writing(cable, RELAY) as line:
            line.want("relay", 1)
            await line.until(lambda: line.confirmed("relay"))
            cable.pull()
            await line.until(lambda: line.complains("relay"))
            cable.plug()
        assert held(meters, 3)[-1] == 0
        assert line.ledger.conditions() == ()


async def test_set_points_that_are_always_due_leave_every_other_turn_to_the_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setpoints, "RETRY_CAP_S", 0.0)
    monkeypatch.setattr(setpoints, "MIN_RETRY_S", 0.0)
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        meters.get_stuck()
        async with writing(cable, RELAY, LAMP) as line:
            await line.until(lambda: line.complains("relay") and line.complains("lamp"))
            polls = len(line.values)
            await line.until(lambda: len(line.values) >= polls + 5)


async def test_the_answer_to_a_write_never_passes_for_a_value_that_was_read(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: WORDS}) as meters:
        meters.get_stuck()
        written = b""

        def late(data: bytes) -> bytes:
            nonlocal written
            if data[1] == 6:
                written = data[:2] + (2).to_bytes(2) + (60).to_bytes(2)
                written += FramerRTU.compute_CRC(written).to_bytes(2)
                return written
            return written if data[1] == 3 and written else data

        cable.to_node = late
        async with writing(cable, LAMP, timeout_s=0.1) as line:
            await line.until(lambda: line.complains("lamp"))
            assert not line.confirmed("lamp")
            assert set(line.values) <= {5.0}


async def test_after_a_request_that_was_cut_short_its_late_answer_is_waited_for(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [111, 222]}):
        config = ModbusConfig(port=str(cable.node), registers=(METER,), timeout_s=0.5)
        port = await open_port(config)
        cable.late_s = 0.3
        first = asyncio.create_task(port.read(METER))
        while not cable.heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert await port.read(msgspec.structs.replace(METER, address=1)) == 222
        port.close()


# --- a whole node -----------------------------------------------------------------------------------------------------


def node_toml(cable: Cable, *, min_hold_s: float = 0.0, speed: float = 1.0, interval_s: int = 1) -> str:
    return f"""
node = "kiosk-1"
state_dir = "state"
[clock]
kind = "scaled"
speed = {speed}
start_unix_s = 1704067200
anchor_unix_s = {time.time():.3f}
[storage]
checkpoint_s = 0.1
[modbus]
port = "{cable.node}"
timeout_s = 0.5
[[modbus.registers]]
device = 1
address = 0
datastream = "kiosk/temperature"
unit = "Cel"
poll_s = 0.1
[[tasks]]
name = "heat"
bundle = "kiosk-temperature"
interval_s = {interval_s}
sites = [{{ output = "kiosk/temperature", constants = {{ lanes = 1 }} }}]
policy = "setpoint_threshold"
actuator = "relay"
settings = {{ on_at = 100.0, off_at = 50.0 }}
[[actuators]]
name = "relay"
kind = "setpoint"
register = {{ device = 1, address = 3 }}
low = 0
high = 1
safe = 0
min_hold_s = {min_hold_s}
"""


async def test_a_node_switches_a_relay_within_its_limits_and_without_a_model_it_is_safe(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [150, 0, 0, 1]}) as meters:
        config = load_node_config(node_toml(cable, min_hold_s=80_000, speed=10, interval_s=5))
        node = Node(config, open_clock(config.clock), "0" * 32)
        node.set_model(
            "kiosk-temperature",
            TinyModel(window=2, interval_s=5, bundle="kiosk-temperature", quantity=("temperature", "Cel")),
        )
        setpoint = node.outputs.setpoints["relay"]
        line = ModbusLine(
            config.modbus[0],
            lambda index, raw, wraps_at: node.value_read(node.registers, index, raw, wraps_at=wraps_at),
            partial(node.value_failed, node.registers),
            [setpoint],
        )
        task = asyncio.create_task(line.run())

        def reasons() -> list[str]:
            return [str(r.detail.get("why", "")) for r in node.ledger.rows if r.kind is Kind.DECISION]

        async def until(what: Callable[[], bool]) -> None:
            async with asyncio.timeout(PATIENCE_S):
                while not what():
                    node.pass_time()
                    await asyncio.sleep(0.02)

        try:
            await until(lambda: held(meters, 3) == [0, 1] and setpoint.pending() is None)
            meters.set(1, 0, 10)
            await until(lambda: any("has to stay for 80000 s" in why for why in reasons()))
            assert held(meters, 3) == [0, 1]
            node.set_model("kiosk-temperature", None)
            await until(lambda: held(meters, 3) == [0, 1, 0] and setpoint.pending() is None)
            assert not node.ledger.holds(UNCONFIRMED, "relay")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class ModelledAgent(AgentProcess):
    """An agent that has a model from the start, as if one had been installed."""

    def _program(self) -> list[str]:
        return [
            "-c",
            "import sys, wayside.edge.agent as a, wayside.__main__ as w\n"
            "from tests.simulators.tiny_model import TinyModel\n"
            "make = a.Agent.__init__\n"
            "def modelled(self, *given):\n"
            "    make(self, *given)\n"
            "    model = TinyModel(2, 1, bundle='kiosk-temperature', quantity=('temperature', 'Cel'))\n"
            "    self.node.set_model('kiosk-temperature', model)\n"
            "a.Agent.__init__ = modelled\n"
            "sys.exit(w.main(sys.argv[1:]))",
        ]


def test_an_agent_that_was_killed_begins_safe_and_one_that_is_stopped_ends_safe(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [150, 0, 0, 0]}) as meters:
        toml = node_toml(cable)
        with ModelledAgent(tmp_path, toml) as agent:
            agent.wait(lambda _: held(meters, 3) == [0, 1])
            agent.stop(signal.SIGKILL)
        assert held(meters, 3) == [0, 1]
        with ModelledAgent(tmp_path, toml) as agent:
            agent.wait(lambda _: len(held(meters, 3)) > 3 and held(meters, 3)[-1] == 1)
            assert held(meters, 3)[2] == 0  # though its first step may be decided before the line is open
            writes = len(held(meters, 3))
            asked = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - asked < 10
        assert held(meters, 3)[-1] == 0
        assert len(held(meters, 3)) > writes
        assert not [r for r in agent.rows() if r.detail.get("condition") == UNCONFIRMED]
    assert "Traceback" not in (tmp_path / "agent.log").read_text()


def test_a_set_point_without_a_line_is_told_and_keeps_nothing_from_running(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable:
        text = node_toml(cable)
    head, tail = text.split("[modbus]")
    agent = Agent(load_node_config(head + "[[actuators]]" + tail.split("[[actuators]]")[1]), tmp_path)
    (condition,) = [c for c in agent.node.ledger.conditions() if c.code == UNCONFIRMED]
    assert "has no [modbus] line" in condition.message
    agent.close()
