"""Sensors that speak a protocol of their own on a serial port: what each measures, as a node's TOML names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec

from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.reading import Name
from wayside.contracts.sensor_config import ValueConfig
from wayside.contracts.wire import Document

Protocol = Literal["pms", "sds011", "sps30", "mhz19", "nmea", "dsmr"]
MeasureName = Literal[
    "pm1", "pm2_5", "pm4", "pm10", "pm1_cf1", "pm2_5_cf1", "pm10_cf1",
    "n0_3", "n0_5", "n1", "n2_5", "n4", "n5", "n10", "typical_size", "co2",
    "latitude", "longitude", "altitude", "hdop", "satellites",
    "power_in", "power_out", "energy_in_t1", "energy_in_t2", "energy_out_t1", "energy_out_t2",
    "voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3", "gas",
]  # fmt: skip


class Measure(NamedTuple):
    """What a protocol gives: its unit (UCUM) and what is physically possible, from the sensor's data sheet."""

    unit: str
    low: float | None = 0.0
    high: float | None = None
    per_s: float | None = None  # a counter's: how fast it can grow
    step: float = 1.0  # a counter's smallest step

    @property
    def is_counter(self) -> bool:
        return self.per_s is not None


_MASS, _NUMBER, _ENERGY = Measure("ug/m3", 0, 1000), Measure("/cm3"), Measure("kW.h", None, None, 0.03, 0.001)
_VOLTAGE, _CURRENT, _POWER = Measure("V", 0, 500), Measure("A", 0, 1000), Measure("kW", 0, 1000)
MEASURES: dict[str, Measure] = {
    **dict.fromkeys(("pm1", "pm2_5", "pm4", "pm10", "pm1_cf1", "pm2_5_cf1", "pm10_cf1"), _MASS),
    **dict.fromkeys(("n0_3", "n0_5", "n1", "n2_5", "n4", "n5", "n10"), _NUMBER),
    "typical_size": Measure("um", 0, 10),
    "co2": Measure("[ppm]", 300, 10_000),  # outdoor air has 420: less is a sensor that lost its calibration
    "latitude": Measure("deg", -90, 90),
    "longitude": Measure("deg", -180, 180),
    "altitude": Measure("m", -500, 9000),
    "hdop": Measure("1", 0, 50),
    "satellites": Measure("1", 0, 99),
    **dict.fromkeys(("power_in", "power_out"), _POWER),
    **dict.fromkeys(("energy_in_t1", "energy_in_t2", "energy_out_t1", "energy_out_t2"), _ENERGY),
    **dict.fromkeys(("voltage_l1", "voltage_l2", "voltage_l3"), _VOLTAGE),
    **dict.fromkeys(("current_l1", "current_l2", "current_l3"), _CURRENT),
    "gas": Measure("m3", None, None, 0.03, 0.001),  # 100 m³/h: a large building
}


class Kind(NamedTuple):
    """What is the same for every sensor that speaks a protocol."""

    what: str  # for people
    baud: int
    measures: tuple[str, ...]
    every_s: float = 1.0  # at most from one frame to the next
    asked: bool = False  # it speaks when it is asked


KINDS: dict[str, Kind] = {
    "pms": Kind(
        "Plantower PMSx003",
        9600,
        ("pm1", "pm2_5", "pm10", "pm1_cf1", "pm2_5_cf1", "pm10_cf1", "n0_3", "n0_5", "n1", "n2_5", "n5", "n10"),
        every_s=2.3,  # in air that does not change
    ),
    "sds011": Kind("Nova SDS011", 9600, ("pm2_5", "pm10")),
    "sps30": Kind(
        "Sensirion SPS30",
        115_200,
        ("pm1", "pm2_5", "pm4", "pm10", "n0_5", "n1", "n2_5", "n4", "n10", "typical_size"),
        asked=True,
    ),
    "mhz19": Kind("Winsen MH-Z19", 9600, ("co2",), asked=True),
    "nmea": Kind("NMEA 0183 GNSS", 9600, ("latitude", "longitude", "altitude", "hdop", "satellites")),
    "dsmr": Kind(
        "DSMR P1 meter",
        115_200,
        tuple(n for n, m in MEASURES.items() if m.unit in ("kW", "kW.h", "V", "A", "m3")),
        every_s=10.0,  # version 4; from version 5 on every second
    ),
}

BARKJOHN = "barkjohn2021"
BARKJOHN_LOW = -4.0  # ug/m3: what the formula makes of 0 in air of more than 100 %


def barkjohn2021(pm2_5_cf1: float, humidity: float) -> float:
    """PM2.5 in µg/m³ corrected for relative humidity in %.

    K. K. Barkjohn, B. Gantt, A. L. Clements: Development and application of a United States-wide correction for PM2.5
    data collected with the PurpleAir sensor. Atmos. Meas. Tech. 14, 4617-4637, 2021. Fitted to 24 h means of the CF=1
    values of two Plantower PMS5003; linear, so the mean of corrected values is the corrected mean.
    """
    return 0.524 * pm2_5_cf1 - 0.0862 * humidity + 5.75


class UartValueConfig(ValueConfig, frozen=True, kw_only=True):
    """One measure of one sensor. Unit, kind, range and growth are the measure's unless they are given."""

    measure: MeasureName
    correction: Literal["barkjohn2021"] | None = None
    humidity: Name | None = None  # a datastream of this node in %, for the correction

    @property
    def of(self) -> Measure:
        return MEASURES[self.measure]

    @property
    def least(self) -> float:
        return self.of.step

    def __post_init__(self) -> None:
        of = self.of
        refuse(self._against(of))
        put = msgspec.structs.force_setattr
        put(self, "unit", of.unit)
        if of.is_counter:
            put(self, "kind", "counter")
            put(self, "max_per_s", self.max_per_s or of.per_s)
        else:
            put(self, "low", (BARKJOHN_LOW if self.correction else of.low) if self.low is None else self.low)
            put(self, "high", of.high if self.high is None else self.high)
        super().__post_init__()

    def _against(self, of: Measure) -> Iterator[Mistake]:
        if self.unit not in ("1", of.unit):
            yield Mistake(("unit",), f"is {of.unit} for {self.measure}: remove it")
        if self.kind == "counter" and not of.is_counter:
            yield Mistake(("kind",), f"{self.measure} is a gauge: remove it")
        if self.correction is None and self.humidity is not None:
            yield Mistake(("humidity",), f'is for a correction: write correction = "{BARKJOHN}", or remove it')
        if self.correction is not None:
            if self.measure != "pm2_5_cf1":
                yield Mistake(("correction",), "was fitted to pm2_5_cf1, and to nothing else")
            if self.humidity is None:
                yield Mistake(("humidity",), "misses humidity: the correction takes a datastream of relative humidity")
            if self.correction not in self.datastream:
                rule = f"is a corrected value: its name has to say so, as in {self.datastream}/{self.correction}"
                yield Mistake(("datastream",), rule)


class UartConfig(Document, frozen=True, kw_only=True):
    """One sensor on a serial port: a device path, a pyserial URL or a pattern that names exactly one port."""

    protocol: Protocol
    port: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    baud: Annotated[int, msgspec.Meta(ge=1200, le=921_600)] | None = None  # None: as the protocol's sensors have it
    values: Annotated[tuple[UartValueConfig, ...], msgspec.Meta(max_length=32)] = ()

    @property
    def kind(self) -> Kind:
        return KINDS[self.protocol]

    @property
    def rate(self) -> int:
        """Bits a second."""
        return self.baud or self.kind.baud

    @property
    def subject(self) -> str:
        """What its conditions are about: its first datastream."""
        return self.values[0].datastream if self.values else self.protocol

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if not self.values and self.protocol != "nmea":
            yield Mistake(("values",), f"misses values; it gives {', '.join(self.kind.measures)}")
        for i, value in enumerate(self.values):
            if value.measure not in self.kind.measures:
                rule = (
                    f"{value.measure} is nothing that {self.protocol} gives; it gives {', '.join(self.kind.measures)}"
                )
                yield Mistake(("values", i, "measure"), rule)


def uart_values(sensors: Sequence[UartConfig]) -> tuple[UartValueConfig, ...]:
    """Of all sensors, in the order of the configuration."""
    return tuple(value for sensor in sensors for value in sensor.values)
