"""A port changes hands between a real agent and a technician's command, and comes back however that command ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from tests.edge.test_agent import traffic
from tests.edge.test_unplugged import alerts
from tests.simulators.agent import ROOT, AgentProcess, node_toml
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.errors import LineUnavailable, PortLent
from wayside.firmware_bridge.line import borrow
from wayside.firmware_bridge.line.borrow import borrowed, is_lent
from wayside.firmware_bridge.line.finder import find_board

BORROWER = """
import os, sys
from wayside.firmware_bridge.line.borrow import borrowed
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
with borrowed(sys.argv[1], wait_s=30):
    print("borrowed", flush=True)
    sys.stdin.read()
"""
NOBODY = 65534


@contextmanager
def borrower(port: str, user: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the loan until its standard input ends."""
    command = [sys.executable, "-c", BORROWER, port, *([] if user is None else [str(user)])]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "borrowed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_agent_lends_its_board_and_takes_it_back_without_an_alert(tmp_path: Path) -> None:
    edges = traffic(6)
    anchor = time.time() + 1.0
    with (
        BoardProcess(tmp_path, edges, speed=1800, anchor_s=anchor) as board,
        AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=1800)) as agent,
    ):
        agent.wait(lambda a: a.counters().get("readings_received", 0) > 0)
        for how in (signal.SIGTERM, signal.SIGKILL):
            with borrower(board.port) as technician:
                assert borrow._holder(board.port) is None, "the agent's line is closed when the block begins"
                agent.wait(lambda a: a.status["board"].get("lent") is True)
                assert agent.status["board"]["connected"] is False
                before = agent.counters()["readings_received"]
                technician.send_signal(how)
                technician.wait(20)
            agent.wait(lambda a: a.status["board"]["connected"] is True)
            assert "lent" not in agent.status["board"]
            agent.wait(lambda a, before=before: a.counters()["readings_received"] > before)  # type: ignore[misc]
        board.wait("feed_done", timeout_s=60)
        agent.wait(lambda a: a.counters()["readings_received"] == len(edges))
        assert agent.stop() == 0
        counters = agent.counters()
        assert alerts(agent.rows()) == []
        log = (tmp_path / "agent.log").read_text()
    assert counters["readings_received"] == counters["readings_sent"] == len(edges), "the board kept what happened"
    assert counters["readings_lost"] == 0
    assert log.count("board lent") == log.count("board returned") == 2
    assert "line down" not in log


def test_an_agent_that_starts_beside_a_technician_waits_for_the_port(tmp_path: Path) -> None:
    anchor = time.time() + 1.0
    toml = node_toml(str(tmp_path / "boards" / "*"), anchor_s=anchor, speed=60)
    toml = toml.replace("baud = 921600", 'baud = 921600\nidentity = "board-1"')
    (tmp_path / "boards").mkdir()
    with BoardProcess(tmp_path, traffic(1), speed=60, anchor_s=anchor) as board:
        link = tmp_path / "boards" / "usb-board"
        link.symlink_to(Path(board.port).readlink())
        with borrower(str(link)) as technician, AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.status.get("board", {}).get("lent") is True)
            technician.kill()
            technician.wait()
            agent.wait(lambda a: a.status["board"]["connected"] is True)
            assert agent.stop() == 0


async def test_a_lent_port_is_not_asked_who_it_is(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board, borrower(board.port):
        with pytest.raises(PortLent, match="lent to a technician"):
            await find_board(board.port, 921_600, "board-1")
        board.stop()
        assert board.stats()["frames_rx"] == 0


def test_a_port_is_lent_under_every_name_it_has(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board:
        real = os.path.realpath(board.port)
        other = tmp_path / "other-name"
        other.symlink_to(real)
        assert not is_lent(real)
        with borrower(board.port):
            assert is_lent(board.port)
            assert is_lent(real)
            assert is_lent(str(other))
            other.unlink()
            other.symlink_to("/dev/null")
            assert not is_lent(str(other))
        assert not is_lent(real)


def test_an_adapter_that_changes_its_number_while_it_is_lent_stays_lent(tmp_path: Path) -> None:
    by_id = tmp_path / "usb-board"
    by_id.symlink_to("/dev/null")
    with borrowed(str(by_id)):
        by_id.unlink()
        by_id.symlink_to("/dev/zero")
        assert is_lent(str(by_id))


def test_a_second_command_is_told_that_the_port_is_borrowed(tmp_path: Path) -> None:
    with (
        BoardProcess(tmp_path) as board,
        borrower(board.port),
        pytest.raises(LineUnavailable, match="borrowed by another"),
        borrowed(board.port, wait_s=0.2),
    ):
        pass


def test_a_program_that_does_not_lend_is_named_and_the_lock_given_up(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board:
        line = serial.Serial(board.port, exclusive=True)
        with pytest.raises(LineUnavailable, match=f"stays open in process {os.getpid()}"), borrowed(board.port, 0.2):
            pass
        assert not is_lent(board.port)
        threading.Timer(0.5, line.close).start()
        with borrowed(board.port, wait_s=30):
            assert is_lent(board.port)


def test_many_commands_take_the_port_one_after_another(tmp_path: Path) -> None:
    port, inside, worst, done = str(tmp_path / "port"), 0, 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, worst, done
        for _ in range(20):
            with borrowed(port, wait_s=60):
                with counting:
                    inside += 1
                    worst = max(worst, inside)
                with counting:
                    inside -= 1
                    done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (worst, done) == (1, 80)
    assert not any(path.exists() for path in borrow._lock_files(port))


def test_a_lock_file_that_others_make_and_remove_meanwhile_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, opened, misses = str(tmp_path / "port"), borrow._open, 5
    [path] = borrow._lock_files(port)

    def late(where: Path) -> int:
        nonlocal misses
        misses -= 1
        if misses >= 0:
            raise FileNotFoundError(where)  # removed just before, and there again when it is to be made
        return opened(where)

    path.touch()
    monkeypatch.setattr(borrow, "_open", late)
    with borrowed(port, wait_s=20):
        assert is_lent(port)


def test_the_commands_child_keeps_the_loan_when_the_command_is_killed(tmp_path: Path) -> None:
    port = str(tmp_path / "port")
    code = (
        "import subprocess, sys, time\n"
        "from wayside.firmware_bridge.line.borrow import borrowed\n"
        "with borrowed(sys.argv[1]) as loan:\n"
        "    child = subprocess.Popen(['sleep', '600'], pass_fds=loan.fds)\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, port], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
    try:
        assert is_lent(port)
    finally:
        os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while is_lent(port):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_whoever_makes_the_lock_file_every_user_can_lend_and_see_it() -> None:
    root, nobody = os.geteuid(), NOBODY
    for first, second in ((root, nobody), (nobody, root)):
        port = f"/dev/wayside-test-{os.getpid()}-{first}"  # its lock file is made by ``first``
        try:
            with borrower(port, first):
                assert seen_by(second, port)
            assert not seen_by(second, port)
            with borrower(port, second):
                assert seen_by(first, port)
        finally:
            for path in borrow._lock_files(port):
                path.unlink(missing_ok=True)


def seen_by(user: int, port: str) -> bool:
    code = (
        "import os, sys\nfrom wayside.firmware_bridge.line.borrow import is_lent\n"
        "os.setuid(int(sys.argv[2]))\nprint(is_lent(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, port, str(user)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "True"


def test_what_lies_where_a_lock_should_be_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borrow, "_RUNTIME", tmp_path)
    port = str(tmp_path / "port")
    [path] = borrow._lock_files(port)
    for make in (lambda: path.symlink_to("/etc/passwd"), lambda: os.mkfifo(path), path.mkdir):
        make()
        assert not is_lent(port)
        with pytest.raises(LineUnavailable, match="remove it"), borrowed(port, 0.1):
            pass
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
