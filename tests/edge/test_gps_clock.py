"""A receiver's time is believed where nothing better is known, and doubted where it cannot be."""

from __future__ import annotations

import time

import pytest

from wayside.contracts.reading import ClockState
from wayside.edge import clock as module
from wayside.edge.clock import SystemClock

WEEKS_1024_MS = 1024 * 7 * 86_400_000


class Alone(SystemClock):
    """Without NTP, and with a hand on the monotonic clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "kernel_sync_error_ms", lambda: None)
        super().__init__()
        self.patch, self.at_ns = monkeypatch, time.monotonic_ns()
        self.true_ms = time.time_ns() // 1_000_000
        self.wait(0)

    def wait(self, seconds: float) -> None:
        self.at_ns += int(seconds * 1e9)
        self.true_ms += int(seconds * 1000)
        self.patch.setattr(module.time, "monotonic_ns", lambda: self.at_ns)

    def gps(self, off_ms: int = 0) -> str | None:
        return self.hear_gps(self.true_ms + off_ms, self.at_ns, 1000)

    def now(self) -> tuple[int | None, ClockState]:
        wall = self.wall(self.at_ns)
        return (None if wall.ms is None else wall.ms - self.true_ms), wall.state


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Alone:
    return Alone(monkeypatch)


def test_a_node_without_network_has_the_receivers_time_and_holds_it_when_it_is_gone(alone: Alone) -> None:
    assert alone.now() == (None, ClockState.UNKNOWN)
    assert alone.gps() is None
    assert alone.now() == (0, ClockState.GPS)
    assert (alone.wall(alone.at_ns).error_ms or 0) >= 1000
    alone.wait(61)
    assert alone.now() == (0, ClockState.HELD)
    assert alone.gps() is None
    assert alone.now()[1] is ClockState.GPS


def test_a_week_counter_that_ran_over_and_a_time_beyond_every_release_are_not_believed(alone: Alone) -> None:
    assert "week counter" in str(alone.gps(-WEEKS_1024_MS))
    assert alone.now() == (None, ClockState.UNKNOWN)
    assert alone.hear_gps(2**52, alone.at_ns, 1000) is not None
    assert alone.now() == (None, ClockState.UNKNOWN)


def test_the_hubs_time_stands_while_it_is_the_better_one(alone: Alone) -> None:
    alone.hear_hub(alone.true_ms, alone.at_ns - 100_000_000, alone.at_ns)
    assert alone.gps(300) is None
    assert alone.now()[1] is ClockState.HUB
    alone.wait(8 * 3600)  # 50 ppm of it are more than a second
    assert alone.gps(300) is None
    assert alone.now() == (300, ClockState.GPS)
    alone.hear_hub(alone.true_ms, alone.at_ns - 100_000_000, alone.at_ns)
    assert alone.now()[1] is ClockState.HUB


def test_a_receiver_that_contradicts_the_hub_is_doubted_for_ever(alone: Alone) -> None:
    for _ in range(30):
        alone.hear_hub(alone.true_ms, alone.at_ns - 100_000_000, alone.at_ns)
        assert "away from the one that the node has" in str(alone.gps(60_000))
        alone.wait(60)
    assert abs(alone.now()[0] or 0) < 1000


def test_a_receiver_that_contradicts_itself_is_doubted_for_a_quarter_of_an_hour(alone: Alone) -> None:
    assert alone.gps(18_000) is None  # before it has heard of the leap seconds
    for _ in range(15):
        alone.wait(60)
        assert alone.gps() is not None
        assert abs((alone.now()[0] or 0) - 18_000) < 100
    alone.wait(60)
    assert alone.gps() is None
    assert alone.now() == (0, ClockState.GPS)


def test_one_jump_that_goes_back_begins_the_quarter_of_an_hour_anew(alone: Alone) -> None:
    assert alone.gps() is None
    for _ in range(40):
        alone.wait(60)
        assert alone.gps(5_000_000) is not None
        assert alone.gps() is None
    assert abs(alone.now()[0] or 0) < 1000
