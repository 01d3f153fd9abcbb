"""What the demo's boards see is real, and its processes cannot outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from wayside.cloud.demo.feeds import DETECTOR, GREEN, RED, YELLOW, controller_log, counted_day
from wayside.cloud.demo.processes import Processes, StageError
from wayside.cloud.demo.site import nodes
from wayside.contracts.node_check import checked_node_config
from wayside.edge.policies.policy import check
from wayside.firmware_bridge.line.messages import EventKind


def test_event_kinds_are_the_boards() -> None:
    assert tuple(EventKind)[:4] == (DETECTOR, GREEN, YELLOW, RED)


def test_the_controller_log_is_replayed_whole() -> None:
    feed, phases = controller_log()
    assert sum(kind == DETECTOR for _, kind, _, _ in feed.rows) == 24_945
    assert len(feed.rows) > 24_945, "and the phases that the real controller gave"
    assert feed.rows == sorted(feed.rows, key=lambda row: row[0])
    assert set(phases.values()) == {2, 5, 6, 8}


def test_a_counted_day_has_the_real_counts_and_seeded_times() -> None:
    feed = counted_day("2024-05-13", 7)
    assert sum(feed.vehicles.values()) == 44_083
    assert len(feed.rows) == 2 * 44_083
    assert feed == counted_day("2024-05-13", 7)
    assert feed.rows != counted_day("2024-05-13", 8).rows


def test_pulses_of_one_detector_never_merge_nor_leave_their_quarter_hour() -> None:
    feed = counted_day("2024-05-10", 7)
    for channel in feed.vehicles:
        own = [(ms, value) for ms, _, c, value in feed.rows if c == channel]
        assert all(value == (i + 1) % 2 for i, (_, value) in enumerate(own))
        assert all(a < b for (a, _), (b, _) in pairwise(own))


def test_every_configuration_is_a_valid_one() -> None:
    for node in nodes():
        text = node.config(
            state=Path("s"), port=Path("p"), hub="http://h", token="t" * 16, speed=500, anchor=1e9, root=Path("r")
        )
        config = checked_node_config(text).config
        actuators = {a.name: a for a in config.actuators}
        assert [why for t in config.tasks if t.actuator for why in check(t, actuators[t.actuator])] == []
        assert {d.channel for d in config.detectors} == set(node.feed.vehicles)


def test_a_failed_stage_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes, pytest.raises(StageError, match="because"):
        processes.run("stage", [sys.executable, "-c", "import sys; sys.exit('because')"])


def test_no_process_stays_behind_when_the_demo_itself_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from wayside.cloud.demo.processes import Processes\n"
        f"p = Processes(Path({str(tmp_path)!r}))\n"
        "p.start('child', [sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p._running['child'].pid, flush=True); time.sleep(600)"
    )
    demo = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert demo.stdout is not None
    child = psutil.Process(int(demo.stdout.readline()))
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    demo.stdout.close()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
