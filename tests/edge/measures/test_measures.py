"""What the library has no answer to: delay, the diagram's histogram and greens, against plain recounting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.simulators import signal_day
from wayside.edge.measures.arrivals import SLOT_MS, SLOTS
from wayside.edge.measures.layout import Layout, Row, Settings
from wayside.edge.measures.signal import SignalMeasures

BEGIN_MS = 1_767_225_600_000
QUARTER_MS = 900_000
DEFAULTS = Settings()


def rows_of(
    events: Iterable[tuple[int, int, int]], layout: Layout, settings: Settings = DEFAULTS, ask_ms: int = 60_000
) -> list[Row]:
    """As a node does it: rows are asked for again and again."""
    measures, rows, asked = SignalMeasures(layout, settings), [], 0
    for ms, code, parameter in events:
        if ms - asked >= ask_ms:
            rows += measures.rows(ms)
            asked = ms
        measures.take(ms, code, parameter)
    return rows + measures.end()


@pytest.fixture(scope="module")
def day() -> list[tuple[int, int, int]]:
    return signal_day.day(7, BEGIN_MS)


def test_delay_is_the_time_from_each_arrival_on_red_to_its_green(day: list[tuple[int, int, int]]) -> None:
    greens: dict[int, list[int]] = defaultdict(list)
    for ms, code, phase in day:
        if code == 1:
            greens[phase].append(ms)
    shows: dict[int, int] = {}
    expected: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for ms, code, channel in day:
        if code in (1, 8, 10):
            shows[channel] = code
        elif code == 82 and channel in signal_day.RING:
            one = expected[ms // QUARTER_MS * QUARTER_MS, channel]
            one[0] += 1
            if shows.get(channel) == 10:
                later = [green for green in greens[channel] if green >= ms]
                one[1] += 1
                one[2] += later[0] - ms if later else 0
    told = {
        (r.start_ms, r.phase): [r.values["arrivals"], r.values["on_red"], round(1000 * r.values["delay_s"])]
        for r in rows_of(day, Layout.of(signal_day.loops()))
        if r.measure == "approach_delay"
    }
    assert told == expected


def test_the_histogram_counts_each_arrival_by_its_time_since_red_began(day: list[tuple[int, int, int]]) -> None:
    red: dict[int, int] = {}
    expected: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * SLOTS)
    for ms, code, channel in day:
        if code == 10:
            red[channel] = ms
        elif code == 82 and channel in red:
            slot = min((ms - red[channel]) // SLOT_MS, SLOTS - 1)
            expected[ms // QUARTER_MS * QUARTER_MS, channel][slot] += 1
    told = {
        (r.start_ms, r.phase): slots
        for r in rows_of(day, Layout.of(signal_day.loops()))
        if r.measure == "coordination" and any(slots := [int(r.values[f"slot_{i}"]) for i in range(SLOTS)])
    }
    assert told == expected


def test_a_cycle_of_the_diagram_goes_from_red_to_red() -> None:
    cycle = [(0, 10), (30_000, 1), (50_000, 8), (54_000, 10), (90_000, 1), (104_000, 8), (108_000, 10)]
    events = [(BEGIN_MS + ms, code, 2) for ms, code in cycle]
    (row,) = [r for r in rows_of(events, Layout(advance={1: (2,)})) if r.measure == "coordination"]
    assert row.values["cycles"] == 2
    assert row.values["cycle_s"] == 54.0
    assert row.values["green_begins_s"] == 33.0
    assert row.values["yellow_begins_s"] == 50.0


def test_greens_have_their_number_mean_and_longest() -> None:
    events = [(BEGIN_MS + ms, code, 4) for ms, code in ((0, 1), (10_000, 8), (60_000, 1), (90_000, 8), (899_000, 1))]
    (row,) = [r for r in rows_of(events, Layout()) if r.measure == "greens"]
    assert row.values == {"greens": 2, "mean_s": 20.0, "longest_s": 30.0}


@pytest.mark.parametrize("ask_ms", [1000, 10_000, 900_000, 7_200_000])
def test_how_often_rows_are_asked_for_changes_none(day: list[tuple[int, int, int]], ask_ms: int) -> None:
    settings = Settings(patience_ms=300_000)
    layout = Layout.of(signal_day.loops())
    part = [e for e in day if 6 * 3_600_000 < e[0] - BEGIN_MS < 9 * 3_600_000]
    once = sorted(map(str, rows_of(part, layout, settings, 20_000)))
    assert sorted(map(str, rows_of(part, layout, settings, ask_ms))) == once


def test_what_is_kept_does_not_grow_with_a_signal_that_stands_still() -> None:
    """Detectors go on for a day while no phase changes: a failed board, a flash, a wrong table."""
    measures = SignalMeasures(Layout.of(signal_day.loops()), Settings(patience_ms=300_000))
    sizes = []
    for code in (1, 8, 10):
        measures.take(BEGIN_MS - 10_000 + code, code, 2)
    for second in range(86_400):
        ms = BEGIN_MS + 1000 * second
        measures.take(ms, 82, 2)
        measures.take(ms, 82 - second % 2, 12)
        if second % 3600 == 0:
            measures.rows(ms)
            sizes.append(size_of(measures))
    assert max(sizes[12:]) <= 1.1 * max(sizes[3:12])


def size_of(thing: object, seen: set[int] | None = None) -> int:
    """Objects that it holds, through slots, dicts and sequences."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (int, float, str, type(None))):
        return 1
    seen.add(id(thing))
    inner: list[object] = []
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif isinstance(thing, Iterable):
        inner = list(thing)
    inner += [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
    inner += list(getattr(thing, "__dict__", {}).values())
    return 1 + sum(size_of(each, seen) for each in inner)
