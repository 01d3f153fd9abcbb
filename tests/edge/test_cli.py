"""The command line of a node, and contacts on mock pins through the running agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.edge.test_agent import intervals, traffic
from tests.simulators.agent import ROOT, AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware
from wayside.contracts.reading import Quality, Reading
from wayside.contracts.wire import from_builtins

CONTACTS = """
[gpio]
factory = "mock"
[[gpio.contacts]]
pin = 17
datastream = "ped/1"
role = "ped_button"
debounce_s = 0
[[gpio.contacts]]
pin = 27
datastream = "cabinet/door"
role = "cabinet_door"
debounce_s = 0
"""


def wayside(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "wayside.py"), *args],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_check_names_the_field_and_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(node_toml("/dev/null", anchor_s=0))
    assert wayside("node", "check", str(path)).returncode == 0
    path.write_text(path.read_text().replace("baud = 921600", "baud = 5"))
    refused = wayside("node", "check", str(path))
    assert refused.returncode == 1
    assert "$.board.baud" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_missing_configuration_and_an_unused_node_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    for verb in (("agent", "run"), ("node", "status")):
        said = wayside(*verb, str(path))
        assert said.returncode == 1
        assert said.stderr.count("\n") <= 2
        assert "No such file" in said.stderr
    path.write_text(node_toml("/dev/null", anchor_s=0))
    assert "no agent has run" in wayside("node", "status", str(path)).stderr


def test_presses_are_counted_a_door_is_an_alert_and_the_node_can_be_looked_at(tmp_path: Path) -> None:
    firmware()
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, traffic(1), speed=600, anchor_s=anchor) as board:
        with AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=600, hub=CONTACTS)) as agent:
            fifo = tmp_path / "state" / "gpio.fifo"
            agent.wait(lambda a: fifo.exists() and "pid" in a.status)
            with fifo.open("w") as pins:
                for line in ("17 0", "17 1", "17 0", "17 1", "27 0"):  # pulled up: closed is low
                    pins.write(line + "\n")
                    pins.flush()
                    time.sleep(0.05)
            agent.wait(lambda a: sum(r.value or 0 for r in intervals(a.rows(), "ped/1")) == 2)
            assert any("door" in str(r.detail.get("what")) for r in agent.rows())
            second = wayside("agent", "run", str(agent.config))
            assert second.returncode == 1
            assert "another agent runs" in second.stderr
            assert agent.stop() == 0
        said = json.loads(wayside("node", "status", str(agent.config), "--json").stdout)
        assert said["node"] == "node-1"
        assert said["rss_bytes"] > 0
        readings = [from_builtins(r, Reading) for r in said["readings"]]
        assert {r.datastream for r in readings} >= {"det/1"}
        assert all((r.value is None) == (r.quality is Quality.MISSING) for r in readings)
        assert "det/1" in wayside("node", "status", str(agent.config)).stdout
        waiting = json.loads(wayside("node", "outbox", str(agent.config), "--json").stdout)
        assert waiting["waiting"] == len(agent.rows())
