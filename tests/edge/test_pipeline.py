"""Windows, forecasts, policy and guard, in process: a tiny int8 model, a scaled clock that stands still."""

from __future__ import annotations

import math
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.agent import node_toml
from tests.simulators.tiny_model import TinyModel
from wayside.contracts.action import Greens
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.reading import ClockState, Quality
from wayside.contracts.sensor_config import DetectorConfig
from wayside.contracts.summary import Kind
from wayside.contracts.task import Input, TaskSpec
from wayside.edge.clock import LocalCalendar, ScaledClock, SystemClock, open_clock, stamp
from wayside.edge.guard.signal import check
from wayside.edge.intervals import Intervals, Lost, Step
from wayside.edge.outbox import Outbox
from wayside.edge.policies import signal_timing
from wayside.edge.quality import DetectorHealth
from wayside.edge.runtimes.runtime import RuntimeRunError
from wayside.edge.tasks import Pipeline
from wayside.edge.windows import History, TaskMismatch, Windows
from wayside.firmware_bridge.line.board import Gap
from wayside.firmware_bridge.line.messages import Event, Identity, Status

MINUTE = 60_000
STEP = 15 * MINUTE


def config(**more: object) -> NodeConfig:
    text = node_toml("/dev/null", anchor_s=time.time() + 3600, speed=1000)
    return msgspec.structs.replace(load_node_config(text), **more)


def identity(boot: int = 7) -> Identity:
    return Identity(1, 0, 0, 1, 0, "board-1", boot, 1, 8192)


def status(ms: int, next_seq: int, acked: int = 0) -> Status:
    return Status(ms, next_seq, 1, next_seq - 1, acked, 0, 0, 1)


class Feed:
    """A board that tells a pipeline of vehicles, by step."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.seq, self.ms = pipeline, 1, 0
        pipeline.receive([identity(), status(0, 1)])

    def step(self, *vehicles: int, gap: int = 0) -> None:
        events = []
        for at in range(max(vehicles, default=0)):
            for channel, count in enumerate(vehicles, start=1):
                if at < count:
                    ms = self.ms + (at + 1) * STEP // (max(vehicles) + 2)
                    events += [Event(self.seq, ms, 1, channel, 1), Event(self.seq + 1, ms + 1, 1, channel, 0)]
                    self.seq += 2
        heard: list[object] = list(events)
        if gap:
            heard.insert(len(heard) // 4 * 2, Gap(self.seq, self.seq + gap - 1))
            self.seq += gap
        self.ms += STEP
        self.pipeline.receive([*heard, status(self.ms, self.seq)])  # type: ignore[list-item]


def running(model: TinyModel | None = None, **more: object) -> tuple[Pipeline, Feed]:
    made = config(**more)
    pipeline = Pipeline(made, open_clock(made.clock), "0" * 32)
    if model is not None:
        pipeline.set_model(model)
    return pipeline, Feed(pipeline)


@pytest.fixture(scope="module")
def model() -> TinyModel:
    return TinyModel(window=4)


def test_a_forecast_is_compared_with_the_value_of_the_interval_it_was_made_for(model: TinyModel) -> None:
    pipeline, feed = running(model)
    for n in (10, 20, 30, 40, 50, 60):
        feed.step(n, 5)
    rows = [r for r in pipeline.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL]
    assert [r.value for r in rows] == [10, 20, 30, 40, 50, 60]
    assert [r.naive for r in rows] == [None, 10, 20, 30, 40, 50]
    assert [r.forecast is not None for r in rows] == [False] * 4 + [True, True]
    assert model.last is not None
    assert model.last.shape == (1, 4, 4)
    expected = float(TinyModel.truth(np.array([[10, 20, 30, 40]]))[0])
    assert rows[4].forecast == pytest.approx(expected, abs=2.0)
    assert rows[4].anomaly == pytest.approx(abs(50 - rows[4].forecast) / model.passport.residual_std)  # type: ignore[operator]
    assert rows[4].model == "tiny 1.0.0"
    total = [r for r in pipeline.rows if r.datastream == "intersection/volume"]
    assert [r.value for r in total] == [15, 25, 35, 45, 55, 65]


def test_a_model_with_quantiles_says_how_sure_it_is_beside_its_median() -> None:
    pipeline, feed = running(TinyModel(window=4, quantiles=(0.1, 0.5, 0.9)))
    for n in (10, 20, 30, 40, 50):
        feed.step(n, 5)
    row = [r for r in pipeline.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL][-1]
    assert row.forecast == pytest.approx(25, abs=2)
    assert row.detail == {"low": pytest.approx(row.forecast / 2), "high": pytest.approx(row.forecast * 1.5)}


def test_a_restart_by_a_newer_agent_reads_the_steps_that_an_older_one_left(model: TinyModel) -> None:
    pipeline, feed = running(model)
    for n in (10, 20, 30, 40):
        feed.step(n, 5)
    older = [body[:-1] for _, body in pipeline.steps]  # without the quantiles
    again = Pipeline(config(), open_clock(config().clock), "0" * 32)
    again.restore(msgspec.json.decode(msgspec.json.encode(pipeline.state()["pipeline"])), {}, older)
    assert again.state()["pipeline"]["step_no"] == len(older)


def windows_of(history: History, **task: object) -> Windows:
    of_site = (Input(name=n, unit="1", low=0, high=1000) for n in ("volume", "site"))
    plain = TinyModel().passport.task
    spec = msgspec.structs.replace(plain, inputs=tuple(of_site), sites=("det/7", "det/1"), window=2)
    return Windows(history, msgspec.structs.replace(spec, **task), 1, {})


def test_a_site_that_the_model_never_saw_takes_the_row_after_the_last() -> None:
    history = History(["det/1", "elsewhere"], 10)
    for value in (3.0, 4.0):
        history.push([value, value], None, None)
    windows = windows_of(history)
    assert [windows.fill(i)[0][0, :, 1].tolist() for i in (0, 1)] == [[1.0, 1.0], [2.0, 2.0]]  # type: ignore[index]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"lead": 4}, "forecasts of the next interval"),
        ({"kind": "score"}, "the model is a score"),
        (
            {
                "inputs": (
                    Input(name="volume", unit="1", low=0, high=1),
                    Input(name="holiday", unit="1", low=0, high=1, ahead=True),
                ),
                "sites": (),
            },
            "which nobody tells this node",
        ),
    ],
)
def test_a_model_that_this_node_cannot_feed_is_refused_with_the_reason(task: dict[str, object], why: str) -> None:
    with pytest.raises(TaskMismatch, match=why):
        windows_of(History(["det/1", "holiday"], 10), **task)


def test_each_decision_is_logged_with_its_verdict_and_allowed_plans_go_to_the_board(model: TinyModel) -> None:
    pipeline, feed = running(model)
    for _ in range(6):
        feed.step(60, 40)
    decisions = [r for r in pipeline.rows if r.kind is Kind.DECISION]
    assert [r.detail["verdict"] for r in decisions[:3]] == ["held"] * 3
    assert {r.detail["verdict"] for r in decisions[3:]} <= {"allowed", "refused", "held"}
    counts = pipeline.count()
    assert counts["proposals_allowed"] + counts.get("proposals_refused", 0) >= 1
    assert pipeline.plan is not None
    assert sum(pipeline.plan.values()) == pytest.approx(52)


def test_lost_events_leave_a_gap_and_never_a_zero(model: TinyModel) -> None:
    pipeline, feed = running(model)
    feed.step(10, 0)
    feed.step(0, 0, gap=7)
    feed.step(12, 3)
    rows = [r for r in pipeline.rows if r.datastream == "det/2" and r.kind is Kind.INTERVAL]
    assert [(r.value, r.quality) for r in rows] == [(0, Quality.GOOD), (None, Quality.MISSING), (3, Quality.GOOD)]
    (ledger,) = [r for r in pipeline.rows if r.kind is Kind.GAP]
    assert ledger.value == 7
    counts = pipeline.count()
    assert counts["readings_lost"] == 7
    assert counts["readings_received"] + counts["readings_lost"] == counts["readings_sent"]


def test_a_rebooted_board_is_an_alert_and_its_numbers_go_on(model: TinyModel) -> None:
    pipeline, feed = running(model)
    feed.step(10, 4)
    pipeline.receive([Gap(feed.seq, feed.seq + 2), identity(boot=8), status(0, 1)])
    feed.seq, feed.ms = 1, 0
    feed.step(5, 5)
    counts = pipeline.count()
    assert counts["readings_lost"] == 3
    assert counts["readings_received"] == 2 * (14 + 10)
    assert counts["readings_sent"] == counts["readings_received"] + 3
    assert any("restarted" in str(r.detail.get("what")) for r in pipeline.rows if r.kind is Kind.ALERT)


def test_a_restart_continues_the_open_step_and_the_window(tmp_path: Path, model: TinyModel) -> None:
    pipeline, feed = running(model)
    for n in (10, 20, 30):
        feed.step(n, 5)
    pipeline.receive([Event(feed.seq, feed.ms + 5, 1, 1, 1)])
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    box.commit(pipeline.rows, pipeline.state(), pipeline.steps)
    box.close()
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    made = config()
    again = Pipeline(made, open_clock(made.clock), "1" * 32)
    again.restore(box.load("pipeline"), box.load("counters"), box.history())
    again.set_model(model)
    assert again.durable == (7, feed.seq)
    feed.pipeline, feed.seq = again, feed.seq + 1
    again.receive([identity()])
    feed.step(39, 5)
    (row,) = [r for r in again.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL]
    assert row.value == 40
    assert row.naive == 30
    feed.step(50, 5)
    row = [r for r in again.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL][-1]
    assert row.forecast is not None
    counts = again.count()
    assert counts["readings_received"] == counts["readings_sent"]


def test_with_an_unknown_clock_nothing_is_predicted_and_later_the_rows_are_restamped(model: TinyModel) -> None:
    made = config()
    made = msgspec.structs.replace(made, clock=msgspec.structs.replace(made.clock, kind="system"))
    clock = SystemClock()
    clock._ask_kernel = lambda now: None  # type: ignore[method-assign]
    pipeline = Pipeline(made, clock, "0" * 32)
    pipeline.set_model(model)
    feed = Feed(pipeline)
    for _ in range(5):
        feed.step(10, 10)
    assert all(r.at.wall_ms is None and r.at.clock is ClockState.UNKNOWN for r in pipeline.rows)
    assert not pipeline.clock_arrived()
    assert not [r for r in pipeline.rows if r.forecast is not None]
    now = clock.mono_ns()
    clock.hear_hub(int(time.time() * 1000), now, now)
    assert pipeline.clock_arrived()
    assert not pipeline.clock_arrived()
    assert all(r.at.wall_ms is not None and r.at.clock is ClockState.HUB for r in pipeline.rows)
    feed.step(10, 10)
    feed.step(10, 10)
    assert [r for r in pipeline.rows if r.forecast is not None]


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 500)), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(10, 30),
)
@settings(max_examples=150, deadline=None)
def test_a_window_holds_the_rows_an_interval_apart_oldest_first(
    values: list[int | None], every: int, window: int, capacity: int
) -> None:
    spec = TaskSpec(
        name="t",
        domain="traffic",
        inputs=tuple(Input(name=n, unit="1", low=0, high=1000) for n in ("volume", "hour", "weekday", "lanes")),
        output="volume",
        output_unit="{veh}",
        window=window,
        horizon=1,
        interval_s=900,
        season=1,
    )
    history = History(["a"], capacity)
    windows = Windows(history, spec, every, {"a": 3}) if (window - 1) * every + 1 <= capacity else None
    for i, value in enumerate(values):
        history.push([value], float(i % 24), 1.0)
    if windows is None:
        return
    filled = windows.fill(0)
    ends = [len(values) - 1 - every * (window - 1 - row) for row in range(window)]
    if ends[0] < 0:
        assert filled is None
        return
    wanted = [values[e] for e in ends]
    missing = sum(v is None for v in wanted)
    if missing * 2 > window or wanted[0] is None:
        assert filled is None
        return
    assert filled is not None
    x, substituted = filled
    assert substituted == missing
    last = None
    for row, value in enumerate(wanted):
        last = value if value is not None else last
        assert x[0, row, 0] == last
    assert x[0, :, 1].tolist() == [float(e % 24) for e in ends]
    assert set(x[0, :, 3].tolist()) == {3.0}


SIGNAL = config().signal
assert SIGNAL is not None


@given(
    st.dictionaries(st.integers(1, 5), st.floats(allow_nan=True, allow_infinity=True), max_size=4),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_allowed_plan_violates_a_limit_whatever_is_proposed(
    proposal: dict[int, float], quality_ok: bool, clock_known: bool
) -> None:
    last = {2: 26.0, 4: 26.0}
    verdict = check(proposal, SIGNAL, last=last, quality_ok=quality_ok, clock_known=clock_known)
    if verdict.allowed:
        _legal(proposal, last)
        assert quality_ok
        assert clock_known
    else:
        assert all(verdict.reasons)


@given(st.dictionaries(st.sampled_from([2, 4]), st.floats(0, 5000), max_size=2), st.floats(8, 44))
@settings(max_examples=300, deadline=None)
def test_what_the_policy_proposes_fills_the_cycle_and_only_legal_plans_pass(
    flows: dict[int, float], before: float
) -> None:
    last = {2: round(before, 1), 4: round(52 - before, 1)}
    proposal = signal_timing.greens(flows, SIGNAL)
    for _ in range(3):
        assert sum(proposal.values()) == pytest.approx(52, abs=1e-6)
        if check(proposal, SIGNAL, last=last, quality_ok=True, clock_known=True).allowed:
            _legal(proposal, last)
        proposal = dict(signal_timing.soften(Greens(proposal), SIGNAL).seconds)


def _legal(plan: dict[int, float], last: dict[int, float]) -> None:
    assert plan.keys() == {2, 4}
    assert all(8 <= g <= 45 and math.isfinite(g) for g in plan.values())
    assert abs(sum(plan.values()) + 8 - 60) <= 0.11
    assert all(abs(plan[p] - last[p]) <= SIGNAL.max_change_s + 1e-6 for p in plan)


@given(st.lists(st.tuples(st.integers(0, 3 * STEP), st.booleans()), max_size=80), st.lists(st.booleans(), min_size=80))
@settings(max_examples=100, deadline=None)
def test_every_event_and_every_loss_lands_in_exactly_one_step(edges: list[tuple[int, bool]], lost: list[bool]) -> None:
    intervals = Intervals([DetectorConfig(channel=1, datastream="d")], 900)
    intervals.start(0)
    closed: list[Step | Lost] = []
    losses = 0
    ordered = sorted(edges)
    for (ms, up), gone in zip(ordered, lost, strict=False):
        if gone:
            intervals.lose(2)
            losses += 2
        intervals.event(ms, 1, 1, int(up), closed)
    intervals.pass_time(4 * STEP, closed)
    steps = [c for c in closed if isinstance(c, Step)]
    assert [s.end_ms for s in steps] == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert sum(s.readings[0] for s in steps) == len(edges)
    assert sum(c.events for c in closed if isinstance(c, Lost)) == losses
    for step in steps:
        truth = sum(up for ms, up in ordered if step.start_ms <= ms < step.end_ms)
        assert step.counts[0] == truth or (step.counts[0] is None and truth == 0)
        assert (step.counts[0] is None) == (step.qualities[0] is Quality.MISSING)


def health(**more: object) -> DetectorHealth:
    return DetectorHealth(DetectorConfig(channel=1, datastream="d", **more), 0)  # type: ignore[arg-type]


def test_presence_without_release_is_stuck_on() -> None:
    detector = health(stuck_on_s=300)
    detector.edge(1000, 1)
    assert detector.close(200_000)[1] is Quality.GOOD
    assert detector.close(302_000)[1] is Quality.STUCK_ON
    detector.edge(303_000, 0)
    assert detector.close(400_000)[1] is Quality.STUCK_ON
    assert detector.close(500_000)[1] is Quality.GOOD


def test_a_long_silence_is_no_hit_and_a_vehicle_ends_it() -> None:
    detector = health(no_hit_s=3600)
    assert detector.close(3_600_000)[1] is Quality.GOOD
    assert detector.close(3_700_000)[1] is Quality.NO_HIT
    detector.edge(3_800_000, 1)
    detector.edge(3_800_500, 0)
    assert detector.close(3_900_000)[1] is Quality.GOOD


def test_38_edges_in_30_seconds_are_chatter_and_37_are_not() -> None:
    for n, wanted in ((37, Quality.GOOD), (38, Quality.CHATTER)):
        detector = health()
        for i in range(n):
            detector.edge(i * 700, 1)
            detector.edge(i * 700 + 300, 0)
        assert detector.close(900_000)[1] is wanted


def test_the_calendar_of_a_row_is_that_of_its_end_in_local_time() -> None:
    calendar = LocalCalendar("Europe/Berlin")
    assert calendar.of(1704067200_000 + 30 * MINUTE) == (1.5, 0.0)  # 2024-01-01, a Monday


def test_a_scaled_clock_agrees_with_itself_after_a_restart() -> None:
    made = config().clock
    first, second = ScaledClock(made), ScaledClock(made)
    assert first.mono_ns() == second.mono_ns() == 0
    said = stamp(first, "0" * 32, 900 * 10**9)
    assert said.wall_ms == 1704067200_000 + STEP
    assert said.clock is ClockState.SIMULATED


def test_a_model_that_fails_when_it_runs_costs_the_forecast_and_nothing_else() -> None:
    pipeline = Pipeline(config(), open_clock(config().clock), "0" * 32)
    model = TinyModel()

    def fails(_: object) -> None:
        raise RuntimeRunError("onnxruntime cannot run the model: indices out of range")

    model.run = fails  # type: ignore[assignment]
    pipeline.set_model(model)
    feed = Feed(pipeline)
    for _ in range(8):
        feed.step(10, 12)
    rows = pipeline.rows
    assert [r.value for r in rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL] == [10.0] * 8
    assert any(r.kind is Kind.ALERT and "cannot run the model" in str(r.detail["what"]) for r in rows)
    assert {r.detail["verdict"] for r in rows if r.kind is Kind.DECISION} == {"held"}
