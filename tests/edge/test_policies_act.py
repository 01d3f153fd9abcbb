"""What each domain's policy does, by its effect: before, not after; sure enough; on one side; long enough."""

from __future__ import annotations

from typing import Any

import pytest

from tests.edge.test_deadlines import boiler
from tests.edge.test_decisions import HEAT, HEATER, PEOPLE, SCORE, SITES, Scene
from wayside.contracts.action import Answer, Answers, Notice, Running, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig
from wayside.contracts.probability import exceedance, value_at
from wayside.contracts.reading import Quality
from wayside.contracts.task_config import SiteConfig, TaskConfig
from wayside.edge.policies import load_shift, threshold_warning
from wayside.edge.policies import policy as policies

QUANTILES = (0.1, 0.5, 0.9)
ONE = SITES[:1]


def task(policy: str, like: TaskConfig = HEAT, **more: Any) -> TaskConfig:
    about = {"name": "t", "bundle": "b", "actuator": like.actuator, "sites": ONE, "interval_s": 3600.0, "horizon": 24}
    return TaskConfig(**{**about, "policy": policy, **more})


def ahead(*medians: float, spread: float = 10.0, now: float | None = 1.0, **more: Any) -> Answer:
    bands = [(m - spread, m, m + spread) for m in medians]
    return Answer(now, Quality.GOOD, medians, bands, **more)


class Hours:
    """A decider that is asked once an hour."""

    def __init__(self, config: TaskConfig, actuator: ActuatorConfig) -> None:
        self.scene, self.hour = Scene(config, actuator), 0.0

    def step(self, *answers: Answer, **more: Any) -> Any:
        """What is in force after it."""
        sites = dict(zip(("d/1", "d/2"), answers, strict=False))
        about = {"interval_s": 3600.0, "sites": sites, "quantiles": QUANTILES, "hour": self.hour, "weekday": 2.0}
        scene = self.scene
        scene.decider.decide(Answers(**{**about, **more}), scene.ledger.now(), model="m 1.0.0", why_none=None)
        scene.wait(3600)
        self.hour = (self.hour + 1) % 24
        return scene.decider.in_force


# --- probabilities ----------------------------------------------------------------------------------------------


def test_probabilities_are_the_quantiles_own_and_linear_between_them() -> None:
    band = (10.0, 20.0, 40.0)
    for threshold, over in ((10, 0.9), (15, 0.7), (20, 0.5), (30, 0.3), (40, 0.1), (45, 0.0), (7.5, 1.0)):
        assert exceedance(QUANTILES, band, threshold) == pytest.approx(over, abs=1e-9)
    for p in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert exceedance(QUANTILES, band, value_at(QUANTILES, band, p)) == pytest.approx(1 - p)
    assert exceedance(QUANTILES, (40.0, 20.0, 10.0), 20) == pytest.approx(0.5)  # bands that cross are sorted
    assert [exceedance(QUANTILES, (5.0, 5.0, 5.0), t) for t in (4, 6)] == [1.0, 0.0]


# --- environment ------------------------------------------------------------------------------------------------


def test_a_warning_comes_before_the_threshold_names_when_and_how_sure_and_falls_later_than_it_rose() -> None:
    levels = [{"above": 75.0, "name": "smog", "level": 2}]
    settings = {"levels": levels, "within": 4, "likely": 0.6, "unlikely": 0.3}
    hours = Hours(task("threshold_warning", SCORE, settings=settings), PEOPLE)
    hours.hour = 14.0
    assert hours.step(ahead(30, 40, 60, 70)) is None
    notice = hours.step(ahead(40, 60, 70, 79))
    assert notice == Notice("threshold", 2, "d/1: smog (75) by 19:00, probability 66 %", 79)
    assert hours.step(ahead(60, 68, 72, 60)) == notice  # 38 %
    assert hours.step(ahead(50, 60, 60, 60)) is None
    assert [a.level for a in hours.scene.carried if isinstance(a, Notice)] == [2, 0]


@pytest.mark.parametrize("name", threshold_warning.TABLES)
def test_tables_rise_and_each_of_their_levels_is_told(name: str) -> None:
    for level in threshold_warning.TABLES[name]:
        hours = Hours(task("threshold_warning", SCORE, settings={"table": name}), PEOPLE)
        notice = hours.step(ahead(level.above + 0.05, spread=0.01))
        assert (notice.level, level.name in notice.text) == (level.level, True)


def test_equipment_runs_before_the_threshold_is_passed_and_until_after() -> None:
    settings = {"threshold": 75, "within": 2, "on_probability": 0.5, "off_probability": 0.2}
    hours = Hours(task("abatement", settings=settings), HEATER)
    measured = [40, 55, 70, 80, 78, 70, 50, 40]
    on = []
    for t, now in enumerate(measured):
        coming = [*measured, 40, 40][t + 1 : t + 3]
        on.append(hours.step(ahead(*coming, now=now)) == Setpoint(1.0))
    assert on == [False, True, True, True, True, False, False, False]
    assert measured[on.index(True)] < 75


# --- energy -----------------------------------------------------------------------------------------------------


def plan_of(
    config: TaskConfig, loads: list[float], ran_h: float = 0.0, left_h: float = 24, hour: float = 6.0
) -> list[int]:
    limits = boiler(by="06:00", must_run_s=4 * 3600)
    settings = policies.choose(config, limits).settings
    answers = Answers(
        3600, {"d/1": ahead(*loads)}, QUANTILES, hour=hour, weekday=2.0, running=Running(ran_h * 3600, left_h * 3600)
    )
    seen = load_shift.read(answers, settings)  # type: ignore[arg-type]
    assert seen is not None
    return [round((k + hour) % 24) for k in load_shift.plan(seen, settings, limits).chosen]  # type: ignore[arg-type]


CHEAP = {
    "tariffs": [{"from": "22:00", "to": "05:00", "price": 0.1}, {"from": "12:00", "to": "14:00", "price": 0.2}],
    "price": 0.3,
}


def test_a_load_runs_in_the_cheapest_hours_and_of_these_in_the_quietest() -> None:
    flat = [50.0] * 24
    assert plan_of(task("load_shift", settings=CHEAP), flat) == [22, 23, 0, 1]
    busy = [50.0] * 16 + [90, 90] + [50.0] * 6
    assert plan_of(task("load_shift", settings=CHEAP), busy) == [0, 1, 2, 3]
    assert plan_of(task("load_shift", settings={"prefer": "quiet"}), busy) == [6, 7, 8, 9]


def test_the_upper_quantile_stays_under_the_cap_and_what_has_run_is_not_run_again() -> None:
    loads = [50.0] * 16 + [90, 90, 50, 50, 50, 50, 50, 50]
    capped = task("load_shift", settings=CHEAP | {"cap": 100, "power": 35})
    assert plan_of(capped, loads) == [0, 1, 2, 3]  # 50 + 10 + 35 is under it, 90 is not
    assert plan_of(task("load_shift", settings=CHEAP | {"cap": 90, "power": 35}), loads) == []
    assert plan_of(capped, loads, ran_h=3) == [0]
    assert plan_of(capped, loads, ran_h=4) == []


def test_a_tariff_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    tariff = load_shift.Tariff(from_="22:00", to="06:00", days=("fri",), price=1.0)
    assert [tariff.covers(day, hour) for day, hour in ((4, 23), (5, 3), (5, 23), (4, 3))] == [True, True, False, False]


def test_over_a_day_the_load_runs_in_the_hours_that_were_chosen_and_meets_its_deadline() -> None:
    limits = boiler(by="06:00", must_run_s=4 * 3600)
    hours = Hours(task("load_shift", settings=CHEAP), limits)
    wall_ms = hours.scene.ledger.now().wall_ms
    assert wall_ms is not None
    start = wall_ms / 3_600_000 % 24
    hours.scene.wait((24 - start + 6) * 3600)
    hours.hour = 6.0
    ran = [round(hours.hour) for _ in range(24) if hours.step(ahead(*[50.0] * 24)) == Setpoint(1.0)]
    assert [(h - 1) % 24 for h in ran] == [22, 23, 0, 1]


def test_waste_and_fault_are_told_on_their_own_side_with_what_was_expected() -> None:
    for direction, value, told in (
        ("above", 41.0, True),
        ("above", 3.0, False),
        ("below", 3.0, True),
        ("below", 41.0, False),
    ):
        settings = {"direction": direction, "topic": direction}
        hours = Hours(task("incident_notice", SCORE, settings=settings), PEOPLE)
        notice = hours.step(ahead(22.0, now=value, residual=5.0, expected=22.0), unit="kW")
        assert (notice is not None) is told
        if told:
            detail = hours.scene.decisions[0]
            assert (detail["measured"], detail["expected"], detail["unit"]) == (value, 22.0, "kW")


# --- traffic ----------------------------------------------------------------------------------------------------


def test_an_incident_names_its_lane_and_since_when_also_where_the_alarm_comes_later() -> None:
    settings = {"warn_above": 4, "alarm_above": 8, "end_below": 2}
    hours = Hours(task("incident_notice", SCORE, kind="score", settings=settings), PEOPLE)
    hours.hour = 12.0
    quiet = Answer(1.0, Quality.GOOD, score=1.0)
    hours.step(quiet)
    hours.step(Answer(1.0, Quality.GOOD, score=3.0))
    assert hours.step(Answer(1.0, Quality.GOOD, score=5.0)).text == "unusual since 12:00: d/1 (score 5.0)"
    assert hours.step(Answer(1.0, Quality.GOOD, score=9.0)).text == "unusual since 12:00: d/1 (score 9.0)"
    again = Hours(task("incident_notice", SCORE, kind="score", settings=settings), PEOPLE)
    again.hour = 15.0
    for score in (5.0, 9.0):
        notice = again.step(Answer(1.0, Quality.GOOD, score=score))
    assert notice.text == "unusual since 14:00 or earlier: d/1 (score 9.0)"


def test_the_levels_of_a_models_own_alarm_stage_are_the_notices() -> None:
    hours = Hours(task("incident_notice", SCORE, kind="score", settings={"warn_above": 4}), PEOPLE)
    levels = []
    for score, alarm in ((9.0, 0), (3.0, 1), (3.5, 2), (9.0, 2), (9.0, 0)):
        notice = hours.step(Answer(1.0, Quality.GOOD, score=score, alarm=alarm))
        levels.append(notice.level if notice else 0)
    assert levels == [0, 2, 3, 3, 0]
    assert "the model's own alarm stage says level" in str(hours.scene.decisions[0]["because"])


# --- safety -----------------------------------------------------------------------------------------------------


def sight(counts: dict[str, float], by_head: Any = None) -> Answer:
    return Answer(None, Quality.GOOD, counts=counts, by_head=by_head)


def test_a_stopped_vehicle_is_told_after_so_many_steps_in_a_row_and_over_when_it_has_gone() -> None:
    settings = {"stopped_class": "car", "share": 0.8, "steps": 3}
    hours = Hours(task("picture_notice", SCORE, kind="classify", settings=settings), PEOPLE)
    seen = [0.9, 0.9, 0.5, 0.9, 0.9, 0.85, 0.9, 0.2]
    levels = [n.level if (n := hours.step(sight({"car": s}))) else 0 for s in seen]
    assert levels == [0, 0, 0, 0, 0, 2, 2, 0]
    told = [a for a in hours.scene.carried if isinstance(a, Notice)]
    assert told[0] == Notice("stopped", 2, "d/1: car stands there, seen in 85 % of the frames", 0.85)
    assert (told[1].level, told[1].text) == (0, "not seen any more")


def test_a_step_without_frames_breaks_the_row() -> None:
    hours = Hours(
        task("picture_notice", SCORE, kind="count", settings={"of_class": "car", "capacity": 8, "steps": 2}), PEOPLE
    )
    for answer in (sight({"car": 9.0}), Answer(None, Quality.MISSING), sight({"car": 9.0})):
        assert hours.step(answer) is None
    assert hours.step(sight({"car": 11.0})).text == "d/1: 11.0 car, the capacity is 8"


@pytest.mark.parametrize(
    ("head", "topic"),
    [
        ({"green": {"red": 9.0, "green": 1.0}}, "contrary"),
        ({"green": {"dark": 9.0, "green": 1.0}}, "dark"),
        ({"green": {"green": 9.0, "red": 1.0}}, None),
        ({"yellow": {"green": 10.0}}, None),  # nobody says what is right for it
        ({"dark": {"dark": 10.0}}, None),
        ({"unknown": {"red": 10.0}}, None),
        ({"green": {"red": 3.0}}, None),  # too few frames
    ],
)
def test_a_signal_that_is_dark_or_contrary_to_what_the_board_drives_is_an_alarm(head: Any, topic: str | None) -> None:
    settings = {"shows": {"green": ["green"], "red": ["red"], "dark": ["dark"]}, "steps": 2}
    hours = Hours(task("picture_notice", SCORE, kind="classify", settings=settings), PEOPLE)
    hours.step(sight({"red": 1.0}, head))
    notice = hours.step(sight({"red": 1.0}, head))
    assert (notice.topic if notice else None) == topic
    assert notice is None or notice.level == 3


# --- health -----------------------------------------------------------------------------------------------------


def test_a_full_forecourt_is_told_with_its_probability_and_who_has_room() -> None:
    sites = tuple(SiteConfig(output=s.output, constants={"places": p}) for s, p in zip(SITES, (30, 60), strict=True))
    hours = Hours(task("capacity_notice", SCORE, sites=sites, settings={"hours": 3, "watch": ["d/1"]}), PEOPLE)
    calm, busy = ahead(6, 6, 6, spread=2), ahead(11, 11, 11, spread=2)
    assert hours.step(calm, calm) is None
    notice = hours.step(busy, calm)
    assert notice == Notice("capacity", 2, "d/1: 33 expected in 3 h, 30 places (probability 70 %); room at d/2", 33)
    assert hours.step(ahead(10, 10, 10, spread=2), busy) == notice  # 50 %, over 30
    assert hours.step(calm, calm) is None


# --- each domain, with something taken away ---------------------------------------------------------------------

NEEDS_NO_DEADLINE = boiler(by="06:00", needs_clock=True)
DOMAINS = [
    (task("load_shift", settings=CHEAP | {"hours": 24}), NEEDS_NO_DEADLINE, ahead(*[50.0] * 24)),
    (task("abatement", settings={"threshold": 10}), HEATER, ahead(50, 50)),
    (task("threshold_warning", SCORE, settings={}), PEOPLE, ahead(*[500.0] * 6)),
    (
        task("picture_notice", SCORE, kind="classify", settings={"stopped_class": "car", "steps": 1}),
        PEOPLE,
        sight({"car": 1.0}),
    ),
    (
        task(
            "capacity_notice",
            SCORE,
            sites=(SiteConfig(output="d/1", constants={"places": 3}),),
            settings={"hours": 1},
        ),
        PEOPLE,
        ahead(50),
    ),
    (task("incident_notice", SCORE, kind="score"), PEOPLE, Answer(1.0, Quality.GOOD, score=9.0)),
]


@pytest.mark.parametrize(("config", "actuator", "answer"), DOMAINS, ids=lambda c: getattr(c, "policy", ""))
@pytest.mark.parametrize("away", ["model", "sensor", "clock"])
def test_without_model_sensor_or_clock_the_actuator_is_safe(
    config: TaskConfig, actuator: ActuatorConfig, answer: Answer, away: str
) -> None:
    hours = Hours(config, actuator)
    assert hours.step(answer) is not None
    match away:
        case "model":
            left = hours.step(Answer(answer.value, Quality.GOOD))
        case "sensor":
            left = hours.step(Answer(None, Quality.STALE))
        case "clock":
            left = hours.step(answer, clock_known=False, hour=None, weekday=None)
    if away == "clock" and actuator is PEOPLE:
        assert left is not None  # what is told needs no time of day
        return
    assert left is None
    carried = hours.scene.carried[-1]
    assert carried is None or (isinstance(carried, Notice) and carried.level == 0)
    assert hours.scene.verdicts[-1] == "held"
