"""A hub in a temporary directory: in process (``hub``) or as a process of its own (``hub_process``)."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from tests.simulators.authority import Authority
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import migrate, open_engine
from wayside.cloud.hub.online_key import make_online_key
from wayside.cloud.hub.recount import recount
from wayside.cloud.hub.retention.cold import Cold

ROOT = Path(__file__).parents[2]
WAYSIDE = [sys.executable, "wayside.py"]
OPERATOR = "4f0c9a1d7e6b2835c1d94e7fa0b36c58"
AUTH = {"Authorization": f"Bearer {OPERATOR}"}  # what the clients below send unless they are told otherwise
NOBODY = {"Authorization": ""}


@dataclass
class Hub:
    data: Path
    client: TestClient
    database: str | None = None

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


def initialise(data: Path, database: str | None = None) -> Path:
    data.mkdir(exist_ok=True)
    migrate(data, database=database)
    make_online_key(data)
    return data


@pytest.fixture
def hub(tmp_path: Path, database: str | None) -> Iterator[Hub]:
    data = initialise(tmp_path / "hub", database)
    app = create_app(data, OPERATOR, database)
    with TestClient(app, headers=AUTH, raise_server_exceptions=False) as client:
        yield Hub(data, client, database)


@dataclass
class HubProcess:
    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    authority: Authority | None = None  # HTTPS with a certificate of this one
    database: str | None = None
    options: list[str] = field(default_factory=list)  # further ones of ``hub run``
    process: subprocess.Popen[str] | None = None
    client: httpx.Client = field(default_factory=httpx.Client)
    url: str = ""

    def start(self, port: int = 0) -> HubProcess:
        database = {} if self.database is None else {"WAYSIDE_DATABASE": self.database}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "wayside.py",
                "hub",
                "run",
                "--data",
                str(self.data),
                "--port",
                str(port),
                *self._tls(),
                *self.options,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "WAYSIDE_OPERATOR_TOKEN": OPERATOR,
                "PYTHONPATH": str(ROOT),
                **database,
                **self.environment,
            },
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("hub: https://" if self.authority else "hub: http://"), said
        self.url = said.split()[1].rstrip("/")
        verify = ssl.create_default_context(cafile=self.authority.ca) if self.authority else True
        self.client = httpx.Client(base_url=self.url, timeout=10, verify=verify, headers=AUTH)
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
def hub_process(tmp_path: Path, database: str | None) -> Iterator[Callable[..., HubProcess]]:
    """Starts a hub on ``tmp_path``; what still runs at the end is killed."""
    started: list[HubProcess] = []

    def start(authority: Authority | None = None, options: Sequence[str] = ()) -> HubProcess:
        data = initialise(tmp_path / "hub", database)
        started.append(HubProcess(data, authority=authority, database=database, options=[*options]).start())
        return started[-1]

    yield start
    for one in started:
        if one.process and one.process.poll() is None:
            one.kill()


@contextlib.contextmanager
def store_of(hub: Hub | HubProcess) -> Iterator[sa.Connection]:
    """The hub's store, to read and to write in past it."""
    engine = open_engine(hub.data, hub.database)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection
    engine.dispose()


def miscounted(data: Path, database: str | None = None) -> list[str]:
    """What the rows in the store say that is not what the hub counted; also of a hub that runs."""
    engine = open_engine(data, database)
    with engine.connect() as connection:
        wrong = recount(connection, Cold(data))
    engine.dispose()
    return wrong
