"""The firmware's detector inputs: every bounce, stuck loop, dead cable and chatter is named, in order, by the clock."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.firmware_bridge.test_board_process import Host
from tests.firmware_bridge.test_signal_plan import answer, known, table
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge.line.messages import DetectorFault, EventKind
from wayside.firmware_bridge.line.messages import Event as Sent

EDGE, FAULT = EventKind.DETECTOR.value, EventKind.DETECTOR_FAULT.value
WINDOW_MS = 30_000
Event = tuple[int, int, int, int]  # ms, kind, channel, value


class Limits(NamedTuple):
    count: int = 2
    debounce_ms: int = 0
    chatter: int = 0
    stuck_s: int = 0
    no_hit_s: int = 0


def detect(core: Path, limits: Limits, edges: list[tuple[int, int, int]], end_ms: int) -> list[Event]:
    command = [str(core), "detect", *map(str, limits), str(end_ms)]
    lines = "".join(f"{ms} {channel} {value}\n" for ms, channel, value in edges)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]  # type: ignore[misc]


def expected(limits: Limits, edges: list[tuple[int, int]], end_ms: int) -> list[tuple[int, int, int]]:
    """One detector, millisecond by millisecond, as section 1.10 of docs/wire.md says it: (ms, kind, value)."""
    out: list[tuple[int, int, int]] = []
    level = raw = raw_since = level_since = last_rise = rises = window = 0
    faults = told = DetectorFault(0)
    at = 0

    def tell(ms: int) -> None:
        nonlocal told
        if told != faults:
            out.append((ms, FAULT, int(faults)))
            told = faults

    for ms in range(end_ms + 1):
        while True:  # what is due before the next edge of this millisecond, then that edge
            if raw != level and ms - raw_since >= limits.debounce_ms:
                level, level_since = raw, ms
                out.append((ms, EDGE, level))
                if level:
                    last_rise = ms
                    if rises == 0 and not faults & DetectorFault.CHATTER:
                        window = ms
                    rises += 1
                    if limits.chatter and rises > limits.chatter:
                        faults |= DetectorFault.CHATTER
                    faults &= ~DetectorFault.NO_HIT
                else:
                    faults &= ~DetectorFault.STUCK_ON
            tell(ms)
            if limits.stuck_s and level and ms - level_since >= limits.stuck_s * 1000:
                faults |= DetectorFault.STUCK_ON
            tell(ms)
            if limits.no_hit_s and ms - last_rise >= limits.no_hit_s * 1000:
                faults |= DetectorFault.NO_HIT
            tell(ms)
            if (rises or faults & DetectorFault.CHATTER) and ms - window >= WINDOW_MS:
                if not limits.chatter or rises <= limits.chatter:
                    faults &= ~DetectorFault.CHATTER
                window, rises = ms, 0
            tell(ms)
            if at == len(edges) or edges[at][0] > ms:
                break
            if edges[at][1] != raw:
                raw, raw_since = edges[at][1], ms
            at += 1
    return out


def test_bounces_are_one_edge_at_the_time_at_which_it_was_certain(core: Path) -> None:
    bounce = [(100, 1, 1), (103, 1, 0), (105, 1, 1), (500, 1, 0), (504, 1, 1), (507, 1, 0)]
    assert detect(core, Limits(debounce_ms=20), bounce, 1000) == [(125, EDGE, 1, 1), (527, EDGE, 1, 0)]


def test_a_glitch_shorter_than_the_debounce_time_is_nothing(core: Path) -> None:
    assert detect(core, Limits(debounce_ms=20), [(100, 2, 1), (119, 2, 0)], 1000) == []


def test_unwatched_channels_pass_as_they_are(core: Path) -> None:
    assert detect(core, Limits(debounce_ms=20), [(100, 3, 1), (101, 3, 0)], 1000) == [
        (100, EDGE, 3, 1),
        (101, EDGE, 3, 0),
    ]


def test_a_stuck_loop_is_named_and_well_again_when_it_falls(core: Path) -> None:
    said = detect(core, Limits(stuck_s=5), [(1000, 1, 1), (9000, 1, 0)], 10_000)
    assert said == [(1000, EDGE, 1, 1), (6000, FAULT, 1, 1), (9000, EDGE, 1, 0), (9000, FAULT, 1, 0)]


def test_a_detector_that_sees_nobody_is_named_once(core: Path) -> None:
    said = detect(core, Limits(count=1, no_hit_s=10), [(25_000, 1, 1)], 30_000)
    assert said == [(10_000, FAULT, 1, 2), (25_000, EDGE, 1, 1), (25_000, FAULT, 1, 0)]


def test_chatter_is_named_and_ends_with_a_quiet_window(core: Path) -> None:
    edges = [(1000 + 100 * i, 1, 1 - i % 2) for i in range(12)]
    faults = [row for row in detect(core, Limits(chatter=5), edges, 100_000) if row[1] == FAULT]
    assert faults == [(2000, FAULT, 1, 4), (61_000, FAULT, 1, 0)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 2), st.integers(0, 1)), max_size=40),
    st.builds(Limits, st.just(2), st.integers(0, 60), st.integers(0, 4), st.integers(0, 6), st.integers(0, 9)),
)
def test_any_edges_give_what_the_document_says_and_in_order(
    core: Path, steps: list[tuple[int, int, int]], limits: Limits
) -> None:
    edges, now = [], 0
    for step, channel, value in steps:
        now += step * (step > 60) + step % 61
        edges.append((now, channel, value))
    end_ms = now + 10_000
    said = detect(core, limits, edges, end_ms)
    assert [row[0] for row in said] == sorted(row[0] for row in said)
    for channel in (1, 2):
        mine = [(ms, kind, value) for ms, kind, who, value in said if who == channel]
        assert mine == expected(limits, [(ms, value) for ms, who, value in edges if who == channel], end_ms)


async def test_the_boards_limits_come_with_its_table_and_its_faults_are_events(tmp_path: Path) -> None:
    limits = "phases = []\ndetectors = { count = 4, debounce_ms = 25, stuck_s = 10 }\n"
    host = Host()
    with BoardProcess(tmp_path, speed=20, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(1, table(limits), store=True), 1) == 0
        board.stop()
        (tmp_path / "feed.csv").write_text("2000,1,3,1\n2010,1,3,0\n3000,1,3,1\n20000,1,3,0\n21000,9,0,700\n")
        board.start()
        again = Host()
        async with again.on(board.port):
            await again.until(lambda: len(again.events) >= 5)
    assert [m[1:] for m in again.heard if isinstance(m, Sent)] == [
        (3025, EDGE, 3, 1),
        (13_025, FAULT, 3, 1),
        (20_025, EDGE, 3, 0),
        (20_025, FAULT, 3, 0),
        (21_000, EventKind.ANALOG, 0, 700),
    ]


@pytest.mark.parametrize("cause", [2, 5])
async def test_the_reason_of_the_last_reset_is_in_the_identity(tmp_path: Path, cause: int) -> None:
    host = Host()
    with BoardProcess(tmp_path) as board:
        board.command += ["--reset", str(cause)]
        board.stop()
        board.start()
        async with host.on(board.port):
            await known(host)
    assert host.link.identity is not None
    assert host.link.identity.reset_cause == cause
