"""A policy with the beat of the line over the whole path: detectors, board, serial line, agent, and the lamps again."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from tests.simulators.agent import AgentProcess
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.verb import typed
from wayside.contracts.summary import Kind

SPEED = 10.0
PLAN = """
[detectors]
count = 2
[[phases]]
phase = 2
ring = 1
green_s = 26
min_green_s = 5
max_green_s = 45
yellow_s = 3
red_clearance_s = 1
detectors = [1]
[[phases]]
phase = 4
ring = 1
green_s = 26
min_green_s = 5
max_green_s = 45
yellow_s = 3
red_clearance_s = 1
detectors = [2]
"""
PHASE = "{{ phase = {}, green_s = 26, min_green_s = 5, max_green_s = 45, yellow_s = 3, red_clearance_s = 1 }}"
NODE = """
wire = 1
node = "node-1"
state_dir = "state"
rows_s = 30
[clock]
kind = "scaled"
speed = {speed}
start_unix_s = 1704067200
anchor_unix_s = {anchor_s:.6f}
[board]
port = "{port}"
baud = 921600
[storage]
checkpoint_s = 0.2
[[detectors]]
channel = 1
datastream = "det/1"
[[detectors]]
channel = 2
datastream = "det/2"
[[actuators]]
name = "signal"
kind = "signal"
cycle_s = 60
phases = [{two}, {four}]
loops = [{{ channel = 1, phase = 2, lane = 0, at_m = 3 }}, {{ channel = 2, phase = 4, lane = 1, at_m = 3 }}]
beat = {{ policy = "horizon", compare = false }}
"""


def street(until_s: int) -> list[Edge]:
    """A vehicle of phase 2 every four seconds; every forty one of phase 4, which waits for twenty."""
    edges: list[Edge] = []
    for second in range(20, until_s, 4):
        edges += [(1000 * second, 1, 1, 1), (1000 * second + 400, 1, 1, 0)]
    for second in range(30, until_s, 40):
        edges += [(1000 * second, 1, 2, 1), (1000 * second + 20_000, 1, 2, 0)]
    return sorted(edges)


def decisions(agent: AgentProcess) -> list[dict[str, Any]]:
    return [dict(r.detail) for r in agent.rows() if r.kind is Kind.DECISION]


def greens(agent: AgentProcess, phase: int) -> list[float]:
    return [r.value or 0.0 for r in agent.rows() if r.datastream == f"phase/{phase}/green"]


def test_the_node_asks_twice_and_between_them_the_board_goes_on_alone(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    anchor_s = time.time()
    two, four = PHASE.format(2), PHASE.format(4)
    with BoardProcess(tmp_path, street(3000), speed=SPEED, anchor_s=anchor_s, store=True) as board:
        stored = typed("board", "plan", tmp_path / "plan.toml", board.port, "--store", "--baud", "921600")
        assert stored.status == 0, stored.err
        toml = NODE.format(speed=SPEED, anchor_s=anchor_s, port=board.port, two=two, four=four)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: (a.status.get("beat") or {}).get("state") == "in_force")
            agent.wait(lambda a: any(d.get("asked_hold") and d.get("in_force_s") for d in decisions(a)))
            agent.wait(lambda a: greens(a, 2) and any(greens(a, 4)))
            assert board.stats()["host_alive"]
            agent.stop(signal.SIGKILL)
            deadline = time.monotonic() + 20
            while board.stats()["host_alive"] and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not board.stats()["host_alive"]
            served = len([g for g in greens(agent, 4) if g])
            time.sleep(80 / SPEED)  # two vehicles of phase 4 come meanwhile
            agent.start()
            agent.wait(lambda a: len([g for g in greens(a, 4) if g]) >= served + 2)  # what happened then is told now
            before = len(decisions(agent))
            agent.wait(lambda a: (a.status.get("beat") or {}).get("state") == "in_force")
            agent.wait(lambda a: any(d.get("in_force_s") and d.get("asked_hold") for d in decisions(a)[before:]))
            rows = decisions(agent)
            assert not any("plan" in str(r.detail.get("what")) for r in agent.rows() if r.kind is Kind.ALERT)
        assert board.stats()["lost"] == 0
    for row in rows:
        states = sum(v for name, v in row.items() if name in ("in_force_s", "blind_s", "rests_s", "away_s", "let_go_s"))
        assert states == row["seconds"]
    said = typed("node", "why", agent.config)
    assert said.status == 0
    assert "signal the policy horizon was in force for" in said.out
