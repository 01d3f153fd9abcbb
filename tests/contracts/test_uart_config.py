"""Sensors on serial ports and analogue inputs, as a node's file names them."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.quantities import quantity
from wayside.contracts.uart_config import (
    BARKJOHN_LOW,
    KINDS,
    MEASURES,
    MeasureName,
    Protocol,
    UartValueConfig,
    barkjohn2021,
)
from wayside.contracts.wire import ContractError

TOML = """
wire = 1
node = "mast"
state_dir = "state"
[board]
port = "/dev/board"
[modbus]
port = "/dev/rs485"
registers = [{ device = 1, address = 0, datastream = "mast/humidity", unit = "%" }]
[[uart]]
protocol = "pms"
port = "/dev/pms"
[[uart.values]]
measure = "pm2_5"
datastream = "mast/pm2_5"
observes = "pm2.5"
[[uart.values]]
measure = "pm2_5_cf1"
datastream = "mast/pm2_5/barkjohn2021"
correction = "barkjohn2021"
humidity = "mast/humidity"
[[uart]]
protocol = "dsmr"
port = "/dev/p1"
values = [{ measure = "energy_in_t1", datastream = "kiosk/energy" }]
[[uart]]
protocol = "nmea"
port = "/dev/gnss"
[[analog]]
channel = 0
datastream = "street/light"
unit = "lx"
scale = 9.775
"""


def test_a_value_has_the_unit_the_range_and_the_kind_of_its_measure() -> None:
    config = load_node_config(TOML)
    pm, corrected = config.uart[0].values
    assert (pm.unit, pm.low, pm.high, pm.kind) == ("ug/m3", 0, 1000, "gauge")
    assert corrected.low == BARKJOHN_LOW < 0
    (energy,) = config.uart[1].values
    assert (energy.unit, energy.kind, energy.max_per_s, energy.least, energy.wraps_at) == (
        "kW.h",
        "counter",
        0.03,
        0.001,
        None,
    )
    assert [u.rate for u in config.uart] == [9600, 115_200, 9600]


def test_tasks_see_them_as_datastreams() -> None:
    streams = {d.name: d for d in load_node_config(TOML).datastreams()}
    assert (streams["mast/pm2_5"].unit, streams["mast/pm2_5"].observes) == ("ug/m3", "pm2.5")
    assert streams["kiosk/energy"].aggregate == "sum"
    assert (streams["street/light"].unit, streams["street/light"].aggregate) == ("lx", "mean")


def test_a_configuration_survives_being_written_and_read() -> None:
    config = load_node_config(TOML)
    assert msgspec.json.decode(msgspec.json.encode(config), type=NodeConfig) == config


@pytest.mark.parametrize(
    ("now", "then", "mistake"),
    [
        ('measure = "pm2_5"\n', 'measure = "co2"\n', "uart[0].values[0].measure: co2 is nothing that pms gives"),
        ('observes = "pm2.5"', 'unit = "mg/m3"', "uart[0].values[0].unit: is ug/m3 for pm2_5"),
        ('observes = "pm2.5"', 'kind = "counter"', "uart[0].values[0].kind: pm2_5 is a gauge"),
        ('observes = "pm2.5"', 'humidity = "mast/humidity"', "uart[0].values[0].humidity: is for a correction"),
        ("pm2_5/barkjohn2021", "corrected", "uart[0].values[1].datastream: is a corrected value: its name"),
        ('measure = "pm2_5_cf1"', 'measure = "pm10"', "uart[0].values[1].correction: was fitted to pm2_5_cf1"),
        ('humidity = "mast/humidity"', "", "uart[0].values[1]: misses humidity"),
        ('humidity = "mast/humidity"', 'humidity = "mast/rh"', "no source of this file gives mast/rh"),
        ('unit = "%"', 'unit = "Cel"', "mast/humidity is in Cel; relative humidity is in %"),
        ("/dev/p1", "/dev/pms", "uart[1].port: is that of [uart], too"),
        ("/dev/gnss", "/dev/board", "uart[2].port: is the board's"),
        ("/dev/gnss", "/dev/rs485", "uart[2].port: is that of [modbus], too"),
        ('"kiosk/energy"', '"street/light"', "the datastream street/light is given twice"),
        ('protocol = "nmea"', 'protocol = "mhz19"', "uart[2]: misses values; it gives co2"),
        ('[board]\nport = "/dev/board"', "", "analog: need a [board]"),
    ],
)
def test_a_mistake_is_named_by_its_field(now: str, then: str, mistake: str) -> None:
    assert now in TOML
    with pytest.raises(ContractError) as refusal:
        load_node_config(TOML.replace(now, then))
    assert mistake in "; ".join(f"{place.removeprefix('$.')}: {rule}" for place, rule in refusal.value.mistakes)


def test_every_measure_belongs_to_a_protocol_and_can_be_configured() -> None:
    assert set(get_args(Protocol)) == set(KINDS)
    assert set(get_args(MeasureName)) == set(MEASURES) == {m for kind in KINDS.values() for m in kind.measures}
    for name, of in MEASURES.items():
        value = UartValueConfig(measure=name, datastream="x")  # type: ignore[arg-type]
        assert value.stream().unit == of.unit
        assert quantity(of.unit)


def test_the_correction_is_the_papers() -> None:
    assert barkjohn2021(0.0, 0.0) == 5.75
    assert barkjohn2021(100.0, 50.0) == pytest.approx(52.4 - 4.31 + 5.75)
    assert barkjohn2021(0.0, 100.0) >= BARKJOHN_LOW
