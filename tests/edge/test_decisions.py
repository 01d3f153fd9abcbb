"""What is in force is what the guard allowed last or the safe action, and a row says why."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.edge import shared_greens
from tests.edge.scripted_policy import TASK, scripted
from tests.edge.test_guard import FIXED, SIGNAL
from tests.edge.test_ledger import Hand
from wayside.contracts.action import Action, Answer, Answers, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, RegisterTarget, SetpointConfig
from wayside.contracts.reading import Quality, Stamp
from wayside.contracts.summary import Kind
from wayside.contracts.task_config import SiteConfig, TaskConfig
from wayside.edge.actuators import NoticeBoard
from wayside.edge.decisions import POLICY_FAILED, Decider, PolicyError
from wayside.edge.guard.pace import Pace
from wayside.edge.ledger import Ledger

BOOT = "0" * 32
pytestmark = pytest.mark.usefixtures("shared_greens")
SITES = tuple(SiteConfig(output=f"d/{i}", constants={"lanes": 2}) for i in (1, 2))
FLOW = TaskConfig(
    name="flow",
    bundle="b",
    interval_s=900,
    sites=SITES,
    policy="shared_greens",
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
    plan = shared_greens.greens({2: 600.0, 4: 360.0}, SIGNAL)
    assert row.detail == {
        "verdict": "allowed",
        "attempt": 0,
        "greens": " ".join(f"{p}:{g:.1f}" for p, g in sorted(plan.items())),
        "busiest_phase": 2,
        "busiest_flow": 600,
        "because": "the most are expected at phase {busiest_phase}: {busiest_flow} vehicles an hour and lane",
        "substituted_rows": 3,
        "policy": "shared_greens",
        "limits": "each green from its minimum to its maximum in a cycle of 90 s, no change over 10 s",
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
        "policy": "shared_greens",
        "limits": "each green from its minimum to its maximum in a cycle of 90 s, no change over 10 s",
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


def test_a_step_without_a_wall_time_is_not_acted_on(signal: Scene) -> None:
    answers = Answers(interval_s=900, sites={d: Answer(1.0, Quality.GOOD, (9.0,)) for d in ("d/1", "d/2")})
    signal.decider.decide(answers, Stamp(boot=BOOT, mono_ns=1), model=None, why_none=None)
    assert signal.verdicts == ["refused"] * 3 + ["held"]


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
        policy="shared_greens",
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


# --- set-points -------------------------------------------------------------------------------------------------


def test_a_set_point_waits_for_its_hold_and_keeps_what_is_in_force_meanwhile(heater: Scene) -> None:
    heater.forecast(12.0, 0.0)
    assert heater.carried == [Setpoint(1.0)]
    heater.wait(300)
    heater.forecast(0.0, 0.0)
    assert heater.verdicts[1:] == ["refused", "held"]
    assert "changes after 300 s, has to stay for 600 s" in heater.decisions[1]["why"]
    assert heater.decisions[-1]["setpoint"] == 1.0
    assert heater.decider.in_force == Setpoint(1.0)
    heater.wait(300)
    heater.forecast(0.0, 0.0)
    assert heater.carried == [Setpoint(1.0), None]


def test_a_set_point_goes_off_later_than_it_went_on(heater: Scene) -> None:
    for watched, on in ((7.0, False), (10.0, True), (7.0, True), (4.9, False), (7.0, False)):
        heater.forecast(watched, 0.0)
        assert (heater.decider.in_force == Setpoint(1.0)) is on
        heater.wait(3600)


def test_a_set_point_in_doubt_goes_to_its_safe_value_though_its_hold_is_not_over(heater: Scene) -> None:
    heater.forecast(12.0, 0.0)
    heater.forecast(12.0, 0.0, fresh=False)
    assert heater.carried == [Setpoint(1.0), None]
    heater.wait(599)
    heater.forecast(12.0, 0.0)
    assert heater.decider.in_force is None  # going back was a change, too


def test_a_set_point_begins_safe_after_a_restart_and_its_changes_still_count(heater: Scene) -> None:
    heater.forecast(12.0, 0.0)
    kept = json.loads(json.dumps(heater.decider.state()))
    again = Scene(HEAT, HEATER)
    again.clock.now_ns = heater.clock.now_ns + 10**9
    again.decider.restore(kept)
    assert again.decider.in_force is None
    again.forecast(12.0, 0.0)
    assert again.verdicts == ["refused", "held"]
    again.wait(600)
    again.forecast(12.0, 0.0)
    assert again.decider.in_force == Setpoint(1.0)


def test_the_fall_to_the_safe_value_at_a_restart_is_a_change_too(heater: Scene) -> None:
    heater.forecast(12.0, 0.0)
    again = Scene(HEAT, HEATER)
    again.clock.now_ns = 3600 * 10**9
    again.decider.restore(json.loads(json.dumps(heater.decider.state())))
    again.forecast(12.0, 0.0)
    assert again.decider.in_force is None
    again.wait(600)
    again.forecast(12.0, 0.0)
    assert again.decider.in_force == Setpoint(1.0)


def test_a_register_that_lost_its_value_waits_for_its_hold_again(heater: Scene) -> None:
    heater.forecast(12.0, 0.0)
    heater.wait(3600)
    heater.decider.board_reverted()
    heater.forecast(12.0, 0.0)
    assert heater.verdicts == ["allowed", "refused", "held"]


def test_changes_of_another_boot_without_a_clock_are_as_if_they_were_now() -> None:
    clock = Hand()
    clock.now_ns = 5 * 10**9
    now = Ledger("n", BOOT, clock).now()
    pace = Pace(HEATER)
    pace.restore({"changes": [["1" * 32, 10**18, None]]}, now)
    assert pace.held_s(now) == 0
    assert now.wall_ms is not None
    pace.restore({"changes": [["1" * 32, 7, now.wall_ms - 3_600_000]]}, now)
    assert pace.held_s(now) == 3600
    assert pace.count(now) == 1


# --- notices ----------------------------------------------------------------------------------------------------


def test_a_notice_begins_rises_falls_late_and_ends(people: Scene) -> None:
    for score, level in ((1.0, 0), (5.0, 2), (9.0, 3), (6.0, 3), (3.0, 2), (2.5, 2), (1.0, 0), (3.0, 0)):
        people.score(score, 0.5)
        notice = people.decider.in_force
        assert (notice.level if isinstance(notice, Notice) else 0) == level
        people.wait(3600)
    levels = [(a.level, a.topic) for a in people.carried if isinstance(a, Notice)]
    assert levels == [(2, "incident"), (3, "incident"), (2, "incident"), (0, "incident")]
    assert people.decisions[0]["notice"] == "unusual for 0.25 h: d/1 (score 5.0)"
    assert people.verdicts == ["allowed"] * 4  # and nothing was written while there was nothing to say


def test_a_notice_ends_by_name_where_nothing_is_known_any_more(people: Scene) -> None:
    people.score(5.0, 0.5)
    people.score(None, None, why_none="no model")
    assert people.carried[-1] == Notice("incident", 0, "withdrawn: no model: nothing is said")
    assert people.decider.in_force is None
    people.score(5.0, 0.5)
    people.score(None, None, why_none="no model " * 99)
    assert len(people.carried[-1].text) == 200  # type: ignore[union-attr]


def test_steps_that_come_late_begin_no_notice_and_end_one_only_where_they_say_so(people: Scene) -> None:
    people.score(5.0, 0.5, fresh=False)
    assert people.verdicts == ["refused", "held"]
    people.score(5.0, 0.5)
    people.score(5.0, 0.5, fresh=False)
    assert people.decider.in_force is not None
    people.score(1.0, 0.5, fresh=False)
    assert people.decider.in_force is None


def test_a_notice_that_comes_too_often_waits_and_the_one_in_force_stays(people: Scene) -> None:
    people.score(5.0, 0.5)
    people.score(9.0, 0.5)
    people.score(3.0, 0.5)
    assert people.verdicts == ["allowed", "allowed", "refused", "held"]
    assert "2 notices were sent within an hour" in people.decisions[2]["why"]
    assert people.decider.in_force == people.carried[-1]
    assert [a.level for a in people.carried if isinstance(a, Notice)] == [2, 3]


def test_another_topic_ends_the_one_before() -> None:
    with scripted(Notice) as policy:
        scene = Scene(TASK, PEOPLE)
        for policy.proposal in (Notice("a", 2, "A"), Notice("b", 2, "B")):
            scene.forecast(1.0, 1.0)
    assert [(a.topic, a.level) for a in scene.carried if isinstance(a, Notice)] == [("a", 2), ("a", 0), ("b", 2)]


def test_tasks_that_share_a_board_of_notices_share_its_limit() -> None:
    clock = Hand()
    ledger = Ledger("n", BOOT, clock)
    pace = Pace(PEOPLE)
    with scripted(Notice) as policy:
        each = [Decider(TASK, PEOPLE, lambda _: None, ledger, pace=pace) for _ in range(3)]
        for decider in each:
            policy.proposal = Notice("x", 2, "text")
            answers = Answers(interval_s=900, sites={"d/1": Answer(1.0, Quality.GOOD, (1.0,))})
            decider.decide(answers, ledger.now(), model=None, why_none=None)
    assert [d.in_force is not None for d in each] == [True, True, False]


def test_a_notice_outlives_a_restart_and_is_not_said_twice(people: Scene) -> None:
    people.score(5.0, 0.5)
    again = Scene(SCORE, PEOPLE)
    again.decider.restore(json.loads(json.dumps(people.decider.state())))
    again.score(5.0, 0.5)
    assert again.carried == []
    again.score(1.0, 0.5)
    assert [a.level for a in again.carried if isinstance(a, Notice)] == [0]


def test_on_the_board_each_level_is_a_condition_of_its_own_and_the_node_stays_healthy(people: Scene) -> None:
    board = NoticeBoard(SCORE, people.ledger)
    board.carry(Notice("lane 2", 2, "slow", 5.0))
    board.carry(Notice("lane 2", 3, "stopped", 9.0))
    assert [(c.code, c.subject, c.severe) for c in people.ledger.conditions()] == [
        ("notice_alarm", "strange/lane_2", False)
    ]
    board.carry(Notice("lane 2", 0, "as usual"))
    assert people.ledger.conditions() == ()
    told = [(r.detail["what"], r.detail.get("why")) for r in people.ledger.rows if r.kind is Kind.ALERT]
    assert told == [("slow", None), ("over: slow", "stopped"), ("stopped", None), ("over: stopped", "as usual")]


# --- what others write ------------------------------------------------------------------------------------------

BROKEN = [
    ValueError("boom " * 99),
    RecursionError(),
    "on",
    Setpoint("1"),  # type: ignore[arg-type]
    Setpoint(True),
    Setpoint(10**400),
    Greens({"2": 3}),  # type: ignore[dict-item]
    Greens([2, 4]),  # type: ignore[arg-type]
    Notice("t", "2", "x"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("where", "broken"),
    [
        *itertools.product(["propose", "soften", "explain"], BROKEN),
        *[("read", broken) for broken in BROKEN if isinstance(broken, Exception)],  # what it gives is its own business
    ],
)
def test_a_policy_that_fails_is_a_condition_and_the_safe_action_holds(where: str, broken: Any) -> None:
    with scripted(Setpoint) as policy:
        scene = Scene(TASK, HEATER)
        policy.proposal = Setpoint(1.0)
        scene.forecast(1.0, 1.0)
        assert scene.decider.in_force == Setpoint(1.0)
        policy.proposal = broken if where == "propose" else Setpoint(math.nan)
        policy.softer = [broken] if where == "soften" else []
        policy.explained = broken if where == "explain" else {}
        policy.seen = broken if where == "read" else ()
        scene.forecast(1.0, 1.0)
        assert scene.ledger.holds(POLICY_FAILED, "t")
        assert scene.carried == [Setpoint(1.0), None]
        assert scene.verdicts[-1] == "held"
        assert "the policy scripted" in scene.decisions[-1]["why"]
        scene.wait(3600)
        policy.seen, policy.proposal, policy.softer = (), Setpoint(1.0), []
        policy.explained = {"x": math.inf, "y": "z" * 999}
        scene.forecast(1.0, 1.0)
        assert not scene.ledger.holds(POLICY_FAILED, "t")
        assert scene.decider.in_force == Setpoint(1.0)


@pytest.mark.parametrize("action", [Greens({2: 1.0}), Notice("t", 2, "x")], ids=repr)
def test_an_action_of_another_kind_is_refused(action: Action) -> None:
    with scripted(Setpoint) as policy:
        scene = Scene(TASK, HEATER)
        policy.proposal = action
        scene.forecast(1.0, 1.0)
    assert scene.verdicts == ["refused", "held"]
    assert scene.carried == []


def test_settings_that_do_not_fit_are_an_error_that_names_task_and_policy() -> None:
    with pytest.raises(
        PolicyError, match="task heat, policy setpoint_threshold: it proposes a set-point, the actuator"
    ):
        Scene(HEAT, SIGNAL)


# --- no sequence ------------------------------------------------------------------------------------------------


class SetpointNeverLeavesItsLimits(RuleBasedStateMachine):
    """No sequence of proposals, doubts, failures and restarts ever moves a register otherwise than its limits say."""

    LIMITS = SetpointConfig(
        name="valve",
        register=RegisterTarget(device=1, address=0, table="holding", scale=0.5),
        low=0,
        high=10,
        safe=2,
        max_change=4,
        min_hold_s=100,
        max_changes_per_day=5,
    )

    def __init__(self) -> None:
        super().__init__()
        self.patch = scripted(Setpoint)
        self.policy = self.patch.__enter__()
        self.scene = Scene(TASK, self.LIMITS)
        self.moves: list[tuple[float, float]] = []  # s, value
        self.value = 2.0
        self.begin()

    def teardown(self) -> None:
        self.patch.__exit__(None, None, None)

    def begin(self) -> None:
        self.scene.decider = Decider(TASK, self.LIMITS, self.carry, self.scene.ledger)

    def carry(self, action: Action | None) -> None:
        now = self.scene.clock.now_ns / 1e9
        value = action.value if isinstance(action, Setpoint) else 2.0
        assert math.isfinite(value)
        assert 0 <= value <= 10
        if value != 2.0:  # the safe value is always allowed
            assert abs(value - self.value) <= 4 + 1e-6
            assert all(now - t >= 100 for t, _ in self.moves[-1:])
            assert sum(now - t < 86_400 for t, _ in self.moves) < 5
        self.moves.append((now, value))
        self.value = value
        assert sum(now - t < 86_400 for t, _ in self.moves) <= 6  # and once more to what is safe

    @rule(
        proposal=st.none() | st.builds(Setpoint, st.floats() | st.floats(-1, 11) | st.sampled_from([0.0, 2.0, 6.0])),
        softer=st.lists(st.builds(Setpoint, st.floats(-1, 11)), max_size=3),
        doubt=st.sampled_from([{}] * 8 + [{"fresh": False}, {"clock_known": False}]),
        values=st.sampled_from([(1.0, 1.0)] * 8 + [(None, None), (1.0, None)]),
    )
    def step(self, proposal: Any, softer: list[Any], doubt: dict[str, bool], values: Any) -> None:
        self.policy.proposal, self.policy.softer = proposal, softer
        self.scene.forecast(*values, **doubt)

    @rule(proposal=st.sampled_from(BROKEN))
    def fail(self, proposal: Any) -> None:
        self.policy.proposal = proposal
        self.scene.forecast(1.0, 1.0)

    @rule(seconds=st.sampled_from([1, 99, 100, 100, 100, 101, 3600, 86_399, 86_400]))
    def wait(self, seconds: int) -> None:
        self.scene.wait(seconds)

    @rule()
    def revert(self) -> None:
        """What is driven restarted, and is at its safe value by itself."""
        self.scene.decider.board_reverted()
        if self.value != 2.0:
            self.carry(None)

    @rule()
    def restart(self) -> None:
        kept = json.loads(json.dumps(self.scene.decider.state()))
        self.begin()
        self.scene.decider.restore(kept)
        if self.value != 2.0:  # whoever drives the register writes the safe value when it starts
            self.carry(None)

    @invariant()
    def the_decider_knows_what_is_in_force(self) -> None:
        action = self.scene.decider.in_force
        assert (action.value if isinstance(action, Setpoint) else 2.0) == self.value


class NoticesAreNeverAFlood(RuleBasedStateMachine):
    """No sequence of proposals ever sends more than so many within an hour, or leaves two open."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = scripted(Notice)
        self.policy = self.patch.__enter__()
        self.scene = Scene(TASK, PEOPLE)
        self.sent: list[float] = []
        self.open: set[str] = set()
        self.begin()

    def teardown(self) -> None:
        self.patch.__exit__(None, None, None)

    def begin(self) -> None:
        self.scene.decider = Decider(TASK, PEOPLE, self.carry, self.scene.ledger)

    def carry(self, action: Action | None) -> None:
        assert isinstance(action, Notice)
        now = self.scene.clock.now_ns / 1e9
        assert len(action.text) <= 200
        if action.level == 0:
            self.open.remove(action.topic)
            return
        assert action.level in (1, 2, 3)
        assert action.text.strip()
        self.sent.append(now)
        assert sum(now - t < 3600 for t in self.sent) <= PEOPLE.at_most_per_h
        self.open.add(action.topic)
        assert len(self.open) == 1

    @rule(
        topic=st.sampled_from([*"ababab", "", "x" * 65]),
        level=st.sampled_from([-1, 0, 1, 2, 3, 2, 3, 4]),
        text=st.sampled_from(["one", "two", "three", "", " ", "x" * 200, "x" * 201]),
        fresh=st.sampled_from([True, True, True, False]),
        known=st.sampled_from([True, True, True, False]),
    )
    def step(self, topic: str, level: int, text: str, fresh: bool, known: bool) -> None:
        self.policy.proposal = Notice(topic, level, text)
        self.scene.forecast(1.0 if known else None, None, fresh=fresh)

    @rule(proposal=st.sampled_from(BROKEN))
    def fail(self, proposal: Any) -> None:
        self.policy.proposal = proposal
        self.scene.forecast(1.0, 1.0)

    @rule(seconds=st.sampled_from([1, 1800, 3599, 3600]))
    def wait(self, seconds: int) -> None:
        self.scene.wait(seconds)

    @rule()
    def restart(self) -> None:
        kept = json.loads(json.dumps(self.scene.decider.state()))
        self.begin()
        self.scene.decider.restore(kept)

    @invariant()
    def the_decider_knows_what_is_open(self) -> None:
        action = self.scene.decider.in_force
        assert ({action.topic} if isinstance(action, Notice) else set()) == self.open


TestSetpointNeverLeavesItsLimits = SetpointNeverLeavesItsLimits.TestCase
TestNoticesAreNeverAFlood = NoticesAreNeverAFlood.TestCase
TestSetpointNeverLeavesItsLimits.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestNoticesAreNeverAFlood.settings = TestSetpointNeverLeavesItsLimits.settings
