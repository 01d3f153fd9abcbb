"""What retention.toml and `wayside hub retention` say, and what a chart of a year reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.hub.conftest import Hub, initialise, store_of
from tests.hub.test_cold_tier import asked
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.cli import hub as verbs
from wayside.cloud.hub.engine import APPENDED, append_summaries
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.retention.rollups import roll_all
from wayside.cloud.hub.retention.runs import load_retention
from wayside.contracts.retention import Retention, decode_retention
from wayside.contracts.wire import ContractError


def test_without_a_file_nothing_is_ever_deleted_for_good(tmp_path: Path) -> None:
    kept = load_retention(tmp_path)
    assert kept == Retention()
    assert all(kept.of(kind).cold_days is None for kind in ("interval", "decision", "alert", "gap"))
    assert (kept.alert.hot_days, kept.gap.hot_days) == (None, None)


def test_all_mistakes_of_the_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "retention.toml").write_text(
        'at = "25:00"\n[interval]\nhot_day = 3\n[alert]\ncold_days = 9\n[gap]\nhot_days = 9\ncold_days = 9\n'
        "[rollup]\nhour_days = 9\nday_days = 5\n"
    )
    with pytest.raises(ConfigurationError) as told:
        load_retention(tmp_path)
    for part in (
        'at is a time of the day in UTC, as in "03:10"',
        "interval.hot_day is unknown here; is hot_days meant?",
        "alert.cold_days needs hot_days",
        "gap.cold_days is more than hot_days",
        "rollup.hour_days is at most day_days",
    ):
        assert part in told.value.message


@pytest.mark.parametrize("days", ["0", "-1", "1.5", '"3"', "99999999"])
def test_days_are_whole_and_bounded(days: str) -> None:
    with pytest.raises(ContractError):
        decode_retention(f"[interval]\nhot_days = {days}\n".encode())


def invoke(data: Path, *words: str) -> Result:
    return CliRunner().invoke(verbs, ["retention", *words, "--data", str(data)])


def test_the_verbs_say_what_is_where_and_what_is_due(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    nothing = invoke(data, "run")
    assert (nothing.exit_code, nothing.output.strip()) == (3, "nothing is due")
    assert invoke(data, "run", "--dry-run").exit_code == 3
    shown = json.loads(invoke(data, "show", "--json").output)
    assert {kind["kind"]: kind["hot_rows"] for kind in shown["kinds"]} == dict.fromkeys(
        ("interval", "alert", "decision", "gap"), 0
    )
    assert shown["database_shrinks"]
    (data / "retention.toml").write_text("[interval]\nhot_days = 0\n")
    assert invoke(data, "run").exit_code == 1
    assert invoke(tmp_path / "none", "show").exit_code == 1


YEAR = 365 * 96


@pytest.mark.both_stores
def test_a_chart_of_a_year_reads_hundreds_of_rollups_and_says_so(hub: Hub) -> None:
    node = hub.node()
    node.sync([node.summary(40.0)])
    with store_of(hub) as connection:
        found = connection.exec_driver_sql("SELECT * FROM summaries").mappings().one()
        sample = {name: found[name] for name in APPENDED}
        rows = ({**sample, "time_ms": sample["time_ms"] - 900_000 * i, "value": 40.0 + i % 2} for i in range(1, YEAR))
        append_summaries(connection, [tuple(row.values()) for row in rows])
    with store_of(hub) as connection:
        roll_all(connection)
    path = f"/api/v1/series?node={node.name}&datastream=intersection/volume"
    year = asked(hub, f"{path}&hours=8760")
    assert (year["level_s"], year["intervals"], year["not_rolled"]) == (86_400, YEAR, 0)
    assert len(year["end_ms"]) in (365, 366)
    assert set(year["value"][1:-1]) == {40.5}
    assert set(year["covered"][1:-1]) == {1.0}
    month = asked(hub, f"{path}&hours=720")
    assert (month["level_s"], len(month["end_ms"])) == (3600, 720)
    day = asked(hub, f"{path}&hours=24")
    assert (day["level_s"], len(day["value"])) == (None, 96)


def test_amounts_add_up_means_are_weighted_by_time_and_what_is_missing_is_no_zero(hub: Hub) -> None:
    node = hub.node()
    node.wall_ms -= node.wall_ms % 86_400_000
    start = node.wall_ms
    for hour in range(12 * 24):
        node.wall_ms = start + (hour + 1) * 3_600_000
        gone = hour // 24 == 3
        of_speed = {"datastream": "lane/speed", "unit": "km/h"}
        rows = [node.summary(None if gone else 10.0, unit="{veh}", duration_s=3600.0)]
        rows.append(node.summary(None if gone else 30.0, duration_s=2700.0, **of_speed))
        rows.append(node.summary(None if gone else 70.0, duration_s=900.0, **of_speed))
        node.sync(rows)
    with store_of(hub) as connection:
        roll_all(connection)
    query = f"node={node.name}&hours=288&points=12"
    amounts = asked(hub, f"/api/v1/series?{query}&datastream=intersection/volume")
    assert amounts["level_s"] == 86_400
    assert amounts["total"] == [240.0] * 3 + [None] + [240.0] * 8
    assert amounts["value"] == [10.0] * 3 + [None] + [10.0] * 8
    assert amounts["missing"] == [0] * 3 + [24] + [0] * 8
    assert amounts["covered"] == [1.0] * 3 + [0.0] + [1.0] * 8
    speeds = asked(hub, f"/api/v1/series?{query}&datastream=lane/speed")
    assert speeds["total"] is None
    assert speeds["value"] == [40.0] * 3 + [None] + [40.0] * 8


def test_a_datastream_that_changed_its_unit_is_charted_in_the_present_one(hub: Hub) -> None:
    node: SimulatedNode = hub.node()
    node.sync([node.summary(5000.0, datastream="meter/power", unit="W")])
    node.wall_ms += 900_000
    node.sync([node.summary(5.0, datastream="meter/power", unit="kW")])
    series = asked(hub, f"/api/v1/series?node={node.name}&datastream=meter/power")
    assert (series["unit"], series["value"], series["other_units"]) == ("kW", [5.0], 1)
