"""`wayside doctor`: the real firmware, a running agent, a damaged slot, machines that tell of their supply."""

from __future__ import annotations

import fcntl
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.edge.test_cli import wayside
from tests.simulators.agent import ROOT, AgentProcess, answers_at, free_port, node_toml
from tests.simulators.board import BoardProcess
from tests.simulators.exported_bundle import exported
from wayside.contracts.node_config import ModelConfig, NodeConfig, load_node_config
from wayside.contracts.sensor_config import BoardConfig
from wayside.edge.clock import ClockError
from wayside.edge.doctor.examine import examine
from wayside.edge.doctor.finding import Finding
from wayside.edge.doctor.machine import Machine
from wayside.edge.doctor.sensors import check_board
from wayside.edge.update.slots import Slots
from wayside.firmware_bridge.line.borrow import borrowed

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


def bundle_in(unit: str, bundle: str = "traffic-flow") -> bytes:
    """The exported bundle, as if its model forecast ``unit``."""
    content = exported().bundle
    assert content is not None
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "passport.json":
                passport = json.loads(data)
                passport["bundle"], passport["task"]["output_unit"] = bundle, unit
                passport["task"]["inputs"][0]["unit"] = unit
                data = json.dumps(passport).encode()
            new.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize("folder", ["state/model", "state/model/traffic-flow"])
def test_the_installed_model_is_tested_here_and_a_damaged_one_fails(tmp_path: Path, folder: str) -> None:
    content = bundle_in("{veh}")
    node = config(model=ModelConfig())
    nothing = found(node, tmp_path)["task flow"]
    assert (nothing.state, "no version of traffic-flow has come yet" in nothing.said) == ("warn", True)
    slot = Slots(tmp_path / folder).write(content, keep=None)
    good = found(node, tmp_path)["task flow"]
    assert good.state == "ok"
    assert "golden test passed" in good.said
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    (tmp_path / folder / f"{slot}.bundle").write_bytes(damaged)
    assert found(node, tmp_path)["task flow"].state == "fail"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: bundle_in("kW"), "the model wants volume in kW"),
        (lambda: bundle_in("{veh}", "pm25"), "this is pm25; the task flow takes traffic-flow and no other"),
    ],
)
def test_an_installed_model_that_does_not_fit_its_task_fails_with_the_misfit(
    tmp_path: Path, content: Callable[[], bytes], why: str
) -> None:
    Slots(tmp_path / "state" / "model").write(content(), keep=None)
    task = found(config(), tmp_path)["task flow"]
    assert task.state == "fail"
    assert task.said.startswith("runs no model, because")
    assert why in task.said
    assert "wayside node check --passport" in task.fix


def test_what_the_agent_says_of_its_models_and_conditions_is_passed_on(tmp_path: Path) -> None:
    since = {"boot": "0" * 32, "mono_ns": 5, "wall_ms": 1_704_067_200_000, "clock": "ntp"}
    worse = {"code": "model_worse", "subject": "flow", "message": "MAE 9, persistence 5", "since": since}
    noisy = {"code": "hub_slow", "subject": "hub", "message": "slow", "since": {**since, "wall_ms": None}}
    noisy = {**noisy, "since": {"boot": "0" * 32, "mono_ns": 5}, "severe": False, "times": 4}
    runs = {"name": "flow", "bundle": "traffic-flow", "model": "1.2.0"}
    measured = {"compared": 412, "mae": 4.3, "mae_persistence": 5.1}
    model = {"bundle": "traffic-flow", "version": "1.2.0", "variant": "onnx-int8", "runtime": "onnxruntime"}
    agent_says(tmp_path, tasks=[runs | measured], models=[model], conditions=[noisy, worse, "nonsense"])
    findings = list(examine(config(), tmp_path, listen_s=0.1))
    (task,) = [f for f in findings if f.check == "task flow"]
    assert task.state == "warn"
    assert task.said == (
        "traffic-flow 1.2.0 (onnx-int8 on onnxruntime), 412 forecasts compared, MAE 4.3 vs persistence 5.1, "
        "with model_worse"
    )
    severe, other = [f for f in findings if f.check == "condition"]
    assert (severe.state, other.state) == ("fail", "warn")
    assert severe.said == "flow: MAE 9, persistence 5 (model_worse), since 2024-01-01 00:00 UTC"
    assert other.said == "hub: slow (hub_slow, 4 times), since before the clock was known"
    (agent,) = [f for f in findings if f.check == "agent"]
    assert (agent.state, "model_worse" in agent.said) == ("fail", True)


def test_the_status_shows_every_task_and_every_open_condition(tmp_path: Path) -> None:
    since = {"boot": "0" * 32, "mono_ns": 5}
    fault = {"code": "signal_fault", "subject": "signal", "message": "the conflict monitor has tripped", "since": since}
    tasks = [
        {"name": "flow", "bundle": "traffic-flow", "model": "1.2.0"},
        {"name": "air", "bundle": "pm25-24h", "why": "no version of pm25-24h fits"},
        {"name": "load", "bundle": "load"},
    ]
    agent_says(tmp_path, healthy=False, tasks=tasks, conditions=[fault])
    (tmp_path / "node.toml").write_text(node_toml("/dev/nothing", anchor_s=ANCHOR))
    shown = wayside("node", "status", str(tmp_path / "node.toml")).stdout
    rows = {line[:24].strip(): line[25:] for line in shown.splitlines()}
    assert rows["healthy"] == "no"
    assert rows["task flow"] == "traffic-flow 1.2.0"
    assert rows["task air"] == "runs no model, because no version of pm25-24h fits"
    assert rows["task load"] == "runs no model, because none came yet"
    assert rows["wrong"].startswith("signal: the conflict monitor has tripped (signal_fault), since before the clock")
    (tmp_path / "state" / "status.json").write_text('{"readings": 3}')
    refused = wayside("node", "status", str(tmp_path / "node.toml"))
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)


def test_the_status_of_an_agent_that_is_gone_says_so_and_claims_no_health(tmp_path: Path) -> None:
    agent_says(tmp_path, pid=2**22 + 1)  # beyond the largest process number of Linux
    (tmp_path / "node.toml").write_text(node_toml("/dev/nothing", anchor_s=ANCHOR))
    shown = wayside("node", "status", str(tmp_path / "node.toml")).stdout
    rows = {line[:24].strip(): line[25:] for line in shown.splitlines()}
    assert rows["agent"].startswith("is not running, or is stuck")
    assert rows["healthy"] == "not known (it said yes)"
    status = json.loads(wayside("node", "status", str(tmp_path / "node.toml"), "--json").stdout)
    assert (status["agent_runs"], status["healthy"]) == (False, True)
    assert 0 <= status["age_s"] < 60


@pytest.mark.parametrize(("board", "why"), [({}, "is not reached"), ({"lent": True}, "is lent")])
def test_what_detectors_counted_before_their_board_went_is_not_called_ok(
    tmp_path: Path, board: dict[str, bool], why: str
) -> None:
    readings = [detector("det/1", 3), detector("det/2", 4)]
    agent_says(tmp_path, readings=readings, board={"connected": False} | board)
    sensors = found(config(), tmp_path)["sensors"]
    assert (sensors.state, why in sensors.said) == ("skip", True)


def test_a_task_without_a_model_fails_with_the_agents_reason(tmp_path: Path) -> None:
    why = "this model classifies pictures; the task flow forecasts det/1"
    agent_says(tmp_path, tasks=[{"name": "flow", "bundle": "traffic-flow", "why": why}])
    task = found(config(), tmp_path)["task flow"]
    assert (task.state, task.said) == ("fail", f"runs no model, because {why}")
    assert "wayside rollout start traffic-flow" in task.fix


def test_a_task_that_waits_for_its_first_rollout_does_not_fail(tmp_path: Path) -> None:
    why = "no traffic-flow has been installed yet; a rollout brings one"
    waits = {"code": "no_model", "subject": "flow", "message": f"this task runs no model, because {why}"}
    waits |= {"since": {"boot": "0" * 32, "mono_ns": 5}, "severe": False}
    agent_says(tmp_path, tasks=[{"name": "flow", "bundle": "traffic-flow", "why": why}], conditions=[waits])
    task = found(config(), tmp_path)["task flow"]
    assert (task.state, task.said) == ("warn", f"runs no model, because {why}")


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


@pytest.mark.parametrize(
    ("uptime_s", "fix"), [(3.0, "ask again in 10 s; then check the cable"), (60.0, "check the cable"), (None, "check")]
)
def test_an_agent_that_has_only_started_is_given_time_to_reach_its_board(uptime_s: float | None, fix: str) -> None:
    agent = {"board": {"connected": False}, "uptime_s": uptime_s}
    (finding,) = check_board(BoardConfig(port="/dev/ttyUSB0"), agent, 0.1)
    assert finding.state == "fail"
    assert finding.fix.startswith(fix)


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


def test_a_terminal_that_knows_no_arrow_shows_the_rest(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml("/dev/nothing", anchor_s=ANCHOR))
    done = subprocess.run(
        [sys.executable, str(ROOT / "wayside.py"), "doctor", str(tmp_path / "node.toml")],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"},
    )
    assert b"? check the cable" in done.stdout
    assert done.stderr == b""


# --- broken set-ups ---------------------------------------------------------------------------------------------------

BUTTON = '[gpio]\nfactory = "mock"\n[[gpio.contacts]]\npin = 17\ndatastream = "ped/1/presses"\nrole = "ped_button"\n'


def agent_says(folder: Path, **more: object) -> None:
    """The status file of an agent that lives: this process."""
    (folder / "state").mkdir(exist_ok=True)
    document = {"pid": os.getpid(), "healthy": True, **more}
    (folder / "state" / "status.json").write_text(json.dumps(document))


def detector(name: str, value: int | None, quality: str = "good") -> dict[str, object]:
    return {"datastream": name, "value": value, "quality": quality}


@pytest.mark.parametrize(
    ("readings", "state", "what"),
    [
        ([detector("det/1", 3), detector("det/2", 4)], "ok", "2 detectors count"),
        ([detector("det/1", 3), detector("det/2", 0)], "warn", "det/2 has counted nothing"),
        ([detector("det/1", 3)], "warn", "det/2 has said nothing yet"),
        ([detector("det/1", 3), detector("det/2", 4, "gap")], "warn", "det/2 gap"),
        ([detector("det/1", 3), detector("det/2", 0, "stuck_on")], "fail", "det/2 stuck_on"),
        ([detector("det/1", 99, "chatter"), detector("det/2", 0)], "fail", "det/1 chatter; det/2 has counted nothing"),
        ([detector("det/1", 3), detector("det/2", 0, "no_hit")], "fail", "det/2 no_hit"),
    ],
)
def test_a_dead_detector_fails_and_a_silent_one_is_not_said_to_be_well(
    tmp_path: Path, readings: list[dict[str, object]], state: str, what: str
) -> None:
    agent_says(tmp_path, readings=readings)
    sensors = found(config(), tmp_path)["sensors"]
    assert sensors.state == state
    assert what in sensors.said


def test_a_contact_that_the_agent_could_not_open_fails(tmp_path: Path) -> None:
    node = load_node_config(node_toml("/dev/nothing", anchor_s=ANCHOR, extra=BUTTON))
    good = [detector("det/1", 3), detector("det/2", 4)]
    agent_says(tmp_path, readings=good, contacts=[])
    assert found(node, tmp_path)["sensors"].said == "ped/1/presses is not watched"
    agent_says(tmp_path, readings=good, contacts=[{"datastream": "ped/1/presses", "closed": False}])
    assert found(node, tmp_path)["sensors"].state == "ok"


def test_a_time_zone_that_this_computer_has_lost_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(name: str) -> None:
        raise ClockError(f"{name}: no such zone")

    monkeypatch.setattr("wayside.edge.doctor.machine.LocalCalendar", lost)
    said = found(config(), tmp_path)["time"]
    assert (said.state, said.said) == ("fail", f"{config().clock.timezone}: no such zone")


def test_ntp_that_is_lost_in_time_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wayside.edge.doctor.machine.kernel_sync_error_ms", lambda: 5)
    clock = msgspec.structs.replace(config().clock, kind="system")
    assert found(config(clock=clock), tmp_path)["time"].state == "ok"
    monkeypatch.setattr("wayside.edge.doctor.machine.time.time", lambda: 300.0)
    assert found(config(clock=clock), tmp_path)["time"].state == "fail"


@pytest.mark.parametrize("folder", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_the_supply_is_found_on_every_raspberry_pi(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "sys/devices/platform" / folder / "get_throttled"
    path.parent.mkdir(parents=True)
    path.write_text("50005\n")
    assert found(config(), tmp_path, Machine(tmp_path))["power"].state == "fail"


@pytest.mark.parametrize(("alarm", "state"), [("0", "ok"), ("1", "fail")])
def test_on_another_kernel_than_the_raspberry_pis_own_the_supplys_alarm_is_asked(
    tmp_path: Path, alarm: str, state: str
) -> None:
    for number, name in enumerate(("cpu_thermal", "rpi_volt")):
        chip = tmp_path / f"sys/class/hwmon/hwmon{number}"
        chip.mkdir(parents=True)
        (chip / "name").write_text(f"{name}\n")
    (chip / "in0_lcrit_alarm").write_text(f"{alarm}\n")
    assert found(config(), tmp_path, Machine(tmp_path))["power"].state == state


@contextmanager
def without_root() -> Iterator[None]:
    """As a user who owns nothing here."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's files")
def test_a_user_who_may_not_look_is_told_so(tmp_path: Path) -> None:
    node = load_node_config(node_toml("/dev/nothing", anchor_s=ANCHOR, hub='[hub]\nurl = "http://127.0.0.1:9"\n'))
    agent_says(tmp_path, readings=[])
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own are closed to others
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    (tmp_path / "state" / "status.json").chmod(0o600)
    with without_root():
        said = found(node, tmp_path)
    assert said["agent"].state == "warn"
    assert "Permission denied" in said["agent"].said
    (tmp_path / "state").chmod(0o700)
    with without_root():
        said = found(node, tmp_path)
    for check in ("disk", "enrolment", "task flow"):
        assert said[check].state == "fail", check
        assert "sudo" in said[check].fix


@pytest.mark.parametrize("pid", ["99999999999999999999999", '"x"', "null", "[]"])
def test_a_status_file_that_makes_no_sense_is_no_running_agent(tmp_path: Path, pid: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "status.json").write_text(f'{{"pid": {pid}}}')
    assert found(config(), tmp_path)["agent"].said == "is not running"


def test_what_an_agent_said_long_ago_is_not_its_word_now(tmp_path: Path) -> None:
    agent_says(tmp_path)
    status = tmp_path / "state" / "status.json"
    os.utime(status, (time.time() - 3600,) * 2)
    assert found(config(), tmp_path)["agent"].state == "warn"
    with (tmp_path / "state" / "agent.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert found(config(), tmp_path)["agent"].state == "fail"


def test_a_port_that_is_lent_is_not_touched(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board:
        with borrowed(board.port):
            said = found(config(board.port), tmp_path)["board"]
        assert said.state == "warn"
        assert "lent" in said.said
        assert found(config(board.port), tmp_path)["board"].state == "ok"


def test_a_full_disk_is_called_full_and_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir()
    assert found(config(), tmp_path)["disk"].state == "ok"
    assert list((tmp_path / "state").iterdir()) == []

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wayside.edge.doctor.machine.tempfile.TemporaryFile", full)
    disk = found(config(), tmp_path)["disk"]
    assert (disk.state, disk.fix) == ("fail", "free room: the disk is full")


def _drip(server: socket.socket, answer: bytes) -> None:
    while True:
        try:
            caller, _ = server.accept()
            caller.recv(4096)
            caller.sendall(answer)
            while True:
                caller.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            if server.fileno() < 0:
                return


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", "fail"),  # a header without end
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
            "fail",
        ),  # a body without end, and not as a hub's begins
        (b"SSH-2.0-OpenSSH_9.2\r\n", "fail"),
    ],
)
def test_whoever_answers_a_byte_at_a_time_is_given_up(tmp_path: Path, answer: bytes, state: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_drip, args=(server, answer), daemon=True).start()
        port = server.getsockname()[1]
        hub = f'[hub]\nurl = "http://127.0.0.1:{port}"\ntimeout_s = 0.5\n'
        said = found(load_node_config(node_toml("/dev/nothing", anchor_s=ANCHOR, hub=hub)), tmp_path)["hub"]
    assert said.state == state
    assert said.fix


def test_a_name_that_nobody_resolves_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60) and [])
    hub = '[hub]\nurl = "http://hub.example"\ntimeout_s = 0.2\n'
    said = found(load_node_config(node_toml("/dev/nothing", anchor_s=ANCHOR, hub=hub)), tmp_path)["hub"]
    ended.set()
    assert said.state == "fail"
    assert "name server" in said.fix


def test_whatever_fails_comes_with_what_to_do(tmp_path: Path) -> None:
    hub = '[hub]\nurl = "http://127.0.0.1:9"\nca = "none.pem"\n'.replace("http:", "https:")
    rs485 = '[modbus]\nport = "/dev/rs485-none"\n[[modbus.registers]]\ndevice = 1\naddress = 0\ndatastream = "m"\n'
    node = load_node_config(node_toml("/dev/nothing", anchor_s=ANCHOR, hub=hub, extra=rs485))
    machine = pretend(tmp_path / "machine", throttled="1", milli_c="90000")
    (tmp_path / "state" / "model").mkdir(parents=True)
    (tmp_path / "state" / "model" / "a.json").write_text("{")
    said = found(node, tmp_path, machine)
    failed = {name for name, finding in said.items() if finding.state == "fail"}
    assert failed == {"power", "temperature", "port", "board", "modbus", "hub", "trust root", "task flow"}
    assert all(finding.fix for finding in said.values() if finding.state in ("fail", "warn"))


def forecourt(port: int) -> str:
    return f"""node = "forecourt"
state_dir = "state"
manual.port = {port}
[[manual.values]]
datastream = "ed/arrivals"
kind = "events"
[[manual.values]]
datastream = "ed/beds"
kind = "gauge"
[[manual.files]]
path = "beds.csv"
columns = {{ beds = "ed/beds" }}
"""


def test_what_other_systems_need_is_looked_at(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        node = load_node_config(forecourt(other.getsockname()[1]))
        said = found(node, tmp_path)
        assert (said["manual"].state, said["file"].state) == ("fail", "fail"), "the port is taken, there is no file"
    (tmp_path / "beds.csv").write_text("time,berths\n")
    said = found(node, tmp_path)
    assert said["manual"].state == "ok"
    assert "no column beds" in said["file"].said
    (tmp_path / "beds.csv").write_text("time,beds\n2026-03-01T10:00Z,7\n2026-03-01T11")
    assert "ed/beds 7" in found(node, tmp_path)["file"].said, "half a line is none"


def test_beside_a_running_agent_the_doctor_says_what_it_was_told(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "beds.csv").write_text("time,beds\n")
    node = load_node_config(forecourt(port))
    with AgentProcess(tmp_path, forecourt(port)) as agent:
        agent.wait(lambda a: "readings" in a.status and answers_at(port))
        said = found(node, tmp_path)
        assert (said["manual"].state, said["told"].state) == ("ok", "warn"), said
        both = [
            {"datastream": "ed/arrivals", "value": 2, "id": "a"},
            {"datastream": "ed/beds", "value": 9},
        ]
        assert (
            httpx.post(f"http://127.0.0.1:{port}/v1/values", json=both, timeout=30, trust_env=False).status_code == 200
        )
        agent.wait(lambda a: all(r["value"] is not None for r in a.status["readings"]))
        assert found(node, tmp_path)["told"].said == "ed/arrivals 2 1; ed/beds 9 1"
