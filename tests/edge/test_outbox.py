"""Durable state: damaged files, full disks, limits; and the agent that lives with them."""

from __future__ import annotations

import os
import pty
import signal
import time
from pathlib import Path

import pytest

from tests.edge.test_agent import intervals, traffic
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware
from wayside.contracts.reading import Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import Restored, SyncRequest
from wayside.contracts.wire import encode
from wayside.edge.outbox import Outbox, StorageFull
from wayside.firmware_bridge.line.messages import Event


def row(seq: int, kind: Kind = Kind.INTERVAL, **more: object) -> Summary:
    at = Stamp(boot="0" * 32, mono_ns=seq)
    return Summary(node="n", boot="0" * 32, seq=seq, kind=kind, datastream="d", at=at, **({"value": 1.0} | more))  # type: ignore[arg-type]


def test_alerts_leave_first_and_acknowledged_rows_are_gone(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    box.commit([row(0), row(1), row(2, Kind.ALERT), row(3, Kind.DECISION), row(4, Kind.GAP)])
    batch = box.batch(10, 1_000_000)
    assert [r.seq for r in batch.rows] == [2, 4, 3, 0, 1]
    box.commit(acknowledged=batch.ids[:3])
    assert [r.seq for r in box.batch(10, 1_000_000).rows] == [0, 1]
    assert box.rows == 2
    box.close()
    assert Outbox(tmp_path / "n.sqlite3", 10_000_000).rows == 2


def test_the_newest_intervals_go_first_and_no_more_than_the_hub_grants(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    box.commit([row(i) for i in range(10)] + [row(10, Kind.ALERT), row(11, Kind.ALERT)])
    sent = box.batch(5, 1_000_000)
    assert [r.seq for r in sent.rows] == [10, 11, 7, 8, 9], "the end of a condition follows its beginning"
    assert [r.seq for r in box.batch(5, 1_000_000, intervals=1).rows] == [10, 11, 9]
    assert [r.seq for r in box.batch(5, 1_000_000, intervals=0).rows] == [10, 11]
    assert [r.seq for r in box.batch(5, 1, intervals=3).rows] == [10], "one row always fits"
    box.commit(acknowledged=sent.ids)
    assert [r.seq for r in box.batch(5, 1_000_000).rows] == [2, 3, 4, 5, 6]


def test_intervals_are_sacrificed_before_anything_else(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "n.sqlite3", 10_000)
    box.commit([row(0, Kind.ALERT), *(row(i) for i in range(1, 200))])
    doomed = box.over_limit()
    assert list(doomed) == [Kind.INTERVAL]
    box.commit(acknowledged=[i for ids in doomed.values() for i in ids])
    assert box.bytes <= 10_000
    assert not box.over_limit()
    assert box.batch(1, 10_000).rows[0].kind is Kind.ALERT


def test_a_damaged_file_is_kept_aside_and_a_fresh_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "n.sqlite3"
    for content in (b"\0" * 8192, b"not a database " * 1000):
        path.write_bytes(content)
        box = Outbox(path, 10_000_000)
        assert box.recovered is not None
        assert "damaged" in box.recovered
        box.commit([row(0)])
        box.close()
    kept = sorted(p.name for p in tmp_path.glob("*.damaged-*"))
    assert kept
    assert Outbox(path, 10_000_000).recovered is None


def test_a_transaction_without_room_leaves_nothing_behind(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    box.commit([row(0)], {"counters": {"a": 1}})
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says what it says on a full disk
    with pytest.raises(StorageFull, match="free some space"):
        box.commit([row(i, detail={"what": "x" * 200}) for i in range(1, 500)], {"counters": {"a": 2}})
    assert box.load("counters") == {"a": 1}
    assert box.rows == 1
    box._db.execute("PRAGMA max_page_count = 100000")
    box.commit([row(1)], {"counters": {"a": 3}})
    assert (box.rows, box.load("counters")) == (2, {"a": 3})


def test_raw_events_have_no_way_into_a_request() -> None:
    event = Event(1, 2, 1, 3, 1)
    for smuggled in (event, tuple(event), [event]):
        with pytest.raises((TypeError, ValueError, AttributeError)):
            encode(SyncRequest(node="n", boot="0" * 32, heartbeat=None, summaries=[smuggled]))  # type: ignore[arg-type,list-item]


def test_a_board_that_pauses_loses_nothing(tmp_path: Path) -> None:
    edges = traffic(3)
    firmware()
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:  # noqa: SIM117
        with AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=3600)) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) > 400)
            assert board.process is not None
            board.process.send_signal(signal.SIGSTOP)  # the board is frozen: silence on the line
            time.sleep(0.5)
            board.process.send_signal(signal.SIGCONT)
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 12)
            assert agent.stop() == 0
            counters = agent.counters()
    assert counters["readings_received"] == counters["readings_sent"] == len(edges)


def test_a_stranger_on_the_line_is_named_and_the_agent_lives(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        with AgentProcess(tmp_path, node_toml(os.ttyname(slave), anchor_s=time.time())) as agent:
            agent.wait(lambda a: "pid" in a.status)
            os.write(master, b"$GPGGA,123519,4807.038,N\r\n" * 150)
            agent.wait(lambda a: any("wrong board" in str(r.detail.get("what")) for r in a.rows()))
            assert agent.status["healthy"] is False
            assert agent.stop() == 0
    finally:
        os.close(master)
        os.close(slave)


def test_a_restored_hub_gets_again_what_it_may_have_lost_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "n.sqlite3"
    box = Outbox(path, 10_000_000)
    for n in range(10):
        box.commit([row(n)])
        box.commit(acknowledged=box.batch(1, 1_000_000).ids, hub_ms=1000 + n)
    box.commit([row(10), row(11, Kind.ALERT)])
    assert box.delivered_since(1007) == 3
    box.commit(restored=Restored(at_ms=5000, since_ms=1007))
    assert [r.seq for r in box.batch(10, 1_000_000).rows] == [11, 7, 8, 9, 10]
    assert box.load("restored") == 5000
    box.close()
    box = Outbox(path, 10_000_000)
    assert (box.rows, box.delivered_since(0)) == (5, 7)
    box.commit(acknowledged=box.batch(10, 1_000_000).ids)  # given up: nobody has them
    assert (box.rows, box.bytes, box.delivered_since(0)) == (0, 0, 7)


def test_what_is_delivered_takes_no_room_from_what_is_not(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "n.sqlite3", 20_000)
    for n in range(0, 400, 10):
        box.commit([row(i) for i in range(n, n + 10)])
        box.commit(acknowledged=box.batch(10, 1_000_000).ids, hub_ms=n)
    kept = box.delivered_since(0)
    assert 0 < kept < 400
    assert box.delivered_since(390) == 10, "the newest stay"
    box.commit([row(i) for i in range(400, 450)])
    assert box.delivered_since(0) < kept
    box.commit([row(i) for i in range(450, 500)])
    assert (box.rows, box.delivered_since(0)) == (100, 0)


def test_on_a_full_disk_what_is_delivered_goes_first_and_acknowledged_rows_still_leave(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "n.sqlite3", 10_000_000)
    box.commit([row(i) for i in range(200)])
    box.commit(acknowledged=box.batch(100, 1_000_000).ids, hub_ms=1)
    assert box.delivered_since(0) == 100
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count = {pages}")
    box.commit([row(i, detail={"what": "x" * 100}) for i in range(200, 240)])
    assert (box.rows, box.delivered_since(0)) == (140, 0)
    with pytest.raises(StorageFull):
        box.commit([row(i, detail={"what": "x" * 200}) for i in range(240, 900)])
    box.commit(acknowledged=box.batch(140, 1_000_000).ids, hub_ms=2)
    assert box.rows == 0
