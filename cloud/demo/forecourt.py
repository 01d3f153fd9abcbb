"""The forecourt: arrivals as a hospital's own system tells them, and a notice before the beds are full."""

from __future__ import annotations

from typing import Any

import numpy as np

from wayside.cloud.demo.held_out import Series, write
from wayside.cloud.demo.node import Node, Place, total

DAYS = 4
ARRIVALS = "forecourt/arrivals"
STEP_S = 1800
SEED = 7
ROOM = 1.12


class Forecourt(Node):
    name, domain, runtime, timezone = "forecourt", "health", "onnxruntime", "America/Chicago"
    models = {"forecourt-arrivals": "forecourt_arrivals"}
    watched = ARRIVALS

    def __init__(self, series: Series) -> None:
        self.series = series
        self.start_unix_s, self.seconds = series.start_unix_s, DAYS * 86400.0
        counts = np.nan_to_num(series.columns["arrivals"]).astype(int)
        # How many of an hour came in its first half is drawn: the data say no more than the hour.
        first = np.random.default_rng(SEED).binomial(counts, 0.5)
        self.arrivals: list[int] = np.stack([first, counts - first], axis=1).ravel().tolist()

    def fed(self) -> float:
        return float(sum(self.arrivals[: round(self.seconds / STEP_S)]))

    def stored(self, rows: list[dict[str, Any]]) -> float:
        return total(rows, ARRIVALS)

    @property
    def places(self) -> int:
        """For the arrivals of two hours: somewhat more than come in them on average."""
        return round(ROOM * 2 * float(np.nanmean(self.series.first("arrivals", self.seconds))))

    def write(self, place: Place) -> None:
        begins = [self.start_unix_s + STEP_S * i for i in range(len(self.arrivals))]
        rows = ((at + STEP_S, at, n) for at, n in zip(begins, self.arrivals, strict=True))
        write(place.folder / "arrivals.csv", ["unix_s", "from", "arrivals"], rows)

    def devices(self, place: Place) -> dict[str, list[str]]:
        url, csv = f"http://127.0.0.1:{place.port}/v1/values", str(place.folder / "arrivals.csv")
        told = ("--url", url, "--datastream", ARRIVALS, "--csv", csv)
        return {"front-desk": self.device("front_desk", *told, place=place)}

    def sections(self, place: Place) -> list[str]:
        return [
            "[manual]",
            f"port = {place.port}",
            # Real seconds, in which the desk says things and the node writes them down.
            f"wait_s = {max(60.0, min(86400.0, 1.5 * place.speed)):.0f}",
            "[[manual.values]]",
            f'datastream = "{ARRIVALS}"',
            'unit = "{pat}"',
            'observes = "arrivals"',
            'kind = "totals"',
            "[[tasks]]",
            'name = "arrivals"',
            'bundle = "forecourt-arrivals"',
            "interval_s = 3600",
            f"step_s = {STEP_S}",
            "horizon = 12",
            f"wait_s = {max(120.0, min(86400.0, 3 * place.speed)):.0f}",
            'policy = "capacity_notice"',
            'actuator = "forecourt/notice"',
            "settings = { hours = 2, warn_at = 0.4, alarm_at = 0.5 }",
            f'sites = [{{ output = "{ARRIVALS}", constants = {{ places = {self.places} }} }}]',
            "[[actuators]]",
            'name = "forecourt/notice"',
            'kind = "notice"',
            "at_most_per_h = 1",  # who is told twice in an hour listens to neither
        ]
