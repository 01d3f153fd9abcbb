"""`wayside flash` through the Arduinos' own bootloaders, on emulated boards: a flash ends well, or says why not."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
import tty
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.firmware_bridge.test_board_process import Host
from tests.firmware_bridge.test_signal_plan import PLAN, answer, known, table
from tests.simulators.agent import ROOT, AgentProcess, node_toml
from tests.simulators.avr import AvrBoard, needs_avrdude, newer, program
from tests.simulators.interrupted import killed_then_run_again
from wayside.firmware_bridge.errors import BridgeError, FlashError, NotAgreed, WrongPart
from wayside.firmware_bridge.flash import avr as flash_avr
from wayside.firmware_bridge.flash.firmware_file import load_image
from wayside.firmware_bridge.flash.flash import Order, Plan, flash
from wayside.firmware_bridge.flash.record import Record
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.messages import PlanCode

pytestmark = needs_avrdude
CHIPS = ("atmega328p", "atmega2560")


def command(*args: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "wayside.py"), "flash", *map(str, args)]


def wayside(*args: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(command(*args), capture_output=True, text=True, env=environment, timeout=120, check=False)


def flashed(port: str, folder: Path, file: Path, **more: Any) -> Record:
    """Flash without a question; the record's file must say the same."""
    order = Order(port, file, records=folder / "records", **more)
    done = flash(order, lambda plan: True, lambda stage, part: None)
    assert done.path is not None
    assert json.loads(done.path.read_bytes())["outcome"] == "done"
    return done.record


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((folder / "records").glob("*.json"))]


def factory(board: AvrBoard, name: str, file: Path) -> None:
    """Give the board, which is off, ``file`` as its firmware and ``name``."""
    board.flash.write_bytes(load_image(file).named(name).data.ljust(32_768, b"\xff"))


def test_a_new_board_is_flashed_and_upgraded_while_the_agent_runs(tmp_path: Path) -> None:
    """v1 by the technician, events to the agent, v2 mid-service, events to the agent: each once, or counted as lost."""
    toml = node_toml("PORT", anchor_s=0, clock="system").replace("921600", '115200\nidentity = "WS-1"')
    with AvrBoard(tmp_path, "atmega328p", bootloader=True) as board:
        first = flashed(board.port, tmp_path, program("atmega328p").hex, board="WS-1")
        assert first.before is None
        assert first.after is not None
        assert (first.chip, first.after.board, first.after.firmware) == ("atmega328p", "WS-1", "2.1.0")
        with AgentProcess(tmp_path, toml.replace("PORT", board.port)) as agent:
            agent.wait(lambda a: a.status.get("board", {}).get("connected") is True)
            press(agent, board, 4)
            done = wayside(board.port, "--hex", newer("atmega328p").hex, "--yes", "--record", tmp_path / "records")
            assert done.returncode == 0, done.stderr
            agent.wait(lambda a: a.status["board"].get("firmware") == "3.0.1")
            press(agent, board, 6)
            assert agent.stop() == 0
            counters, log = agent.counters(), (tmp_path / "agent.log").read_text()
    assert "board 'WS-1' with firmware 3.0.1 runs" in done.stdout
    assert (counters["readings_received"], counters["readings_lost"]) == (10, 0)
    assert counters["readings_sent"] == 10, "no event was counted twice"
    assert log.count("board lent") == log.count("board returned") == 1
    second = records(tmp_path)[1]
    assert (second["before"]["firmware"], second["after"]["firmware"]) == ("2.1.0", "3.0.1")
    assert second["recovers"] is None


def press(agent: AgentProcess, board: AvrBoard, edges: int) -> None:
    """Edges of detector 1, each acknowledged before the next."""
    for _ in range(edges):
        before = agent.counters().get("readings_received", 0)
        board.level = not getattr(board, "level", False)  # type: ignore[attr-defined]
        board.tell(f"pin D 2 {int(not board.level)}")  # type: ignore[attr-defined]
        agent.wait(lambda a, before=before: a.counters().get("readings_received", 0) == before + 1)  # type: ignore[misc]


async def test_the_plan_table_outlives_a_flash(tmp_path: Path) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    factory(board, "WS-7", program("atmega328p").hex)
    with board:
        host = Host("WS-7")
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(2, table(PLAN), store=True), 2) == PlanCode.OK
        record = await in_thread(lambda: flashed(board.port, tmp_path, newer("atmega328p").hex))
    assert record.after is not None
    assert record.after.firmware == "3.0.1"
    assert record.after.board == "WS-7", "nobody said a name: it keeps its own"
    assert record.after.table == f"{zlib.crc32(table(PLAN)):08x}"


async def in_thread(what: Callable[[], Record]) -> Record:
    import asyncio

    return await asyncio.to_thread(what)


def test_the_chip_is_detected_and_another_bootloader_serves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash_avr, "SYNC_S", 8.0)
    monkeypatch.setattr("wayside.firmware_bridge.flash.flash.BEFORE_S", 1.0)  # it is new: nobody answers
    with AvrBoard(tmp_path, "atmega2560", bootloader=True) as board:
        done = flash(Order(board.port, records=tmp_path / "records"), lambda plan: True, lambda stage, part: None)
    assert done.record.chip == "atmega2560"
    assert done.record.after is not None
    assert [r["outcome"] for r in records(tmp_path)] == ["done"]


@pytest.mark.parametrize(("there", "given"), [CHIPS, pytest.param(*CHIPS[::-1], marks=pytest.mark.slow)])
def test_a_wrong_chip_is_refused_by_name_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, given: str
) -> None:
    monkeypatch.setattr(flash_avr, "SYNC_S", 8.0)
    monkeypatch.setattr("wayside.firmware_bridge.flash.flash.BEFORE_S", 1.0)  # it is new: nobody answers
    with AvrBoard(tmp_path, there, bootloader=True) as board:
        with pytest.raises(WrongPart, match=f"is an {there}, the firmware is for {given}: nothing was written"):
            flashed(board.port, tmp_path, program(given).hex)
        board.tell("keep")
        assert set(board.flash.read_bytes()[:16_384]) == {0xFF}
    assert [r["outcome"] for r in records(tmp_path)] == ["refused"]


def test_another_boards_name_is_refused_unless_it_is_renamed(tmp_path: Path) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    factory(board, "WS-7", program("atmega328p").hex)
    with board:
        with pytest.raises(WrongPart, match=r"'WS-7' answers at .*, not 'WS-8'.*--rename"):
            flashed(board.port, tmp_path, newer("atmega328p").hex, board="WS-8")
        assert board.holds(load_image(program("atmega328p").hex).named("WS-7"))
        done = wayside(board.port, "--hex", newer("atmega328p").hex, "--dry-run", "--id", "WS-8", "--rename")
        assert done.returncode == 0, done.stderr
        assert "would write" in done.stdout
        assert board.holds(load_image(program("atmega328p").hex).named("WS-7")), "a dry run writes nothing"
    assert records(tmp_path) == []


def test_json_of_a_file_with_any_name_is_whole_on_a_terminal_that_knows_no_arrow(tmp_path: Path) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    factory(board, "WS-7", program("atmega328p").hex)
    file = tmp_path / "größe → neu.hex"
    shutil.copy(newer("atmega328p").hex, file)
    with board:
        done = wayside(board.port, "--hex", file, "--dry-run", "--json", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"] == file.name


@pytest.mark.parametrize("times", [1, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_a_cut_in_the_middle_of_flashing_is_mended_by_running_it_again(tmp_path: Path, times: int) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    old, new = program("atmega328p").hex, newer("atmega328p").hex
    powered = False

    def fresh() -> None:
        nonlocal powered
        if powered:
            board.__exit__(None, None, None)
        factory(board, "WS-1", old)
        board.__enter__()
        powered = True

    def check() -> None:
        last = records(tmp_path)[-1]
        assert (last["outcome"], last["after"]["board"], last["after"]["firmware"]) == ("done", "WS-1", "3.0.1")
        assert board.holds(load_image(new).named("WS-1"))

    try:
        killed_then_run_again(
            command(board.port, "--hex", new, "--yes", "--record", tmp_path / "records"),
            times=times,
            check=check,
            fresh=fresh,
            environment={"PYTHONPATH": str(ROOT)},
        )
    finally:
        board.__exit__(None, None, None)
    said = records(tmp_path)
    cut = [r for r in said if r["outcome"] == "started"]
    assert sum(r["recovers"] is not None for r in said) == len(cut), "each cut is named by the flash that mended it"


def test_half_a_firmware_says_nothing_and_is_mended_under_its_old_name(tmp_path: Path) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    factory(board, "WS-1", program("atmega328p").hex)
    with board:
        with pytest.raises(KeyboardInterrupt):
            flash(
                Order(board.port, newer("atmega328p").hex, records=tmp_path / "records"),
                lambda plan: True,
                interrupt_at(0.1),
            )
        assert not board.holds(load_image(program("atmega328p").hex).named("WS-1"))
        [cut] = records(tmp_path)
        assert (cut["outcome"], cut["error"]) == ("failed", "KeyboardInterrupt")
        record = flashed(board.port, tmp_path, newer("atmega328p").hex)
    assert record.before is None
    assert record.after is not None
    assert record.after.board == "WS-1"
    assert record.recovers is not None


def interrupt_at(part: float) -> flash_avr.Progress:
    def progress(stage: str, done: float) -> None:
        if stage == "write" and done >= part:
            raise KeyboardInterrupt

    return progress


def test_a_board_that_is_unplugged_while_it_is_written_fails_with_what_to_do(tmp_path: Path) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    factory(board, "WS-1", program("atmega328p").hex)
    with board:

        def pull(stage: str, done: float) -> None:
            if stage == "write" and done >= 0.3:
                board._process.kill()

        with pytest.raises(FlashError, match=r"half a firmware now; run the same command again"):
            flash(Order(board.port, newer("atmega328p").hex, records=tmp_path / "records"), lambda plan: True, pull)
        board._process.wait()
    assert [r["outcome"] for r in records(tmp_path)] == ["failed"]


@contextmanager
def device(behaves: Callable[[int], None]) -> Iterator[str]:
    """A device on a pty; ``behaves`` is called again and again with its end of the line."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(0.002):
            try:
                behaves(master)
            except (BlockingIOError, OSError):
                continue

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        stopped.set()
        thread.join()
        os.close(master)
        os.close(slave)


def echo(fd: int) -> None:
    os.write(fd, os.read(fd, 4096))


def flood(fd: int) -> None:
    os.write(fd, b"\xff" * 64)


def silence(fd: int) -> None:
    os.read(fd, 4096)


@pytest.mark.parametrize("behaves", [echo, flood, silence])
def test_what_is_no_bootloader_is_told_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaves: Callable[[int], None]
) -> None:
    monkeypatch.setattr(flash_avr, "SYNC_S", 1.0)
    monkeypatch.setattr("wayside.firmware_bridge.flash.flash.BEFORE_S", 1.0)
    with device(behaves) as port, pytest.raises(FlashError, match="nothing was written"):
        flashed(port, tmp_path, program("atmega328p").hex)
    assert [r["outcome"] for r in records(tmp_path)] == ["failed"]


def test_a_board_that_takes_long_to_start_keeps_its_name(tmp_path: Path) -> None:
    starts_s = time.monotonic() + 5.5
    name = frames.encode(messages.encode(messages.Identity(messages.PROTOCOL, 7, 1, 2, 3, "WS-1", 5, 1, 20)))

    def behaves(fd: int) -> None:
        if time.monotonic() > starts_s:
            os.write(fd, name)
            time.sleep(0.5)

    plans: list[Plan] = []
    with device(behaves) as port, pytest.raises(NotAgreed, match="not agreed to"):
        flash(
            Order(port, program("atmega328p").hex, records=tmp_path),
            lambda plan: plans.append(plan) or False,
            lambda stage, part: None,
        )
    [plan] = plans
    assert plan.image.label is not None
    assert plan.image.label.board == "WS-1"


def test_a_port_that_is_not_there_and_an_address_are_told(tmp_path: Path) -> None:
    file = program("atmega328p").hex
    for port, said in (
        (str(tmp_path / "nothing"), "is the board plugged in"),
        (str(tmp_path / "no*"), "nothing matches"),
        ("socket://localhost:1", "is an address"),
    ):
        with pytest.raises(BridgeError, match=said):
            flashed(port, tmp_path, file)
    done = wayside(tmp_path / "nothing", "--hex", file, "--yes")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "records").exists(), "nothing was touched"


def test_without_somebody_to_ask_nothing_is_written(tmp_path: Path) -> None:
    board = AvrBoard(tmp_path, "atmega328p", bootloader=True)
    factory(board, "WS-1", program("atmega328p").hex)
    with board:
        asked = subprocess.run(
            command(board.port, "--hex", newer("atmega328p").hex, "--record", tmp_path / "records"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=120,
            check=False,
        )
        assert board.holds(load_image(program("atmega328p").hex).named("WS-1"))
    assert asked.returncode == 3
    assert "--yes" in asked.stderr
    assert re.search(r"now +WS-1, firmware 2.1.0\nbecomes +WS-1, firmware 3.0.1", asked.stderr)
