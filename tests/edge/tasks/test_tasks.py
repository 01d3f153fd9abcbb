"""Tasks side by side, in a whole node: several kinds, several sources, models that are wrong, slow or hang."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.edge.test_ledger import Hand
from tests.simulators.tiny_model import TinyModel
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.passport import Passport
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.task import Input
from wayside.contracts.windows import Float32
from wayside.edge.node import Node
from wayside.edge.runtimes.runtime import RuntimeRunError
from wayside.edge.tasks.health import BLOCKS, COMPARED, CONSTANT
from wayside.edge.tasks.runner import Job, Runner, ThreadRunner
from wayside.edge.tasks.window import TaskMismatch
from wayside.firmware_bridge.line.board import Gap
from wayside.firmware_bridge.line.messages import Event, Identity, Status

STEP_MS = 900_000
BASE = """
wire = 1
node = "node-1"
state_dir = "state"
[clock]
kind = "scaled"
start_unix_s = 1704067200
[board]
port = "/dev/null"
[modbus]
port = "/dev/null2"
[[modbus.registers]]
device = 1
address = 0
datastream = "mast/rain"
unit = "mm"
poll_s = 60
[[detectors]]
channel = 1
datastream = "det/1"
[[detectors]]
channel = 2
datastream = "det/2"
[[actuators]]
kind = "notice"
name = "people"
"""
SITES = '[{ output = "det/1", site = "one" }, { output = "det/2", site = "two" }]'


def table(name: str, **more: object) -> str:
    keys = {"kind": "forecast", "interval_s": 900} | more
    lines = [f"{k} = {v!r}".replace("'", '"') for k, v in keys.items()]
    return "\n".join(
        ["[[tasks]]", f'name = "{name}"', f'bundle = "{name}"', *lines, f"sites = {more.get('sites', SITES)}", ""]
    )


class Made:
    """A model that answers what a function says of a window (1, T, F)."""

    name, provider = "onnxruntime", "cpu"

    def __init__(
        self,
        bundle: str,
        answer: Callable[[Float32], Any],
        inputs: Sequence[str] = ("volume",),
        ahead: Sequence[str] = (),
        **task: Any,
    ) -> None:
        plain = TinyModel().passport
        units = {"volume": "{veh}", "rain": "mm"}
        spec = msgspec.structs.replace(
            plain.task,
            inputs=tuple(
                Input(name=n, unit=units.get(n, "1"), low=0, high=1 if n == "holiday" else 1e6, ahead=n in ahead)
                for n in inputs
            ),
            **{"window": 2, "missing": "graph", **task},
        )
        self.passport: Passport = msgspec.structs.replace(plain, bundle=bundle, task=spec)
        self.runtime = self
        self.input_shape, self.output_shape = (1, *spec.input_shape), (1, *spec.output_shape)
        self.windows: list[Float32] = []
        self._answer = answer

    def run(self, x: Float32) -> Float32:
        self.windows.append(x.copy())
        return np.asarray(self._answer(x), np.float32).reshape(self.output_shape)

    def close(self) -> None:
        pass


def newest(x: Float32) -> float:
    return float(x[0, -1, 0])


class Town:
    """A node with two detectors and a rain gauge, in simulated time."""

    def __init__(self, *tables: str, runner: Runner | None = None, extra: str = "") -> None:
        self.config: NodeConfig = load_node_config(BASE + "".join(tables) + extra)
        self.clock = Hand()
        self.clock._start_ms = 1704067200_000
        self.node = Node(self.config, self.clock, "0" * 32, runner)
        self.seq, self.ms = 1, 0
        self.node.receive([Identity(2, 0, 0, 1, 0, "board-1", 7, 1, 8192), Status(0, 1, 1, 0, 0, 0, 0, 9)])
        self.node.pass_time()

    def use(self, *models: Made) -> Town:
        for model in models:
            self.node.set_model(model.passport.bundle, model)
        bundles = {m.passport.bundle for m in models}
        assert [t.why for t in self.node.task_states() if t.bundle in bundles] == [None] * len(models)
        return self

    def step(self, first: int = 10, second: int = 10, rain: float | None = 0.0) -> None:
        events = []
        for channel, count in ((1, first), (2, second)):
            for i in range(count):
                at = self.ms + 1000 + (i * (STEP_MS - 10_000)) // max(1, count)
                events += [(at, channel, 1), (at + 300, channel, 0)]
        heard: list[Any] = []
        for at, channel, level in sorted(events):
            heard.append(Event(self.seq, at, 1, channel, level))
            self.seq += 1
        if rain is not None:
            for minute in range(15):
                self.clock.now_ns = (self.ms + minute * 60_000) * 1_000_000
                self.node.value_read(self.node.registers, 0, rain)
        self.ms += STEP_MS
        self.clock.now_ns = self.ms * 1_000_000
        self.node.receive([*heard, Status(self.ms, self.seq, 1, self.seq - 1, 0, 0, 0, 9)])
        if rain is not None:
            self.node.pass_time()

    def rows(self, name: str) -> list[Summary]:
        return [r for r in self.node.ledger.rows if r.datastream == name and r.kind is Kind.INTERVAL]

    def open(self) -> set[tuple[str, str]]:
        return {(c.code, c.subject) for c in self.node.ledger.conditions()}

    def alerts(self, code: str) -> list[dict[str, Any]]:
        return [r.detail for r in self.node.ledger.rows if r.detail.get("condition") == code]


def test_two_tasks_share_the_columns_of_one_history_and_each_has_rows_of_its_own() -> None:
    flow, later = Made("flow", newest), Made("later", lambda x: 2 * newest(x))
    score = Made("odd", lambda _: 1.0, kind="score")
    town = Town(table("flow"), table("later"), table("odd", kind="score")).use(flow, later, score)
    for n in (10, 20, 30, 40):
        town.step(n, 5)
    assert [r.value for r in town.rows("det/1")] == [10, 20, 30, 40]
    assert [r.forecast for r in town.rows("det/1")][-2:] == [20, 30]
    assert [r.forecast for r in town.rows("later/det/1")][-2:] == [40, 60]
    assert [(r.value, r.unit, r.model) for r in town.rows("odd/det/2")][-1] == (1.0, "1", "odd 1.0.0")
    history = town.node._history
    assert len(history._columns[0]) == 1, "fifteen minutes of both detectors are kept once"


def test_tasks_of_different_intervals_have_columns_of_their_own() -> None:
    quick, slow = Made("quick", newest), Made("slow", newest, interval_s=3600.0)
    town = Town(table("quick"), table("slow", interval_s=3600)).use(quick, slow)
    for n in range(1, 13):
        town.step(n, 0)
    assert [r.value for r in town.rows("det/1")] == list(range(1, 13))
    assert [r.value for r in town.rows("slow/det/1")] == [10, 26, 42]
    assert slow.windows[-2][0, :, 0].tolist() == [26, 42]
    assert town.rows("slow/det/1")[-1].duration_s == 3600


def test_a_dead_rain_gauge_silences_its_own_task_no_longer_than_it_waits_and_no_other_at_all() -> None:
    flow = Made("flow", newest)
    wet = Made("wet", lambda x: 0.0 if np.isnan(x[0, -1, 1]) else float(x[0, -1, 1]), inputs=("volume", "rain"))
    town = Town(
        table("flow"),
        table("wet", wait_s=1800.0, inputs="RAIN").replace('inputs = "RAIN"', 'inputs = { rain = "mast/rain" }'),
    ).use(flow, wet)
    for _ in range(3):
        town.step(rain=4.0)
    assert wet.windows[-1][0, :, 1].tolist() == [4.0, 4.0]
    rows = len(town.rows("wet/det/1"))
    town.step(rain=None)
    town.step(rain=None)
    assert len(town.rows("det/1")) == 5
    assert len(town.rows("wet/det/1")) == rows, "it waits for the gauge"
    town.step(rain=None)
    assert len(town.rows("wet/det/1")) == rows + 1
    assert np.isnan(wet.windows[-1][0, -1, 1])


@pytest.mark.parametrize("known", [True, False])
def test_a_model_of_lead_0_answers_about_the_interval_that_begins_or_the_one_that_ended(known: bool) -> None:
    inputs = ("hour", "holiday") if known else ("hour", "rain")
    model = Made("day", lambda x: newest(x) * 10, inputs=inputs, ahead=inputs[1:] if known else (), lead=0)
    tail = "" if known else 'inputs = { rain = "mast/rain" }\n'
    town = Town(table("day", lead=0) + tail, extra='[calendar]\nholiday = ["2024-01-01"]\n').use(model)
    for _ in range(4):
        town.step(7, 7)
    rows = town.rows("det/1")
    hours = [0.25, 0.5, 0.75, 1.0]
    made = [r.forecast for r in rows if r.forecast is not None]
    assert made == pytest.approx([h * 10 for h in hours[len(hours) - len(made) :]])
    assert rows[-1].forecast == pytest.approx(10.0), "made for the interval that ends at one o'clock"
    if known:
        assert model.windows[-1][0, -1, 0] == 1.25
        assert model.windows[-1][0, -1, 1] == 1.0


def test_a_forecast_of_lead_4_is_compared_with_the_interval_it_was_made_for() -> None:
    model = Made("far", newest, lead=4, horizon=3, quantiles=())
    model._answer = lambda x: [newest(x), 0.0, 0.0]
    town = Town(table("far", lead=4, horizon=3)).use(model)
    for n in range(10, 22):
        town.step(n, 3)
    rows = town.rows("det/1")
    assert [(r.value, r.forecast, r.naive) for r in rows[-3:]] == [(19, 15, 15), (20, 16, 16), (21, 17, 17)]


def test_a_site_is_the_models_own_index_and_an_unknown_one_the_index_after_the_last() -> None:
    model = Made("flow", newest, inputs=("volume", "site"), sites=("two", "one"))
    town = Town(table("flow")).use(model)
    town.step()
    town.step()
    assert [w[0, -1, 1] for w in model.windows[-2:]] == [1.0, 0.0]


def test_a_model_that_answers_nan_raises_one_alert_and_one_when_it_is_over() -> None:
    bad = [True]
    town = Town(table("flow")).use(Made("flow", lambda x: math.nan if bad[0] else newest(x)))
    for _ in range(6):
        town.step()
    assert town.open() == {("model_nan", "flow")}
    assert len(town.alerts("model_nan")) == 1
    assert all(r.forecast is None for r in town.rows("det/1"))
    bad[0] = False
    town.step()
    assert town.open() == set()
    assert [d.get("ended", False) for d in town.alerts("model_nan")] == [False, True]


def test_a_model_that_fails_is_one_condition_that_ends() -> None:
    fails = [True]

    def answer(x: Float32) -> float:
        if fails[0]:
            raise RuntimeRunError("onnxruntime cannot run the model: indices out of range")
        return newest(x)

    town = Town(table("flow")).use(Made("flow", answer))
    for _ in range(4):
        town.step()
    assert len(town.alerts("model_fails")) == 1
    fails[0] = False
    town.step()
    assert town.open() == set()


def test_a_model_that_says_the_same_whatever_comes_is_a_condition() -> None:
    town = Town(table("flow")).use(Made("flow", lambda _: 12.0))
    for n in range(CONSTANT + 2):
        town.step(5 + 30 * (n % 2), 10)
    assert ("model_constant", "flow") in town.open()
    (condition,) = (c for c in town.node.ledger.conditions() if c.code == "model_constant")
    assert "all 12" in condition.message
    assert not condition.severe


def test_a_model_that_always_says_nothing_at_night_is_none() -> None:
    town = Town(table("flow")).use(Made("flow", lambda _: 0.0))
    for n in range(CONSTANT + 2):
        town.step(n % 2, 1)
    assert town.open() == set()


def test_a_model_that_is_worse_than_the_value_before_is_a_condition_that_survives_a_restart_and_ends() -> None:
    wrong = [40.0]
    model = Made("flow", lambda x: newest(x) + wrong[0])
    town = Town(table("flow", alert_sigma=1000.0)).use(model)
    for n in range(COMPARED + 3):
        town.step(10 + n % 3, 10)
    (condition,) = (c for c in town.node.ledger.conditions() if c.code == "model_worse")
    assert "that of the value before" in condition.message
    again = Town(table("flow", alert_sigma=1000.0))
    again.clock.now_ns, again.seq, again.ms = town.clock.now_ns, town.seq, town.ms
    pieces = msgspec.json.decode(msgspec.json.encode(town.node.state()))
    bodies = [msgspec.json.decode(msgspec.json.encode(body)) for _, body in town.node.steps]
    again.node.restore(pieces, bodies)
    again.use(model)
    assert again.open() == {("model_worse", "flow")}
    wrong[0] = 0.0
    for n in range(COMPARED * (BLOCKS + 2) // BLOCKS):
        again.step(10 + n % 3, 10)
    assert again.open() == set()
    assert [d.get("ended", False) for d in again.alerts("model_worse")] == [True]


def test_what_is_unlike_the_forecast_begins_and_ends_once_though_it_wavers_about_the_limit() -> None:
    town = Town(table("flow", alert_sigma=2.0)).use(Made("flow", lambda _: 10.0 + 0.01 * time.monotonic() % 1e-3))
    for n in (10, 10, 10, 40, 19, 40, 19, 40, 10):
        town.step(n, 10)
    details = town.alerts("forecast_strange")
    assert [d.get("ended", False) for d in details] == [False, True]


def test_a_score_over_its_limit_is_a_condition_of_its_row() -> None:
    scores = iter([1.0, 1.0, 1.0, 1.0, 9.0, 1.0, 5.5, 1.0, 2.0, 1.0])
    town = Town(table("odd", kind="score")).use(Made("odd", lambda _: next(scores), kind="score"))
    for _ in range(5):
        town.step()
    assert [r.value for r in town.rows("odd/det/1")] == [1.0, 1.0, 9.0, 5.5, 2.0]
    assert [d.get("ended", False) for d in town.alerts("score_high")] == [False, True]
    assert [r.value for r in town.rows("det/1")] == [10] * 5, "its datastream has plain rows"


def test_what_a_models_answers_raised_is_over_when_it_runs_no_more() -> None:
    town = Town(table("flow", alert_sigma=2.0) + table("odd", kind="score"))
    town.use(Made("flow", lambda _: 10.0)).use(Made("odd", lambda _: 9.0, kind="score"))
    for n in (10, 10, 10, 40):
        town.step(n, 10)
    raised = {("forecast_strange", "det/1"), ("score_high", "odd/det/1"), ("score_high", "odd/det/2")}
    assert raised <= town.open()
    for bundle in ("flow", "odd"):
        town.node.set_model(bundle, None, "it was withdrawn")
    town.step(40, 10)
    assert town.open() == {("no_model", "flow"), ("no_model", "odd")}


def test_a_score_is_of_the_newest_interval_and_there_is_none_without_it() -> None:
    town = Town(table("odd", kind="score")).use(Made("odd", lambda _: 1.0, kind="score"))
    town.step()
    town.step()
    town.node.receive([Status(town.ms + 1, town.seq + 50, town.seq + 50, town.seq - 1, 0, 0, 0, 9)])
    town.node.receive([Gap(town.seq, town.seq + 49)])
    town.seq += 50
    town.step(0, 0)
    assert [(r.value, r.quality) for r in town.rows("odd/det/1")][-1] == (None, Quality.MISSING)


def test_a_model_of_another_kind_is_refused_with_both_sides_named_and_the_old_one_keeps_running() -> None:
    model = Made("flow", newest)
    town = Town(table("flow")).use(model)
    other = Made("flow", lambda _: 1.0, kind="score")
    with pytest.raises(TaskMismatch, match=r"scores .*; the task flow forecasts"):
        town.node.fits(other.passport, "flow")
    assert town.node.task_states()[0].model == "1.0.0"
    town.node.set_model("flow", other)
    (state,) = town.node.task_states()
    assert state.model is None
    assert "scores" in str(state.why)
    (condition,) = town.node.ledger.conditions()
    assert (condition.code, condition.severe) == ("no_model", True)


class Loop:
    """Where answers of threads come in: a queue that the test empties."""

    def __init__(self) -> None:
        self.done: list[Job] = []
        self.came = threading.Condition()

    def __call__(self, job: Job) -> None:
        with self.came:
            self.done.append(job)
            self.came.notify_all()

    def give(self, node: Node, jobs: int = 1) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.done) >= jobs, timeout=20)
            done, self.done = self.done, []
        for job in done:
            node.answered(job)


def test_a_hung_model_holds_up_neither_rows_nor_other_tasks_and_is_told_when_its_deadline_has_passed() -> None:
    loop, go = Loop(), threading.Event()

    def hangs(x: Float32) -> float:
        go.wait(20)
        return newest(x)

    town = Town(table("slow", deadline_s=0.05), table("flow"), runner=ThreadRunner(loop)).use(
        Made("slow", hangs), Made("flow", newest)
    )
    town.step(10)
    loop.give(town.node)  # the answer of flow: slow hangs
    began = time.monotonic()
    town.step(20)
    assert len(town.rows("flow/det/1")) == 2
    while ("model_late", "slow") not in town.open():
        town.node.pass_time()
        assert time.monotonic() - began < 10
    loop.give(town.node)
    assert [r.value for r in town.rows("det/1")] == [10, 20], "its rows come without its answer"
    town.step(30)
    loop.give(town.node)
    assert [r.forecast for r in town.rows("flow/det/1")] == [None, 10, 20]
    go.set()
    loop.give(town.node)  # late, and not listened to
    assert all(r.forecast is None for r in town.rows("det/1"))
    town.step(40)
    loop.give(town.node, 2)
    assert ("model_late", "slow") not in town.open()
    town.step(50)
    assert town.rows("det/1")[-1].forecast == 40


def test_a_late_answer_is_dropped_also_where_nobody_looked_at_the_time_meanwhile() -> None:
    loop = Loop()

    def slow(x: Float32) -> float:
        time.sleep(0.1)
        return newest(x)

    town = Town(table("slow", deadline_s=0.05), runner=ThreadRunner(loop)).use(Made("slow", slow))
    town.step(10)
    loop.give(town.node)
    assert ("model_late", "slow") in town.open()
    town.step(20)
    assert all(r.forecast is None for r in town.rows("det/1"))


def test_steps_that_closed_while_the_model_computed_are_dealt_with_in_order_afterwards() -> None:
    loop = Loop()
    town = Town(table("flow"), runner=ThreadRunner(loop)).use(Made("flow", newest))
    for n in (10, 20, 30, 40):  # a line that was cut delivers them at once
        town.step(n)
    for _ in range(4):
        loop.give(town.node)
    assert [(r.value, r.forecast) for r in town.rows("det/1")] == [(10, None), (20, 10), (30, 20), (40, 30)]


def test_what_was_closed_and_not_dealt_with_before_a_restart_is_dealt_with_after_it() -> None:
    loop = Loop()
    town = Town(table("flow"), runner=ThreadRunner(loop)).use(Made("flow", newest))
    for n in (10, 20, 30):
        town.step(n)
    pieces = msgspec.json.decode(msgspec.json.encode(town.node.state()))
    bodies = [msgspec.json.decode(msgspec.json.encode(body)) for _, body in town.node.steps]
    written = [r.value for r in town.rows("det/1")]
    assert written == [10], "the model has the first step still"
    again = Town(table("flow"))
    again.clock.now_ns, again.seq, again.ms = town.clock.now_ns, town.seq, town.ms
    again.node.restore(pieces, bodies)
    again.use(Made("flow", newest))
    again.node.pass_time()
    assert [(r.value, r.forecast) for r in again.rows("det/1")] == [(20, 10), (30, 20)]


def test_a_notice_is_proposed_of_a_score_by_the_tasks_policy() -> None:
    text = table("odd", kind="score", policy="incident_notice", actuator="people")
    scores = [1.0]
    town = Town(text).use(Made("odd", lambda _: scores[0], kind="score"))
    for _ in range(3):
        town.step()
    assert not [c for c in town.open() if c[0].startswith("notice")]
    scores[0] = 50.0
    town.step()
    town.step()
    assert [c for c in town.open() if c[0].startswith("notice")]
