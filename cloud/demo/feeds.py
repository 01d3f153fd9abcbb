"""What the intersection's board sees: a real controller log as a board's feed (``ms,kind,channel,value``)."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import NamedTuple

import duckdb
import pandas as pd

DETECTOR = 1  # event kind of the board (docs/wire.md)
OFF, ON = 81, 82  # Indiana high-resolution event codes of a detector


class Detector(NamedTuple):
    """What the controller's configuration says of one."""

    phase: int  # that it calls
    function: str  # "Presence": at the stop line; "Advance"; others count


class Feed(NamedTuple):
    """A board's input, sorted by time."""

    rows: list[tuple[int, int, int, int]]  # ms since the start, kind, channel, value
    start: pd.Timestamp  # local time of ms 0
    seconds: float
    vehicles: dict[int, int]  # detector-on events by channel: the ground truth

    def write(self, path: Path) -> None:
        path.write_text("".join(f"{ms},{kind},{channel},{value}\n" for ms, kind, channel, value in self.rows))


def controller_log() -> tuple[Feed, dict[int, Detector]]:
    """The detectors' edges in the log of one intersection, 15 Apr 2024, 12:00 to 14:00 (package ``atspm``).

    Its phases are left out: the board that sees these edges drives the signal itself. The vehicles are those that the
    controller of that day served, and wait for nobody else.

    Returns:
        The feed, and each configured detector by channel.
    """
    log = _table("atspm", "sample_raw_data.parquet")
    config = _table("atspm", "sample_config.parquet")
    start = log["TimeStamp"].min().floor("h")
    log = log[log["EventId"].isin((OFF, ON))].sort_values("TimeStamp", kind="stable")
    ms = ((log["TimeStamp"] - start) / pd.Timedelta(milliseconds=1)).astype(int)
    rows = [
        (int(t), DETECTOR, int(channel), int(code == ON))
        for t, code, channel in zip(ms, log["EventId"], log["Parameter"], strict=True)
    ]
    return Feed(rows, start, 7200.0, _vehicles(rows)), {
        int(c): Detector(int(p), str(f))
        for c, p, f in zip(config["Parameter"], config["Phase"], config["Function"], strict=True)
    }


def _vehicles(rows: list[tuple[int, int, int, int]]) -> dict[int, int]:
    """Vehicles by channel: its detector-on events, as ATSPM counts them."""
    vehicles: dict[int, int] = {}
    for _, _, channel, value in rows:
        vehicles[channel] = vehicles.get(channel, 0) + value
    return vehicles


def _table(package: str, name: str) -> pd.DataFrame:
    # The package brings duckdb; pandas' own Parquet engine needs NumPy 2, which tflite-runtime cannot have.
    path = importlib.resources.files(package) / "data" / name
    return duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
