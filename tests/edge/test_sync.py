"""What goes over the wire: the offer once, every model, task and condition; what an old hub says is understood."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators import manners
from tests.simulators.agent import AgentProcess
from tests.simulators.plain_hub import PlainHub
from tests.simulators.signed_hub import SignedHub, bundle, signed_hub
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.sync import Desired, Restored, SyncRequest

TOML = """
node = "node-1"
state_dir = "state"
[hub]
url = "%s"
token = "0123456789abcdef"
sync_s = 0.2
backoff_max_s = 0.5
[board]
port = "/dev/null"
[[detectors]]
channel = 1
datastream = "det/1"
[[tasks]]
name = "flow"
bundle = "traffic-flow"
sites = [{ output = "det/1" }]
[[tasks]]
name = "other"
bundle = "night"
sites = [{ output = "det/1" }]
"""


class Hub:
    def __init__(self, signed: SignedHub, plain: PlainHub) -> None:
        self.signed, self.plain = signed, plain
        self.flow = signed.publish(bundle())
        self.newer = signed.publish(bundle("1.1.0"))
        self.night = signed.publish(bundle(bundle="night"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    plain = PlainHub()
    with signed_hub(tmp_path_factory.mktemp("hub"), plain) as signed:
        yield Hub(signed, plain)


@pytest.fixture
def hub(served: Hub) -> Iterator[Hub]:
    yield served
    plain = served.plain
    plain.manners.clear()
    plain.wanted, plain.old, plain.offer_wanted, plain.restored = (), False, False, None
    plain.refuses = lambda _: None
    plain.syncs.clear()


@pytest.fixture
def agent(tmp_path: Path, hub: Hub) -> Iterator[AgentProcess]:
    (tmp_path / "root.json").write_bytes(hub.signed.root)
    with AgentProcess(tmp_path, TOML % hub.plain.url) as process:
        yield process


def test_the_offer_goes_up_with_the_first_request_and_when_it_is_asked_for(hub: Hub, agent: AgentProcess) -> None:
    syncs = hub.plain.syncs
    agent.wait(lambda _: len(syncs) >= 4)
    assert [r.offer is not None for r in syncs[:4]] == [True, False, False, False]
    offer = syncs[0].offer
    assert offer is not None
    assert [t.bundle for t in offer.tasks] == ["traffic-flow", "night"]
    assert [d.name for d in offer.datastreams] == ["det/1"]
    hub.plain.offer_wanted = True
    before = len(syncs)
    agent.wait(lambda _: any(r.offer is not None for r in syncs[before:]))
    hub.plain.offer_wanted = False
    agent.wait(lambda _: syncs[-1].offer is None)


def test_every_model_task_and_condition_is_in_the_heartbeat_and_in_the_status_file(
    hub: Hub, agent: AgentProcess
) -> None:
    syncs = hub.plain.syncs
    agent.wait(lambda _: bool(syncs))
    assert [(m.bundle, m.state) for m in syncs[0].heartbeat.models] == [
        ("traffic-flow", UpdateState.IDLE),
        ("night", UpdateState.IDLE),
    ]
    assert [(t.name, t.model) for t in syncs[0].heartbeat.tasks] == [("flow", None), ("other", None)]
    assert {(c.code, c.subject) for c in syncs[0].heartbeat.conditions} >= {("no_model", "flow"), ("no_model", "other")}
    hub.plain.wanted = (hub.night, hub.flow)
    agent.wait(lambda _: {m.state for m in syncs[-1].heartbeat.models} == {UpdateState.ACTIVE}, timeout_s=60)
    agent.wait(lambda _: not [c for c in syncs[-1].heartbeat.conditions if c.code == "no_model"])
    beat = syncs[-1].heartbeat
    assert [(m.bundle, m.version) for m in beat.models] == [("traffic-flow", "1.0.0"), ("night", "1.0.0")]
    assert (beat.reported.bundle, beat.reported.version) == ("traffic-flow", "1.0.0"), "the first task's"
    assert [(t.name, t.model, t.why) for t in beat.tasks] == [("flow", "1.0.0", None), ("other", "1.0.0", None)]
    agent.wait(lambda a: [m.get("state") for m in a.status["models"]] == ["active", "active"])
    assert [t["model"] for t in agent.status["tasks"]] == ["1.0.0", "1.0.0"]
    assert agent.stop() == 0


def test_a_hub_that_knows_one_model_for_each_node_is_understood(hub: Hub, agent: AgentProcess) -> None:
    hub.plain.old = True
    hub.plain.wanted = (hub.flow,)
    agent.wait(
        lambda _: bool(hub.plain.syncs) and hub.plain.syncs[-1].heartbeat.reported.version == "1.0.0", timeout_s=60
    )
    hub.plain.wanted = (Desired(bundle="air", version="1.0.0", target="models/air-1.0.0.bundle"),)
    agent.wait(lambda _: len(hub.plain.syncs[-1].heartbeat.models) == 3)
    other = hub.plain.syncs[-1].heartbeat.models[-1]
    assert (other.bundle, other.refusal) == ("air", Refusal.UNSUPPORTED)


@pytest.mark.parametrize(("part", "field"), [("offer", "$.offer.tasks[0].name"), ("heartbeat", "$.heartbeat.agent")])
def test_no_row_is_given_up_for_what_the_hub_does_not_take_of_another_part(
    hub: Hub, tmp_path: Path, part: str, field: str
) -> None:
    refusals = []

    def refuse(request: SyncRequest) -> str | None:
        if getattr(request, part) is None or (part == "heartbeat" and len(refusals) > 12):
            return None
        refusals.append(len(request.summaries))
        return field

    hub.plain.refuses = refuse
    (tmp_path / "root.json").write_bytes(hub.signed.root)
    with AgentProcess(tmp_path, TOML % hub.plain.url) as agent:
        agent.wait(lambda _: any(s.summaries for s in hub.plain.syncs))
        assert agent.stop() == 0
        stored = [row.seq for s in hub.plain.syncs for row in s.summaries]
        assert agent.counters()["summaries_produced"] == len(stored) + len(agent.rows())
    assert len(refusals) == 1 if part == "offer" else max(refusals) > 0, "there were rows to lose"
    assert stored == list(range(len(stored)))
    assert not any(row.datastream == "outbox" for s in hub.plain.syncs for row in s.summaries)


def test_the_sync_goes_on_beside_a_slow_download_and_brings_its_end(hub: Hub, agent: AgentProcess) -> None:
    syncs = hub.plain.syncs
    hub.plain.wanted = (hub.flow,)
    agent.wait(lambda _: bool(syncs) and syncs[-1].heartbeat.reported.version == "1.0.0", timeout_s=60)
    hub.plain.manners["/tuf/targets/"] = manners.drip
    hub.plain.wanted = (hub.newer,)
    agent.wait(lambda _: syncs[-1].heartbeat.reported.state is UpdateState.DOWNLOADING)
    before = len(syncs)
    agent.wait(lambda _: len(syncs) > before + 5)
    assert syncs[-1].heartbeat.reported.state is UpdateState.DOWNLOADING
    hub.plain.wanted = (hub.flow,)
    agent.wait(lambda _: syncs[-1].heartbeat.reported.state is UpdateState.ACTIVE, timeout_s=10)
    assert syncs[-1].heartbeat.reported.attempted == "1.0.0"


STOP_S = 30.0  # TimeoutStopSec of edge/wayside-agent.service
SLOW = {
    "a bundle a byte a second": ("/tuf/targets/", manners.drip),
    "a bundle's headers a byte a second": ("/tuf/targets/", manners.drip_headers),
    "metadata a byte a second": ("/tuf/metadata/", manners.drip),
    "metadata's headers a byte a second": ("/tuf/metadata/", manners.drip_headers),
    "sync a byte a second": ("/api/v1/sync", manners.drip),
    "sync's headers a byte a second": ("/api/v1/sync", manners.drip_headers),
    "a nonce a byte a second": ("/api/v1/nonce", manners.drip),
    "silence": ("/", manners.silence),
}


@pytest.mark.parametrize("slow", SLOW)
def test_sigterm_ends_the_agent_before_systemd_would_kill_it_whatever_the_server_does(
    hub: Hub, tmp_path: Path, slow: str
) -> None:
    part, manner = SLOW[slow]
    hub.plain.manners[part] = manner
    hub.plain.wanted = (hub.flow,)
    (tmp_path / "root.json").write_bytes(hub.signed.root)
    before = len(hub.plain.requests)
    with AgentProcess(tmp_path, TOML % hub.plain.url) as agent:
        agent.wait(lambda _: any(part in path for path in hub.plain.requests[before:]))
        agent.wait(lambda a: "pid" in a.status)
        assert agent.process is not None
        agent.process.terminate()
        assert agent.process.wait(timeout=STOP_S) == 0
    assert '"agent stopped"' in (tmp_path / "agent.log").read_text()


class StuckInNativeCode(AgentProcess):
    """Loading a model takes it a minute, in which nothing can interrupt it."""

    def _program(self) -> list[str]:
        stuck = "import sys, time, wayside.edge.update.trial as t; t.load_runtime = lambda *a, **k: time.sleep(60)"
        return ["-c", f"{stuck}; import wayside.__main__ as w; sys.exit(w.main(sys.argv[1:]))"]


def test_a_model_that_loads_for_a_minute_holds_up_neither_the_sync_nor_the_end_and_is_not_blamed(
    hub: Hub, tmp_path: Path
) -> None:
    syncs = hub.plain.syncs
    hub.plain.wanted = (hub.flow,)
    (tmp_path / "root.json").write_bytes(hub.signed.root)
    mark = tmp_path / "state" / "model" / "traffic-flow" / "trial.json"
    with StuckInNativeCode(tmp_path, TOML % hub.plain.url) as agent:
        agent.wait(lambda _: bool(syncs) and syncs[-1].heartbeat.reported.state is UpdateState.TESTING)
        before = len(syncs)
        agent.wait(lambda _: len(syncs) > before + 3)
        assert mark.exists()
        assert agent.process is not None
        agent.process.terminate()
        assert agent.process.wait(timeout=STOP_S) == 0
    assert not mark.exists()


def test_a_restored_hub_is_sent_once_more_what_it_may_have_lost(hub: Hub, agent: AgentProcess) -> None:
    plain = hub.plain
    sent = lambda: any(s.summaries for s in plain.syncs)  # noqa: E731
    agent.wait(lambda a: sent() and plain.syncs[-1].heartbeat.backlog == 0)
    before = {(row.boot, row.seq) for s in plain.syncs for row in s.summaries}
    plain.syncs.clear()
    plain.restored = Restored(at_ms=1_800_000_000_000, since_ms=0)
    agent.wait(lambda _: before <= {(row.boot, row.seq) for s in plain.syncs for row in s.summaries})
    plain.syncs.clear()
    agent.wait(lambda _: len(plain.syncs) >= 4)
    assert not before & {(row.boot, row.seq) for s in plain.syncs[1:] for row in s.summaries}, "once"
    agent.stop()
    counters = agent.counters()
    assert counters["summaries_acknowledged"] == counters["summaries_produced"] - len(agent.rows())
