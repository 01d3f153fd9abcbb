"""The site that the node is for: its traffic, its configuration, and the hub that waits for it."""

from __future__ import annotations

import json
import os
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.simulators.authority import Authority
from tests.simulators.board import Edge
from tests.simulators.guest import HUB, HUB_PORT
from wayside.hub_http.client import bearer

ROOT = Path(__file__).parents[2]
NODE, BOARD = "corner-1", "WS-00001"
BUTTON, DOOR = 4, 5  # lines of the GPIO chip
PORT = f"/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{BOARD}-if00-port0"
START_UNIX_S = 1_704_067_200  # 2024-01-01
INTERVAL_S, SPEED = 900, 60
HOURS = 40  # of traffic; at this speed a real hour is 60 of them


def vehicles(channel: int, interval: int) -> int:
    """How many drive over a detector in an interval: no two neighbouring intervals are alike."""
    return 8 + interval % 7 if channel == 1 else 3 + interval % 5


def traffic() -> list[Edge]:
    """Each vehicle as the two edges of its detector, evenly spaced."""
    edges: list[Edge] = []
    for interval in range(HOURS * 3600 // INTERVAL_S):
        for channel in (1, 2):
            count = vehicles(channel, interval)
            for i in range(count):
                ms = interval * INTERVAL_S * 1000 + (2 * i + 1) * INTERVAL_S * 500 // count + channel
                edges += [(ms, 1, channel, 1), (ms + 900, 1, channel, 0)]
    return sorted(edges)


def node_toml(anchor_s: float) -> str:
    """The configuration that a city writes; token and authority come from the image's builder."""
    return f"""\
node = "{NODE}"
state_dir = "/var/lib/wayside"

[hub]
url = "https://{HUB}:{HUB_PORT}"
sync_s = 2.0
timeout_s = 30.0
backoff_max_s = 10.0

[clock]
kind = "scaled"
speed = {SPEED}
start_unix_s = {START_UNIX_S}
anchor_unix_s = {anchor_s:.3f}

[storage]
outbox_bytes = 20_000_000

[board]
port = "{PORT}"
baud = 921600
identity = "{BOARD}"

[[detectors]]
channel = 1
datastream = "det/1"

[[detectors]]
channel = 2
datastream = "det/2"

[gpio]
factory = "lgpio"

[[gpio.contacts]]
pin = {BUTTON}
datastream = "ped/1/presses"
role = "ped_button"

[[gpio.contacts]]
pin = {DOOR}
datastream = "cabinet/door"
role = "cabinet_door"

[[tasks]]
name = "flow"
bundle = "traffic-flow"
interval_s = {INTERVAL_S}
sites = [{{ output = "det/1", constants = {{ lanes = 1 }} }}, {{ output = "det/2", constants = {{ lanes = 1 }} }}]

[[sums]]
name = "intersection/volume"
of = ["det/1", "det/2"]
"""


class HubAtOffice:
    """A real hub that speaks HTTPS with a certificate of the city's own authority, and its operator."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.authority = Authority(folder / "authority")
        self.data = folder / "data"

    def __enter__(self) -> HubAtOffice:
        self.wayside("hub", "init", "--data", self.data)
        certificate, key = self.authority.issue("127.0.0.1", HUB)
        command = [sys.executable, str(ROOT / "wayside.py"), "hub", "run", "--data", str(self.data), "--port", "0"]
        with (self.folder / "hub.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--tls-cert", str(certificate), "--tls-key", str(key)],
                stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            )  # fmt: skip
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1].rstrip("/")
        self.port = int(self.url.rsplit(":", 1)[1])
        trust = ssl.create_default_context(cafile=self.authority.ca)
        self._client = httpx.Client(base_url=self.url, timeout=60, verify=trust)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(30)

    def wayside(self, *arguments: object) -> str:
        """Run one of wayside's commands as the operator.

        Raises:
            AssertionError: it failed; with what it said.
        """
        token = self.data / "operator.token"
        environment = os.environ | {
            "SSL_CERT_FILE": str(self.authority.ca),
            "WAYSIDE_OPERATOR_TOKEN": token.read_text().strip() if token.exists() else "",
        }
        command = [sys.executable, str(ROOT / "wayside.py"), *map(str, arguments)]
        done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"wayside {' '.join(map(str, arguments))}: {done.stderr or done.stdout}"
        return done.stdout

    def release(self, bundle: Path) -> Path:
        """Publish a bundle under new keys; returns the trust root to pin."""
        keys = self.folder / "keys"
        self.wayside("release", "keys", keys)
        self.wayside("release", "init", "--keys", keys, "--hub", self.url)
        self.wayside("release", "publish", bundle, "--keys", keys, "--hub", self.url)
        return keys / "root.json"

    def token(self) -> Path:
        path = self.folder / "token"
        path.write_text(self.wayside("hub", "token", "--data", self.data, "--node", NODE))
        return path

    def get(self, path: str, **query: Any) -> Any:
        answer = self._client.get(path, params=query, headers=bearer((self.data / "operator.token").read_text()))
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def node(self) -> dict[str, Any] | None:
        """The node as the hub shows it, once it has sent a heartbeat."""
        nodes = [n for n in self.get("/api/v1/nodes")["nodes"] if n["node"] == NODE and n["heartbeat"]]
        return nodes[0] if nodes else None

    def rows(self) -> list[dict[str, Any]]:
        """Every summary that is stored, in order of arrival."""
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        cursor: int | None = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = self.get("/api/v1/summaries", node=NODE, limit=1000, **more)
            yield from page["summaries"]
            cursor = page["next"]
            if cursor is None:
                return

    def key(self) -> str:
        """The node's public key in the hub's database, hexadecimal."""
        database = sqlite3.connect(f"file:{self.data / 'hub.sqlite'}?mode=ro", uri=True)
        try:
            (found,) = database.execute("SELECT public_key FROM nodes WHERE name = ?", (NODE,)).fetchone()
        finally:
            database.close()
        return str(found)


def doctor(text: str) -> dict[str, str]:
    """Each check of ``wayside doctor --json`` and how it stands."""
    return {finding["check"]: finding["state"] for finding in json.loads(text)["findings"]}
