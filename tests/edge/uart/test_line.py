"""Sensors on real pseudo-terminals: plugged and unplugged, silent, babbling, at the wrong port, without a fix."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.uart import ENCODERS
from tests.simulators.uart_line import SensorPty
from wayside.contracts.uart_config import KINDS, UartConfig, UartValueConfig
from wayside.edge.doctor.uart import check_uart
from wayside.edge.sensors.uart import line, listen
from wayside.edge.sensors.uart.kinds import PROTOCOLS
from wayside.edge.sensors.uart.line import Told, UartError, UartSensor, open_line

PATIENCE_S = 60.0
AIR = {"pm1": 7.0, "pm2_5": 10.0, "pm4": 11.0, "pm10": 12.0, "n0_3": 50.0, "n0_5": 30.0, "n1": 31.0, "n2_5": 32.0}
VALUES: dict[str, dict[str, float]] = {
    "pms": {"pm1": 7, "pm2_5": 10, "pm10": 12, "n0_3": 50, "n0_5": 30, "n1": 9, "n2_5": 1, "n5": 0.1, "n10": 0.0},
    "sds011": {"pm2_5": 10.0, "pm10": 12.0},
    "sps30": {**AIR, "n4": 33.0, "n10": 34.0, "typical_size": 0.5},
    "mhz19": {"co2": 612.0},
    "nmea": {"latitude": 39.9, "longitude": 116.4, "altitude": 43.5, "hdop": 0.8, "satellites": 11.0},
    "dsmr": {"power_in": 1.25, "power_out": 0.0, "energy_in_t1": 1234.567, "gas": 981.443},
}
FIRST = {"pms": "pm2_5", "sds011": "pm10", "sps30": "pm4", "mhz19": "co2", "nmea": "latitude", "dsmr": "power_in"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sensors that speak every 0.05 s are missed after 0.3 s, and not after what their data sheets say."""
    monkeypatch.setattr(line, "RETRY_CAP_S", 0.3)
    for protocol, kind in KINDS.items():
        monkeypatch.setitem(KINDS, protocol, kind._replace(every_s=0.2))


class Node:
    """Takes what a sensor tells."""

    def __init__(self) -> None:
        self.read: list[tuple[int, float, bool]] = []
        self.failed: list[tuple[int, str]] = []
        self.times: list[int] = []
        self.held: dict[str, str] = {}  # conditions
        self.over: list[str] = []
        self.humidity: float | None = None

    def begin(self, code: str, subject: str, message: str, *, severe: bool = True) -> bool:
        assert not severe
        self.held[code] = message
        return True

    def end(self, code: str, subject: str) -> bool:
        if self.held.pop(code, None) is not None:
            self.over.append(code)
        return True

    def told(self) -> Told:
        def time_told(unix_ms: int, mono_ns: int, error_ms: int) -> str | None:
            self.times.append(unix_ms)
            return None

        return Told(
            lambda i, v, d: self.read.append((i, v, d)),
            lambda i, w: self.failed.append((i, w)),
            lambda _name: self.humidity,
            time_told,
            time.monotonic_ns,
        )

    async def until(self, what: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def config(port: Path | str, protocol: str, *measures: str, **more: Any) -> UartConfig:
    values = tuple(
        UartValueConfig(measure=m, datastream=f"mast/{m}", poll_s=more.pop("poll_s", 0.1))  # type: ignore[arg-type]
        for m in measures or (FIRST[protocol],)
    )
    return UartConfig(protocol=protocol, port=str(port), values=more.pop("values", values))  # type: ignore[arg-type]


@asynccontextmanager
async def heard(config: UartConfig) -> AsyncIterator[tuple[Node, UartSensor]]:
    node = Node()
    sensor = UartSensor(config, 3, node.told(), node)
    task = asyncio.create_task(sensor.run())
    try:
        yield node, sensor
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not sensor.connected


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_sensor_is_read_and_its_values_are_those_of_the_configuration(tmp_path: Path, protocol: str) -> None:
    measures = tuple(m for m in VALUES[protocol])[:3]
    with SensorPty(tmp_path, protocol, VALUES[protocol]) as sensor:
        async with heard(config(sensor.port, protocol, *measures)) as (node, running):
            await node.until(lambda: len(node.read) >= 2 * len(measures))
            assert running.status()["frames"] > 0
    values = {(i, v, d) for i, v, d in node.read}
    assert {i for i, _, _ in values} == {3 + i for i in range(len(measures))}
    for i, value, doubtful in values:
        assert value == pytest.approx(VALUES[protocol][measures[i - 3]], abs=1e-5)
        assert not doubtful


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_sensor_that_was_unplugged_is_found_again(tmp_path: Path, protocol: str) -> None:
    with SensorPty(tmp_path, protocol, VALUES[protocol]) as sensor:
        async with heard(config(sensor.port, protocol)) as (node, running):
            await node.until(lambda: node.read)
            sensor.unplug()
            sensor.cut_power()
            await node.until(lambda: len(node.failed) >= 3)
            assert not running.connected or running.opened == 1
            count = len(node.read)
            sensor.plug()
            await node.until(lambda: len(node.read) > count)
            assert running.opened >= 2


async def test_an_sps30_whose_power_was_cut_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    with SensorPty(tmp_path, "sps30", VALUES["sps30"]) as sensor:
        async with heard(config(sensor.port, "sps30")) as (node, running):
            await node.until(lambda: node.read)
            sensor.cut_power()
            count = len(node.read)
            await node.until(lambda: len(node.read) > count + 3)
            assert running.opened == 1


@pytest.mark.parametrize("protocol", ["pms", "mhz19"])
async def test_a_silent_sensor_fails_each_time_it_should_have_spoken_and_says_what_to_look_at(
    tmp_path: Path, protocol: str
) -> None:
    with SensorPty(tmp_path, protocol, VALUES[protocol]) as sensor:
        sensor.silent = True
        async with heard(config(sensor.port, protocol)) as (node, _):
            await node.until(lambda: len(node.failed) >= 2)
            assert "TX go to our RX" in node.failed[-1][1]
            sensor.silent = False
            await node.until(lambda: node.read)


async def test_a_line_that_babbles_costs_little_and_says_that_this_is_no_such_sensor(tmp_path: Path) -> None:
    with SensorPty(tmp_path, "pms", VALUES["pms"]) as sensor:
        sensor.silent, sensor.flood = True, bytes(range(256)) * 8
        async with heard(config(sensor.port, "pms")) as (node, running):
            began, cpu = time.monotonic(), time.thread_time()
            await node.until(lambda: len(node.failed) >= 3)
            await asyncio.sleep(1)
            share = (time.thread_time() - cpu) / (time.monotonic() - began)
            assert "is none of its frames" in node.failed[-1][1]
            assert share < 0.5  # of one processor: a loop without a rest takes all of it
            assert len(running._decoder._buffer) < 100  # type: ignore[attr-defined]


async def test_a_line_with_too_many_damaged_frames_is_a_condition(tmp_path: Path) -> None:
    with SensorPty(tmp_path, "sds011", VALUES["sds011"], every_s=0.01) as sensor:
        sensor.spoil = lambda frame: frame[:8] + b"\0" + frame[9:]
        async with heard(config(sensor.port, "sds011")) as (node, running):
            await node.until(lambda: "uart_noisy" in node.held)
            assert running.status()["refused"] > 20
            assert node.read == []


async def test_a_sensor_that_breaks_its_own_rule_is_told_of_and_not_believed(tmp_path: Path) -> None:
    with SensorPty(tmp_path, "sds011", {"pm2_5": 12.0, "pm10": 10.0}) as sensor:
        async with heard(config(sensor.port, "sds011")) as (node, _):
            await node.until(lambda: node.read)
            assert "PM2.5 <= PM10" in node.held["uart_doubtful"]
            assert all(doubtful for _, _, doubtful in node.read)
            sensor.values = VALUES["sds011"]
            await node.until(lambda: "uart_doubtful" in node.over)
            assert not node.read[-1][2]


async def test_an_object_that_a_meter_does_not_send_fails_alone(tmp_path: Path) -> None:
    with SensorPty(tmp_path, "dsmr", {"power_in": 1.0}) as sensor:
        async with heard(config(sensor.port, "dsmr", "power_in", "gas", poll_s=0.1)) as (node, _):
            await node.until(lambda: any(i == 4 for i, _ in node.failed))
            assert "none with gas" in next(why for i, why in node.failed if i == 4)
            assert {i for i, _, _ in node.read} == {3}


async def test_a_value_is_corrected_by_the_humidity_that_the_node_knows_and_else_is_missing(tmp_path: Path) -> None:
    values = (
        UartValueConfig(measure="pm2_5", datastream="pm", poll_s=0.1),
        UartValueConfig(
            measure="pm2_5_cf1",
            datastream="pm/barkjohn2021",
            correction="barkjohn2021",
            humidity="rh",
            poll_s=0.1,
        ),
    )
    with SensorPty(tmp_path, "pms", {**VALUES["pms"], "pm2_5_cf1": 10.0}) as sensor:
        async with heard(config(sensor.port, "pms", values=values)) as (node, _):
            await node.until(lambda: any(i == 4 for i, _ in node.failed))
            assert "rh is not known" in node.failed[-1][1]
            assert {i for i, _, _ in node.read} == {3}
            node.humidity = 50.0
            await node.until(lambda: any(i == 4 for i, _, _ in node.read))
    assert next(v for i, v, _ in node.read if i == 4) == pytest.approx(0.524 * 10 - 0.0862 * 50 + 5.75)


async def test_a_receiver_tells_the_time_once_it_is_steady(tmp_path: Path) -> None:
    with SensorPty(tmp_path, "nmea", VALUES["nmea"]) as sensor:
        async with heard(config(sensor.port, "nmea")) as (node, _):
            await node.until(lambda: node.times)
    assert abs(node.times[0] - time.time() * 1000) < 60_000


async def test_a_pattern_names_exactly_one_port(tmp_path: Path) -> None:
    with pytest.raises(UartError, match="nothing matches"):
        await open_line(config(tmp_path / "*.tty", "pms"))
    with SensorPty(tmp_path, "pms", VALUES["pms"]):
        (await open_line(config(tmp_path / "*.tty", "pms"))).close()
        with SensorPty(tmp_path, "sds011", VALUES["sds011"]), pytest.raises(UartError, match="all match"):
            await open_line(config(tmp_path / "*.tty", "pms"))


# --- doctor -------------------------------------------------------------------------------------------------------


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "BAUDS", (9600,))
    monkeypatch.setattr(listen, "SEARCH_S", 1.0)
    monkeypatch.setattr(listen, "ASK_S", 0.2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_doctor_hears_each_sensor_and_shows_what_it_says(tmp_path: Path, protocol: str) -> None:
    with SensorPty(tmp_path, protocol, VALUES[protocol]) as sensor:
        (finding,) = check_uart((config(sensor.port, protocol),), None, 1.0)
    assert finding.state == "ok", finding
    assert f"{FIRST[protocol]} {VALUES[protocol][FIRST[protocol]]:g}" in finding.said


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_doctor_recognizes_which_protocol_really_speaks(tmp_path: Path, protocol: str) -> None:
    other = "pms" if protocol == "sds011" else "sds011"
    with SensorPty(tmp_path, protocol, VALUES[protocol]) as sensor:
        (finding,) = check_uart((config(sensor.port, other),), None, 0.5)
    assert finding.state == "fail"
    assert f'protocol = "{protocol}"' in finding.fix


@pytest.mark.usefixtures("_hasty")
def test_the_doctor_says_what_is_wrong_with_a_line(tmp_path: Path) -> None:
    def said(prepare: Callable[[SensorPty], None], protocol: str = "pms") -> str:
        with SensorPty(tmp_path, protocol, VALUES[protocol]) as sensor:
            prepare(sensor)
            (finding,) = check_uart((config(sensor.port, protocol),), None, 0.5)
        assert finding.state != "ok"
        return f"{finding.said}; {finding.fix}"

    def silent(sensor: SensorPty) -> None:
        sensor.silent = True

    def echo(sensor: SensorPty) -> None:
        sensor.silent = sensor.echo = True

    def noise(sensor: SensorPty) -> None:
        sensor.silent, sensor.flood = True, b"\x55\xaa\x00"

    def dust(sensor: SensorPty) -> None:
        sensor.values = dict.fromkeys(VALUES["pms"], 0.0)

    def warm(sensor: SensorPty) -> None:
        sensor.values = {"co2": 0.0}

    def swapped(sensor: SensorPty) -> None:
        sensor.values = {"pm2_5": 12.0, "pm10": 10.0}

    assert "says nothing" in said(silent)
    assert "TX to our RX" in said(silent)
    assert "does not answer" in said(silent, "mhz19")
    assert "hears itself" in said(echo, "mhz19")
    assert "nothing that is known" in said(noise)
    assert "clean the inlet" in said(dust)
    assert "warms up" in said(warm, "mhz19")
    assert "PM2.5 <= PM10" in said(swapped, "sds011")
    no_port = check_uart((config(tmp_path / "none", "pms"),), None, 0.5)
    assert "cannot open" in next(iter(no_port)).said


def test_beside_an_agent_the_doctor_asks_the_agent() -> None:
    wanted = config("/dev/none", "pms")
    status = {"connected": True, "frames": 1000, "refused": 3, "set_aside": 1}
    good = {"datastream": "mast/pm2_5", "value": 8.0, "quality": "good"}

    def state(reading: dict[str, Any], **more: Any) -> str:
        (finding,) = check_uart((wanted,), {"uart": [{**status, **more}], "readings": [reading]}, 1.0)
        return finding.state

    assert state(good) == "ok"
    assert state(good, connected=False) == "fail"
    assert state(good, refused=500) == "warn"
    assert state({**good, "quality": "stale"}) == "fail"
    assert state({**good, "quality": "out_of_range"}) == "warn"


def test_every_protocol_is_in_these_tests() -> None:
    assert set(VALUES) == set(FIRST) == set(ENCODERS)
