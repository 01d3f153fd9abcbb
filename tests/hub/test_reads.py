"""What people and programs read: pages, series with holes, errors of the forecast, health, metrics."""

from __future__ import annotations

import pytest

from tests.hub.conftest import Hub
from wayside.cloud.hub.health import health
from wayside.contracts.reading import ClockState, Quality, Stamp
from wayside.contracts.summary import Kind


@pytest.mark.both_stores
def test_pages_follow_one_another_in_both_directions(hub: Hub) -> None:
    node = hub.node()
    node.sync([node.summary(float(i)) for i in range(25)])
    for order, wanted in (("oldest", range(25)), ("newest", reversed(range(25)))):
        seen, at = [], {}
        while True:
            page = hub.get("/api/v1/summaries", limit=10, order=order, **at)
            seen += [r["seq"] for r in page["summaries"]]  # type: ignore[attr-defined]
            if page["next"] is None:
                break
            at = {"cursor": page["next"]}
        assert seen == list(wanted)


@pytest.mark.both_stores
def test_filters_take_node_datastream_kind_and_time(hub: Hub) -> None:
    one, two = hub.node("node-1"), hub.node("node-2")
    one.sync([one.summary(1.0), one.summary(1.0, datastream="detector/2/volume")])
    one.wall_ms += 900_000
    one.sync([one.summary(2.0), one.summary(1.0, kind=Kind.ALERT, datastream="cabinet/door")])
    two.sync([two.summary(3.0)])
    count = lambda **query: len(hub.get("/api/v1/summaries", **query)["summaries"])  # type: ignore[arg-type] # noqa: E731
    assert count() == 5
    assert count(node="node-1") == 4
    assert count(datastream="intersection/volume") == 3
    assert count(kind="alert") == 1
    assert count(node="node-1", since=one.wall_ms) == 2
    assert [r["datastream"] for r in hub.get("/api/v1/alerts")["summaries"]] == ["cabinet/door"]  # type: ignore[attr-defined]


@pytest.mark.both_stores
def test_forecast_errors_are_over_the_intervals_that_have_both(hub: Hub) -> None:
    node = hub.node()
    one = {"datastream": "detector/1/volume"}
    node.sync(
        [
            node.summary(10.0, forecast=12.0, naive=15.0, **one),
            node.summary(20.0, forecast=19.0, naive=10.0, **one),
            node.summary(30.0, forecast=1.0, **one),
            node.summary(None, forecast=5.0, naive=6.0, **one),
            node.summary(900.0, forecast=1.0, naive=1.0, derived=True),  # a sum is not counted beside its parts
        ]
    )
    forecast = hub.get("/api/v1/stats")["forecast"]
    assert forecast == {"n": 2, "mae": 1.5, "naive_mae": 7.5}


@pytest.mark.both_stores
def test_a_series_is_in_phenomenon_time_with_null_where_nothing_was_measured(hub: Hub) -> None:
    node = hub.node()
    start = node.wall_ms
    rows = []
    for step in (2, 0, 1):
        node.wall_ms = start + step * 900_000
        rows.append(node.summary(None if step == 1 else float(step), forecast=7.0))
    unknown = Stamp(boot=node.boot, mono_ns=1, clock=ClockState.UNKNOWN)
    node.sync([*rows, node.summary(9.0, at=unknown)])
    series = hub.get("/api/v1/series", node=node.name, datastream="intersection/volume")
    assert series["end_ms"] == [start, start + 900_000, start + 1_800_000]
    assert series["value"] == [0.0, None, 2.0]
    assert series["quality"] == ["good", Quality.MISSING.value, "good"]
    assert series["untimed"] == 1
    assert hub.client.get("/api/v1/series", params={"node": "x", "datastream": "y"}).status_code == 404


@pytest.mark.parametrize(
    ("age", "gap", "healthy", "word"),
    [
        (None, None, True, "never"),
        (1.0, None, True, "fresh"),
        (899.0, None, True, "fresh"),
        (901.0, None, True, "late"),
        (14.0, 2.0, True, "fresh"),
        (16.0, 2.0, True, "late"),
        (51.0, 2.0, True, "silent"),
        (1.0, 2.0, False, "unhealthy"),
    ],
)
def test_health_is_judged_by_the_nodes_usual_gap(
    age: float | None, gap: float | None, healthy: bool, word: str
) -> None:
    assert health(age, gap, {"healthy": healthy}) == word


def test_a_node_that_drained_a_backlog_is_judged_by_the_pace_that_its_file_names() -> None:
    drained_s = 0.05  # the gap that the hub saw while the rows came
    assert health(600.0, drained_s, {"healthy": True, "sync_s": 300.0}) == "fresh"
    assert health(901.0, drained_s, {"healthy": True, "sync_s": 300.0}) == "late"
    assert health(60.0, 300.0, {"healthy": True, "sync_s": 2.0}) == "silent"


@pytest.mark.both_stores
def test_metrics_name_nodes_rows_errors_and_rollouts(hub: Hub) -> None:
    node = hub.node()
    rows = [node.summary(10.0, forecast=12.0, naive=15.0, datastream="detector/1/volume")]
    node.sync(rows)
    node.sync(rows)
    text = hub.client.get("/metrics").text
    for line in (
        'wayside_nodes{health="fresh"} 1.0',
        "wayside_rows_ingested_total 1.0",
        "wayside_rows_duplicate_total 1.0",
        'wayside_forecast_mae{by="model",node="node-1"} 2.0',
        'wayside_rollouts{state="running"} 0.0',
        'route="/api/v1/sync",status="200"',
    ):
        assert line in text, line
