"""The local log of events: bounded, whole after any cut, and read by the kept library unchanged."""

from __future__ import annotations

import random
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulators import atspm_library, high_resolution, signal_day
from tests.simulators.agent import node_toml
from tests.simulators.high_resolution import BEGIN_MS
from wayside.edge import event_export
from wayside.edge.event_export import ExportError
from wayside.edge.event_log import (
    BLOCK_EVENTS,
    SEGMENTS,
    Block,
    EventLog,
    EventLogError,
    block_bytes,
    blocks_of,
    read_log,
    segments_of,
)
from wayside.edge.measures.layout import Layout, Settings

EVENT = st.tuples(st.integers(0, 10**12), st.integers(0, 65_535), st.integers(0, 65_535))


def logged(folder: Path, events: list[tuple[int, int, int]], offset_ms: int | None, every: int = 500) -> None:
    log = EventLog(folder, 10_000_000)
    for i in range(0, len(events), every):
        log.append(events[i : i + every], offset_ms)
    log.flush()


def test_what_is_appended_is_read_in_order_with_its_wall_time(tmp_path: Path) -> None:
    events = [(1000 * i, 82, i % 60) for i in range(3000)]
    logged(tmp_path / "events", events, BEGIN_MS)
    read = read_log(tmp_path / "events")
    assert read.events == [(ms + BEGIN_MS, code, parameter) for ms, code, parameter in events]
    assert read.untimed == 0


def test_events_from_before_the_clock_was_known_get_their_time_from_a_later_block(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events", 10_000_000)
    log.append([(1, 1, 2), (20_000, 8, 2)], None)
    log.append([(20_001, 10, 2), (40_000, 1, 4)], BEGIN_MS)
    assert read_log(tmp_path / "events").events[0] == (BEGIN_MS + 1, 1, 2)


def test_events_of_a_run_whose_clock_was_never_known_are_counted(tmp_path: Path) -> None:
    logged(tmp_path / "events", [(1, 1, 2), (2, 8, 2)], None)
    assert read_log(tmp_path / "events") == ([], 2)


def test_a_log_that_ends_anywhere_has_all_whole_blocks_before_it() -> None:
    blocks = [Block(b"computer", BEGIN_MS, [(1000 * b + i, 82, i) for i in range(5)]) for b in range(4)]
    ends = [0]
    for block in blocks:
        ends.append(ends[-1] + len(block_bytes(block)))
    data = b"".join(map(block_bytes, blocks))
    for cut in range(len(data) + 1):
        assert list(blocks_of(data[:cut])) == blocks[: sum(end <= cut for end in ends[1:])]


def test_a_damaged_block_costs_itself_alone() -> None:
    blocks = [Block(b"computer", BEGIN_MS, [(1000 * b + i, 82, i) for i in range(5)]) for b in range(3)]
    whole = [block_bytes(block) for block in blocks]
    for at in range(len(whole[1])):
        damaged = bytearray(whole[1])
        damaged[at] ^= 0x41
        assert list(blocks_of(whole[0] + bytes(damaged) + whole[2])) == [blocks[0], blocks[2]]


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(data: bytes) -> None:
    assert list(blocks_of(data)) == []
    assert list(blocks_of(b"wEv1" + data)) == []


@given(st.lists(EVENT, min_size=1, max_size=50), st.none() | st.integers(-(2**62), 2**62))
def test_a_block_is_read_as_it_was_written(events: list[tuple[int, int, int]], offset_ms: int | None) -> None:
    events = sorted(e for e in events if e[0] - min(events)[0] < 2**32)
    block = Block(b"computer", offset_ms, events)
    assert list(blocks_of(block_bytes(block))) == [block]


def test_the_log_keeps_the_newest_within_its_size(tmp_path: Path) -> None:
    draw = random.Random(1)
    log = EventLog(tmp_path / "events", SEGMENTS * 65_536)
    last = 0
    for _ in range(120):
        events = [
            (last := last + draw.randint(0, 500), draw.randint(0, 255), draw.randint(0, 64))
            for _ in range(BLOCK_EVENTS)
        ]
        log.append(events, BEGIN_MS)
    kept = read_log(tmp_path / "events").events
    assert sum(p.stat().st_size for p in segments_of(tmp_path / "events")) <= SEGMENTS * 65_536
    assert kept[-1][0] == last + BEGIN_MS
    assert len(kept) > 25 * BLOCK_EVENTS


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file where the folder should be")
    log = EventLog(tmp_path / "events", 10_000_000)
    log.append([(1, 1, 2), (20_000, 8, 2)], BEGIN_MS)
    (tmp_path / "events").unlink()
    logged(tmp_path / "events", [(30_000, 1, 2)], BEGIN_MS)
    assert len(read_log(tmp_path / "events").events) == 1


def test_a_node_without_a_log_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="event_log_bytes"):
        read_log(tmp_path / "events")


@pytest.mark.skipif(metadata.version("duckdb")[0] != "1", reason="atspm 2.6.1 fails with DuckDB 2")
@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_the_library_reads_an_export_unchanged(tmp_path: Path, name: str) -> None:
    from typer.testing import CliRunner

    from wayside.edge.cli import node

    events = high_resolution.as_told(signal_day.day(3, BEGIN_MS, 3.0))
    (tmp_path / "node.toml").write_text(node_toml("/dev/null", anchor_s=0.0))
    (tmp_path / "state").mkdir()
    logged(tmp_path / "state" / "events", [(ms - BEGIN_MS, c, p) for ms, c, p in sorted(events)], BEGIN_MS)
    out = tmp_path / name
    told = CliRunner().invoke(
        node,
        ["events", str(tmp_path / "node.toml"), "--out", str(out), "--device", "1", "--utc"],
        catch_exceptions=False,
    )
    assert told.exit_code == 0, told.output
    layout = Layout.of(signal_day.loops())
    detectors = atspm_library.config(layout)
    if name.endswith(".parquet"):
        detectors["DeviceId"] = detectors["DeviceId"].astype(str)  # a name is text
    theirs = atspm_library.answers(str(out), detectors, Settings())
    expected = atspm_library.answers(atspm_library.frame(events), atspm_library.config(layout), Settings())
    assert len(expected) > 100
    assert theirs == expected


def test_another_ending_and_a_missing_duckdb_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC

    with pytest.raises(ExportError, match=r"ends in \.csv or \.parquet"):
        event_export.write_events([], tmp_path / "events.xlsx", "node-1", UTC)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ExportError, match="pip install 'duckdb<2'"):
        event_export.write_events([(1, 1, 1)], tmp_path / "events.parquet", "node-1", UTC)
