"""Conditions are said when they begin and when they are over, and a flapping one is summed up."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.contracts.node_config import ClockConfig
from wayside.contracts.summary import Kind
from wayside.edge.clock import ScaledClock
from wayside.edge.ledger import FLAP_S, Ledger

BOOT = "0" * 32


class Hand(ScaledClock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        super().__init__(ClockConfig(kind="scaled", start_unix_s=1_700_000_000))
        self.now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def ledger(clock: Hand) -> Ledger:
    return Ledger("n", BOOT, clock)


def details(ledger: Ledger) -> list[dict[str, Any]]:
    return [r.detail for r in ledger.rows if r.kind is Kind.ALERT]


def test_a_condition_is_said_once_when_it_begins_and_once_when_it_is_over(ledger: Ledger, clock: Hand) -> None:
    for _ in range(5):
        ledger.begin("line_lost", "board", "the line is cut")
    assert [(c.code, c.subject) for c in ledger.conditions()] == [("line_lost", "board")]
    clock.now_ns = 7 * 10**9
    for _ in range(5):
        ledger.end("line_lost", "board")
    assert ledger.conditions() == ()
    assert details(ledger) == [
        {"what": "the line is cut", "condition": "line_lost"},
        {"what": "over: the line is cut", "condition": "line_lost", "ended": True, "lasted_s": 7.0},
    ]
    assert [r.seq for r in ledger.rows] == [0, 1]
    assert ledger.urgent


def test_a_flapping_condition_is_summed_up_and_not_repeated(ledger: Ledger, clock: Hand) -> None:
    for _ in range(1000):  # a door at 2 Hz
        ledger.begin("door_open", "cabinet/door", "the cabinet door is open")
        clock.now_ns += 250_000_000
        ledger.end("door_open", "cabinet/door")
        clock.now_ns += 250_000_000
        ledger.pass_time()
    assert len(ledger.rows) == 3  # it began, it was over, it flaps
    assert ledger.conditions()[0].times == 1000
    clock.now_ns += int(FLAP_S * 1e9)
    ledger.pass_time()
    assert details(ledger)[-1]["ended"] is True
    assert details(ledger)[-1]["times"] == 1000
    assert ledger.conditions() == ()


def test_a_condition_that_becomes_severe_is_told_again_and_has_its_last_message(ledger: Ledger) -> None:
    ledger.begin("no_model", "flow", "none has been installed", severe=False)
    ledger.begin("no_model", "flow", "the slot is damaged")
    ledger.begin("no_model", "flow", "both slots are damaged")
    assert [d["what"] for d in details(ledger)] == ["none has been installed", "the slot is damaged"]
    (condition,) = ledger.conditions()
    assert (condition.message, condition.severe, condition.times) == ("both slots are damaged", True, 1)


def test_a_condition_that_comes_back_after_long_is_a_new_one(ledger: Ledger, clock: Hand) -> None:
    for _ in range(2):
        ledger.begin("line_lost", "board", "cut")
        ledger.end("line_lost", "board")
        clock.now_ns += int(FLAP_S * 1e9)
        ledger.pass_time()
    assert [d.get("flaps") for d in details(ledger)] == [None] * 4


def test_what_held_before_a_restart_holds_after_it_and_is_not_said_again(ledger: Ledger, clock: Hand) -> None:
    ledger.begin("no_model", "flow", "the task runs no model")
    ledger.begin("door_open", "door", "open", severe=False)
    ledger.end("door_open", "door")
    again = Ledger("n", "1" * 32, clock)
    again.restore(ledger.state())
    assert [c.code for c in again.conditions()] == ["no_model"]
    again.begin("no_model", "flow", "the task runs no model")
    assert again.rows == []
    again.end("no_model", "flow")
    assert details(again)[0]["ended"] is True


def test_the_end_of_a_flapping_condition_is_said_after_a_restart_too(ledger: Ledger, clock: Hand) -> None:
    for _ in range(3):
        ledger.begin("door_open", "door", "open")
        ledger.end("door_open", "door")
    again = Ledger("n", BOOT, clock)
    again.restore(ledger.state())
    clock.now_ns += int(FLAP_S * 1e9)
    again.pass_time()
    assert details(again)[0]["ended"] is True


def test_severe_conditions_come_first(ledger: Ledger, clock: Hand) -> None:
    ledger.begin("clock_free", "clock", "nobody vouches for the time", severe=False)
    clock.now_ns += 1
    ledger.begin("line_lost", "board", "cut")
    assert [c.code for c in ledger.conditions()] == ["line_lost", "clock_free"]


def test_a_damaged_state_loses_no_more_than_what_is_damaged(ledger: Ledger) -> None:
    ledger.begin("line_lost", "board", "cut")
    state = ledger.state()
    state["conditions"].append({"code": 7})
    again = Ledger("n", "1" * 32, Hand())
    again.restore(state)
    assert [c.code for c in again.conditions()] == ["line_lost"]
