"""A score task on a node alarms by its bundle's stage: as the judge in the cloud does, and across restarts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.edge.tasks.test_tasks import STEP_MS, Made, Town, newest, table
from wayside.cloud.train import alarms
from wayside.contracts.alarm import Alarm, AlarmSpec
from wayside.contracts.past import usual_scores
from wayside.contracts.summary import Summary

USUAL = usual_scores([0.7 + 0.6 * i / 500 for i in range(500)], 500)
SPEC = AlarmSpec(usual=USUAL, usual_rows=500, rest=4, hold=2, memory=1000)
ODD = table("odd", kind="score")


def detector(spec: AlarmSpec | None = SPEC, **more: Any) -> Made:
    """It scores the newest count in tens: 10 vehicles are usual."""
    return Made("odd", lambda x: newest(x) / 10, kind="score", alarm=spec, **more)


def counts(n: int, high: Sequence[int] = (), seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [rng.randint(40, 60) if i in high else rng.randint(7, 12) for i in range(n)]


def restarted(town: Town, bodies: list[Any], model: Made, away: int = 0) -> Town:
    """The node after its power was gone for ``away`` intervals."""
    bodies += [msgspec.json.decode(msgspec.json.encode(body)) for _, body in town.node.steps]
    pieces = msgspec.json.decode(msgspec.json.encode(town.node.state()))
    again = Town(ODD)
    again.clock.now_ns, again.seq, again.ms = town.clock.now_ns, town.seq, town.ms
    again.node.restore(pieces, bodies)
    again.ms += away * STEP_MS
    again.clock.now_ns = again.ms * 1_000_000
    return again.use(model)


def told(rows: Sequence[Summary]) -> list[dict[str, Any]]:
    """What people are told of alarms, without the numbers of rows and boots."""
    kept = [r for r in rows if str(r.detail.get("condition")).startswith("score_")]
    return [r.detail | {"at": r.datastream, "value": r.value} for r in kept]


def shown(rows: Sequence[Summary]) -> list[tuple[Any, ...]]:
    return [(r.value, r.detail) for r in rows]


@pytest.mark.parametrize("every", [1, 3])
def test_killed_in_the_middle_of_an_alarm_a_node_tells_the_same_alarms_as_one_that_ran_through(every: int) -> None:
    model, series = detector(), counts(24, (9, 10, 11, 12, 18))
    whole = Town(ODD).use(model)
    cut, bodies, rows = Town(ODD).use(model), list[Any](), list[Summary]()
    for i, n in enumerate(series):
        whole.step(n, 10)
        cut.step(n, 10)
        if i % every == 0:
            rows += cut.node.ledger.rows
            cut = restarted(cut, bodies, model)
    rows += cut.node.ledger.rows
    expected = told(whole.node.ledger.rows)
    assert [(d["condition"], d.get("ended", False)) for d in expected][:4] == [
        ("score_high", False), ("score_alarm", False), ("score_high", True), ("score_alarm", True)
    ]  # fmt: skip
    assert told(rows) == expected
    own = [r for r in rows if r.datastream == "odd/det/1" and r.kind.value == "interval"]
    assert shown(own) == shown(whole.rows("odd/det/1"))


@pytest.mark.parametrize("away", [0, 1, 5])
def test_the_node_alarms_bit_for_bit_as_the_judge_in_the_cloud_through_restarts_and_gaps(away: int) -> None:
    model, series = detector(), counts(30, (8, 9, 20, 21, 22), seed=away)
    town, bodies, rows = Town(ODD).use(model), list[Any](), list[Summary]()
    for i, n in enumerate(series):
        town.step(n, 10)
        if i in (9, 15, 21):
            rows += town.node.ledger.rows
            town = restarted(town, bodies, model, away)
    own = [r for r in [*rows, *town.node.ledger.rows] if r.datastream == "odd/det/1" and r.kind.value == "interval"]
    stage, before = Alarm(SPEC), None
    judged = []
    for row in own:
        assert row.at.wall_ms is not None
        if before is not None and row.at.wall_ms - before > STEP_MS:
            stage.skip((row.at.wall_ms - before) // STEP_MS - 1)
        before = row.at.wall_ms
        judgement = stage.step(None, row.value)
        level = {"level": judgement.level} if judgement.level else {}
        moment = judgement.moment
        seen = {} if moment is None else {"threshold": moment.threshold, "surprise": round(moment.surprise, 2)}
        judged.append(seen | level)
    assert [r.detail for r in own] == judged
    assert any(r.detail.get("level") for r in own)


def test_the_judge_counts_the_alarms_that_the_node_tells() -> None:
    model, series = detector(), counts(40, (10, 11, 25))
    town = Town(ODD).use(model)
    for n in series:
        town.step(n, 10)
    own = town.rows("odd/det/1")
    made = alarms.Series(*_columns(own))
    begins = alarms.begins(Alarm(SPEC), made)
    said = [
        r for r in town.node.ledger.rows if r.datastream == "odd/det/1" and r.detail.get("condition") == "score_high"
    ]
    begun = [r.at for r in said if not r.detail.get("ended") and not r.detail.get("flaps")]
    assert [own[i].at for i in begins] == begun


def _columns(rows: Sequence[Summary]) -> tuple[Any, ...]:
    import numpy as np

    scores = np.array([np.nan if r.value is None else r.value for r in rows])
    return scores, scores, np.zeros(len(rows), np.int64), np.ones(len(rows), bool)


def test_an_alarm_says_its_level_and_the_values_that_made_it_and_its_end_the_worst_of_them() -> None:
    town = Town(ODD).use(detector())
    for n in [*counts(10), 50, 80, 10, 10, 10]:
        town.step(n, 10)
    begun, *_, ended = town.alerts("score_high")
    assert begun["score"] == 5.0 and begun["observed"] == 50 and begun["level"] in (1, 2)
    assert begun["threshold"] < 5.0 and begun["surprise"] > SPEC.warning and begun["by"] == "score"
    assert "a score of 5, the alarm begins at 1." in begun["what"]
    assert ended["ended"] and ended["score"] in (5.0, 8.0) and ended["level"] == 2
    assert ended["lasted_s"] == pytest.approx(STEP_MS / 1000 * 3, abs=STEP_MS / 1000)


def test_a_row_of_the_score_says_from_where_on_it_would_be_an_alarm() -> None:
    town = Town(ODD).use(detector())
    for n in counts(6):
        town.step(n, 10)
    details = [r.detail for r in town.rows("odd/det/1") if r.value is not None]
    assert details and all(set(d) == {"threshold", "surprise"} and 1.0 < d["threshold"] < 3.0 for d in details)  # type: ignore[operator]


def test_a_bundle_without_an_alarm_stage_alarms_at_the_limit_of_the_tasks_table() -> None:
    town = Town(table("odd", kind="score", alert_sigma=3.0)).use(detector(None))
    for n in (10, 10, 10, 35, 25, 20, 10):
        town.step(n, 10)
    assert [d.get("ended", False) for d in town.alerts("score_high")] == [False, True]
    assert town.alerts("score_alarm") == []
    assert all(r.detail == {} for r in town.rows("odd/det/1"))


def test_the_state_of_an_agent_that_knew_only_a_limit_is_taken_over() -> None:
    town = Town(table("odd", kind="score", alert_sigma=3.0)).use(detector(None))
    for n in (10, 10, 10, 35):
        town.step(n, 10)
    pieces = msgspec.json.decode(msgspec.json.encode(town.node.state()))
    state = pieces["node"]["tasks"]["odd"]
    del state["alarms"]
    state["high"] = ["det/1"]
    again = Town(table("odd", kind="score", alert_sigma=3.0))
    again.clock.now_ns, again.seq, again.ms = town.clock.now_ns, town.seq, town.ms
    again.node.restore(pieces, [msgspec.json.decode(msgspec.json.encode(b)) for _, b in town.node.steps])
    again.use(detector(None))
    assert ("score_high", "odd/det/1") in again.open()
    again.step(29, 10)
    assert ("score_high", "odd/det/1") in again.open(), "it ends well below its limit"
    again.step(10, 10)
    assert again.open() == set()


def test_another_version_of_the_model_begins_with_its_own_bundles_past() -> None:
    town = Town(ODD).use(detector())
    for n in [*counts(8), 50]:
        town.step(n, 10)
    assert ("score_high", "odd/det/1") in town.open()
    other = detector(msgspec.structs.replace(SPEC, usual=(10.0, 20.0, 30.0)))
    other.passport = msgspec.structs.replace(other.passport, version="2.0.0")
    town.use(other)
    town.step(50, 10)
    assert town.open() == set(), "a score of 5 is nothing to this one"


def test_a_damaged_past_is_told_and_learned_anew_and_no_alarm_stays_for_ever() -> None:
    town, bodies = Town(ODD).use(detector()), list[Any]()
    for n in [*counts(8), 50]:
        town.step(n, 10)
    kept = town.node.state()
    kept["node"]["tasks"]["odd"]["alarms"]["sites"]["det/1"]["past"]["scores"] = "damaged"
    town.node.state = lambda: kept  # type: ignore[method-assign]
    again = restarted(town, bodies, detector())
    assert ("score_high", "odd/det/1") not in again.open()
    assert any("begins anew" in str(r.detail.get("what")) for r in again.node.ledger.rows)
    for n in counts(3):
        again.step(n, 10)
    assert again.rows("odd/det/1")[-1].detail["threshold"]


def test_a_node_that_answers_more_often_than_the_interval_waits_as_long() -> None:
    spec = msgspec.structs.replace(SPEC, hold=1)
    model = detector(spec, interval_s=1800.0)
    town = Town(table("odd", kind="score", interval_s=1800, step_s=900)).use(model)
    assert [stage.spec.hold for stage in town.node._tasks[0]._stages] == [2, 2]  # type: ignore[union-attr, attr-defined]


@pytest.mark.parametrize(("count", "level"), [(30, 3), (18, 2)])
def test_the_incident_notice_takes_its_level_from_the_alarm_stage(count: int, level: int) -> None:
    spec = msgspec.structs.replace(SPEC, alarm=15.0)
    policy = (
        '\npolicy = "incident_notice"\nactuator = "people"\nsettings = { warn_above = 1000.0, end_below = 900.0 }\n'
    )
    town = Town(ODD + policy).use(detector(spec))
    for n in [*([10] * 6), count]:
        town.step(n, 10)
    open_ = {code for code, _ in town.open() if code.startswith("notice_")}
    assert open_ == {"notice_alarm" if level == 3 else "notice_warning"}
    for n in counts(4):
        town.step(n, 10)
    assert town.open() == set()
