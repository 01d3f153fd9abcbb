"""The node's decider with the beat of the line: what it hears from a board, what it asks, and the row of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.edge.scripted_beat import NAME, Answer, scripted, signal, signal_beat
from tests.edge.test_ledger import Hand
from wayside.contracts.actuator_config import BeatConfig
from wayside.contracts.beat import Ask, Head, Known, Maxima, Request, Shows
from wayside.contracts.node_config import read_node_config
from wayside.contracts.reading import Stamp
from wayside.contracts.why import sentence
from wayside.contracts.wire import ContractError
from wayside.edge.beat import FIRST_REQUEST, LATE_S
from wayside.edge.configuration.check import check_file
from wayside.edge.doctor.status_lines import lines
from wayside.edge.guard.beat import FAILURES, Step
from wayside.edge.guard.comparison import LetGo
from wayside.edge.guard.tally import State
from wayside.edge.ledger import Ledger
from wayside.edge.node import Node
from wayside.edge.policies.policy import check_beat
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.frames import Decoder
from wayside.firmware_bridge.line.messages import (
    Action,
    Event,
    EventKind,
    PhaseTimes,
    PlanCode,
    PlanResult,
    SignalRequest,
    Termination,
    decode,
)

GREEN, RED = EventKind.PHASE_GREEN, EventKind.PHASE_RED
HOLD = Request(Ask.HOLD, 2)
AT = Stamp(boot="0" * 32, mono_ns=900_000_000_000)


class Street:
    """A decider, and the board that it hears."""

    def __init__(self, answer: Answer = lambda *_: (HOLD,), **other: Any) -> None:
        self.clock = Hand()
        self.ledger = Ledger("n", "0" * 32, self.clock)
        self.beat = signal_beat(answer, self.ledger, self.clock, **other)
        self.beat.trouble = None
        self.ms = 0
        self.beat.begin(0, whole=True)

    def tell(self, kind: int, channel: int, value: int = 1) -> None:
        self.beat.hear(Event(1, self.ms, int(kind), channel, value))

    def run(self, seconds: int) -> None:
        for _ in range(10 * seconds):
            self.ms += 100
            self.clock.now_ns = self.ms * 1_000_000
            self.beat.pass_time(self.ms)

    def asked(self) -> list[Any]:
        return [asked for _, asked in self.beat.take()]

    def row(self) -> dict[str, Any]:
        self.beat.write(AT)
        return dict(self.ledger.rows[-1].detail)


def test_what_the_policy_asks_for_goes_over_the_line_under_a_number_of_its_own() -> None:
    street = Street(lambda *_: (HOLD, Maxima({2: 40.0})))
    street.tell(GREEN, 2)
    street.run(1)
    sent = street.beat.take()
    assert [asked for _, asked in sent] == [HOLD, Maxima({2: 40.0, 4: 45.0})]
    assert [number for number, _ in sent] == [FIRST_REQUEST + 1, FIRST_REQUEST + 2]
    frames = b"".join(BoardLink().request(number, asked) for number, asked in sent)
    messages = [decode(payload) for payload in Decoder().feed(frames)]
    assert messages[0] == SignalRequest(FIRST_REQUEST + 1, Action.HOLD, 2)
    assert isinstance(messages[1], PhaseTimes)
    assert (messages[1].cycle, [tuple(g) for g in messages[1].greens]) == (0, [(2, 400), (4, 450)])


def test_the_policy_is_asked_once_a_second_of_the_boards_clock_with_the_picture_of_that_second() -> None:
    seen: list[tuple[int, Shows]] = []
    street = Street(lambda ms, heads, loops, known: seen.append((ms, heads[2].shows)) or ())  # type: ignore[func-returns-value]
    street.clock.now_ns = 3_000_000_000  # all of it comes at once
    street.beat.hear(Event(1, 500, int(GREEN), 2, 1))
    street.beat.hear(Event(2, 2500, int(EventKind.PHASE_YELLOW), 2, 1))
    street.beat.pass_time(4000)
    assert seen == [(1000, Shows.GREEN), (2000, Shows.GREEN), (3000, Shows.YELLOW), (4000, Shows.YELLOW)]


def test_it_knows_what_the_tasks_expect_by_channel_and_for_as_long_as_it_holds() -> None:
    knew: list[Known] = []

    def answer(ms: int, heads: Any, loops: Any, known: Known) -> list[Request]:
        knew.append(known)
        return []

    street = Street(answer)
    street.beat.know({"det/1": 150.0, "another": 3.0, "det/2": None}, 900)
    street.run(1)
    assert knew[-1].flows_veh_h == {1: 600.0}
    assert knew[-1].hour is not None
    street.run(1805)
    assert knew[-1].flows_veh_h == {}


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (lambda street: setattr(street.beat, "trouble", "the board does not hear this node"), "does not hear"),
        (lambda street: street.tell(EventKind.PREEMPT, 1, 1), "preempted"),
        (lambda street: street.beat.lose(), "has not told what phase"),
    ],
)
def test_it_rests_while_the_board_cannot_be_asked_and_says_why(happens: Any, why: str) -> None:
    street = Street()
    street.tell(GREEN, 2)
    street.run(1)
    assert street.asked() == [HOLD]
    happens(street)
    street.run(3)
    assert street.asked() == [Request(Ask.RELEASE, 2)]
    assert street.beat.shown()["state"] == "blind"
    assert why in street.beat.shown()["why"]


def test_after_a_gap_it_waits_until_a_green_tells_what_the_ring_shows() -> None:
    street = Street()
    street.tell(GREEN, 2)
    street.run(1)
    street.beat.lose()
    street.run(2)
    assert street.beat.shown()["state"] == "blind"
    street.tell(GREEN, 4)
    street.run(1)
    assert street.beat.shown()["state"] == "in_force"


def test_words_that_come_late_are_no_picture_of_now() -> None:
    street = Street()
    street.tell(GREEN, 2)
    street.run(1)
    street.asked()
    street.beat._time.observe(street.ms, street.clock.mono_ns())
    street.clock.now_ns += int((LATE_S * street.clock.speed + 60) * 1e9)
    street.beat.pass_time(street.ms + 5000)
    assert street.asked() in ([], [Request(Ask.RELEASE, 2)])


def test_a_refusal_of_the_board_is_counted_and_told_in_the_row() -> None:
    street = Street()
    street.tell(GREEN, 2)
    street.run(1)
    ((number, _),) = street.beat.take()
    assert street.beat.answer(PlanResult(number, int(PlanCode.STARVES), 4))
    assert not street.beat.answer(PlanResult(7, int(PlanCode.OK), 0))  # of green times
    row = street.row()
    assert row["board_refused"] == "starves:1"
    assert row["refused_by"] == "board:1"
    assert row["first_refused"] == "the board refused hold of phase 2: starves"


def test_one_row_a_summary_interval_whose_sentence_has_the_rows_numbers() -> None:
    def answer(ms: int, heads: Mapping[int, Head], *_: Any) -> list[Request]:
        return [HOLD, Request(Ask.FORCE_OFF, 4)]

    street = Street(answer)
    street.tell(GREEN, 2)
    street.run(12)
    street.tell(EventKind.PHASE_YELLOW, 2)
    street.tell(EventKind.TERMINATION, 2, int(Termination.GAP_OUT))
    street.run(3)
    row = street.row()
    assert len(street.ledger.rows) == 1
    assert row["asked_hold"] == 3  # at once, and twice again
    assert (row["seconds"], row["in_force_s"], row["refused"]) == (15, 15, 18)
    assert row["greens_ended"] == "gap_out:1"
    assert row["greens"] == "2:12.0"
    assert sentence(street.ledger.rows[0]) == (
        "At signal the policy scripted was in force for 15 s of 15 s; the guard let it ask 3 times to hold a green and "
        "refused 18 requests, the first because phase 4 is not green: nothing can be ended."
    )
    street.beat.write(AT)
    assert len(street.ledger.rows) == 1  # nothing has happened since


def test_a_policy_that_fails_is_a_condition_until_it_answers_again() -> None:
    def answer(ms: int, *_: Any) -> list[Request]:
        if ms < 20_000:
            raise ValueError("no such lane")
        return []

    street = Street(answer)
    street.run(FAILURES + 1)
    (condition,) = street.ledger.conditions()
    assert (condition.code, condition.subject, condition.severe) == ("policy_failed", "signal", True)
    assert "no such lane" in condition.message
    street.run(60)
    assert not street.ledger.conditions()


def test_a_restart_of_the_agent_goes_on_with_the_same_picture() -> None:
    street = Street()
    street.tell(GREEN, 2)
    street.tell(EventKind.CALL, 4)
    street.tell(EventKind.DETECTOR, 2)
    street.run(2)
    again = Street()
    again.beat.restore(street.beat.state())
    assert again.beat.state() == street.beat.state()
    again.ms = street.ms
    again.run(1)
    assert again.asked() == [HOLD]


@pytest.mark.parametrize("state", [None, {}, {"watch": 3}, {"watch": {"heads": [[2, 9]], "loops": []}, "next_ms": 1}])
def test_a_state_that_cannot_be_read_is_a_picture_that_is_not_whole(state: Any) -> None:
    street = Street()
    street.beat.restore(state)
    street.run(1)
    assert street.beat.shown()["state"] in ("blind", "in_force")


# --- configuration ----------------------------------------------------------------------------------

FILE = """
node = "n"
state_dir = "s"
[board]
port = "/dev/ttyX"
[[actuators]]
name = "signal"
kind = "signal"
cycle_s = 60
phases = [
  { phase = 2, green_s = 26, min_green_s = 8, max_green_s = 45, yellow_s = 3, red_clearance_s = 1 },
  { phase = 4, green_s = 26, min_green_s = 8, max_green_s = 45, yellow_s = 3, red_clearance_s = 1, conflicts = [OTHER]},
]
loops = [
  { channel = 1, phase = 2, lane = 0, at_m = 3 },
  { channel = CHANNEL, phase = PHASE, also = [ALSO], lane = 1, at_m = 3, function = "FUNCTION" },
]
beat = { policy = "scripted", settings = { hold_s = 4 } }
"""
GOOD = {"OTHER": "2", "CHANNEL": "2", "PHASE": "4", "ALSO": "2", "FUNCTION": "stop_line"}


def written(**other: str) -> str:
    text = FILE
    for name, value in {**GOOD, **other}.items():
        text = text.replace(name, value)
    return text


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"OTHER": "7"}, "$.actuators[0].phases[1].conflicts[0]"),
        ({"CHANNEL": "1"}, "$.actuators[0].loops[1].channel"),
        ({"PHASE": "6"}, "$.actuators[0].loops[1].phase"),
        ({"ALSO": "6"}, "$.actuators[0].loops[1].also[0]"),
        ({"ALSO": "4"}, "$.actuators[0].loops[1].also[0]"),
        ({"FUNCTION": "stopline"}, "$.actuators[0].loops[1].function"),
    ],
)
def test_each_mistake_of_loops_is_named_by_its_field(other: dict[str, str], field: str) -> None:
    with pytest.raises(ContractError) as refused:
        read_node_config(written(**other))
    assert field in [where for where, _ in refused.value.mistakes]


def test_a_beat_without_a_loop_at_a_stop_line_and_a_task_beside_it_are_refused() -> None:
    no_line = written(FUNCTION="advance").replace(
        "at_m = 3 },\n  { channel = 2", 'at_m = 3, function = "middle" },\n  { channel = 2'
    )
    with pytest.raises(ContractError) as refused:
        read_node_config(no_line)
    assert [where for where, _ in refused.value.mistakes] == ["$.actuators[0].beat"]
    task = '[[tasks]]\nname = "flow"\nbundle = "b"\ninterval_s = 900\npolicy = "signal_timing"\nactuator = "signal"\n'
    site = 'sites = [{ output = "det/1" }]\n[[detectors]]\nchannel = 1\ndatastream = "det/1"\n'
    with pytest.raises(ContractError) as refused:
        read_node_config(written() + task + site)
    assert "$.actuators[0].beat" in [where for where, _ in refused.value.mistakes]


def test_a_policy_that_there_is_not_and_its_wrong_settings_are_sentences() -> None:
    assert read_node_config(written()).config.signal is not None
    assert "there is no policy 'scripted'" in check_beat(signal())[0]
    with scripted():
        assert check_beat(signal()) == []
        wrong = BeatConfig(policy=NAME, settings={"hold_s": "long", "other": 1})
        assert [m.split(": ")[1] for m in check_beat(signal(beat=wrong))] == ["settings.hold_s", "settings.other"]


def test_the_check_of_a_file_names_the_policy_and_each_setting_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(written())
    assert [field for field, _ in check_file(path).mistakes] == ["$.actuators[0].beat.policy"]
    path.write_text(written().replace("hold_s = 4", 'hold_s = "long", other = 1'))
    with scripted():
        checked = check_file(path).mistakes
    assert [field for field, _ in checked] == [
        "$.actuators[0].beat.settings.hold_s",
        "$.actuators[0].beat.settings.other",
    ]


def test_a_node_whose_beat_policy_does_not_fit_runs_without_it_and_says_so() -> None:
    config = read_node_config(written()).config
    node = Node(config, Hand(), "0" * 32)
    node.pass_time()
    assert [(c.code, c.subject) for c in node.ledger.conditions()] == [("policy_failed", "signal")]
    assert node.requests() == []
    assert node.beat() is None


def test_the_status_says_whether_the_policy_is_in_force_and_why_not() -> None:
    street = Street()
    street.beat.trouble = "the board does not hear this node"
    street.run(1)
    (line,) = [each for each in lines({"beat": street.beat.shown()}, age_s=0, runs=True) if each.startswith("signal")]
    assert line.endswith("policy scripted cannot be asked: the board does not hear this node")


def test_a_policy_that_is_let_go_is_a_condition_with_its_numbers_until_it_is_tried_again() -> None:
    street = Street()
    let_go = LetGo("vehicles waited 40 % longer than without it", 1.4, 12, 3600.0)
    street.beat._tell(Step((), State.LET_GO, let_go.why, (), let_go))
    (row,) = street.ledger.rows
    assert (row.detail["ratio"], row.detail["comparisons"], row.detail["away_s"]) == (1.4, 12, 3600.0)
    assert "40 % longer" in str(row.detail["what"])
    street.beat._tell(Step((), State.LET_GO))
    assert street.ledger.holds("signal_let_go", "signal")
    street.beat._tell(Step((), State.RESTS))
    assert not street.ledger.holds("signal_let_go", "signal")
