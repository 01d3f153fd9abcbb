"""What a node makes of its signal's events: measures as rows, and nothing where it has no loops."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC

import msgspec
import pytest

from tests.edge.measures.test_measures import rows_of
from tests.simulators import high_resolution, signal_day
from tests.simulators.high_resolution import BEGIN_MS
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Summary
from wayside.edge.event_export import COLUMNS, write_events
from wayside.edge.measures.codes import BOARD_CODES, codes_of
from wayside.edge.measures.layout import Layout, Settings
from wayside.edge.measures.summary import summaries
from wayside.edge.sources.high_resolution import MAX_BUFFERED, PATIENCE_MS, measure_interval_s
from wayside.firmware_bridge.line.board import Gap
from wayside.firmware_bridge.line.messages import DetectorFault, Event, EventKind, PreemptState, Status, Termination

QUARTER_MS = 900_000


def rows_about_the_signal(node: object) -> list[Summary]:
    ledger = node.ledger  # type: ignore[attr-defined]
    return [r for r in ledger.rows if r.datastream.endswith("/measures") or r.datastream.startswith("preempt/")]


@pytest.fixture(scope="module")
def day() -> list[tuple[int, int, int]]:
    return high_resolution.as_told(signal_day.day(5, BEGIN_MS))


def test_a_days_rows_are_the_measures_of_its_events(day: list[tuple[int, int, int]]) -> None:
    node = high_resolution.running(high_resolution.config(signal_day.loops()))
    high_resolution.hear(node, high_resolution.board_events(day))
    settings = Settings(patience_ms=PATIENCE_MS)
    measured = rows_of(day, Layout.of(signal_day.loops()), settings, 10_000)
    expected = {(f"phase/{s.phase}/measures", s.start_ms + QUARTER_MS): s.numbers for s in summaries(measured)}
    told = rows_about_the_signal(node)
    phases = {(r.datastream, r.at.wall_ms): r.detail for r in told if r.datastream.startswith("phase/")}
    assert len(expected) > 300
    assert phases == expected
    assert sum(r.datastream == "preempt/1" for r in told) == sum(r.measure == "preemption" for r in measured)
    assert {r.quality for r in told if r.at.wall_ms and r.at.wall_ms > BEGIN_MS + QUARTER_MS} == {Quality.GOOD}


def test_a_days_rows_are_at_most_three_percent_of_its_events(day: list[tuple[int, int, int]]) -> None:
    """Bytes of the rows as the sync sends them, a body for each quarter of an hour, against the events as CSV."""
    node = high_resolution.running(high_resolution.config(signal_day.loops()))
    high_resolution.hear(node, high_resolution.board_events(day))
    by_end: dict[int | None, list[Summary]] = {}
    for row in rows_about_the_signal(node):
        by_end.setdefault(row.at.wall_ms, []).append(row)
    sent = sum(len(gzip.compress(msgspec.json.encode(rows), compresslevel=6)) for rows in by_end.values())
    raw = io.StringIO()
    csv.writer(raw, lineterminator="\n").writerows([("2024-01-01 00:00:00.000", "node-1", c, p) for _, c, p in day])
    assert 0 < sent <= 0.03 * len(raw.getvalue())


def test_without_loops_nothing_is_computed_and_nothing_is_kept() -> None:
    node = high_resolution.running(high_resolution.config(()))
    high_resolution.hear(node, [Event(1, 1000, 1, 1, 1), Event(2, 2000, 1, 1, 0)])
    assert rows_about_the_signal(node) == []
    assert node.take_events() == ([], None)


def test_the_rows_of_an_interval_with_lost_events_say_so() -> None:
    events = list(high_resolution.board_events(high_resolution.as_told(signal_day.day(5, BEGIN_MS, 1.5))))
    lost = [e for e in events if 40 * 60_000 < e.ms < 41 * 60_000]
    node = high_resolution.running(high_resolution.config(signal_day.loops()))
    node._clock.mono_ns = lambda: 41 * 60_000_000_000  # type: ignore[method-assign]
    for chunk in (events[: lost[0].seq - 1], [Gap(lost[0].seq, lost[-1].seq)], events[lost[-1].seq :]):
        node.receive(chunk)
        last = chunk[-1].ms if isinstance(chunk[-1], Event) else 41 * 60_000
        node.receive([Status(last, events[-1].seq + 1, 1, events[-1].seq, 0, 0, 0, 1)])
    node.receive([Status(2 * 3_600_000, events[-1].seq + 1, 1, events[-1].seq, 0, 0, 0, 1)])
    rows = [r for r in rows_about_the_signal(node) if r.datastream.startswith("phase/")]
    qualities = {((r.at.wall_ms or 0) - BEGIN_MS) // QUARTER_MS: r.quality for r in rows}
    assert qualities[2] is Quality.GOOD
    assert qualities[3] is Quality.GAP
    assert qualities[4] is Quality.GOOD


def test_events_for_a_log_that_nobody_takes_are_bounded_and_their_loss_is_said_once() -> None:
    node = high_resolution.running(high_resolution.config(signal_day.loops()))
    node.receive([Event(i, i, 1, 60, i % 2) for i in range(1, 2 * MAX_BUFFERED)])
    events, _ = node.take_events()
    assert len(events) <= MAX_BUFFERED
    assert sum("loses its oldest" in str(r.detail.get("what")) for r in node.ledger.rows) == 1


def test_every_event_of_a_phase_or_detector_has_its_code() -> None:
    """The table has the numbers of the line; a new kind must be decided here."""
    no_code = {EventKind.INPUT, EventKind.SIGNAL_MODE, EventKind.ANALOG}
    assert {kind for kind, _ in BOARD_CODES} == {int(k) for k in EventKind} - {int(k) for k in no_code}
    for reason in Termination:
        assert codes_of(EventKind.TERMINATION, reason) in ((4,), (5,), (6,))
    for state in PreemptState:
        assert codes_of(EventKind.PREEMPT, state)
    for fault in DetectorFault:
        assert set(codes_of(EventKind.DETECTOR_FAULT, fault)) <= set(range(84, 89))
    assert codes_of(EventKind.DETECTOR_FAULT, DetectorFault.STUCK_ON | DetectorFault.CHATTER) == (84,)
    assert codes_of(EventKind.INPUT, 1) == ()


@pytest.mark.parametrize(("rows_s", "measures_s"), [(900, 900), (300, 900), (400, 1200), (3600, 3600), (7, 903)])
def test_measures_have_at_least_a_quarter_of_an_hour(rows_s: int, measures_s: int) -> None:
    assert measure_interval_s(rows_s) == measures_s


def test_the_columns_of_an_export_are_the_librarys(tmp_path: object) -> None:
    from pathlib import Path

    out = Path(str(tmp_path)) / "events.csv"
    write_events([(BEGIN_MS + 7, 82, 3)], out, "node-1", UTC)
    assert out.read_text() == ",".join(COLUMNS) + "\n2024-01-01 00:00:00.007,node-1,82,3\n"
