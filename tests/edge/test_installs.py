"""What passes by itself is tried again and ends in an installed model; a slow server holds nobody up.

Real python-tuf client, real HTTP on loopback, real signatures, the agent's own queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.simulators import manners
from tests.simulators.agent import node_toml
from tests.simulators.signed_hub import SignedHub, bundle, signed_hub
from tests.simulators.tuf_repository import Manner
from wayside.contracts.node_config import load_node_config
from wayside.contracts.passport import MAX_BUNDLE_BYTES
from wayside.contracts.rollout import FINAL, Refusal, UpdateState
from wayside.contracts.sync import Desired, Reported
from wayside.edge.agent import Agent
from wayside.edge.update import fetch, installs, slots


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedHub]:
    with signed_hub(tmp_path_factory.mktemp("hub")) as one:
        one.publish(bundle("1.0.0"))
        one.publish(bundle("1.1.0"))
        one.publish(bundle("1.2.0", golden_shift=50.0))
        yield one


@pytest.fixture(autouse=True)
def honest_again(hub: SignedHub) -> Iterator[None]:
    yield
    hub.repository.manners.clear()
    hub.repository.tampered.clear()
    hub.repository.sign()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installs, "RETRY_BASE_S", 0.05)
    monkeypatch.setattr(installs, "RETRY_CAP_S", 0.2)


def wanted(version: str, name: str = "traffic-flow") -> Desired:
    return Desired(bundle=name, version=version, target=f"models/{name}-{version}.bundle")


@contextlib.asynccontextmanager
async def node(folder: Path, hub: SignedHub) -> AsyncIterator[Agent]:
    """An agent of which only the queue of installs runs, and downloads in this process, whose numbers tests change."""
    (folder / "root.json").write_bytes(hub.root)
    url = f'[hub]\nurl = "{hub.repository.url}"\n'
    agent = Agent(load_node_config(node_toml("/dev/null", anchor_s=time.time(), hub=url)), folder)
    assert agent.installs._updater is not None
    agent.installs._updater._apart = False
    queue = asyncio.create_task(agent.installs.run())
    try:
        yield agent
    finally:
        queue.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await queue
        agent.close()


async def until(agent: Agent, holds: Callable[[Reported], bool], timeout_s: float = 60.0) -> Reported:
    deadline = time.monotonic() + timeout_s
    while not holds(report := agent.installs.reports()[0]):
        assert time.monotonic() < deadline, report
        await asyncio.sleep(0.02)
    return report


def runs(version: str) -> Callable[[Reported], bool]:
    return lambda r: (r.state, r.version, r.attempted, r.refusal) == (UpdateState.ACTIVE, version, version, None)


def waits(report: Reported) -> bool:
    return report.refusal is not None and "tried again in" in str(report.reason)


SNAPSHOT, TIMESTAMP, TARGET = "snapshot.json", "timestamp.json", "traffic-flow-1.1.0"
FAULTS: dict[str, tuple[str, Manner, Refusal]] = {
    "a short body": (TARGET, manners.short_body, Refusal.DOWNLOAD),
    "a flipped bit": (TARGET, manners.flipped_bit, Refusal.HASH),
    "an endless body": (TARGET, manners.endless_body, Refusal.HASH),
    "a portal's page for the bundle": (TARGET, manners.portal_page, Refusal.HASH),
    "a portal's page for the timestamp": (TIMESTAMP, manners.portal_page, Refusal.METADATA),
    "a portal's page for everything": ("/tuf/", manners.portal_page, Refusal.METADATA),
    "an endless timestamp": (TIMESTAMP, manners.endless_body, Refusal.METADATA),
    "a malformed snapshot": (SNAPSHOT, manners.malformed, Refusal.METADATA),
    "a nested snapshot": (SNAPSHOT, manners.nested, Refusal.METADATA),
    "an empty timestamp": (TIMESTAMP, manners.empty, Refusal.METADATA),
    "a redirect": ("/tuf/", manners.redirect, Refusal.DOWNLOAD),
    "a hub without room": ("/tuf/", manners.unavailable, Refusal.DOWNLOAD),
    "a line that breaks": ("/tuf/", manners.hangs_up, Refusal.DOWNLOAD),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_passes_by_itself_ends_in_an_installed_model(tmp_path: Path, hub: SignedHub, fault: str) -> None:
    part, manner, refusal = FAULTS[fault]
    async with node(tmp_path, hub) as agent:
        agent.installs.want([wanted("1.0.0")])
        await until(agent, runs("1.0.0"))
        hub.repository.sign()  # what is fetched is new, also the snapshot
        hub.repository.manners[part] = manner
        agent.installs.want([wanted("1.1.0")])
        report = await until(agent, waits)
        assert (report.version, report.attempted, report.refusal) == ("1.0.0", "1.1.0", refusal), report.reason
        await until(agent, lambda _: agent.node.ledger.holds("install_fails", "traffic-flow"))
        assert not any(c.severe for c in agent.node.ledger.conditions()), "the old model works"
        hub.repository.manners.clear()
        await until(agent, runs("1.1.0"))
        await until(agent, lambda _: not agent.node.ledger.holds("install_fails", "traffic-flow"))


async def test_a_stale_timestamp_is_waited_out(tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        hub.repository.sign(expires_in_days=-1)
        agent.installs.want([wanted("1.1.0")])
        report = await until(agent, waits)
        assert report.refusal is Refusal.METADATA
        assert "ExpiredMetadataError" in str(report.reason)
        hub.repository.sign()
        await until(agent, runs("1.1.0"))


async def test_a_full_disk_is_waited_out(tmp_path: Path, hub: SignedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, content: bytes, *, keep: str | None) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with node(tmp_path, hub) as agent:
        with monkeypatch.context() as patch:
            patch.setattr(slots.Slots, "write", full)
            agent.installs.want([wanted("1.1.0")])
            assert (await until(agent, waits)).refusal is Refusal.STORAGE
        await until(agent, runs("1.1.0"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB where the node's state is."""
    state = tmp_path / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(state)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    yield state
    subprocess.run(["umount", str(state)], check=True)


async def test_a_disk_that_is_really_full_is_waited_out_too(small_disk: Path, tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        agent.installs.want([wanted("1.0.0")])
        await until(agent, runs("1.0.0"))
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        hub.repository.sign()
        agent.installs.want([wanted("1.1.0")])
        report = await until(agent, waits)
        assert (report.version, report.refusal) == ("1.0.0", Refusal.STORAGE), report.reason
        filler.unlink()
        await until(agent, runs("1.1.0"))


async def test_a_trust_root_that_is_put_right_is_found(tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        (tmp_path / "root.json").unlink()
        agent.installs.want([wanted("1.1.0")])
        assert "trust root" in str((await until(agent, waits)).reason)
        (tmp_path / "root.json").write_bytes(hub.root)
        await until(agent, runs("1.1.0"))


async def test_a_final_refusal_is_told_once_and_its_bytes_are_not_fetched_again(
    tmp_path: Path, hub: SignedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installs, "LOOK_AGAIN_S", 0.1)
    for _ in range(2):  # also not after a restart
        async with node(tmp_path, hub) as agent:
            if not agent.installs.reports()[0].version:
                agent.installs.want([wanted("1.0.0")])
                await until(agent, runs("1.0.0"))
            agent.installs.want([wanted("1.2.0")])
            report = await until(agent, lambda r: r.refusal is not None and r.state is UpdateState.REFUSED)
            assert (report.version, report.attempted, report.refusal) == ("1.0.0", "1.2.0", Refusal.GOLDEN)
            assert "tried again" not in str(report.reason)
            looked = hub.repository.requests.count(f"/tuf/metadata/{TIMESTAMP}")
            await until(agent, lambda _, n=looked: hub.repository.requests.count(f"/tuf/metadata/{TIMESTAMP}") > n + 1)  # type: ignore[misc]
            agent.committer.commit()
            told = [r for r in agent.outbox.batch(100, 1_000_000).rows if "1.2.0 refused" in str(r.detail.get("what"))]
            assert len(told) == 1
    assert len([p for p in hub.repository.requests if "traffic-flow-1.2.0" in p]) == 1


async def test_while_the_hub_is_away_a_final_refusal_stands_as_it_was(tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        agent.installs.want([wanted("1.2.0")])
        refused = await until(agent, lambda r: r.refusal in FINAL)
        agent.installs.want([wanted("1.0.0")])
        await until(agent, runs("1.0.0"))
        hub.repository.manners["/tuf/"] = manners.unavailable
        agent.installs.want([wanted("1.2.0")])
        await asyncio.sleep(1.0)
        report = agent.installs.reports()[0]
        assert (report.attempted, report.refusal, report.reason) == ("1.2.0", Refusal.GOLDEN, refused.reason)


async def test_a_bundle_that_no_task_names_is_refused_and_said(tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        before = len(hub.repository.requests)
        agent.installs.want([wanted("1.0.0", "air"), wanted("1.0.0")])
        agent.installs.want([wanted("1.0.0", "air"), wanted("1.0.0")])
        await until(agent, runs("1.0.0"))
        (other,) = [r for r in agent.installs.reports() if r.bundle == "air"]
        assert (other.state, other.refusal, other.attempted) == (UpdateState.REFUSED, Refusal.UNSUPPORTED, "1.0.0")
        assert other.reason == "no task of this node is for air; its tasks take traffic-flow"
        assert not [p for p in hub.repository.requests[before:] if "air" in p]
        agent.committer.commit()
        told = [r for r in agent.outbox.batch(100, 1_000_000).rows if "air 1.0.0 refused" in str(r.detail.get("what"))]
        assert len(told) == 1
        agent.installs.want([wanted("1.0.0")])
        assert [r.bundle for r in agent.installs.reports()] == ["traffic-flow"]


async def test_a_task_without_a_model_is_a_condition_with_its_reason(tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        (none,) = agent.node.ledger.conditions()
        assert (none.code, none.subject, none.severe) == ("no_model", "flow", False)
        assert (
            none.message
            == "this task runs no model, because no traffic-flow has been installed yet; a rollout brings one"
        )
        agent.installs.want([wanted("1.2.0")])
        await until(agent, lambda _: any(c.severe for c in agent.node.ledger.conditions()))
        (none,) = agent.node.ledger.conditions()
        assert "traffic-flow 1.2.0 was refused: onnx-int8: onnxruntime: golden window" in none.message
        (state,) = agent.node.task_states()
        assert state.model is None
        assert f"this task runs no model, because {state.why}"[:256] == none.message
        agent.installs.want([wanted("1.0.0")])
        await until(agent, lambda _: agent.node.ledger.conditions() == ())
        (state,) = agent.node.task_states()
        assert (state.model, state.why) == ("1.0.0", None)


# --- slow servers ---------------------------------------------------------------------------------


SLOW = {
    "the bundle": ("/tuf/targets/", manners.drip),
    "the bundle's headers": ("/tuf/targets/", manners.drip_headers),
    "metadata": ("/tuf/metadata/", manners.drip),
    "metadata's headers": ("/tuf/metadata/", manners.drip_headers),
    "silence": ("/tuf/", manners.silence),
}


@pytest.mark.parametrize("slow", SLOW)
async def test_what_the_hub_no_longer_wants_is_broken_off_at_once(tmp_path: Path, hub: SignedHub, slow: str) -> None:
    async with node(tmp_path, hub) as agent:
        agent.installs.want([wanted("1.0.0")])
        await until(agent, runs("1.0.0"))
        part, manner = SLOW[slow]
        hub.repository.manners[part] = manner
        before = len(hub.repository.requests)
        agent.installs.want([wanted("1.1.0")])
        await until(agent, lambda r: r.state is UpdateState.DOWNLOADING and len(hub.repository.requests) > before)
        await asyncio.sleep(0.5)
        agent.installs.want([wanted("1.0.0")])
        await until(agent, runs("1.0.0"), timeout_s=5)
        hub.repository.manners.clear()
        agent.installs.want([wanted("1.1.0")])
        await until(agent, runs("1.1.0"))


async def test_wanted_away_and_back_while_it_is_fetched_is_fetched_anew(tmp_path: Path, hub: SignedHub) -> None:
    async with node(tmp_path, hub) as agent:
        hub.repository.manners["/tuf/targets/"] = manners.drip
        agent.installs.want([wanted("1.1.0")])
        await until(agent, lambda r: r.state is UpdateState.DOWNLOADING)
        await asyncio.sleep(0.5)
        hub.repository.manners.clear()
        agent.installs.want([])
        agent.installs.want([wanted("1.1.0")])
        await until(agent, runs("1.1.0"), timeout_s=20)


@pytest.mark.parametrize("slow", SLOW)
async def test_below_the_floor_of_speed_the_server_is_given_up(
    tmp_path: Path, hub: SignedHub, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "FLOOR_S", 1.5)
    part, manner = SLOW[slow]
    async with node(tmp_path, hub) as agent:
        hub.repository.manners[part] = manner
        agent.installs.want([wanted("1.1.0")])
        report = await until(agent, waits, timeout_s=20)
        assert report.refusal is Refusal.DOWNLOAD
        assert "too slow" in str(report.reason)
        hub.repository.manners.clear()
        await until(agent, runs("1.1.0"))


async def test_a_download_has_a_deadline_by_its_size(
    tmp_path: Path, hub: SignedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "BASE_S", 0.5)
    monkeypatch.setattr(fetch, "PACE_BYTES_S", 1e9)
    async with node(tmp_path, hub) as agent:
        hub.repository.manners["/tuf/targets/"] = manners.drip
        agent.installs.want([wanted("1.1.0")])
        report = await until(agent, waits, timeout_s=20)
        assert "longer than its size allows" in str(report.reason)


def test_the_limits_let_the_slowest_line_that_is_good_enough_bring_the_largest_bundle() -> None:
    assert fetch.FLOOR_BYTES / fetch.FLOOR_S <= fetch.PACE_BYTES_S, "the floor must not end what the deadline allows"
    assert MAX_BUNDLE_BYTES / fetch.PACE_BYTES_S + fetch.BASE_S < 10 * 3600
