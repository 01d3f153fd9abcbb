"""What the intersection's board sees: a real controller log as a board's feed (``ms,kind,channel,value``)."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import NamedTuple

import duckdb
import pandas as pd

DETECTOR, GREEN, YELLOW, RED = 1, 2, 3, 4  # event kinds of the board (docs/wire.md)

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


def _vehicles(rows: list[tuple[int, int, int, int]]) -> dict[int, int]:
    """Vehicles by channel: its detector-on events, as ATSPM counts them."""
    vehicles: dict[int, int] = {}
    for _, kind, channel, value in rows:
        if kind == DETECTOR:
            vehicles[channel] = vehicles.get(channel, 0) + value
    return vehicles


def _table(package: str, name: str) -> pd.DataFrame:
    # The package brings duckdb; pandas' own Parquet engine needs NumPy 2, which tflite-runtime cannot have.
    path = importlib.resources.files(package) / "data" / name
    return duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
