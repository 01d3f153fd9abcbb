"""Conditions: open ones from the heartbeat, past ones as spans, each once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hub.conftest import Hub
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.conditions import Alert, paired
from wayside.cloud.hub.health import health, trouble
from wayside.contracts.condition import Condition
from wayside.contracts.summary import Kind, Summary

DOOR = ("n1", "door_open", "cabinet/door")


def alert(at: int | None, *, ended: bool = False, subject: str = "cabinet/door", **detail: Any) -> Alert:
    what = "the door is open"
    about = {"condition": "door_open", "what": f"over: {what}" if ended else what, **detail}
    return Alert("n1", subject, at, about | ({"ended": True} if ended else {}))


def test_a_beginning_and_an_end_are_one_span() -> None:
    (span,) = paired([alert(50, ended=True, lasted_s=0.04), alert(10)], set())
    assert (span.begin_ms, span.end_ms, span.state, span.lasted_s) == (10, 50, "over", 0.04)
    assert span.message == "the door is open"


def test_a_flapping_condition_is_one_span_with_its_number_of_beginnings() -> None:
    rows = [alert(90, ended=True, times=7), alert(20, times=2, flaps=True), alert(10)]
    (span,) = paired(rows, set())
    assert (span.begin_ms, span.end_ms, span.times) == (10, 90, 7)


def test_one_without_an_end_is_open_only_if_the_node_says_so_and_only_the_last_one() -> None:
    rows = [alert(90), alert(50, ended=True), alert(10)]
    assert [s.state for s in paired(rows, {DOOR})] == ["open", "over"]
    assert [s.state for s in paired(rows, set())] == ["unknown", "over"]
    lost_end = [alert(90), alert(10)]
    assert [s.state for s in paired(lost_end, {DOOR})] == ["open", "unknown"]


def test_subjects_are_told_apart_and_a_time_that_is_unknown_stays_so() -> None:
    rows = [alert(None, ended=True), alert(30, subject="cabinet/door/2"), alert(None)]
    spans = {s.subject: s for s in paired(rows, {("n1", "door_open", "cabinet/door/2")})}
    assert (spans["cabinet/door"].begin_ms, spans["cabinet/door"].end_ms) == (None, None)
    assert spans["cabinet/door"].state == "over"
    assert spans["cabinet/door/2"].state == "open"


ROWS = st.lists(
    st.builds(
        alert,
        st.none() | st.integers(0, 99),
        ended=st.booleans(),
        subject=st.sampled_from(["a", "b"]),
        times=st.sampled_from([1, 2, "x", None, True, -3]),
        flaps=st.booleans(),
    ),
    max_size=30,
)


@given(ROWS, st.booleans())
def test_whatever_rows_come_at_most_one_span_of_a_subject_is_open(rows: list[Alert], is_open: bool) -> None:
    spans = paired(rows, {("n1", "door_open", "a")} if is_open else set())
    assert len(spans) <= len(rows)
    assert sum(s.state == "over" for s in spans) == sum(bool(r.detail.get("ended")) for r in rows)
    assert sum(s.state == "open" for s in spans) <= is_open
    assert all(s.times >= 1 for s in spans)


def condition_row(node: SimulatedNode, **detail: Any) -> Summary:
    about = {"condition": "door_open", "what": "the door is open", **detail}
    return node.summary(None, kind=Kind.ALERT, datastream="cabinet/door", unit="1", detail=about)


@pytest.mark.both_stores
def test_the_hub_reads_them_back_and_the_list_of_alerts_keeps_every_row(hub: Hub) -> None:
    node, other = hub.node(), hub.node("node-2")
    row = condition_row(node)
    node.wall_ms += 60_000
    open_ = Condition(code="door_open", subject="cabinet/door", message="the door is open", since=other.stamp())
    node.sync([row, condition_row(node, ended=True, lasted_s=60.0), node.summary(1.0, kind=Kind.ALERT)])
    other.sync([condition_row(other)], conditions=(open_,))
    spans = hub.get("/api/v1/conditions")["conditions"]
    assert [(s["node"], s["state"], s["lasted_s"]) for s in spans] == [  # type: ignore[attr-defined]
        ("node-2", "open", None),
        ("node-1", "over", 60.0),
    ]
    assert len(hub.get("/api/v1/conditions", node="node-1")["conditions"]) == 1  # type: ignore[arg-type]
    assert len(hub.get("/api/v1/alerts")["summaries"]) == 4  # type: ignore[arg-type]
    metrics = hub.client.get("/metrics").text
    assert 'wayside_conditions_open{code="door_open"} 1.0' in metrics
    assert "wayside_nodes_signal_fault 0.0" in metrics


@pytest.mark.parametrize(
    ("beat", "why"),
    [
        ({"healthy": True}, []),
        ({"healthy": False}, ["it says that it is not healthy, and names no condition"]),
        ({"healthy": False, "board": {"connected": False}}, ["its board is not connected"]),
        (
            {"healthy": True, "board": {"connected": True, "signal_fault": True}},
            ["the signal is in fault: its conflict"],
        ),
        (
            {"healthy": True, "tasks": [{"name": "air", "bundle": "b", "why": "no clock"}]},
            ["task air runs no model: no"],
        ),
        ({"healthy": True, "tasks": [{"name": "air", "bundle": "b", "model": "1.0.0"}]}, []),
        (
            {
                "healthy": True,
                "tasks": [{"name": "air", "bundle": "b", "why": "none came yet"}],
                "conditions": [{"code": "no_model", "subject": "air", "message": "none came yet", "severe": False}],
            },
            [],
        ),
        ({"healthy": False, "board": {"connected": False, "lent": True}}, []),
        (
            {
                "healthy": False,
                "board": {"connected": False, "lent": True},
                "conditions": [{"code": "storage", "subject": "disk", "message": "full"}],
            },
            ["disk: full"],
        ),
        ({"healthy": False, "conditions": [{"code": "x", "subject": "line", "message": "lost"}]}, ["line: lost"]),
        ({"healthy": True, "conditions": [{"code": "x", "subject": "a", "message": "b", "severe": False}]}, []),
    ],
)
def test_a_node_is_healthy_only_if_nothing_that_it_says_is_wrong(beat: dict[str, Any], why: list[str]) -> None:
    told = trouble(beat)
    assert len(told) == len(why)
    assert all(one.startswith(start) for one, start in zip(told, why, strict=True))
    lent = bool(beat.get("board", {}).get("lent"))
    assert health(1.0, None, beat) == ("unhealthy" if why else "lent" if lent else "fresh")
