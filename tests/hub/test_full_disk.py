"""The hub on a disk without room: it says so, acknowledges nothing, and takes everything once there is room."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.edge.test_agent import intervals, traffic
from tests.edge.test_hub_sync import hub_toml
from tests.hub.conftest import HubProcess, miscounted
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware


def fill_the_disk(hub: HubProcess) -> None:
    """No file of the hub may grow: writing beyond the limit fails with EFBIG."""
    assert hub.process is not None
    psutil.Process(hub.process.pid).rlimit(psutil.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def make_room(hub: HubProcess) -> None:
    assert hub.process is not None
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    psutil.Process(hub.process.pid).rlimit(psutil.RLIMIT_FSIZE, unlimited)


def test_a_full_disk_is_507_with_a_sentence_and_readers_are_still_served(
    hub_process: Callable[[], HubProcess],
) -> None:
    hub = hub_process()
    node = hub.node("node-1")
    assert node.sync([node.summary()]).stored == 1
    fill_the_disk(hub)
    body = node.request([node.summary() for _ in range(50)])
    for _ in range(3):
        answer = node.post(body)
        assert (answer.status_code, answer.json()["error"]) == (507, "store_full"), answer.text
        assert "send it again" in answer.json()["message"]
    assert len(hub.client.get("/api/v1/summaries").json()["summaries"]) == 1
    assert hub.client.get("/healthz").status_code in (200, 503)
    make_room(hub)
    answer = node.post(body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["stored"], answer.json()["duplicates"]) == (50, 0)


def test_the_agent_keeps_its_rows_while_the_hub_is_full_and_they_arrive_once_after_its_restart(
    tmp_path: Path, hub_process: Callable[[], HubProcess]
) -> None:
    hub = hub_process()
    toml_hub = hub_toml(hub)
    edges = traffic(8, each_s=60)
    firmware()
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:  # noqa: SIM117
        with AgentProcess(tmp_path, node_toml(board.port, anchor_s=anchor, speed=3600, hub=toml_hub)) as agent:
            agent.wait(lambda a: a.counters().get("summaries_acknowledged", 0) > 0)
            fill_the_disk(hub)
            agent.wait(lambda a: "507" in str(a.status["trouble"]["hub"]))
            acknowledged = agent.counters()["summaries_acknowledged"]
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 8)
            assert agent.counters()["summaries_acknowledged"] == acknowledged
            port = int(hub.url.rsplit(":", 1)[1])
            hub.kill()
            hub.start(port)  # with room
            agent.wait(lambda a: a.counters().get("readings_received", 0) == len(edges) and not a.rows(), timeout_s=60)
            assert agent.stop() == 0
            counters = agent.counters()
    assert counters["summaries_acknowledged"] == counters["summaries_produced"]
    (mine,) = hub.client.get("/api/v1/stats").json()["nodes"]
    assert (mine["stored"], mine["missing"]) == (counters["summaries_produced"], 0)
    assert miscounted(hub.data) == []
