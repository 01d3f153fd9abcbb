"""Every conversation with a board has one rhythm: HELLO, heartbeats, and silence that is noticed."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware_bridge.test_link import BOOT, event, identity, said, status
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.errors import BoardSilent, LineLost, PortLent
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.conversation import HEARTBEAT_S, HELLO_S, SILENT_S, Rhythm, open_conversation
from wayside.firmware_bridge.line.messages import Event, Heartbeat, Hello, Status


def spoken(rhythm: Rhythm, now_s: float) -> list[messages.Message]:
    return [messages.decode(payload) for payload in frames.Decoder().feed(rhythm.speak(now_s))]


def test_a_port_where_no_board_has_answered_hears_a_hello_a_second_and_nothing_else() -> None:
    rhythm = Rhythm("port", BoardLink())
    heard = [m for tenth in range(0, 31) for m in spoken(rhythm, tenth / 10)]
    assert [type(m) for m in heard] == [Hello] * (1 + int(3.0 / HELLO_S))
    assert heard == [Hello(0, 0)] * len(heard)


def test_a_board_that_has_answered_gets_heartbeats_with_what_is_durable_now() -> None:
    durable = (BOOT, 7)
    link = BoardLink()
    rhythm = Rhythm("port", link, lambda: durable)
    assert spoken(rhythm, 0.0) == [Hello(BOOT, 7)]
    rhythm.receive(said(identity(), status(9, oldest=8, sent=7)), 0.01)
    assert spoken(rhythm, HEARTBEAT_S) == [Heartbeat(BOOT, 7)]
    rhythm.receive(said(event(8)), HEARTBEAT_S)
    durable = (BOOT, 8)
    assert spoken(rhythm, 1.5 * HEARTBEAT_S) == []
    assert spoken(rhythm, 2 * HEARTBEAT_S) == [Heartbeat(BOOT, 8)]


def test_who_says_nothing_of_durability_acknowledges_nothing() -> None:
    rhythm = Rhythm("port", BoardLink())
    rhythm.speak(0.0)
    rhythm.receive(said(identity(), status(2, oldest=1, sent=0), event(1)), 0.01)
    assert spoken(rhythm, HEARTBEAT_S) == [Heartbeat(BOOT, 0)]


def test_silence_is_told_once_a_span_of_silence_and_a_good_frame_ends_it() -> None:
    rhythm = Rhythm("/dev/ttyUSB9", BoardLink())
    rhythm.speak(10.0)
    assert rhythm.receive(b"", 10.0 + SILENT_S) == []
    with pytest.raises(BoardSilent, match="/dev/ttyUSB9 for 5 s"):
        rhythm.receive(b"noise\0noise\0", 10.1 + SILENT_S)
    assert rhythm.receive(b"", 10.2 + SILENT_S) == []
    rhythm.receive(said(identity()), 12.0 + SILENT_S)
    assert rhythm.heard_s == 12.0 + SILENT_S
    assert rhythm.receive(b"", 12.0 + 2 * SILENT_S) == []


@given(steps=st.lists(st.floats(0, 3, allow_nan=False), max_size=60), answered=st.booleans())
def test_whatever_the_pauses_something_is_said_when_it_is_due_and_never_sooner(
    steps: list[float], answered: bool
) -> None:
    rhythm, now_s, last_s = Rhythm("port", BoardLink(), silent_s=math.inf), 0.0, -math.inf
    if answered:
        rhythm.receive(said(identity(), status(1)), 0.0)
    every_s = HEARTBEAT_S if answered else HELLO_S
    for step_s in steps:
        now_s += step_s
        if rhythm.speak(now_s):
            assert now_s - last_s >= every_s - 1e-6
            last_s = now_s
        assert now_s - last_s <= every_s + 1e-6
        assert 0 <= rhythm.wait_s(now_s) <= HEARTBEAT_S


async def test_a_real_board_keeps_its_events_after_a_conversation_that_acknowledged_nothing(tmp_path: Path) -> None:
    edges = [(ms, 1, 1, ms // 50 % 2) for ms in range(0, 1000, 50)]
    with BoardProcess(tmp_path, edges) as board:
        for _ in range(2):
            events: list[Event] = []
            with open_conversation(board.port, 921_600, BoardLink("board-1")) as conversation:
                async with asyncio.timeout(30):
                    while len(events) < len(edges):
                        events += [m for m in await conversation.turn() if isinstance(m, Event)]
            assert [e.seq for e in events] == list(range(1, len(edges) + 1))


async def test_the_line_is_closed_when_whoever_wants_the_port_ends_the_conversation(tmp_path: Path) -> None:
    def lend() -> None:
        if conversation.link.identity is not None:
            raise PortLent("here")

    with BoardProcess(tmp_path) as board:
        with (
            pytest.raises(PortLent),
            open_conversation(board.port, 921_600, BoardLink(), before_heartbeat=lend) as conversation,
        ):
            async with asyncio.timeout(30):
                while True:
                    await conversation.turn()
        with pytest.raises(LineLost, match="closed"):
            conversation.send(b"\0")
        with open_conversation(board.port, 921_600, BoardLink()) as again:  # exclusive: it was free
            async with asyncio.timeout(30):
                while not any(isinstance(m, Status) for m in await again.turn()):
                    pass
