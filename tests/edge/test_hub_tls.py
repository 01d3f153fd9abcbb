"""The node and its hub over TLS, with the city's own authority: who is believed, and that no clock locks a node out."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError

from tests.edge.test_lost_in_time import in_1970
from tests.hub.conftest import AUTH, ROOT, HubProcess, hub_process
from tests.hub.test_cli import complaint, wayside
from tests.simulators.agent import AgentProcess
from tests.simulators.authority import Authority
from tests.simulators.signed_hub import SignedHub, offer_of
from tests.simulators.tuf_repository import TufRepository
from wayside.contracts.node_check import checked_node_config
from wayside.contracts.node_config import HubConfig, ModelConfig, load_node_config
from wayside.contracts.reading import Stamp
from wayside.contracts.rollout import Refusal
from wayside.contracts.sync import Desired, Heartbeat, Reported, SyncRequest
from wayside.contracts.wire import ContractError
from wayside.edge.doctor.hub import check_hub
from wayside.edge.hub_client import HubClient, HubUnreachable
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.identity import load_or_create
from wayside.edge.update.fetch import Fetcher
from wayside.edge.update.updater import Updater

__all__ = ["hub_process", "in_1970"]
TOML = 'node = "node-1"\nstate_dir = "state"\n[hub]\nurl = "%s"\nca = "%s"\n[task]\nbundle = "b"\n'


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers as a hub that gives out nonces."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"wire":1,"nonce":"n"}')

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server(certificate: Path, key: Path, answers: type[Answers] = Answers) -> Iterator[str]:
    """A TLS server on 127.0.0.1; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers) as serving:
        serving.socket = context.wrap_socket(serving.socket, server_side=True)
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"https://127.0.0.1:{serving.server_address[1]}"
        finally:
            serving.shutdown()
            thread.join()


def fetch(tls: HubTls, url: str) -> None:
    with Fetcher(tls.hub, tls) as fetcher:
        assert b"".join(fetcher.fetch(f"{url}/tuf/metadata/1.root.json"))


async def talk(url: str, folder: Path, ca: str | None, *, disciplined: bool) -> None:
    """One exchange as the agent has it, and one as the updater has it.

    Raises:
        HubUnreachable: whom it will not believe.
    """
    config = HubConfig(url=url, ca=ca, token="0123456789abcdef")
    tls = HubTls(config, folder, lambda: disciplined)
    client = HubClient(config, "node-1", load_or_create(folder / "state"), tls)
    try:
        status, _, _ = await client._send("GET", "/api/v1/nonce?node=node-1", b"", {})
        assert status == 200
        await asyncio.to_thread(fetch, tls, url)
    finally:
        await client.close()


@pytest.fixture
def city(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "city")


@pytest.mark.parametrize("disciplined", [True, False], ids=["NTP", "no clock"])
async def test_the_hub_of_the_pinned_authority_is_believed(tmp_path: Path, city: Authority, disciplined: bool) -> None:
    with server(*city.issue("127.0.0.1")) as url:
        await talk(url, tmp_path, "city/ca.pem", disciplined=disciplined)


@pytest.mark.parametrize("disciplined", [True, False], ids=["NTP", "no clock"])
async def test_a_hub_of_another_authority_is_refused_and_the_message_says_what_to_compare(
    tmp_path: Path, city: Authority, disciplined: bool
) -> None:
    stranger = Authority(tmp_path / "stranger")  # of the same name
    with server(*stranger.issue("127.0.0.1")) as url:
        with pytest.raises(HubUnreachable, match=r"does not come from the authority in .*city/ca.pem"):
            await talk(url, tmp_path, str(city.ca), disciplined=disciplined)
        with pytest.raises(HubUnreachable, match=r"name it in hub\.ca"):
            await talk(url, tmp_path, None, disciplined=disciplined)
        tls = HubTls(HubConfig(url=url, ca=str(city.ca)), tmp_path, lambda: disciplined)
        with pytest.raises(DownloadError, match="is not trusted") as refused:
            await asyncio.to_thread(fetch, tls, url)
        assert "another machine answers" in str(tls.why(refused.value)), "the updater says it in the same words"


def test_the_updater_refuses_a_stranger_in_the_same_words(tmp_path: Path, city: Authority) -> None:
    with server(*Authority(tmp_path / "stranger").issue("127.0.0.1")) as url:
        tls = HubTls(HubConfig(url=url, ca="city/ca.pem"), tmp_path)
        with TufRepository() as repository:
            root = SignedHub(tmp_path / "release", repository).root_file
        updater = Updater(tmp_path / "node", ModelConfig(), offer_of("b"), root, url, tls=tls)
        reported = updater.install(Desired(bundle="b", version="1.0.0", target="models/b-1.0.0.bundle")).reported
    assert reported.refusal is Refusal.DOWNLOAD, "worth repeating"
    assert "does not come from the authority in" in str(reported.reason)


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path, city: Authority) -> None:
    for host in ("hub.example.city", "127.0.0.2"):
        refused = pytest.raises(HubUnreachable, match=r"is not for 127.0.0.1: hub.url must use a name")
        with server(*city.issue(host)) as url, refused:
            await talk(url, tmp_path, "city/ca.pem", disciplined=False)


@pytest.mark.parametrize(
    ("begins_days", "ends_days", "said"), [(30, 60, "not valid yet"), (-60, -30, "has expired")], ids=["early", "late"]
)
async def test_dates_count_only_where_the_clock_does(
    tmp_path: Path, city: Authority, begins_days: float, ends_days: float, said: str
) -> None:
    with server(*city.issue("127.0.0.1", begins_days=begins_days, ends_days=ends_days)) as url:
        await talk(url, tmp_path, "city/ca.pem", disciplined=False)
        with pytest.raises(HubUnreachable, match=said):
            await talk(url, tmp_path, "city/ca.pem", disciplined=True)


async def test_dates_count_from_the_moment_the_clock_becomes_known(tmp_path: Path, city: Authority) -> None:
    known: list[bool] = []
    with server(*city.issue("127.0.0.1", ends_days=-0.5)) as url:
        config = HubConfig(url=url, ca="city/ca.pem")
        client = HubClient(config, "node-1", load_or_create(tmp_path), HubTls(config, tmp_path, lambda: bool(known)))
        try:
            await client._send("GET", "/", b"", {})
            known.append(True)
            with pytest.raises(HubUnreachable, match="has expired"):
                await client._send("GET", "/", b"", {})
        finally:
            await client.close()


async def test_an_unusable_authority_file_is_named_and_one_put_right_is_found(tmp_path: Path, city: Authority) -> None:
    with server(*city.issue("127.0.0.1")) as url:
        config = HubConfig(url=url, ca="ca.pem")
        client = HubClient(config, "node-1", load_or_create(tmp_path), HubTls(config, tmp_path))
        try:
            with pytest.raises(HubUnreachable, match=r"ca\.pem: No such file.*copy the authority"):
                await client._send("GET", "/", b"", {})
            (tmp_path / "ca.pem").write_bytes(b"\0" * 4096)
            with pytest.raises(HubUnreachable, match="is not a PEM certificate"):
                await client._send("GET", "/", b"", {})
            (tmp_path / "ca.pem").write_bytes(city.ca.read_bytes())
            assert (await client._send("GET", "/", b"", {}))[0] == 200
        finally:
            await client.close()


async def test_public_authorities_that_cannot_be_read_are_trouble_with_the_hub_and_not_the_agents_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    config = HubConfig(url="https://127.0.0.1:1")
    client = HubClient(config, "node-1", load_or_create(tmp_path), HubTls(config, tmp_path))
    with pytest.raises(HubUnreachable, match="SSL_CERT_FILE"):
        await client._send("GET", "/", b"", {})


def test_the_updater_is_not_sent_elsewhere(tmp_path: Path, city: Authority) -> None:
    """Least of all to plain HTTP, which no authority vouches for; it is worth trying again."""

    class Elsewhere(Answers):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", plain)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as other:
        plain = f"http://127.0.0.1:{other.server_address[1]}/"
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with server(*city.issue("127.0.0.1"), Elsewhere) as url:
                tls = HubTls(HubConfig(url=url, ca="city/ca.pem"), tmp_path)
                with pytest.raises(DownloadError, match="302"):
                    fetch(tls, url)
        finally:
            other.shutdown()
            thread.join()


def test_an_authority_without_https_is_refused_by_the_check_and_never_talked_around(tmp_path: Path) -> None:
    config = load_node_config(TOML % ("http://127.0.0.1:9", "ca.pem"))  # an agent starts with it, and senses
    with pytest.raises(ContractError, match="is for a url that begins with https"):
        checked_node_config(TOML % ("http://127.0.0.1:9", "ca.pem"))
    assert config.hub is not None
    with pytest.raises(TlsError, match="one of the two is wrong"):
        HubTls(config.hub, tmp_path).context()
    told = check_hub(config, tmp_path, None)
    assert (told.state, "one of the two is wrong" in told.said) == ("fail", True)


async def test_a_real_hub_with_a_certificate_of_its_own_city(
    tmp_path: Path, city: Authority, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process(city)
    token = hub.client.post("/api/v1/tokens", json={"node": "node-1"}, headers=AUTH).json()["token"]
    config = HubConfig(url=hub.url, ca="city/ca.pem", token=token)
    client = HubClient(config, "node-1", load_or_create(tmp_path), HubTls(config, tmp_path))
    boot = "0" * 32
    beat = Heartbeat(agent="0.1.0", at=Stamp(boot=boot, mono_ns=1), uptime_s=1, healthy=True, reported=Reported())
    try:
        await client.enrol()
        for _ in range(2):
            await client.sync(SyncRequest(node="node-1", boot=boot, heartbeat=beat))
    finally:
        await client.close()
    assert "{" in wayside("rollout", "list", "--hub", hub.url, "--json", SSL_CERT_FILE=str(city.ca)).stdout
    assert "SSL_CERT_FILE names its authority" in complaint(wayside("rollout", "list", "--hub", hub.url))
    for ca, state in (("city/ca.pem", "ok"), ("nowhere.pem", "fail")):
        found = check_hub(load_node_config(TOML % (hub.url, ca)), tmp_path, None)
        assert found.state == state, found


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here: apt-get install openssl")
def test_the_documented_commands_make_a_certificate_that_strict_programs_take(tmp_path: Path) -> None:
    """Python 3.13 verifies strictly by itself: whoever types `wayside replace` there must get through, too."""
    text = (ROOT / "docs" / "replacement.md").read_text()
    block = text.partition("## The hub's certificate")[2].partition("```sh\n")[2].partition("```")[0]
    commands, _, run = block.partition("wayside hub run")
    assert "--tls-cert hub.pem" in run
    check = "openssl verify -x509_strict -verify_hostname hub.example.city -CAfile ca.pem hub.pem"
    done = subprocess.run(
        ["bash", "-ec", f"{commands}\n{check}"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "hub.pem: OK" in done.stdout) == (0, True), done.stderr


def test_an_agent_that_wakes_in_1970_enrols_at_a_hub_whose_certificate_begins_later(
    tmp_path: Path,
    city: Authority,
    hub_process: Callable[..., HubProcess],
    in_1970: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = hub_process(city)
    token = hub.client.post("/api/v1/tokens", json={"node": "node-1"}, headers=AUTH).json()["token"]
    toml = f'node = "node-1"\nstate_dir = "state"\n[hub]\nurl = "{hub.url}"\ntoken = "{token}"\nca = "{city.ca}"\n'
    agent = AgentProcess(tmp_path, toml + 'sync_s = 0.3\nbackoff_max_s = 0.5\n[task]\nbundle = "b"\n')
    with ExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", in_1970)
            stack.push(agent.start())

        def seen(_: AgentProcess) -> bool:
            said = hub.client.get("/api/v1/nodes/node-1")
            return said.status_code == 200 and said.json()["requests"] > 2

        agent.wait(seen, timeout_s=60)
    assert '"timestamp": "1970-' in (tmp_path / "agent.log").read_text(), "it was 1970"


@pytest.mark.parametrize("which", ["half", "another's", "nothing"])
def test_a_hub_with_half_a_certificate_does_not_start(tmp_path: Path, city: Authority, which: str) -> None:
    certificate, key = city.issue("127.0.0.1")
    given = {"half": ["--tls-cert", certificate], "another's": [], "nothing": []}[which]
    if which == "another's":
        key.rename(tmp_path / "old.key")
        given = ["--tls-cert", city.issue("127.0.0.1")[0], "--tls-key", tmp_path / "old.key"]
    elif which == "nothing":
        given = ["--tls-cert", tmp_path / "none.pem", "--tls-key", key]
    assert wayside("hub", "init", "--data", str(tmp_path / "hub")).returncode == 0
    said = complaint(wayside("hub", "run", "--data", str(tmp_path / "hub"), "--port", "0", *map(str, given)))
    assert {"half": "belong together", "another's": "its own", "nothing": "cannot read"}[which] in said
