"""The host's end of the line, told what a board would say: no event twice, none silently missing, no stranger."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware_bridge.test_frames import damaged
from wayside.firmware_bridge.errors import MessageError, WrongBoard
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.board import PATIENCE, STRANGER_BYTES, BoardLink, Gap
from wayside.firmware_bridge.line.messages import (
    PROTOCOL,
    SCHEMA,
    Event,
    Heartbeat,
    Hello,
    Identity,
    PlanResult,
    Status,
)

BOOT = 5


def said(*spoken: messages.Message) -> bytes:
    return b"".join(frames.encode(messages.encode(m)) for m in spoken)


def asked(data: bytes) -> messages.Message:
    [payload] = frames.Decoder().feed(data)
    return messages.decode(payload)


def identity(boot: int = BOOT, board: str = "board-1", schema: int = SCHEMA) -> Identity:
    return Identity(PROTOCOL, schema, 1, 0, 0, board, boot, 1, 8192)


def status(
    next_seq: int, oldest: int | None = None, sent: int | None = None, acked: int = 0, ms: int = 0, flags: int = 9
) -> Status:
    oldest = next_seq if oldest is None else oldest
    return Status(ms, next_seq, oldest, next_seq - 1 if sent is None else sent, acked, 0, 0, flags)


def event(seq: int, ms: int | None = None) -> Event:
    return Event(seq, seq * 10 if ms is None else ms, 1, 3, 1)


def linked(link: BoardLink | None = None, ack: int = 0, boot: int | None = None) -> BoardLink:
    link = link or BoardLink("board-1")
    link.hello(ack, boot)
    link.receive(said(identity(), status(ack + 1, sent=ack)))
    return link


def test_events_pass_once_and_in_order() -> None:
    link = linked()
    assert link.receive(said(event(1), event(2), event(1), event(2), event(3))) == [event(1), event(2), event(3)]
    assert (link.received.events, link.received.duplicates) == (3, 2)


def test_a_frame_lost_on_the_line_is_asked_for_again_and_is_no_gap() -> None:
    link = linked()
    assert link.receive(said(event(1), event(3), event(4))) == [event(1)]
    assert link.received.out_of_order == 2
    assert asked(link.heartbeat(1)) == Hello(BOOT, 1)
    assert link.receive(said(identity(), status(5, oldest=2, sent=1), event(2), event(3), event(4)))[2:] == [
        event(2),
        event(3),
        event(4),
    ]
    assert asked(link.heartbeat(4)) == Heartbeat(BOOT, 4)


def test_the_last_event_lost_on_the_line_is_missed_by_the_next_status() -> None:
    link = linked()
    link.receive(said(event(1), status(3, oldest=1, sent=2)))
    assert asked(link.heartbeat(0)) == Hello(BOOT, 0)


def test_what_the_board_no_longer_has_is_one_gap_with_both_ends() -> None:
    link = linked()
    heard = link.receive(said(event(1), status(20, oldest=11, sent=10), event(11)))
    assert heard[0] == event(1)
    assert heard[1] == Gap(2, 10)
    assert heard[3] == event(11)
    assert (link.received.gaps, link.received.lost) == (1, 9)


def test_a_host_that_remembers_goes_on_behind_its_durable_event() -> None:
    link = BoardLink()
    assert asked(link.hello(40, BOOT)) == Hello(BOOT, 40)
    heard = link.receive(said(identity(), status(50, oldest=41, sent=40, acked=38), event(41)))
    assert [type(m) for m in heard] == [Identity, Status, Event]


def test_a_host_that_remembers_nothing_starts_behind_what_another_acknowledged() -> None:
    link = BoardLink()
    assert asked(link.hello()) == Hello(0, 0)
    heard = link.receive(said(identity(), status(50, oldest=31, sent=30, acked=30), event(31)))
    assert not any(isinstance(m, Gap) for m in heard)
    assert heard[-1] == event(31)


def test_a_seq_without_its_boot_is_refused_since_it_may_be_of_another_run() -> None:
    with pytest.raises(ValueError, match="boot"):
        BoardLink().hello(40)


def test_a_restarted_board_is_told_apart_from_duplicates_and_its_last_events_are_a_gap() -> None:
    link = linked()
    link.receive(said(event(1), status(4, oldest=1, sent=1)))
    link.hello(1)
    heard = link.receive(said(identity(boot=6), status(3, oldest=1, sent=0), event(1), event(2)))
    assert heard[0] == Gap(2, 3)
    assert isinstance(heard[1], Identity)
    assert heard[1].rebooted
    assert heard[3:] == [event(1), event(2)]
    assert link.boot == 6


def test_a_boards_restart_while_the_line_stays_up_is_noticed_from_its_unasked_identity() -> None:
    link = linked()
    link.receive(said(event(1)))
    link.receive(said(identity(boot=6)))
    # The agent's seq still is of boot 5: it is not acknowledged to boot 6.
    assert asked(link.heartbeat(1, boot=BOOT)) == Hello(6, 0)


def test_a_second_answer_to_a_repeated_hello_starts_nothing() -> None:
    link = linked()
    assert link.receive(said(event(1), identity(), status(2, oldest=1, sent=1), event(2)))[-1] == event(2)
    assert asked(link.heartbeat(2)) == Heartbeat(BOOT, 2)


def test_a_board_that_knows_no_hello_gets_one() -> None:
    link = linked()
    link.receive(said(event(1), status(2, oldest=1, sent=1, flags=2)))
    assert asked(link.heartbeat(1)) == Hello(BOOT, 1)


def test_numbers_that_run_back_make_the_link_ask_who_is_there() -> None:
    link = linked()
    link.receive(said(status(10, oldest=1, sent=0)))
    assert link.receive(said(status(2, oldest=1, sent=0))) == []
    assert isinstance(asked(link.heartbeat(0)), Hello)


def test_nothing_is_believed_between_hello_and_identity() -> None:
    link = linked()
    link.hello(0)
    assert link.receive(said(event(1), status(9, oldest=5, sent=8))) == []
    assert link.received.unasked == 2


def test_an_unanswered_hello_is_repeated() -> None:
    link = BoardLink()
    link.hello()
    spoken = [link.heartbeat(0) for _ in range(PATIENCE)]
    assert [type(asked(s)) for s in spoken] == [Heartbeat] * (PATIENCE - 1) + [Hello]


def test_an_acknowledgement_beyond_what_came_is_never_sent() -> None:
    link = linked()
    link.receive(said(event(1)))
    assert asked(link.heartbeat(99)) == Heartbeat(BOOT, 1)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (identity(board="board-2"), "board-2"),
        (identity(schema=1), "schema 00000001"),
        (identity()._replace(protocol=9), "protocol 9"),
    ],
)
def test_a_wrong_board_is_refused_by_name(answer: Identity, names: str) -> None:
    link = BoardLink("board-1")
    link.hello()
    with pytest.raises(WrongBoard, match=names):
        link.receive(said(answer))


def test_another_device_is_refused_and_the_message_shows_what_it_sent() -> None:
    link = BoardLink()
    link.hello()
    nmea = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9*47\r\n"
    with pytest.raises(WrongBoard, match=r"\$GPGGA"):
        for _ in range(STRANGER_BYTES):
            link.receive(nmea)


def test_the_boards_clock_does_not_jump_back_when_its_32_bits_wrap() -> None:
    link = BoardLink()
    link.hello()
    top = 2**32
    heard = link.receive(
        said(identity(), status(1, ms=top - 50), event(1, top - 40), event(2, 10), status(3, ms=20), event(3, top - 5))
    )
    times = [m.ms for m in heard if isinstance(m, (Event, Status))]
    assert times == [top - 50, top - 40, top + 10, top + 20, top - 5]


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(0, 2**33))
def test_unwrapped_times_differ_as_the_boards_do(steps: list[int], start: int) -> None:
    link = BoardLink()
    link.hello()
    link.receive(said(identity(), status(1, ms=start % 2**32)))
    times = [start]
    for seq, step in enumerate(steps, 1):
        times.append(times[-1] + step)
        [got] = link.receive(said(event(seq, times[-1] % 2**32)))
        assert isinstance(got, Event)
        assert got.ms - start % 2**32 == times[-1] - start


def test_of_many_thousand_damaged_events_none_is_passed_on() -> None:
    rng = random.Random(3)
    link = linked()
    for seq in range(1, 20_001):
        true = event(seq)
        assert [m for m in link.receive(b"\0" + damaged(said(true), rng)) if isinstance(m, Event)] == []
        assert link.receive(said(true)) == [true]
    assert link.counts.dropped >= 19_990


@given(st.binary(max_size=300), st.lists(st.binary(min_size=1, max_size=40)))
def test_hostile_bytes_and_hostile_frames_never_break_the_link(noise: bytes, payloads: list[bytes]) -> None:
    link = linked()
    link.receive(noise + b"\0" + b"".join(map(frames.encode, payloads)) + b"\0")
    assert asked(link.heartbeat(0)) in (Heartbeat(BOOT, 0), Hello(BOOT, 0)) or link.boot != BOOT


def test_a_plan_request_carries_tenths_of_seconds_and_its_answer_comes_back() -> None:
    link = linked()
    message = asked(link.phase_times(7, {2: 25.04, 6: 20}, 60))
    assert isinstance(message, messages.PhaseTimes)
    assert [tuple(g) for g in message.greens] == [(2, 250), (6, 200)]
    assert link.receive(said(PlanResult(7, 0, 0))) == [PlanResult(7, 0, 0)]


@pytest.mark.parametrize(
    "greens", [{1: float("nan")}, {1: float("inf")}, {1: -1.0}, {1: 1e6}, dict.fromkeys(range(17), 9.0)]
)
def test_times_that_cannot_be_said_are_refused(greens: dict[int, float]) -> None:
    with pytest.raises(MessageError):
        BoardLink().phase_times(1, greens, 60)
