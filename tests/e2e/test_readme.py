"""README's journey, line by line as it stands there: what a newcomer types works."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.test_demo import free_port
from wayside.hub_http.client import bearer

ROOT = Path(__file__).parents[2]
HEADING = "## One real journey"
README_HUB = "http://127.0.0.1:8000"

pytestmark = pytest.mark.timeout(300)


def commands() -> list[str]:
    """The lines of the journey's ``sh`` block, without their remarks."""
    text = (ROOT / "README.md").read_text().split(HEADING, 1)[1]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None, f"README.md has no sh block under {HEADING!r}"
    lines = [re.sub(r"\s+#.*$", "", line).strip() for line in block[1].splitlines()]
    return [line for line in lines if line]


PROGRAM = f'exec {shlex.quote(sys.executable)} {shlex.quote(str(ROOT / "wayside.py"))} "$@"'
"""The checkout's own front door."""


class Shell:
    """A person's shell: one environment and folder; a line that ends with ``&`` goes on in the background."""

    def __init__(self, folder: Path, program: str, **variables: str) -> None:
        """``program``: what the shell script ``wayside`` does with its words."""
        self.folder = folder
        self.background: list[subprocess.Popen[bytes]] = []
        path = folder / "bin" / "wayside"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o755)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("WAYSIDE", "PYTHONPATH"))}
        self.environment |= {"PATH": f"{path.parent}:{os.environ['PATH']}"} | variables

    def type(self, line: str) -> str:
        """Run one line; returns what it printed."""
        if line.endswith("&"):
            with (self.folder / f"background-{len(self.background)}.log").open("wb") as log:
                self.background.append(
                    subprocess.Popen(
                        ["bash", "-c", line.removesuffix("&")],
                        cwd=self.folder,
                        env=self.environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
            return ""
        kept = self.folder / "environment"
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{line}\nenv -0 > {shlex.quote(str(kept))}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}{self.logs()}"
        self.environment = dict(pair.split("=", 1) for pair in kept.read_text().split("\0") if pair)
        return done.stdout

    def credentials(self) -> dict[str, str]:
        """What was exported so far."""
        return bearer(self.environment.get("WAYSIDE_OPERATOR_TOKEN"))

    def logs(self) -> str:
        return "".join(path.read_text()[-1500:] for path in sorted(self.folder.glob("background-*.log")))

    def stop(self) -> None:
        for process in reversed(self.background):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.background:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answer(url: str, shell: Shell) -> dict[str, Any]:
    try:
        reply = httpx.get(url, headers=shell.credentials(), timeout=5)
        return dict(reply.json()) if reply.status_code == 200 else {}
    except (httpx.TransportError, ValueError):
        return {}


def wait_for(what: Any, shell: Shell, why: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, f"{why}\n{shell.logs()}"
        time.sleep(0.1)


def test_the_journey_of_the_readme_ends_with_a_node_that_runs_the_released_model(tmp_path: Path) -> None:
    walk(Shell(tmp_path, PROGRAM, PYTHONPATH=str(ROOT)))


def walk(shell: Shell) -> None:
    """Type every line of the journey, wait where the README says so, and see the model run."""
    lines = commands()
    hub = f"http://127.0.0.1:{free_port()}"
    try:
        for line in lines:
            line = line.replace(README_HUB, hub)  # noqa: PLW2901
            if "wayside hub run" in line:
                line = re.sub(r"(wayside hub run [^&]*?)\s*&$", rf"\1 --port {hub.rsplit(':', 1)[1]} &", line)  # noqa: PLW2901
            said = shell.type(line)
            if "wayside hub run" in line:
                wait_for(lambda: answer(f"{hub}/healthz", shell), shell, "the hub does not answer")
            if "wayside agent run" in line:
                wait_for(
                    lambda: answer(f"{hub}/api/v1/nodes/node-1", shell).get("heartbeat"),
                    shell,
                    "the node does not sync",
                )
            if "wayside hub token" in line:
                (shell.folder / "node-1.toml").write_text(
                    f'node = "node-1"\nstate_dir = "state"\n'
                    f'[hub]\nurl = "{hub}"\ntoken = "{said.strip()}"\nsync_s = 0.5\nbackoff_max_s = 1.0\n'
                    f'[model]\ntuf_root = "keys/root.json"\n[board]\nport = "/dev/serial/by-id/usb-board-0"\n'
                    f'[[detectors]]\nchannel = 2\ndatastream = "detector/2/volume"\n'
                    f'[[tasks]]\nname = "flow"\nbundle = "traffic-flow"\nsites = [{{ output = "detector/2/volume" }}]\n'
                )

        def runs() -> bool:
            beat = answer(f"{hub}/api/v1/nodes/node-1", shell).get("heartbeat") or {}
            reported = beat.get("reported") or {}
            return (reported.get("state"), reported.get("version")) == ("active", "1.0.0")

        wait_for(runs, shell, "the node never ran the released model")

        def completed() -> bool:
            return [r["state"] for r in answer(f"{hub}/api/v1/rollouts", shell).get("rollouts", [])] == ["completed"]

        wait_for(completed, shell, json.dumps(answer(f"{hub}/api/v1/rollouts", shell)))
    finally:
        shell.stop()
    assert [process.returncode for process in shell.background] == [0] * len(shell.background), shell.logs()
