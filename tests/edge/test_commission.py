"""What a walk asks, hears and keeps, without a terminal; the signed record and its page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tests.edge.test_cli import wayside
from tests.simulators.agent import ROOT, node_toml
from wayside.contracts.commissioning import CommissioningRecord, DoctorFinding, SensorCheck, SignedCommissioning
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.wire import decode, encode
from wayside.edge.commission.page import lines, page, summary
from wayside.edge.commission.record import (
    BOOT,
    FOLDER,
    CommissionError,
    Progress,
    WalkFile,
    may_write,
    now,
    records,
    verified,
    write_record,
)
from wayside.edge.commission.sensor_walk import QUIET_S, REST_S, Question, SensorWalk, State, Target, targets
from wayside.edge.commission.walk import Options, commission
from wayside.edge.identity import load_or_create
from wayside.edge.status import STATUS_FILE

DETECTORS = {f"det/{i}": Target(f"det/{i}", "detector", "detector", i, f"channel {i}") for i in (1, 2, 3)}
BUTTON = Target("ped/1", "contact", "ped_button", 17, "pin 17")
DOOR = Target("door", "contact", "cabinet_door", 27, "pin 27")
METER = Target("meter", "register", "register", 0, "device 1, input 0")
LUX = Target("lux", "analog", "value", 0, "analogue input 0")
ALL = DETECTORS | {t.datastream: t for t in (BUTTON, DOOR, METER, LUX)}


class Walked:
    """One sensor that is asked for, and what happens to it, a tenth of a second apart."""

    def __init__(self, target: Target) -> None:
        self.states = {name: State() for name in ALL}
        self.at_s = 100.0
        self.asked = SensorWalk(target, self.states, ALL, self.at_s)

    def moves(self, name: str, *levels: int) -> Walked:
        for level in levels:
            self.at_s += 0.1
            self.states[name].level = bool(level)
            self.asked.moved(name, bool(level), self.at_s)
            self.asked.tick(self.at_s)
        return self

    def waits(self, seconds: float) -> Walked:
        self.at_s += seconds
        self.asked.tick(self.at_s)
        return self

    def types(self, keys: str) -> Walked:
        for key in keys:
            self.asked.key(key, self.at_s)
        return self

    @property
    def check(self) -> SensorCheck:
        assert self.asked.check is not None
        return self.asked.check


def test_a_detector_passes_when_the_technician_says_that_it_was_their_vehicle() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 1, 0)
    assert walked.asked.question is Question.YOURS
    walked.types("y")
    assert (walked.check.outcome, walked.check.polarity, walked.check.actuations) == ("passed", "right", 1)


def test_an_answer_before_anything_moved_is_none() -> None:
    walked = Walked(DETECTORS["det/1"]).types("yyn")
    assert walked.asked.check is None
    assert "not yet" in walked.asked.remark
    assert walked.moves("det/1", 1).types("y").asked.check is None  # it stands on it
    assert walked.moves("det/1", 0).types("y").check.outcome == "passed"


def test_a_key_answers_the_question_that_was_shown_when_the_next_vehicle_came() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 1, 0).waits(2).moves("det/1", 1)
    assert walked.asked.question is Question.NOTHING_YET
    assert walked.types("y").check.outcome == "passed"


def test_somebody_elses_vehicle_begins_the_count_anew() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 1, 0, 1, 0).types("n")
    assert walked.asked.rises == 0
    assert walked.moves("det/1", 1, 0).types("y").check.actuations == 1


def test_a_detector_that_rests_occupied_is_inverted() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 0, 1).waits(REST_S)
    assert walked.asked.question is Question.RESTS
    walked.types("y")
    assert walked.asked.question is Question.FAULT
    assert walked.types("y").asked.check is None  # yes to what?
    walked.types("f")
    assert (walked.check.outcome, walked.check.polarity) == ("failed", "inverted")


def test_an_inverted_detector_that_is_mended_at_once_passes() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 0, 1).waits(REST_S).types("yr")
    walked.waits(1).moves("det/1", 0, 1, 0).types("y")
    assert (walked.check.outcome, walked.check.polarity) == ("passed", "right")


def test_a_vehicle_that_stands_on_the_loop_is_no_inversion() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 1)
    assert walked.asked.question is Question.NOTHING_YET
    walked.waits(QUIET_S + 1)
    assert walked.asked.question is Question.RESTS
    assert walked.types("n").moves("det/1", 0).waits(1).types("y").check.polarity == "right"


def test_a_detector_that_only_sends_pulses_passes_with_unknown_polarity() -> None:
    assert Walked(DETECTORS["det/1"]).moves("det/1", 1, 1).types("y").check.polarity == "unknown"


def test_another_detector_that_answers_instead_tells_of_swapped_wires() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/2", 1, 0)
    assert any("channel 1 and channel 2 swapped?" in line for line in walked.asked.says(60))
    walked.types("w")
    assert walked.asked.question is Question.FAULT
    walked.types("f")
    assert walked.check.outcome == "failed"
    assert walked.check.elsewhere == ("det/2",)
    assert "det/2 (channel 2) answered instead" in walked.check.said


def test_a_button_that_somebody_presses_meanwhile_hides_no_swapped_wires() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/2", 1, 0).moves("ped/1", 1, 0, 1, 0)
    walked.types("wf")
    assert "det/2 (channel 2) answered instead" in walked.check.said


def test_a_fault_that_the_board_reports_is_noted_with_a_pass() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/1", 1, 0)
    walked.states["det/1"].trouble = "the board reports: chatter"
    assert walked.types("y").check.said == "the board reports: chatter"


def test_other_traffic_while_the_right_one_answers_means_nothing() -> None:
    walked = Walked(DETECTORS["det/1"]).moves("det/2", 1, 0).moves("det/1", 1, 0)
    assert "w" not in walked.asked.keys().replace("[w]", "w").split("yes")[0]
    walked.types("w")
    assert "nothing else" in walked.asked.remark
    assert walked.types("y").check.elsewhere == ()


def test_a_button_passes_by_itself_and_one_that_rests_pressed_is_inverted() -> None:
    walked = Walked(BUTTON).moves("ped/1", 1)
    assert walked.asked.check is None
    assert walked.moves("ped/1", 0).check.polarity == "right"
    walked = Walked(BUTTON)
    walked.states["ped/1"].level = True
    walked.moves("ped/1", 0, 1).waits(REST_S)
    assert walked.asked.question is Question.RESTS
    assert walked.types("yf").check.polarity == "inverted"


@pytest.mark.parametrize(("level", "answer", "polarity"), [(1, "y", "right"), (0, "y", "right"), (0, "nf", "inverted")])
def test_a_door_is_compared_with_what_the_technician_sees(level: int, answer: str, polarity: str) -> None:
    walked = Walked(DOOR).moves("door", level)
    assert ("open" if level else "closed") in walked.asked.says(60)[-1]
    assert walked.types(answer).check.polarity == polarity


def test_a_register_is_compared_with_its_meter() -> None:
    walked = Walked(METER)
    assert walked.types("y").asked.check is None
    walked.states["meter"].value = "21.5 Cel"
    assert walked.types("y").check.said == "shows 21.5 Cel"
    walked = Walked(METER)
    walked.states["meter"].value = "21.5 Cel"
    assert "the meter does not" in walked.types("nf").check.said
    walked = Walked(METER)
    walked.states["meter"].trouble = "device 1 does not answer"
    assert walked.types("yf").check.said == "device 1 does not answer"


def test_a_value_without_a_meter_is_judged_by_the_technician() -> None:
    walked = Walked(LUX)
    assert "change" in LUX.ask
    assert walked.types("y").asked.check is None
    walked = Walked(LUX)
    walked.states["lux"].value = "850 lx"
    assert "Can it be 850 lx?" in walked.asked.says(60)
    assert walked.types("nf").check.said == "shows 850 lx, which cannot be"


def test_a_sensor_that_never_moves_says_what_to_look_at() -> None:
    walked = Walked(DETECTORS["det/1"])
    assert not walked.asked.says(60)
    assert "wired" in walked.waits(61).asked.says(60)[0]
    assert walked.types("f").check.said == "nothing moved"


# --- what is kept -----------------------------------------------------------------------------------------------------


def progress(**more: object) -> Progress:
    at = Stamp(boot=BOOT, mono_ns=1)
    return Progress(**{"id": "1" * 32, "by": "A. Muster", "started": at, "config_sha256": "0" * 64, **more})  # type: ignore[arg-type]


def record(**more: object) -> CommissioningRecord:
    at = Stamp(boot=BOOT, mono_ns=1)
    sensors = (SensorCheck(datastream="det/1", kind="detector", channel=1, outcome="passed", actuations=1),)
    plain = {"id": "1" * 32, "node": "n", "by": "A. <Muster>", "started": at, "finished": at, "agent": "0.1.0"}
    return CommissioningRecord(**{**plain, "config_sha256": "0" * 64, "sensors": sensors, **more})  # type: ignore[arg-type]


def test_a_walk_that_became_a_record_is_not_gone_on_with(tmp_path: Path) -> None:
    identity = load_or_create(tmp_path)
    may_write(tmp_path)
    file = WalkFile(tmp_path, "0" * 64, ("det/1",))
    file.save(progress())
    assert WalkFile(tmp_path, "0" * 64, ("det/1",)).load() == progress()
    assert WalkFile(tmp_path, "1" * 64, ("det/1",)).load() is None  # another configuration is another walk
    path = write_record(tmp_path, record(), identity)
    path.rename(path.with_suffix(".sent"))  # cut off here: the agent was faster than the end of the walk
    assert file.load() is None
    assert sorted(p.suffix for p in (tmp_path / FOLDER).iterdir()) == [".sent"]


def test_a_record_is_verified_and_a_changed_one_is_not_believed(tmp_path: Path) -> None:
    may_write(tmp_path)
    path = write_record(tmp_path, record(), load_or_create(tmp_path))
    (found,) = records(tmp_path)
    assert found.record == record()
    assert found.trouble is None
    signed = decode(path.read_bytes(), SignedCommissioning)
    changed = msgspec.structs.replace(signed, record=signed.record.replace("passed", "failed"))
    with pytest.raises(CommissionError, match="was changed"):
        verified(changed)
    path.write_bytes(encode(changed))
    (found,) = records(tmp_path)
    assert found.record is None
    assert "changed" in found.state
    path.write_bytes(encode(signed))
    (tmp_path / "node.key").unlink()
    load_or_create(tmp_path)
    (found,) = records(tmp_path)
    assert "key that this node does not have" in found.state


def test_the_last_record_is_the_newest_also_after_the_clock_went_back(tmp_path: Path) -> None:
    may_write(tmp_path)
    identity = load_or_create(tmp_path)
    first = write_record(tmp_path, record(), identity)
    os.utime(first, ns=(2**62, 2**62))
    write_record(tmp_path, record(id="2" * 32), identity)
    assert [found.record.id[0] for found in records(tmp_path) if found.record] == ["1", "2"]


@pytest.mark.parametrize(
    ("at", "known"),
    [
        ({"wall_ms": 1_900_000_000_000, "clock": "hub", "error_ms": 20}, True),
        ({"clock": "unknown"}, False),
        ({"wall_ms": -1, "clock": "no such"}, False),
    ],
)
def test_where_this_computer_knows_no_time_the_record_has_the_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: dict[str, object], known: bool
) -> None:
    monkeypatch.setattr("wayside.edge.clock.kernel_sync_error_ms", lambda: None)
    config = NodeConfig(node="n", state_dir=".")
    assert now(config, tmp_path).wall_ms is None  # no agent runs
    at |= {"boot": "0" * 32, "mono_ns": time.monotonic_ns() - 2 * 10**9}
    (tmp_path / STATUS_FILE).write_text(json.dumps({"pid": os.getpid(), "at": at}))
    stamp = now(config, tmp_path)
    assert stamp.boot == BOOT
    if known:
        assert stamp.clock is ClockState.HUB
        assert stamp.wall_ms is not None
        assert stamp.wall_ms >= 1_900_000_002_000, "two seconds after the agent said it"
        assert stamp.error_ms == 21
    else:
        assert stamp.wall_ms is None


def test_the_golden_record_is_verified_for_ever() -> None:
    golden = Path(__file__).parents[1] / "golden" / "v1"
    signed = decode((golden / "SignedCommissioning.json").read_bytes(), SignedCommissioning)
    assert verified(signed) == decode((golden / "CommissioningRecord.json").read_bytes(), CommissioningRecord)


def test_the_page_is_one_file_and_shows_names_as_text(tmp_path: Path) -> None:
    may_write(tmp_path)
    finding = DoctorFinding(check="board", state="fail", said="<b>")
    write_record(tmp_path, record(doctor=(finding,)), load_or_create(tmp_path))
    (found,) = records(tmp_path)
    text = page(found)
    assert "A. &lt;Muster&gt;" in text
    assert "<b>" not in text
    assert not re.search(r"(src|href)=|https?://", text)
    assert "not passed" in text
    assert "doctor: board" in summary(record(doctor=(finding,)))
    assert any("det/1" in line for line in lines(record()))


# --- what is in the way ----------------------------------------------------------------------------------------------


def node(**more: object) -> NodeConfig:
    return msgspec.structs.replace(load_node_config(node_toml("/dev/nothing", anchor_s=1e9)), **more)


def refused(config: NodeConfig, folder: Path, *args: str) -> str:
    (folder / "node.toml").write_text(node_toml("/dev/nothing", anchor_s=1e9) if config.detectors else MINIMAL)
    done = wayside("commission", str(folder / "node.toml"), "--by", "A", *args)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


MINIMAL = 'node = "n"\nstate_dir = "state"\n'
BUTTON_TOML = '[gpio]\nfactory = "mock"\ncontacts = [{ pin = 17, datastream = "ped/1/presses", role = "ped_button" }]\n'


def test_a_node_that_never_ran_has_no_key_and_is_told_to_start_its_agent(tmp_path: Path) -> None:
    assert "systemctl start wayside-agent" in refused(node(), tmp_path)
    assert not (tmp_path / "state").exists()


def test_a_node_without_sensors_an_unknown_name_and_a_missing_board_are_said(tmp_path: Path) -> None:
    load_or_create(tmp_path / "state")
    assert "no sensors" in refused(node(detectors=(), board=None, tasks=(), sums=()), tmp_path)
    assert "no sensor is called det/9; there are det/1, det/2" in refused(node(), tmp_path, "--only", "det/9")
    assert "/dev/nothing" in refused(node(), tmp_path)
    assert "--by" in wayside("commission", str(tmp_path / "node.toml")).stderr
    assert "no record" in wayside("commission", "show", str(tmp_path / "node.toml")).stderr
    assert list((tmp_path / "state" / FOLDER).iterdir()) == []


def test_a_folder_that_may_not_be_written_is_said_before_anybody_walks(tmp_path: Path) -> None:
    load_or_create(tmp_path / "state")
    (tmp_path / "state" / FOLDER).touch()
    assert "run as a user who may write there" in refused(node(), tmp_path)


def test_without_input_or_with_a_name_that_cannot_be_written_nobody_walks(tmp_path: Path) -> None:
    load_or_create(tmp_path / "state")
    assert "64 characters that can be printed" in refused(node(), tmp_path, "--site", "5th\nMain")
    assert "64 characters that can be printed" in refused(node(), tmp_path, "--site", "M\udcfcller")  # Latin-1 typed
    (tmp_path / "node.toml").write_text(MINIMAL + BUTTON_TOML)
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} {ROOT}/wayside.py commission {tmp_path}/node.toml --by A <&-"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "wayside commission: there is no input: a person answers here, run it at a terminal\n"


def test_a_full_disk_is_said_before_anybody_walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_create(tmp_path / "state")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wayside.edge.commission.record.replace_file", full)
    with pytest.raises(CommissionError, match="No space left on device; make room"):
        commission(node(), "0" * 64, tmp_path, Options(by="A"), None)  # type: ignore[arg-type]


def test_every_sensor_of_a_configuration_is_asked_for() -> None:
    extra = (
        '[gpio]\nfactory = "mock"\n[[gpio.contacts]]\npin = 17\ndatastream = "ped"\nrole = "ped_button"\n'
        '[modbus]\nport = "/dev/rs485"\n[[modbus.registers]]\ndevice = 7\naddress = 3\ndatastream = "t"\n'
        '[manual]\nport = 8040\n[[manual.values]]\ndatastream = "ed/arrivals"\nkind = "events"\n'
    )
    config = load_node_config(node_toml("/dev/null", anchor_s=1e9, extra=extra))
    assert [(t.datastream, t.kind, t.channel) for t in targets(config)] == [
        ("det/1", "detector", 1),
        ("det/2", "detector", 2),
        ("ped", "contact", 17),
        ("t", "register", 3),
        ("ed/arrivals", "value", 0),
    ]


def test_the_progress_of_a_walk_is_json_that_a_later_software_can_read() -> None:
    raw = json.loads(encode(progress())) | {"from_v9": 1}
    assert json.loads(encode(decode(json.dumps(raw).encode(), Progress))) == raw
