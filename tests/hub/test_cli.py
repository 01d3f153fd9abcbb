"""``wayside hub`` and ``wayside rollout``: plain words, plain errors, files with the right modes."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.bundles import air_offer, bundle_of
from tests.hub.conftest import OPERATOR, ROOT, HubProcess
from tests.hub.offline_keys import OfflineKeys


def wayside(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WAYSIDE")}
    return subprocess.run(
        [sys.executable, "wayside.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean | environment,
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_init_makes_private_keys_once_and_token_prints_one(tmp_path: Path) -> None:
    data = tmp_path / "hub"
    assert wayside("hub", "init", "--data", str(data)).returncode == 0
    secret = (data / "operator.token").read_text()
    for file in ("operator.token", "tuf/online.key"):
        assert (data / file).stat().st_mode & 0o777 == 0o600
    assert wayside("hub", "init", "--data", str(data)).returncode == 0
    assert (data / "operator.token").read_text() == secret
    made = json.loads(wayside("hub", "token", "--node", "node-1", "--data", str(data), "--json").stdout)
    assert made["node"] == "node-1"
    assert len(made["token"]) >= 32


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    assert "hub init" in complaint(wayside("hub", "run", "--data", str(tmp_path / "none")))
    assert "hub init" in complaint(wayside("hub", "token", "--data", str(tmp_path)))
    assert "does not answer" in complaint(wayside("rollout", "list", "--hub", "http://127.0.0.1:9"))
    assert "is no address" in complaint(wayside("rollout", "list", "--hub", "http://[::"))
    assert "not a list of percentages" in complaint(wayside("rollout", "start", "b", "1.0.0", "--phases", "all"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        data = tmp_path / "hub"
        wayside("hub", "init", "--data", str(data))
        port = str(taken.getsockname()[1])
        assert "already in use" in complaint(wayside("hub", "run", "--data", str(data), "--port", port))


@pytest.mark.parametrize("spoil", ["tuf/online.key", "operator.token"])
def test_a_data_directory_with_a_spoilt_file_is_refused(tmp_path: Path, spoil: str) -> None:
    data = tmp_path / "hub"
    wayside("hub", "init", "--data", str(data))
    (data / spoil).write_text("short")
    assert Path(spoil).name in complaint(wayside("hub", "run", "--data", str(data), "--port", "0"))


def test_a_rollout_from_the_command_line(hub_process: Callable[[], HubProcess]) -> None:
    hub = hub_process()
    node = hub.node("node-1")
    keys = OfflineKeys(hub.client)
    keys.initialise()
    for version in ("1.0.0", "1.0.1"):
        keys.publish(version, bundle_of(version))
    node.sync()
    start = ("rollout", "start", "traffic-flow", "1.0.0", "--hub", hub.url, "--phases", "100", "--json")
    assert "operator" in complaint(wayside(*start))
    made = wayside(*start, WAYSIDE_OPERATOR_TOKEN=OPERATOR)
    assert made.returncode == 0, made.stderr
    number = str(json.loads(made.stdout)["id"])
    assert node.sync().desired is not None
    assert "paused" in wayside("rollout", "pause", number, "--hub", hub.url, "--operator-token", OPERATOR).stdout
    assert "running" in wayside("rollout", "resume", number, "--hub", hub.url, "--operator-token", OPERATOR).stdout
    node.run("1.0.0")
    node.sync()
    watched = wayside("rollout", "show", number, "--hub", hub.url, "--watch", "--json", WAYSIDE_OPERATOR_TOKEN=OPERATOR)
    assert json.loads(watched.stdout)["state"] == "completed"
    assert "completed" in wayside("rollout", "list", "--hub", hub.url, WAYSIDE_OPERATOR_TOKEN=OPERATOR).stdout
    token = ("--hub", hub.url, "--operator-token", OPERATOR)
    assert "is completed: only one that runs or is paused can be aborted" in complaint(
        wayside("rollout", "abort", number, *token)
    )
    assert "'1.0' is no version" in complaint(wayside("rollout", "start", "traffic-flow", "1.0", *token))
    assert "that rise" in complaint(wayside("rollout", "start", "traffic-flow", "1.0.1", "--phases", "50,10", *token))


def test_a_way_back_from_the_command_line(hub_process: Callable[[], HubProcess]) -> None:
    hub = hub_process()
    node, other = hub.node("node-1"), hub.node("node-2")
    other.offer = air_offer()
    keys = OfflineKeys(hub.client)
    keys.initialise()
    for version in ("1.0.0", "1.0.1"):
        keys.publish(version, bundle_of(version))
    node.run("1.0.0")
    node.sync()
    other.sync()
    told = functools.partial(wayside, WAYSIDE_OPERATOR_TOKEN=OPERATOR, WAYSIDE_HUB=hub.url)

    seen = told("rollout", "start", "traffic-flow", "1.0.1", "--dry-run").stdout
    whole = "1 of 2 nodes can take traffic-flow 1.0.1 1 cannot take it: no task for traffic-flow (node-2)"
    assert " ".join(seen.split()) == whole
    assert json.loads(told("rollout", "list", "--json").stdout)["rollouts"] == []
    shown = told("rollout", "start", "traffic-flow", "1.0.1", "--phases", "100").stdout
    assert "running, phase 1 of 1: 0 of 1 nodes run it" in shown
    assert "1 cannot take it: no task for traffic-flow" in shown
    node.run("1.0.1")
    node.sync()
    for _ in range(2):
        back = json.loads(told("rollout", "back", "traffic-flow", "--now", "--json").stdout)
        assert (back["version"], back["back_of"]) == ("1.0.0", 1)
    assert len(json.loads(told("rollout", "list", "--json").stdout)["rollouts"]) == 2
    node.run("1.0.0")
    node.sync()
    assert "completed: the one node ran it" in told("rollout", "show", "traffic-flow", "--watch").stdout

    assert "say why" in complaint(told("rollout", "withdraw", "traffic-flow", "1.0.1"))
    withdraw = ("rollout", "withdraw", "traffic-flow", "1.0.1")
    assert "Nobody gets it again" in told(*withdraw, "--reason", "double in rain").stdout
    listed = told("rollout", "list").stdout
    assert "withdrawn: traffic-flow 1.0.1: double in rain" in listed
    assert "double in rain" in complaint(told("rollout", "start", "traffic-flow", "1.0.1"))
    assert json.loads(told(*withdraw, "--undo", "--json").stdout)["withdrawn"] is False
    assert "no rollout of 'none'" in complaint(told("rollout", "back", "none"))
    assert "no_fit" not in complaint(told("rollout", "start", "none", "1.0.0"))
