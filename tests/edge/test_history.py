"""One history: what was put is what stands in a window, whatever comes late, twice, or not at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.edge.test_ledger import Hand
from wayside.contracts.task_config import Datastream
from wayside.edge.clock import LocalCalendar
from wayside.edge.history import Calendar, History
from wayside.edge.sources.step import Grid

SUM = Datastream(name="s", unit="1", aggregate="sum")
MEAN = Datastream(name="m", unit="1", aggregate="mean")
CAPACITY = 24

values = st.one_of(st.none(), st.integers(0, 500).map(float))


def seen(history: History, which: int, number: int, steps: int) -> float:
    columns = history.columns(0, steps)
    return float(columns.values[which, history.rows(number, 1, steps)][0])


def wanted(put: dict[int, tuple[float | None, float | None]], which: int, number: int, steps: int) -> float:
    parts = [put.get(n, (None, None))[which] for n in range(number - steps + 1, number + 1)]
    if any(p is None for p in parts):
        return math.nan
    total = sum(p for p in parts if p is not None)
    return total if which == 0 else total / steps


@given(
    st.lists(st.tuples(st.integers(0, 60), values, values), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(0, 60),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_every_column_holds_what_was_put_last_of_each_number(
    steps_in: list[tuple[int, float | None, float | None]], wide: int, made_after: int, grows: bool, goes_on: bool
) -> None:
    history = History([[SUM, MEAN]], CAPACITY)
    if made_after == 0:
        history.columns(0, wide)
    put: dict[int, tuple[float | None, float | None]] = {}
    top = -1
    for i, (number, total, mean) in enumerate(steps_in):
        if i == made_after:
            history.columns(0, wide)
        if goes_on and i == len(steps_in) // 2:
            history.go_on([0], top + 3)
            top += 3
        kept = number > top - CAPACITY
        history.put(0, number, [total, mean])
        if kept:
            put[number] = (total, mean)
        top = max(top, number)
    if grows:
        history.grow(3 * CAPACITY)
    for steps in (1, wide):
        for number in range(max(0, top - CAPACITY + steps), top + 1):
            for which in (0, 1):
                value, right = seen(history, which, number, steps), wanted(put, which, number, steps)
                assert value == right or (math.isnan(value) and math.isnan(right)), (steps, number, which)
                if math.isnan(value):
                    assert history.columns(0, steps).gaps[which] >= number
    assert history.newest[0] == max(n for n, *_ in steps_in)


def test_a_window_of_days_is_kept_when_a_longer_model_comes() -> None:
    history = History([[SUM]], CAPACITY)
    for number in range(100):
        history.put(0, number, [float(number)])
    history.grow(1000)
    rows = history.rows(99, CAPACITY, 1)
    assert history.columns(0, 1).values[0, rows].tolist() == list(range(100 - CAPACITY, 100))
    assert history.holds([0], 99 - 999)
    assert not history.holds([0], 99 - 1000)


def town() -> tuple[Hand, Grid]:
    clock = Hand()
    clock._start_ms = 1_700_000_000_000 // 900_000 * 900_000
    return clock, Grid(clock, 900)


def minutes(n: float) -> int:
    return int(n * 60e9)


def test_sources_whose_steps_end_a_little_apart_give_them_the_same_number() -> None:
    _, grid = town()
    first = grid.number(minutes(15))
    assert grid.number(minutes(15.2)) == grid.number(minutes(14.8)) == first
    assert grid.number(minutes(30), first + 1) == first + 1
    assert grid.number(minutes(44), first + 2) == first + 2
    assert grid.number(minutes(90), first + 3) == first + 5, "what lies between is left out"


class Timeless(Hand):
    """A node that nobody has told the time yet."""

    known = False

    def wall(self, mono_ns: int):  # type: ignore[no-untyped-def]
        from wayside.contracts.reading import ClockState
        from wayside.edge.clock import Wall

        return super().wall(mono_ns) if self.known else Wall(None, ClockState.UNKNOWN, None)


@pytest.mark.parametrize("jump_min", [0.0, 7.0, 15.0 * 100_000, -15.0 * 4])
def test_when_the_time_comes_or_jumps_numbers_stay_and_their_wall_time_is_known(jump_min: float) -> None:
    clock = Timeless()
    clock._start_ms = 1_700_000_100_000 // 900_000 * 900_000
    grid = Grid(clock, 900)
    numbers = [grid.number(minutes(15)), grid.number(minutes(30), None)]
    assert not grid.known
    clock.known = True
    clock._start_ms += round(jump_min * 60_000)
    assert grid.look(minutes(31))
    assert grid.known
    numbers.append(grid.number(minutes(45), numbers[-1] + 1))
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    end_s = (numbers[-1] + grid.base) * 900
    assert abs(end_s - (clock._start_ms / 1000 + 45 * 60)) <= 450


def test_after_a_restart_of_the_machine_numbers_are_taken_up_again_once_the_time_is_known() -> None:
    clock, grid = town()
    number = grid.number(minutes(15))
    state = grid.state() | {"machine": "before"}
    later = Timeless()
    later._start_ms = clock._start_ms + 3_600_000
    again = Grid(later, 900)
    again.restore(state, number + 5000)
    later.known = True
    assert again.number(minutes(15)) == number + 4


def test_after_a_restart_of_the_machine_without_a_clock_nothing_of_before_reaches_into_a_window() -> None:
    _, grid = town()
    number = grid.number(minutes(15))
    again = Grid(Timeless(), 900)
    again.restore(grid.state() | {"machine": "before"}, number + 5000)
    assert again.number(minutes(15)) >= number + 5000
    assert not again.known


def test_after_a_restart_of_the_agent_alone_the_numbers_go_on_without_a_clock() -> None:
    clock = Timeless()
    grid = Grid(clock, 900)
    number = grid.number(minutes(15))
    clock.now_ns = minutes(20)
    again = Grid(clock, 900)
    again.restore(grid.state(), number + 5000)
    assert again.number(minutes(30)) == number + 1


def test_the_calendar_is_filled_anew_when_the_clock_jumps() -> None:
    clock, grid = town()
    calendar = Calendar(grid, LocalCalendar("UTC"), {})
    number = grid.number(minutes(15))
    dates = calendar.dates
    assert dates.add(("hour", 0, 0), calendar.column("hour"), 8, 2) == 0
    dates.fill(number - 3, number)
    before = dates.values[0, dates.rows(number, 4, 1)].tolist()
    clock._start_ms += 2 * 3_600_000
    grid.look(minutes(16))
    dates.fill(number - 3, number)
    after = dates.values[0, dates.rows(number, 4, 1)].tolist()
    np.testing.assert_allclose(np.array(after), (np.array(before) + 2) % 24)
