"""A set-point is switched with a technician's consent, seen, and brought back; nothing moves before."""

from __future__ import annotations

from pathlib import Path

from tests.edge.test_commission_terminal import outcomes, the_record
from tests.simulators.modbus import Cable, Meters
from tests.simulators.person import Person
from wayside.contracts.actuator_config import PinTarget, RegisterTarget, SetpointConfig
from wayside.edge.commission.sensor_walk import Question, State
from wayside.edge.commission.setpoint_walk import PATIENCE_S, SetpointWalk, tried_value
from wayside.edge.identity import load_or_create

FAN = SetpointConfig(name="fan", pin=PinTarget(number=5), low=0, high=1, safe=0)


class Walked:
    def __init__(self, config: SetpointConfig = FAN) -> None:
        self.state, self.at_s = State(), 0.0
        self.asked = SetpointWalk(config, {"actuator/fan": self.state}, 0.0)

    def types(self, keys: str) -> Walked:
        for key in keys:
            self.asked.key(key, self.at_s)
        return self

    def reads(self, value: float | None, *, after_s: float = 0.1) -> Walked:
        self.at_s += after_s
        self.state.settled = value
        self.asked.tick(self.at_s)
        return self


def test_nothing_is_switched_without_consent() -> None:
    walked = Walked()
    assert walked.asked.question is Question.CONSENT
    for key in "nzwr ":
        walked.types(key).reads(None)
        assert walked.asked.wants is None
    walked.asked.skip("no ladder")
    assert walked.asked.check is not None
    assert (walked.asked.check.outcome, walked.asked.wants) == ("skipped", None)


def test_one_that_switches_and_goes_back_passes() -> None:
    walked = Walked().types("y")
    assert walked.asked.wants == 1
    walked.reads(1)
    assert walked.asked.question is Question.SWITCHED
    walked.types("y")
    assert walked.asked.wants == 0
    assert walked.reads(None).asked.check is None
    check = walked.reads(0).asked.check
    assert check is not None
    assert (check.outcome, check.said) == ("passed", "switched to 1, read back 1, back to 0")


def test_one_that_reads_back_and_moves_nothing_fails_and_is_safe_first() -> None:
    walked = Walked().types("y").reads(1).types("n")
    assert walked.asked.wants == 0
    walked.reads(0)
    assert walked.asked.question is Question.FAULT
    check = walked.types("f").asked.check
    assert check is not None
    assert (check.outcome, check.said) == ("failed", "switched to 1, read back 1, and nothing switched")


def test_one_that_is_not_read_back_is_given_up_after_a_while() -> None:
    walked = Walked().types("y").reads(None, after_s=PATIENCE_S + 1)
    assert (walked.asked.question, walked.asked.wants) == (Question.FAULT, None)
    walked = Walked().types("y").reads(1).types("y").reads(None, after_s=PATIENCE_S + 1)
    assert any("does not go back to its safe value" in line for line in walked.asked.says(60))


def test_a_heater_is_tried_within_what_one_change_may_be() -> None:
    heater = SetpointConfig(
        name="h",
        register=RegisterTarget(device=1, address=0, table="holding"),
        low=0,
        high=3000,
        safe=0,
        max_change=500,
    )
    assert tried_value(heater) == 500
    assert tried_value(FAN) == 1


def test_a_technician_switches_a_coil_and_a_relay(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [215, 0, 0, 0]}) as meters:
        load_or_create(tmp_path / "state")
        (tmp_path / "node.toml").write_text(
            f'node = "kiosk"\nstate_dir = "state"\n[gpio]\nfactory = "mock"\n'
            f'[modbus]\nport = "{cable.node}"\ntimeout_s = 0.3\n[[modbus.registers]]\ndevice = 1\naddress = 0\n'
            'datastream = "m"\npoll_s = 0.2\n'
            '[[actuators]]\nkind = "setpoint"\nname = "coil"\nregister = { device = 1, address = 3 }\n'
            "low = 0\nhigh = 1\nsafe = 0\n"
            '[[actuators]]\nkind = "setpoint"\nname = "other"\nregister = { device = 1, address = 2 }\n'
            "low = 0\nhigh = 1\nsafe = 0\n"
            '[[actuators]]\nkind = "setpoint"\nname = "fan"\npin = { number = 5 }\nlow = 0\nhigh = 1\nsafe = 0\n'
        )
        with Person("commission", tmp_path / "node.toml", "--by", "A") as person:
            person.sees("Does the meter show 215")
            person.types("y")
            person.sees("Press y to switch it to 1")
            assert meters.writes(3) == []
            person.types("y")
            person.sees("It reads back 1. Did it switch?")
            assert [w.held for w in meters.writes(3)] == [0, 1]
            person.types("y")
            person.sees("actuator/other")
            person.sees("Press y to switch it to 1")
            person.types("s")
            person.types("not wired\n")
            person.sees("actuator/fan")
            person.sees("Press y to switch it to 1")
            person.types("y")
            person.sees("It reads back 1. Did it switch?")
            person.types("y")
            _, said = person.ends()
        assert [w.held for w in meters.writes(3)][:3] == [0, 1, 0]
        assert meters.writes(3)[-1].held == 0
        assert meters.writes(2) == []
    assert "passed   actuator/coil (register or pin 3): switched to 1, read back 1, back to 0" in said
    assert outcomes(the_record(tmp_path)) == {
        "m": "passed", "actuator/coil": "passed", "actuator/other": "skipped", "actuator/fan": "passed",
    }  # fmt: skip
