"""A light of the plant is the compiled core behind its frames, second by second and the same whenever it is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from tests.sim.traffic import needs
from tests.sim.traffic.small import CYCLE_S, GREEN_S, intersection
from wayside.cloud.sim.errors import PlantError
from wayside.cloud.sim.traffic.board_light import AT_ONCE, BoardLight, Edge
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.firmware_bridge.line.board import Heard
from wayside.firmware_bridge.line.messages import Action, EventKind, PlanResult

pytestmark = needs.compiler
LINKS = 5
# A detector that has told of nobody yet is not believed: somebody has passed each of them.
PASSED = [Edge(200, 1, 1), Edge(400, 1, 0), Edge(500, 2, 1), Edge(700, 2, 0)]


class Asker:
    """A host that says what it is told to say, and keeps what it hears."""

    def __init__(self, light: BoardLight, asks: dict[int, list[tuple[Action, int]]]) -> None:
        self.became: Counter[str] = Counter()
        self.heard: list[Heard] = []
        self._light, self._asks, self._number = light, asks, 0

    def hear(self, heard: Sequence[Heard]) -> None:
        self.heard += heard

    def speak(self, now_ms: int) -> list[bytes]:
        asks = self._asks.get((now_ms - self._light.begin_ms) // 1000, [])
        self._number += len(asks)
        return [self._light.link.signal_request(n, action, phase) for n, (action, phase) in enumerate(asks, start=100)]


def shown(light: BoardLight, seconds: int, edges: dict[int, list[Edge]] | None = None) -> list[str]:
    """What is shown at the begin and at the end of each second."""
    return [light.step((edges or {}).get(second, []), second * 1000) for second in range(seconds + 1)]


def actuated(*, crossing: bool = False) -> Intersection:
    small = intersection(crossing=crossing)
    phases = [msgspec.structs.replace(p, detectors=[p.phase], passage_s=2.0, locking=False) for p in small.plan.phases]
    return small._replace(plan=msgspec.structs.replace(small.plan, phases=phases, actuated=True))


def test_a_fixed_plan_repeats_with_its_cycle() -> None:
    states = shown(BoardLight(intersection(), LINKS), 90)
    cycle = round(CYCLE_S)
    assert states[0] == "Ggrrr"
    assert states[:cycle] * 2 == states[cycle : 3 * cycle]
    assert states[:cycle].count("Ggrrr") == states[:cycle].count("rrGGr") == GREEN_S


def test_an_actuated_board_rests_in_green_and_goes_to_who_comes() -> None:
    light = BoardLight(actuated(), LINKS)
    edges = {1: PASSED, 40: [Edge(39_500, 2, 1)], 60: [Edge(59_100, 2, 0)]}
    states = shown(light, 70, edges)
    assert set(states[:39]) == {"Ggrrr"}
    assert states.index("rrGGr") in range(43, 46)  # yellow and red clearance after the vehicle came


def test_the_same_edges_give_the_same_hour() -> None:
    edges = {second: [Edge(second * 1000 - 400, second % 2 + 1, second // 2 % 2)] for second in range(5, 300, 7)}
    first, again = (shown(BoardLight(actuated(), LINKS), 300, edges) for _ in range(2))
    assert first == again
    assert len(set(first)) > 3


def test_two_boards_in_one_process_do_not_know_each_other() -> None:
    one, other = BoardLight(actuated(), LINKS), BoardLight(intersection(), LINKS)
    one.step((), 0)
    other.step((), 0)
    states = [
        (one.step(PASSED if second == 1 else (), second * 1000), other.step((), second * 1000))
        for second in range(1, 60)
    ]
    assert {state for state, _ in states} == {"Ggrrr"}
    assert [state for _, state in states] == shown(BoardLight(intersection(), LINKS), 59)[1:]


def test_more_requests_than_the_board_takes_at_once_are_all_answered() -> None:
    light = BoardLight(actuated(), LINKS)
    asker = Asker(light, {5: [(Action.HOLD, 1)] * (3 * AT_ONCE)})
    light.attach(asker)
    shown(light, 10)
    assert len([m for m in asker.heard if isinstance(m, PlanResult) and m.request >= 100]) == 3 * AT_ONCE


def test_a_node_that_falls_silent_leaves_a_board_that_is_actuated_by_itself() -> None:
    light = BoardLight(actuated(), LINKS)
    light.attach(Asker(light, {5: [(Action.HOLD, 1)]}))
    edges = {10: [Edge(9_500, 2, 1)]}
    held = shown(light, 12, edges)
    assert held[-1] == "Ggrrr"
    light.silent = True
    states = [light.step((), second * 1000) for second in range(13, 30)]
    assert "rrGGr" in states


def test_a_push_button_gets_its_walk() -> None:
    light = BoardLight(actuated(crossing=True), LINKS)
    edges = {20: [Edge(19_500, 1, 1, EventKind.INPUT)]}
    assert "GgrrG" in shown(light, 40, edges)


def test_a_plan_that_the_board_refuses_is_said_with_its_reason() -> None:
    small = intersection()
    first = msgspec.structs.replace(small.plan.phases[0], yellow_s=2.0)
    wrong = small._replace(plan=msgspec.structs.replace(small.plan, phases=[first, *small.plan.phases[1:]]))
    with pytest.raises(PlantError, match="TABLE_LIMITS"):
        BoardLight(wrong, LINKS)
