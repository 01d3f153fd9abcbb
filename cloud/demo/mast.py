"""The mast: a particle sensor on a serial port, a wind gauge, and a mist cannon that begins before the air is bad."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wayside.cloud.demo.held_out import Series, write
from wayside.cloud.demo.node import Node, Place, mean

DAYS = 4
PM25, PM10, WIND, CANNON = "mast/pm25", "mast/pm10", "mast/wind_speed", "mast/mist-cannon"


class Mast(Node):
    name, domain, runtime, timezone = "mast", "air", "onnxruntime", "Asia/Shanghai"
    models = {"mast-pm25": "mast_pm25"}
    watched = PM25

    def __init__(self, series: Series) -> None:
        self.series = series
        self.start_unix_s, self.seconds = series.start_unix_s, DAYS * 86400.0

    def fed(self) -> float:
        return float(np.nanmean(self.series.first("pm2.5", self.seconds)))

    def stored(self, rows: list[dict[str, Any]]) -> float:
        return mean(rows, PM25)

    def write(self, place: Place) -> None:
        starts, columns = self.series.starts, self.series.columns
        # A sensor that counts particles never says less of the coarse ones than of the fine; a station's filters may.
        air = [
            (at, fine, max(fine, coarse) if math.isfinite(coarse) else coarse)
            for at, fine, coarse in zip(starts, columns["pm2.5"].tolist(), columns["pm10"].tolist(), strict=True)
        ]
        write(place.folder / "air.csv", ["unix_s", "pm2_5", "pm10"], air)
        wind = zip(starts, columns["wind_speed"].tolist(), strict=True)
        write(place.folder / "wind.csv", ["unix_s", "wind_speed"], wind)

    def devices(self, place: Place) -> dict[str, list[str]]:
        wind, air = str(place.folder / "wind.csv"), str(place.folder / "air.csv")
        tty = str(place.folder / "pms5003.tty")
        return {
            "wind": self.device("meter", "--port", str(place.port), "--csv", wind, place=place),
            "pms5003": self.device("pms5003", "--pty-link", tty, "--csv", air, "--every-s", "0.05", place=place),
        }

    def sections(self, place: Place) -> list[str]:
        return [
            "[gpio]",
            'factory = "mock"',
            "[[uart]]",
            'protocol = "pms"',
            f'port = "{place.folder / "pms5003.tty"}"',
            "[[uart.values]]",
            'measure = "pm2_5"',
            f'datastream = "{PM25}"',
            'observes = "pm2.5"',
            "[[uart.values]]",
            'measure = "pm10"',
            f'datastream = "{PM10}"',
            'observes = "pm10"',
            "[[modbus]]",
            f'port = "tcp://127.0.0.1:{place.port}"',
            "timeout_s = 0.5",
            "[[modbus.registers]]",
            "device = 1",
            "address = 0",
            'table = "input"',
            'type = "float32"',
            f'datastream = "{WIND}"',
            'unit = "m/s"',
            'observes = "wind_speed"',
            "poll_s = 0.1",
            "[[tasks]]",
            'name = "air"',
            'bundle = "mast-pm25"',
            "interval_s = 3600",
            "lead = 3",
            "horizon = 4",
            f'inputs = {{ pm10 = "{PM10}", wind_speed = "{WIND}" }}',
            f'sites = [{{ output = "{PM25}" }}]',
            'policy = "abatement"',
            f'actuator = "{CANNON}"',
            "settings = { threshold = 75.0, within = 4 }",
            "[[actuators]]",
            f'name = "{CANNON}"',
            'kind = "setpoint"',
            "pin = { number = 22 }",
            "low = 0",
            "high = 1",
            "safe = 0",
            "min_on_s = 7200",
            "max_run_s = 28800",  # its tank holds water for eight hours a day
        ]
