"""What answers is not the hub, or not well: the agent keeps sensing, says it once, and recovers by itself."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.test_agent import intervals, traffic
from tests.edge.test_hub_sync import hub_toml
from tests.hub.conftest import HubProcess, hub_process, miscounted
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware
from tests.simulators.node import SimulatedNode
from wayside.contracts.node_config import HubConfig
from wayside.contracts.sync import SyncRequest
from wayside.edge.hub_client import HubClient, HubError, HubRefused
from wayside.edge.hub_tls import HubTls
from wayside.edge.identity import load_or_create

__all__ = ["hub_process"]

HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n"


def reply(status: bytes, body: bytes) -> bytes:
    return HEAD % status + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def silence(_peer: socket.socket, stop: threading.Event) -> None:
    stop.wait(5)


def flood(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(HEAD % b"200 OK" + b"\r\n")
    while not stop.is_set():
        peer.sendall(b"{" * 65536)


def drip(peer: socket.socket, stop: threading.Event) -> None:
    """A byte at a time, always within the time-out for one."""
    peer.sendall(HEAD % b"200 OK" + b"\r\n")
    while not stop.wait(0.1):
        peer.sendall(b" ")


def says(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    return lambda peer, _stop: peer.sendall(answer)


MANNERS: dict[str, Callable[[socket.socket, threading.Event], None]] = {
    "a byte at a time": drip,
    "an error page": says(reply(b"500 Internal Server Error", b"<html>oops</html>")),
    "garbage": says(b"\x00\xff\x13 not http at all\r\n\r\n"),
    "hangs up": says(b""),
    "cut short": says(HEAD % b"200 OK" + b'Content-Length: 5000\r\n\r\n{"wire": 1'),
    "another's document": says(reply(b"200 OK", b'{"hello": "world"}')),
    "numbers out of bounds": says(reply(b"200 OK", b'{"wire":1,"nonce":7,"stored":-1,"hub_unix_ms":1e300}')),
    "other rows than were sent": says(
        reply(b"200 OK", b'{"wire":1,"nonce":"n","stored":1099511627776,"duplicates":0,"hub_unix_ms":1767225600000}')
    ),
    "a nonce that is no header": says(reply(b"200 OK", b'{"wire":1,"nonce":"n\xc3\xbc"}')),
    "a next nonce that is none": says(
        HEAD % b"200 OK" + b'X-Wayside-Nonce: n\xfc\r\nContent-Length: 22\r\n\r\n{"wire":1,"nonce":"n"}'
    ),
    "nested": says(reply(b"200 OK", b"[" * 200_000)),
    "elsewhere": says(HEAD % b"302 Found" + b"Location: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"),
    "silence": silence,
    "without end": flood,
}


class HostileHub:
    """Answers every request in one manner; ``heard`` counts the requests."""

    def __init__(self, port: int) -> None:
        self.manner = says(b"")
        self.heard = 0
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        try:
            with peer:
                peer.settimeout(2)
                peer.recv(65536)
                self.heard += 1
                self.manner(peer, self._stop)
        except OSError:
            return

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@contextmanager
def hostile_hub(port: int) -> Iterator[HostileHub]:
    server = HostileHub(port)
    try:
        yield server
    finally:
        server.close()


def events(agent: AgentProcess) -> list[dict[str, str]]:
    return [json.loads(line) for line in (agent.folder / "agent.log").read_text().splitlines()]


def test_what_a_hub_says_cannot_play_with_a_technicians_terminal() -> None:
    said = HubRefused("\x1b[2J", "replaced\r\n\x1b]0;owned\x07 by \u202eX", 403)
    assert all(text.isprintable() for text in (said.code, said.message, str(said)))
    assert "owned  by  X" in said.message


@pytest.mark.parametrize("manner", MANNERS)
async def test_whatever_answers_an_enrolled_node_is_a_hub_in_trouble_and_nothing_worse(
    tmp_path: Path, manner: str
) -> None:
    with hostile_hub(0) as enemy:
        enemy.manner = MANNERS[manner]
        config = HubConfig(url=enemy.url, timeout_s=0.4, token="0123456789abcdef")
        client = HubClient(config, "node-1", load_or_create(tmp_path), HubTls(config, tmp_path))
        node = SimulatedNode(None)
        request = SyncRequest(node="node-1", boot=node.boot, heartbeat=node.heartbeat())
        try:
            for exchange in (lambda: client.sync(request), lambda: client.commission(node.walked()), client.enrol) * 2:
                with pytest.raises((HubError, TimeoutError)):
                    async with asyncio.timeout(1):
                        await exchange()
        finally:
            await client.close()


def test_whatever_answers_in_the_hubs_place_sensing_goes_on_and_all_arrives_once_later(
    tmp_path: Path, hub_process: Callable[[], HubProcess]
) -> None:
    hub = hub_process()
    port = int(hub.url.rsplit(":", 1)[1])
    toml_hub = hub_toml(hub) + "timeout_s = 0.4\n"
    hub.stop()
    edges = traffic(24, each_s=60)
    firmware()
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, edges, speed=3600, anchor_s=anchor) as board:
        toml = node_toml(board.port, anchor_s=anchor, speed=3600, hub=toml_hub)
        with AgentProcess(tmp_path, toml) as agent:
            with hostile_hub(port) as enemy:
                for manner in MANNERS.values():
                    enemy.manner = manner
                    heard = enemy.heard
                    agent.wait(lambda a, h=heard: enemy.heard >= h + 2, timeout_s=60)
                agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 90, timeout_s=60)
                assert agent.counters().get("summaries_acknowledged", 0) == 0
                agent.wait(lambda a: bool(a.status["trouble"]["hub"]))
                assert agent.status["rss_bytes"] < 300_000_000
            hub.start(port)
            agent.wait(lambda a: a.counters().get("readings_received", 0) == len(edges) and not a.rows(), timeout_s=60)
            assert agent.stop() == 0
            counters, said = agent.counters(), [e["event"] for e in events(agent)]
    assert said.count("sync failed") == 1
    assert said.count("hub answers again") == 1
    assert counters["readings_received"] == counters["readings_sent"] == len(edges)
    assert counters["summaries_acknowledged"] == counters["summaries_produced"]
    (mine,) = hub.client.get("/api/v1/stats").json()["nodes"]
    assert (mine["stored"], mine["missing"]) == (counters["summaries_produced"], 0)
    assert miscounted(hub.data) == []
