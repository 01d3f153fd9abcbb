"""A signed model reaches a running agent and is used: real release tools, real update metadata, real export."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from tests.simulators.agent import node_toml
from tests.simulators.signed_hub import bundle, signed_hub
from wayside.contracts.node_config import load_node_config
from wayside.contracts.rollout import Refusal
from wayside.edge.agent import Agent


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 -- what it waits for tells nobody
            await asyncio.sleep(0.02)


async def test_a_wanted_model_is_installed_and_used_and_a_bad_one_refused_with_an_alert(tmp_path: Path) -> None:
    with signed_hub(tmp_path) as hub:
        (tmp_path / "root.json").write_bytes(hub.root)
        url = f'[hub]\nurl = "{hub.repository.url}"\n'
        agent = Agent(load_node_config(node_toml("/dev/null", anchor_s=time.time(), hub=url)), tmp_path)
        queue = asyncio.create_task(agent.installs.run())
        agent.installs.want([hub.publish(bundle("1.0.0"), "1.0.0")])
        await until(lambda: [t.model for t in agent.node.task_states()] == ["1.0.0"])
        assert agent.installs.first_report().version == "1.0.0"
        agent.installs.want([hub.publish(bundle("1.0.1", golden_shift=50.0), "1.0.1")])
        await until(agent.committer.urgent.is_set)
        agent.committer.urgent.clear()
        await until(lambda: agent.installs.first_report().refusal is not None)
        await until(agent.committer.urgent.is_set)
        reported = agent.installs.first_report()
        assert (reported.version, reported.attempted, reported.refusal) == ("1.0.0", "1.0.1", Refusal.GOLDEN)
        assert [t.model for t in agent.node.task_states()] == ["1.0.0"]
        batch = agent.outbox.batch(10, 100_000)
        assert any("1.0.1 refused: golden" in str(r.detail.get("what")) for r in batch.rows)
        queue.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await queue
        agent.close()
