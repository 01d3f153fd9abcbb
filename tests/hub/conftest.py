"""A hub in a temporary directory: in process (``hub``) or as a process of its own (``hub_process``)."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.simulators.authority import Authority
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import migrate
from wayside.cloud.hub.tuf_repository import make_online_key

ROOT = Path(__file__).parents[2]
OPERATOR = "4f0c9a1d7e6b2835c1d94e7fa0b36c58"
AUTH = {"Authorization": f"Bearer {OPERATOR}"}


@dataclass
class Hub:
    data: Path
    client: TestClient

    def token(self, **about: object) -> str:
        answer = self.client.post("/api/v1/tokens", json=about, headers=AUTH)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def replacement(self, node: str, **about: object) -> str:
        answer = self.client.post(f"/api/v1/nodes/{node}/replacement", json=about, headers=AUTH)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def node(self, name: str = "node-1") -> SimulatedNode:
        """An enrolled node."""
        node = SimulatedNode(self.client, name)
        assert node.enrol(self.token(node=name)).status_code == 200
        return node

    def get(self, path: str, **query: object) -> dict[str, object]:
        answer = self.client.get(path, params=query)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def initialise(data: Path) -> Path:
    data.mkdir(exist_ok=True)
    migrate(data)
    make_online_key(data)
    return data


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    data = initialise(tmp_path / "hub")
    with TestClient(create_app(data, OPERATOR), raise_server_exceptions=False) as client:
        yield Hub(data, client)


@dataclass
class HubProcess:
    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    authority: Authority | None = None  # HTTPS with a certificate of this one
    process: subprocess.Popen[str] | None = None
    client: httpx.Client = field(default_factory=httpx.Client)
    url: str = ""

    def start(self, port: int = 0) -> HubProcess:
        self.process = subprocess.Popen(
            [sys.executable, "wayside.py", "hub", "run", "--data", str(self.data), "--port", str(port), *self._tls()],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "WAYSIDE_OPERATOR_TOKEN": OPERATOR, "PYTHONPATH": str(ROOT), **self.environment},
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("hub: https://" if self.authority else "hub: http://"), said
        self.url = said.split()[1].rstrip("/")
        verify = ssl.create_default_context(cafile=self.authority.ca) if self.authority else True
        self.client = httpx.Client(base_url=self.url, timeout=10, verify=verify)
        assert self.client.get("/healthz").status_code == 200, "whoever reads the address may connect at once"
        return self

    def _tls(self) -> list[str]:
        if self.authority is None:
            return []
        certificate, key = self.authority.issue("127.0.0.1")
        return ["--tls-cert", str(certificate), "--tls-key", str(key)]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def node(self, name: str) -> SimulatedNode:
        node = SimulatedNode(self.client, name)
        answer = self.client.post("/api/v1/tokens", json={"node": name}, headers=AUTH)
        assert node.enrol(answer.json()["token"]).status_code == 200
        return node


@pytest.fixture
def hub_process(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Starts a hub on ``tmp_path``; what still runs at the end is killed."""
    started: list[HubProcess] = []

    def start(authority: Authority | None = None) -> HubProcess:
        started.append(HubProcess(initialise(tmp_path / "hub"), authority=authority).start())
        return started[-1]

    yield start
    for one in started:
        if one.process and one.process.poll() is None:
            one.kill()
