"""The watchdog is petted while readings flow, and not a moment longer."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.edge.test_agent import traffic
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess


def heard(systemd: socket.socket, seconds: float) -> set[bytes]:
    """What arrives within ``seconds``; returns early once a pet is among it."""
    said: set[bytes] = set()
    deadline = time.monotonic() + seconds
    while b"WATCHDOG=1" not in said and (left := deadline - time.monotonic()) > 0:
        systemd.settimeout(left)
        try:
            said.add(systemd.recv(512))
        except TimeoutError:
            break
    return said


def test_the_watchdog_is_petted_only_while_readings_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        anchor = time.time() + 1.0
        with (
            BoardProcess(tmp_path, traffic(1), speed=60, anchor_s=anchor) as board,
            AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=60)) as agent,
        ):
            agent.wait(lambda a: a.counters().get("readings_received", 0) > 0)
            assert b"WATCHDOG=1" in heard(systemd, 30)
            board.stop()
            agent.wait(lambda a: a.status.get("healthy") is False)
            while b"WATCHDOG=1" in heard(systemd, 0.5):
                continue  # what was sent before
            later = heard(systemd, 6)
            assert b"WATCHDOG=1" not in later
            assert any(b"board not connected" in word for word in later)
            assert agent.stop() == 0
