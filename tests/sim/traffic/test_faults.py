"""Detectors die and stick in the plant as they do on a street, and a node lies without being asked twice."""

from __future__ import annotations

import pytest

from tests.sim.traffic.small import intersection
from wayside.cloud.sim.errors import ControllerError
from wayside.cloud.sim.traffic.board_light import Edge
from wayside.cloud.sim.traffic.faults import BrokenLoops, Lies, channels_of
from wayside.cloud.sim.traffic.spec import Fault
from wayside.contracts.beat import Known, Maxima
from wayside.firmware_bridge.line.messages import EventKind


@pytest.mark.parametrize(
    ("where", "channels"), [("phase:2", {2}), ("lane:1", {1}), ("in2", {2}), ("1,2", {1, 2}), ("1, 9", {1})]
)
def test_detectors_are_named_by_phase_lane_approach_or_channel(where: str, channels: set[int]) -> None:
    assert channels_of(where, intersection()) == channels


@pytest.mark.parametrize("where", ["phase:7", "lane:x", "out2", "9", "", "²"])
def test_a_name_of_no_detector_is_refused_with_those_that_there_are(where: str) -> None:
    with pytest.raises(ControllerError, match="in1, in2"):
        channels_of(where, intersection())


def test_a_dead_detector_falls_silent_from_its_second_on_and_buttons_go_on() -> None:
    loops = BrokenLoops([Fault(kind="dead", where="1", from_s=10.0, until_s=20.0)], intersection())
    coming = [Edge(9_500, 1, 1), Edge(9_600, 2, 1), Edge(9_700, 1, 1, EventKind.INPUT)]
    assert loops.change(coming, 9) == coming
    assert loops.change(coming, 10) == [*coming[1:], Edge(10_000, 1, 0)]
    assert loops.change(coming, 11) == coming[1:]
    assert loops.change(coming, 20) == coming


def test_a_stuck_detector_rises_once_and_never_falls() -> None:
    loops = BrokenLoops([Fault(kind="stuck", where="phase:2", from_s=5.0)], intersection())
    seen = [edge for second in range(4, 9) for edge in loops.change([Edge(second * 1000, 2, 0)], second)]
    assert seen == [Edge(4_000, 2, 0), Edge(5_000, 2, 1)]


def test_two_swapped_wires_tell_of_each_other_and_of_nobody_else() -> None:
    loops = BrokenLoops([Fault(kind="swapped", where="1,2", from_s=5.0)], intersection())
    coming = [Edge(5_100, 1, 1), Edge(5_200, 2, 0), Edge(5_300, 1, 1, EventKind.INPUT)]
    assert loops.change(coming, 4) == coming
    assert loops.change(coming, 5) == [Edge(5_100, 2, 1), Edge(5_200, 1, 0), coming[2]]


def test_lies_name_only_phases_that_there_are_and_are_the_same_for_a_seed() -> None:
    signal = intersection().signal

    def told(seed: int) -> list[object]:
        lies = Lies(seed)
        memory = lies.begin(None, signal)
        return [lies.step(second * 1000, {}, {}, Known(), memory) for second in range(200)]

    assert told(1) == told(1) != told(2)
    asked = [each for step in told(1) for each in step]  # type: ignore[attr-defined]
    assert {each.phase for each in asked if not isinstance(each, Maxima)} == {1, 2}
    assert any(isinstance(each, Maxima) for each in asked)
