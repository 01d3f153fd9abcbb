"""Bands along a street: what is found is what a vehicle sees, and the policy keeps its window."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.traffic import needs
from tests.sim.traffic.small import intersection
from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic.configure import configure
from wayside.cloud.sim.traffic.coordination import Signal, Street, bands, best_bands, street_of
from wayside.cloud.sim.traffic.generated import generate
from wayside.cloud.sim.traffic.nets import read_net
from wayside.contracts.beat import Ask, Head, Known, Request, Shows
from wayside.edge.policies import coordinated

SIGNALS = tuple(Signal(f"c{n}", 1, green_s) for n, green_s in enumerate((28.0, 24.0, 27.0)))
STREET = Street(SIGNALS, (22.0, 31.0), (22.0, 31.0), 50.0)


def drives_through(street: Street, offsets: tuple[float, ...], begin_s: float) -> bool:
    """Whether who passes the first signal at ``begin_s`` meets only green."""
    at = begin_s
    for n, signal in enumerate(street.signals):
        if (at - offsets[n]) % street.cycle_s >= signal.green_s:
            return False
        at += street.there_s[n] if n < len(street.there_s) else 0.0
    return True


@given(st.tuples(*(st.integers(0, 49).map(float) for _ in range(3))))
def test_a_band_is_the_longest_time_in_which_one_drives_through(offsets: tuple[float, ...]) -> None:
    through = [drives_through(STREET, offsets, tenth / 10) for tenth in range(1000)]  # two cycles
    longest = run = 0
    for each in through:
        run = run + 1 if each else 0
        longest = max(longest, run)
    assert bands(STREET, offsets).there_s == pytest.approx(longest / 10, abs=0.1001)


def test_the_best_bands_are_at_least_those_of_any_offsets_that_are_tried() -> None:
    best = best_bands(STREET)
    for a in range(0, 50, 3):
        for b in range(0, 50, 3):
            tried = bands(STREET, (0.0, float(a), float(b)))
            assert tried.there_s + tried.back_s + min(tried.there_s, tried.back_s) <= (
                best.there_s + best.back_s + min(best.there_s, best.back_s) + 2.0
            )
    assert min(best.there_s, best.back_s) > 10.0


@needs.sumo
def test_the_street_of_the_arterial_is_read_from_its_net(tmp_path: Path) -> None:
    net = read_net(generate("arterial", 1, tmp_path).net)
    street = street_of(net, [configure(net, light) for light in net.lights])
    assert [signal.light for signal in street.signals] == ["c1", "c2", "c3", "c4"]
    assert all(20.0 < seconds < 35.0 for seconds in street.there_s)
    crossing = read_net(generate("crossing", 1, tmp_path).net)
    with pytest.raises(NetError, match="no street"):
        street_of(crossing, [configure(crossing, "c")])


LIMITS = intersection().signal
WINDOW = coordinated.Settings(cycle_s=40.0, offset_s=10.0, green_s=15.0, phases=(1,))


def asked(at_s: float, green: int, for_s: float, memory: coordinated.Memory) -> list[object]:
    now_ms = 1_000_000
    heads = {p: Head(Shows.GREEN if p == green else Shows.RED, now_ms - round(for_s * 1000)) for p in (1, 2)}
    return list(coordinated.step(now_ms, heads, {}, Known(hour=at_s / 3600), memory))


def test_in_its_window_a_phase_of_the_street_is_held_and_after_it_let_go() -> None:
    memory = coordinated.begin(WINDOW, LIMITS)
    assert asked(12.0, green=1, for_s=2.0, memory=memory) == [Request(Ask.HOLD, 1)]
    assert asked(25.0, green=1, for_s=15.0, memory=memory) == [Request(Ask.RELEASE, 1)]
    assert asked(26.0, green=1, for_s=16.0, memory=memory) == []


def test_a_conflicting_green_ends_in_time_for_the_window_but_not_under_its_minimum() -> None:
    memory = coordinated.begin(WINDOW, LIMITS)
    assert asked(4.0, green=2, for_s=20.0, memory=memory) == []
    assert asked(46.0, green=2, for_s=20.0, memory=memory) == [Request(Ask.CALL, 1), Request(Ask.FORCE_OFF, 2)]
    assert asked(46.0, green=2, for_s=3.0, memory=memory) == [Request(Ask.CALL, 1)]


def test_without_a_clock_nothing_is_asked_and_a_hold_is_released() -> None:
    memory = coordinated.begin(WINDOW, LIMITS)
    asked(12.0, green=1, for_s=2.0, memory=memory)
    heads = {1: Head(Shows.GREEN, 0), 2: Head()}
    assert list(coordinated.step(5000, heads, {}, Known(), memory)) == [Request(Ask.RELEASE, 1)]
    assert list(coordinated.step(6000, heads, {}, Known(), memory)) == []


def test_settings_that_no_signal_can_keep_are_told() -> None:
    wrong = coordinated.Settings(cycle_s=40.0, offset_s=50.0, green_s=45.0, phases=(1, 9))
    told = " ".join(wrong.beat_mistakes(LIMITS))
    assert "no phase 9" in told
    assert "max_green_s" in told
    assert "offset_s" in told
    assert list(WINDOW.beat_mistakes(LIMITS)) == []
