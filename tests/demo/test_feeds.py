"""What the demo's boards see is real, and its processes cannot outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from wayside.cloud.demo.feeds import DETECTOR, controller_log
from wayside.cloud.demo.processes import Processes, StageError
from wayside.firmware_bridge.line.messages import EventKind


def test_every_edge_of_the_controller_log_is_replayed_and_the_phases_are_the_boards_own() -> None:
    feed, detectors = controller_log()
    assert DETECTOR == EventKind.DETECTOR
    assert {kind for _, kind, _, _ in feed.rows} == {DETECTOR}
    assert len(feed.rows) == 24_945
    assert feed.rows == sorted(feed.rows, key=lambda row: row[0])
    assert {each.phase for each in detectors.values()} == {2, 5, 6, 8}


def test_chains_run_side_by_side_and_each_in_its_order(tmp_path: Path) -> None:
    def write(name: str) -> list[str]:
        return [sys.executable, "-c", f"open({str(tmp_path / name)!r}, 'x').close()"]

    def needs(name: str) -> list[str]:
        return [sys.executable, "-c", f"open({str(tmp_path / name)!r}).close()"]

    logs = tmp_path / "logs"
    logs.mkdir()
    with Processes(logs) as processes:
        processes.at_most(2, {n: [write(n), needs(n)] for n in ("a", "b", "c")}, env={})
        with pytest.raises(StageError, match="d-1 failed"):
            processes.at_most(2, {"d": [needs("nothing"), write("d")]}, env={})
    assert {f.name for f in tmp_path.iterdir()} == {"logs", "a", "b", "c"}


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
