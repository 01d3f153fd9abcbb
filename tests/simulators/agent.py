"""A real agent as a process, on a simulated board's port."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from wayside.contracts.summary import Summary

ROOT = Path(__file__).parents[2]


class AgentProcess:
    def __init__(self, folder: Path, toml: str, *, preexec: Any = None, python: Path | None = None) -> None:
        """``python``: of another environment than the tests'."""
        self.python = str(python or sys.executable)
        self.folder = folder
        self.config = folder / "node.toml"
        self.config.write_text(toml)
        self.preexec = preexec
        self.machine = ""  # fingerprint of the computer that it runs on; else this one's
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> AgentProcess:
        self.log = (self.folder / "agent.log").open("ab")
        self.process = subprocess.Popen(
            [self.python, *self._program(), "agent", "run", str(self.config)],
            stderr=self.log,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            preexec_fn=self.preexec,  # noqa: PLW1509
        )
        return self

    def _program(self) -> list[str]:
        if not self.machine:
            return [str(ROOT / "wayside.py")]
        elsewhere = f"wayside.edge.identity.machine_fingerprint = lambda node: {self.machine!r}"
        return [
            "-c",
            f"import sys, wayside.edge.identity, wayside.__main__ as w; {elsewhere}; sys.exit(w.main(sys.argv[1:]))",
        ]

    def stop(self, how: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(timeout=20)
        self.log.close()
        return status

    @property
    def status(self) -> dict[str, Any]:
        path = self.folder / "state" / "status.json"
        said: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {"counters": {}}
        return said

    def rows(self) -> list[Summary]:
        """What waits in the outbox."""
        path = self.folder / "state" / "node.sqlite3"
        if not path.exists():
            return []
        db = sqlite3.connect(path)
        try:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone():
                return []  # the agent is still making it
            found = db.execute("SELECT body FROM outbox ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # the agent is about to make its tables
            return []
        finally:
            db.close()
        return [msgspec.json.decode(body, type=Summary) for (body,) in found]

    def counters(self) -> dict[str, int]:
        """The durable ones."""
        path = self.folder / "state" / "node.sqlite3"
        if not path.exists():
            return {}
        db = sqlite3.connect(path)
        try:
            found = db.execute("SELECT body FROM state WHERE key = 'counters'").fetchone()
        except sqlite3.OperationalError:
            return {}
        finally:
            db.close()
        counted: dict[str, int] = json.loads(found[0]) if found else {}
        return counted

    def wait(self, what: Any, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what(self):
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the agent ended: {(self.folder / 'agent.log').read_text()[-3000:]}")
            if time.monotonic() > deadline:
                log = (self.folder / "agent.log").read_text()[-2000:]
                raise AssertionError(f"not in time; counters {self.counters()}; {len(self.rows())} rows; {log}")
            time.sleep(0.1)

    def __enter__(self) -> AgentProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)


def node_toml(
    port: str,
    *,
    anchor_s: float,
    speed: float = 600.0,
    hub: str = "",
    detectors: tuple[int, ...] = (1, 2),
    clock: str = "scaled",
    step_s: float = 900.0,
    extra: str = "",
    green_times: bool = False,
) -> str:
    """Time begins at 2024-01-01T00:00 UTC.

    Args:
        green_times: the policy of the task is ``shared_greens`` of the tests, for the phases 2 and 4 in turn; else it
            is one that has nothing to say unless a forecast is wrong beyond all measure.
    """
    names = [f"det/{c}" for c in detectors]
    rows = [f'[[detectors]]\nchannel = {c}\ndatastream = "{n}"\n' for c, n in zip(detectors, names, strict=True)]
    phases = ", ".join(f'"{name}" = {(2, 4)[i % 2]}' for i, name in enumerate(names))
    sites = ", ".join(f'{{ output = "{name}", constants = {{ lanes = 1 }} }}' for name in names)
    policy = 'policy = "incident_notice"\nactuator = "people"\nsettings = { warn_above = 1000.0 }'
    if green_times:
        policy = f'policy = "shared_greens"\nactuator = "intersection/signal"\nsettings = {{ phases = {{ {phases} }} }}'
    task = f"""
[[tasks]]
name = "flow"
bundle = "traffic-flow"
interval_s = 900
step_s = {step_s}
{policy}
sites = [{sites}]
"""
    people = '[[actuators]]\nname = "people"\nkind = "notice"\n' if names and not green_times else ""
    total = f'[[sums]]\nname = "intersection/volume"\nof = {json.dumps(names)}\n' if len(names) > 1 else ""
    return f"""
wire = 1
node = "node-1"
state_dir = "state"
{"" if names else f"rows_s = {step_s:.0f}"}
[clock]
kind = "{clock}"
speed = {speed}
start_unix_s = 1704067200
anchor_unix_s = {anchor_s:.6f}
[board]
port = "{port}"
baud = 921600
[storage]
checkpoint_s = 0.2
{hub}
{task if names else ""}
[[actuators]]
name = "intersection/signal"
kind = "signal"
cycle_s = 60
[[actuators.phases]]
phase = 2
green_s = 26
min_green_s = 8
max_green_s = 45
yellow_s = 3
red_clearance_s = 1
[[actuators.phases]]
phase = 4
green_s = 26
min_green_s = 8
max_green_s = 45
yellow_s = 3
red_clearance_s = 1
{"".join(rows)}
{total}
{extra}
{people}"""


def free_port() -> int:
    """One of this computer's loopback that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def answers_at(port: int) -> bool:
    """Whether somebody listens at a port of this computer's loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
