"""The alarm stage: streaming, restarted at any row, for years, through gaps, and as bounded as it says."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.contracts.alarm import ALARM, OVER, WARM, WARNING, Alarm, AlarmSpec, Judgement, Limit
from wayside.contracts.past import (
    FRESH,
    MOST_VALUES,
    PRECISION,
    PastScores,
    PastValues,
    float32,
    usual_scores,
)

Row = tuple[float | None, float | None]
number = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 0.0]) | st.floats(0, 100) | st.integers(0, 9)
row = st.tuples(st.none() | number, st.none() | number)
specs = st.builds(
    AlarmSpec,
    smooth=st.integers(1, 4),
    trust=st.sampled_from([0.7, 1.0]),
    novelty=st.sampled_from([0.0, 1.0]),
    mean=st.integers(1, 20),
    learn=st.integers(0, 30),
    memory=st.just(1000),
    usual=st.sampled_from([(), (0.5, 1.0, 2.0, 8.0)]),
    usual_rows=st.sampled_from([0, 200]),
    rest=st.integers(0, 20),
    warning=st.just(1.5),
    alarm=st.just(2.0),
    over=st.just(1.0),
    hold=st.integers(1, 4),
)


def usual_rows(seed: int, n: int, high: Sequence[int] = ()) -> list[Row]:
    """Rows of an ordinary series, with scores far above it at ``high``."""
    rng = random.Random(seed)
    return [(rng.gauss(100, 10), 20.0 + rng.random() if i in high else rng.expovariate(1)) for i in range(n)]


def restarted(stage: Alarm | Limit) -> Alarm | Limit:
    again = Alarm(stage.spec) if isinstance(stage, Alarm) else Limit(stage.limit)
    again.restore(msgspec.json.decode(msgspec.json.encode(stage.state())))
    return again


@settings(max_examples=60, deadline=None)
@given(specs, st.integers(0, 2**16), st.lists(row, max_size=40), st.sets(st.integers(0, 400), max_size=8))
def test_with_gaps_and_restarts_it_judges_as_one_that_ran_through_bit_for_bit(
    spec: AlarmSpec, seed: int, odd: list[Row], cuts: set[int]
) -> None:
    rows = usual_rows(seed, 300) + odd + usual_rows(seed + 1, 60, (5, 6, 40))
    whole, cut = Alarm(spec), Alarm(spec)
    for i, (value, score) in enumerate(rows):
        if i in cuts:
            cut = restarted(cut)  # type: ignore[assignment]
        assert whole.step(value, score) == cut.step(value, score)
    assert whole.state() == cut.state()


@settings(max_examples=60, deadline=None)
@given(specs, st.integers(0, 2**16), st.integers(1, 30))
def test_rows_that_never_came_are_rows_without_a_score(spec: AlarmSpec, seed: int, gap: int) -> None:
    one, many = Alarm(spec), Alarm(spec)
    for value, score in usual_rows(seed, 120, (110, 119)):
        one.step(value, score)
        many.step(value, score)
    skipped = one.skip(gap)
    stepped = [many.step(None, None) for _ in range(gap)]
    assert one.state() == many.state()
    assert (skipped.change == "ends") == any(j.change == "ends" for j in stepped)


@settings(max_examples=100, deadline=None)
@given(specs, st.lists(row, max_size=200))
def test_no_row_breaks_it_and_what_is_missing_raises_nothing(spec: AlarmSpec, rows: list[Row]) -> None:
    stage = Alarm(spec)
    for value, score in usual_rows(1, 60) + rows:
        judgement = stage.step(value, score)
        assert math.isfinite(judgement.news)
        if score is None or not math.isfinite(score):
            assert judgement.moment is None and judgement.news == 0
            assert judgement.change in (None, "ends")
        else:
            assert judgement.moment is not None and math.isfinite(judgement.moment.surprise)
    assert restarted(stage).state() == stage.state()


def test_scores_that_are_no_numbers_leave_the_past_as_it_was() -> None:
    clean, dirty = Alarm(AlarmSpec(rest=0)), Alarm(AlarmSpec(rest=0))
    for i, (value, score) in enumerate(usual_rows(3, 400)):
        clean.step(value, score)
        dirty.step(value, score)
        if i % 3 == 0:
            dirty.step(value, (math.nan, math.inf, None)[i % 9 // 3])
    assert clean.state()["past"] == dirty.state()["past"]


def test_an_alarm_has_a_beginning_a_level_an_end_and_the_values_that_made_it() -> None:
    stage = Alarm(AlarmSpec(hold=2, warning=2.0, alarm=2.9, over=1.0))
    for value, score in usual_rows(4, 600):
        stage.step(value, score)
    assert stage.raised is None
    moment = stage.step(100.0, 1.0).moment
    assert moment is not None and moment.threshold is not None
    low = moment.threshold + 0.01
    changes: list[tuple[Any, int]] = []
    for score in (low, 50.0, 3.0, 0.1, 0.1):
        judgement = stage.step(7.0, score)
        changes.append((judgement.change, judgement.level))
    assert changes == [("begins", WARNING), ("rises", ALARM), (None, ALARM), (None, ALARM), ("ends", 0)]
    raised = judgement.raised
    assert raised is not None
    assert (raised.level, raised.since) == (ALARM, 601)
    assert (raised.began.score, raised.peak.score, raised.peak.value) == (low, 50.0, 7.0)
    assert raised.began.threshold is not None and low > raised.began.threshold


@pytest.mark.parametrize("n", [60, 200, 900, 3000])
def test_above_the_threshold_a_score_alone_is_an_alarm_and_below_it_none(n: int) -> None:
    for seed in range(5):
        stage = Alarm(AlarmSpec(warning=2.0, rest=0))
        for value, score in usual_rows(seed, n):
            stage.step(value, score)
        moment = restarted(stage).step(None, 0.0).moment
        assert moment is not None and moment.threshold is not None
        for factor in (0.999, 1.001):
            tried = restarted(stage).step(None, moment.threshold * factor).moment
            assert tried is not None
            assert (tried.surprise >= 2.0) == (factor > 1)


def test_what_nobody_confirms_any_more_is_over() -> None:
    stage = Alarm(AlarmSpec(hold=3))
    for value, score in usual_rows(5, 500):
        stage.step(value, score)
    assert stage.step(1.0, 99.0).change == "begins"
    assert [stage.step(None, None).change for _ in range(4)] == [None, None, "ends", None]


def test_in_a_rest_period_only_what_is_more_surprising_begins_another_alarm() -> None:
    stage = Alarm(AlarmSpec(rest=30, hold=1, warning=2.0, alarm=9.0))
    for value, score in usual_rows(6, 500):
        stage.step(value, score)

    def begins(score: float) -> bool:
        begun = stage.step(1.0, score).change == "begins"
        stage.step(1.0, 0.1)
        assert stage.raised is None
        return begun

    assert [begins(s) for s in (30.0, 25.0, 9e3)] == [True, False, True]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=60, max_size=120), st.integers(1, 40))
def test_what_comes_later_changes_no_judgement(scores: list[float], cut: int) -> None:
    def judged(given_: Sequence[float]) -> list[Judgement]:
        stage = Alarm(AlarmSpec(rest=5, learn=9, novelty=1.0))
        return [stage.step(score, score) for score in given_]

    assert judged(scores)[:-cut] == judged(scores[:-cut])


def test_the_highest_of_a_thousand_surprises_three_decades() -> None:
    past = PastScores(20_000)
    for score in np.random.default_rng(0).random(1000):
        past.add(float32(score))
    assert past.surprise(float32(0.9999)) == pytest.approx(3, abs=0.2)


# --- bounded memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["exponential", "lognormal", "random"])
def test_the_share_above_a_score_is_right_to_a_few_per_cent_and_exact_at_the_top(draw: str) -> None:
    rng = np.random.default_rng(2)
    scores = np.float32(getattr(rng, draw)(size=18_000))
    past = PastScores(20_000)
    for score in scores.tolist():
        past.add(score)
    falling = np.sort(scores)[::-1]
    for rank in (1, 2, 5, 10, 20, 50, 200, 1000, 5000):
        above = past.above(float(falling[rank - 1]))
        assert abs(above - rank) <= (0 if rank < 1 / PRECISION else 1.5 * PRECISION * rank), rank
    assert past.total == len(scores)


def test_after_ten_years_a_state_is_as_small_as_after_one_and_knows_the_last_one_best() -> None:
    stage = Alarm(AlarmSpec(novelty=1.0))
    rng = np.random.default_rng(7)
    year = 24 * 365  # of hours
    sizes = []
    for level in (5.0, *[1.0] * 9):
        rows = zip(rng.normal(100, 10, year).tolist(), rng.exponential(level, year).tolist(), strict=True)
        for value, score in rows:
            judgement = stage.step(value, score)
        sizes.append(len(msgspec.json.encode(stage.state())))
    assert max(sizes) < 20_000
    assert judgement.moment is not None and judgement.moment.threshold is not None
    assert judgement.moment.threshold == pytest.approx(math.log(10**2.3), rel=0.15)  # of a mean of 1; of 5 it is 26.5


def test_a_state_of_scores_alone_takes_a_few_kilobytes() -> None:
    stage = Alarm(AlarmSpec())
    for score in np.random.default_rng(8).exponential(size=60_000).tolist():
        stage.step(1.0, score)
    assert len(msgspec.json.encode(stage.state())) < 6_000


def test_of_many_values_those_stay_that_tell_how_far_a_new_one_is() -> None:
    past = PastValues()
    rng = np.random.default_rng(9)
    values = [*np.float32(rng.normal(0, 1, 20_000)).tolist(), 1e9]
    for value in values:
        past.add(value)
    assert len(msgspec.json.encode(past.state())) < 4 / 3 * 4 * MOST_VALUES + 10
    assert past.distance(1e9) == 0
    assert past.distance(50.0) == pytest.approx(50 - max(values[:-1]))
    ordered = np.array(sorted(values[:-1]))
    for value in rng.normal(0, 1, 200):
        true = np.abs(ordered - value).min()
        assert abs(past.distance(float32(value)) - true) < 0.15


def test_the_usual_scores_of_a_bundle_are_a_past_from_the_first_row_on() -> None:
    drawn = np.random.default_rng(10).exponential(size=5000)
    usual = usual_scores(drawn.tolist(), 2000)
    assert len(usual) <= 22 and usual[-1] == pytest.approx(drawn.max())
    stage = Alarm(AlarmSpec(usual=usual, usual_rows=2000))
    moment = stage.step(1.0, 0.5).moment
    assert moment is not None and moment.threshold == pytest.approx(math.log(10**2.3), rel=0.15)
    assert stage.step(1.0, 8.0).change == "begins"
    bare = Alarm(AlarmSpec())
    assert [bare.step(1.0, 8.0).moment.surprise for _ in range(WARM)] == [0.0] * WARM  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "damage",
    [
        {"row": "x"},
        {"past": {"scores": "AA", "weights": "", "fresh": ""}},
        {"past": {"scores": "AACAPwAAAAA=", "weights": "AACAPwAAgD8=", "fresh": ""}},
        {"past": None},
        {"rest": [[1, math.nan]]},
        {"raised": [1, 2]},
        {"novelties": []},
        {"scores": ["a"]},
    ],
    ids=lambda d: f"{next(iter(d))}",
)
def test_a_damaged_state_is_refused_and_changes_nothing(damage: dict[str, Any]) -> None:
    stage = Alarm(AlarmSpec(novelty=1.0))
    for value, score in usual_rows(11, 200):
        stage.step(value, score)
    before = stage.state()
    with pytest.raises((ValueError, KeyError, TypeError)):
        stage.restore(before | damage)
    assert stage.state() == before


def test_at_a_quicker_pace_the_same_time_is_more_rows() -> None:
    spec = AlarmSpec(smooth=2, rest=8, hold=2, usual_rows=2000).at_pace(3)
    assert (spec.smooth, spec.rest, spec.hold, spec.usual_rows, spec.memory) == (6, 24, 6, 6000, 60_000)
    assert spec.warning == AlarmSpec().warning


@pytest.mark.parametrize(
    "wrong",
    [{"over": 3.0}, {"warning": 4.0}, {"usual": (2.0, 1.0)}, {"usual": (math.nan,)}, {"usual_rows": 15_000}],
    ids=str,
)
def test_a_specification_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        AlarmSpec(**wrong)


def test_a_fixed_limit_begins_above_it_and_ends_well_below() -> None:
    stage = Limit(4.0)
    changes = [restarted(stage).step(1.0, 5.0).change for _ in range(2)]
    assert changes == ["begins", "begins"]
    steps = [stage.step(1.0, s) for s in (4.0, 5.0, 3.5, None, 6.0, OVER * 4.0)]
    assert [j.change for j in steps] == [None, "begins", None, None, None, "ends"]
    assert steps[-1].raised is not None and steps[-1].raised.peak.score == 6.0


def test_fresh_scores_count_before_they_are_merged() -> None:
    past = PastScores(1000)
    for i in range(FRESH - 1):
        past.add(float(i))
    assert past.above(0.0) == past.total == FRESH - 1
