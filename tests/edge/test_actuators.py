"""What was allowed is sent until it is confirmed, and a set-point begins and ends safe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.edge.test_decisions import BOOT, SCORE
from tests.edge.test_guard import FIXED, SIGNAL
from tests.edge.test_ledger import Hand
from wayside.contracts.action import Greens, Notice, Setpoint
from wayside.contracts.actuator_config import RegisterTarget, SetpointConfig
from wayside.contracts.wire import ContractError, from_builtins
from wayside.edge.actuators import UNCONFIRMED, BoardSignal, NoticeBoard, ReadBackSetpoint
from wayside.edge.ledger import Ledger

LAMP = SetpointConfig(
    name="lamp",
    register=RegisterTarget(device=1, address=0, table="holding", scale=0.5, offset=-10),
    low=0,
    high=100,
    safe=20,
    unit="%",
)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("n", BOOT, Hand())


@pytest.fixture
def lamp(ledger: Ledger) -> ReadBackSetpoint:
    return ReadBackSetpoint(LAMP, ledger)


def test_one_plan_waits_for_the_line_and_a_later_one_replaces_it() -> None:
    board = BoardSignal(SIGNAL)
    assert board.take() is None
    board.carry(Greens(FIXED | {2: 50.0, 4: 29.0}))
    board.carry(Greens(FIXED | {2: 49.0, 4: 30.0}))
    assert board.take() == FIXED | {2: 49.0, 4: 30.0}
    assert board.take() is None
    board.carry(None)
    assert board.take() == FIXED


def test_a_register_begins_with_the_safe_value_and_is_written_until_it_is_read_back(lamp: ReadBackSetpoint) -> None:
    assert lamp.pending() == 20
    lamp.confirmed(20)
    assert lamp.pending() is None
    lamp.carry(Setpoint(50.2))
    assert lamp.pending() == 50.2
    lamp.failed("no answer")
    assert lamp.pending() == 50.2
    lamp.confirmed(LAMP.register.value(LAMP.register.raw(50.2)))  # the nearest that a register of 16 bits holds
    assert lamp.pending() is None


def test_what_is_decided_before_the_line_is_open_waits_for_the_safe_value(lamp: ReadBackSetpoint) -> None:
    lamp.carry(Setpoint(50))
    assert lamp.pending() == 20
    lamp.confirmed(50)
    assert lamp.pending() == 20
    lamp.confirmed(20)
    assert lamp.pending() == 50


def test_what_somebody_else_wrote_is_written_over(lamp: ReadBackSetpoint, ledger: Ledger) -> None:
    lamp.confirmed(20)
    lamp.confirmed(20.5)  # the next that the register can hold
    assert lamp.pending() == 20
    lamp.confirmed(20)
    for _ in range(3):
        lamp.confirmed(80)
        assert lamp.pending() == 20
    (condition,) = ledger.conditions()
    assert condition.code == UNCONFIRMED
    assert condition.message == "lamp does not take its value: it holds 80 where 20 was written"
    lamp.confirmed(20)
    assert ledger.conditions() == ()


def test_a_lost_answer_is_no_fault_and_three_in_a_row_are_one_condition(lamp: ReadBackSetpoint, ledger: Ledger) -> None:
    lamp.failed("no answer")
    lamp.failed("no answer")
    assert not ledger.holds(UNCONFIRMED, "lamp")
    for _ in range(100):
        lamp.failed("no answer")
    assert ledger.holds(UNCONFIRMED, "lamp")
    assert len(ledger.rows) == 1


def test_after_the_stop_nothing_but_the_safe_value_is_written(lamp: ReadBackSetpoint) -> None:
    lamp.carry(Setpoint(50))
    lamp.stop()
    lamp.carry(Setpoint(60))
    assert lamp.pending() == 20


@pytest.mark.parametrize(
    ("register", "value", "holds"),
    [
        ({"table": "coil"}, 1, True),
        ({"table": "coil"}, 0.5, False),
        ({"table": "coil"}, 2, False),
        ({"table": "coil", "scale": 5, "offset": 15}, 20, True),
        ({"table": "holding"}, 65535, True),
        ({"table": "holding"}, -1, False),
        ({"table": "holding", "scale": 0.1, "offset": -40}, 21.37, True),
        ({"table": "holding", "scale": 0.1}, 6553.7, False),
    ],
)
def test_a_register_holds_what_its_bits_can(register: dict[str, Any], value: float, holds: bool) -> None:
    assert RegisterTarget(device=1, address=0, **register).holds(value) is holds


def test_a_safe_value_that_cannot_be_written_is_refused_when_the_file_is_read() -> None:
    raw = {"kind": "setpoint", "name": "a", "register": {"device": 1, "address": 0}, "low": 0, "high": 1, "safe": 0.5}
    with pytest.raises(ContractError, match="safe can be written"):
        from_builtins(raw, SetpointConfig)


def test_each_actuator_refuses_what_is_not_its_kind(lamp: ReadBackSetpoint, ledger: Ledger) -> None:
    with pytest.raises(TypeError):
        BoardSignal(SIGNAL).carry(Setpoint(1))
    with pytest.raises(TypeError):
        lamp.carry(Notice("t", 2, "x"))
    with pytest.raises(TypeError):
        NoticeBoard(SCORE, ledger).carry(None)


class TheRegisterFollows(RuleBasedStateMachine):
    """Whatever is asked for, lost or written by others: once the line works again, the register holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("n", BOOT, Hand())
        self.lamp = ReadBackSetpoint(LAMP, self.ledger)
        self.register: int | None = None
        self.wanted = 20.0

    @rule(value=st.none() | st.floats(0, 100))
    def ask(self, value: float | None) -> None:
        self.lamp.carry(None if value is None else Setpoint(value))
        self.wanted = 20.0 if value is None else value

    @rule()
    def lost(self) -> None:
        self.lamp.failed("no answer")

    @rule(raw=st.integers(0, 65535))
    def by_hand(self, raw: int) -> None:
        self.register = raw
        self.lamp.confirmed(LAMP.register.value(raw))

    @rule(value=st.floats(0, 100))
    def restart(self, value: float) -> None:
        self.lamp = ReadBackSetpoint(LAMP, self.ledger)
        self.wanted = 20.0

    @rule()
    def write(self) -> None:
        while (value := self.lamp.pending()) is not None:
            self.register = LAMP.register.raw(value)
            self.lamp.confirmed(LAMP.register.value(self.register))
        assert self.register == LAMP.register.raw(self.wanted)
        assert not self.ledger.holds(UNCONFIRMED, "lamp")

    @invariant()
    def what_is_not_pending_is_held(self) -> None:
        if self.lamp.pending() is None:
            assert self.register == LAMP.register.raw(self.wanted)


TestTheRegisterFollows = TheRegisterFollows.TestCase
TestTheRegisterFollows.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
