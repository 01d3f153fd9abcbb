"""Faults of docs/signal-safety.md that no other test makes: a damaged table, a stuck button, a tick that is late."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest

from tests.firmware_bridge.test_board_process import Host
from tests.firmware_bridge.test_signal_plan import SPEED, answer, known, lengths, seen, table
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.line.messages import EventKind, PlanCode, SignalMode

PAGE = Path(__file__).parents[2] / "docs" / "signal-safety.md"


async def with_table(board: BoardProcess) -> None:
    host = Host()
    async with host.on(board.port):
        await known(host)
        assert await answer(host, host.link.plan_table(2, table(), store=True), 2) == PlanCode.OK


@pytest.mark.parametrize("at", [0, 6, 40])
async def test_a_damaged_table_in_memory_is_never_run(tmp_path: Path, at: int) -> None:
    host = Host()
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        await with_table(board)
        board.stop(signal.SIGKILL)
        memory = bytearray((tmp_path / "board.nv").read_bytes())
        memory[at] ^= 0x10
        (tmp_path / "board.nv").write_bytes(memory)
        board.start()
        async with host.on(board.port):
            await known(host)
            await asyncio.sleep(0.5)  # twelve seconds of the board's
            assert board.wait("")["signal_mode"] == SignalMode.FLASH
            assert host.link.identity is not None
            assert host.link.identity.table == 0
            assert seen(host, EventKind.SIGNAL_MODE) == []


async def test_a_button_that_stays_closed_brings_one_walk(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        await with_table(board)
        board.stop()
        (tmp_path / "feed.csv").write_text(f"1000,{EventKind.INPUT.value},9,1\n")
        board.start()
        async with host.on(board.port):
            await host.until(lambda: len(lengths(host, 2, EventKind.PHASE_RED)) >= 3, 60)
    assert [m.value for m in seen(host, EventKind.PED, 2)] == [1, 2, 0]


async def test_a_tick_that_is_late_makes_every_time_longer_never_shorter(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        await with_table(board)
        async with host.on(board.port):
            assert board.process is not None
            for _ in range(12):
                board.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.15)  # four seconds of the board's
                board.process.send_signal(signal.SIGCONT)
                await host.until(lambda: True)
                await asyncio.sleep(0.1)
            await host.until(lambda: len(lengths(host, 4, EventKind.PHASE_YELLOW)) > 1, 60)
    for phase, yellow_ms, green_ms in ((2, 4000, 12_000), (4, 3500, 8000)):
        assert all(length >= yellow_ms for length in lengths(host, phase, EventKind.PHASE_YELLOW))
        assert all(length >= green_ms for length in lengths(host, phase, EventKind.PHASE_GREEN))


def test_every_fault_of_the_page_names_its_reaction_and_a_test() -> None:
    """That the tests exist is held for every page by tests/docs/test_docs.py."""
    section = PAGE.read_text().split("## Faults")[1].split("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    faults = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]
    assert len(faults) >= 20
    for fault in faults:
        assert len(fault) == 5, fault
        assert re.fullmatch(r"(`tests/firmware_bridge/test_\w+\.py::test_\w+`(, )?)+|\(none\)", fault[4]), fault
        assert fault[4] != "(none)" or fault[1].startswith("not detected"), fault
