"""A signed model reaches a running agent and is used: real release tools, real update metadata, real export."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.simulators.agent import node_toml
from tests.simulators.signed_hub import SignedHub, bundle, signed_hub
from wayside.contracts.node_config import load_node_config
from wayside.edge.agent import Agent


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> object:
    with signed_hub(tmp_path_factory.mktemp("hub")) as one:
        yield one


async def test_a_wanted_model_is_installed_and_used_and_a_bad_one_refused_with_an_alert(
    tmp_path: Path, hub: SignedHub
) -> None:
    (tmp_path / "root.json").write_bytes(hub.root)
    url = f'[hub]\nurl = "{hub.repository.url}"\n'
    agent = Agent(load_node_config(node_toml("/dev/null", anchor_s=time.time(), hub=url)), tmp_path)
    good = hub.publish(bundle("1.0.0"), "1.0.0")
    agent.installs.want([good])
    assert agent.installs.installing is not None
    await agent.installs.installing
    assert agent.installs.first_report().version == "1.0.0"
    assert agent.pipeline._windows is not None
    agent.installs.want([good])  # it runs already: nothing to do
    assert agent.installs.installing.done()
    bad = hub.publish(bundle("1.0.1", golden_shift=50.0), "1.0.1")
    agent.installs.want([bad])
    await agent.installs.installing
    reported = agent.installs.first_report()
    assert (reported.version, reported.attempted) == ("1.0.0", "1.0.1")
    assert reported.refusal is not None
    finished = agent.installs.installing
    agent.installs.want([bad])  # refused once: not tried again until another is wanted
    assert agent.installs.installing is finished
    batch = agent.outbox.batch(10, 100_000)
    assert any("1.0.1 refused: golden" in str(r.detail.get("what")) for r in batch.rows)
    agent.close()
