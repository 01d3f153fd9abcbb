"""What is known of the vehicles of a lane, from its loops."""

from __future__ import annotations

import pytest

from tests.edge.policies.crossing import Street, crossing
from wayside.edge.policies.queues import FIRST_SPEED_M_S, Lane, lanes_of

STOP, MIDDLE, ADVANCE = 1, 2, 3


class Watched:
    """The first lane of the crossing; phase 1 is its own."""

    def __init__(self) -> None:
        signal = crossing()
        self.street = Street(signal)
        self.lane: Lane = lanes_of(signal.loops)[0]
        self.street.show(2)
        self.wait(1)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.lane.take(self.street.now_s, self.street.heads, self.street.loops)
            self.street.now_s += 1.0

    def due(self) -> list[float]:
        return [p.due_s for p in self.lane.parcels(self.street.now_s, 60.0) if p.vehicles == 1.0]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def come_and_wait(watched: Watched, vehicles: int) -> None:
    """Over the advance loop, the middle one, and to the stop line under red."""
    for n in range(vehicles):
        watched.street.passes(ADVANCE)
        watched.wait(8)
        watched.street.passes(MIDDLE)
        watched.wait(3)
        if n == 0:
            watched.street.stands(STOP)
            watched.wait(1)


def test_who_came_over_the_loops_and_has_not_left_is_there(watched: Watched) -> None:
    come_and_wait(watched, 3)
    assert watched.lane.known() == 3
    watched.street.show(1)
    watched.wait(1)
    watched.street.leaves(STOP)
    watched.wait(1)
    assert watched.lane.known() == 2


def test_a_vehicle_over_the_advance_loop_is_due_after_the_travel_time(watched: Watched) -> None:
    watched.street.passes(ADVANCE)
    watched.wait(1)
    assert watched.due() == [pytest.approx(120.0 / FIRST_SPEED_M_S - 1.0)]


def test_one_that_does_not_come_to_a_free_middle_loop_has_taken_another_lane(watched: Watched) -> None:
    watched.street.passes(ADVANCE)
    watched.wait(20)
    assert watched.lane.known() == 0


def test_a_vehicle_that_only_the_middle_loop_saw_is_there(watched: Watched) -> None:
    watched.street.passes(MIDDLE)
    watched.wait(1)
    assert watched.lane.known() == 1


def test_a_free_stop_line_under_green_says_that_nobody_waits(watched: Watched) -> None:
    come_and_wait(watched, 3)
    watched.street.leaves(STOP)  # all at once, by whatever way
    watched.street.show(1)
    watched.wait(5)
    assert watched.lane.known() == 0


def test_somebody_on_the_stop_line_is_there_though_no_other_loop_saw_him(watched: Watched) -> None:
    watched.street.stands(STOP)
    watched.wait(1)
    assert watched.lane.known() == 1


def test_a_vehicle_that_stands_on_a_loop_says_how_far_the_queue_reaches(watched: Watched) -> None:
    watched.street.stands(STOP)
    watched.street.stands(MIDDLE)
    watched.wait(5)
    assert watched.lane.known() >= 4
    watched.street.stands(ADVANCE)
    watched.wait(5)
    assert watched.lane.known() >= 16


def test_travel_time_is_learned_from_those_that_have_the_road_for_themselves(watched: Watched) -> None:
    for _ in range(40):
        watched.street.passes(ADVANCE)
        watched.wait(10)
        watched.street.passes(MIDDLE)
        watched.wait(5)
    assert watched.lane.speed == pytest.approx(92.0 / 10.0, rel=0.1)


def test_the_saturation_headway_is_learned_from_those_that_waited(watched: Watched) -> None:
    for _ in range(30):
        watched.street.show(2)
        watched.street.stands(STOP)
        watched.wait(1)
        for _ in range(4):
            watched.street.passes(MIDDLE)
            watched.wait(4)
        watched.street.show(1)
        watched.wait(2)
        for _ in range(4):
            watched.street.leaves(STOP)
            watched.wait(1)
            watched.street.stands(STOP)
            watched.wait(2)
        watched.street.leaves(STOP)
        watched.wait(10)
    assert watched.lane.headway[1] == pytest.approx(3.0, abs=0.4)


def test_the_first_vehicle_that_stands_under_green_blocks_its_lane_for_longer_and_longer(watched: Watched) -> None:
    watched.street.stands(STOP)
    watched.street.show(1)
    watched.wait(9)
    assert watched.lane.blocked_s == pytest.approx(5.0, abs=0.1)


def test_without_its_stop_line_loop_a_lane_is_guessed_by_its_usual_flow(watched: Watched) -> None:
    for _ in range(60):
        watched.street.passes(MIDDLE)
        watched.wait(10)
    flow = watched.lane.flow
    watched.street.breaks(STOP)
    watched.wait(20)
    assert not watched.lane.usable
    assert watched.lane.known() == 0
    assert watched.lane.hidden == pytest.approx(20 * flow)


def test_a_count_that_jumps_is_a_gap_in_what_was_heard_and_no_crowd(watched: Watched) -> None:
    loop = watched.street.loops[MIDDLE]
    watched.street.loops[MIDDLE] = loop._replace(rises=5000)
    watched.wait(1)
    assert watched.lane.known() <= 3


def test_what_is_expected_fades_towards_the_horizon(watched: Watched) -> None:
    for _ in range(60):
        watched.street.passes(MIDDLE)
        watched.wait(10)
    expected = [p.vehicles for p in watched.lane.parcels(watched.street.now_s, 60.0, flow=0.1) if p.due_s > 10.0]
    assert expected == sorted(expected, reverse=True)
    assert expected[-1] < expected[0] / 3
