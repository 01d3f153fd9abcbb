"""A line is noisy when too much of it cannot be read, and no longer noisy after a whole minute in which enough can."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from wayside.firmware_bridge.line.noise import MAX_ERRORS, MAX_SHARE, WINDOW_S, ErrorBudget


def test_half_a_frame_at_each_opening_is_not_noise() -> None:
    budget = ErrorBudget()
    assert not any(budget.observe(second, second // 10, 10 * second) for second in range(1000))


def test_the_error_that_is_too_many_begins_it_and_a_good_minute_ends_it() -> None:
    budget = ErrorBudget()
    assert not budget.observe(0.0, 0, 0)
    assert not budget.observe(1.0, MAX_ERRORS, 100)
    assert budget.observe(2.0, MAX_ERRORS + 1, 101)
    assert budget.errors == MAX_ERRORS + 1
    assert budget.observe(WINDOW_S, MAX_ERRORS + 1, 600), "its own minute was a bad one"
    assert budget.observe(2 * WINDOW_S - 1, MAX_ERRORS + 1, 1200), "the next is not over"
    assert not budget.observe(2 * WINDOW_S, MAX_ERRORS + 1, 1200)


def test_many_errors_among_very_many_frames_are_within_the_budget() -> None:
    budget = ErrorBudget()
    budget.observe(0.0, 0, 0)
    assert not budget.observe(30.0, 100, 30_000)


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 30), st.integers(0, 3000)), max_size=50))
def test_it_begins_only_with_more_errors_than_both_limits_allow(steps: list[tuple[float, int, int]]) -> None:
    budget, now_s, errors, frames = ErrorBudget(), 0.0, 0, 0
    ends_s, errors_before, frames_before = math.inf, 0, 0
    for step_s, bad, good in steps:
        now_s, errors, frames = now_s + step_s, errors + bad, frames + bad + good
        if ends_s == math.inf:
            ends_s = now_s + WINDOW_S
        elif now_s >= ends_s:
            ends_s, errors_before, frames_before = now_s + WINDOW_S, errors, frames
        was_noisy = budget.noisy
        is_noisy = budget.observe(now_s, errors, frames)
        errors_now = errors - errors_before
        beyond = errors_now > MAX_ERRORS and errors_now > MAX_SHARE * (frames - frames_before)
        assert is_noisy or not beyond
        assert was_noisy or is_noisy is beyond
