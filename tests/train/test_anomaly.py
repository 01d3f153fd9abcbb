"""What scores windows is judged by known truth: labelled windows, unusual days, incidents of a declared rule."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.cloud.train import adversarial, alarms, anomaly, incidents, nab
from wayside.cloud.train.datasets import load, split
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.fit import fit
from wayside.cloud.train.taskfile import load_task
from wayside.cloud.train.vus import vus_pr
from wayside.contracts.alarm import AlarmSpec, Limit
from wayside.models import registry

torch.set_num_threads(1)  # nets too small to share between cores


# --- VUS-PR -------------------------------------------------------------------------------------------------------


def test_without_buffer_a_perfect_detector_has_volume_one():
    labels = np.zeros(500)
    labels[100:120] = labels[300:305] = 1
    assert vus_pr(labels, labels, buffer=0) == pytest.approx(1)


def test_the_volume_is_that_of_the_definition_written_out():
    rng = np.random.default_rng(3)
    labels = np.zeros(400, int)
    stretches = [(50, 69), (200, 203), (380, 399)]
    for a, b in stretches:
        labels[a : b + 1] = 1
    scores = np.roll(labels, 2) + rng.random(400)
    areas = []
    for ell in range(13):
        soft, wide = labels.astype(float), []
        for a, b in stretches:
            for d in range(1, ell // 2 + 1):
                for at in (a - d, b + d):
                    if 0 <= at < 400:
                        soft[at] += np.sqrt(1 - d / ell)
            wide.append((max(a - ell // 2, 0), min(b + ell // 2, 399)))
        positives = (labels.sum() + soft.sum()) / 2
        recall, precision = [0.0], [1.0]
        for i in np.linspace(0, 399, 250).astype(int):
            alarm = scores >= -np.sort(-scores)[i]
            hit = (soft * alarm).sum()
            touched = np.mean([alarm[a : b + 1].any() for a, b in wide])
            recall.append(min(hit / positives, 1) * touched)
            precision.append(hit / alarm.sum())
        areas.append(np.sum(np.diff(recall) * (np.array(precision[1:]) + precision[:-1]) / 2))
    assert vus_pr(labels, scores, buffer=12) == pytest.approx(np.mean(areas))


def test_a_little_late_costs_less_with_a_buffer_than_without():
    labels = np.zeros(1000)
    labels[400:420] = 1
    late = np.roll(labels, 4) + np.linspace(0, 0.1, 1000)
    assert vus_pr(labels, late, buffer=20) > vus_pr(labels, late, buffer=0)


def test_chance_has_the_volume_of_the_share_of_labels():
    labels = np.zeros(20_000)
    labels[::100] = labels[1::100] = 1
    assert vus_pr(labels, np.random.default_rng(0).random(20_000), buffer=0) == pytest.approx(0.02, abs=0.01)


def test_no_buffer_reaches_into_another_series():
    labels, scores = np.zeros(100), np.zeros(100)
    labels[45:50], scores[50:55] = 1, 1.0
    apart = vus_pr(labels, scores, buffer=10, breaks=[50])
    assert apart < vus_pr(labels, scores, buffer=10)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="a number for each row"):
        vus_pr([0, 1], [0.0, np.nan], buffer=1)


# --- the benchmark's score ----------------------------------------------------------------------------------------


def series(n=1000, name="a/b.csv"):
    times = np.datetime64("2026-01-01T00:00:00") + np.arange(n) * np.timedelta64(300, "s")
    return nab.Series(name=name, times=times, values=np.zeros(n))


def labelled(*spans, n=1000, name="a/b.csv"):
    s = series(n, name)
    return nab.truth(s, [(s.times[a], s.times[b]) for a, b in spans])


def alarmed(n=1000, **at):
    found = np.zeros(n)
    found[list(at.values())] = 1
    return {"a/b.csv": found}


def test_an_alarm_at_the_first_row_of_each_window_is_perfect_and_none_is_worth_nothing():
    t = labelled((400, 499), (700, 799))
    assert nab.judge([t], alarmed(a=400, b=700)).score == pytest.approx(100)
    assert nab.judge([t], {"a/b.csv": np.full(1000, 0.5)}).score == 0
    assert nab.judge([t], alarmed(a=5), threshold=1).score == 0  # probation


def test_halfway_through_a_window_an_alarm_is_worth_what_the_paper_says():
    # Relative position −0.5: 0.84828 of 0.98661, less one row.
    score = nab.judge([labelled((400, 499))], alarmed(a=450)).score
    raw = (2 / (1 + np.exp(-5 * 0.5)) - 1) / (2 / (1 + np.exp(-5.0)) - 1)
    assert score == pytest.approx(100 * (raw + 1) / 2, abs=0.01)


def test_a_false_alarm_costs_its_weight_and_less_shortly_after_a_window():
    t = labelled((400, 499))
    perfect, cost = 100.0, 100 * 0.11 / 2
    assert nab.judge([t], alarmed(a=400, b=300), threshold=1).score == pytest.approx(perfect - cost)
    assert nab.judge([t], alarmed(a=400, b=999), threshold=1).score == pytest.approx(perfect - cost)
    assert perfect - cost < nab.judge([t], alarmed(a=400, b=510), threshold=1).score < perfect


def test_later_alarms_in_a_window_earn_nothing_and_cost_nothing():
    t = labelled((400, 499))
    assert nab.judge([t], alarmed(a=400, b=410, c=499)).score == pytest.approx(100)


def test_one_threshold_serves_all_series_and_is_the_best_one():
    one, two = labelled((400, 499)), labelled((400, 499), name="a/c.csv")
    rng = np.random.default_rng(0)
    scores = {"a/b.csv": rng.random(1000), "a/c.csv": rng.random(1000)}
    best = nab.judge([one, two], scores)
    swept = [nab.judge([one, two], scores, threshold=t).score for t in np.linspace(0, 1, 200)]
    assert best.score >= max(swept)
    assert nab.judge([one, two], scores, threshold=best.threshold).score == pytest.approx(best.score)


def test_profiles_differ_in_what_a_false_alarm_costs():
    t, noisy = labelled((400, 499)), alarmed(a=400, b=300)
    lost = {p: 100 - nab.judge([t], noisy, profile=p, threshold=1).score for p in nab.PROFILES}
    assert lost["reward_low_FP_rate"] == pytest.approx(2 * lost["standard"])
    assert lost["reward_low_FN_rate"] == pytest.approx(2 / 3 * lost["standard"])


def test_scores_of_another_length_are_refused_by_name():
    with pytest.raises(DataError, match=r"a/b\.csv: 3 scores for 1000 rows"):
        nab.judge([labelled((400, 499))], {"a/b.csv": [1, 2, 3]})


def spiky(folder, n=1200):
    """Two series with a spike each, and the JSON of their windows."""
    windows = {}
    for k, name in enumerate(("first", "second")):
        rng = np.random.default_rng(k)
        values = 50 + 10 * np.sin(np.arange(n) / 20) + rng.normal(0, 1, n)
        at = 700 + 100 * k
        values[at : at + 5] += 60
        s = series(n)
        (folder / "real").mkdir(exist_ok=True)
        lines = [f"{str(t).replace('T', ' ')},{v}" for t, v in zip(s.times, values, strict=True)]
        (folder / "real" / f"{name}.csv").write_text("timestamp,value\n" + "\n".join(lines) + "\n")
        ends = [f"{str(s.times[i]).replace('T', ' ')}.000000" for i in (at - 30, at + 30)]
        windows[f"real/{name}.csv"] = [ends]
    path = folder / "combined_windows.json"
    path.write_text(json.dumps(windows | {"real/not_here.csv": []}))
    return path


def test_a_detector_runs_over_a_folder_of_series_and_its_labels(tmp_path):
    path = spiky(tmp_path)

    def jump(windows):
        assert windows.shape[1:] == (8, 1) and windows.dtype == np.float32
        return np.nan_to_num(np.abs(windows[:, -1, 0] - np.nanmean(windows[:, :, 0], axis=1)))[:, None]

    found = nab.evaluate_nab(jump, tmp_path, path, window=8, spec=load_task("nab").task.alarm)
    assert found["recall"] == 1 and found["nab"] > 80
    assert found["series"]["real/first.csv"]["windows"] == 1 and found["n"] == 2400
    assert found["alarms"]["stage"]["found"] == 1 and found["alarms"]["stretches"] == 2
    assert set(found["profiles"]) == set(nab.PROFILES) and 0 < found["vus_pr"] <= 1


@pytest.mark.parametrize("test", ["", "incident/nab", "incident/nab/real", "incident/nab/combined_windows.json"])
def test_a_later_period_is_a_folder_however_laid_out_or_the_json_alone(tmp_path, test):
    home = tmp_path / "incident" / "nab"
    home.mkdir(parents=True)
    spiky(home)
    taskfile = load_task("nab")
    changed = msgspec.structs.replace(taskfile.data, holdout_sites=("real/second*",))
    found = anomaly.evaluate(
        msgspec.structs.replace(taskfile, data=changed), tmp_path, lambda w: np.zeros(len(w)), tmp_path / test
    )
    assert set(found["series"]) == {"real/second.csv"}  # what training never saw is what counts


def test_labels_of_other_series_are_refused(tmp_path):
    spiky(tmp_path)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"real/else.csv": []}))
    with pytest.raises(DataError, match="none of the series"):
        nab.evaluate_nab(lambda w: np.zeros(len(w)), tmp_path, other, window=4, spec=AlarmSpec())


# --- alarms -------------------------------------------------------------------------------------------------------


def of_scores(scores, *stretches):
    labels = np.zeros(len(scores), np.int64)
    for number, (a, b) in enumerate(stretches, 1):
        labels[a:b] = number
    return alarms.Series(np.array(scores), np.array(scores), labels, np.ones(len(scores), bool))


def test_an_alarm_in_a_stretch_or_just_after_it_finds_it_and_any_other_is_false():
    scores = np.ones(672)
    scores[[100, 203, 303, 400]] = 9.0  # in time, a little late, too late, nowhere
    judged = alarms.judge(None, 900.0, [of_scores(scores, (98, 104), (200, 202), (298, 301), (500, 501))])
    fixed = judged["fixed"]
    assert (judged["stretches"], judged["stage"], judged["best_fixed"]) == (4, None, None)
    assert fixed["found"] == 0.5 and fixed["begun"] == 4 and fixed["limit"] == 6.0
    assert fixed["false_per_week"] == pytest.approx(2)
    assert fixed["delay"] == pytest.approx((2 + 3) / 2)


def test_an_alarm_that_has_begun_before_finds_nothing():
    scores = np.ones(200)
    scores[90:110] = 9.0
    assert alarms.judge(None, 900.0, [of_scores(scores, (100, 105))])["fixed"]["found"] == 0


def test_the_best_fixed_limit_gives_no_more_false_alarms_than_the_stage():
    rng = np.random.default_rng(5)
    scores = rng.exponential(size=5000)
    spans = [(a, a + 3) for a in range(700, 5000, 600)]
    for a, b in spans:
        scores[a:b] += 9
    judged = alarms.judge(AlarmSpec(), 900.0, [of_scores(scores, *spans)])
    stage, best = judged["stage"], judged["best_fixed"]
    assert stage["found"] > 0.7 and best["found"] > 0.7
    assert best["false_per_week"] <= stage["false_per_week"]
    lower = alarms.begins(Limit(0.8 * best["limit"]), of_scores(scores, *spans))
    assert len(lower) > best["begun"]


def test_series_of_windows_have_missing_rows_where_there_is_no_window(crossing):
    held = crossing[1].holdout
    kept = held.where(np.flatnonzero((held.newest % 5 != 0) | (held.site == 1)))
    many = alarms.series_of(kept, np.arange(len(kept), dtype=float), kept.newest % 50 < 3)
    assert len(many) == 2
    assert np.isnan(many[0].scores).mean() == pytest.approx(0.2, abs=0.02) and np.isfinite(many[1].scores).all()
    first = kept.newest[kept.site == 0].min()
    np.testing.assert_array_equal(many[0].values, kept.output[0, first : first + len(many[0].values)])
    assert many[1].labels.max() == len({n // 50 for n in kept.newest[(kept.site == 1) & (kept.newest % 50 < 3)]})


def test_training_writes_the_usual_scores_of_validation_days_into_the_alarm_stage(crossing):
    taskfile, data, _ = crossing
    scores = np.random.default_rng(0).exponential(size=len(data.validation))
    task = alarms.with_usual(taskfile.task, alarms.series_of(data.validation, scores))
    usual = np.array(task.alarm.usual)
    assert usual[-1] == pytest.approx(scores.max(), rel=1e-5)
    assert usual[1] == pytest.approx(np.median(scores), rel=0.02)
    bare = msgspec.structs.replace(taskfile.task.alarm, usual_rows=0)
    plain = msgspec.structs.replace(taskfile.task, alarm=bare)
    assert alarms.with_usual(plain, alarms.series_of(data.validation, scores)) is plain


# --- incidents ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_incidents_are_where_the_labels_are_and_the_queue_is_served_after(seed):
    counts = np.full((3, 600), 100.0)
    changed, labels = incidents.inject(counts, incidents.Rule(), seed)
    assert labels.any()
    away = changed - counts
    assert (away[labels] != 0).all() and (changed >= 0).all()
    drops = np.where(labels, -away, 0).clip(0).sum()
    released = np.where(~labels, away, 0).sum()
    assert (away[~labels] >= 0).all() and released <= incidents.Rule().waiting * drops
    again, _ = incidents.inject(counts, incidents.Rule(), seed)
    np.testing.assert_array_equal(again, changed)


def test_no_incident_begins_at_night_nor_where_nothing_was_observed():
    quiet = np.full((2, 500), 3.0)
    assert not incidents.inject(quiet, incidents.Rule(), 1)[1].any()
    assert not incidents.inject(np.full((2, 500), np.nan), incidents.Rule(), 1)[1].any()


# --- both detectors, from data to numbers -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """Two approaches, 24 days of quarter-hours, busy by day: a task file, its windows, and the folder."""
    folder = tmp_path_factory.mktemp("crossing")
    (folder / "traffic").mkdir()
    rng = np.random.default_rng(1)
    hour = np.arange(24 * 96) / 4 % 24
    usual = 30 + 40 * np.exp(-((hour - 8) ** 2) / 8) + 60 * np.exp(-((hour - 17) ** 2) / 10)
    flow = rng.poisson(usual[:, None] * np.array([1.0, 1.6]))
    np.savez(
        folder / "traffic" / "scats_15min_tiny.npz",
        flow=flow.astype(np.int16),
        approach=np.array(["a", "b"]),
        start=np.array("2006-10-01T00:00"),
    )
    taskfile = load_task("scats_incidents")
    grid, taskfile = load(taskfile, folder)
    return taskfile, split(grid, taskfile), folder


def scorer(module):
    def score(windows):
        with torch.inference_mode():
            return module(torch.from_numpy(windows)).numpy()

    return score


def test_both_detectors_answer_through_one_interface(crossing):
    taskfile, data, folder = crossing
    for recipe in (
        msgspec.structs.replace(taskfile.fit, epochs=2, steps=20, rare=30),
        msgspec.structs.replace(
            taskfile.fit, family="residual", loss="family", epochs=2, batch=64, sizes={"of": {"hidden": 8}}
        ),
    ):
        fitted = fit(recipe, taskfile.task, data)
        windows, _ = data.validation.take(slice(0, 500))
        scores = scorer(fitted.module)(windows)
        assert scores.shape == (500, 1) and (scores >= 0).all()
        assert 0.3 < scores.mean() < 3  # typical windows score about 1
        nothing = scorer(fitted.module)(np.full_like(windows[:3], np.nan))
        assert np.isfinite(nothing).all()
        found = anomaly.evaluate(taskfile, folder, scorer(fitted.module))
        assert found["auc"] > 0.7 and found["incidents"] > 3
        assert found["false_alarm_rate"] <= anomaly.FALSE_ALARMS
        assert found["alarms"]["stretches"] == found["incidents"]


def test_the_same_seed_gives_the_same_discriminator(crossing):
    taskfile, data, _ = crossing
    recipe = msgspec.structs.replace(taskfile.fit, epochs=1, steps=5, rare=20)
    one, two = (fit(recipe, taskfile.task, data, seed=4).module.state_dict() for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_with_and_without_the_generator_the_rest_is_the_same(crossing):
    taskfile, data, _ = crossing
    recipe = msgspec.structs.replace(taskfile.fit, epochs=1, steps=10, rare=15)
    rows = adversarial.compare(recipe, taskfile.task, data, seeds=1)
    assert [r["seed"] for r in rows] == [0]
    assert rows[0]["with"]["incidents"] == rows[0]["without"]["incidents"]
    assert rows[0]["with"]["auc"] != rows[0]["without"]["auc"]


@pytest.mark.skipif("WAYSIDE_DATA" not in os.environ, reason="WAYSIDE_DATA names no folder with real counts")
def test_windows_of_the_generator_make_a_better_detector():
    taskfile = load_task("scats_incidents")
    grid, taskfile = load(taskfile, Path(os.environ["WAYSIDE_DATA"]))
    for row in adversarial.compare(taskfile.fit, taskfile.task, split(grid, taskfile), seeds=1):
        assert row["with"]["vus_pr"] > row["without"]["vus_pr"] + 0.02
        assert row["with"]["auc"] > row["without"]["auc"]


def test_without_known_incidents_the_generator_stays_at_the_fence(crossing):
    taskfile, data, _ = crossing
    recipe = msgspec.structs.replace(taskfile.fit, epochs=2, steps=30, rare=0)
    module = fit(recipe, taskfile.task, data).module
    usual, _ = data.validation.take(slice(0, 200))
    absurd = usual.copy()
    absurd[:, -4:, 0] = 0
    assert np.median(scorer(module)(absurd)) > np.median(scorer(module)(usual))


def test_unusual_days_come_first(crossing):
    taskfile, data, folder = crossing
    held = data.holdout
    day = str(held.end[0].astype("datetime64[D]") + 2)

    def by_day(windows):
        return np.ones(len(windows))

    changed = msgspec.structs.replace(taskfile.data, unusual_days=(day,))
    ranked = anomaly.evaluate(msgspec.structs.replace(taskfile, data=changed), folder, by_day)
    assert ranked["days"] == 24 and ranked["auc"] == 0.5
    with pytest.raises(DataError, match="none of the unusual days"):
        anomaly.rank_days(held, ("1999-01-01",), by_day)


def test_a_score_below_nothing_is_refused(crossing):
    _, data, _ = crossing
    with pytest.raises(DataError, match="scores below 0"):
        anomaly.score(data.holdout, lambda w: -np.ones(len(w)))


@pytest.mark.parametrize("family", registry.families("score"))
def test_a_family_of_kind_score_has_few_parameters(family, crossing):
    task = crossing[0].task
    assert sum(p.numel() for p in registry.family(family)(task).parameters()) <= 60_000
