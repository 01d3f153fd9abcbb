"""A hub's store as after months of a large fleet, made in minutes: rows, counters and rollups as syncs leave them.

One node is enrolled and syncs once, through the code of the hub; all others are that one with other names, times and
values, made inside the database. Rows lie in the order of their arrival: of each quarter-hour every node's detectors.
A few nodes have been there for a year, the others share what is left of the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from tests.hub.conftest import initialise
from tests.simulators.fleet import enrol
from tests.simulators.fleet_nodes import BUNDLE, DETECTORS, INTERVAL_MS, OFFER, STREAMS, VERSION, FleetNode
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.engine import APPENDED, open_engine, settled_id
from wayside.cloud.hub.ingest import Ingest
from wayside.cloud.hub.received import PAGE, as_bytes
from wayside.cloud.hub.retention.rollups import roll
from wayside.cloud.hub.store import received, summaries
from wayside.contracts.condition import Condition
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.sync import SyncRequest
from wayside.contracts.wire import encode

YEAR = 35_040  # quarter-hours
OLD = 10  # nodes that have been there for a year
EVENTS = 12  # of each node: alerts that begin and end conditions, and decisions
CHUNK = 1_000_000  # rows of one statement
ROLLED = 8_000_000  # the same, of those that make rollups: the fewer, the fewer of them are written twice
ALERT = '{"condition": "line_lost", "what": "no readings", "severe": true}'
OVER = '{"condition": "line_lost", "what": "over: no readings", "ended": true, "lasted_s": 900.0}'
DECISION = '{"verdict": "allowed", "why": "more vehicles on phase 2", "guard": "within the limits"}'
ROLLOUTS = 5


class Shape(NamedTuple):
    nodes: int
    intervals: int  # of each node but the old ones
    old_intervals: int

    @property
    def old(self) -> int:
        return min(OLD, self.nodes)

    @property
    def rows(self) -> int:
        young = (self.nodes - self.old) * self.intervals + self.old * self.old_intervals
        return young * DETECTORS + self.nodes * EVENTS

    def of(self, node: int) -> int:
        """Quarter-hours of the node with this row id, from 1."""
        return self.old_intervals if node <= self.old else self.intervals


def shape(rows: int, nodes: int) -> Shape:
    """About so many rows."""
    old = min(OLD, nodes)
    old_intervals = min(YEAR, rows // DETECTORS // nodes * 8)
    rest = rows - nodes * EVENTS - old * old_intervals * DETECTORS
    return Shape(nodes, max(1, rest // DETECTORS // max(1, nodes - old)), old_intervals)


def fill(data: Path, made: Shape, told: Callable[[int], None] = lambda _rows: None) -> None:
    """Make the store in ``data``, which is not there yet."""
    data.parent.mkdir(parents=True, exist_ok=True)
    enrol(initialise(data), 1, made.nodes)
    engine, end = open_engine(data), now_ms() // INTERVAL_MS * INTERVAL_MS
    with engine.connect().execution_options(writes=True) as connection:
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.execute("PRAGMA synchronous=OFF")  # a cut leaves nothing that is of use, so nothing is waited for
            driver.execute("PRAGMA cache_size=-256000")
        with connection.begin():
            sample = _sample(connection, end)
            _beside(connection, made, end)
            for index in summaries.indexes:
                index.drop(connection)
        _rows(connection, made, sample, end, told)
        with connection.begin():
            for index in summaries.indexes:
                index.create(connection)
        with connection.begin():
            upto = settled_id(connection)
        more = True
        while more:
            with connection.begin():
                more = roll(connection, upto, ROLLED)
    engine.dispose()


def _sample(connection: sa.Connection, end: int) -> dict[str, object]:
    """The columns of an interval as the hub stores one, which is then taken away."""
    node = FleetNode(1, 0, witness=False)
    node.outbox.add([end])
    batch = node.outbox.batch(1000, 1_500_000)
    request = SyncRequest(node=node.name, boot=node.boot, heartbeat=node.heartbeat(), summaries=batch.rows)
    Ingest().store(connection, 1, request, 900, end)
    found = connection.execute(sa.select(summaries).limit(1)).mappings().one()
    sample = {name: found[name] for name in APPENDED}
    for table in ("summaries", "received", "datastreams", "boots"):
        connection.execute(sa.text(f"DELETE FROM {table}"))
    return sample


def _beside(connection: sa.Connection, made: Shape, end: int) -> None:
    """Nodes, boots, datastreams, bitmaps, conditions and rollouts: everything but the rows. Of 100 nodes one is silent,
    one late, and two are not well."""
    streams = " UNION ALL ".join(f"SELECT {i} AS d, '{name}' AS name" for i, name in enumerate(STREAMS))
    node = FleetNode(1, 0, witness=False)
    well, at = node.heartbeat(), Stamp(node.boot, 0, end, ClockState.NTP, 12)
    lost = Condition(code="line_lost", subject=STREAMS[0], message="no readings", since=at)
    ill = msgspec.structs.replace(well, healthy=False, conditions=(lost,))
    rows = f"(CASE WHEN id <= {made.old} THEN {made.old_intervals} ELSE {made.intervals} END * {DETECTORS})"
    for statement in (
        "INSERT INTO boots (id, node_id, boot, first_ms, synced_ms, rows, last_seq) SELECT id, id, "
        f"substr(public_key, 1, 32), enrolled_ms, enrolled_ms, {rows} + {EVENTS}, {rows} + {EVENTS - 1} FROM nodes",
        "INSERT INTO datastreams (id, node_id, name, unit, derived) SELECT "
        f"(n.id - 1) * {DETECTORS} + s.d + 1, n.id, s.name, '{{vehicle}}', false FROM nodes n CROSS JOIN ({streams}) s",
        f"UPDATE nodes SET intervals = {rows}, alerts = 4, decisions = 8, stored = {rows} + {EVENTS}, scored = {rows}, "
        f"forecast_error = {rows} * 1.5, naive_error = {rows} * 2.0, requests = {rows} / 8, bytes = {rows} * 20, "
        "heartbeat = CASE WHEN id % 50 = 7 THEN :ill ELSE :well END, offer = :offer, sync_ms = 300000, "
        "gap_ms = 300000, allowed = 8, said = CASE WHEN id % 50 = 7 THEN 'unhealthy' ELSE 'fresh' END, "
        "last_seen_ms = CASE WHEN id % 100 = 3 THEN :end - 86400000 WHEN id % 100 = 4 THEN :now - 1500000 "
        "ELSE :now - id % 300 * 1000 END",
        "INSERT INTO open_conditions (node_id, code, subject, severe, since_ms, message, times) "
        f"SELECT id, 'line_lost', '{STREAMS[0]}', true, :end - id * 1000, 'no readings', 1 FROM nodes "
        "WHERE id % 50 = 7",
    ):
        values = {
            "well": encode(well).decode(),
            "ill": encode(ill).decode(),
            "offer": encode(OFFER).decode(),
            "end": end,
            "now": now_ms() + 600_000,
        }
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(sa.text(statement), used)
    pages = []
    for node in range(1, made.nodes + 1):
        count = made.of(node) * DETECTORS + EVENTS
        for page in range((count + PAGE - 1) // PAGE):
            bits = (1 << min(PAGE, count - page * PAGE)) - 1
            pages.append({"boot_id": node, "page": page, "bits": as_bytes(bits)})
    connection.execute(received.insert(), pages)
    _rollouts(connection, end)


def _rollouts(connection: sa.Connection, end: int) -> None:
    for i in range(1, ROLLOUTS + 1):
        version = VERSION if i == ROLLOUTS else f"0.{i}.0"
        about = {"id": i, "bundle": BUNDLE, "version": version, "target": f"models/{BUNDLE}-{version}.wsb"}
        at = end - (ROLLOUTS - i + 1) * 604_800_000
        times = {"phases": "[1,10,100]", "state": "completed", "created": at, "started": at + 1000, "ended": at + 9000}
        connection.execute(
            sa.text(
                "INSERT INTO rollouts (id, bundle, version, target, phases, deadline_s, state, phase, created_ms, "
                "phase_started_ms, ended_ms) VALUES (:id, :bundle, :version, :target, :phases, 86400, :state, 2, "
                ":created, :started, :ended)"
            ),
            about | times,
        )
        connection.execute(
            sa.text(
                "INSERT INTO rollout_nodes (rollout_id, node, phase, state) SELECT :id, name, "
                "CASE WHEN id % 100 = 0 THEN 0 WHEN id % 10 = 0 THEN 1 ELSE 2 END, 'active' FROM nodes"
            ),
            {"id": i},
        )


def _rows(
    connection: sa.Connection, made: Shape, sample: dict[str, object], end: int, told: Callable[[int], None]
) -> None:
    with connection.begin():
        connection.execute(sa.text("CREATE TEMPORARY TABLE ticks (t INTEGER PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO ticks (t) VALUES (:t)"), [{"t": t} for t in range(YEAR)])
        connection.execute(sa.text("CREATE TEMPORARY TABLE parts (d INTEGER PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO parts (d) VALUES (:d)"), [{"d": d} for d in range(DETECTORS)])
    of_interval = {
        "node_id": "n.id",
        "time_ms": ":end - (:last - t.t) * 900000",
        "boot_id": "n.id",
        "seq": f"(t.t - :first) * {DETECTORS} + p.d",
        "datastream_id": f"(n.id - 1) * {DETECTORS} + p.d + 1",
        "mono_ns": "t.t * 900000000000",
        "value": "40.0 + (t.t * 7 + p.d * 3 + n.id) % 40",
        "forecast": "41.5 + (t.t * 7 + p.d * 3 + n.id) % 40",
        "naive": "38.0 + (t.t * 7 + p.d * 3 + n.id) % 40",
        "received_ms": ":end - (:last - t.t) * 900000 + 2000",
    }
    from_ = (
        "FROM ticks t CROSS JOIN nodes n CROSS JOIN parts p "
        "WHERE t.t BETWEEN :begin AND :until AND n.id BETWEEN :low AND :high"
    )
    last = made.old_intervals - 1
    young_from = last - made.intervals + 1
    done = 0
    # The old nodes are alone at first; from then on all send at every quarter-hour. Both have their own numbers.
    for low, high, first, begin, stop in (
        (1, made.old, 0, 0, young_from),
        (1, made.nodes, None, young_from, last + 1),
    ):
        step = max(1, CHUNK // ((high - low + 1) * DETECTORS))
        for tick in range(begin, stop, step):
            until = min(stop, tick + step) - 1
            bounds = {"begin": tick, "until": until, "low": low, "high": high, "end": end, "last": last}
            numbers = f"CASE WHEN n.id <= {made.old} THEN t.t ELSE t.t - {young_from} END * {DETECTORS} + p.d"
            columns = of_interval | {"seq": numbers if first is None else of_interval["seq"].replace(":first", "0")}
            _insert(connection, sample, columns, from_, bounds)
            done += (until - tick + 1) * (high - low + 1) * DETECTORS
            told(done)
    of_event = {
        "node_id": "n.id",
        "time_ms": ":end - (12 - e.e) * 60000",
        "boot_id": "n.id",
        "seq": f"CASE WHEN n.id <= {made.old} THEN {made.old_intervals} ELSE {made.intervals} END * {DETECTORS} + e.e",
        "datastream_id": f"(n.id - 1) * {DETECTORS} + 1",
        "kind": "CASE WHEN e.e < 4 THEN 'alert' ELSE 'decision' END",
        "mono_ns": "0",
        "duration_s": "0",
        "value": "NULL",
        "forecast": "NULL",
        "naive": "NULL",
        "anomaly": "NULL",
        "quality": "'good'",
        "detail": "CASE WHEN e.e >= 4 THEN :decision WHEN e.e % 2 = 0 THEN :alert ELSE :over END",
        "received_ms": ":end",
    }
    with connection.begin():
        connection.execute(sa.text("CREATE TEMPORARY TABLE happened (e INTEGER PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO happened (e) VALUES (:e)"), [{"e": e} for e in range(EVENTS)])
    texts = {"decision": DECISION, "alert": ALERT, "over": OVER, "end": end}
    _insert(connection, sample, of_event, "FROM happened e CROSS JOIN nodes n", texts)
    told(made.rows)


def _insert(
    connection: sa.Connection, sample: dict[str, object], columns: dict[str, str], from_: str, values: dict[str, object]
) -> None:
    chosen = ", ".join(columns.get(name, f":c_{name}") for name in APPENDED)
    constant = {f"c_{name}": sample[name] for name in APPENDED if name not in columns}
    statement = f"INSERT INTO summaries ({', '.join(APPENDED)}) SELECT {chosen} {from_}"
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    with connection.begin():
        connection.execute(sa.text(statement), used | constant)
