"""What the demo's boards see: real detector data as board feeds (``ms,kind,channel,value``).

Node 1 replays a high-resolution controller log edge by edge. Nodes 2 and 3 get real 15-minute counts as pulses whose
times inside each quarter-hour are drawn from a seed: the counts are real, the times are not.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

DETECTOR, GREEN, YELLOW, RED = 1, 2, 3, 4  # event kinds of the board (docs/wire.md)
QUARTER_S = 900
PULSE_S = 0.2  # presence of one vehicle
SPACING_S = 0.5  # between two rising edges of one detector, so that pulses never merge

# Indiana high-resolution event codes: phase begin green, yellow, red clearance; detector off, on.
LOG_KINDS = {1: GREEN, 8: YELLOW, 10: RED, 81: DETECTOR, 82: DETECTOR}


class Feed(NamedTuple):
    """A board's input, sorted by time."""

    rows: list[tuple[int, int, int, int]]  # ms since the start, kind, channel, value
    start: pd.Timestamp  # local time of ms 0
    seconds: float
    vehicles: dict[int, int]  # detector-on events by channel: the ground truth

    def write(self, path: Path) -> None:
        path.write_text("".join(f"{ms},{kind},{channel},{value}\n" for ms, kind, channel, value in self.rows))


def controller_log() -> tuple[Feed, dict[int, int]]:
    """The log of one eight-phase intersection, 15 Apr 2024, 12:00 to 14:00 (package ``atspm``).

    Returns:
        The feed of its detector and phase events, and the phase of each configured detector channel.
    """
    log = _table("atspm", "sample_raw_data.parquet")
    config = _table("atspm", "sample_config.parquet")
    start = log["TimeStamp"].min().floor("h")
    log = log[log["EventId"].isin(LOG_KINDS)].sort_values("TimeStamp", kind="stable")
    ms = ((log["TimeStamp"] - start) / pd.Timedelta(milliseconds=1)).astype(int)
    rows = [
        (int(t), LOG_KINDS[code], int(channel), int(code != 81))
        for t, code, channel in zip(ms, log["EventId"], log["Parameter"], strict=True)
    ]
    return Feed(rows, start, 7200.0, _vehicles(rows)), {
        int(c): int(p) for c, p in zip(config["Parameter"], config["Phase"], strict=True)
    }


def counted_day(day: str, seed: int) -> Feed:
    """One day of 15-minute counts of 22 detectors (package ``traffic-anomaly``) as detector pulses."""
    counts = _table("traffic_anomaly", "sample_counts.parquet")
    start = pd.Timestamp(day)
    counts = counts[(counts["timestamp"] >= start) & (counts["timestamp"] < start + pd.Timedelta(days=1))]
    draw = np.random.default_rng(seed)
    rows = []
    for at, channel, total in counts.sort_values(["timestamp", "detector"])[
        ["timestamp", "detector", "total"]
    ].itertuples(index=False):
        base = (at - start).total_seconds()
        free = QUARTER_S - total * SPACING_S
        times = base + np.sort(draw.uniform(0, free, total)) + np.arange(total) * SPACING_S
        for t in times:
            rows.append((round(t * 1000), DETECTOR, int(channel), 1))
            rows.append((round((t + PULSE_S) * 1000), DETECTOR, int(channel), 0))
    rows.sort()
    return Feed(rows, start, 86400.0, _vehicles(rows))


def _vehicles(rows: list[tuple[int, int, int, int]]) -> dict[int, int]:
    """Vehicles by channel: its detector-on events, as ATSPM counts them."""
    vehicles: dict[int, int] = {}
    for _, kind, channel, value in rows:
        if kind == DETECTOR:
            vehicles[channel] = vehicles.get(channel, 0) + value
    return vehicles


def _table(package: str, name: str) -> pd.DataFrame:
    # Both packages bring duckdb; pandas' own Parquet engine needs NumPy 2, which tflite-runtime cannot have.
    path = importlib.resources.files(package) / "data" / name
    return duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
