"""What the demo proves, as numbers: gathered from the boards, the nodes' heartbeats and the hub's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZipFile

from wayside.contracts.passport import PASSPORT_FILE, Passport
from wayside.contracts.wire import decode

Row = dict[str, Any]
INTERVAL_MS = 900_000


def volumes(rows: list[Row], start_ms: int, end_ms: int) -> dict[int, float]:
    """Vehicles by detector channel: the rows' values at the ends of whole intervals, summed."""
    total: dict[int, float] = {}
    for row in rows:
        name = row["datastream"].split("/")
        at = row["at"].get("wall_ms")
        if row["kind"] != "interval" or len(name) != 3 or name[0] != "detector" or at is None:
            continue
        # Intervals may overlap: of those that end within a few seconds of a quarter-hour there is one each.
        if start_ms < at <= end_ms + 1000 and round(at / INTERVAL_MS) * INTERVAL_MS == round(at / 1000) * 1000:
            total[int(name[1])] = total.get(int(name[1]), 0.0) + (row["value"] or 0.0)
    return total


def errors(rows: list[Row]) -> tuple[float, float, int]:
    """Sums of the absolute errors of forecast and of persistence, over rows that have both, and their number."""
    forecast = naive = 0.0
    n = 0
    for row in rows:
        if row["kind"] == "interval" and row["datastream"].startswith("detector/"):
            value, predicted, before = row.get("value"), row.get("forecast"), row.get("naive")
            if value is not None and predicted is not None and before is not None:
                forecast += abs(value - predicted)
                naive += abs(value - before)
                n += 1
    return forecast, naive, n


def scores(rows: list[Row]) -> list[float]:
    """What the task that scores has answered; its rows are named TASK/DATASTREAM."""
    return [
        row["value"]
        for row in rows
        if row["kind"] == "interval" and row["datastream"].startswith("score/") and row["value"] is not None
    ]


def gaps(rows: list[Row]) -> int:
    """Readings that the nodes recorded as lost."""
    return int(sum(row["value"] or 0 for row in rows if row["kind"] == "gap" and row["datastream"] == "board/events"))


def passport(bundle: Path) -> Passport:
    with ZipFile(bundle) as archive:
        return decode(archive.read(PASSPORT_FILE), Passport)
