"""What every set-point keeps, whatever it is written to: a coil, registers of 16, 32 or 64 bits, a relay on a pin; by
RTU or by TCP. It is safe before anything else, follows what is allowed, is read back, and ends safe. Below, what the
three kinds of actuator share: each carries out its own kind of action and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from tests.edge.test_ledger import Hand
from tests.simulators.modbus import Cable, Meters
from tests.simulators.modbus_tcp import Network, free_port
from wayside.contracts.action import Action, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import PhaseLimits, PinTarget, RegisterTarget, SetpointConfig, SignalConfig
from wayside.contracts.modbus_config import ModbusConfig
from wayside.contracts.task_config import SiteConfig, TaskConfig
from wayside.edge.actuators import UNCONFIRMED, BoardSignal, NoticeBoard, ReadBackSetpoint
from wayside.edge.ledger import Ledger
from wayside.edge.sensors import modbus, relays, setpoints
from wayside.edge.sensors.modbus_lines import ModbusLines
from wayside.edge.sensors.relays import Relays

PATIENCE_S = 30.0
FULL = [0xFFFF] * 8  # a device that has everything on when it gets power


class Device(Protocol):
    """What a set-point moves."""

    def held(self) -> float | None: ...
    def history(self) -> list[float]:
        """Each value that it was given."""
        ...

    def stick(self, stuck: bool) -> None: ...
    def lose_power(self) -> None: ...
    def cut(self) -> None: ...
    def mend(self) -> None: ...


class RegisterDevice:
    def __init__(
        self, target: RegisterTarget, meters: Meters, cut: Callable[[], None], mend: Callable[[], None]
    ) -> None:
        self._target, self._meters, self.cut, self.mend = target, meters, cut, mend

    def history(self) -> list[float]:
        at, words = self._target.address, self._target.words
        columns = [[w.held for w in self._meters.writes(at + i)] for i in range(words)]
        rows = [list(row) for row in zip(*columns, strict=False)]
        if self._target.table == "coil":
            return [self._target.value(row[0]) for row in rows]
        return [value for row in rows if (value := self._target.decode(row)) is not None]

    def held(self) -> float | None:
        return history[-1] if (history := self.history()) else None

    def stick(self, stuck: bool) -> None:
        self._meters.get_stuck(stuck)

    def lose_power(self) -> None:
        self._meters.lose_power()


class Pin(MockPin):
    stuck: bool | None = None
    given: tuple[bool, ...] = ()

    def _set_state(self, value: float) -> None:
        self.given += (bool(value),)
        super()._set_state(value)

    def _get_state(self) -> bool:
        return self._state if self.stuck is None else self.stuck


class PinDevice:
    """Its factory comes and goes with the relays that use it."""

    def __init__(self, active_high: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self._active_high = active_high
        self._pins: list[Any] = []
        device = self

        class Pins(MockFactory):
            def __init__(self) -> None:
                super().__init__(pin_class=Pin)

            def pin(self, name: Any) -> Any:
                pin = super().pin(name)
                if pin not in device._pins:
                    device._pins.append(pin)
                return pin

        monkeypatch.setattr(relays, "open_factory", lambda _: Pins())

    def history(self) -> list[float]:
        return [float(level is self._active_high) for pin in self._pins for level in pin.given]

    def held(self) -> float | None:
        if not self._pins or self._pins[-1].function != "output":
            return history[-1] if (history := self.history()) else None
        return float(self._pins[-1].state is self._active_high)

    def stick(self, stuck: bool) -> None:
        for pin in self._pins:
            pin.stuck = pin._state if stuck else None

    def lose_power(self) -> None:
        """Something else moves the level."""
        self._pins[-1]._state = not self._pins[-1]._state

    def cut(self) -> None:
        self.stick(True)

    def mend(self) -> None:
        self.stick(False)


class Member(NamedTuple):
    config: SetpointConfig
    test: float
    other: float


def member(name: str, test: float, other: float, **register: Any) -> Member:
    target = RegisterTarget(device=1, address=2, **register)
    low, high = min(test, other, 0.0), max(test, other, 1.0)
    return Member(
        SetpointConfig(name=name, register=target, low=low, high=high, safe=0, needs_clock=False), test, other
    )


MEMBERS = {
    "coil": member("coil", 1, 0),
    "uint16": member("uint16", 60, 12.5, table="holding", scale=0.5),
    "uint32": member("uint32", 70_000, 3, table="holding", type="uint32"),
    "float32": member("float32", 21.3, -4.5, table="holding", type="float32"),
    "float32, bytes swapped": member("float32b", 21.3, 7, table="holding", type="float32", byte_order="little"),
    "float64": member("float64", 0.1, -1e6, table="holding", type="float64", word_order="little"),
    "relay": Member(SetpointConfig(name="relay", pin=PinTarget(number=5), low=0, high=1, safe=0), 1, 0),
    "relay, active low": Member(
        SetpointConfig(
            name="low", pin=PinTarget(number=5, active_high=False), low=0, high=1, safe=0, needs_clock=False
        ),
        1,
        0,
    ),
}
KINDS = [
    *((kind, "pin" if "relay" in kind else "rtu") for kind in MEMBERS),
    *((kind, "tcp") for kind in ("coil", "float32")),
]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for room, name, value in (
        (setpoints, "READ_BACK_S", 0.3), (setpoints, "RETRY_CAP_S", 0.1), (modbus, "RETRY_CAP_S", 0.1),
        (modbus, "SILENT_CAP_S", 0.1), (relays, "READ_BACK_S", 0.05), (relays, "RETRY_CAP_S", 0.05),
        (relays, "LOOK_S", 0.01),
    ):  # fmt: skip
        monkeypatch.setattr(room, name, value)


class Bench:
    """A set-point, its owner and the device that it moves."""

    def __init__(self, member: Member, wire: str, folder: Path, stack: ExitStack, patch: pytest.MonkeyPatch) -> None:
        self.member = member
        self.ledger = Ledger("n", "0" * 32, Hand())
        self.device: Device
        self._line: ModbusConfig | None = None
        target = member.config.target
        if isinstance(target, PinTarget):
            self.device = PinDevice(target.active_high, patch)
            return
        if wire == "rtu":
            cable = stack.enter_context(Cable(folder))
            meters = stack.enter_context(Meters(cable.device, {1: list(FULL)}))
            self._line = ModbusConfig(port=str(cable.node), timeout_s=0.3)
            self.device = RegisterDevice(target, meters, cable.pull, cable.plug)
        else:
            port = free_port()
            meters = stack.enter_context(Meters(folder / "server", {1: list(FULL)}, tcp_port=port))
            network = stack.enter_context(Network(port))
            self._line = ModbusConfig(port=network.url, timeout_s=0.3)
            self.device = RegisterDevice(target, meters, network.refuse, network.listen)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ReadBackSetpoint]:
        setpoint = ReadBackSetpoint(self.member.config, self.ledger)
        owner: Any = Relays("mock", [setpoint])
        if self._line is not None:
            owner = ModbusLines((self._line,), lambda *_: None, lambda *_: None, [setpoint])
        task = asyncio.create_task(owner.run())
        try:
            yield setpoint
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def holds(self, value: float) -> bool:
        held = self.device.held()
        return held is not None and self.member.config.target.same(held, value)

    @property
    def complains(self) -> bool:
        return self.ledger.holds(UNCONFIRMED, self.member.config.name)


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]} by {kind[1]}")
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    kind, wire = request.param
    with ExitStack() as stack:
        yield Bench(MEMBERS[kind], wire, tmp_path, stack, monkeypatch)


async def test_it_is_safe_first_follows_and_ends_safe(bench: Bench) -> None:
    async with bench.running() as setpoint:
        setpoint.carry(Setpoint(bench.member.test))  # decided before its line is open
        await bench.until(lambda: setpoint.pending() is None and bench.holds(bench.member.test))
        first = bench.device.history()
        assert bench.member.config.target.same(first[0], 0)
        setpoint.carry(Setpoint(bench.member.other))
        await bench.until(lambda: setpoint.pending() is None and bench.holds(bench.member.other))
        setpoint.carry(None)
        await bench.until(lambda: setpoint.pending() is None and bench.holds(0))
        setpoint.carry(Setpoint(bench.member.test))
        await bench.until(lambda: setpoint.pending() is None and bench.holds(bench.member.test))
    assert bench.holds(0)
    assert bench.ledger.conditions() == ()


async def test_a_wrong_reading_back_is_told_until_it_is_right(bench: Bench) -> None:
    async with bench.running() as setpoint:
        await bench.until(lambda: setpoint.pending() is None)
        bench.device.stick(True)
        setpoint.carry(Setpoint(bench.member.test))
        await bench.until(lambda: bench.complains)
        assert setpoint.pending() == bench.member.test
        bench.device.stick(False)
        await bench.until(lambda: setpoint.pending() is None and bench.holds(bench.member.test))
        assert bench.ledger.conditions() == ()
    assert bench.holds(0)


async def test_a_device_that_forgot_is_set_again_without_a_word(bench: Bench) -> None:
    coil = bench.member.config.register is not None and bench.member.config.register.table == "coil"
    value = bench.member.other if coil else bench.member.test  # not what it has when it gets power
    async with bench.running() as setpoint:
        setpoint.carry(Setpoint(value))
        await bench.until(lambda: setpoint.pending() is None and bench.holds(value))
        writes = len(bench.device.history())
        bench.device.lose_power()
        if bench.member.config.pin is None:
            await bench.until(lambda: len(bench.device.history()) > writes)
        await bench.until(lambda: setpoint.pending() is None and bench.holds(value))
    assert bench.holds(0)


async def test_a_lost_line_is_told_and_then_the_last_value_is_there(bench: Bench) -> None:
    async with bench.running() as setpoint:
        await bench.until(lambda: setpoint.pending() is None)
        bench.device.cut()
        setpoint.carry(Setpoint(bench.member.test))
        await bench.until(lambda: bench.complains)
        bench.device.mend()
        await bench.until(lambda: setpoint.pending() is None and bench.holds(bench.member.test))
        assert bench.ledger.conditions() == ()
    assert bench.holds(0)


async def test_one_that_cannot_end_safe_says_so(bench: Bench) -> None:
    async with bench.running() as setpoint:
        setpoint.carry(Setpoint(bench.member.test))
        await bench.until(lambda: setpoint.pending() is None and bench.holds(bench.member.test))
        bench.device.stick(True)
    (condition,) = bench.ledger.conditions()
    assert condition.code == UNCONFIRMED
    bench.device.stick(False)


LIMITS = {"min_green_s": 5.0, "max_green_s": 60.0, "yellow_s": 4.0, "red_clearance_s": 1.0}
SIGNAL = SignalConfig(
    name="signal", cycle_s=60.0, phases=tuple(PhaseLimits(phase=phase, green_s=25.0, **LIMITS) for phase in (2, 4))
)
RELAY = SetpointConfig(name="relay", register=RegisterTarget(device=1, address=0), low=0.0, high=1.0, safe=0.0)
ACTIONS: tuple[Action, ...] = (Greens({2: 30.0, 4: 20.0}), Setpoint(1.0), Notice("smoke", 2, "smoke over the street"))


def carried(ledger: Ledger) -> dict[type[Action], Callable[[Action | None], None]]:
    """Of each kind of actuator, what carries its actions out, and the kind of action that it takes."""
    task = TaskConfig(name="air", bundle="air", sites=(SiteConfig(output="mast/pm25"),))
    return {
        Greens: BoardSignal(SIGNAL).carry,
        Setpoint: ReadBackSetpoint(RELAY, ledger).carry,
        Notice: NoticeBoard(task, ledger).carry,
    }


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_an_actuator_carries_out_its_own_kind_of_action_and_no_other(action: Action) -> None:
    for taken, carry in carried(Ledger("n", "0" * 32, Hand())).items():
        if type(action) is taken:
            carry(action)
        else:
            with pytest.raises(TypeError):
                carry(action)


def test_without_an_action_the_board_is_given_its_fixed_plan_and_a_register_its_safe_value() -> None:
    ledger = Ledger("n", "0" * 32, Hand())
    signal = BoardSignal(SIGNAL)
    signal.carry(Greens({2: 30.0, 4: 20.0}))
    signal.carry(None)
    assert signal.take() == {2: 25.0, 4: 25.0}
    assert signal.take() is None
    setpoint = ReadBackSetpoint(RELAY, ledger)
    setpoint.carry(Setpoint(1.0))
    assert setpoint.pending() == 0.0  # the safe value first, whatever was decided
    setpoint.confirmed(0.0)
    assert setpoint.pending() == 1.0
    setpoint.carry(None)
    assert setpoint.pending() == 0.0


def test_a_notice_is_a_condition_from_its_beginning_to_its_end() -> None:
    ledger = Ledger("n", "0" * 32, Hand())
    carry = carried(ledger)[Notice]
    carry(Notice("smoke", 2, "smoke over the street"))
    assert [c.code for c in ledger.conditions()] == ["notice_warning"]
    carry(Notice("smoke", 3, "fire in the street"))
    assert [c.code for c in ledger.conditions()] == ["notice_alarm"]
    carry(Notice("smoke", 0, "out"))
    assert ledger.conditions() == ()
