"""Old rows lie in files and are read as before; whatever is killed, each row is in one place."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.hub.conftest import ROOT, Hub, HubProcess, miscounted, store_of
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.people.sight import Sight
from wayside.cloud.hub.retention import runs as retention
from wayside.cloud.hub.retention.cold import FOLDER, Cold, connect, pattern, quoted
from wayside.cloud.hub.retention.runs import DAY_MS, Done, view
from wayside.cloud.hub.retention.tiers import Asked, page
from wayside.cloud.hub.store import datastreams, nodes, summaries
from wayside.cloud.hub.writer import Writer
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.summary import Kind

NOW_MS = 1_760_000_000_000 - 1_760_000_000_000 % DAY_MS + 3_600_000
ALL_KINDS = "\n".join(f"[{kind}]\nhot_days = 10" for kind in ("interval", "decision", "alert", "gap"))


class KilledError(BaseException):
    """The process is gone; nothing that it would still have done is done."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_to(days_ago: int) -> None:
        monkeypatch.setattr("wayside.cloud.hub.api.nodes.now_ms", lambda: NOW_MS - days_ago * DAY_MS)

    return set_to


@pytest.fixture
def writing(hub: Hub) -> Iterator[tuple[sa.Engine, Writer]]:
    engine = open_engine(hub.data, hub.database)
    writer = Writer(engine)
    writer.start()
    yield engine, writer
    writer.stop()
    engine.dispose()


def run(hub: Hub, writing: tuple[sa.Engine, Writer], step: Callable[[str], None] = lambda _: None) -> Done:
    engine, writer = writing
    return retention.run(
        hub.data, engine, lambda job: writer.submit(job).result(), NOW_MS, step=step, pause=lambda _s: None
    )


def play(hub: Hub, clock: Callable[[int], None], days: range = range(70, -1, -10)) -> SimulatedNode:
    """Two nodes over ten weeks: intervals of two units, alerts of a condition, decisions, a gap, a late row."""
    one, two = hub.node("node-1"), hub.node("node-2")
    for day in days:
        clock(day)
        for node in (one, two):
            node.wall_ms = NOW_MS - day * DAY_MS - 900_000
            rows = []
            for step in range(4):
                node.wall_ms += 900_000
                value = None if step == 2 else 40.0 + day + step
                rows.append(
                    node.summary(value, forecast=41.25 + day, naive=39.0, anomaly=0.1 * day, extra={"new": day})
                )
                rows.append(node.summary(0.1 * day, datastream="mast/pm25", unit="ug/m3", n=0))
            ended = {"ended": True} if day % 2 else {}
            about: dict[str, Any] = {"what": "ünder 'water' \"\n", "condition": "door_open", **ended}
            rows.append(node.summary(None, kind=Kind.ALERT, datastream="cabinet/door", unit="1", detail=about))
            rows.append(node.summary(1.0, kind=Kind.DECISION, datastream="signal/plan", unit="1", detail={"why": "x"}))
            rows.append(node.summary(3.0, kind=Kind.GAP, datastream="board/events", detail={"first": 1, "last": 3}))
            rows.append(node.summary(9.0, at=Stamp(boot=node.boot, mono_ns=2**62, clock=ClockState.UNKNOWN)))
            node.sync(rows)
        one.restart()
    return one


def asked(hub: Hub, path: str) -> dict[str, Any]:
    answer = hub.client.get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def said(hub: Hub) -> dict[str, Any]:
    """Everything that the API says of rows, page by page in both directions."""
    heard: dict[str, Any] = {}
    for path in (
        "/api/v1/summaries?order=oldest",
        "/api/v1/summaries?order=newest",
        "/api/v1/summaries?order=oldest&node=node-2&datastream=mast/pm25",
        "/api/v1/summaries?order=newest&kind=interval&node=node-1",
        f"/api/v1/summaries?order=oldest&since={NOW_MS - 33 * DAY_MS}",
        "/api/v1/summaries?kind=decision&order=newest",
        "/api/v1/alerts?node=node-1",
        "/api/v1/alerts?limit=7",
    ):
        pages, cursor = [], ""
        while cursor is not None:
            page = asked(hub, f"{path}{'' if 'limit' in path else '&limit=60'}{cursor}")
            pages.append(page["summaries"])
            cursor = None if page["next"] is None else f"&cursor={page['next']}"
        heard[path] = pages
    for path in (
        "/api/v1/conditions?limit=9",
        "/api/v1/series?node=node-1&datastream=mast/pm25&hours=2000",
        "/api/v1/series?node=node-2&datastream=intersection/volume&hours=500",
        "/api/v1/stats?node=node-1",
        "/api/v1/datastreams",
    ):
        heard[path] = asked(hub, path)
    return json.loads(json.dumps(heard))


def in_the_database(hub: Hub | HubProcess) -> int:
    with store_of(hub) as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM summaries").scalar_one())


@pytest.mark.both_stores
def test_what_the_api_says_is_the_same_before_and_after_rows_went_into_files(
    hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    play(hub, clock)
    before, rows = said(hub), in_the_database(hub)
    (hub.data / "retention.toml").write_text(ALL_KINDS)
    done = run(hub, writing)
    assert done.rows > rows / 2
    assert done.merged > 0
    assert in_the_database(hub) == rows - done.rows
    assert said(hub) == before
    assert miscounted(hub.data, hub.database) == []
    again = run(hub, writing)
    assert (again.files, again.merged) == ([], 0)
    assert said(hub) == before
    engine, _ = writing
    with engine.connect() as connection:
        shown = view(connection, hub.data, NOW_MS, verify=True)
    assert sum(kind.cold_rows for kind in shown.kinds) == done.rows
    assert sum(kind.hot_rows for kind in shown.kinds) == rows - done.rows
    assert shown.faults == []


def test_by_default_nothing_is_lost_and_alerts_stay_in_the_database(
    hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    play(hub, clock)
    before = said(hub)
    assert {name.partition("-")[0] for name in run(hub, writing).files} == {"interval", "decision"}
    assert said(hub) == before


STEPS = ("written", "verified", "named", "registered", "moved", "merged")


@pytest.mark.parametrize(
    "kills",
    [
        ("named", "moved", "merged"),
        pytest.param(
            (*STEPS[:4], "moved", "moved", "written", "named", "moved", "registered", "verified", *STEPS),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["some", "all"],
)
def test_killed_after_any_step_no_row_is_lost_and_none_is_there_twice(
    kills: tuple[str, ...],
    hub: Hub,
    clock: Callable[[int], None],
    writing: tuple[sa.Engine, Writer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wayside.cloud.hub.retention.compaction.DELETED", 5)
    play(hub, clock, range(70, -1, -10))
    before = said(hub)
    (hub.data / "retention.toml").write_text(ALL_KINDS)
    for name in kills:

        def step(done: str, name: str = name) -> None:
            if done == name:
                raise KilledError

        with pytest.raises(KilledError):
            run(hub, writing, step)
        assert said(hub) == before, name
        assert miscounted(hub.data, hub.database) == []
    run(hub, writing)
    assert said(hub) == before
    assert miscounted(hub.data, hub.database) == []
    with writing[0].connect() as connection:
        named = set(connection.exec_driver_sql("SELECT path FROM cold_files").scalars())
    run(hub, writing)
    assert {path.name for path in (hub.data / FOLDER).glob("*.parquet")} == named, "nobody's files are swept"


@pytest.mark.both_stores
def test_a_row_that_comes_again_is_a_duplicate_and_a_late_one_is_hot_until_it_is_old(
    hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    clock(60)
    node = hub.node()
    node.wall_ms = NOW_MS - 60 * DAY_MS
    kept = [node.summary(float(i)) for i in range(20)]
    late = node.summary(77.0)
    node.sync(kept)
    clock(0)
    node.sync([node.summary(1.0)])
    run(hub, writing)
    assert in_the_database(hub) == 1
    reply = node.sync([*kept, late])
    assert (reply.stored, reply.duplicates) == (1, 20)
    assert run(hub, writing).files == []
    assert len(asked(hub, "/api/v1/summaries")["summaries"]) == 22  # type: ignore[arg-type]
    assert miscounted(hub.data, hub.database) == []


def test_the_number_of_a_row_that_left_the_database_is_never_given_again(
    hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    clock(60)
    node = hub.node()
    node.sync([node.summary(float(i)) for i in range(20)])
    run(hub, writing)
    clock(0)
    node.sync([node.summary(20.0)])
    ids = [row["id"] for row in asked(hub, "/api/v1/summaries")["summaries"]]  # type: ignore[attr-defined]
    assert ids == list(range(1, 22))


@pytest.mark.parametrize("damage", ["missing", "shorter", "one bit"])
def test_a_file_that_is_missing_or_damaged_is_said_and_is_no_hole(
    damage: str, hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    play(hub, clock)
    run(hub, writing)
    path = min((hub.data / FOLDER).glob("interval-*.parquet"))
    content = path.read_bytes()
    path.unlink()
    if damage == "shorter":
        path.write_bytes(content[:-9])
    elif damage == "one bit":
        path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    answer = hub.client.get("/api/v1/summaries?order=oldest")
    assert (answer.status_code, answer.json()["error"]) == (503, "cold_file")
    assert path.name in answer.json()["message"]
    assert hub.client.get("/api/v1/series?node=node-1&datastream=mast/pm25&hours=2000").status_code == 503
    assert asked(hub, "/api/v1/summaries?order=newest&limit=50")["summaries"], "what is hot is read"
    with writing[0].connect() as connection:
        (fault,) = view(connection, hub.data, NOW_MS, verify=True).faults
    assert fault.path == f"{FOLDER}/{path.name}"
    path.write_bytes(content)
    assert hub.client.get("/api/v1/summaries?order=oldest").status_code == 200


def test_rows_are_forgotten_when_the_configuration_says_so_and_rollups_stay(
    hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    play(hub, clock)
    (hub.data / "retention.toml").write_text("[interval]\nhot_days = 10\n")
    run(hub, writing)
    (hub.data / "retention.toml").write_text("[interval]\nhot_days = 10\ncold_days = 39\n")
    assert run(hub, writing).forgotten
    oldest = asked(hub, "/api/v1/summaries?order=oldest&kind=interval")["summaries"][0]  # type: ignore[index]
    assert oldest["received_ms"] >= NOW_MS - 75 * DAY_MS
    with writing[0].connect() as connection:
        shown = {kind.kind: kind for kind in view(connection, hub.data, NOW_MS, verify=True).kinds}
    assert shown["interval"].forgotten_rows > 0
    series = asked(hub, "/api/v1/series?node=node-1&datastream=mast/pm25&hours=2400&points=40")
    assert series["level_s"] == 86_400
    assert len(series["end_ms"]) == 8  # type: ignore[arg-type]
    entries = hub.get("/api/v1/audit", actor="hub", target="retention")["entries"]
    log = [(entry["action"], entry["detail"]) for entry in reversed(entries)]  # type: ignore[call-overload]
    assert [action for action, _ in log] == ["settings.found", "settings.found", "rows.forgotten"]
    assert [detail["to"]["interval"].get("cold_days") for _, detail in log[:2]] == [None, 39]


def test_whoever_sees_a_part_sees_the_same_part_of_the_files(
    hub: Hub, clock: Callable[[int], None], writing: tuple[sa.Engine, Writer]
) -> None:
    play(hub, clock)
    one, mast = nodes.c.name == "node-1", datastreams.c.name == "mast/pm25"
    department = Sight(nodes=sa.true(), whole=one, datastreams=sa.or_(one, mast))
    (hub.data / "retention.toml").write_text(ALL_KINDS)

    def seen() -> list[dict[str, Any]]:
        with store_of(hub) as connection:
            return page(connection, Cold(hub.data), Asked(limit=1000), department)

    before = seen()
    assert {(row["node"], row["kind"]) for row in before if row["node"] == "node-2"} == {("node-2", "interval")}
    assert run(hub, writing).rows > 0
    assert seen() == before


@pytest.mark.slow
@pytest.mark.both_stores
def test_a_run_that_is_killed_beside_a_hub_that_syncs_loses_nothing(
    hub_process: Callable[[], HubProcess], tmp_path: Path
) -> None:
    """With SIGKILL, at whatever it is at."""
    hub = hub_process()
    node = hub.node("node-1")
    node.sync([node.summary(1.0) for _ in range(500)])
    sent = 500
    with store_of(hub) as connection:  # each of the rows came on one of twenty days, long ago
        days = sa.cast(summaries.c.id / 25, sa.BigInteger)
        came = sa.update(summaries).values(received_ms=NOW_MS - 400 * DAY_MS + days * DAY_MS)
        connection.execute(came)
    command = [sys.executable, "-m", "wayside", "hub", "retention", "run", "--data", str(hub.data)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | (
        {} if hub.database is None else {"WAYSIDE_DATABASE": hub.database}
    )
    dice = random.Random(1)
    for _ in range(8):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 1.0 + 2.0 * dice.random()
        while time.monotonic() < until and process.poll() is None:
            node.sync([node.summary(2.0) for _ in range(10)])
            sent += 10
        process.kill()
        process.wait()
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert miscounted(hub.data, hub.database) == []
    assert hub.client.get("/api/v1/stats").json()["stored"] == sent
    assert in_the_database(hub) < sent


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *hub?"
    with closing(connect(folder, "64MB")) as duck:
        duck.execute(f"COPY (SELECT 1 AS id) TO {quoted(folder / 'x.parquet')} (FORMAT parquet)")
        assert duck.execute("SELECT * FROM read_parquet(?)", [pattern(folder / "x.parquet")]).fetchall() == [(1,)]
