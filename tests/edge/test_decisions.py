"""What is in force is what the guard allowed last or the safe action, and a row says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.edge.test_guard import FIXED, SIGNAL
from tests.edge.test_ledger import Hand
from wayside.contracts.action import Action, Answer, Answers, Greens
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, RegisterTarget, SetpointConfig
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Kind
from wayside.contracts.task_config import SiteConfig, TaskConfig
from wayside.edge.decisions import Decider
from wayside.edge.ledger import Ledger
from wayside.edge.policies import signal_timing

BOOT = "0" * 32
SITES = tuple(SiteConfig(output=f"d/{i}", constants={"lanes": 2}) for i in (1, 2))
FLOW = TaskConfig(
    name="flow",
    bundle="b",
    interval_s=900,
    sites=SITES,
    policy="signal_timing",
    actuator="signal",
    settings={"phases": {"d/1": 2, "d/2": 4}},
)
SCORE = TaskConfig(
    name="strange",
    bundle="b",
    kind="score",
    sites=SITES,
    policy="incident_notice",
    actuator="people",
    settings={"warn_above": 4, "alarm_above": 8, "end_below": 2},
)
HEAT = TaskConfig(
    name="heat",
    bundle="b",
    sites=SITES,
    policy="setpoint_threshold",
    actuator="heater",
    settings={"on_at": 10, "off_at": 5},
)
HEATER = SetpointConfig(
    name="heater",
    register=RegisterTarget(device=1, address=0),
    low=0,
    high=1,
    safe=0,
    min_hold_s=600,
    max_changes_per_day=4,
)
PEOPLE = NoticeConfig(name="people", at_most_per_h=2)


class Scene:
    """A decider with a clock that a test moves, and all that it has had carried out."""

    def __init__(self, task: TaskConfig, actuator: ActuatorConfig) -> None:
        self.clock = Hand()
        self.ledger = Ledger("n", BOOT, self.clock)
        self.carried: list[Action | None] = []
        self.decider = Decider(task, actuator, self.carried.append, self.ledger)

    def wait(self, seconds: float) -> None:
        self.clock.now_ns += int(seconds * 1e9)

    def forecast(self, *values: float | None, **more: Any) -> None:
        self.answer([Answer(v, Quality.GOOD, () if v is None else (v,)) for v in values], **more)

    def score(self, *values: float | None, **more: Any) -> None:
        self.answer([Answer(1.0, Quality.GOOD, score=v) for v in values], **more)

    def answer(self, each: list[Answer], why_none: str | None = None, **more: Any) -> None:
        sites = dict(zip(("d/1", "d/2"), each, strict=True))
        answers = Answers(interval_s=900, sites=sites, **more)
        self.decider.decide(answers, self.ledger.now(), model="b 1.0.0", why_none=why_none)

    @property
    def decisions(self) -> list[dict[str, Any]]:
        return [r.detail for r in self.ledger.rows if r.kind is Kind.DECISION]

    @property
    def verdicts(self) -> list[str]:
        return [d["verdict"] for d in self.decisions]


@pytest.fixture
def signal() -> Scene:
    return Scene(FLOW, SIGNAL)


@pytest.fixture
def heater() -> Scene:
    return Scene(HEAT, HEATER)


@pytest.fixture
def people() -> Scene:
    return Scene(SCORE, PEOPLE)


# --- signals ----------------------------------------------------------------------------------------------------


def test_an_allowed_plan_is_carried_out_and_its_row_says_what_it_rests_on(signal: Scene) -> None:
    signal.forecast(300.0, 180.0, substituted=3)
    (row,) = [r for r in signal.ledger.rows if r.kind is Kind.DECISION]
    assert (row.datastream, row.value, row.model) == ("signal", 1.0, "b 1.0.0")
    plan = signal_timing.greens({2: 600.0, 4: 360.0}, SIGNAL)
    assert row.detail == {
        "verdict": "allowed",
        "attempt": 0,
        "greens": " ".join(f"{p}:{g:.1f}" for p, g in sorted(plan.items())),
        "flows_veh_h_lane": "2:600 4:360",
        "substituted_rows": 3,
    }
    assert signal.carried == [Greens(plan)]
    assert signal.ledger.counters == {"proposals_allowed": 1}
    signal.forecast(300.0, 180.0)
    assert signal.carried == [Greens(plan)]  # it is in force already


def test_a_refused_plan_is_softened_twice_and_then_the_fixed_plan_holds(signal: Scene) -> None:
    signal.forecast(300.0, 180.0)
    signal.forecast(0.0, 2000.0)
    assert signal.verdicts[1:] == ["refused"] * 3 + ["held"]
    assert [d.get("attempt") for d in signal.decisions[1:]] == [0, 1, 2, None]
    assert "phase 2: green 0.4 s is under the minimum 10.0 s" in signal.decisions[1]["why"]
    assert signal.decisions[-1] == {
        "verdict": "held",
        "why": "every proposal was refused: the fixed plan holds",
        "greens": "2:48.0 4:31.0 6:50.0 8:29.0",
    }
    assert signal.carried[1:] == [None]
    assert signal.decider.in_force is None


@pytest.mark.parametrize(
    ("doubt", "why"),
    [
        ({"clock_known": False}, "the clock is not known"),
        ({"fresh": False}, "stale or doubtful"),
    ],
)
def test_in_doubt_the_safe_action_holds_with_the_reason(
    signal: Scene, heater: Scene, doubt: dict[str, bool], why: str
) -> None:
    for scene, value in ((signal, 300.0), (heater, 20.0)):
        scene.forecast(value, 180.0)
        assert scene.decider.in_force is not None
        scene.forecast(value, 180.0, **doubt)
        assert scene.decider.in_force is None
        assert scene.carried[-1] is None
        assert why in str(scene.decisions[-2]["why"])
        assert scene.verdicts[-1] == "held"


def test_half_of_the_sites_are_too_few(signal: Scene) -> None:
    signal.forecast(300.0, None)
    assert "stale or doubtful" in signal.decisions[0]["why"]
    assert signal.carried == []


def test_without_an_answer_the_reason_is_the_tasks(signal: Scene) -> None:
    signal.forecast(300.0, 180.0)
    signal.forecast(None, None, why_none="no model")
    assert signal.decisions[-1]["why"] == "no model: the fixed plan holds"
    assert signal.carried[-1] is None
    row = signal.ledger.rows[-1]
    assert (row.value, row.model) == (None, None)


def test_a_site_without_a_phase_has_no_say(signal: Scene) -> None:
    task = TaskConfig(
        name="flow",
        bundle="b",
        sites=SITES,
        policy="signal_timing",
        actuator="signal",
        settings={"phases": {"d/1": 2}},
    )
    scene = Scene(task, SIGNAL)
    scene.forecast(None, 100.0)
    assert scene.verdicts == ["held"]


def test_a_board_that_follows_its_own_plan_is_given_the_next_one_again(signal: Scene) -> None:
    signal.forecast(300.0, 180.0)
    signal.decider.board_reverted()
    assert signal.decider.in_force is None
    assert len(signal.carried) == 1
    signal.forecast(300.0, 180.0)
    assert len(signal.carried) == 2


def test_a_restart_goes_on_from_the_plan_in_force_also_from_todays_list(signal: Scene) -> None:
    signal.forecast(300.0, 180.0)
    kept = json.loads(json.dumps(signal.decider.state()))
    assert kept == {"in_force": [[p, g] for p, g in signal.carried[0].seconds.items()]}  # type: ignore[union-attr]
    again = Scene(FLOW, SIGNAL)
    again.decider.restore(kept)
    assert again.decider.in_force == signal.decider.in_force
    again.forecast(300.0, 180.0)
    assert again.carried == []


@pytest.mark.parametrize(
    "state", [None, {}, {"in_force": [[2, 9.0]]}, {"in_force": 7}, {"in_force": [["x", 1]]}, {"in_force": None}, []]
)
def test_a_state_that_cannot_be_read_is_the_safe_action(state: Any) -> None:
    for task, actuator in ((FLOW, SIGNAL), (HEAT, HEATER), (SCORE, PEOPLE)):
        scene = Scene(task, actuator)
        scene.decider.restore(state)
        assert scene.decider.in_force is None


def test_the_fixed_plan_itself_is_the_safe_action(signal: Scene) -> None:
    signal.decider.restore({"in_force": list(FIXED.items())})
    assert signal.decider.in_force is None
