"""Whatever is wrong on the hub's side, the agent senses on; and it says which of many things it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
from pathlib import Path

import pytest

from tests.simulators.agent import free_port
from wayside.contracts.node_config import HubConfig, load_node_config
from wayside.contracts.sync import Desired, EnrolReply, SyncReply, SyncRequest
from wayside.edge import report, sync
from wayside.edge.agent import Agent
from wayside.edge.configuration.check import check_file
from wayside.edge.doctor.conditions import check_conditions
from wayside.edge.doctor.hub import check_hub, check_proxy
from wayside.edge.doctor.running import running_agent
from wayside.edge.hub_client import HubClient, HubUnreachable
from wayside.edge.hub_tls import HubTls
from wayside.edge.identity import load_or_create
from wayside.edge.sync import Sync
from wayside.edge.update.installs import Installs
from wayside.edge.update.updater import Updater

TASK = """
clock = { kind = "scaled", start_unix_s = 1_800_000_000 }
node = "n"
state_dir = "state"
rows_s = 1
[hub]
url = "http://127.0.0.1:9"
token = "0123456789abcdef0123"
[storage]
checkpoint_s = 0.05
[manual]
port = PORT
[[manual.values]]
datastream = "street/volume"
unit = "{veh}"
kind = "events"
silence = "zero"
silent_s = 3600
[[tasks]]
name = "flow"
bundle = "flow"
interval_s = 900
step_s = 900
sites = [{ output = "street/volume" }]
"""
NODE = 'node = "n"\nstate_dir = "state"\nrows_s = 1\n[hub]\ntoken = "0123456789abcdef0123"\nbackoff_max_s = 1\nurl = '
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def lived(folder: Path, toml: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an agent says of the hub, once it says something and has written its status twice more; it is alive."""
    monkeypatch.setattr(report, "REPORT_S", 0.05)
    agent = Agent(load_node_config(toml), folder)
    life = asyncio.create_task(agent.run())
    status, told, after = folder / "state" / "status.json", None, 0
    async with asyncio.timeout(20):
        while after < 3:
            await asyncio.sleep(0.05)
            assert not life.done(), await life
            if status.exists():
                told = json.loads(status.read_bytes())["trouble"]["hub"] or told
                after += told is not None
    os.kill(os.getpid(), signal.SIGTERM)
    await life
    return str(told)


async def obliging_enrol(_self: HubClient, **_: object) -> EnrolReply:
    return EnrolReply(node="n", hub_unix_ms=1_800_000_000_000)


async def obliging_sync(_self: HubClient, request: SyncRequest) -> tuple[SyncReply, int]:
    """A hub that takes all, and wants a model installed."""
    wanted = (Desired(bundle="flow", version="1.0.0", target="models/flow-1.0.0.bundle"),)
    stored = len(request.summaries)
    return SyncReply(stored=stored, duplicates=0, hub_unix_ms=1_800_000_000_000, wanted=wanted), 1


class Told:
    """What a running agent's status and the doctor say, again and again, while vehicles pass.

    ``stored`` counts those of which the agent has said that they are on disk.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.config, self.folder, self.port = load_node_config(TASK.replace("PORT", str(port))), folder, port
        self.words, self.stored = "", 0

    async def look(self) -> None:
        body = json.dumps({"datastream": "street/volume", "value": 1, "id": secrets.token_hex(8)}).encode()
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"POST /v1/values HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % self.port)
            writer.write(
                b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            self.stored += b'"taken":1' in await reader.read()
            writer.close()
        status = running_agent(self.folder / "state")
        if status is not None:
            doctor = [f.said for f in check_conditions(status)]
            self.words = " ".join([json.dumps(status["trouble"]), json.dumps(status["models"]), *doctor])


FAULTY = {
    "sync": (Sync, "run"),
    "the first request": (HubClient, "enrol"),
    "a request": (HubClient, "sync"),
    "what the hub wants": (Sync, "_take"),
    "an exchange": (Sync, "_once"),
    "handing in": (sync, "hand_in"),
    "installs": (Installs, "run"),
    "what is wanted next": (Installs, "_next"),
    "an install": (Updater, "install"),
    "a download": (Updater, "_fetch"),
    "the outcome": (Installs, "_tell"),
}
FAULTS = (OverflowError("port must be 0-65535."), asyncio.CancelledError("by nobody"), StopIteration("x"))


@pytest.mark.parametrize("place", FAULTY)
async def test_no_fault_of_what_faces_the_hub_ends_the_agent_and_each_is_told(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = FAULTS[list(FAULTY).index(place) % len(FAULTS)]

    def fails(*_: object, **__: object) -> None:
        raise fault

    async def fails_later(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(report, "REPORT_S", 0.05)
    monkeypatch.setattr(HubClient, "enrol", obliging_enrol)
    monkeypatch.setattr(HubClient, "sync", obliging_sync)
    owner, name = FAULTY[place]
    monkeypatch.setattr(owner, name, fails_later if asyncio.iscoroutinefunction(getattr(owner, name)) else fails)
    told = Told(tmp_path, free_port())
    life = asyncio.create_task(Agent(told.config, tmp_path).run())
    async with asyncio.timeout(30):
        while not (type(fault).__name__ in told.words and told.stored >= 2):
            assert not life.done(), await life
            await asyncio.sleep(0.05)
            await told.look()
        since = told.stored
        while told.stored < since + 2:
            assert not life.done(), await life
            await told.look()
            await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await life


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80000", "http://h:port", "http://::1:18415", "http://", "ftp://h", ""]
)
async def test_an_address_that_is_none_ends_no_agent_and_is_refused_by_check_and_doctor(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await lived(tmp_path, f'{NODE}"{url}"\n', monkeypatch)
    assert told.startswith("hub.url: ")
    (tmp_path / "node.toml").write_text(f'{NODE}"{url}"\n')
    assert "$.hub.url" in dict(check_file(tmp_path / "node.toml").mistakes)
    said = check_hub(load_node_config(f'{NODE}"{url}"\n'), tmp_path, None)
    assert (said.state, said.fix) == ("fail", "correct hub.url and restart the agent")
    assert told.removeprefix("hub.url: ")[:20] in said.said


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ALL_PROXY": "ftp://p:1"}, "ALL_PROXY=ftp://p:1: there are proxies of"),
        ({"ALL_PROXY": "http://127.0.0.1:9"}, "the proxy http://127.0.0.1:9 (ALL_PROXY) is not reached"),
        ({"ALL_PROXY": "ftp://p:1", "NO_PROXY": "10.0.0.0/8,hub.invalid"}, "no computer of the name hub.invalid"),
        ({"NO_PROXY": "10.0.0.0/8,::1,[::1"}, "no computer of the name hub.invalid"),
    ],
)
async def test_proxy_variables_end_no_exchange_but_those_that_take_the_proxy(
    variables: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = HubConfig(url="http://hub.invalid", token="0123456789abcdef")
    client = HubClient(config, "n", load_or_create(tmp_path), HubTls(config, tmp_path))
    with pytest.raises(HubUnreachable) as refused:
        await client.enrol()
    await client.close()
    assert told in str(refused.value)
    said = check_hub(load_node_config(f'{NODE}"http://hub.invalid"\n'), tmp_path, None)
    assert told[:30] in said.said


def test_a_variable_that_cannot_be_used_is_named_by_doctor_and_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_proxy() is None
    monkeypatch.setenv("HTTPS_PROXY", "gopher://p")
    said = check_proxy()
    assert said is not None
    assert "HTTPS_PROXY=gopher://p" in said.said
    (tmp_path / "node.toml").write_text(f'{NODE}"http://h"\n')
    assert any("HTTPS_PROXY=gopher://p" in hint for hint in check_file(tmp_path / "node.toml").hints)
    (tmp_path / "node.toml").write_text(f'{NODE}"http://h"\nproxy = "none"\n')
    assert not check_file(tmp_path / "node.toml").hints


async def test_the_proxy_of_the_nodes_file_is_the_one_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://nonsense")
    asked: list[bytes] = []

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        body = b'{"wire":1,"node":"n","hub_unix_ms":1}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxied, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = HubConfig(url="http://hub.invalid/city", token="0123456789abcdef", proxy=f"127.0.0.1:{port}")
    client = HubClient(config, "n", load_or_create(tmp_path), HubTls(config, tmp_path))
    assert isinstance(await client.enrol(), EnrolReply)
    await client.close()
    server.close()
    assert asked == [b"POST http://hub.invalid/city/api/v1/enrol HTTP/1.1"]
