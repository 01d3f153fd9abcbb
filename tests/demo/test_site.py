"""The demo's nodes: their files are valid, and fit the models that the demo trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulators.node_kinds import passport_of
from wayside.cloud.demo import cli, report
from wayside.cloud.demo.site import FLOW, SCORE, Node, nodes
from wayside.cloud.train.taskfile import load_task
from wayside.contracts.fit import misfits
from wayside.contracts.node_config import NodeConfig, read_node_config

MODELS = {FLOW: "traffic_flow", SCORE: "traffic_score"}


@pytest.fixture(scope="module", params=[0, 1, 2])
def node(request: pytest.FixtureRequest) -> tuple[Node, NodeConfig]:
    one = nodes()[request.param]
    text = one.config(
        state=Path("/s"), port=Path("/p"), hub="http://h", token="t" * 16, speed=9.0, anchor=0.0, root=Path("/r.json")
    )
    loaded = read_node_config(text)
    assert loaded.hints == ()
    return one, loaded.config


def test_every_task_takes_the_model_that_the_demo_makes_for_it(node: tuple[Node, NodeConfig]) -> None:
    one, config = node
    assert [t.bundle for t in config.tasks] == list(one.bundles)
    for task in config.offer("1.0.0").tasks:
        model = passport_of(load_task(MODELS[task.bundle]).task)
        assert misfits(model, task, config.offer("1.0.0")) == []


def test_node_1_runs_both_and_the_others_the_forecast_alone(node: tuple[Node, NodeConfig]) -> None:
    one, config = node
    assert [t.name for t in config.tasks] == (["flow", "score"] if one.name == "node-1" else ["flow"])
    assert config.tasks[0].policy == "signal_timing"
    assert config.signal is not None
    detectors = {d.datastream for d in config.detectors}
    for task in config.tasks:
        assert {s.output for s in task.sites} == detectors
    assert set(config.tasks[0].settings["phases"]) <= detectors
    assert set(config.sums[0].of) == detectors


def told(**changes: object) -> dict[str, object]:
    models = [{"bundle": b, "version": "1.0.0", "variant": "onnx-int8"} for b in (FLOW, SCORE)]
    one = dict.fromkeys(("readings_sent", "readings_received"), 9) | {"id": "node-1", "models": models, "scores": 4}
    one |= dict.fromkeys(("readings_lost", "board_could_not_buffer", "gap_recorded"), 0)
    rollouts = {FLOW: "completed", SCORE: "completed"}
    made = {"nodes": [one | changes], "rollouts": rollouts, "duplicates": 0, "lost": 0}
    return made | {"forecast_mae": 4.0, "naive_mae": 5.0}


def test_a_report_that_keeps_every_promise_breaks_none() -> None:
    assert cli.promises(told()) == []


def test_a_second_task_that_answers_nothing_is_a_broken_promise() -> None:
    assert "no score of it is at the hub" in cli.promises(told(scores=0))[0]


@pytest.mark.parametrize("state", ["running", "aborted", "paused"])
def test_each_rollout_has_to_complete(state: str) -> None:
    report = told() | {"rollouts": {FLOW: "completed", SCORE: state}}
    assert cli.promises(report) == [f"the rollout of {SCORE} is {state}, not completed"]
    assert cli.promises(told() | {"rollouts": {FLOW: "completed"}}) == [f"nobody has rolled out {SCORE}"]


def test_scores_are_the_rows_of_the_task_that_scores() -> None:
    def row(name: str, value: float | None, kind: str = "interval") -> dict[str, object]:
        return {"datastream": name, "value": value, "kind": kind}

    rows = [row("score/detector/2/volume", 1.5), row("score/detector/2/volume", None), row("detector/2/volume", 9.0)]
    rows.append(row("score/detector/2/volume", 7.0, "alert"))
    assert report.scores(rows) == [1.5]
