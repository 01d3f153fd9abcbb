"""An hour of a busy intersection over one line: 300 events a second, every one of them once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.line.board import BoardLink, Gap
from wayside.firmware_bridge.line.messages import Event
from wayside.firmware_bridge.line.transport import open_transport

RATE, HOUR_S, SPEED = 300, 3600, 12.0  # five minutes; the board's ring holds two seconds of it


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_an_hour_at_300_events_a_second_loses_none(tmp_path: Path) -> None:
    count = RATE * HOUR_S
    edges = ((i * 1000 // RATE, 1, i % 32, i % 2) for i in range(count))
    link, seen, lost, beat_s = BoardLink("board-1"), 0, 0, 0.0
    board = BoardProcess(tmp_path, edges, speed=SPEED)
    board.command += ["--anchor", f"{time.time() + 10:.6f}"]  # the feed is written: ten seconds to read it
    with board:
        line = open_transport(board.port, 921_600)
        line.write(link.hello())
        while seen + lost < count:
            if time.monotonic() >= beat_s:
                line.write(link.heartbeat(seen + lost))
                beat_s = time.monotonic() + 0.1
            for message in link.receive(await line.read()):
                if isinstance(message, Event):
                    assert message.seq == seen + 1
                    seen += 1
                elif isinstance(message, Gap):
                    lost += message.events
        line.close()
    print(f"{seen} events, {link.received.duplicates} twice, {lost} lost")
    assert (seen, lost) == (count, 0)
