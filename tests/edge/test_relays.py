"""Relays on the node's own pins: written, read back, safe at both ends; mock pins are a peer of a chip's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from tests.edge.test_ledger import Hand
from tests.simulators.agent import AgentProcess
from wayside.contracts.action import Setpoint
from wayside.contracts.actuator_config import PinTarget, SetpointConfig
from wayside.contracts.node_check import obstacles
from wayside.contracts.node_config import load_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.actuators import UNCONFIRMED, ReadBackSetpoint
from wayside.edge.doctor.examine import examine
from wayside.edge.ledger import Ledger
from wayside.edge.sensors import relays
from wayside.edge.sensors.gpio import GpioError
from wayside.edge.sensors.relays import Relays


def config(*, active_high: bool = True, safe: float = 0, number: int = 5) -> SetpointConfig:
    return SetpointConfig(
        name="fan", pin=PinTarget(number=number, active_high=active_high), low=0, high=1, safe=safe, needs_clock=False
    )


class StuckPin(MockPin):
    """Its level is held by something else: a short circuit."""

    level: bool | None = None

    def _get_state(self) -> bool:
        return self._state if self.level is None else self.level


class Switching:
    def __init__(self, *configs: SetpointConfig) -> None:
        self.ledger = Ledger("n", "0" * 32, Hand())
        self.setpoints = [ReadBackSetpoint(c, self.ledger) for c in configs]
        self.fan = self.setpoints[0]
        self.relays = Relays("mock", self.setpoints)
        self.levels: list[list[bool]] = []

    def pin(self, number: int = 5) -> Any:
        return self.relays.factory.pin(number)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def switching(*configs: SetpointConfig) -> AsyncIterator[Switching]:
    switching = Switching(*configs)
    task = asyncio.create_task(switching.relays.run())
    try:
        yield switching
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "LOOK_S", 0.01)
    monkeypatch.setattr(relays, "READ_BACK_S", 0.02)
    monkeypatch.setattr(relays, "RETRY_CAP_S", 0.05)


class Pins(MockFactory):
    """``given`` remembers each pin, also after its factory was closed."""

    given: list[StuckPin] = []

    def __init__(self) -> None:
        super().__init__(pin_class=StuckPin)

    def pin(self, name: Any) -> Any:
        pin = super().pin(name)
        if pin not in self.given:
            self.given.append(pin)
        return pin


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> list[StuckPin]:
    Pins.given = []
    monkeypatch.setattr(relays, "open_factory", lambda _: Pins())
    return Pins.given


@pytest.mark.parametrize("active_high", [True, False])
async def test_a_relay_begins_safe_follows_and_ends_safe(pins: list[StuckPin], active_high: bool) -> None:
    on, off = active_high, not active_high
    async with switching(config(active_high=active_high)) as here:
        here.fan.carry(Setpoint(1))  # decided before the pin is open
        await here.until(lambda: here.fan.pending() is None)
        (pin,) = pins
        levels = [s.state for s in pin.states]
        assert levels[-2:] == [off, on] or levels == [off, on]
        assert (pin.function, pin.state) == ("output", on)
        here.fan.carry(None)
        await here.until(lambda: here.fan.pending() is None)
        assert pin.state is off
        here.fan.carry(Setpoint(1))
        await here.until(lambda: here.fan.pending() is None)
    assert [s.state for s in pin.states][-2:] == [on, off]
    assert here.ledger.conditions() == ()


async def test_a_level_that_something_else_holds_is_told_until_it_follows(pins: list[StuckPin]) -> None:
    async with switching(config()) as here:
        await here.until(lambda: here.fan.pending() is None)
        pins[0].level = False
        here.fan.carry(Setpoint(1))
        await here.until(lambda: here.ledger.holds(UNCONFIRMED, "fan"))
        (condition,) = here.ledger.conditions()
        assert condition.message == "fan does not take its value: it holds 0 where 1 was written"
        pins[0].level = None
        await here.until(lambda: here.fan.pending() is None)
        assert here.ledger.conditions() == ()
        pins[0].level = False  # a relay that was confirmed is looked at again
        await here.until(lambda: here.ledger.holds(UNCONFIRMED, "fan"))
        pins[0].level = True
    (condition,) = here.ledger.conditions()
    assert condition.code == UNCONFIRMED


async def test_pins_that_cannot_be_had_are_told_and_tried_again(
    pins: list[StuckPin], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = False

    def opened(_: str) -> Pins:
        if not there:
            raise GpioError("GPIO (lgpio) cannot be opened: no such chip")
        return Pins()

    monkeypatch.setattr(relays, "open_factory", opened)
    async with switching(config(), config(number=6)) as here:
        await here.until(lambda: here.ledger.holds(UNCONFIRMED, "fan"))
        there = True
        await here.until(lambda: all(s.pending() is None for s in here.setpoints))
        assert here.ledger.conditions() == ()


async def test_one_pin_that_is_taken_keeps_no_other_from_moving(
    pins: list[StuckPin],
) -> None:
    other = SetpointConfig(name="pump", pin=PinTarget(number=35), low=0, high=1, safe=0)  # no such pin on a Pi
    async with switching(other, config()) as here:
        await here.until(lambda: here.setpoints[1].pending() is None)
        await here.until(lambda: here.ledger.holds(UNCONFIRMED, "pump"))
        (condition,) = here.ledger.conditions()
        assert "pin 35 cannot be moved" in condition.message


HEAD = 'node = "n"\nstate_dir = "state"\n'
RELAY = '[gpio]\nfactory = "mock"\n[[actuators]]\nkind = "setpoint"\nname = "fan"\nlow = 0\nhigh = 1\n'


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ("safe = 0\n", "to a register or to a pin: give one"),
        ("safe = 0\npin = { number = 5 }\nregister = { device = 1, address = 0 }\n", "give one of them"),
        ("safe = 0.5\npin = { number = 5 }\n", "a relay is 0 or 1"),
        ("safe = 0\npin = { number = 64 }\n", "<= 63"),
        ("safe = 0\npin = { pin = 5 }\n", "misses number"),
        (
            "safe = 0\npin = { number = 5 }\n[[gpio.contacts]]\npin = 5\ndatastream = 'd'\nrole = 'cabinet_door'\n",
            "the pin 5 is given twice",
        ),
    ],
)
def test_a_mistake_in_a_relays_table_is_named(more: str, rule: str) -> None:
    with pytest.raises(ContractError) as caught:
        load_node_config(HEAD + RELAY + more)
    assert any(rule in said for _, said in caught.value.mistakes), caught.value.mistakes


def test_a_relay_needs_no_line_and_a_doctor_moves_none(tmp_path: Path) -> None:
    node = load_node_config(HEAD + RELAY + "safe = 1\npin = { number = 5 }\n")
    assert list(obstacles(node)) == []
    findings = [f for f in examine(node, tmp_path) if f.check == "relays"]
    assert [f.state for f in findings] == ["ok", "warn"]
    assert "fan (pin 5)" in findings[0].said
    assert "safe while its relay is energized" in findings[1].said


def test_an_agent_holds_a_relay_safe_without_a_board_a_line_or_a_task(tmp_path: Path) -> None:
    with AgentProcess(tmp_path, HEAD + RELAY + "safe = 0\npin = { number = 5 }\n") as agent:
        agent.wait(lambda a: [s["held"] for s in a.status.get("setpoints", [])] == [0])
        assert agent.stop() == 0
    assert not [r for r in agent.rows() if r.detail.get("condition") == UNCONFIRMED]
    assert "Traceback" not in (tmp_path / "agent.log").read_text()
