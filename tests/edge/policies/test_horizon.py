"""What the rolling horizon asks for, second by second."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.edge.policies.crossing import Street, crossing, dual_ring, loops_of
from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Ask, Head, Known, Loop, Maxima, Request, Shows, Walk
from wayside.edge.policies import horizon
from wayside.edge.policies.stages import stages_of


class Watched:
    def __init__(self, signal: SignalConfig, **changed: object) -> None:
        self.signal = signal
        self.street = Street(signal)
        self.memory = horizon.begin(horizon.Settings(**changed), signal)  # type: ignore[arg-type]

    def wait(self, seconds: int = 1) -> Sequence[Request | Maxima]:
        """What is asked for in the last of them."""
        asked: Sequence[Request | Maxima] = ()
        for _ in range(seconds):
            asked = horizon.step(
                int(self.street.now_s * 1000), self.street.heads, self.street.loops, Known(), self.memory
            )
            self.street.now_s += 1.0
        return asked

    def queue(self, lane: int, vehicles: int) -> None:
        """They stand before the stop line of ``lane``."""
        stop, middle, advance = (3 * lane + n for n in (1, 2, 3))
        for _ in range(vehicles):
            self.street.passes(advance)
            self.wait()
            self.street.passes(middle)
            self.wait()
        self.street.stands(stop)
        self.wait()


@pytest.fixture
def watched() -> Watched:
    watched = Watched(crossing())
    watched.street.show(1)
    watched.wait(6)
    return watched


def test_a_green_is_held_while_nobody_waits_elsewhere(watched: Watched) -> None:
    assert watched.wait() == [Request(Ask.HOLD, 1)]


def test_an_empty_green_ends_for_those_who_wait(watched: Watched) -> None:
    watched.queue(1, 2)
    assert watched.wait() == [Request(Ask.CALL, 2), Request(Ask.FORCE_OFF, 1)]


def test_a_protected_left_whose_lanes_also_go_without_it_is_served_only_where_the_board_calls_it() -> None:
    two = crossing()
    left = msgspec.structs.replace(two.phases[1], phase=3)
    loops = (*loops_of(0, 1), *loops_of(1, 2, also=[3]))
    watched = Watched(msgspec.structs.replace(two, phases=(*two.phases, left), cycle_s=99.0, loops=loops))
    watched.street.show(2)
    watched.wait(6)
    watched.street.stands(4)  # he yields, and stops who is behind him
    asked = [each for _ in range(20) for each in watched.wait()]
    assert Request(Ask.CALL, 3) not in asked
    watched.street.heads[3] = watched.street.heads[3]._replace(called=True)
    asked = [each for _ in range(30) for each in watched.wait()]
    assert Request(Ask.CALL, 3) in asked


def test_a_platoon_that_is_about_to_come_is_waited_for_before_a_single_vehicle_is_served(watched: Watched) -> None:
    for _ in range(6):
        watched.street.passes(3)  # two seconds apart, ten from the stop line
        watched.wait()
    watched.street.stands(4)
    assert watched.wait() == [Request(Ask.HOLD, 1)]


def test_a_single_vehicle_is_not_waited_for_while_a_platoon_stands(watched: Watched) -> None:
    watched.queue(1, 6)
    watched.street.passes(3)
    assert watched.wait()[-1] == Request(Ask.FORCE_OFF, 1)


def test_nothing_is_asked_below_the_minimum_green() -> None:
    watched = Watched(crossing())
    watched.street.show(2)
    watched.queue(0, 1)
    watched.street.show(1)
    watched.street.show(2)
    since = watched.street.now_s
    while watched.street.now_s - since < 5.0:
        assert watched.wait() == ()
    assert watched.wait() != ()


def test_nobody_is_cut_off_while_he_crosses(watched: Watched) -> None:
    watched.queue(1, 6)
    watched.street.heads[1] = watched.street.heads[1]._replace(walk=Walk.CLEARANCE)
    assert watched.wait() == ()


def test_a_pedestrian_who_waits_ends_an_empty_green() -> None:
    watched = Watched(crossing(walk_s=7.0))
    watched.street.show(1)
    watched.wait(20)
    watched.street.heads[2] = watched.street.heads[2]._replace(ped_called=True)
    assert watched.wait() == [Request(Ask.CALL, 2), Request(Ask.FORCE_OFF, 1)]


def test_a_green_with_a_faulty_loop_is_the_boards_and_what_was_held_is_released(watched: Watched) -> None:
    assert watched.wait() == [Request(Ask.HOLD, 1)]
    watched.street.breaks(2)
    watched.queue(1, 6)
    assert Request(Ask.FORCE_OFF, 1) not in watched.wait()
    assert watched.memory.held == set()


def test_a_release_is_asked_once(watched: Watched) -> None:
    watched.wait()
    watched.street.breaks(2)
    assert watched.wait() == [Request(Ask.RELEASE, 1)]
    assert watched.wait() == []


def test_heads_that_are_not_known_are_left_to_the_board(watched: Watched) -> None:
    watched.wait()
    del watched.street.heads[2]
    assert watched.wait() == [Request(Ask.RELEASE, 1)]


def test_a_green_at_its_maximum_is_left_to_the_board(watched: Watched) -> None:
    assert watched.wait(33) == [Request(Ask.HOLD, 1)]
    assert watched.wait(3) == []
    assert watched.memory.held == set()


def test_after_a_gap_in_time_nothing_is_believed_of_who_was_there(watched: Watched) -> None:
    watched.queue(1, 6)
    watched.street.leaves(4)
    watched.street.now_s += 600.0
    watched.wait()
    assert [lane.known() for lane in watched.memory.lanes] == [0, 0]


def test_a_dual_ring_has_a_stage_for_each_pair_that_may_go_together() -> None:
    assert stages_of(dual_ring()) == [(1, 5), (1, 6), (2, 6)]


def test_in_a_dual_ring_only_the_phase_ends_that_the_next_stage_lacks() -> None:
    watched = Watched(dual_ring())
    watched.street.show(1, 5)
    watched.wait(6)
    watched.street.passes(3)  # somebody comes to phase 1
    watched.wait(6)
    watched.queue(3, 6)  # phase 6
    watched.street.passes(2)
    watched.wait()
    assert watched.wait()[-1] == Request(Ask.FORCE_OFF, 5)


def test_a_phase_that_nobody_could_see_is_named() -> None:
    blind = crossing(loops=loops_of(0, 1))
    (mistake,) = horizon.Settings().beat_mistakes(blind)
    assert mistake.startswith("phase 2 has no loop at its stop line")
    assert list(horizon.Settings().beat_mistakes(crossing())) == []


HEADS = st.builds(
    Head,
    shows=st.sampled_from(Shows), since_ms=st.integers(0, 100_000), walk=st.sampled_from(Walk), called=st.booleans(),
    ped_called=st.booleans(),
)  # fmt: skip
LOOPS = st.builds(
    Loop,
    occupied=st.booleans(), since_ms=st.integers(0, 100_000), rises=st.integers(0, 10_000),
    fault=st.sampled_from((0, 0, 0, 1, 255)),
)  # fmt: skip
BEATS = st.lists(
    st.tuples(
        st.integers(0, 100_000),
        st.dictionaries(st.integers(0, 9), HEADS, max_size=10),
        st.dictionaries(st.integers(0, 15), LOOPS, max_size=16),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(signal=st.sampled_from((crossing(), crossing(walk_s=5.0), dual_ring(), crossing(loops=()))), beats=BEATS)
def test_whatever_the_line_tells_it_asks_only_for_phases_of_the_signal_and_ends_none_below_its_minimum(
    signal: SignalConfig, beats: Sequence[tuple[int, dict[int, Head], dict[int, Loop]]]
) -> None:
    memory = horizon.begin(horizon.Settings(), signal)
    for now_ms, heads, loops in beats:
        for asked in horizon.step(now_ms, heads, loops, Known(), memory):
            assert isinstance(asked, Request)
            assert asked.phase in signal.by_phase
            if asked.ask is Ask.FORCE_OFF:
                head = heads[asked.phase]
                assert head.shows is Shows.GREEN
                assert head.walk is Walk.DONT
                assert (now_ms - head.since_ms) / 1000 >= signal.by_phase[asked.phase].min_green_s
