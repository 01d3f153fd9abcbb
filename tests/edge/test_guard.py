"""No action that the guard allows breaks a limit, whatever was proposed."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts.action import Action, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import (
    ActuatorConfig,
    NoticeConfig,
    PhaseLimits,
    RegisterTarget,
    SetpointConfig,
    SignalConfig,
)
from wayside.edge.guard.check import check as judge
from wayside.edge.guard.signal import check
from wayside.edge.guard.verdict import Situation

SIGNAL = SignalConfig(
    name="signal",
    cycle_s=90,
    max_change_s=10,
    phases=tuple(
        PhaseLimits(
            phase=p,
            green_s=g,
            min_green_s=low,
            max_green_s=high,
            yellow_s=4,
            red_clearance_s=1.5,
            ring=1 if p < 5 else 2,
        )
        for p, g, low, high in ((2, 48, 10, 65), (4, 31, 7, 45), (6, 50, 10, 65), (8, 29, 7, 45))
    ),
)
FIXED = {p.phase: p.green_s for p in SIGNAL.phases}
greens = st.floats() | st.floats(5, 70) | st.sampled_from([7.0, 10.0, 29.0, 31.0, 45.0, 48.0, 50.0, 65.0])
proposals = st.dictionaries(st.sampled_from([1, 2, 4, 6, 8]), greens)


@given(proposals, st.none() | st.just(FIXED), st.booleans(), st.booleans())
def test_an_allowed_plan_keeps_every_limit(
    proposal: dict[int, float], last: dict[int, float] | None, quality: bool, clock: bool
) -> None:
    if not check(proposal, SIGNAL, last=last, quality_ok=quality, clock_known=clock).allowed:
        return
    assert quality
    assert clock
    assert proposal.keys() == FIXED.keys()
    for limit in SIGNAL.phases:
        green = proposal[limit.phase]
        assert limit.min_green_s <= green <= limit.max_green_s
        assert last is None or abs(green - last[limit.phase]) <= SIGNAL.max_change_s + 1e-6
    for ring in (1, 2):
        total = sum(proposal[p.phase] + p.yellow_s + p.red_clearance_s for p in SIGNAL.phases if p.ring == ring)
        assert math.isclose(total, SIGNAL.cycle_s, abs_tol=0.11)


@given(st.floats(-9, 9))
def test_a_shift_between_two_phases_within_the_limits_is_allowed(shift: float) -> None:
    plan = FIXED | {2: 48 + shift, 4: 31 - shift}
    assert check(plan, SIGNAL, last=FIXED, quality_ok=True, clock_known=True).allowed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({2: 72.0, 4: 7.0}, "over the maximum 65.0"),
        ({2: 75.0, 4: 4.0}, "under the minimum 7.0"),
        ({2: 49.0}, "ring 1 sums to 91.0 s"),
        ({2: math.nan}, "not a number"),
        ({1: 10.0}, "phase 1 is not of this intersection"),
        ({2: 60.0, 4: 19.0}, "changes by 12.0 s"),
    ],
)
def test_a_refusal_names_the_phase_and_the_limit(change: dict[int, float], says: str) -> None:
    verdict = check(FIXED | change, SIGNAL, last=FIXED, quality_ok=True, clock_known=True)
    assert not verdict.allowed
    assert any(says in reason for reason in verdict.reasons), verdict


def test_a_phase_without_green_is_refused() -> None:
    plan = {k: v for k, v in FIXED.items() if k != 8}
    assert "phase 8 gets no green" in check(plan, SIGNAL, last=None, quality_ok=True, clock_known=True).reasons


def test_doubtful_readings_and_an_unknown_clock_hold_the_fixed_plan() -> None:
    assert not check(FIXED, SIGNAL, last=None, quality_ok=False, clock_known=True).allowed
    assert not check(FIXED, SIGNAL, last=None, quality_ok=True, clock_known=False).allowed


def test_the_first_plan_is_judged_against_the_fixed_one_that_the_board_follows() -> None:
    (reason, _) = judge(Greens(FIXED | {2: 60.0, 4: 19.0}), SIGNAL, Situation(None)).reasons
    assert reason == "phase 2: green changes by 12.0 s, over 10.0 s at once"


# --- set-points and notices: every combination against the rules, said otherwise --------------------------------

HEATER = SetpointConfig(
    name="heater",
    register=RegisterTarget(device=1, address=0, table="holding", scale=0.5, offset=0),
    low=10,
    high=30,
    safe=12,
    max_change=5,
    min_hold_s=60,
    max_changes_per_day=3,
)
NAN = math.nan


@pytest.mark.parametrize("needs_clock", [True, False])
def test_a_set_point_is_allowed_exactly_where_every_rule_is_kept(needs_clock: bool) -> None:
    limits = msgspec.structs.replace(HEATER, needs_clock=needs_clock)
    seen = Counter[bool]()
    for value, now, held_s, changes, fresh, answered, clock in itertools.product(
        [NAN, math.inf, -math.inf, 9.9, 10.0, 12.0, 17.0, 17.1, 30.0, 30.1],
        [None, 10.0, 12.0, 25.0, 30.0],
        [None, 0.0, 59.9, 60.0],
        [0, 2, 3, 4],
        [True, False],
        [True, False],
        [True, False],
    ):
        in_force = None if now is None else Setpoint(now)
        verdict = judge(Setpoint(value), limits, Situation(in_force, fresh, answered, clock, held_s, changes))
        before = 12.0 if now is None else now
        sound = value in (10.0, 12.0, 17.0, 17.1, 30.0) and fresh and answered and (clock or not needs_clock)
        paced = value == before or (abs(value - before) <= 5 and held_s in (None, 60.0) and changes in (0, 2))
        assert verdict.allowed is (sound and paced), (verdict, value, now, held_s, changes)
        assert verdict.pace_only is (sound and not paced)
        assert all(reason.strip() for reason in verdict.reasons)
        seen[verdict.allowed] += 1
    assert min(seen[True], seen[False]) > 50


def test_a_set_point_that_its_register_cannot_hold_is_refused() -> None:
    relay = SetpointConfig(name="relay", register=RegisterTarget(device=1, address=0), low=0, high=1, safe=0)
    assert judge(Setpoint(0.5), relay, Situation(None)).reasons == ("0.5 cannot be written to a coil",)
    assert judge(Setpoint(1.0), relay, Situation(None)).allowed


@pytest.mark.parametrize(
    ("proposal", "situation", "says"),
    [
        (Setpoint(NAN), Situation(None), "the value is not a number"),
        (Setpoint(31.0), Situation(Setpoint(30.0)), "31 is outside 10 to 30"),
        (Setpoint(20.0), Situation(None), "changes by 8, over 5 at once"),
        (Setpoint(13.0), Situation(None, held_s=1.0), "changes after 1 s, has to stay for 60 s"),
        (Setpoint(13.0), Situation(None, changes=3), "changed 3 times in a day, at most 3"),
        (Setpoint(13.0), Situation(None, clock_known=False), "the clock is not known: the safe value 12 holds"),
        (Setpoint(13.0), Situation(None, fresh=False), "stale or doubtful: the safe value 12 holds"),
    ],
)
def test_a_refused_set_point_is_told_what_and_which_limit(proposal: Setpoint, situation: Situation, says: str) -> None:
    (reason,) = judge(proposal, HEATER, situation).reasons
    assert says in reason


def test_a_notice_is_allowed_exactly_where_every_rule_is_kept() -> None:
    limits = NoticeConfig(name="people", at_most_per_h=2)
    same = Notice("t", 2, "one")
    seen = Counter[bool]()
    for topic, level, text, value, in_force, fresh, changes in itertools.product(
        ["", "t", "t" * 64, "t" * 65],
        [-1, 0, 1, 2, 3, 4],
        ["", "  ", "one", "x" * 200, "x" * 201],
        [None, 1.0, NAN],
        [None, same],
        [True, False],
        [0, 1, 2, 3],
    ):
        notice = Notice(topic, level, text, value)
        verdict = judge(notice, limits, Situation(in_force, fresh=fresh, changes=changes))
        sound = topic in ("t", "t" * 64) and level in (0, 1, 2, 3) and text != "x" * 201 and value in (None, 1.0)
        sound = sound and (level == 0 or (fresh and text in ("one", "x" * 200)))
        paced = level == 0 or notice == in_force or changes < 2
        assert verdict.allowed is (sound and paced), (verdict, notice)
        assert verdict.pace_only is (sound and not paced)
        seen[verdict.allowed] += 1
    assert min(seen[True], seen[False]) > 50


@pytest.mark.parametrize("limits", [SIGNAL, HEATER, NoticeConfig(name="people")], ids=lambda c: c.name)
@pytest.mark.parametrize("action", [Greens(FIXED), Setpoint(12.0), Notice("t", 2, "x")], ids=lambda a: type(a).__name__)
def test_an_action_is_allowed_only_at_an_actuator_of_its_kind(limits: ActuatorConfig, action: Action) -> None:
    fits = {"signal": Greens, "heater": Setpoint, "people": Notice}[limits.name] is type(action)
    assert judge(action, limits, Situation(None)).allowed is fits
