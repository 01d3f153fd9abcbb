"""What is wrong with the board's line is a condition: said when it begins, and when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import tty
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from tests.firmware_bridge.test_link import event, identity, said, status
from tests.simulators.board import BoardProcess
from wayside.contracts.beat import Ask, Maxima, Request
from wayside.contracts.sensor_config import BoardConfig
from wayside.edge.sensors import serial_board
from wayside.edge.sensors.serial_board import SerialBoard
from wayside.firmware_bridge.line import frames, noise
from wayside.firmware_bridge.line.board import Heard
from wayside.firmware_bridge.line.messages import PlanResult
from wayside.firmware_bridge.line.noise import MAX_ERRORS


class Owner:
    """A node that keeps what it hears and what it is told of conditions."""

    def __init__(self) -> None:
        self.durable = (0, 0)
        self.plan: dict[int, float] | None = None
        self.cycle_s: float | None = 60.0
        self.messages: list[Heard] = []
        self.conditions: list[tuple[str, str]] = []
        self.open: set[str] = set()
        self.severe: set[str] = set()
        self.asked: list[tuple[int, Request | Maxima]] = []

    def requests(self) -> list[tuple[int, Request | Maxima]]:
        asked, self.asked = self.asked, []
        return asked

    def receive(self, messages: Iterable[Heard]) -> None:
        self.messages += messages

    def begin(self, code: str, subject: str, message: str, *, severe: bool = True) -> None:
        assert (subject, message.isprintable()) == ("board", True)
        if code not in self.open:
            self.open.add(code)
            self.conditions.append((code, "began"))
            if severe:
                self.severe.add(code)

    def end(self, code: str, subject: str) -> None:
        assert subject == "board"
        if code in self.open:
            self.open.remove(code)
            self.conditions.append((code, "over"))


@contextlib.asynccontextmanager
async def running(port: str, owner: Owner) -> AsyncIterator[SerialBoard]:
    board = SerialBoard(BoardConfig(port=port, baud=921_600, identity="board-1"), owner, owner, lambda: False)
    task = asyncio.create_task(board.run())
    try:
        yield board
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not board.connected


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 -- what is waited for happens in a task that knows nothing of it
            await asyncio.sleep(0.01)


def has_bytes(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


@pytest.fixture
def line(tmp_path: Path) -> Iterable[tuple[int, Path]]:
    """The board's end, and the port."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    (tmp_path / "port").symlink_to(os.ttyname(slave))
    yield master, tmp_path / "port"
    os.close(master)
    os.close(slave)


async def test_noise_beyond_the_budget_is_told_once_and_its_end_too(
    line: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "WINDOW_S", 1.0)
    owner = Owner()
    async with running(str(line[1]), owner) as board:
        await until(lambda: has_bytes(line[0]))  # HELLO: the port is open
        os.write(line[0], said(identity(), status(2, oldest=1, sent=0), event(1)) + b"damaged frame\0" * MAX_ERRORS)
        await until(lambda: board.decode_errors == MAX_ERRORS)
        assert owner.conditions == []
        os.write(line[0], frames.encode(b"\x7f"))  # a good frame whose id nobody knows
        await until(lambda: owner.conditions == [("line_noisy", "began")])
        await until(lambda: owner.conditions == [("line_noisy", "began"), ("line_noisy", "over")])
    assert "line_noisy" not in owner.severe
    assert event(1) in owner.messages


async def test_noise_of_an_earlier_run_is_over_after_a_quiet_window(
    line: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "WINDOW_S", 0.2)
    owner = Owner()
    owner.begin("line_noisy", "board", "before the restart", severe=False)
    async with running(str(line[1]), owner):
        await until(lambda: has_bytes(line[0]))
        os.write(line[0], said(identity(), status(2, oldest=1, sent=0)))
        assert "line_noisy" in owner.open
        await until(lambda: "line_noisy" not in owner.open)


async def test_a_board_that_is_never_reached_is_lost_too_and_found_when_it_talks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_board, "ABSENT_S", 0.2)
    owner, port = Owner(), tmp_path / "later"
    async with running(str(port), owner):
        await until(lambda: owner.conditions == [("line_lost", "began")])
        with BoardProcess(tmp_path) as board:
            port.symlink_to(board.port)
            await until(lambda: owner.conditions == [("line_lost", "began"), ("line_lost", "over")])


async def test_a_request_is_answered_under_its_own_number(tmp_path: Path) -> None:
    owner = Owner()
    owner.asked = [(0x8001, Request(Ask.HOLD, 2)), (0x8002, Maxima({2: 20.0}))]
    with BoardProcess(tmp_path) as board:
        async with running(board.port, owner):
            await until(lambda: len([m for m in owner.messages if isinstance(m, PlanResult)]) == 2)
    assert [m.request for m in owner.messages if isinstance(m, PlanResult)] == [0x8001, 0x8002]
    assert not owner.asked


async def test_a_plan_waits_for_the_board_and_one_that_no_message_can_say_is_a_condition(tmp_path: Path) -> None:
    owner = Owner()
    owner.plan = {1: 1e9}
    with BoardProcess(tmp_path) as board:
        async with running(board.port, owner):
            await until(lambda: owner.conditions == [("plan_unsendable", "began")])
            owner.plan = {1: 20.0}
            await until(lambda: any(isinstance(m, PlanResult) for m in owner.messages))
    assert owner.conditions == [("plan_unsendable", "began"), ("plan_unsendable", "over")]
