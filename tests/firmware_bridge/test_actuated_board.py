"""A board with an actuated plan and no node: who is served, for how long, and what it does when something is wrong."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware_bridge.conftest import SANITIZED
from tests.firmware_bridge.test_simulated_board import Line
from wayside.firmware_bridge.errors import PlanError
from wayside.firmware_bridge.line.messages import (
    Action,
    DetectorFault,
    Event,
    EventKind,
    PhaseGreen,
    PhaseTimes,
    PlanCode,
    PlanResult,
    PreemptState,
    SignalMode,
    SignalRequest,
    Termination,
)
from wayside.firmware_bridge.native import SIGNALS, SOURCE, WARNINGS
from wayside.firmware_bridge.signal_plan import SignalPlan

START_MS = 8000  # flash and all red
ASIDE = {2: 8, 4: 6, 6: 4, 8: 2}  # 2 runs beside 6, 4 beside 8


def crossing(**phases: dict[str, object]) -> SignalPlan:
    """Phases 2 and 4 in ring 1, 6 and 8 in ring 2; channel N calls the Nth. ``p4={...}`` changes fields of phase 4."""
    rows = [
        {
            "phase": phase,
            "ring": ring,
            "conflicts": [ASIDE[phase]],
            "green_s": 12.0,
            "min_green_s": 5.0,
            "max_green_s": 30.0,
            "max_1_s": 20.0,
            "yellow_s": 3.0,
            "red_clearance_s": 1.0,
            "passage_s": 2.0,
            "detectors": [channel],
            **phases.get(f"p{phase}", {}),
        }
        for channel, (phase, ring) in enumerate(((2, 1), (4, 1), (6, 2), (8, 2)), 1)
    ]
    head = {"start": {"flash_s": 2.0, "red_s": 6.0}, "detectors": {"count": 4, "debounce_ms": 0, "dead_cycles": 0}}
    return msgspec.convert({**head, "phases": rows, **phases.get("head", {})}, SignalPlan)


class Street(Line):
    """A board in the street: vehicles come, and what it tells is looked at."""

    def __init__(self, out: Path, plan: SignalPlan) -> None:
        super().__init__(out)
        self._request = 1
        self._coming: list[tuple[int, int, int, EventKind]] = []
        assert self.load(plan.encode()) == PlanCode.OK

    def run(self, to_ms: int) -> None:
        now = sorted(edge for edge in self._coming if edge[0] <= to_ms)
        self._coming = [edge for edge in self._coming if edge[0] > to_ms]
        for edge in now:
            self.board.edge(*edge)
        super().run(to_ms)

    def silent(self, to_ms: int) -> None:
        """The same without a word of the host."""
        for edge in sorted(edge for edge in self._coming if edge[0] <= to_ms):
            self.board.edge(*edge)
        self._coming = [edge for edge in self._coming if edge[0] > to_ms]
        self.board.run(to_ms)

    def ask(self, action: Action, phase: int) -> PlanCode:
        self._request += 1
        self.say(SignalRequest(self._request, action, phase))
        return self._answer()

    def maxima(self, seconds: dict[int, float]) -> PlanCode:
        self._request += 1
        greens = tuple(PhaseGreen(phase, round(s * 10)) for phase, s in seconds.items())
        self.say(PhaseTimes(self._request, 0, len(greens), greens))
        return self._answer()

    def _answer(self) -> PlanCode:
        self.run(self.board.ms + 10)
        return PlanCode([m.code for m in self.heard if isinstance(m, PlanResult)][-1])

    def edge(self, ms: int, channel: int, value: int, kind: EventKind = EventKind.DETECTOR) -> None:
        self._coming.append((ms, channel, value, kind))

    def vehicle(self, ms: int, channel: int, for_ms: int = 300) -> None:
        self.edge(ms, channel, 1)
        self.edge(ms + for_ms, channel, 0)

    def greens(self, phase: int) -> list[tuple[int, int]]:
        """From when to when it was green, ms; where the end is known."""
        begins = [ms for ms, channel, _ in self.events(EventKind.PHASE_GREEN) if channel == phase]
        ends = [ms for ms, channel, _ in self.events(EventKind.PHASE_YELLOW) if channel == phase]
        return list(zip(begins, ends, strict=False))

    def began(self, phase: int) -> list[int]:
        return [ms for ms, channel, _ in self.events(EventKind.PHASE_GREEN) if channel == phase]

    def ended(self, phase: int) -> list[tuple[int, Termination]]:
        return [(ms, Termination(v)) for ms, channel, v in self.events(EventKind.TERMINATION) if channel == phase]


def test_a_green_rests_while_nobody_else_comes(library: Path) -> None:
    street = Street(library, crossing())
    street.run(3_600_000)
    assert street.board.heads.green == 0b0101
    assert [len(street.began(phase)) for phase in (2, 4, 6, 8)] == [1, 0, 1, 0]
    assert len([m for m in street.heard if isinstance(m, Event)]) < 10, "nothing happens, and nothing is told"


def test_a_green_ends_a_gap_after_its_last_vehicle_when_somebody_else_waits(library: Path) -> None:
    street = Street(library, crossing())
    for ms in range(10_000, 20_000, 1500):
        street.vehicle(ms, 1)
    street.vehicle(12_000, 2)
    street.run(40_000)
    last = 19_000 + 300
    [(end, reason)] = street.ended(2)
    assert (reason, last + 2000 <= end <= last + 2100) == (Termination.GAP_OUT, True)
    assert street.began(4) == [end + 4000]


def test_the_maximum_runs_only_while_somebody_else_waits(library: Path) -> None:
    street = Street(library, crossing())
    for ms in range(10_000, 90_000, 1000):
        street.vehicle(ms, 1)
        if ms == 50_000:
            street.vehicle(ms + 500, 2)
    street.run(90_000)
    [(end, reason), *_] = street.ended(2)
    assert reason == Termination.MAX_OUT
    assert 50_500 + 20_000 <= end <= 50_500 + 20_100
    assert street.began(2)[1:] == [street.ended(4)[0][0] + 4000], "who was cut off is called again"


def test_nobody_is_served_who_was_not_called(library: Path) -> None:
    street = Street(library, crossing())
    for ms in range(10_000, 200_000, 20_000):
        street.vehicle(ms, 1)
        street.vehicle(ms + 10_000, 4)
    street.run(220_000)
    assert len(street.began(8)) > 5
    assert street.began(4) == []


def test_a_phase_is_extended_by_its_own_detectors_alone(library: Path) -> None:
    street = Street(library, crossing())
    street.vehicle(10_000, 2)
    for ms in range(10_000, 40_000, 1000):
        street.vehicle(ms + 200, 3)  # phase 6, of the other ring
    street.run(60_000)
    assert street.ended(2)[0][1] == Termination.GAP_OUT


def test_both_rings_cross_a_barrier_together(library: Path) -> None:
    street = Street(library, crossing())
    for ms in range(10_000, 25_000, 1000):
        street.vehicle(ms, 1)  # phase 2 goes on, 6 has nobody
    street.vehicle(12_000, 2)
    street.vehicle(12_100, 4)
    street.run(60_000)
    assert street.ended(2)[0][0] == street.ended(6)[0][0]
    assert street.began(4)[0] == street.began(8)[0]


@pytest.mark.parametrize(("locking", "served"), [(True, 1), (False, 0)])
def test_a_call_that_is_not_locked_goes_with_its_vehicle(library: Path, locking: bool, served: int) -> None:
    street = Street(library, crossing(p4={"locking": locking}, p2={"min_green_s": 10.0}))
    street.vehicle(START_MS + 2000, 2, for_ms=1000)  # turned right within phase 2's minimum
    street.run(60_000)
    assert len(street.began(4)) == served
    assert [value for _, phase, value in street.events(EventKind.CALL) if phase == 4] == [1, 0], "told either way"


def test_who_waits_shorter_than_the_call_delay_does_not_call(library: Path) -> None:
    street = Street(library, crossing(p4={"call_delay_s": 5.0}))
    street.vehicle(20_000, 2, for_ms=4900)
    street.vehicle(40_000, 2, for_ms=6000)
    street.run(60_000)
    assert [ms for ms, phase, value in street.events(EventKind.CALL) if phase == 4 and value] == [45_000]


@pytest.mark.parametrize(
    ("recall", "least", "reason"),
    [("minimum", 5000, Termination.GAP_OUT), ("maximum", 20_000, Termination.MAX_OUT)],
)
def test_a_recall_serves_without_vehicles(library: Path, recall: str, least: int, reason: Termination) -> None:
    recalled = {"recall": recall}
    street = Street(library, crossing(p2=recalled, p4=recalled))
    street.run(200_000)
    assert all(end - begin == least for begin, end in street.greens(4))
    assert {why for _, why in street.ended(4)} == {reason}


def test_a_soft_recall_brings_the_green_back_when_nobody_waits(library: Path) -> None:
    street = Street(library, crossing(p2={"recall": "soft"}, p6={"recall": "soft"}))
    street.vehicle(20_000, 2)
    street.run(600_000)
    assert street.board.heads.green == 0b0101
    assert [len(street.began(phase)) for phase in (2, 4)] == [2, 1]


PED = {"walk_s": 5.0, "ped_clearance_s": 6.0, "ped_input": 9}


def test_a_pedestrian_at_a_resting_green_walks_at_once_and_in_full(library: Path) -> None:
    street = Street(library, crossing(p2=PED))
    street.edge(60_050, 9, 1, EventKind.INPUT)
    street.vehicle(61_000, 2)
    street.run(100_000)
    walk, clearance, end = street.events(EventKind.PED)
    assert [walk[2], clearance[2], end[2]] == [1, 2, 0]
    assert (walk[0], clearance[0] - walk[0], end[0] - clearance[0]) == (60_100, 5000, 6000)
    assert street.began(4)[0] >= end[0] + 4000
    assert [value for _, _, value in street.events(EventKind.PED_CALL)] == [], "it was served within the same step"


def test_a_pedestrian_calls_a_phase_that_is_red(library: Path) -> None:
    street = Street(library, crossing(p4=PED))
    street.edge(20_000, 9, 1, EventKind.INPUT)
    street.run(100_000)
    [call, served] = street.events(EventKind.PED_CALL)
    assert (call[1:], served[1:]) == ((4, 1), (4, 0))
    assert served[0] == street.began(4)[0] == street.events(EventKind.PED)[0][0]


def test_the_host_sets_maxima_without_a_cycle_and_they_go_with_it(library: Path) -> None:
    street = Street(library, crossing())
    street.run(9000)
    assert street.maxima({2: 30.1}) == PlanCode.ABOVE_MAX_GREEN
    assert street.maxima({2: 8.0, 9: 8.0}) == PlanCode.UNKNOWN_PHASE
    assert street.maxima({}) == PlanCode.CYCLE_SUM
    assert street.maxima({2: 8.0}) == PlanCode.OK
    for ms in range(10_000, 220_000, 1000):
        street.vehicle(ms, 1)
        street.vehicle(ms + 500, 2)
    street.run(100_000)
    heard = [end - begin for begin, end in street.greens(2)]
    assert set(heard[1:]) == {8000}
    assert {end - begin for begin, end in street.greens(4)} == {20_000}, "who is not named keeps its own"
    street.silent(160_000)
    street.heard.clear()
    street.run(220_000)
    assert {end - begin for begin, end in street.greens(2)} == {20_000}


def test_omit_passes_over_until_it_is_released(library: Path) -> None:
    street = Street(library, crossing())
    street.run(9000)
    assert street.ask(Action.OMIT, 4) == PlanCode.OK
    street.vehicle(20_000, 2)
    street.run(60_000)
    assert street.began(4) == []
    assert street.ask(Action.RELEASE, 4) == PlanCode.OK
    street.run(90_000)
    assert len(street.began(4)) == 1


@pytest.mark.parametrize("ask", [(Action.OMIT, 4), (Action.HOLD, 2), (Action.CALL, 2)])
def test_no_host_keeps_a_caller_from_green_for_longer_than_the_longest_red(
    library: Path, ask: tuple[Action, int]
) -> None:
    plan = crossing(head={"longest_red_s": 120.0}, p2={"max_green_s": 300.0, "max_1_s": 20.0})
    street = Street(library, plan)
    for ms in range(START_MS, 700_000, 1000):
        street.vehicle(ms, 1)
    street.run(9000)
    assert street.maxima({2: 300.0}) == PlanCode.OK
    street.vehicle(START_MS + 4000, 2)
    for _ in range(600):
        street.ask(*ask)
        street.run(street.board.ms + 990)
        if street.began(4):
            break
    assert 80_000 < street.began(4)[0] - (START_MS + 4000) <= 120_000


def test_a_host_that_falls_silent_leaves_an_actuated_board(library: Path) -> None:
    street = Street(library, crossing())
    street.run(9000)
    for action, phase in ((Action.OMIT, 4), (Action.HOLD, 2), (Action.HOLD, 6)):
        assert street.ask(action, phase) == PlanCode.OK
    street.vehicle(10_000, 2)
    street.silent(30_000)
    street.run(40_000)
    assert street.ended(2)[0][1] == Termination.GAP_OUT
    assert street.ended(2)[0][0] == START_MS + 5000, "the minimum: nothing holds it"


def test_calls_are_refused_where_somebody_would_be_passed_over_twice_and_nobody_counts_who_does_not_wait(
    library: Path,
) -> None:
    one_ring = {"ring": 1, "conflicts": []}
    street = Street(library, crossing(p6=one_ring, p8=one_ring))
    street.run(9000)
    for n in range(6):  # 2 and 6 in turn: 4 and 8 are passed over, and nobody waits there
        assert street.ask(Action.CALL, 6 if n % 2 == 0 else 2) == PlanCode.OK
        assert street.ask(Action.FORCE_OFF, 2 if n % 2 == 0 else 6) in (PlanCode.OK, PlanCode.BELOW_MIN_GREEN)
        street.run(street.board.ms + 12_000)
    assert (len(street.began(6)), len(street.began(4))) == (3, 0)
    street.vehicle(street.board.ms + 100, 2)  # now somebody does
    street.run(street.board.ms + 200)
    assert street.ask(Action.CALL, 6) == PlanCode.OK
    street.run(street.board.ms + 12_000)
    assert street.ask(Action.CALL, 2) == PlanCode.OK
    codes = [street.ask(Action.CALL, 6)]
    street.run(street.board.ms + 12_000)
    codes += [street.ask(Action.CALL, 6)]
    assert len(street.began(4)) == 1 or PlanCode.STARVES in codes


def fixed_time(plan: SignalPlan) -> SignalPlan:
    """The same plan as a table of format 1."""
    keys = ("phase", "ring", "conflicts", "green_s", "min_green_s", "max_green_s", "yellow_s", "red_clearance_s")
    rows = [{key: getattr(p, key) for key in keys} for p in plan.phases]
    return msgspec.convert({"start": {"flash_s": 2.0, "red_s": 6.0}, "phases": rows}, SignalPlan)


def test_with_every_detector_at_fault_the_board_is_fixed_time(library: Path) -> None:
    stuck = {"detectors": {"count": 4, "debounce_ms": 0, "stuck_s": 1, "dead_cycles": 0}}
    plan = crossing(head=stuck, p4={"green_s": 9.0}, p8={"green_s": 9.0})
    street, fixed = Street(library, plan), Street(library, fixed_time(plan))
    for channel in range(1, 5):
        street.edge(1000, channel, 1)
    for line in (street, fixed):
        line.run(300_000)
    kinds = (EventKind.PHASE_GREEN, EventKind.PHASE_YELLOW, EventKind.PHASE_RED)
    colours, plans = ([m[2:] for m in s.heard if isinstance(m, Event) and m.kind in kinds] for s in (street, fixed))
    assert colours == plans
    assert {why for phase in (2, 4, 6, 8) for _, why in street.ended(phase)} == {Termination.FIXED}


def test_a_faulty_detector_gives_its_phase_the_fixed_plans_green_at_every_turn_and_takes_from_nobody(
    library: Path,
) -> None:
    stuck = {"detectors": {"count": 4, "debounce_ms": 0, "stuck_s": 1, "dead_cycles": 0}}
    street = Street(library, crossing(head=stuck, p4={"green_s": 9.0}))
    street.edge(9000, 2, 1)
    for ms in range(9500, 200_000, 1000):
        street.vehicle(ms, 1)
    street.edge(200_000, 2, 0)  # well again
    street.run(400_000)
    faulty = [end - begin for begin, end in street.greens(4) if begin < 190_000]
    assert len(faulty) > 5
    assert set(faulty[1:]) == {9000}
    assert {end - begin for begin, end in street.greens(2)[2:-1]} == {12_000}, "not more of a cycle than is planned"
    assert [begin for begin in street.began(4) if begin > 230_000] == []
    assert [m[1:] for m in street.events(EventKind.DETECTOR_FAULT)] == [(2, DetectorFault.STUCK_ON), (2, 0)]


def test_a_detector_that_sees_nobody_while_others_flow_is_dead_until_it_sees_somebody(library: Path) -> None:
    dead = {"detectors": {"count": 4, "debounce_ms": 0, "dead_cycles": 3}}
    street = Street(library, crossing(head=dead))
    for ms in range(9000, 400_000, 2000):
        for channel in (1, 3):
            street.vehicle(ms + channel * 100, channel)
        if ms % 6000 == 3000:
            street.vehicle(ms + 700, 4)
    street.vehicle(400_000, 2)
    street.run(420_000)
    faults = street.events(EventKind.DETECTOR_FAULT)
    cycle_ms = 32_000  # two greens of 12 s, two clearances of 4 s
    assert [m[1:] for m in faults] == [(2, DetectorFault.DEAD), (2, 0)]
    assert faults[0][0] <= 9000 + 5 * cycle_ms
    assert min(street.began(4)) < faults[0][0] + 3 * cycle_ms, "nobody can call it, and it is served"
    assert faults[1][0] == 400_000


def test_at_night_nobody_is_called_dead(library: Path) -> None:
    street = Street(library, crossing(head={"detectors": {"count": 4, "debounce_ms": 0, "dead_cycles": 3}}))
    for ms in range(10_000, 3_600_000, 60_000):
        street.vehicle(ms, 1)
    street.run(600_000)
    assert street.events(EventKind.DETECTOR_FAULT) == []


TRAIN = {"head": {"preempts": [{"input": 3, "track": [4], "track_s": 4, "dwell": [2, 6], "dwell_s": 10}]}}


def test_a_train_ends_what_is_green_in_order_clears_the_track_and_dwells(library: Path) -> None:
    street = Street(library, crossing(**TRAIN, p2=PED))
    street.edge(30_000, 9, 1, EventKind.INPUT)
    street.edge(32_000, 3, 1, EventKind.INPUT)  # two seconds of five of the walk
    street.edge(90_000, 3, 0, EventKind.INPUT)
    street.vehicle(50_000, 4)
    street.run(60_000)
    assert street.ask(Action.HOLD, 2) == PlanCode.PREEMPTED
    assert street.ask(Action.PED_CALL, 2) == PlanCode.OK
    street.run(140_000)
    walk, clearance, end = street.events(EventKind.PED)[:3]
    assert 1900 <= clearance[0] - walk[0] <= 2100, "the walk is cut"
    assert end[0] - clearance[0] == 6000, "the pedestrian clearance is not"
    track = street.greens(4)[0]
    assert track[0] == end[0] + 4000
    assert 4000 <= track[1] - track[0] <= 5200, "its minimum, or as long as the track needs"
    states = [(channel, PreemptState(value)) for _, channel, value in street.events(EventKind.PREEMPT)]
    assert states == [(3, PreemptState.CALLED), (3, PreemptState.SERVED), (3, PreemptState.OFF)]
    assert [begin for begin, _ in street.greens(8) if begin < 90_000] == []
    assert street.began(8), "who came meanwhile is served afterwards"


def test_the_first_preempt_goes_before_the_second(library: Path) -> None:
    both = {"head": {"preempts": [{"input": 1, "dwell": [4]}, {"input": 2, "dwell": [2]}]}}
    street = Street(library, crossing(**both))
    for ms, channel, value in ((20_000, 2, 1), (40_000, 1, 1), (80_000, 1, 0), (120_000, 2, 0)):
        street.edge(ms, channel, value, EventKind.INPUT)
    street.run(140_000)
    told = [(channel, PreemptState(value)) for _, channel, value in street.events(EventKind.PREEMPT)]
    called, served, off = PreemptState.CALLED, PreemptState.SERVED, PreemptState.OFF
    assert told == [(2, called), (2, served), (1, called), (2, called), (1, served), (1, off), (2, served), (2, off)]


def test_a_contact_that_opens_when_in_doubt_preempts_from_the_start_until_it_is_closed(library: Path) -> None:
    street = Street(library, crossing(head={"preempts": [{"input": 3, "opens": True, "dwell": [4, 8]}]}))
    street.edge(40_000, 3, 1, EventKind.INPUT)
    street.edge(90_000, 3, 0, EventKind.INPUT)  # the wire breaks
    street.run(120_000)
    assert street.began(4)[0] == START_MS
    assert [value for _, _, value in street.events(EventKind.PREEMPT)] == [1, 2, 0, 1, 2]


def test_an_overlap_stays_green_from_one_parent_to_the_next_and_ends_like_its_last(library: Path) -> None:
    one_ring = {"ring": 1, "conflicts": []}
    head = {"overlaps": [{"number": 2, "parents": [2, 4]}]}
    street = Street(library, crossing(p6=one_ring, p8=one_ring, head=head))
    street.vehicle(20_000, 2)
    street.vehicle(40_000, 3)
    street.run(80_000)
    overlap = street.events(EventKind.OVERLAP)
    assert [m[1:] for m in overlap] == [(2, 1), (2, 2), (2, 0)]
    assert overlap[0][0] == street.began(2)[0]
    assert overlap[1][0] == street.greens(4)[0][1]
    assert overlap[2][0] - overlap[1][0] == 3000
    assert street.began(6)[0] == overlap[1][0] + 4000


def test_each_change_is_told_once(library: Path) -> None:
    street = Street(library, crossing())
    for ms in range(10_000, 200_000, 700):
        street.vehicle(ms, ms // 700 % 4 + 1)
    street.run(220_000)
    for phase in (2, 4, 6, 8):
        calls = [value for _, channel, value in street.events(EventKind.CALL) if channel == phase]
        assert all(a != b for a, b in itertools.pairwise(calls))
        assert len(street.ended(phase)) == len(street.greens(phase))
        assert [ms for ms, _ in street.ended(phase)] == [end for _, end in street.greens(phase)]


def test_random_intersections_hosts_and_trains_break_no_rule(tmp_path: Path) -> None:
    program = tmp_path / "actuation_test"
    sources = [Path(__file__).parent / "actuation_test.c", *(SOURCE / name for name in SIGNALS)]
    subprocess.run(["cc", *WARNINGS[:3], *SANITIZED, f"-I{SOURCE}", "-o", program, *sources], check=True)
    done = subprocess.run([program, "1", "200", "2000"], capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


TWO_RINGS = crossing(**TRAIN, p2=PED)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"p2": {"detectors": [5]}}, r"phase 2: detectors names channel 5, and detectors.count says .* 1 to 4"),
        ({"head": {"overlaps": [{"number": 1, "parents": [2, 3]}]}}, "overlap 1: parents names phase 3"),
        ({"head": {"overlaps": [{"number": 1, "parents": [2]}] * 2}}, "overlap 1 is there twice"),
        ({"head": {"preempts": [{"input": 1, "dwell": [5]}]}}, "the preempt of input 1: dwell names phase 5"),
        ({"p2": {"passage_s": 1.05}}, "1.05 s: times are whole tenths"),
        ({"head": {"detectors": {"count": 41}}}, "detectors.count: an actuated plan has at most 40"),
    ],
)
def test_what_an_actuated_table_cannot_say_is_refused_by_name(fields: dict[str, dict], complaint: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(PlanError, match=complaint):
        crossing(**fields).encode()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, PlanCode.OK),
        ({"p4": {"detectors": []}}, PlanCode.TABLE_DETECTORS),
        ({"p4": {"detectors": [], "recall": "soft"}}, PlanCode.OK),
        ({"p4": {"max_1_s": 4.0}}, PlanCode.TABLE_TIMES),
        ({"p4": {"max_1_s": 30.1}}, PlanCode.TABLE_TIMES),
        ({"p4": {"ped_recall": True}}, PlanCode.NO_WALK),
        ({"head": {"longest_red_s": 83.9}}, PlanCode.TABLE_TIMES),
        ({"head": {"longest_red_s": 84.0}}, PlanCode.OK),
        ({"head": {"preempts": [{"input": 1, "dwell": [2, 4]}]}}, PlanCode.TABLE_PREEMPT),
        ({"head": {"preempts": [{"input": 1, "dwell": [2], "track": [2, 8]}]}}, PlanCode.TABLE_PREEMPT),
        ({"head": {"preempts": [{"input": 1, "dwell": [2]}] * 2}}, PlanCode.TABLE_PREEMPT),
        ({"head": {"preempts": [{"input": 9, "dwell": [4]}]}, "p2": PED}, PlanCode.TABLE_PREEMPT),
    ],
)
def test_the_board_says_what_is_wrong_with_an_actuated_table(
    library: Path,
    fields: dict[str, dict],  # type: ignore[type-arg]
    code: PlanCode,
) -> None:
    assert Line(library).load(crossing(**fields).encode()) == code


@given(st.integers(0, 255), st.integers(0, 255))
def test_any_byte_of_an_actuated_table_may_be_wrong_and_the_board_takes_it_or_says_why(
    library: Path, at: int, byte: int
) -> None:
    table = bytearray(TWO_RINGS.encode())
    table[at % len(table)] = byte
    line = Line(library)
    if line.load(bytes(table)) == PlanCode.OK:
        line.run(60_000)
        assert all(mode != SignalMode.FAULT for _, _, mode in line.events(EventKind.SIGNAL_MODE))
    line.board.close()


def test_a_plan_without_actuated_fields_is_a_table_of_format_1() -> None:
    assert fixed_time(crossing()).encode()[0] == 1
    for field in (
        {"passage_s": 3.0},
        {"locking": True},
        {"recall": "minimum"},
        {"max_1_s": 30.0},
        {"ped_recall": True},
    ):
        plan = fixed_time(crossing())
        for name, value in field.items():
            setattr(plan.phases[0], name, value)
        assert plan.encode()[0] == 2
    assert msgspec.structs.replace(fixed_time(crossing()), actuated=True).encode()[0] == 2
