"""From a sensor's bytes to the node's rows: a real agent, a sensor fed with hours of air, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.simulators.agent import AgentProcess
from tests.simulators.uart_line import SensorPty
from wayside.cloud.demo import pms5003
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Kind, Summary
from wayside.edge.sensors.uart.plantower import Plantower

ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0
FAST = ("--speed=3600", "--every-s=0.02")
TOML = """
wire = 1
node = "mast"
state_dir = "state"
rows_s = 1
[storage]
checkpoint_s = 0.1
[[uart]]
protocol = "pms"
port = "{folder}/pms*.tty"
values = [
  {{ measure = "pm2_5", datastream = "mast/pm2_5", poll_s = 0.2 }},
  {{ measure = "pm10", datastream = "mast/pm10", poll_s = 0.2, high = 50 }},
]
[[uart]]
protocol = "dsmr"
port = "{folder}/dsmr.tty"
values = [
  {{ measure = "energy_in_t1", datastream = "kiosk/energy", max_per_s = 10 }},
  {{ measure = "power_in", datastream = "kiosk/power" }},
]
"""


def rows_of(agent: AgentProcess, name: str, kind: Kind = Kind.INTERVAL) -> list[Summary]:
    return [r for r in agent.rows() if r.datastream == name and r.kind is kind]


@contextmanager
def speaking(folder: Path, csv: str) -> Iterator[Path]:
    link, file = folder / "pms5003.tty", folder / "hours.csv"
    file.write_text(csv)
    process = subprocess.Popen(
        [sys.executable, "-m", "wayside.cloud.demo.pms5003", f"--pty-link={link}", f"--csv={file}", *FAST],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not link.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield link
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert not link.exists()


def test_hours_of_air_become_rows_of_a_node_and_a_meters_energy_adds_up(tmp_path: Path) -> None:
    hours = "unix_s,pm2_5,pm10\n" + "".join(f"{1_356_998_400 + 3600 * h},{20 + h % 3},{90}\n" for h in range(1000))
    with SensorPty(tmp_path, "dsmr", {"energy_in_t1": 1000.0, "power_in": 1.5}, every_s=0.1) as meter:
        with speaking(tmp_path, hours), AgentProcess(tmp_path, TOML.format(folder=tmp_path)) as agent:
            usable = lambda a: [r for r in rows_of(a, "mast/pm2_5") if r.quality is Quality.GOOD]  # noqa: E731
            agent.wait(lambda a: len(usable(a)) >= 4, timeout_s=PATIENCE_S)
            meter.values = {"energy_in_t1": 1000.25, "power_in": 1.5}
            agent.wait(
                lambda a: sum(r.value or 0 for r in rows_of(a, "kiosk/energy")) == pytest.approx(0.25),
                timeout_s=PATIENCE_S,
            )
            values = usable(agent)
            assert all(20 <= (r.value or 0) <= 22 and r.unit == "ug/m3" for r in values)
            assert {r.quality for r in rows_of(agent, "mast/pm10")} <= {Quality.OUT_OF_RANGE, Quality.MISSING}
            agent.wait(lambda a: len(a.status.get("uart", [])) == 2 and a.status["uart"][0]["frames"] > 0)
        with AgentProcess(tmp_path, TOML.format(folder=tmp_path)) as again:  # the sensor is gone meanwhile
            again.wait(lambda a: rows_of(a, "mast/pm2_5", Kind.ALERT), timeout_s=PATIENCE_S)
            (alert,) = rows_of(again, "mast/pm2_5", Kind.ALERT)
            assert alert.detail["condition"] == "uart_fails"
            assert "nothing matches" in str(alert.detail["what"])
            with speaking(tmp_path, hours):
                over = lambda a: len(rows_of(a, "mast/pm2_5", Kind.ALERT)) == 2  # noqa: E731
                again.wait(over, timeout_s=PATIENCE_S)
            assert again.stop() == 0
    assert "Traceback" not in (tmp_path / "agent.log").read_text()


# --- the sensor of the demonstration ---------------------------------------------------------------------------


def test_the_fed_sensor_keeps_every_rule_of_a_real_one() -> None:
    for tenths in range(0, 10_000, 3):
        air = tenths / 10
        (frame,) = Plantower().feed(pms5003.frame(air, air * 1.3))
        assert frame.doubt is None, air
        assert frame.values["pm2_5"] == round(air)
    (clipped,) = Plantower().feed(pms5003.frame(80.0, 60.0))  # hours of a reference station may have less PM10
    assert clipped.values["pm10"] == 80.0


def test_a_row_of_the_csv_holds_until_the_next_and_an_empty_one_is_silence(tmp_path: Path) -> None:
    file = tmp_path / "hours.csv"
    file.write_text("unix_s,pm2_5\n100,7\n200,\n300,9\n")
    hours = pms5003.read_hours(file)
    assert pms5003.at(hours, 99.0) is None
    assert [h.pm2_5 for t in (100.0, 199.0, 200.0, 400.0) if (h := pms5003.at(hours, t))] == [7.0, 7.0, None, 9.0]
    file.write_text("unix_s,pm2_5\n200,7\n100,8\n")
    with pytest.raises(ValueError, match="oldest first"):
        pms5003.read_hours(file)
