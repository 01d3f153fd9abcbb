"""The measures are those of the kept library, row for row: on its own sample, and on seeded days of events."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from importlib import metadata

import pytest

from tests.edge.measures.test_measures import rows_of
from tests.simulators import atspm_library, signal_day
from wayside.edge.measures.layout import Layout, Row, Settings
from wayside.edge.sources.high_resolution import PATIENCE_MS

pytest.importorskip("atspm")
if metadata.version("duckdb").split(".")[0] != "1":
    pytest.skip("atspm 2.6.1 fails with DuckDB 2: pip install -c constraints.txt duckdb", allow_module_level=True)
MIDNIGHT = 1_767_225_600_000  # 2026-01-01
HOUR = 3_600_000
NODES_MS = PATIENCE_MS
QUARTER_MS = 900_000  # the library's bins of yellow and red, whatever else is asked for
TERMINATIONS = {"gap_out": 4.0, "max_out": 5.0, "force_off": 6.0}
COLUMNS = {
    "arrival_on_green": ("total", "share"),
    "platoon_ratio": ("total", "on_green", "green_s", "green_ratio", "platoon_ratio", "arrival_type"),
    "split_failures": ("green_s", "green_occupancy", "red_occupancy", "failures"),
    "ped_delay": ("mean_s", "samples"),
    "preemption": ("duration_s", "valid"),
}


def in_the_librarys_words(rows: Iterable[Row]) -> dict[atspm_library.Key, atspm_library.Values]:
    told: dict[atspm_library.Key, atspm_library.Values] = {}

    def tell(key: atspm_library.Key, values: atspm_library.Values) -> None:
        assert key not in told, f"{key} was told twice"
        told[key] = values

    for row in rows:
        if row.measure == "terminations":
            for reason, n in row.values.items():
                tell((row.measure, row.start_ms, row.phase, (TERMINATIONS[reason],)), (float(n),))
        elif row.measure == "yellow_red":
            extra = (float(row.values["state"]), float(row.values["red_offset_s"]))
            key = (row.measure, row.start_ms // QUARTER_MS * QUARTER_MS, row.phase, extra)
            late = told.pop(key, (0.0,))
            tell(key, (late[0] + row.values["count"],))
        elif row.measure in COLUMNS:
            tell((row.measure, row.start_ms, row.phase, ()), tuple(float(row.values[c]) for c in COLUMNS[row.measure]))
    return told


def differing(
    ours: dict[atspm_library.Key, atspm_library.Values], theirs: dict[atspm_library.Key, atspm_library.Values]
) -> list[str]:
    """Rows that only one has, or whose numbers differ by more than single precision."""
    differences = [f"only ours: {key} {ours[key]}" for key in sorted(ours.keys() - theirs.keys())]
    differences += [f"only the library's: {key} {theirs[key]}" for key in sorted(theirs.keys() - ours.keys())]
    for key in sorted(ours.keys() & theirs.keys()):
        if not all(math.isclose(a, b, rel_tol=2e-6, abs_tol=1e-9) for a, b in zip(ours[key], theirs[key], strict=True)):
            differences.append(f"{key}: {ours[key]} is not {theirs[key]}")
    return differences


@cache
def sample() -> tuple[list[tuple[int, int, int]], Layout]:
    """The library's own log of two hours, and its detectors."""
    from atspm import sample_data

    raw = sample_data.data.df()
    events = zip(
        raw["TimeStamp"].astype("datetime64[ms]").astype("int64"), raw["EventId"], raw["Parameter"], strict=True
    )
    detectors: dict[str, dict[int, tuple[int, ...]]] = {"Advance": {}, "Presence": {}, "Yellow_Red": {}}
    for row in sample_data.config.df().itertuples():
        if row.Function in detectors:
            of = detectors[row.Function]
            of[int(row.Parameter)] = (*of.get(int(row.Parameter), ()), int(row.Phase))
    return sorted((int(a), int(b), int(c)) for a, b, c in events), Layout(*detectors.values())


@pytest.mark.parametrize(
    ("bin_ms", "latency_ms", "patience_ms"),
    [(900_000, 0, 24 * HOUR), (900_000, 1500, NODES_MS), (300_000, 0, NODES_MS), (300_000, 1500, 24 * HOUR)],
)
def test_no_row_differs_on_the_librarys_sample(bin_ms: int, latency_ms: int, patience_ms: int) -> None:
    events, layout = sample()
    settings = Settings(bin_ms=bin_ms, latency_ms=latency_ms, patience_ms=patience_ms)
    theirs = atspm_library.answers(atspm_library.frame(events), atspm_library.config(layout), settings)
    ours = in_the_librarys_words(rows_of(events, layout, settings, 60_000))
    assert len(theirs) > 150
    assert differing(ours, theirs) == []


@pytest.mark.parametrize(
    ("seed", "tick_ms", "lost", "patience_ms"),
    [(0, 1, 0.0, 24 * HOUR), (1, 100, 0.0, NODES_MS), (2, 1, 0.02, 24 * HOUR), (3, 100, 0.02, 24 * HOUR)],
)
def test_no_row_differs_on_a_day_of_events(seed: int, tick_ms: int, lost: float, patience_ms: int) -> None:
    """A node waits five minutes for a phase's next green: an actuation longer after red is the library's alone."""
    events = signal_day.day(seed, MIDNIGHT, tick_ms=tick_ms, lost=lost)
    layout = Layout.of(signal_day.loops())
    settings = Settings(patience_ms=patience_ms)
    theirs = atspm_library.answers(atspm_library.frame(events), atspm_library.config(layout), settings)
    ours = in_the_librarys_words(rows_of(events, layout, settings, 10_000))
    kinds = {key[0] for key in theirs}
    assert kinds == {"terminations", "yellow_red", *COLUMNS}
    late = {key for key in theirs if key[0] == "yellow_red" and key[3][1] * 1000 > patience_ms}
    assert len(late) < 5
    theirs = {key: values for key, values in theirs.items() if key not in late}
    assert differing(ours, theirs) == []
