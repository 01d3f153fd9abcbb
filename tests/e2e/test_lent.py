"""During commissioning the hub says that the board is lent to a technician, not that something is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.edge.test_agent import traffic
from tests.hub.conftest import AUTH, HubProcess, hub_process
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess
from tests.simulators.person import Person

__all__ = ["hub_process"]


def test_while_somebody_commissions_the_hub_says_lent_and_never_unhealthy_however_seldom_the_node_syncs(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    token = hub.client.post("/api/v1/tokens", json={"node": "node-1"}, headers=AUTH).json()["token"]
    section = f'[hub]\nurl = "{hub.url}"\ntoken = "{token}"\nsync_s = 300\n'
    seen: list[str] = []

    def health(_: AgentProcess) -> str:
        (node,) = hub.client.get("/api/v1/nodes").json()["nodes"] or [{"health": "none"}]
        seen.append(node["health"])
        return str(node["health"]) + "".join(why for why in node.get("trouble", []) if "board" in why)

    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, traffic(1), speed=60, anchor_s=anchor) as board:
        toml = node_toml(board.port, anchor_s=anchor, speed=60, hub=section)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.status.get("board", {}).get("connected") is True)
            agent.wait(lambda a: health(a) in ("fresh", "unhealthyits board is not connected"))
            with Person("commission", agent.config, "--by", "A. Muster") as person:
                person.sees("Drive over")
                agent.wait(lambda a: health(a) == "lent", timeout_s=10)
                assert 'wayside_nodes{health="lent"} 1.0' in hub.client.get("/metrics").text
                seen.clear()
                person.types("q")
                assert "what is walked is kept" in person.ends()[1]
            agent.wait(lambda a: health(a) == "fresh", timeout_s=20)
            assert set(seen) <= {"lent", "fresh"}
            assert agent.stop() == 0
