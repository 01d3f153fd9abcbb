"""The agent against the real hub, both as processes, on the real firmware."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.edge.test_agent import traffic
from tests.hub.conftest import AUTH, HubProcess, hub_process, initialise, miscounted
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware

__all__ = ["hub_process"]


def hub_toml(hub: HubProcess, node: str = "node-1") -> str:
    token = hub.client.post("/api/v1/tokens", json={"node": node}, headers=AUTH).json()["token"]
    return f'[hub]\nurl = "{hub.url}"\ntoken = "{token}"\nsync_s = 0.3\nbackoff_max_s = 0.5\n'


def test_every_summary_is_at_the_hub_once_though_hub_and_agent_are_killed(
    tmp_path: Path, hub_process: Callable[[], HubProcess]
) -> None:
    edges = traffic(4)
    hub = hub_process()
    toml_hub = hub_toml(hub)
    firmware()  # built before the clock starts
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:
        toml = node_toml(board.port, anchor_s=anchor, speed=3600, hub=toml_hub)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.counters().get("summaries_acknowledged", 0) > 4)
            port = int(hub.url.rsplit(":", 1)[1])
            hub.kill()
            time.sleep(0.5)
            agent.stop(signal.SIGKILL)
            agent.start()
            hub.start(port)
            agent.wait(lambda a: a.counters().get("readings_received", 0) == len(edges), timeout_s=10)
            agent.wait(lambda a: a.counters()["summaries_acknowledged"] > 60 and not a.rows())
            assert agent.stop() == 0
            counters = agent.counters()
            left = len(agent.rows())
    assert left == 0
    (mine,) = hub.client.get("/api/v1/stats").json()["nodes"]
    assert mine["stored"] == counters["summaries_acknowledged"] == counters["summaries_produced"]
    assert mine["missing"] == 0
    assert miscounted(hub.data) == []
    assert counters["readings_sent"] == counters["readings_received"] == len(edges)
    assert counters["bytes_sent"] > 0


def test_a_node_enrols_at_a_hub_that_was_set_up_anew_with_the_token_that_it_is_given(
    tmp_path: Path, hub_process: Callable[[], HubProcess]
) -> None:
    """As does one that was tried on the bench's hub first: its state says that it is enrolled."""
    toml = 'node = "node-1"\nstate_dir = "state"\n%s[task]\nbundle = "b"\n'
    hub = hub_process()

    def seen(_: AgentProcess) -> bool:
        said = hub.client.get("/api/v1/nodes/node-1")
        return said.status_code == 200 and said.json()["requests"] > 0

    with AgentProcess(tmp_path, toml % hub_toml(hub)) as agent:
        agent.wait(seen, timeout_s=90)
        assert agent.stop() == 0
    hub.kill()
    shutil.rmtree(hub.data)
    initialise(hub.data)
    hub.start()
    with AgentProcess(tmp_path, toml % hub_toml(hub)) as agent:
        agent.wait(seen, timeout_s=90)
        assert agent.stop() == 0


def test_a_hub_that_forgot_the_node_for_a_while_has_it_again_without_a_restart(
    tmp_path: Path, hub_process: Callable[[], HubProcess]
) -> None:
    """It ran on the wrong data; meanwhile the node tried its token, which nobody knows any more."""
    toml = 'node = "node-1"\nstate_dir = "state"\n%s[task]\nbundle = "b"\n'
    hub = hub_process()

    def requests() -> int:
        said = hub.client.get("/api/v1/nodes/node-1")
        return int(said.json()["requests"]) if said.status_code == 200 else 0

    ours = hub_toml(hub)
    with AgentProcess(tmp_path, toml % ours) as agent:
        agent.wait(lambda _: requests() > 0, timeout_s=90)
        assert agent.stop() == 0
    with AgentProcess(tmp_path, toml % re.sub('token = "[^"]*', 'token = "0123456789abcdef', ours)) as agent:
        port, right, aside = int(hub.url.rsplit(":", 1)[1]), hub.data, tmp_path / "aside"
        agent.wait(lambda _: requests() > 2, timeout_s=90)
        hub.kill()
        right.rename(aside)
        initialise(right)
        hub.start(port)
        agent.wait(lambda a: "not one of this hub's" in str(a.status["trouble"]["hub"]), timeout_s=90)
        hub.kill()
        shutil.rmtree(right)
        aside.rename(right)
        hub.start(port)
        before = requests()
        agent.wait(lambda a: requests() > before + 2, timeout_s=90)
        assert agent.stop() == 0
