"""A session is recorded as it was and played again; a damaged recording is refused by line, a cut one played so far."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.firmware_bridge.test_board_process import Host
from tests.firmware_bridge.test_cli import wayside
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.errors import LineLost, LineUnavailable
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.messages import Event
from wayside.firmware_bridge.line.recording import load
from wayside.firmware_bridge.line.transport import open_transport

HEAD = '{"format": 1, "port": "x", "baud": 9600}\n'


async def recorded(folder: Path) -> tuple[Path, list[Event]]:
    to = folder / "session.jsonl"
    host = Host()
    with BoardProcess(folder, [(i * 10, 1, 3, i % 2) for i in range(40)]) as board:
        host.line = open_transport(board.port, 921_600, to)  # type: ignore[assignment]
        assert host.line is not None
        host.line.write(host.link.hello())
        await host.until(lambda: len(host.events) == 40)
        host.line.close()
    return to, [m for m in host.heard if isinstance(m, Event)]


async def test_what_was_heard_is_heard_again_and_then_the_line_hangs_up(tmp_path: Path) -> None:
    path, events = await recorded(tmp_path)
    line, link = open_transport(f"replay://{path}?speed=50", 9600), BoardLink()
    heard = []
    line.write(link.hello())
    with pytest.raises(LineLost, match="the recording ends"):
        while True:
            heard += link.receive(await line.read())
    line.close()
    assert [m for m in heard if isinstance(m, Event)] == events
    assert {row.speaker for row in load(path)} == {"board", "host"}


async def test_a_recording_is_watched_like_a_board(tmp_path: Path) -> None:
    path, events = await recorded(tmp_path)
    done = await asyncio.to_thread(wayside, "watch", f"replay://{path}?speed=20", "--json")
    assert done.returncode == 0
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert [m["seq"] for m in seen if m["type"] == "Event"] == [e.seq for e in events]


async def test_a_recording_is_never_replaced_and_a_cut_one_is_played_so_far(tmp_path: Path) -> None:
    path, _ = await recorded(tmp_path)
    whole = load(path)
    with pytest.raises(LineUnavailable, match="never replaced"):
        open_transport("loop://", 9600, path)
    path.write_bytes(path.read_bytes()[:-7])
    assert load(path) == whole[:-1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is empty"),
        ("ms,kind,channel,value\n", "line 1"),
        (HEAD.replace("1,", "2,", 1), "another format"),
        (HEAD + '{"s": 0, "from": "board", "hex": "0g"}\n', "line 2"),
        (HEAD + '{"s": 0, "from": "board"}\n', "line 2"),
    ],
)
async def test_what_is_no_recording_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(LineUnavailable, match=complaint):
        open_transport(f"replay://{tmp_path / 'x.jsonl'}", 9600)


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
async def test_an_impossible_speed_is_refused(tmp_path: Path, speed: str) -> None:
    with pytest.raises(LineUnavailable, match="positive number"):
        open_transport(f"replay://{tmp_path}/x?speed={speed}", 9600)
