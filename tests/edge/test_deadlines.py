"""A load's limits: it rests and runs long enough, not too long, and has run by its deadline, whoever is away."""

from __future__ import annotations

import json
import math
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.edge.scripted_policy import TASK, scripted
from tests.edge.test_decisions import BOOT, Scene
from tests.edge.test_guard import judge
from wayside.contracts.action import Action, Running, Setpoint
from wayside.contracts.actuator_config import RegisterTarget, SetpointConfig
from wayside.contracts.mistakes import BrokenRulesError
from wayside.contracts.reading import ClockState, Stamp
from wayside.edge.clock import Wall
from wayside.edge.decisions import DEADLINE_MISSED, Decider
from wayside.edge.guard.pace import Pace
from wayside.edge.guard.verdict import Situation

H = 3600.0


def boiler(**more: Any) -> SetpointConfig:
    basis: dict[str, Any] = {"low": 0, "high": 1, "safe": 0, "needs_clock": False}
    return SetpointConfig(name="boiler", register=RegisterTarget(device=1, address=0), **{**basis, **more})


class Day:
    """A boiler in simulated time, looked at once a minute; its policy proposes what a test says."""

    def __init__(self, limits: SetpointConfig, policy: Any) -> None:
        self.limits, self.policy = limits, policy
        self.scene = Scene(TASK, limits)
        self.ran_s, self.clock_known = 0.0, True
        self.begin()

    def begin(self) -> None:
        self.scene.decider = Decider(
            TASK, self.limits, self.scene.carried.append, self.scene.ledger, pace=Pace(self.limits)
        )

    @property
    def value(self) -> float:
        action = self.scene.decider.in_force
        return action.value if isinstance(action, Setpoint) else self.limits.safe

    @property
    def hour(self) -> float:
        wall_ms = self.scene.ledger.now().wall_ms
        assert wall_ms is not None
        return wall_ms / 3_600_000 % 24

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.scene.wait(60)
            self.ran_s += 60 * (self.value > self.limits.idles_at)
            self.scene.decider.pass_time()

    def until(self, hour: int) -> None:
        self.minutes(1)
        while round(self.hour * 60) % 1440 != hour * 60:
            self.minutes(1)

    def propose(self, value: float | None, **doubt: Any) -> None:
        self.policy.proposal = None if value is None else Setpoint(value)
        self.scene.forecast(1.0, 1.0, **doubt)

    def step_without_model(self) -> None:
        self.scene.forecast(None, None, why_none="no model, because none has come")


NEEDS = {"by": "06:00", "must_run_s": 4 * H}


@pytest.mark.parametrize("away", ["model", "policy says off", "policy fails", "sensor", "everything"])
def test_a_load_has_run_by_its_deadline_whoever_is_away(away: str) -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS, min_off_s=900, min_on_s=900), policy)
        day.until(6)
        day.ran_s = 0.0
        for _ in range(24):
            match away:
                case "model":
                    day.step_without_model()
                case "policy says off":
                    day.propose(0.0)
                case "policy fails":
                    policy.proposal = ValueError("boom")
                    day.scene.forecast(1.0, 1.0)
                case "sensor":
                    day.propose(0.0, fresh=False)
            day.minutes(60)
        assert round(day.hour) == 6
        assert 4 * H <= day.ran_s <= 4 * H + 180
        assert not day.scene.ledger.holds(DEADLINE_MISSED, "boiler")
        driven = [d for d in day.scene.decisions if d["verdict"] == "driven"]
        assert "it has to run for 14400 s more by 06:00" in driven[0]["why"]


def test_what_has_run_already_is_not_run_again() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS), policy)
        day.until(6)
        day.propose(1.0)
        day.minutes(3 * 60)
        day.propose(0.0)
        day.ran_s = 0.0
        day.until(6)
        assert H <= day.ran_s <= H + 180


def test_an_off_that_would_miss_the_deadline_is_refused_and_the_load_runs_on() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS, min_off_s=3600), policy)
        day.until(1)
        day.propose(1.0)
        day.minutes(30)
        day.propose(0.0)
        assert day.scene.verdicts[-2:] == ["refused", "held"]
        assert "has to run for 12600 s more by 06:00, 16180 s are left" in day.scene.decisions[-2]["why"]
        assert "it cannot rest now" in day.scene.decisions[-2]["why"]
        assert day.value == 1.0


def test_a_doubt_does_not_stop_a_load_whose_last_moment_has_come() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS), policy)
        day.until(3)
        assert day.value == 1.0
        day.step_without_model()
        assert day.value == 1.0
        day.propose(0.0, fresh=False)
        assert day.value == 1.0


def test_with_an_unknown_clock_nothing_is_run_and_it_is_told_until_the_clock_is_there() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS), policy)
        with mock.patch.object(day.scene.clock, "wall", lambda _: Wall(None, ClockState.UNKNOWN, None)):
            day.minutes(26 * 60)
        assert day.ran_s == 0.0
        (condition,) = day.scene.ledger.conditions()
        assert (condition.code, condition.subject, condition.severe) == (DEADLINE_MISSED, "boiler", False)
        assert "the clock is not known, so nobody can tell when it is 06:00: nothing runs for it" in condition.message
        day.until(6)
        day.minutes(1)
        assert not day.scene.ledger.holds(DEADLINE_MISSED, "boiler")


def test_a_deadline_that_cannot_be_met_any_more_is_told_and_over_with_the_next_day() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS), policy)
        day.until(1)
        day.scene.wait(3 * H)  # a power cut
        day.minutes(2)
        assert (
            "it cannot run any more for the 14400 s that it must by 06:00" in day.scene.ledger.conditions()[0].message
        )
        assert day.value == 1.0  # what can be done is done
        day.until(6)
        day.minutes(1)
        assert not day.scene.ledger.holds(DEADLINE_MISSED, "boiler")
        assert day.value == 0.0


def test_a_load_runs_no_longer_a_day_than_it_may_though_nobody_says_so() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(max_run_s=2 * H), policy)
        day.propose(1.0)
        day.minutes(5 * 60)
        assert day.ran_s == 2 * H
        assert "it has run for 7200 s within a day, as long as it may" in day.scene.decisions[-1]["why"]
        day.propose(1.0)
        assert "has run for 7200 s within a day, at most 7200 s" in day.scene.decisions[-2]["why"]
        day.minutes(20 * 60)
        day.propose(1.0)
        assert day.value == 1.0  # a day later it may again


def test_books_outlive_a_restart() -> None:
    with scripted(Setpoint) as policy:
        day = Day(boiler(**NEEDS, max_run_s=9 * H, min_off_s=900), policy)
        day.until(6)
        day.minutes(15)
        day.propose(1.0)
        day.minutes(3 * 60)
        kept = json.loads(json.dumps(day.scene.decider.state()))
        day.begin()
        day.scene.decider.restore(kept)
        assert day.value == 0.0
        day.propose(1.0)
        assert "runs again after 0 s, has to rest for 900 s" in day.scene.decisions[-2]["why"]
        day.ran_s = 0.0
        day.until(6)
        assert H <= day.ran_s <= H + 180


def test_running_of_another_boot_is_counted_by_the_wall_clock() -> None:
    limits = boiler(**NEEDS)
    ms = 1_704_067_200_000 + 10 * 3_600_000  # 10 o'clock

    def at(boot: str, hours: float) -> Stamp:
        return Stamp(
            boot=boot, mono_ns=int((hours + 1) * H * 1e9), wall_ms=ms + int(hours * H * 1000), clock=ClockState.NTP
        )

    pace = Pace(limits)
    pace.set(1.0, at(BOOT, 0))
    pace.set(0.0, at(BOOT, 2))
    kept = json.loads(json.dumps(pace.state(at(BOOT, 3))))
    again = Pace(limits)
    now = at("1" * 32, 5)
    again.restore(kept, now)
    running = again.running(now)
    assert running is not None
    assert (running.ran_s, running.left_s) == (2 * H, 15 * H)


def test_a_deadline_is_local_also_in_the_night_in_which_the_clocks_change() -> None:
    pace = Pace(boiler(**NEEDS), "Europe/Berlin")
    night = 1_711_843_200_000  # 2024-03-31 00:00 UTC, 01:00 in Berlin; at 02:00 it is 03:00
    running = pace.running(Stamp(boot=BOOT, mono_ns=0, wall_ms=night, clock=ClockState.NTP))
    assert running is not None
    assert running.left_s == 4 * H


def test_what_a_load_needs_is_checked_when_the_file_is_read() -> None:
    for more, says in (
        ({"must_run_s": 3600}, "needs a deadline"),
        ({"by": "06:00", "must_run_s": 82_000, "min_off_s": 900}, "with min_off_s it is at most"),
        ({**NEEDS, "max_run_s": 3600}, "must_run_s <= max_run_s"),
        ({**NEEDS, "max_change": 0.5}, "is switched on at once"),
        ({"max_run_s": 3600, "safe": 1}, "the safe value runs"),
        ({"idle": 1}, "low <= idle < high"),
    ):
        with pytest.raises(BrokenRulesError, match=says):
            boiler(**more)


@pytest.mark.parametrize(
    ("proposal", "situation", "says"),
    [
        (1.0, Situation(None, turned_s=100.0), "runs again after 100 s, has to rest for 900 s"),
        (0.0, Situation(Setpoint(1.0), turned_s=100.0), "stops after 100 s, has to run for 600 s"),
        (1.0, Situation(None, run_s=7000.0), "has run for 7000 s within a day, at most 7200 s"),
        (
            0.0,
            Situation(Setpoint(1.0), running=Running(0.0, 8000.0)),
            "has to run for 7200 s more by 06:00, 8000 s are left",
        ),
    ],
)
def test_a_refused_load_is_told_what_and_which_limit(proposal: float, situation: Situation, says: str) -> None:
    limits = boiler(by="06:00", must_run_s=7200, max_run_s=7200, min_on_s=600, min_off_s=900)
    (reason,) = judge(Setpoint(proposal), limits, situation).reasons
    assert says in reason


class LoadKeepsItsBooks(RuleBasedStateMachine):
    """No sequence of proposals, doubts, waits and restarts runs a load too long, or starts it before it has rested."""

    LIMITS = boiler(by="06:00", must_run_s=2 * H, max_run_s=3 * H, min_on_s=600, min_off_s=900)

    def __init__(self) -> None:
        super().__init__()
        self.patch = scripted(Setpoint)
        self.day = Day(self.LIMITS, self.patch.__enter__())
        self.spans: list[list[float]] = []  # on, off
        self.day.scene.carried = _Told(self.carry)  # type: ignore[assignment]
        self.day.begin()

    def teardown(self) -> None:
        self.patch.__exit__(None, None, None)

    def carry(self, action: Action | None) -> None:
        now = self.day.scene.clock.now_ns / 1e9
        on = isinstance(action, Setpoint) and action.value > 0
        running = bool(self.spans) and math.isinf(self.spans[-1][1])
        if on and not running:
            assert not self.spans or now - self.spans[-1][1] >= 900
            self.spans.append([now, math.inf])
        elif not on and running:
            self.spans[-1][1] = now

    @rule(value=st.sampled_from([0.0, 1.0, 1.0, 0.5, math.nan]), fresh=st.sampled_from([True, True, False]))
    def step(self, value: float, fresh: bool) -> None:
        self.day.propose(value, fresh=fresh)

    @rule(minutes=st.sampled_from([1, 9, 10, 15, 60, 300]))
    def wait(self, minutes: int) -> None:
        self.day.minutes(minutes)

    @rule()
    def no_model(self) -> None:
        self.day.step_without_model()

    @rule()
    def restart(self) -> None:
        kept = json.loads(json.dumps(self.day.scene.decider.state()))
        self.day.begin()
        self.day.scene.decider.restore(kept)
        self.carry(None)

    @invariant()
    def it_ran_no_longer_than_it_may(self) -> None:
        now = self.day.scene.clock.now_ns / 1e9
        ran = sum(max(0.0, min(off, now) - max(on, now - 86_400)) for on, off in self.spans)
        assert ran <= 3 * H + 60


class _Told(list):  # type: ignore[type-arg]
    def __init__(self, carry: Any) -> None:
        super().__init__()
        self.append = carry  # type: ignore[method-assign]


TestLoadKeepsItsBooks = LoadKeepsItsBooks.TestCase
TestLoadKeepsItsBooks.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
