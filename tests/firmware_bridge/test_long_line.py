"""An hour of a busy intersection over one line: 300 events a second, every one of them once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from firmware_bridge.messages import Status
from tests.firmware_bridge.test_board_process import Host
from tests.simulators.board import BoardProcess

RATE, HOUR_S, SPEED = 300, 3600, 30.0


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_an_hour_at_300_events_a_second_loses_none(tmp_path: Path) -> None:
    count = RATE * HOUR_S
    edges = ((i * 1000 // RATE, 1, i % 32, i % 2) for i in range(count))
    host, seen = Host(), 0
    with BoardProcess(tmp_path, edges, speed=SPEED, anchor_s=time.time() + 3) as board:
        async with host.on(board.port):
            while seen < count:
                before = len(host.events)
                await host.until(lambda before=before: len(host.heard) > before, 60)  # type: ignore[misc]
                await host.until(lambda: len(host.heard) > 5000 or seen + len(host.events) >= count, 60)
                assert host.lost == []
                seen += len(host.events)
                host.heard = [m for m in host.heard[-1:] if isinstance(m, Status)]
    print(f"{seen} events, {host.link.received.duplicates} twice, {host.link.received.lost} lost")
    assert (seen, host.link.received.lost, host.link.received.events) == (count, 0, count)
