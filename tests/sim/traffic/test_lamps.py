"""What a board shows becomes the state of a traffic light, letter by letter."""

from __future__ import annotations

import pytest

from tests.sim.traffic.small import intersection
from wayside.cloud.sim.traffic.lamps import Lamp
from wayside.firmware_bridge.simulated_board import Heads

DARK = Heads(0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("heads", "state"),
    [
        (DARK, "rrrrr"),
        (DARK._replace(green=1), "Ggrrr"),
        (DARK._replace(yellow=1), "yyrrr"),
        (DARK._replace(green=2), "rrGGr"),
        (DARK._replace(green=1, walk=1), "GgrrG"),
        (DARK._replace(green=1, ped_clear=1), "Ggrrr"),  # who is on the crossing goes on, nobody enters it
        (DARK._replace(flash=1), "ooooo"),
    ],
)
def test_each_picture_has_its_state(heads: Heads, state: str) -> None:
    assert Lamp(intersection(crossing=True), 5).state(heads) == state


def test_a_link_of_an_overlap_is_its_alone_and_yields_unless_a_green_phase_says_otherwise() -> None:
    shared = intersection()._replace(phases={1: {0: "G", 1: "g"}, 2: {1: "G", 2: "G"}}, overlaps={1: {1: "g"}})
    lamp = Lamp(shared, 4)
    assert lamp.state(DARK._replace(yellow=1, overlap_green=1)) == "ygrr"
    assert lamp.state(DARK._replace(green=2, overlap_green=1)) == "rGGr"
    assert lamp.state(DARK._replace(yellow=2, overlap_yellow=1)) == "ryyr"
    assert lamp.state(DARK._replace(green=2)) == "rrGr"


def test_a_link_of_two_phases_shows_the_stronger_one() -> None:
    shared = intersection()._replace(phases={1: {0: "G", 1: "g"}, 2: {1: "G", 2: "G"}})
    assert Lamp(shared, 4).state(DARK._replace(green=3)) == "GGGr"
