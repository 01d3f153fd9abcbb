"""The node's time and calendar."""

from __future__ import annotations

import time

from tests.simulators.agent import node_toml
from wayside.contracts.node_config import load_node_config
from wayside.contracts.reading import ClockState
from wayside.edge.clock import LocalCalendar, ScaledClock, stamp

STEP = 900_000


def test_the_calendar_of_a_row_is_that_of_its_end_in_local_time() -> None:
    calendar = LocalCalendar("Europe/Berlin")
    local = calendar.of(1704067200 + 1800)  # 2024-01-01, a Monday
    assert local[:3] == (1.5, 0.0, 1.5 / 24)


def test_a_scaled_clock_agrees_with_itself_after_a_restart() -> None:
    made = load_node_config(node_toml("/dev/null", anchor_s=time.time() + 3600, speed=1000)).clock
    first, second = ScaledClock(made), ScaledClock(made)
    assert first.mono_ns() == second.mono_ns() == 0
    said = stamp(first, "0" * 32, 900 * 10**9)
    assert said.wall_ms == 1704067200_000 + STEP
    assert said.clock is ClockState.SIMULATED
