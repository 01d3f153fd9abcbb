"""The guard's runner of a beat policy: what of its wishes reaches the board, and when none does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts.actuator_config import LoopConfig, PhaseLimits, SignalConfig
from wayside.contracts.beat import Ask, Head, Known, Loop, Maxima, Request, Shows, Walk
from wayside.edge.guard.beat import ASKED_AT_MOST, FAILURES, BeatRunner
from wayside.edge.guard.signal import Rule
from wayside.edge.guard.standing import A_MINUTE
from wayside.edge.guard.tally import State

GREEN, RED = Shows.GREEN, Shows.RED
Answer = Callable[[int, Mapping[int, Head]], Sequence[Any]]


def phase(number: int, **other: Any) -> PhaseLimits:
    return PhaseLimits(
        phase=number,
        **{
            "green_s": 26.0,
            "min_green_s": 8.0,
            "max_green_s": 45.0,
            "yellow_s": 3.0,
            "red_clearance_s": 1.0,
            **other,
        },
    )


SIGNAL = SignalConfig(
    name="signal",
    cycle_s=60,
    phases=(phase(2, walk_s=5.0, ped_clearance_s=8.0), phase(4)),
    loops=(LoopConfig(channel=1, phase=2, lane=0, at_m=3), LoopConfig(channel=2, phase=4, lane=1, at_m=3)),
    longest_red_s=100,
)
LOOPS = {1: Loop(), 2: Loop()}


class Policy:
    """Asks for what ``answer`` says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.begun = 0

    def begin(self, settings: Any, limits: Any) -> dict[str, int]:
        self.begun += 1
        return {}

    def step(self, now_ms: int, heads: Any, loops: Any, known: Known, memory: Any) -> Sequence[Any]:
        return self.answer(now_ms, heads)


def runner(answer: Answer, **other: Any) -> BeatRunner:
    return BeatRunner(Policy(answer), None, SIGNAL, **{"compare": False, **other})


def heads(two: Head, four: Head = Head()) -> dict[int, Head]:  # noqa: B008
    return {2: two, 4: four}


def always(*asked: Any) -> Answer:
    return lambda _ms, _heads: asked


def rules(step: Any) -> list[Rule]:
    return [each.rule for each in step.refused]


HOLD, END = Request(Ask.HOLD, 2), Request(Ask.FORCE_OFF, 2)


def test_what_is_within_the_limits_is_sent() -> None:
    step = runner(always(HOLD, Request(Ask.CALL, 4))).step(10_000, heads(Head(GREEN, 0)), LOOPS)
    assert (step.state, list(step.send), step.refused) == (State.IN_FORCE, [HOLD, Request(Ask.CALL, 4)], [])


@pytest.mark.parametrize(
    ("asked", "two", "rule"),
    [
        (Request(Ask.HOLD, 7), Head(GREEN, 0), Rule.PHASE),
        (HOLD, Head(RED, 0), Rule.NOT_GREEN),
        (END, Head(RED, 0), Rule.NOT_GREEN),
        (END, Head(GREEN, 5_000), Rule.MINIMUM),
        (END, Head(GREEN, 0, Walk.CLEARANCE), Rule.PEDESTRIAN),
        (Request(Ask.PED_CALL, 4), Head(GREEN, 0), Rule.PEDESTRIAN),
        (Request(Ask.OMIT, 2), Head(RED, 0, ped_called=True), Rule.PEDESTRIAN),
        (Maxima({2: 46.0}), Head(GREEN, 0), Rule.MAXIMUM),
        (Maxima({2: 7.0}), Head(GREEN, 0), Rule.MINIMUM),
        (Maxima({2: 12.9}), Head(GREEN, 0), Rule.PEDESTRIAN),
        (Maxima({2: math.nan}), Head(GREEN, 0), Rule.NONSENSE),
        (Maxima({2: "40"}), Head(GREEN, 0), Rule.NONSENSE),  # type: ignore[dict-item]
        (Maxima({9: 20.0}), Head(GREEN, 0), Rule.PHASE),
    ],
)
def test_what_breaks_a_limit_is_refused_and_named(asked: Any, two: Head, rule: Rule) -> None:
    step = runner(always(asked)).step(12_000, heads(two), LOOPS)
    assert not step.send
    assert rules(step)[0] is rule
    assert str(asked.phase if isinstance(asked, Request) else next(iter(asked.seconds))) in step.refused[0].why


def test_a_green_at_its_maximum_is_held_only_while_nobody_waits() -> None:
    at_maximum = Head(GREEN, 0)
    assert rules(runner(always(HOLD)).step(46_000, heads(at_maximum, Head(RED, 0, called=True)), LOOPS)) == [
        Rule.MAXIMUM
    ]
    assert list(runner(always(HOLD)).step(46_000, heads(at_maximum), LOOPS).send) == [HOLD]


def test_a_hold_is_refused_and_one_that_stands_is_released_before_somebody_waits_too_long() -> None:
    beat = BeatRunner(Policy(always(HOLD)), None, _long(), compare=False)
    sent: list[tuple[int, Any]] = []
    refused = 0
    for second in range(120):
        four = Head(RED, 0, called=second >= 5)
        step = beat.step(1000 * second, heads(Head(GREEN, 0), four), LOOPS)
        sent += [(second, each) for each in step.send]
        refused += Rule.LONGEST_RED in rules(step)
    releases = [second for second, each in sent if each == Request(Ask.RELEASE, 2)]
    assert len(releases) == 1
    assert releases[0] + 4 <= 5 + 100 < releases[0] + 8  # yellow and red clearance are still to come
    assert refused > 10
    assert beat.summary().released == 1


def _long() -> SignalConfig:
    return SignalConfig(
        name="signal",
        cycle_s=60,
        phases=(phase(2, max_green_s=300.0), phase(4)),
        loops=SIGNAL.loops,
        longest_red_s=100,
    )


def test_who_has_gone_waits_no_longer() -> None:
    """He turned on red, or went in another phase of his lane: a green is held against nobody."""
    beat = BeatRunner(Policy(always(HOLD)), None, _long(), compare=False)
    came = LOOPS | {2: Loop(occupied=True)}
    steps = [beat.step(1000 * s, heads(Head(GREEN, 0)), came if s == 5 else LOOPS) for s in range(120)]
    assert not any(Rule.LONGEST_RED in rules(step) for step in steps)
    waits = BeatRunner(Policy(always(HOLD)), None, _long(), compare=False)
    steps = [waits.step(1000 * s, heads(Head(GREEN, 0)), came) for s in range(120)]
    assert any(Rule.LONGEST_RED in rules(step) for step in steps)


def test_nobody_who_waits_is_passed_over_for_too_long() -> None:
    called = Request(Ask.CALL, 2)
    omit = Request(Ask.OMIT, 4)
    beat = runner(always(called, omit))
    first = [
        s
        for s in range(150)
        if Rule.LONGEST_RED in rules(beat.step(1000 * s, heads(Head(RED, 0), Head(RED, 0, called=True)), LOOPS))
    ]
    assert 0 < first[0] <= 100


@pytest.mark.parametrize("asked", [END, Request(Ask.OMIT, 2), Maxima({2: 20.0})])
def test_a_phase_with_a_faulty_detector_is_not_made_shorter(asked: Any) -> None:
    step = runner(always(asked)).step(12_000, heads(Head(GREEN, 0)), {1: Loop(fault=1), 2: Loop()})
    assert rules(step) == [Rule.DETECTOR]


def test_a_maximum_moves_by_no_more_than_may_change_at_once_and_gets_there() -> None:
    beat = runner(always(Maxima({2: 15.0})))
    sent = [
        (second, each.seconds[2])
        for second in range(60)
        for each in beat.step(1000 * second, heads(Head(GREEN, 0)), LOOPS).send
        if isinstance(each, Maxima)
    ]
    assert sent == [(0, 35.0), (10, 25.0), (20, 15.0)]


def test_what_stands_is_not_sent_each_second() -> None:
    beat = runner(always(HOLD))
    sent = [len(beat.step(1000 * s, heads(Head(GREEN, 0)), LOOPS).send) for s in range(11)]
    assert sent == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def test_more_than_the_line_shall_carry_in_a_minute_is_refused() -> None:
    beat = runner(always(Request(Ask.PED_CALL, 2), Request(Ask.PED_CALL, 2)))
    steps = [beat.step(1000 * s, heads(Head(GREEN, 0)), LOOPS) for s in range(60)]
    assert sum(len(step.send) for step in steps) == A_MINUTE
    assert rules(steps[-1]) == [Rule.RATE] * 2


NONSENSE = {
    "raises": lambda _ms, _heads: 1 // 0,
    "none": always(None),
    "a string": always("HOLD"),
    "no list": lambda _ms, _heads: 3,
    "another kind": always(Request(9, 2)),  # type: ignore[arg-type]
    "a phase by name": always(Request(Ask.HOLD, "2")),  # type: ignore[arg-type]
    "too much": always(*[HOLD] * (ASKED_AT_MOST + 1)),
    "for ever": lambda _ms, _heads: iter(lambda: HOLD, None),
    "changes what it sees": lambda _ms, shown: shown.clear() or (),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_policy_that_fails_loses_the_second_and_after_some_it_is_away(name: str) -> None:
    beat = runner(NONSENSE[name])
    steps = [beat.step(1000 * s, heads(Head(GREEN, 0)), LOOPS) for s in range(FAILURES + 60)]
    assert not any(step.send for step in steps)
    assert beat.failed
    assert [step.state for step in steps[: FAILURES - 1]] == [State.IN_FORCE] * (FAILURES - 1)
    assert {step.state for step in steps[FAILURES:-1]} == {State.AWAY}
    assert beat.step(10**6, heads(Head(GREEN, 0)), LOOPS).state is State.IN_FORCE  # tried again


def test_a_policy_that_is_slow_is_not_listened_to() -> None:
    now_s = [0.0]

    def slow(_ms: int, _heads: Any) -> Sequence[Any]:
        now_s[0] += 0.3
        return [HOLD]

    beat = runner(slow, timer=lambda: now_s[0])
    assert not beat.step(0, heads(Head(GREEN, 0)), LOOPS).send
    assert beat.failed is not None and "0.30 s" in beat.failed


def test_nothing_of_it_is_left_on_the_board_when_it_is_not_in_force() -> None:
    beat = runner(always(HOLD, Maxima({4: 20.0})))
    beat.step(0, heads(Head(GREEN, 0)), LOOPS)
    step = beat.step(1000, heads(Head(GREEN, 0)), LOOPS, blind="a railway has the intersection")
    assert list(step.send) == [Request(Ask.RELEASE, 2), Maxima({2: 45.0, 4: 45.0})]
    assert (step.state, step.why) == (State.BLIND, "a railway has the intersection")
    assert not beat.step(2000, heads(Head(GREEN, 0)), LOOPS, blind="still").send


@pytest.mark.parametrize(("shown", "seen"), [({2: Head()}, LOOPS), (heads(Head()), {1: Loop()})])
def test_it_is_not_asked_before_the_picture_is_whole(shown: Any, seen: Any) -> None:
    beat = runner(always(HOLD))
    assert beat.step(0, shown, seen).state is State.BLIND


def test_a_hold_that_the_board_refused_is_asked_again_and_told() -> None:
    beat = runner(always(HOLD))
    beat.step(0, heads(Head(GREEN, 0)), LOOPS)
    beat.refused_by_board(HOLD, "not_green")
    assert list(beat.step(1000, heads(Head(GREEN, 0)), LOOPS).send) == [HOLD]
    summary = beat.summary()
    assert summary.refused == {"board": 1}
    assert summary.first_refusal == "the board refused hold of phase 2: not_green"


asks = st.one_of(
    st.builds(Request, st.sampled_from(Ask), st.integers(0, 9)),
    st.builds(Maxima, st.dictionaries(st.integers(0, 9), st.floats() | st.integers(-5, 60), max_size=4)),
    st.none() | st.text(max_size=3),
)
shown_heads = st.builds(
    Head, st.sampled_from(Shows), st.integers(0, 60_000), st.sampled_from(Walk), st.booleans(), st.booleans()
)


@given(st.lists(st.tuples(st.lists(asks, max_size=5), shown_heads, shown_heads, st.integers(0, 8)), max_size=30))
def test_whatever_is_asked_nothing_that_breaks_a_limit_is_sent(course: Any) -> None:
    asked: list[Any] = []
    beat = BeatRunner(Policy(lambda _ms, _heads: asked), None, SIGNAL, seed=1)
    for second, (asked, two, four, fault) in enumerate(course):  # noqa: B007
        now_ms = 60_000 + 1000 * second
        step = beat.step(now_ms, heads(two, four), {1: Loop(fault=fault), 2: Loop()})
        for each in step.send:
            if isinstance(each, Maxima):
                assert all(8.0 <= s <= 45.0 for s in each.seconds.values()) and each.seconds[2] >= 13.0
                continue
            head = {2: two, 4: four}[each.phase]
            if each.ask is Ask.FORCE_OFF:
                assert head.shows is GREEN and now_ms - head.since_ms >= 8_000 and head.walk is Walk.DONT
                assert not (each.phase == 2 and fault)
            if each.ask is Ask.HOLD:
                assert head.shows is GREEN
