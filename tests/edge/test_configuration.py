"""`wayside node check` and `migrate`: the file, what it names on this computer, and the models that it should run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.edge.test_cli import wayside
from tests.edge.test_doctor import bundle_in
from tests.simulators.agent import node_toml
from tests.simulators.base_image import ROOT_JSON
from wayside.contracts.wire import encode
from wayside.edge.configuration.check import check_file, read_passport
from wayside.edge.errors import EdgeError
from wayside.edge.trusted_bundle import open_bundle

HUB = '[hub]\nurl = "https://hub.example"\n'
OLD = Path(__file__).parents[1] / "golden" / "old_node_form" / "documented.toml"


def write(folder: Path, *, hub: str = "", extra: str = "", port: str = "/dev/nothing") -> Path:
    path = folder / "node.toml"
    path.write_text(node_toml(port, anchor_s=1e9, hub=hub, extra=extra))
    return path


def mistakes(path: Path) -> dict[str, str]:
    return dict(check_file(path).mistakes)


def test_a_node_that_reports_needs_its_trust_root_and_its_hubs_authority(tmp_path: Path) -> None:
    path = write(tmp_path, hub=HUB + 'ca = "ca.pem"\n')
    told = mistakes(path)
    assert "there is no trust root" in told["$"]  # [model] is not in the file: its default is what is absent
    assert "copy the root.json that `release init` made" in told["$"]
    assert "No such file" in told["$.hub.ca"]
    (tmp_path / "root.json").write_bytes(ROOT_JSON)
    (tmp_path / "ca.pem").write_text("no certificate")
    assert set(mistakes(path)) == {"$.hub.ca"}
    assert mistakes(write(tmp_path, hub=HUB)) == {}
    (tmp_path / "root.json").unlink()
    assert mistakes(write(tmp_path)) == {}, "a node without a hub needs none"


def test_a_mistake_in_one_section_hides_none_of_another(tmp_path: Path) -> None:
    model = '[model]\nruntime = "tflite-runtime"\ntuf_root = "absent.json"\n'
    path = write(tmp_path, hub=HUB, extra=model)
    text = path.read_text().replace('port = "/dev/nothing"', 'port = "/dev/nothing"\nidentity = "far-too-long"')
    text = text.replace("checkpoint_s", "full = true\ncheckpoint_s")
    path.write_text(text.replace("sites = [{", 'inputs = { rain = "mast/rain" }\nsites = [{'))
    told = dict(check_file(path, python=(3, 13)).mistakes)
    assert "no source of this file gives mast/rain" in told["$.tasks[0].inputs.rain"]
    assert "no board can be called" in told["$.board.identity"]
    assert "no wheel for Python 3.13" in told["$.model.runtime"]
    assert "there is no trust root" in told["$.model.tuf_root"]
    assert "is unknown here" in told["$.storage.full"]


def test_a_state_folder_under_a_file_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert mistakes(path) == {}
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").write_text("")
    assert "is a file" in mistakes(path)["$.state_dir"]


def test_one_port_under_two_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "by-id").symlink_to("ttyUSB0")
    modbus = f'[modbus]\nport = "{tmp_path}/by-id"\n[[modbus.registers]]\ndevice = 1\naddress = 0\ndatastream = "m"\n'
    path = write(tmp_path, port=f"{tmp_path}/ttyUSB0", extra=modbus)
    assert "is the board's by another name" in mistakes(path)["$.modbus.port"]


def test_a_runtime_that_is_not_installed_here_is_a_hint_and_one_without_a_wheel_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, extra='[model]\nruntime = "tflite-runtime"\n')
    monkeypatch.setattr("wayside.edge.configuration.check.available", lambda: ("onnxruntime",))
    here = check_file(path, python=None)
    assert any("is not installed on this computer" in hint for hint in here.hints)
    assert "no wheel for Python 3.13" in dict(check_file(path, python=(3, 13)).mistakes)["$.model.runtime"]
    assert check_file(path, python=(3, 11)).ok


def test_the_verb_says_which_models_fit_and_every_reason_why_one_does_not(tmp_path: Path) -> None:
    path = write(tmp_path)
    models = {"good": bundle_in("{veh}"), "power": bundle_in("kW"), "other": bundle_in("{veh}", "pm25-24h")}
    for name, content in models.items():
        (tmp_path / f"{name}.bundle").write_bytes(content)
    good = wayside("node", "check", str(path), "--passport", str(tmp_path / "good.bundle"))
    assert good.returncode == 0
    assert "traffic-flow 1.0.0 fits the task flow" in good.stdout
    bad = wayside("node", "check", str(path), "--passport", str(tmp_path / "power.bundle"))
    assert bad.returncode == 1
    for site in ("det/1", "det/2"):
        assert (
            f"the task flow cannot run traffic-flow 1.0.0: the model wants volume in kW (power); {site}" in bad.stderr
        )
    words = ["--passport", str(tmp_path / "good.bundle"), "--passport", str(tmp_path / "other.bundle"), "--json"]
    both = wayside("node", "check", str(path), *words)
    told = json.loads(both.stdout)
    assert (both.returncode, told["ok"], told["mistakes"], len(told["fits"])) == (1, False, [], 1)
    assert told["misfits"] == [
        {
            "task": "",
            "model": "pm25-24h 1.0.0",
            "misses": "bundle",
            "message": "no task takes pm25-24h; the tasks take traffic-flow",
        }
    ]


def test_a_passport_alone_is_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    passport = open_bundle(bundle_in("{veh}"), agent_version=None).passport
    (tmp_path / "passport.json").write_bytes(encode(passport))
    assert read_passport(tmp_path / "passport.json") == passport
    for content in (b"{}", b"", b"PK\x03\x04 broken"):
        (tmp_path / "passport.json").write_bytes(content)
        with pytest.raises(EdgeError):
            read_passport(tmp_path / "passport.json")


def test_the_verb_lists_all_mistakes_in_words_and_in_json(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("baud = 921600", "baud = 5").replace("cycle_s = 60", "cycle_s = 61"))
    said = wayside("node", "check", str(path))
    assert said.returncode == 1
    assert "node.toml has 2 mistakes" in said.stderr
    assert "\n  $.board.baud: is a whole number >= 9600" in said.stderr
    told = json.loads(wayside("node", "check", str(path), "--json").stdout)
    assert [m["field"] for m in told["mistakes"]] == ["$.board.baud", "$.actuators[0].cycle_s"]
    agent = wayside("agent", "run", str(path))
    assert (agent.returncode, agent.stderr) == (1, said.stderr.replace("node check:", "agent run:"))
    assert not (tmp_path / "state").exists()


@pytest.mark.usefixtures("shared_greens")
def test_policies_and_their_settings_are_converted(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(node_toml("/dev/nothing", anchor_s=1e9, green_times=True))
    assert mistakes(path) == {}
    text = path.read_text()
    path.write_text(
        text.replace('"det/1" = 2', '"det/1" = 40, "det/9" = 2').replace("settings = {", "settings = { heat = 1,")
    )
    told = mistakes(path)
    assert "<= 16" in told["$.tasks[0].settings.phases"]
    assert "there is no such setting" in told["$.tasks[0].settings.heat"]
    path.write_text(text.replace('policy = "shared_greens"', 'policy = "magic"'))
    assert mistakes(path)["$.tasks[0].policy"].startswith("magic: there is no policy 'magic'; there are abatement")
    plan = text[text.index("cycle_s") : text.index("[[detectors]]")]
    path.write_text(text.replace('kind = "signal"', 'kind = "notice"').replace(plan, ""))
    assert (
        "proposes green times, the actuator intersection/signal is of kind 'notice'"
        in (mistakes(path)["$.tasks[0].policy"])
    )


@pytest.mark.parametrize("path", sorted(OLD.parent.glob("*.toml")), ids=lambda p: p.stem)
def test_an_old_file_converts_to_settings_that_its_policy_takes(tmp_path: Path, path: Path) -> None:
    (tmp_path / "node.toml").write_bytes(path.read_bytes())
    assert [field for field in mistakes(tmp_path / "node.toml") if "tasks" in field or "signal" in field] == []


def test_the_documented_example_is_refused_only_for_what_lies_on_a_node(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "node.md").read_text()
    (tmp_path / "node.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    assert set(mistakes(tmp_path / "node.toml")) == {"$.model.tuf_root", "$.hub.ca"}


def test_an_old_file_is_checked_with_a_hint_for_each_key_and_printed_anew(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_bytes(ROOT_JSON)
    path = tmp_path / "node.toml"
    path.write_text(OLD.read_text().replace('ca = "hub-ca.pem"', "#"), encoding="utf-8-sig")
    said = wayside("node", "check", str(path))
    assert said.returncode == 0, said.stderr
    assert "hint: $.detectors[0].phase: is no detector's any more: phase 2 of the board's plan names its detectors" in (
        said.stderr
    )
    made = wayside("node", "migrate", str(path))
    assert made.returncode == 0
    path.write_text(made.stdout)
    again = wayside("node", "check", str(path))
    assert (again.returncode, again.stderr) == (0, "")
