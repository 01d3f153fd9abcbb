"""A whole agent whose signal has loops, against the real firmware as a process: rows, log and export."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path

from typer.testing import CliRunner

from tests.simulators import high_resolution, signal_day
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware
from tests.simulators.high_resolution import BEGIN_MS
from wayside.edge.cli import node

LOOPS = """
[[actuators.loops]]
channel = 2
phase = 2
lane = 2
at_m = 100
function = "advance"
[[actuators.loops]]
channel = 12
phase = 2
lane = 2
at_m = 3
"""
# Behind the signal's phases: a table of an array belongs to the last of its actuators.
HOURS = 3
QUARTER_MS = 900_000
FED = (1, 7, 8, 9, 10, 21, 22, 23, 81, 82)  # what the program that stands for a board takes from a file


def test_a_killed_agent_logs_each_event_once_and_tells_its_measures(tmp_path: Path) -> None:
    heard = [e for e in signal_day.day(2, BEGIN_MS, HOURS) if e[1] in FED]
    edges = [(e.ms, e.kind, e.channel, e.value) for e in high_resolution.board_events(heard)]
    firmware()  # built before the clock starts
    anchor = time.time() + 3.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:
        toml = node_toml(board.port, anchor_s=anchor, speed=3600).replace("[[detectors]]", f"{LOOPS}\n[[detectors]]", 1)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) > len(edges) // 3)
            agent.stop(signal.SIGKILL)
            agent.start()
            agent.wait(lambda a: a.counters().get("readings_received", 0) >= len(edges))
            agent.wait(lambda a: sum(r.datastream == "phase/2/measures" for r in a.rows()) >= 2 * HOURS)
            assert agent.stop() == 0
            rows, counters = agent.rows(), agent.counters()
    told = {r.at.wall_ms for r in rows if r.datastream == "phase/2/measures"}
    lost = [r for r in rows if r.datastream == "signal/measures"]
    # those that the row counts, and the one in which the second run began: it says ``gap``, or nothing is left of it
    gone = {(r.at.wall_ms or 0) // QUARTER_MS - back for r in lost for back in range(-1, int(r.value or 0))}
    assert {BEGIN_MS + n * QUARTER_MS for n in range(1, 4 * HOURS)} <= told | {n * QUARTER_MS for n in gone}
    assert counters["readings_received"] == len(edges)
    assert not [r for r in rows if "event" in r.datastream and r.kind.value == "interval"]
    out = tmp_path / "events.csv"
    exported = CliRunner().invoke(
        node, ["events", str(agent.config), "--out", str(out), "--utc"], catch_exceptions=False
    )
    assert exported.exit_code == 0, exported.output
    with out.open(newline="") as file:
        logged = [(r["TimeStamp"], int(r["EventId"]), int(r["Parameter"])) for r in csv.DictReader(file)]
    happened = [
        (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}", code, parameter)
        for ms, code, parameter in high_resolution.as_told(heard)
    ]
    assert set(logged) <= set(happened)
    assert len(logged) == len(set(logged)), "what the board sent again after the crash is not in it twice"
    missing = sorted(set(happened) - set(logged))
    assert len(missing) < len(happened) // 4, "only what was not written yet when it was killed"
    if missing:
        lost = [i for i, each in enumerate(sorted(happened)) if each in set(missing)]
        assert lost[-1] - lost[0] + 1 <= len(missing) + 5, "in one piece"
