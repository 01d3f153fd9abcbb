"""Windows, forecasts, policy and guard, in process: a tiny int8 model, a scaled clock that stands still."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import json

from tests.simulators.agent import node_toml
from tests.simulators.tiny_model import TinyModel
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.reading import ClockState, Quality
from wayside.contracts.summary import Kind
from wayside.edge.clock import SystemClock, open_clock
from wayside.edge.node import Node
from wayside.edge.outbox import Outbox
from wayside.edge.runtimes.runtime import RuntimeRunError
from wayside.firmware_bridge.line.board import Gap
from wayside.firmware_bridge.line.messages import Event, Identity, Status

pytestmark = pytest.mark.usefixtures("shared_greens")
MINUTE = 60_000
STEP = 15 * MINUTE


def config(**more: object) -> NodeConfig:
    text = node_toml("/dev/null", anchor_s=time.time() + 3600, speed=1000, green_times=True)
    return msgspec.structs.replace(load_node_config(text), **more)


def identity(boot: int = 7) -> Identity:
    return Identity(1, 0, 0, 1, 0, "board-1", boot, 1, 8192)


def status(ms: int, next_seq: int, acked: int = 0) -> Status:
    return Status(ms, next_seq, 1, next_seq - 1, acked, 0, 0, 1)


class Feed:
    """A board that tells a node of vehicles, by step."""

    def __init__(self, node: Node) -> None:
        self.node, self.seq, self.ms = node, 1, 0
        node.receive([identity(), status(0, 1)])

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
        self.node.receive([*heard, status(self.ms, self.seq)])  # type: ignore[list-item]


def running(model: TinyModel | None = None, **more: object) -> tuple[Node, Feed]:
    made = config(**more)
    node = Node(made, open_clock(made.clock), "0" * 32)
    if model is not None:
        node.set_model("traffic-flow", model)
    return node, Feed(node)


@pytest.fixture(scope="module")
def model() -> TinyModel:
    return TinyModel(window=4)


def test_a_forecast_is_compared_with_the_value_of_the_interval_it_was_made_for(model: TinyModel) -> None:
    node, feed = running(model)
    for n in (10, 20, 30, 40, 50, 60):
        feed.step(n, 5)
    rows = [r for r in node.ledger.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL]
    assert [r.value for r in rows] == [10, 20, 30, 40, 50, 60]
    assert [r.naive for r in rows] == [None, 10, 20, 30, 40, 50]
    assert [r.forecast is not None for r in rows] == [False] * 4 + [True, True]
    assert model.last is not None
    assert model.last.shape == (1, 4, 4)
    expected = float(TinyModel.truth(np.array([[10, 20, 30, 40]]))[0])
    assert rows[4].forecast == pytest.approx(expected, abs=2.0)
    assert rows[4].anomaly == pytest.approx(abs(50 - rows[4].forecast) / model.passport.residual_std)  # type: ignore[operator]
    assert rows[4].model == "traffic-flow 1.0.0"
    total = [r for r in node.ledger.rows if r.datastream == "intersection/volume"]
    assert [r.value for r in total] == [15, 25, 35, 45, 55, 65]


def test_a_model_with_quantiles_says_how_sure_it_is_beside_its_median() -> None:
    node, feed = running(TinyModel(window=4, quantiles=(0.1, 0.5, 0.9)))
    for n in (10, 20, 30, 40, 50):
        feed.step(n, 5)
    row = [r for r in node.ledger.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL][-1]
    assert row.forecast == pytest.approx(25, abs=2)
    assert row.detail == {"low": pytest.approx(row.forecast / 2), "high": pytest.approx(row.forecast * 1.5)}


def test_each_decision_is_logged_with_its_verdict_and_allowed_plans_go_to_the_board(model: TinyModel) -> None:
    node, feed = running(model)
    for _ in range(6):
        feed.step(60, 40)
    decisions = [r for r in node.ledger.rows if r.kind is Kind.DECISION]
    assert [r.detail["verdict"] for r in decisions[:3]] == ["held"] * 3
    assert {r.detail["verdict"] for r in decisions[3:]} <= {"allowed", "refused", "held"}
    counts = node.count()
    assert counts["proposals_allowed"] + counts.get("proposals_refused", 0) >= 1
    assert node.plan is not None
    assert sum(node.plan.values()) == pytest.approx(52)


def test_lost_events_leave_a_gap_and_never_a_zero(model: TinyModel) -> None:
    node, feed = running(model)
    feed.step(10, 0)
    feed.step(0, 0, gap=7)
    feed.step(12, 3)
    rows = [r for r in node.ledger.rows if r.datastream == "det/2" and r.kind is Kind.INTERVAL]
    assert [(r.value, r.quality) for r in rows] == [(0, Quality.GOOD), (None, Quality.MISSING), (3, Quality.GOOD)]
    (ledger,) = [r for r in node.ledger.rows if r.kind is Kind.GAP]
    assert ledger.value == 7
    counts = node.count()
    assert counts["readings_lost"] == 7
    assert counts["readings_received"] + counts["readings_lost"] == counts["readings_sent"]


def test_a_rebooted_board_is_an_alert_and_its_numbers_go_on(model: TinyModel) -> None:
    node, feed = running(model)
    feed.step(10, 4)
    node.receive([Gap(feed.seq, feed.seq + 2), identity(boot=8), status(0, 1)])
    feed.seq, feed.ms = 1, 0
    feed.step(5, 5)
    counts = node.count()
    assert counts["readings_lost"] == 3
    assert counts["readings_received"] == 2 * (14 + 10)
    assert counts["readings_sent"] == counts["readings_received"] + 3
    assert any("restarted" in str(r.detail.get("what")) for r in node.ledger.rows if r.kind is Kind.ALERT)


def test_a_restart_continues_the_open_step_and_the_window(tmp_path: Path, model: TinyModel) -> None:
    node, feed = running(model)
    for n in (10, 20, 30):
        feed.step(n, 5)
    node.receive([Event(feed.seq, feed.ms + 5, 1, 1, 1)])
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    box.commit(node.ledger.rows, node.state(), node.steps)
    box.close()
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    made = config()
    again = Node(made, open_clock(made.clock), "1" * 32)
    again.restore({key: box.load(key) for key in Node.PIECES}, box.history())
    again.set_model("traffic-flow", model)
    assert again.durable == (7, feed.seq)
    feed.node, feed.seq = again, feed.seq + 1
    again.receive([identity()])
    feed.step(39, 5)
    (row,) = [r for r in again.ledger.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL]
    assert row.value == 40
    assert row.naive == 30
    feed.step(50, 5)
    row = [r for r in again.ledger.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL][-1]
    assert row.forecast is not None
    counts = again.count()
    assert counts["readings_received"] == counts["readings_sent"]


def stored(node: Node) -> dict[str, object]:
    return json.decode(json.encode(node.state()))


def open_after_restart(pieces: dict[str, object], **more: object) -> list[tuple[str, str]]:
    made = config(**more)
    again = Node(made, open_clock(made.clock), "1" * 32)
    again.restore(pieces, [])
    still = sorted((c.code, c.subject) for c in again.ledger.conditions())
    over = [(str(r.detail["condition"]), r.datastream) for r in again.ledger.rows if r.detail.get("ended")]
    assert sorted(still + over) == sorted(EVERY), "each is open or told as over"
    return still


EVERY = (
    ("actuator_unconfirmed", "heater"),
    ("detector_no_hit", "det/1"),
    ("door_open", "door"),
    ("feeder_silent", "ed/arrivals"),
    ("file_unreadable", "ed/arrivals"),
    ("forecast_strange", "det/1"),
    ("install_fails", "traffic-flow"),
    ("line_lost", "board"),
    ("model_late", "flow"),
    ("notice_alarm", "flow/incident"),
    ("plan_unsendable", "board"),
    ("register_fails", "meter"),
    ("routine_fails", "sync"),
    ("score_high", "flow/det/1"),
    ("storage_fails", "storage"),
)


@pytest.fixture
def troubled() -> dict[str, object]:
    """The state of a node with many a condition, also about parts that it does not have."""
    node, _ = running()
    for code, subject in EVERY:
        node.ledger.begin(code, subject, "wrong")
    return stored(node)


def test_after_a_restart_a_condition_holds_only_where_somebody_can_end_it(troubled: dict[str, object]) -> None:
    gone = {"actuator_unconfirmed", "door_open", "feeder_silent", "file_unreadable", "install_fails", "register_fails"}
    gone |= {"routine_fails"}
    assert open_after_restart(troubled) == [(code, subject) for code, subject in EVERY if code not in gone]


def test_what_the_configuration_no_longer_has_is_wrong_no_more(troubled: dict[str, object]) -> None:
    assert open_after_restart(troubled, tasks=(), actuators=(), sums=(), board=None, detectors=()) == [
        ("storage_fails", "storage")
    ]


def test_a_task_that_lost_its_state_does_not_leave_open_what_only_it_remembered(troubled: dict[str, object]) -> None:
    troubled["node"]["tasks"]["flow"]["done"] = "damaged"  # type: ignore[index]
    troubled["node"]["tasks"]["flow"].pop("undone")  # type: ignore[index]
    kept = {code for code, _ in open_after_restart(troubled)}
    assert not kept & {"forecast_strange", "score_high", "notice_alarm"}
    assert "model_late" in kept


def test_with_an_unknown_clock_nothing_is_predicted_and_later_the_rows_are_restamped(model: TinyModel) -> None:
    made = config()
    made = msgspec.structs.replace(made, clock=msgspec.structs.replace(made.clock, kind="system"))
    clock = SystemClock()
    clock._ask_kernel = lambda now: None  # type: ignore[method-assign]
    node = Node(made, clock, "0" * 32)
    node.set_model("traffic-flow", model)
    feed = Feed(node)
    for _ in range(5):
        feed.step(10, 10)
    assert all(r.at.wall_ms is None and r.at.clock is ClockState.UNKNOWN for r in node.ledger.rows)
    assert not node.clock_arrived()
    assert not [r for r in node.ledger.rows if r.forecast is not None]
    now = clock.mono_ns()
    clock.hear_hub(int(time.time() * 1000), now, now)
    assert node.clock_arrived()
    assert not node.clock_arrived()
    assert all(r.at.wall_ms is not None and r.at.clock is ClockState.HUB for r in node.ledger.rows)
    feed.step(10, 10)
    feed.step(10, 10)
    assert [r for r in node.ledger.rows if r.forecast is not None]


def test_a_model_that_fails_when_it_runs_costs_the_forecast_and_nothing_else() -> None:
    node = Node(config(), open_clock(config().clock), "0" * 32)
    model = TinyModel()

    def fails(_: object) -> None:
        raise RuntimeRunError("onnxruntime cannot run the model: indices out of range")

    model.run = fails  # type: ignore[assignment]
    node.set_model("traffic-flow", model)
    feed = Feed(node)
    for _ in range(8):
        feed.step(10, 12)
    rows = node.ledger.rows
    assert [r.value for r in rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL] == [10.0] * 8
    assert any(r.kind is Kind.ALERT and "cannot run the model" in str(r.detail["what"]) for r in rows)
    assert {r.detail["verdict"] for r in rows if r.kind is Kind.DECISION} == {"held"}


def test_a_setting_that_does_not_fit_keeps_no_node_from_sensing(model: TinyModel) -> None:
    made = config()
    task = msgspec.structs.replace(made.tasks[0], settings={"phases": {"det/1": 7}})
    node, feed = running(model, tasks=(task,))
    for n in (10, 20, 30, 40, 50):
        feed.step(n, 5)
        node.pass_time()
    rows = [r for r in node.ledger.rows if r.datastream == "det/1" and r.kind is Kind.INTERVAL]
    assert [r.value for r in rows] == [10, 20, 30, 40, 50]
    assert rows[-1].forecast is not None
    assert node.plan is None
    told = [r.detail for r in node.ledger.rows if r.detail.get("condition") == "policy_failed"]
    assert len(told) == 1
    assert "waits for phase 7" in str(told[0]["what"])
