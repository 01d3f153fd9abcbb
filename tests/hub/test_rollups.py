"""Rollups say what a recount of the rows says, in whatever order rows come and wherever the hub is killed."""

from __future__ import annotations

import math
import secrets
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.conftest import initialise
from wayside.cloud.hub.engine import open_engine, settled_id
from wayside.cloud.hub.ingest import Ingest
from wayside.cloud.hub.retention.rollups import ADDED, AHEAD_MS, LEVELS_S, roll, roll_all
from wayside.cloud.hub.store import rollups, summaries
from wayside.contracts.reading import ClockState, Quality, Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import Counters, Heartbeat, Reported, SyncRequest

BOOT = "ab" * 16
NOW_MS = 1_760_000_000_000


class Rows(NamedTuple):
    """A store with one node in it, written as the hub writes."""

    engine: sa.Engine
    ingest: Ingest

    def store(self, rows: list[Summary], now_ms: int = NOW_MS, *, crash: bool = False) -> None:
        stamp = Stamp(boot=BOOT, mono_ns=1)
        beat = Heartbeat(
            agent="0.1.0", at=stamp, uptime_s=1, healthy=True, reported=Reported(), counters=Counters(), rss_bytes=1
        )
        request = SyncRequest(node="node-1", boot=BOOT, heartbeat=beat, summaries=rows)
        self._write(lambda c: self.ingest.store(c, 1, request, 0, now_ms), crash)

    def roll(self, rows: int, *, crash: bool = False) -> None:
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            upto = settled_id(connection)
        self._write(lambda c: roll(c, upto, rows), crash)

    def _write(self, job: Any, crash: bool) -> None:
        """In a transaction; killed before its COMMIT, the store is as before."""
        with self.engine.connect().execution_options(writes=True) as connection:
            transaction = connection.begin()
            job(connection)
            if crash:
                transaction.rollback()
                self.ingest.forget()
            else:
                transaction.commit()

    def rolled(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(rollups)).mappings().all()
        key = ("datastream_id", "level_s", "start_ms", "unit")
        return {tuple(r[k] for k in key): {k: v for k, v in r.items() if k not in key} for r in rows}

    def close(self) -> None:
        self.engine.dispose()


def opened(data: Path) -> Rows:
    engine = open_engine(initialise(data))
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO nodes (id, name, public_key, enrolled_ms) VALUES (1, 'node-1', 'k', 0)")
    return Rows(engine, Ingest())


def recounted(engine: sa.Engine) -> dict[tuple[Any, ...], dict[str, Any]]:
    """From the rows, without SQL."""
    made: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(
        lambda: dict.fromkeys(ADDED, 0) | {"low": None, "high": None, "last_ms": None}
    )
    with engine.connect() as connection:
        rows = connection.execute(sa.select(summaries).where(summaries.c.kind == "interval")).all()
    for row in rows:
        for level in LEVELS_S:
            if level == 900 and row.duration_s >= 900:
                continue
            timed = row.clock == "simulated" or (row.clock != "unknown" and row.time_ms <= row.received_ms + AHEAD_MS)
            seconds = min(row.duration_s, 864_000)
            middle = row.time_ms - int(500 * seconds) if timed and row.time_ms > 500 * seconds else row.time_ms
            into = made[row.datastream_id, level, middle - middle % (1000 * level), row.unit]
            if not timed:
                into["untimed"] += 1
                continue
            sane = [v if v is not None and abs(v) <= 1e100 else None for v in (row.value, row.forecast, row.naive)]
            value, forecast, naive = sane
            into["last_ms"] = max(row.time_ms, into["last_ms"] or 0)
            into["missing"] += value is None
            if forecast is not None:
                into["forecasts"] += 1
                into["forecast_total"] += forecast
            if value is None:
                continue
            into["n"] += 1
            into["doubtful"] += row.quality != "good"
            into["total"] += value
            into["weighted"] += value * seconds
            into["covered_s"] += seconds
            into["low"] = value if into["low"] is None else min(value, into["low"])
            into["high"] = value if into["high"] is None else max(value, into["high"])
            if forecast is not None and naive is not None:
                into["scored"] += 1
                into["forecast_error"] += abs(value - forecast)
                into["naive_error"] += abs(value - naive)
    return dict(made)


def agree(rows: Rows) -> None:
    said, true = rows.rolled(), recounted(rows.engine)
    assert said.keys() == true.keys()
    for key, bucket in true.items():
        for name, value in bucket.items():
            got = said[key][name]
            same = got == value if value is None else math.isclose(got, value, rel_tol=1e-9, abs_tol=1e-9)
            assert same, (key, name, got, value)


values = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(1.7e308))


@st.composite
def rows_of(draw: st.DrawFn) -> list[Summary]:
    made = []
    for seq in range(draw(st.integers(1, 30))):
        value = draw(values)
        clock = draw(st.sampled_from([ClockState.NTP, ClockState.NTP, ClockState.SIMULATED, ClockState.UNKNOWN]))
        wall = NOW_MS + draw(st.integers(-40 * 96, 3 * 96)) * 900_000 + draw(st.integers(-40, 40))
        missing = draw(st.sampled_from([Quality.MISSING, Quality.STALE]))
        there = draw(st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.SUSPECT]))
        made.append(
            Summary(
                node="node-1",
                boot=BOOT,
                seq=seq,
                kind=draw(st.sampled_from([Kind.INTERVAL, Kind.INTERVAL, Kind.INTERVAL, Kind.ALERT])),
                datastream=draw(st.sampled_from(["a", "b"])),
                at=Stamp(boot=BOOT, mono_ns=seq, wall_ms=None if clock is ClockState.UNKNOWN else wall, clock=clock),
                duration_s=draw(st.sampled_from([0.0, 1.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0, 1e300])),
                value=value,
                unit=draw(st.sampled_from(["{veh}", "{veh}", "kW"])),
                quality=missing if value is None else there,
                forecast=draw(st.one_of(st.none(), st.floats(-1e6, 1e6))),
                naive=draw(st.one_of(st.none(), st.floats(-1e6, 1e6))),
            )
        )
    return made


@given(data=st.data(), rows=rows_of())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rollups_equal_a_recount_in_any_order_of_arrival_with_kills_between_steps(
    tmp_path_factory: pytest.TempPathFactory, store: Rows, data: st.DataObject, rows: list[Summary]
) -> None:
    empty(store)
    arrival = list(data.draw(st.permutations(rows)))
    while arrival:
        count = data.draw(st.integers(1, 8))
        some, arrival = arrival[:count], arrival[count:]
        store.store(some, crash=data.draw(st.booleans()))
        store.store(some)  # again, as a node does that had no answer: a second time, too
        if data.draw(st.booleans()):
            store.roll(data.draw(st.integers(1, 5)), crash=data.draw(st.booleans()))
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        roll_all(connection)
    agree(store)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rows = opened(tmp_path_factory.mktemp(secrets.token_hex(4)) / "hub")
    yield rows
    rows.close()


def empty(rows: Rows) -> None:
    with rows.engine.begin() as connection:
        for table in ("summaries", "rollups", "received", "boots", "datastreams"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.exec_driver_sql("UPDATE progress SET id = 0")
    rows.ingest.forget()
