"""A node without a battery-backed clock and without NTP: it wakes in 1970 and gets its time from the hub."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.edge.test_agent import intervals
from tests.edge.test_hub_sync import hub_toml
from tests.hub.conftest import HubProcess, hub_process
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, Edge, firmware
from wayside.contracts.reading import ClockState
from wayside.contracts.summary import Kind
from wayside.edge.clock import SystemClock

__all__ = ["hub_process"]

INTERVAL_S = 2
EVERY_MS = 1000  # a vehicle
CLOCK_OF_1970 = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *t) {
    return (int)syscall(SYS_clock_gettime, id == CLOCK_REALTIME ? CLOCK_BOOTTIME : id, t);
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
int adjtimex(struct timex *t) {
    t->status = STA_UNSYNC;
    return TIME_ERROR;
}
"""


@pytest.fixture
def in_1970(tmp_path: Path) -> str:
    """A library to preload: wall time is the time since power-on, and no NTP disciplines it."""
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK_OF_1970)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return str(library)


def stored(hub: HubProcess, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = hub.client.get("/api/v1/summaries", params={"limit": "1000", **query}).json()[
        "summaries"
    ]
    return rows


def test_a_node_that_wakes_in_1970_gets_the_hubs_time_and_its_rows_are_stamped_once_and_in_order(
    tmp_path: Path,
    hub_process: Callable[[], HubProcess],
    in_1970: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = hub_process()
    port = int(hub.url.rsplit(":", 1)[1])
    toml_hub = hub_toml(hub)
    hub.stop()
    edges: list[Edge] = [(ms + on, 1, 1, 1 - on // 100) for ms in range(100, 20_000, EVERY_MS) for on in (0, 100)]
    vehicles = len(edges) // 2
    firmware()
    with BoardProcess(tmp_path, edges) as board, ExitStack() as stack:
        began_ms = time.time_ns() // 1_000_000
        toml = node_toml(board.port, anchor_s=0, clock="system", hub=toml_hub, detectors=(1,), step_s=INTERVAL_S)
        agent = AgentProcess(tmp_path, toml.replace("interval_s = 900", f"interval_s = {INTERVAL_S}"))
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", in_1970)
            stack.push(agent.start())
        agent.wait(lambda a: "pid" in a.status)
        agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 3)
        timeless = agent.rows()
        assert {(r.at.clock, r.at.wall_ms) for r in timeless} == {(ClockState.UNKNOWN, None)}
        assert {r.detail["verdict"] for r in timeless if r.kind is Kind.DECISION} == {"held"}
        hub.start(port)
        agent.wait(
            lambda a: sum(row["value"] or 0 for row in stored(hub, datastream="det/1")) == vehicles, timeout_s=60
        )
        assert agent.stop() == 0
        counters = agent.counters()
    assert all(said["timestamp"] < "1980" for said in map(json.loads, (tmp_path / "agent.log").open())), "it was 1970"
    rows = stored(hub)
    assert len(rows) == len({row["seq"] for row in rows}) == counters["summaries_produced"]
    counted = sorted((r for r in rows if r["datastream"] == "det/1"), key=lambda r: r["seq"])
    assert {row["at"]["clock"] for row in counted} == {"hub"}, "those from before the hub was heard have its time, too"
    ends = [row["at"]["wall_ms"] for row in counted]
    assert abs(ends[0] - INTERVAL_S * 1000 - began_ms) < 10_000
    # From one end to the next: an interval, slewed by at most 1 % toward the wall's own multiples, and what a loaded
    # machine delays the frames by which the board's clock is read.
    for one, next_one in pairwise(ends):
        assert abs(next_one - one - INTERVAL_S * 1000) <= 0.25 * INTERVAL_S * 1000
    assert {row["quality"] for row in counted} == {"good"}


@pytest.mark.parametrize("lost_ms", [0, 1_000_000_000_000, 2**53], ids=["1970", "2001", "in 285000 years"])
def test_a_hub_that_is_lost_in_time_itself_is_not_believed(lost_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wayside.edge.clock.kernel_sync_error_ms", lambda: None)
    clock = SystemClock()
    now_ns = clock.mono_ns()
    clock.hear_hub(lost_ms, now_ns, now_ns)
    assert clock.wall(now_ns).ms is None
    true_ms = time.time_ns() // 1_000_000
    clock.hear_hub(true_ms, now_ns, now_ns)
    clock.hear_hub(lost_ms, now_ns, now_ns)
    assert clock.wall(now_ns)[:2] == (true_ms, ClockState.HUB)
