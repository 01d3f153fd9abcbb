"""Everything that a board can say is taken by a room: rows, conditions, alerts. Nothing is dropped in silence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.edge.scripted_beat import signal_beat
from tests.edge.test_ledger import Hand
from wayside.contracts.reading import Quality
from wayside.contracts.sensor_config import DetectorConfig
from wayside.contracts.summary import Kind
from wayside.edge.ledger import Ledger
from wayside.edge.sources.board import UNHEARD_STATUSES, BoardSource
from wayside.edge.sources.step import Grid, Loss, Step
from wayside.firmware_bridge.line.board import Gap, Heard
from wayside.firmware_bridge.line.messages import (
    FROM_BOARD,
    DetectorFault,
    Event,
    EventKind,
    Flag,
    Identity,
    PlanCode,
    PlanResult,
    SignalMode,
    Status,
    Termination,
)

STEP = 900_000
WELL = int(Flag.HOST_ALIVE | Flag.LINKED)


class Told:
    """A board source with one detector on channel 1, and what came of what it heard."""

    def __init__(self, *, drives_signal: bool = True, beat: Any = None) -> None:
        self.clock = Hand()
        self.clock._start_ms = 1_699_999_200_000  # a multiple of the step
        self.ledger = Ledger("n", "0" * 32, self.clock)
        detectors = (DetectorConfig(channel=1, datastream="det/1"),)
        self.board = BoardSource(
            detectors,
            self.clock,
            Grid(self.clock, STEP // 1000),
            self.ledger,
            signal="signal" if drives_signal else None,
            beat=beat,
        )
        self.beat = beat
        self.reverted = 0
        self.board.reverted = self._revert
        self.seq, self.ms = 1, 0
        self.hear(Identity(2, 0, 0, 1, 0, "board-1", 7, 1, 8192), self.status())
        self.reverted = 0

    def _revert(self) -> None:
        self.reverted += 1

    def hear(self, *heard: Heard) -> None:
        self.board.receive(heard)

    def status(self, flags: int = WELL) -> Status:
        return Status(self.ms, self.seq, 1, self.seq - 1, 0, 0, 0, flags)

    def event(self, kind: int, channel: int = 1, value: int = 1, ms: int = 1000) -> None:
        self.hear(Event(self.seq, self.ms + ms, kind, channel, value))
        self.seq += 1

    def step(self) -> Step:
        self.ms += STEP
        self.hear(self.status())
        (step,) = (c for c in self.board.closed() if isinstance(c, Step))
        return step

    def open(self) -> set[tuple[str, str]]:
        return {(c.code, c.subject) for c in self.ledger.conditions()}

    def said(self) -> tuple[Any, ...]:
        """Everything that somebody may see."""
        rows = [(r.kind, r.datastream, str(r.detail)) for r in self.ledger.rows]
        board = self.board
        beat = self.beat.state() if self.beat is not None else None
        return (rows, beat, self.open(), board.mode, board.status, board.identity, board.lost, self.reverted)


EVENTS: dict[EventKind, list[tuple[int, int]]] = {  # channel and value, of which each has to show
    EventKind.DETECTOR: [(1, 1)],
    EventKind.PHASE_GREEN: [(2, 1)],
    EventKind.PHASE_YELLOW: [(2, 1)],
    EventKind.PHASE_RED: [(2, 1)],
    EventKind.INPUT: [(3, 1), (3, 0)],
    EventKind.DETECTOR_FAULT: [(channel, int(bit)) for channel in (1, 9) for bit in DetectorFault],
    EventKind.PED: [(2, 1), (2, 2), (2, 0)],
    EventKind.SIGNAL_MODE: [(0, int(mode)) for mode in SignalMode],
    EventKind.ANALOG: [(4, 512)],
    EventKind.TERMINATION: [(2, int(why)) for why in Termination],
    EventKind.CALL: [(2, 1)],
    EventKind.PED_CALL: [(2, 1)],
    EventKind.PREEMPT: [(1, 1), (1, 2)],
    EventKind.OVERLAP: [(1, 1), (1, 2), (1, 0)],
}


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_shows(kind: EventKind) -> None:
    assert kind in EVENTS, f"the message table has a new kind of event, {kind.name}: which room takes it?"
    for channel, value in EVENTS[kind]:
        with_it, without = Told(beat=signal_beat()), Told(beat=signal_beat())
        if kind in (EventKind.PHASE_YELLOW, EventKind.PHASE_RED):  # they end a green
            for told in (with_it, without):
                told.event(EventKind.PHASE_GREEN, channel, ms=100)
        if kind is EventKind.PED and value != 1:  # it ends a walk
            for told in (with_it, without):
                told.event(EventKind.PED, channel, 1, ms=100)
        with_it.event(kind, channel, value)
        assert (with_it.step()[4:], with_it.said()[:4]) != (without.step()[4:], without.said()[:4]), (channel, value)


def test_who_waits_and_why_a_green_ended_disturbs_no_step() -> None:
    """Of a board that is actuated, told to a node without a policy for each second."""
    with_them, without = Told(), Told()
    for told in (with_them, without):
        told.event(EventKind.PHASE_GREEN, 2, ms=100)
        told.event(EventKind.DETECTOR, 1, 1, ms=300)
        told.event(EventKind.DETECTOR, 1, 0, ms=350)
    for kind in (EventKind.TERMINATION, EventKind.CALL, EventKind.PED_CALL, EventKind.OVERLAP):
        with_them.event(kind, 2, 1, ms=400)
    assert with_them.step()[3:] == without.step()[3:]
    assert [r.kind for r in with_them.ledger.rows] == []
    assert with_them.open() == without.open() == set()


def test_a_preemption_is_a_condition_until_it_is_over() -> None:
    told = Told()
    told.event(EventKind.PREEMPT, 1, 1)
    told.event(EventKind.PREEMPT, 1, 2)
    assert told.open() == {("signal_preempted", "board")}
    told.event(EventKind.PREEMPT, 1, 0)
    assert told.open() == set()


@pytest.mark.parametrize("flag", Flag)
def test_every_flag_of_a_status_shows(flag: Flag) -> None:
    with_it, without = Told(), Told()
    for _ in range(2 * UNHEARD_STATUSES):
        with_it.hear(with_it.status(WELL | flag))
        without.hear(without.status(WELL & ~flag))
    if flag is Flag.HOST_PLAN:
        with_it.hear(with_it.status())
        assert with_it.reverted == 1
    else:
        assert (with_it.open(), with_it.board.mode) != (without.open(), without.board.mode)


@pytest.mark.parametrize("kind", FROM_BOARD.values())
def test_every_message_of_a_board_shows(kind: type) -> None:
    made: dict[type, Heard] = {
        Identity: Identity(2, 0, 0, 1, 0, "board-1", 8, 2, 8192),
        Event: Event(1, 1000, 1, 1, 1),
        Status: Status(5000, 1, 1, 0, 0, 0, 0, WELL),
        PlanResult: PlanResult(1, int(PlanCode.CONFLICT), 2),
    }
    assert kind in made, f"the message table has a new message, {kind.__name__}: which room takes it?"
    told = Told()
    before = told.said(), told.board.received
    told.hear(made[kind])
    assert (told.said(), told.board.received) != before


@pytest.mark.parametrize("code", PlanCode)
def test_every_refusal_of_a_plan_is_told_by_its_name(code: PlanCode) -> None:
    told = Told()
    told.hear(PlanResult(1, int(code), 2))
    alerts = [r.detail["what"] for r in told.ledger.rows]
    assert alerts == ([] if code is PlanCode.OK else [f"the board refused the plan: {code.name.lower()}"])
    assert told.reverted == (code is not PlanCode.OK)


def test_a_tripped_conflict_monitor_is_severe_until_it_is_reset() -> None:
    told = Told()
    told.event(EventKind.SIGNAL_MODE, 0, int(SignalMode.FAULT))
    (condition,) = told.ledger.conditions()
    assert (condition.code, condition.severe) == ("signal_fault", True)
    told.hear(told.status(WELL | Flag.SIGNAL_FAULT))
    assert told.board.mode == "fault"
    assert len([r for r in told.ledger.rows if r.kind is Kind.ALERT]) == 1
    told.event(EventKind.SIGNAL_MODE, 0, int(SignalMode.FLASH))
    assert told.open() == set()
    assert told.board.mode == "flash"


def test_a_fault_that_only_the_status_tells_is_told_too_and_ends_with_it() -> None:
    told = Told()
    told.hear(told.status(WELL | Flag.SIGNAL_FAULT))
    assert told.open() == {("signal_fault", "board")}
    told.hear(told.status(WELL | Flag.SIGNALS))
    assert told.open() == set()
    assert told.board.mode == "run"


def test_a_detectors_trouble_is_one_condition_whoever_saw_it_first() -> None:
    told = Told()
    told.step()
    told.event(EventKind.DETECTOR_FAULT, 1, int(DetectorFault.STUCK_ON))
    told.event(EventKind.DETECTOR, 1, 1)
    assert told.step().qualities == [Quality.STUCK_ON]  # of fifteen minutes without release
    assert told.open() == {("detector_stuck_on", "det/1")}
    told.event(EventKind.DETECTOR_FAULT, 1, 0)
    assert told.open() == {("detector_stuck_on", "det/1")}, "its edges still say so"
    told.event(EventKind.DETECTOR, 1, 0)
    told.step()
    assert told.step().qualities == [Quality.GOOD]
    assert told.open() == set()
    assert len([r for r in told.ledger.rows if r.kind is Kind.ALERT]) == 2


def test_a_kind_of_a_newer_board_is_told_once_and_counted() -> None:
    told = Told()
    for _ in range(5):
        told.event(77)
    alerts = [r.detail["what"] for r in told.ledger.rows]
    assert len(alerts) == 1
    assert "event kind 77" in str(alerts[0])
    assert told.board.state()["unknown"] == [(77, 5)]


def test_walks_inputs_and_analogue_values_have_rows_of_their_own() -> None:
    told = Told()
    told.step()
    told.event(EventKind.PED, 2, 1, ms=1000)
    told.event(EventKind.PED, 2, 2, ms=8000)
    for ms, value in ((9000, 1), (9500, 0), (9600, 1)):
        told.event(EventKind.INPUT, 3, value, ms=ms)
    for ms, value in ((10_000, 100), (11_000, 300)):
        told.event(EventKind.ANALOG, 4, value, ms=ms)
    extras = {e.name: e for e in told.step().extras}
    assert (extras["phase/2/walk"].value, extras["phase/2/walk"].unit) == (7.0, "s")
    assert (extras["input/3"].value, extras["input/3"].detail) == (2.0, {"closed": True})
    assert extras["analog/4"].value == 200.0
    quiet = {e.name: e for e in told.step().extras}
    assert quiet["input/3"].value == 0.0
    assert (quiet["analog/4"].value, quiet["analog/4"].quality) == (None, Quality.MISSING)


def test_a_board_that_does_not_hear_this_node_is_a_condition_severe_where_it_drives_a_signal() -> None:
    for drives in (True, False):
        told = Told(drives_signal=drives)
        for _ in range(UNHEARD_STATUSES - 1):
            told.hear(told.status(int(Flag.FAIL_SAFE)))
        assert told.open() == set(), "just after HELLO every board says so"
        told.hear(told.status(int(Flag.FAIL_SAFE)))
        (condition,) = told.ledger.conditions()
        assert (condition.code, condition.severe) == ("fail_safe", drives)
        told.hear(told.status())
        assert told.open() == set()


def test_a_board_that_restarts_within_a_step_gives_its_number_once_more() -> None:
    told = Told()
    first = told.step().grid
    told.event(EventKind.DETECTOR)
    told.clock.now_ns = told.ms * 1_000_000
    told.hear(Identity(2, 0, 0, 1, 0, "board-1", 8, 2, 8192))
    (cut,) = (c for c in told.board.closed() if isinstance(c, Step))
    assert (cut.grid, cut.qualities) == (first + 1, [Quality.GAP])
    told.seq = 1
    told.ms += 5000
    told.hear(told.status())
    told.ms += STEP - 5000
    told.hear(told.status())
    assert [c.grid for c in told.board.closed() if isinstance(c, Step)] == [first + 1]


def test_lost_events_are_told_with_the_time_between_which_they_happened() -> None:
    told = Told()
    told.hear(Gap(1, 5))
    told.seq = 6
    told.event(EventKind.DETECTOR, ms=2000)
    (loss,) = (c for c in told.board.closed() if isinstance(c, Loss))
    assert (loss.datastream, loss.value, loss.unit) == ("board/events", 5.0, "{event}")
    assert told.board.lost == 5
