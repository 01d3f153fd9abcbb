"""`wayside doctor`: the real firmware, a running agent, a damaged slot, machines that tell of their supply."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from contracts.node_config import ModelConfig, NodeConfig, load_node_config
from edge.doctor import Finding, Machine, examine
from edge.slots import Slots
from tests.edge.test_cli import wayside
from tests.simulators.agent import ROOT, AgentProcess, node_toml
from tests.simulators.board import BoardProcess
from tests.simulators.exported_bundle import exported

ANCHOR = 1e9


def config(port: str = "/dev/nothing", **more: object) -> NodeConfig:
    return msgspec.structs.replace(load_node_config(node_toml(port, anchor_s=ANCHOR)), **more)


def found(node: NodeConfig, folder: Path, machine: Machine | None = None) -> dict[str, Finding]:
    return {f.check: f for f in examine(node, folder, machine=machine, listen_s=2.0)}


def pretend(folder: Path, throttled: str | None = None, milli_c: str | None = None) -> Machine:
    if throttled is not None:
        path = folder / "sys/devices/platform/soc/soc:firmware/get_throttled"
        path.parent.mkdir(parents=True)
        path.write_text(throttled + "\n")
    if milli_c is not None:
        path = folder / "sys/class/thermal/thermal_zone0/temp"
        path.parent.mkdir(parents=True)
        path.write_text(milli_c + "\n")
    return Machine(folder)


def test_a_board_that_answers_is_named_with_its_firmware(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board:
        said = found(config(board.port), tmp_path)
    assert said["board"].state == "ok"
    assert "board-1 firmware" in said["board"].said
    assert said["port"].state == "ok"


def test_another_board_on_the_port_fails_with_both_names(tmp_path: Path) -> None:
    node = config()
    with BoardProcess(tmp_path, board_id="board-9") as board:
        assert node.board is not None
        wanted = msgspec.structs.replace(node.board, port=board.port, identity="board-1")
        said = found(msgspec.structs.replace(node, board=wanted), tmp_path)
    assert said["board"].state == "fail"
    assert "board-9" in said["board"].said
    assert "board-1" in said["board"].said


def test_of_the_ports_that_a_pattern_names_the_boards_own_is_found(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "own").mkdir()
    with BoardProcess(tmp_path / "other", board_id="board-9"), BoardProcess(tmp_path / "own") as board:
        wanted = msgspec.structs.replace(config().board, port=f"{tmp_path}/o*/board.tty", identity="board-1")
        said = found(config(board=wanted), tmp_path)
    assert said["port"].state == said["board"].state == "ok"
    assert said["board"].said.endswith(board.port)
    wanted = msgspec.structs.replace(wanted, port=f"{tmp_path}/nothing*")
    said = found(config(board=wanted), tmp_path)
    assert said["port"].state == said["board"].state == "fail"
    assert "nothing matches" in said["port"].said


def test_a_port_that_is_not_there_fails_with_what_to_do(tmp_path: Path) -> None:
    said = found(config(), tmp_path)
    assert said["port"].state == said["board"].state == "fail"
    assert "does not exist" in said["port"].said
    assert "board.port" in said["port"].fix


@pytest.mark.parametrize(
    ("throttled", "state", "what"),
    [
        (None, "skip", ""),
        ("0", "ok", ""),
        ("10000", "warn", "since the start"),
        ("4", "warn", "slowed down"),
        ("50005", "fail", "under-voltage now"),
    ],
)
def test_the_supply_of_a_raspberry_pi_is_judged(tmp_path: Path, throttled: str | None, state: str, what: str) -> None:
    power = found(config(), tmp_path, pretend(tmp_path / "machine", throttled=throttled))["power"]
    assert power.state == state
    assert what in power.said


@pytest.mark.parametrize(("milli_c", "state"), [(None, "skip"), ("45123", "ok"), ("76000", "warn"), ("88000", "fail")])
def test_heat_is_judged(tmp_path: Path, milli_c: str | None, state: str) -> None:
    assert found(config(), tmp_path, pretend(tmp_path / "machine", milli_c=milli_c))["temperature"].state == state


def test_a_disk_smaller_than_what_the_node_may_need_fails(tmp_path: Path) -> None:
    storage = msgspec.structs.replace(config().storage, outbox_bytes=10**15)
    disk = found(config(storage=storage), tmp_path)["disk"]
    assert disk.state == "fail"
    assert "outbox_bytes" in disk.fix


def test_the_installed_model_is_tested_here_and_a_damaged_one_fails(tmp_path: Path) -> None:
    content = exported().bundle
    assert content is not None
    node = config(model=ModelConfig())
    folder = tmp_path / "state" / "model"
    folder.mkdir(parents=True)
    assert found(node, tmp_path)["model"].state == "skip"
    slot = Slots(folder).write(content, keep=None)
    good = found(node, tmp_path)["model"]
    assert good.state == "ok"
    assert "golden test passed" in good.said
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    (folder / f"{slot}.bundle").write_bytes(damaged)
    assert found(node, tmp_path)["model"].state == "fail"


def test_a_hub_that_does_not_answer_fails_and_the_trust_root_is_looked_at(tmp_path: Path) -> None:
    toml = node_toml("/dev/nothing", anchor_s=ANCHOR, hub='[hub]\nurl = "http://127.0.0.1:9"\n')
    said = found(load_node_config(toml), tmp_path)
    assert said["hub"].state == "fail"
    assert said["trust root"].state == "fail"
    assert said["enrolment"].state == "warn"
    (tmp_path / "root.json").write_text("[]")
    assert found(load_node_config(toml), tmp_path)["trust root"].said.endswith("is no TUF root")


def test_beside_a_running_agent_its_board_and_sensors_are_asked_of_it(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board, AgentProcess(tmp_path, node_toml(board.port, anchor_s=time.time())) as agent:
        agent.wait(lambda a: a.status.get("board", {}).get("connected"))
        done = wayside("doctor", str(agent.config), "--json")
        still = agent.status["board"]["connected"]
    said = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
    assert said["agent"]["state"] == "ok"
    assert said["board"]["state"] == "ok"
    assert "port" not in said  # the agent has it
    assert said["sensors"]["state"] in ("warn", "ok")
    assert still


def test_the_verb_prints_each_fix_and_its_status_says_whether_something_fails(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml("/dev/nothing", anchor_s=ANCHOR))
    done = wayside("doctor", str(tmp_path / "node.toml"))
    assert done.returncode == 1
    assert "fail board" in done.stdout
    assert "→ check the cable" in done.stdout
    lines = (tmp_path / "node.toml").read_text().replace('port = "/dev/nothing"', f'port = "{tmp_path}/board.tty"')
    (tmp_path / "node.toml").write_text(lines)
    with BoardProcess(tmp_path):
        done = wayside("doctor", str(tmp_path / "node.toml"))
    assert done.returncode == 0, done.stdout
    assert "nothing fails" in done.stdout


def test_a_configuration_with_a_mistake_is_refused_by_field(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml("/dev/null", anchor_s=ANCHOR).replace("cycle_s = 60", "cycle_s = 61"))
    done = subprocess.run(
        [sys.executable, str(ROOT / "wayside.py"), "doctor", str(tmp_path / "node.toml")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert done.returncode == 1
    assert "cycle_s" in done.stderr
