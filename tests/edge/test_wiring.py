"""Mis-wired detectors are found from half an hour of traffic, and right ones are left in peace."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.crossing import Edge, events, rewired, signal
from wayside.contracts.actuator_config import LoopConfig
from wayside.contracts.commissioning import WiringCheck
from wayside.contracts.wire import decode, encode
from wayside.edge.commission.record import CommissionError
from wayside.edge.commission.wiring.events_file import CODES, read_events
from wayside.edge.commission.wiring.lines import wiring_lines
from wayside.edge.commission.wiring.observed import Observed, Observer
from wayside.edge.commission.wiring.step import seconds_of
from wayside.edge.commission.wiring.verdict import check_wiring, next_step
from wayside.firmware_bridge.line.messages import EventKind

TRAFFIC = events(seed=11)


def observed(recorded: Iterable[Edge]) -> Observed:
    observer = Observer()
    for event in recorded:
        observer.take(*event)
    return observer.observed()


def checked(recorded: Iterable[Edge]) -> WiringCheck:
    return check_wiring(signal(), observed(recorded))


def suspects(check: WiringCheck) -> dict[int, str]:
    return {c.channel: c.said for c in check.suspects}


@pytest.mark.parametrize("seed", range(6))
def test_right_wiring_raises_no_suspicion(seed: int) -> None:
    check = checked(events(seed))
    assert not check.suspects
    assert sum(c.verdict == "matched" for c in check.channels) >= 10


def test_what_is_seen_is_what_the_loops_are() -> None:
    check = checked(TRAFFIC)
    for channel in (c for c in check.channels if c.verdict == "matched"):
        assert channel.seen_phases == (channel.phase,)
        assert channel.seen_function == channel.function
        assert channel.confidence > 0.9
    assert next_step(check).startswith(("Every channel", "No wire is suspect"))


@pytest.mark.parametrize(("one", "other"), [(1, 4), (4, 10), (3, 12), (2, 11)])
def test_two_wires_swapped_between_lanes_are_found_and_named(one: int, other: int) -> None:
    found = suspects(checked(rewired(TRAFFIC, {one: other, other: one})))
    assert set(found) == {one, other}
    assert f"swapped with channel {other}?" in found[one]
    assert f"swapped with channel {one}?" in found[other]


def test_the_stop_line_swapped_with_the_advance_loop_of_its_lane_is_found() -> None:
    found = suspects(checked(rewired(TRAFFIC, {1: 3, 3: 1})))
    assert set(found) == {1, 3}
    assert "far upstream: swapped with channel 3?" in found[1]


def test_wires_that_are_all_one_terminal_too_high_are_told_so() -> None:
    check = checked(rewired(TRAFFIC, {k: k % 12 + 1 for k in range(1, 13)}))
    assert len(check.suspects) >= 10
    assert all("off by one terminal" in c.said for c in check.suspects)


def test_two_wires_of_one_phase_and_function_swapped_are_not_told() -> None:
    # The loops of parallel lanes: nothing that a phase does shows it, and it does a signal no harm.
    assert not checked(rewired(TRAFFIC, {5: 8, 8: 5})).suspects


def test_too_little_traffic_is_undecided_and_says_so() -> None:
    check = checked(events(seed=3, veh_h=8))
    assert {c.verdict for c in check.channels} == {"undecided"}
    assert all("too few" in c.said for c in check.channels if c.vehicles < 8)
    assert "listen again" in next_step(check)


def test_too_short_a_time_is_undecided_and_says_so() -> None:
    check = checked(e for e in TRAFFIC if e[0] < 4 * 60_000)
    assert {c.verdict for c in check.channels} == {"undecided"}
    assert "at least 5 are needed" in check.channels[0].said


def test_phases_that_are_always_green_together_are_not_told_apart() -> None:
    # Phase 4 shows what phase 1 shows: which of both a wire belongs to cannot be known.
    doubled = [e for e in TRAFFIC if e[1] == EventKind.DETECTOR or e[2] != 4]
    doubled += [(ms, kind, 4, v) for ms, kind, c, v in TRAFFIC if kind != EventKind.DETECTOR and c == 1]
    check = checked(sorted(doubled))
    (stop_line,) = (c for c in check.channels if c.channel == 1)
    assert stop_line.verdict == "undecided"
    assert stop_line.seen_phases == (1, 4)
    assert "1 or 4" in stop_line.said


def test_a_silent_channel_is_undecided_beside_others_that_are_judged() -> None:
    check = checked(e for e in TRAFFIC if not (e[1] == EventKind.DETECTOR and e[2] == 7))
    verdicts = {c.channel: c.verdict for c in check.channels}
    assert verdicts[7] == "undecided"
    assert verdicts[4] == "matched"


def test_shared_lanes_are_matched_in_any_of_their_phases() -> None:
    loops = tuple(msgspec.structs.replace(loop, also=(1,)) if loop.phase == 2 else loop for loop in signal().loops)
    check = check_wiring(msgspec.structs.replace(signal(), loops=loops), observed(TRAFFIC))
    assert not check.suspects


def test_a_clock_that_starts_anew_splits_the_events_and_the_longest_stretch_is_judged() -> None:
    early = [e for e in TRAFFIC if e[0] < 8 * 60_000]
    check = checked([*early, *TRAFFIC])
    assert not check.suspects
    assert check.seconds == pytest.approx(checked(TRAFFIC).seconds, abs=60)


_NUMBERS = st.integers(-(2**40), 2**40)
_KINDS = st.sampled_from([*EventKind, 0, 99, -1])
_HOSTILE = st.lists(st.tuples(st.integers(0, 2**33), _KINDS, st.integers(-3, 300), _NUMBERS), max_size=60)


@settings(max_examples=60, deadline=None)
@given(_HOSTILE, st.integers(0, 2**32), st.booleans())
def test_hostile_events_never_raise(hostile: list[Edge], seed: int, shuffled: bool) -> None:
    mixed = [*TRAFFIC[:1500], *hostile]
    if shuffled:
        random.Random(seed).shuffle(mixed)
    check = checked(mixed)
    assert len(check.channels) == len(signal().loops)
    assert all(0 <= c.confidence <= 1 for c in check.channels)
    assert decode(encode(check), WiringCheck) == check
    assert list(wiring_lines(check))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400_000), _KINDS, st.integers(0, 20), st.integers(0, 2)), max_size=300))
def test_events_without_any_sense_give_no_suspicion_in_so_short_a_time(senseless: list[Edge]) -> None:
    assert len(checked(sorted(senseless)).channels) == 12


def test_a_log_in_indianas_codes_is_read_as_the_board_tells_it(tmp_path: Path) -> None:
    codes = {(kind, value): code for code, (kind, value) in CODES.items()}
    rows = [
        f"2024-04-15 12:{ms // 60_000:02d}:{ms % 60_000 / 1000:06.3f},7,"
        f"{codes[EventKind(kind), value if kind == EventKind.DETECTOR else 0]},{channel}"
        for ms, kind, channel, value in TRAFFIC
    ]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["TimeStamp,DeviceId,EventId,Parameter", *rows]) + "\n")
    assert check_wiring(signal(), read_events(log).observed()) == checked(TRAFFIC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "head line"),
        ("a,b\n1,2\n", "head line"),
        ("TimeStamp,EventId,Parameter\nyesterday,82,1\n", "line 2"),
        ("TimeStamp,EventId,Parameter\n1,82\n", "line 2"),
        ("TimeStamp,EventId,Parameter\ninf,82,1\n", "line 2"),
        ("TimeStamp,DeviceId,EventId,Parameter\n1,7,82,1\n2,8,82,1\n", "2 devices"),
        ('{"format": 9}\n', "recording"),
        ("\x00\x01", "a NUL byte"),
        ('TimeStamp,EventId,Parameter\n1,82,"1\n', "line 2: no CSV"),
    ],
)
def test_what_is_no_log_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(CommissionError, match=why):
        read_events(path)


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommissionError, match="No such file"):
        read_events(tmp_path / "none.csv")


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("1h", 3600), ("90s", 90), ("0.5h", 1800)])
def test_times_are_typed_with_their_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["30", "m", "-3m", "5h", "0m", "1e3s", ""])
def test_a_time_without_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="half an hour"):
        seconds_of(text)


def test_loops_of_every_shape_are_judged_without_an_error() -> None:
    loops = (
        LoopConfig(channel=0, phase=1, lane=0, at_m=0),
        LoopConfig(channel=1, phase=2, lane=1, at_m=3, also=(1, 4)),
        LoopConfig(channel=255, phase=4, lane=63, at_m=500, function="advance"),
    )
    check = check_wiring(msgspec.structs.replace(signal(), loops=loops), observed(TRAFFIC))
    assert [c.channel for c in check.channels] == [0, 1, 255]
