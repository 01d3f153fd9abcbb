"""The agent on a disk without room: it keeps running, says so, loses nothing, and catches up."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import psutil

from tests.edge.test_agent import intervals, traffic
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware


def test_a_full_disk_is_said_survived_and_caught_up_with(tmp_path: Path) -> None:
    edges = traffic(6, each_s=30)
    firmware()
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:  # noqa: SIM117
        with AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=3600)) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) > 200)
            assert agent.process is not None
            process = psutil.Process(agent.process.pid)
            before = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))  # no file may grow
            agent.wait(lambda a: bool(a.status.get("trouble", {}).get("storage")), timeout_s=15)
            assert agent.status["healthy"] is False
            process.rlimit(psutil.RLIMIT_FSIZE, before)
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 24)
            assert agent.stop() == 0
            counters, rows = agent.counters(), agent.rows()
    assert counters["readings_received"] == counters["readings_sent"] == len(edges)
    assert any(r.datastream == "storage" for r in rows)
