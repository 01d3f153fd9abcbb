"""Runs have a process each, and whatever ends the caller leaves none of them behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.sim.traffic import needs
from wayside.cloud.sim.errors import ControllerError, NetError
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import Fault, RunSpec

pytestmark = [needs.sumo, needs.compiler]
SHORT = RunSpec(net="crossing", policy="board", seed=1, seconds=180.0)
PATIENCE_S = 60.0


def test_a_run_is_the_same_whenever_it_is_run_and_whatever_runs_beside_it() -> None:
    other = msgspec.structs.replace(SHORT, seed=2)
    alone = run_all([SHORT], jobs=1)[0]
    first, _, again = run_all([SHORT, other, SHORT], jobs=3)
    results = [msgspec.structs.replace(result, wall_s=0.0) for result in (alone, first, again)]
    assert results[0] == results[1] == results[2]
    assert alone.vehicles > 50


def test_results_come_in_the_order_of_what_was_asked_and_each_run_tells_its_end_once() -> None:
    told: list[tuple[int, float]] = []
    seeds = [3, 1, 2]
    specs = [msgspec.structs.replace(SHORT, seed=seed) for seed in seeds]
    results = run_all(specs, jobs=2, tell=lambda number, share: told.append((number, share)))
    assert [result.seed for result in results] == seeds
    assert sorted(number for number, share in told if share == 1.0) == [0, 1, 2]


def test_a_fault_of_a_run_is_told_as_what_it_is_and_of_which_run() -> None:
    missing = msgspec.structs.replace(SHORT, net="nowhere.net.xml")
    with pytest.raises(NetError, match=r"nowhere\.net\.xml"):
        run_all([missing])
    nobody = msgspec.structs.replace(SHORT, seed=7, faults=(Fault(kind="dead", where="phase:99"),))
    with pytest.raises(ControllerError, match=r"crossing, board, seed 7: 'phase:99' names no detector"):
        run_all([SHORT, nobody], jobs=1)
    assert not psutil.Process().children(recursive=True) or all(
        "spawn_main" not in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)
    )


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "wayside", "sim", "compare", "crossing", "--seeds", "1-9", "--jobs", "2"]
    process = subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait()


def runs_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its two runs, once both are under way."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        children = [c for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())]
        if len(children) == 2:
            return children
        time.sleep(0.05)
    raise AssertionError("no runs have begun")


def test_ctrl_c_ends_every_run_and_leaves_no_file(started: subprocess.Popen[bytes], tmp_path: Path) -> None:
    runs = runs_of(started)
    time.sleep(1.0)  # SUMO writes
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 130
    assert "interrupted; no run is left" in said.decode()
    assert not [run for run in runs if run.is_running() and run.status() != psutil.STATUS_ZOMBIE]
    assert list(tmp_path.iterdir()) == []


def test_a_caller_that_is_killed_leaves_no_run(started: subprocess.Popen[bytes]) -> None:
    runs = runs_of(started)
    started.kill()
    _, alive = psutil.wait_procs(runs, timeout=PATIENCE_S)
    assert not alive
