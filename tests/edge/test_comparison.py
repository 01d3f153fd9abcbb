"""Whether a policy is worse than the board alone is seen from who waits, and it is let go before it costs much."""

from __future__ import annotations

import itertools
import random
from typing import Any, NamedTuple

import pytest

from wayside.contracts.actuator_config import LoopConfig
from wayside.contracts.beat import Head, Loop, Shows
from wayside.edge.guard.comparison import AWAY_S, Comparison, LetGo
from wayside.edge.guard.queues import Queues

HOUR = 3600


class Crossing:
    """Two approaches that share green: Poisson arrivals, one vehicle every two seconds of green, a queue of its own."""

    def __init__(self, seed: int, veh_h: float = 500.0) -> None:
        self._random = random.Random(seed)
        self._rate = veh_h / HOUR
        self.queues = [0.0, 0.0]
        self.second = 0

    def step(self, split: float, lost_s: int) -> tuple[float, int]:
        """A second; ``split``: share of green of the first; ``lost_s`` of each cycle of 60 s nobody has green."""
        at = self.second % 60
        self.second += 1
        came = [int(self._random.random() < self._rate) for _ in self.queues]
        green_s = 60 - lost_s
        first = at < green_s * split
        second = not first and at < green_s
        for i, (green, new) in enumerate(zip((first, second), came, strict=True)):
            self.queues[i] = max(0.0, self.queues[i] + new - 0.5 * green)
        return sum(self.queues), sum(came)


class Course(NamedTuple):
    waited: float  # vehicle seconds
    in_force: float  # share of the time
    gone: list[tuple[int, LetGo]]  # when it was let go, s


def hours(count: float, seed: int, *, split: float = 0.5, lost_s: int = 16, compare: bool = True) -> Course:
    """Of a policy beside a board that splits evenly and loses 16 s of a cycle."""
    crossing, comparison = Crossing(seed), Comparison(seed)
    waited, in_force = 0.0, 0
    gone: list[tuple[int, LetGo]] = []
    for second in range(round(count * HOUR)):
        rests = compare and comparison.rests
        waiting, came = crossing.step(0.5 if rests else split, 16 if rests else lost_s)
        waited += waiting
        in_force += not rests
        if compare and (let_go := comparison.step(waiting, came)) is not None:
            gone.append((second, let_go))
    return Course(waited, in_force / (count * HOUR), gone)


WORSE: dict[str, dict[str, Any]] = {
    "starves one approach": {"split": 0.9},
    "loses time": {"lost_s": 40},
    "splits badly": {"split": 0.66},
}


@pytest.mark.parametrize(("name", "most"), [("starves one approach", 1.15), ("loses time", 1.1), ("splits badly", 1.1)])
def test_what_would_cost_many_times_the_delay_costs_about_a_tenth_more(name: str, most: float) -> None:
    with_it = sum(hours(6, seed, **WORSE[name]).waited for seed in range(4))
    alone = sum(hours(6, seed, compare=False).waited for seed in range(4))
    unwatched = sum(hours(1, seed, compare=False, **WORSE[name]).waited for seed in range(4))
    assert unwatched > 5 * alone / 6, "it is no test if it is not worse"
    assert with_it < most * alone


@pytest.mark.parametrize("name", ["starves one approach", "loses time"])
def test_a_policy_that_is_much_worse_is_let_go_with_the_numbers(name: str) -> None:
    courses = [hours(24, seed, **WORSE[name]) for seed in range(3)]
    for course in courses:
        assert course.gone
        assert course.in_force < 0.06
        _, why = course.gone[0]
        assert why.ratio > 1.05
        assert (why.away_s, why.comparisons > 0) == (AWAY_S, True)
        assert "vehicles waited" in why.why or "early" in why.why


def test_who_is_let_go_again_stays_away_for_longer() -> None:
    gone = hours(72, 3, lost_s=40).gone
    assert [let_go.away_s for _, let_go in gone][:3] == [AWAY_S, 2 * AWAY_S, 4 * AWAY_S]
    assert all(later - at >= let_go.away_s for (at, let_go), (later, _) in itertools.pairwise(gone))


def test_a_policy_that_is_better_comes_to_be_in_force_most_of_the_time_and_is_not_let_go() -> None:
    courses = [hours(12, seed, lost_s=6) for seed in range(5)]
    assert sum(course.in_force for course in courses) / len(courses) > 0.75
    assert not [course.gone for course in courses if course.gone]


def test_a_policy_that_changes_nothing_is_let_go_less_than_once_in_a_hundred_hours() -> None:
    """The rate of false alarms that the documentation states."""
    assert sum(len(hours(20, seed).gone) for seed in range(10)) <= 2


def test_a_demand_that_doubles_is_no_fault_of_the_policy() -> None:
    """It is compared with a rest on either side."""
    false = 0
    for seed in range(10):
        crossing, comparison = Crossing(seed, 300), Comparison(seed)
        for second in range(4 * HOUR):
            crossing._rate = (300 + 250 * (second // HOUR % 2)) / HOUR
            false += comparison.step(*crossing.step(0.5, 16)) is not None
    assert false <= 1


def test_trust_outlives_a_restart_and_being_let_go_does_too() -> None:
    comparison, crossing = Comparison(1), Crossing(1)
    let_go = None
    while let_go is None:
        let_go = comparison.step(*crossing.step(0.5, 16 if comparison.rests else 40))
    again = Comparison(1)
    again.restore(comparison.state())
    assert again.away
    assert again.state() == comparison.state()


# --- who waits, from loops --------------------------------------------------------------------------


def loops(*functions: tuple[int, str, float]) -> tuple[LoopConfig, ...]:
    return tuple(
        LoopConfig(channel=channel, phase=2, lane=0, at_m=at_m, function=function)  # type: ignore[arg-type]
        for channel, function, at_m in functions
    )


LINE, FAR = (1, "stop_line", 3.0), (2, "advance", 60.0)
RED, GREEN = {2: Head()}, {2: Head(Shows.GREEN)}


def test_vehicles_between_two_loops_are_counted_in_and_out() -> None:
    queues = Queues(loops(LINE, FAR))
    queues.step(0, RED, {1: Loop(), 2: Loop()})
    for second in range(1, 6):
        queues.step(1000 * second, RED, {1: Loop(second > 3, rises=int(second > 3)), 2: Loop(rises=second)})
    assert queues.arrived == 1
    for second in range(6, 12):
        queues.step(1000 * second, RED, {1: Loop(True, rises=1), 2: Loop(rises=5)})
    assert queues.waiting == 5.0  # one on the line, four behind it
    for second in range(12, 25):
        rises = min(5, 1 + (second - 12) // 2)
        queues.step(1000 * second, GREEN, {1: Loop(second % 2 == 0 and rises < 5, rises=rises), 2: Loop(rises=5)})
    assert queues.waiting == 0.0


def test_a_queue_over_the_far_loop_reaches_it() -> None:
    queues = Queues(loops(LINE, FAR))
    for second in range(10):
        queues.step(1000 * second, RED, {1: Loop(True), 2: Loop(True, since_ms=0)})
    assert 8.0 <= queues.waiting < 10.0  # 60 m of 7.5 m each, and a little beyond


def test_at_a_stop_line_alone_one_waits_and_as_many_behind_as_come_in_that_time() -> None:
    queues = Queues(loops(LINE))
    for second in range(31):
        queues.step(1000 * second, RED, {1: Loop(True, rises=1)})
    assert 1.0 < queues.waiting < 4.0
    for second in range(31, 37):
        queues.step(1000 * second, GREEN, {1: Loop(rises=1)})
    assert queues.waiting == 0.0


def test_a_lane_with_a_faulty_loop_is_left_out_and_that_is_said() -> None:
    queues = Queues(loops(LINE))
    assert not queues.step(0, RED, {1: Loop(True)})
    assert queues.step(1000, RED, {1: Loop(True, fault=1)})
    assert queues.waiting == 0.0
    assert not Queues(loops(FAR)).sees
