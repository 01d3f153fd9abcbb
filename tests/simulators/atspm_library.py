"""The kept library ``atspm`` as an oracle: its answers to a log, as rows of ``edge.measures``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from wayside.edge.measures.layout import Layout, Settings

Key = tuple[str, int, int, tuple[float, ...]]  # measure, start, phase, whatever else makes it one row
Values = tuple[float, ...]


def frame(events: Iterable[tuple[int, int, int]]) -> pd.DataFrame:
    rows = [(ms, 1, code, parameter) for ms, code, parameter in events]
    table = pd.DataFrame(rows, columns=["TimeStamp", "DeviceId", "EventId", "Parameter"])
    table["TimeStamp"] = pd.to_datetime(table["TimeStamp"], unit="ms")
    return table


def config(layout: Layout) -> pd.DataFrame:
    rows = [
        (1, phase, channel, function)
        for function, of in zip(("Advance", "Presence", "Yellow_Red"), layout, strict=True)
        for channel, phases in of.items()
        for phase in phases
    ]
    return pd.DataFrame(rows, columns=["DeviceId", "Phase", "Parameter", "Function"])


def answers(raw: Any, detectors: Any, settings: Settings) -> dict[Key, Values]:
    """Of every measure that the library has."""
    from atspm import SignalDataProcessor

    latency = {"latency_offset_seconds": settings.latency_ms / 1000}
    wanted = {
        "has_data": {"no_data_min": settings.no_data_ms // 60_000, "min_data_points": settings.min_events},
        "terminations": {},
        "arrival_on_green": latency,
        "platoon_ratio": {},
        "yellow_red": {**latency, "min_red_offset": settings.min_red_offset_s},
        "split_failures": {
            "red_time": settings.red_ms // 1000,
            "red_occupancy_threshold": settings.red_occupancy,
            "green_occupancy_threshold": settings.green_occupancy,
            "by_approach": True,
            "by_cycle": False,
        },
        "timeline": {"min_duration": settings.min_interval_s, "cushion_time": 60, "max_event_gap_seconds": None},
        "ped_delay": {},
    }
    processor = SignalDataProcessor(
        raw_data=raw,
        detector_config=detectors,
        bin_size=settings.bin_ms // 60_000,
        aggregations=[{"name": name, "params": params} for name, params in wanted.items()],
        verbose=0,
    )
    with processor:
        processor.load()
        processor.aggregate()
        tables = {name: processor.conn.query(f"SELECT * FROM {name}").df() for name in wanted}
    return dict(_rows(tables))


def _rows(tables: Mapping[str, pd.DataFrame]) -> Iterable[tuple[Key, Values]]:
    def each(name: str, columns: Sequence[str], extra: Sequence[str] = ()) -> Iterable[tuple[Key, Values]]:
        table = tables[name]
        starts = table["TimeStamp"].astype("datetime64[ms]").astype("int64")
        for at, (_, row) in zip(starts, table.iterrows(), strict=True):
            yield (
                (name, int(at), int(row["Phase"]), tuple(float(row[e]) for e in extra)),
                tuple(float(row[c]) for c in columns),
            )

    codes = {"GapOut": 4, "MaxOut": 5, "ForceOff": 6}
    tables["terminations"]["Code"] = tables["terminations"]["PerformanceMeasure"].map(codes)
    yield from each("terminations", ["Total"], ["Code"])
    yield from each("arrival_on_green", ["Total_Actuations", "Percent_AOG"])
    platoon = ["Total_Actuations", "Green_Actuations", "Green_Seconds", "Green_Ratio", "Platoon_Ratio", "Arrival_Type"]
    yield from each("platoon_ratio", platoon)
    yield from each("yellow_red", ["Count"], ["Signal_State", "Red_Offset"])
    yield from each("split_failures", ["Green_Time", "Green_Occupancy", "Red_Occupancy", "Split_Failure"])
    yield from each("ped_delay", ["AvgPedDelay", "Samples"])
    preempts = tables["timeline"][tables["timeline"]["EventClass"] == "Preempt"]
    for _, row in preempts.iterrows():
        at = round(row["StartTime"].timestamp() * 1000)
        yield ("preemption", at, int(row["EventValue"]), ()), (float(row["Duration"]), float(row["IsValid"]))
