"""The real hub process, the release verbs, a real node's updater: one release travels the whole way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.simulators.signed_hub import bundle, node_updater
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.sync import Desired
from wayside.export.cli import release

pytest.importorskip("wayside.cloud.hub.cli", reason="the hub's packages are not installed here")
ROOT = Path(__file__).resolve().parents[2]
WAYSIDE = [sys.executable, str(ROOT / "wayside.py")]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """(address, operator's token) of a hub process on a free port."""
    data = tmp_path_factory.mktemp("hub") / "data"
    subprocess.run([*WAYSIDE, "hub", "init", "--data", str(data)], check=True, capture_output=True, cwd=ROOT)
    process = subprocess.Popen(
        [*WAYSIDE, "hub", "run", "--data", str(data), "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process.stdout.readline().split()[1].rstrip("/"), (data / "operator.token").read_text().strip()
    finally:
        process.terminate()
        process.wait(10)


def call(*args: object, token: str = "", status: int = 0) -> str:
    done = CliRunner(env={"WAYSIDE_OPERATOR_TOKEN": token}).invoke(release, [str(arg) for arg in args])
    assert done.exit_code == status, done.output
    return done.stdout if status == 0 else done.stderr


def test_a_release_travels_from_the_keys_through_the_hub_onto_a_node(hub, tmp_path):
    url, token = hub
    keys = tmp_path / "keys"
    call("keys", keys)
    refused = call("init", "--keys", keys, "--hub", url, token="w" * 64, status=3)
    assert "set WAYSIDE_OPERATOR_TOKEN" in refused
    for _ in range(2):  # the second changes nothing
        assert "pin" in call("init", "--keys", keys, "--hub", url, token=token)
    node = node_updater(tmp_path / "node", keys / "root.json", url)
    early = Desired(bundle="traffic-flow", version="1.0.0", target="models/traffic-flow-1.0.0.bundle")
    assert node.install(early).reported.refusal is Refusal.METADATA

    for version, shift in (("1.0.0", 0.0), ("1.1.0", 0.0), ("1.2.0", 5.0)):
        path = tmp_path / f"{version}.bundle"
        path.write_bytes(bundle(version, golden_shift=shift))
        publish = ("publish", path, "--keys", keys, "--hub", url, "--json")
        published = json.loads(call(*publish, token=token))
        assert published["nodes"] == f"0 of 0 nodes can take traffic-flow {version}"
        reported = node.install(Desired(bundle="traffic-flow", version=version, target=published["target"])).reported
        if shift:
            assert (reported.state, reported.refusal) == (UpdateState.REFUSED, Refusal.GOLDEN)
            assert reported.version == "1.1.0"
        else:
            assert (reported.state, reported.version) == (UpdateState.ACTIVE, version)
    assert "already" in call(*publish, token=token, status=1)

    call("renew", "targets", "--keys", keys, "--hub", url, token=token)
    shown = json.loads(call("show", "--hub", url, "--root", keys / "root.json", "--json"))
    assert [r["version"] for r in shown["releases"]] == ["1.0.0", "1.1.0", "1.2.0"]
    assert shown["roles"]["targets"]["version"] == 2
