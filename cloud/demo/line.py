"""The whole line as real processes: train, export, release, five nodes, a hub; with two accidents."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from wayside.cloud.demo import report
from wayside.cloud.demo.intersection import BUTTON, DOOR, Intersection
from wayside.cloud.demo.node import VERSION, Node, Place
from wayside.cloud.demo.processes import Processes, StageError
from wayside.cloud.demo.site import MODELS, nodes
from wayside.contracts.hub_address import hub_address
from wayside.hub_http.client import bearer, client

LANES = 2  # trainings and exports at a time, with one thread each
HUB_RESTART_AT = 0.35  # of the live part
KILL_AT = 0.55
HUB_DOWN_S = 3.0
DRAIN_S = 30.0  # the most that the end may take
LAST_STEPS_S = 4.0  # after the feeds, for what is told late and the sync after it
SET_UP_S, MIN_LIVE_S = 28.0, 45.0
DEVICE_PORTS = range(20_000, 30_000)
MARK = "made-by-wayside-demo"
VISITOR = "visitor"  # who looks at the page: a user without a password

Progress = Callable[[str], None]
Live = Callable[[float, list[dict[str, Any]]], None]


class Line:
    """One run of the demo in ``home``; stages in order, each a method that says what it did."""

    def __init__(self, home: Path, *, port: int, seconds: float, edge_python: Path) -> None:
        self.home = home
        self.hub = f"http://127.0.0.1:{port}"
        self.port = port
        self.ends = time.monotonic() + seconds
        self.edge_python = edge_python
        self.operator: dict[str, str] = {}  # the environment of who has the hub's token
        self.nodes: list[Node] = []
        self.places: dict[str, Place] = {}

    def prepare(self) -> None:
        """Start clean.

        Raises:
            StageError: somebody listens on the port, or the folder is not one of the demo's.
        """
        with socket.socket() as probe:
            # As the hub will bind: a connection of the last run that still winds down is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as exc:
                raise StageError(
                    f"port {self.port} cannot be had ({exc.strerror}); stop what listens there, or say DEMO_PORT=8001"
                ) from exc
        mark = self.home / MARK
        if self.home.exists() and any(self.home.iterdir()) and not mark.exists():
            raise StageError(f"{self.home} holds something that no demo wrote; choose another --home")
        shutil.rmtree(self.home, ignore_errors=True)
        for name in ("logs", "run", "keys"):
            (self.home / name).mkdir(parents=True)
        mark.write_text("`wayside demo` wrote this folder and removes it at its next start.\n")

    def run(self, processes: Processes, say: Progress, live: Live, watched: Callable[[], None]) -> dict[str, Any]:
        """Walk the line.

        Args:
            live: is told how far the live part is, from 0 to 1, and each node's last heartbeat.
            watched: is called once, when the feeds are over and the page has most to show.

        Returns:
            The report.

        Raises:
            StageError: naming the stage and showing the end of its log.
        """
        self.processes = processes
        say("building the board's firmware")
        self.wayside("firmware", "board", "build", "--out", str(self.home / "firmware"))
        say(f"training {len(MODELS)} models; exporting them to ONNX and TFLite, int8, through the gate")
        self.make_models()
        passports = {bundle: report.passport(self.path_of(bundle)) for bundle in MODELS}
        self.nodes = nodes(self.run_of, {bundle: passport.task for bundle, passport in passports.items()})
        say("starting the hub")
        self.wayside("hub-init", "hub", "init", "--data", str(self.home / "hub"))
        self.operator = {"WAYSIDE_OPERATOR_TOKEN": (self.home / "hub" / "operator.token").read_text().strip()}
        self.start_hub()
        self.wayside("visitor", "hub", "user", "add", VISITOR, "--role", "viewer", "--no-password", *self.at_hub)
        say("signing and releasing")
        keys = str(self.home / "keys")
        self.wayside("keys", "release", "keys", keys)
        self.wayside("release-init", "release", "init", "--keys", keys, "--hub", self.hub)
        for bundle in MODELS:
            path = str(self.path_of(bundle))
            self.wayside(f"publish-{bundle}", "release", "publish", path, "--keys", keys, "--hub", self.hub)
        say("starting five nodes, and what their sensors and actuators are at the end of")
        self.start_nodes()
        say("rolling each model out to the node that has a task for it")
        self.roll_out()
        self.live(live)
        say("draining")
        self.drain(watched)
        return report.report(self, passports)

    # --- stages ----------------------------------------------------------------------------------

    def wayside(self, name: str, *args: str) -> str:
        self.begin(name, *args)
        return self.processes.finish(name)

    def begin(self, name: str, *args: str) -> None:
        self.processes.start(name, self.command(*args), env=self.operator)

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "wayside", *args]

    def make_models(self) -> None:
        chains = {}
        for bundle, task in MODELS.items():
            trained, out = str(self.run_of(bundle)), str(self.path_of(bundle).parent)
            chains[bundle] = [
                self.command("train", "--task", task, "--no-refit", "--out", trained),
                self.command("export", trained, "--out", out, "--bundle", bundle, "--version", VERSION),
            ]
        # One thread each: two at a time on two processors, and the same weights on any machine.
        self.processes.at_most(LANES, chains, env={"OMP_NUM_THREADS": "1"})

    def start_hub(self) -> None:
        self.begin("hub", "hub", "run", "--data", str(self.home / "hub"), "--port", str(self.port))
        self.wait("the hub to answer", 30, lambda: self.get("/healthz") is not None)

    def start_nodes(self) -> None:
        for node in self.nodes:
            data = str(self.home / "hub")
            self.begin(f"token-{node.name}", "hub", "token", "--data", data, "--node", node.name, "--json")
        tokens = {n.name: json.loads(self.processes.finish(f"token-{n.name}"))["token"] for n in self.nodes}
        # The anchor is when the feeds begin: late enough for enrolment and rollout, so that no window is missed.
        self.anchor = time.time() + SET_UP_S
        self.live_s = max(MIN_LIVE_S, self.ends - time.monotonic() - SET_UP_S - 12.0)
        for node, port in zip(self.nodes, free_ports(len(self.nodes)), strict=True):
            folder = self.home / "run" / node.name
            folder.mkdir()
            place = self.places[node.name] = Place(
                folder=folder,
                hub=self.hub,
                token=tokens[node.name],
                root=self.home / "keys" / "root.json",
                port=port,
                speed=node.seconds / self.live_s,
                anchor=self.anchor,
            )
            node.write(place)
            place.config.write_text(node.config(place))
            for name, command in node.devices(place).items():
                self.processes.start(f"{node.name}-{name}", command)
            for number, words in enumerate(node.settings(place)):
                self.wayside(f"{node.name}-settings-{number}", *words)
            self.start_agent(node)

    def start_agent(self, node: Node) -> None:
        # -I: nothing but what the edge environment holds can be imported, not even the checkout.
        config = str(self.places[node.name].config)
        self.processes.start(
            f"agent-{node.name}", [str(self.edge_python), "-I", "-m", "wayside", "agent", "run", config]
        )

    def roll_out(self) -> None:
        self.wait("the nodes to enrol", 20, lambda: len(self.heartbeats()) == len(self.nodes))
        for bundle in MODELS:
            self.begin(f"rollout-{bundle}", "rollout", "start", bundle, VERSION, "--hub", self.hub, "--phases", "100")
        for bundle in MODELS:
            self.processes.finish(f"rollout-{bundle}")

    def live(self, show: Live) -> None:
        """Let the clock run; restart the hub once, kill one agent once, press a button, open a door."""
        victim = self.board_node
        events: list[tuple[float, Callable[[], None]]] = [
            (0.2, lambda: self.touch(victim, BUTTON)),
            (HUB_RESTART_AT, lambda: self.processes.stop("hub")),
            (HUB_RESTART_AT + HUB_DOWN_S / self.live_s, self.start_hub),
            (0.5, lambda: self.touch(victim, BUTTON)),
            (KILL_AT, lambda: self.processes.kill(f"agent-{victim.name}")),
            (self.back_at(victim), lambda: self.start_agent(victim)),
            (0.8, lambda: self.touch(victim, DOOR)),
        ]
        while (done := (time.time() - self.anchor) / self.live_s) < 1.0:
            while events and done >= events[0][0]:
                events.pop(0)[1]()
            self.processes.check()
            show(max(0.0, done), list(self.heartbeats().values()))
            time.sleep(0.5)

    def back_at(self, node: Intersection) -> float:
        """When to start the killed agent again: when its board has seen half as much again as it can hold."""
        after = [row[0] for row in node.feed.rows if row[0] >= KILL_AT * node.feed.seconds * 1000]
        seen = after[min(len(after) - 1, node.ring * 3 // 2)]
        return max(seen / 1000 / node.feed.seconds, KILL_AT + 3.0 / self.live_s)

    def drain(self, watched: Callable[[], None]) -> None:
        """Wait until every reading is accounted for and every summary acknowledged, then stop agents and devices."""
        node = self.board_node

        def drained() -> bool:
            counters = self.heartbeats().get(node.name, {}).get("counters", {})
            accounted = counters.get("readings_received", 0) + counters.get("readings_lost", 0)
            board = self.board_stats()
            over = board["produced"] == len(node.feed.rows) and board["clock_ms"] >= node.ends_ms
            return bool(over and report.told(board) == accounted)

        self.wait("the board's last readings to be accounted for at the hub", DRAIN_S, drained)
        time.sleep(LAST_STEPS_S)
        self.processes.stop(*(f"agent-{node.name}" for node in self.nodes))
        watched()
        for each in self.nodes:
            self.processes.stop(*(f"{each.name}-{name}" for name in each.devices(self.places[each.name])))

    def link(self) -> str:
        """An address that opens the page once, without a password: a session of a viewer begins."""
        words = ("hub", "user", "link", VISITOR, *self.at_hub, "--hub", self.hub, "--json")
        return str(json.loads(self.wayside("link", *words).splitlines()[-1])["url"])

    # --- where things are ------------------------------------------------------------------------

    @property
    def at_hub(self) -> tuple[str, str]:
        return ("--data", str(self.home / "hub"))

    @property
    def board_node(self) -> Intersection:
        return next(node for node in self.nodes if isinstance(node, Intersection))

    def run_of(self, bundle: str) -> Path:
        return self.home / "train" / bundle

    def path_of(self, bundle: str) -> Path:
        return self.home / "bundles" / bundle / f"{bundle}-{VERSION}.bundle"

    def board_stats(self) -> dict[str, Any]:
        node = self.board_node
        stats: dict[str, Any] = json.loads(node.stats(self.places[node.name]).read_text())
        return stats

    def touch(self, node: Node, pin: int) -> None:
        """Close a contact for a moment: the mock pin's fifo, as a finger would."""
        fifo = os.open(self.places[node.name].state / "gpio.fifo", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fifo, f"{pin} 0\n".encode())
            time.sleep(0.1)
            os.write(fifo, f"{pin} 1\n".encode())
        finally:
            os.close(fifo)

    def why(self, node: Node) -> list[dict[str, Any]]:
        """Its decisions, each with its sentence, as ``wayside node why`` tells them at the cabinet."""
        config = str(self.places[node.name].config)
        command = [str(self.edge_python), "-I", "-m", "wayside", "node", "why", config, "--last", "500", "--json"]
        told = self.processes.run(f"why-{node.name}", command)
        with contextlib.suppress(ValueError):
            return list(json.loads(told[told.index("[") :]))
        raise StageError(f"`wayside node why` of {node.name} gave no JSON\n{self.processes.tail(f'why-{node.name}')}")

    def get(self, path: str) -> Any:
        """The hub's answer, or None while it is away."""
        try:
            with client(
                hub_address(self.hub), headers=bearer(self.operator.get("WAYSIDE_OPERATOR_TOKEN")), timeout_s=5
            ) as http:
                reply = http.get(path)
            return reply.json() if reply.status_code == 200 else None
        except (httpx.TransportError, ValueError):
            return None

    def heartbeats(self) -> dict[str, dict[str, Any]]:
        """The last heartbeat of each node that has sent one; empty while the hub is away."""
        listed = (self.get("/api/v1/nodes") or {"nodes": []})["nodes"]
        return {n["node"]: {"node": n["node"], "counters": {}, **n["heartbeat"]} for n in listed if n["heartbeat"]}

    def rows(self, node: str) -> Iterator[dict[str, Any]]:
        cursor: int | None = None
        while True:
            page = self.get(f"/api/v1/summaries?node={node}&limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            if page is None:
                raise StageError(f"the hub does not tell its rows of {node}\n{self.processes.tail('hub')}")
            yield from page["summaries"]
            cursor = page["next"]
            if cursor is None:
                return

    def wait(self, what: str, seconds: float, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            self.processes.check()
            if time.monotonic() > deadline:
                raise StageError(f"waited {seconds:.0f} s for {what}, in vain; the logs are in {self.home / 'logs'}")
            time.sleep(0.2)


def free_ports(n: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody has, from a range out of which no system gives any away by itself."""
    free: list[int] = []
    for port in random.sample(DEVICE_PORTS, 50 * n):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                free.append(port)
        if len(free) == n:
            return free
    raise StageError("hardly a port of 127.0.0.1 is free; what uses them all?")
