"""Maximum greens by demand."""

from __future__ import annotations

import pytest

from tests.edge.policies.crossing import Street, crossing, loops_of
from wayside.contracts.beat import Known, Maxima
from wayside.edge.policies import actuated_plus
from wayside.edge.policies.actuated_plus import Settings, maxima


def after(seconds: int, known: Known, **changed: object) -> list[Maxima]:
    signal = crossing()
    street, memory = Street(signal), actuated_plus.begin(Settings(**changed), signal)  # type: ignore[arg-type]
    street.show(1)
    asked = []
    for _ in range(seconds):
        asked += actuated_plus.step(int(street.now_s * 1000), street.heads, street.loops, known, memory)
        street.now_s += 1.0
    assert all(isinstance(each, Maxima) for each in asked)
    return [each for each in asked if isinstance(each, Maxima)]


def test_the_phase_with_the_fuller_critical_lane_gets_the_longer_maximum() -> None:
    (asked,) = after(310, Known(flows_veh_h={1: 700.0, 4: 200.0}))
    assert asked.seconds[1] > asked.seconds[2] > 0


def test_nothing_is_asked_before_flows_are_known_nor_while_they_stay_as_they_are() -> None:
    known = Known(flows_veh_h={1: 700.0, 4: 200.0})
    assert after(290, known) == []
    assert len(after(1000, known)) == 1


def test_a_forecast_counts_only_where_it_is_wanted() -> None:
    known = Known(flows_veh_h={1: 700.0, 4: 200.0})
    assert after(310, known, flows="recent") != after(310, known)


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 3.0])
def test_maxima_stay_within_the_legal_limits_whatever_the_demand(ratio: float) -> None:
    signal = crossing(walk_s=6.0)
    for phase, seconds in maxima({1: ratio, 2: 0.1}, signal, Settings()).items():
        assert 12.0 <= seconds <= signal.by_phase[phase].max_green_s


def test_a_phase_without_loops_keeps_the_maximum_of_the_board_and_is_named() -> None:
    signal = crossing(loops=loops_of(0, 1))
    assert maxima({1: 0.3}, signal, Settings())[2] == signal.by_phase[2].max_green_s
    (mistake,) = Settings().beat_mistakes(signal)
    assert mistake.startswith("phase 2 has no loop")
