"""A real hub and a real agent: a bundle that is broken, on the wire or in its answers, is refused by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.simulators.signed_hub import bundle
from wayside.hub_http.client import bearer

ROOT = Path(__file__).parents[2]
WAYSIDE = [sys.executable, str(ROOT / "wayside.py")]

pytestmark = pytest.mark.timeout(180)


class Street(NamedTuple):
    """A hub with a node on it that runs release 1.0.0."""

    hub: str
    data: Path
    home: Path

    @property
    def token(self) -> str:
        return (self.data / "operator.token").read_text().strip()

    def verb(self, *args: object) -> str:
        done = subprocess.run(
            [*WAYSIDE, *map(str, args)],
            env=os.environ | {"WAYSIDE_OPERATOR_TOKEN": self.token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def publish(self, version: str, golden_shift: float = 0.0) -> None:
        path = self.home / f"{version}.bundle"
        path.write_bytes(bundle(version, golden_shift=golden_shift))
        self.verb("release", "publish", path, "--keys", self.home / "keys", "--hub", self.hub)

    def roll_out(self, version: str) -> None:
        if version == "1.0.2":  # the one before came to nothing
            self.verb("rollout", "abort", "traffic-flow", "--hub", self.hub)
        self.verb("rollout", "start", "traffic-flow", version, "--hub", self.hub, "--phases", "100")

    def rollouts(self) -> dict[str, Any]:
        listed = json.loads(self.verb("rollout", "list", "--hub", self.hub, "--json"))
        return {r["version"]: r for r in listed["rollouts"]}

    def alerts(self) -> str:
        return httpx.get(f"{self.hub}/api/v1/alerts", headers=bearer(self.token), timeout=5).text

    def node(self) -> dict[str, Any]:
        reply = httpx.get(f"{self.hub}/api/v1/nodes/node-1", headers=bearer(self.token), timeout=5)
        seen: dict[str, Any] = reply.json() if reply.status_code == 200 else {}
        return (seen.get("heartbeat") or {}).get("reported") or {}

    def until(self, **expected: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        reported: dict[str, Any] = {}
        while time.monotonic() < deadline:
            reported = self.node()
            if all(reported.get(key) == value for key, value in expected.items()):
                return reported
            time.sleep(0.2)
        raise AssertionError(
            f"expected {expected}, the hub says {reported}\n{(self.home / 'agent.log').read_text()[-3000:]}"
        )


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    home = tmp_path_factory.mktemp("street")
    data = home / "hub"
    subprocess.run([*WAYSIDE, "hub", "init", "--data", str(data)], check=True, capture_output=True)
    hub = subprocess.Popen(
        [*WAYSIDE, "hub", "run", "--data", str(data), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert hub.stdout is not None
    here = Street(hub.stdout.readline().split()[1].rstrip("/"), data, home)
    agent = None
    try:
        here.verb("release", "keys", home / "keys")
        here.verb("release", "init", "--keys", home / "keys", "--hub", here.hub)
        token = json.loads(here.verb("hub", "token", "--data", data, "--node", "node-1", "--json"))["token"]
        (home / "node.toml").write_text(
            f'node = "node-1"\nstate_dir = "{home / "node"}"\n'
            f'[hub]\nurl = "{here.hub}"\ntoken = "{token}"\nsync_s = 0.3\nbackoff_max_s = 1.0\n'
            f'[model]\ntuf_root = "{home / "keys" / "root.json"}"\n'
            '[board]\nport = "/dev/null"\n[[detectors]]\nchannel = 1\ndatastream = "det/1"\n'
            '[[tasks]]\nname = "flow"\nbundle = "traffic-flow"\nsites = [{ output = "det/1" }]\n'
        )
        with (home / "agent.log").open("wb") as log:
            agent = subprocess.Popen([*WAYSIDE, "agent", "run", str(home / "node.toml")], stdout=log, stderr=log)
        here.publish("1.0.0")
        here.roll_out("1.0.0")
        here.until(state="active", version="1.0.0", variant="onnx-int8", runtime="onnxruntime")
        yield here
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0, (home / "agent.log").read_text()[-3000:]
    finally:
        for process in (agent, hub):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        hub.stdout.close()


def test_a_bundle_with_a_wrong_golden_vector_is_refused_by_name_and_the_old_model_stays(street: Street) -> None:
    street.publish("1.0.1", golden_shift=5.0)  # correctly signed: only its answers are wrong
    street.roll_out("1.0.1")
    reported = street.until(state="refused", refusal="golden", attempted="1.0.1")
    assert reported["version"] == "1.0.0"
    assert "tolerance" in reported["reason"]


def flip_a_bit(paths: list[Path]) -> None:
    for path in paths:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def test_a_bundle_with_one_flipped_byte_is_refused_by_name_and_taken_once_it_is_whole(street: Street) -> None:
    street.publish("1.0.2")
    stored = [p for p in street.data.rglob("*traffic-flow-1.0.2.bundle") if p.is_file()]
    assert stored
    flip_a_bit(stored)
    street.roll_out("1.0.2")
    reported = street.until(state="refused", refusal="hash", attempted="1.0.2")
    assert reported["version"] == "1.0.0"
    rollout = street.rollouts()["1.0.2"]
    assert rollout["state"] == "running"
    (member,) = rollout["phases"][0]["nodes"]
    assert member["state"] == "trying"
    deadline = time.monotonic() + 60
    while "cannot be installed, it is tried again: hash" not in street.alerts():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    flip_a_bit(stored)
    street.until(state="active", version="1.0.2")


def test_the_operator_sees_what_stayed_and_what_passed(street: Street) -> None:
    rollouts = street.rollouts()
    assert rollouts["1.0.0"]["state"] == "completed"
    assert rollouts["1.0.1"]["state"] == "aborted"
    assert "golden" in rollouts["1.0.1"]["reason"]
    assert rollouts["1.0.2"]["state"] == "completed"
    assert "refused: golden" in street.alerts()


def test_the_node_takes_the_next_good_release_after_all_that(street: Street) -> None:
    street.publish("1.0.3")
    street.roll_out("1.0.3")
    street.until(state="active", version="1.0.3")
