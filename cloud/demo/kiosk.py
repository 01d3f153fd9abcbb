"""The kiosk: a transformer's load on a Modbus meter, and a heat store that charges when power is cheap."""

from __future__ import annotations

from typing import Any

import numpy as np

from wayside.cloud.demo.held_out import Series, write
from wayside.cloud.demo.node import Node, Place, mean

DAYS = 3
LOAD, STORE = "kiosk/load", "kiosk/heat-store"


class Kiosk(Node):
    name, domain, runtime, timezone = "kiosk", "energy", "tflite-runtime", "Australia/Melbourne"
    models = {"kiosk-load": "kiosk_load"}
    watched = LOAD

    def __init__(self, series: Series) -> None:
        self.series = series
        self.start_unix_s, self.seconds = series.start_unix_s, DAYS * 86400.0

    def fed(self) -> float:
        return float(np.nanmean(self.series.first("load", self.seconds)))

    def stored(self, rows: list[dict[str, Any]]) -> float:
        return mean(rows, LOAD)

    def write(self, place: Place) -> None:
        rows = zip(self.series.starts, self.series.columns["load"].tolist(), strict=True)
        write(place.folder / "load.csv", ["unix_s", "load"], rows)

    def devices(self, place: Place) -> dict[str, list[str]]:
        csv = str(place.folder / "load.csv")
        return {"meter": self.device("meter", "--port", str(place.port), "--csv", csv, place=place)}

    def sections(self, place: Place) -> list[str]:
        return [
            "[[modbus]]",
            f'port = "tcp://127.0.0.1:{place.port}"',
            "timeout_s = 0.5",
            "[[modbus.registers]]",
            "device = 1",
            "address = 0",
            'table = "input"',
            'type = "float32"',
            f'datastream = "{LOAD}"',
            'unit = "kW"',
            'observes = "load"',
            "poll_s = 0.1",
            "low = 0",
            "high = 1000",
            "[[tasks]]",
            'name = "load"',
            'bundle = "kiosk-load"',
            "interval_s = 1800",
            "horizon = 48",
            f'sites = [{{ output = "{LOAD}" }}]',
            'policy = "load_shift"',
            f'actuator = "{STORE}"',
            "[tasks.settings]",
            "power = 40.0",  # kW, what the store draws
            "price = 0.32",
            "tariffs = [",
            '  { from = "22:00", to = "06:00", price = 0.18 },',
            '  { from = "11:00", to = "15:00", price = 0.12 },',
            "]",
            "[[actuators]]",
            f'name = "{STORE}"',
            'kind = "setpoint"',
            'register = { device = 1, table = "coil", address = 0 }',
            "low = 0",
            "high = 1",
            "safe = 0",
            'by = "17:00"',
            "must_run_s = 18000",  # five hours make it warm for the evening
            "min_on_s = 7200",
        ]
