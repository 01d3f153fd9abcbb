"""The demo's nodes: their files are valid, fit the models that the demo trains, and their feeds are what was kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.docs.domain_pages import PLACE, small
from tests.simulators.node_kinds import passport_of
from wayside.cloud.demo import cli, corner, forecourt, held_out, report
from wayside.cloud.demo.forecourt import Forecourt
from wayside.cloud.demo.intersection import CALLERS, Intersection
from wayside.cloud.demo.node import SPARE_DAYS, Node, intervals
from wayside.cloud.demo.site import KINDS, MODELS
from wayside.cloud.train.taskfile import load_task
from wayside.contracts.fit import misfits
from wayside.contracts.node_check import checked_node_config
from wayside.contracts.node_config import NodeConfig
from wayside.edge.policies.policy import check, check_beat
from wayside.firmware_bridge import signal_plan
from wayside.firmware_bridge.line.messages import ACTUATED_DETECTORS, ACTUATED_FORMAT


@pytest.fixture(scope="module", params=small(), ids=lambda node: node.name)
def node(request: pytest.FixtureRequest) -> tuple[Node, NodeConfig]:
    loaded = checked_node_config(request.param.config(PLACE))
    assert loaded.hints == ()
    return request.param, loaded.config


def test_every_task_takes_the_model_that_the_demo_makes_for_it(node: tuple[Node, NodeConfig]) -> None:
    one, config = node
    assert [t.bundle for t in config.tasks] == list(one.bundles)
    for task in config.offer("1.0.0").tasks:
        model = passport_of(load_task(MODELS[task.bundle]).task)
        assert misfits(model, task, config.offer("1.0.0")) == []


def test_every_task_has_a_policy_that_fits_its_actuator_or_the_signals_beat_knows_its_forecasts(
    node: tuple[Node, NodeConfig],
) -> None:
    _, config = node
    actuators = {a.name: a for a in config.actuators}
    signal = config.signal
    for task in config.tasks:
        if task.actuator is not None:
            assert check(task, actuators[task.actuator]) == []
            continue
        assert signal is not None
        assert check_beat(signal) == []
        channels = {d.datastream: d.channel for d in config.detectors}
        assert {channels[s.output] for s in task.sites} >= {loop.channel for loop in signal.loops}


def test_the_board_and_the_node_have_the_same_limits_and_the_board_takes_the_plan(tmp_path: Path) -> None:
    node = Intersection.of_log()
    (tmp_path / "plan.toml").write_text(node.board_plan())
    plan = signal_plan.load(tmp_path / "plan.toml")
    assert plan.encode()[0] == ACTUATED_FORMAT
    names = ("phase", "ring", "green_s", "min_green_s", "max_green_s", "yellow_s", "red_clearance_s")
    signal = checked_node_config(node.config(PLACE)).config.signal
    assert signal is not None
    limits = [[getattr(each, name) for name in names] for each in signal.phases]
    assert limits == [[getattr(each, name) for name in names] for each in plan.phases]
    called = {each.phase: set(each.detectors) for each in plan.phases}
    assert all(loop.channel in called[loop.phase] for loop in signal.loops if loop.channel <= CALLERS)
    assert CALLERS == ACTUATED_DETECTORS


def test_the_nodes_are_one_of_each_domain_on_two_runtimes() -> None:
    assert [kind.domain for kind in KINDS] == ["traffic", "energy", "air", "safety", "health"]
    assert {kind.runtime for kind in KINDS} == {"onnxruntime", "tflite-runtime"}


def test_the_feed_is_what_training_kept_and_nothing_else(tmp_path: Path) -> None:
    spec = load_task("mast_pm25").task
    hours = np.arange(np.datetime64("2016-02-01T01", "s"), np.timedelta64(24 * 10, "h"), np.timedelta64(1, "h"))
    values = np.stack([np.arange(240.0), np.arange(240.0) + 500, np.ones(240), hours.astype(int) / 3600 % 24], axis=1)
    newest = np.arange(spec.window - 1, 230)
    newest = newest[newest != 100]  # a window that was no example
    x = np.stack([values[i - spec.window + 1 : i + 1] for i in newest]).astype(np.float32)
    ends = hours[newest] + spec.lead * np.timedelta64(1, "h")
    np.savez(tmp_path / "windows.npz", holdout_x=x, holdout_end=ends, holdout_site=np.zeros(len(x), np.int32))
    series = held_out.series(tmp_path, spec, "UTC", 4)
    assert series.start_unix_s == np.datetime64("2016-02-01T00", "s").astype(int)
    assert series.first("pm2.5", 4 * 86400.0).tolist() == list(range(96))
    assert series.columns["pm10"].tolist() == list(range(500, 500 + 24 * (4 + SPARE_DAYS)))
    worst = held_out.series(tmp_path, spec, "UTC", 2, worst="pm2.5")
    assert worst.start_unix_s == np.datetime64("2016-02-05T00", "s").astype(int)
    assert worst.columns["pm2.5"].tolist() == list(range(96, 216))
    assert series.first("pm2.5", 86400.0).tolist() == list(range(24))


def test_what_the_data_miss_no_sensor_shows(tmp_path: Path) -> None:
    held_out.write(tmp_path / "air.csv", ["unix_s", "pm2_5"], [(0.0, 1.5), (3600.0, float("nan"))])
    assert (tmp_path / "air.csv").read_text().splitlines()[1:] == ["0.0,1.5", "3600.0,"]


def test_the_schedule_shows_each_picture_in_its_class_and_vehicles_that_stand() -> None:
    labels = np.arange(500) % 2
    shown = list(corner.schedule(labels))
    assert all(labels[picture] == label for _, picture, label in shown)
    first_day = [row for row in shown if row[0] < corner.STEPS * corner.STEP_S]
    assert len(first_day) == corner.STEPS * corner.PICTURES_A_STEP
    standing = {s for s in range(corner.STEPS) if all(r[2] for r in first_day if r[0] // corner.STEP_S == s)}
    assert set(corner.STANDS) <= standing
    assert shown == list(corner.schedule(labels))


def test_halves_of_an_hour_add_up_to_the_datas_hour() -> None:
    node = next(n for n in small() if isinstance(n, Forecourt))
    halves = np.array(node.arrivals).reshape(-1, 3600 // forecourt.STEP_S)
    assert halves.sum(axis=1).tolist() == node.series.columns["arrivals"].tolist()


def test_of_overlapping_intervals_those_are_added_up_that_follow_on_each_other() -> None:
    def row(end_s: int, value: float) -> dict[str, object]:
        at = {"wall_ms": end_s * 1000}
        return {"kind": "interval", "datastream": "a", "duration_s": 900.0, "at": at, "value": value}

    rows = [row(900 + 300 * i, float(i)) for i in range(7)]
    assert [r["value"] for r in intervals(rows, "a")] == [0.0, 3.0, 6.0]


def told(**changes: object) -> dict[str, object]:
    judged = {"held_out_mae": 4.0, "held_out_naive": 5.0}
    models = [{"bundle": b, "version": "1.0.0", "variant": "onnx-int8"} | judged for b in Intersection.models]
    one = dict.fromkeys(("readings_sent", "readings_received"), 9) | {"id": "intersection", "models": models}
    one |= dict.fromkeys(("readings_lost", "board_could_not_buffer", "gap_recorded"), 0)
    one |= {"scores": 4, "allowed": 3, "refused": 1, "softened": 0, "held_out": False, "forecasts": 5}
    one |= {"forecast_mae": 4.0, "naive_mae": 5.0}
    rollouts = dict.fromkeys(Intersection.models, "completed")
    return {"nodes": [one | changes], "rollouts": rollouts, "duplicates": 0, "lost": 0}


def test_a_report_that_keeps_every_promise_breaks_none() -> None:
    assert cli.promises(told()) == []


def test_a_second_task_that_answers_nothing_is_a_broken_promise() -> None:
    assert "no score of it is at the hub" in cli.promises(told(scores=0))[0]


def test_a_guard_that_only_ever_allows_or_refuses_is_a_broken_promise() -> None:
    assert cli.promises(told(allowed=0)) == ["intersection: the guard allowed nothing"]
    assert cli.promises(told(refused=0)) == ["intersection: the guard refused and softened nothing"]


@pytest.mark.parametrize(("in_force_s", "board_refused"), [(49, 0), (90, 1)])
def test_a_beat_that_is_hardly_in_force_or_that_the_board_refuses_is_a_broken_promise(
    in_force_s: int, board_refused: int
) -> None:
    beat = {"seconds": 100, "in_force_s": 90, "asked": 3, "board_refused": 0}
    assert cli.promises(told(refused=0, beat=beat)) == []
    beat |= {"in_force_s": in_force_s, "board_refused": board_refused}
    assert "the beat was in force" in cli.promises(told(refused=0, beat=beat))[0]


def test_what_a_beat_did_is_the_sum_of_its_rows() -> None:
    def row(**detail: object) -> dict[str, object]:
        return {"kind": "decision", "detail": {"verdict": "beat", "seconds": 300, **detail}}

    rows = [
        row(in_force_s=250, asked_maxima=4),
        row(in_force_s=50, asked_hold=2, asked_maxima=1, board_refused="busy:1"),
    ]
    rows.append({"kind": "decision", "detail": {"verdict": "allowed"}})
    assert report.of_beat(rows) == {"seconds": 600, "in_force_s": 300, "asked": 7, "board_refused": 1}
    assert report.of_beat([]) == {"seconds": 0, "in_force_s": 0, "asked": 0, "board_refused": 0}


def test_a_forecast_of_held_out_days_has_to_beat_the_newest_value() -> None:
    assert cli.promises(told(forecast_mae=6.0)) == []
    assert "no better than the newest value" in cli.promises(told(held_out=True, forecast_mae=6.0))[0]
    report = told()
    report["nodes"][0]["models"][1] |= {"held_out_mae": 6.0}  # type: ignore[index]
    assert "traffic-score is no better" in cli.promises(report)[0]


def test_what_the_hub_has_of_a_node_without_a_board_is_what_it_was_fed_with() -> None:
    report = told()
    for key in ("readings_sent", "readings_received"):
        del report["nodes"][0][key]  # type: ignore[index]
    report["nodes"][0] |= {"fed": 100.0, "stored": 99.0, "tolerance": 0.02}  # type: ignore[index]
    assert cli.promises(report) == []
    report["nodes"][0] |= {"stored": 80.0}  # type: ignore[index]
    assert "was fed 100.0, and the hub has 80.0" in cli.promises(report)[0]


@pytest.mark.parametrize("state", ["running", "aborted", "paused"])
def test_each_rollout_has_to_complete(state: str) -> None:
    rollouts = {"traffic-flow": "completed", "traffic-score": state}
    assert cli.promises(told() | {"rollouts": rollouts}) == [f"the rollout of traffic-score is {state}, not completed"]
    one = {"traffic-flow": "completed"}
    assert cli.promises(told() | {"rollouts": one}) == ["nobody has rolled out traffic-score"]


def test_the_sentence_of_a_node_is_its_newest_of_that_verdict() -> None:
    decisions = [
        {"sentence": word + str(i), "row": {"detail": {"verdict": word}}}
        for i, word in enumerate(["allowed", "refused", "allowed"])
    ]
    assert report.last(decisions, "allowed") == "allowed2"
    assert report.last(decisions, "refused") == "refused1"
    assert report.last([], "allowed") is None
