"""The right board is found among other boards, silent adapters and chatty devices, whatever their ports are called."""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.errors import LineUnavailable
from wayside.firmware_bridge.line.finder import find_board, is_pattern


@pytest.fixture
def cabinet(tmp_path: Path) -> Iterator[Path]:
    """Ports a (board-1), b (board-2), c (a silent adapter) and d (a GPS receiver) of one computer."""
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    silent, chatty = pty.openpty(), pty.openpty()
    stopped = threading.Event()

    def chat() -> None:
        while not stopped.wait(0.02):
            os.write(chatty[0], b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9*47\r\n")
            os.set_blocking(chatty[0], False)

    with BoardProcess(folder(tmp_path, "1")) as one, BoardProcess(folder(tmp_path, "2"), board_id="board-2") as two:
        (by_id / "a").symlink_to(one.port)
        (by_id / "b").symlink_to(two.port)
        for name, (_, slave) in (("c", silent), ("d", chatty)):
            tty.setraw(slave)
            (by_id / name).symlink_to(os.ttyname(slave))
        thread = threading.Thread(target=chat)
        thread.start()
        yield by_id
        stopped.set()
        thread.join()
    for fd in (*silent, *chatty):
        os.close(fd)


def folder(base: Path, name: str) -> Path:
    (base / name).mkdir()
    return base / name


def test_a_pattern_is_no_device_path_and_no_address() -> None:
    assert is_pattern("/dev/serial/by-id/*")
    assert not is_pattern("/dev/ttyUSB0")
    assert not is_pattern("socket://[::1]:5000")


async def test_each_board_is_found_by_its_name_and_again_after_they_changed_places(cabinet: Path) -> None:
    pattern = str(cabinet / "*")
    assert await find_board(pattern, 115_200, "board-1") == str(cabinet / "a")
    assert await find_board(pattern, 115_200, "board-2") == str(cabinet / "b")
    (cabinet / "a").rename(cabinet / "x")
    (cabinet / "b").rename(cabinet / "a")
    (cabinet / "x").rename(cabinet / "b")
    assert await find_board(pattern, 115_200, "board-1") == str(cabinet / "b")


async def test_where_it_is_not_every_port_says_why(cabinet: Path) -> None:
    with pytest.raises(LineUnavailable) as refused:
        await find_board(str(cabinet / "*"), 115_200, "board-9", patience_s=1.0)
    assert "'board-1' answers where 'board-9' should" in str(refused.value)
    assert "c: nothing answers" in str(refused.value)


async def test_no_port_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(LineUnavailable, match="no port matches"):
        await find_board(str(tmp_path / "*"), 115_200, "board-1")
