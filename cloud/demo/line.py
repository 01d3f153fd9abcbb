"""The whole line as real processes: train, export, release, three boards, three agents, a hub; with two accidents."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from wayside.cloud.demo import report
from wayside.cloud.demo.processes import Processes, StageError
from wayside.cloud.demo.site import FLOW, SCORE, Node, nodes

VERSION = "1.0.0"
BUNDLES = {FLOW: "mlp", SCORE: "score"}
"""What is released, and the training run that it is made of."""
HUB_RESTART_AT = 0.35  # of the live part
KILL_AT = 0.55
HUB_DOWN_S = 3.0
DRAIN_S = 30.0  # the most that the end may take
MIN_LIVE_S = 45.0
MARK = "made-by-wayside-demo"

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
        self.nodes = nodes()

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
        for name in ("logs", "run", "feeds", "keys"):
            (self.home / name).mkdir(parents=True)
        mark.write_text("`wayside demo` wrote this folder and removes it at its next start.\n")

    def run(self, processes: Processes, say: Progress, live: Live) -> dict[str, Any]:
        """Walk the line.

        Returns:
            The report.

        Raises:
            StageError: naming the stage and showing the end of its log.
        """
        self.processes = processes
        say("building the board's firmware")
        self.wayside("firmware", "board", "build", "--out", str(self.home / "firmware"))
        for node in self.nodes:
            node.feed.write(self.feed(node))
        say("training linear, MLP and gated RNN to forecast real counts, a GAN to score them")
        self.begin("train-score", "train", "--task", "traffic_score", "--out", str(self.home / "train" / "score"))
        self.wayside(
            "train", "train", "--task", "traffic_flow", "--family", "all", "--no-refit",
            "--out", str(self.home / "train"),
        )  # fmt: skip
        self.processes.finish("train-score")
        say("exporting both to ONNX and TFLite, int8, through the gate")
        for bundle, run in BUNDLES.items():
            self.begin(
                f"export-{bundle}", "export", str(self.home / "train" / run), "--out", str(self.folder(bundle)),
                "--bundle", bundle, "--version", VERSION,
            )  # fmt: skip
        for bundle in BUNDLES:
            self.processes.finish(f"export-{bundle}")
        say("starting the hub")
        self.wayside("hub-init", "hub", "init", "--data", str(self.home / "hub"))
        self.operator = {"WAYSIDE_OPERATOR_TOKEN": (self.home / "hub" / "operator.token").read_text().strip()}
        self.start_hub()
        say("signing and releasing")
        keys = str(self.home / "keys")
        self.wayside("keys", "release", "keys", keys)
        self.wayside("release-init", "release", "init", "--keys", keys, "--hub", self.hub)
        for bundle in BUNDLES:
            path = str(self.path_of(bundle))
            self.wayside(f"publish-{bundle}", "release", "publish", path, "--keys", keys, "--hub", self.hub)
        say("starting three boards and three agents")
        self.start_nodes()
        say("rolling out the forecast to three nodes, canary first, the score to the one that has a task for it")
        self.roll_out()
        self.live(live)
        say("draining")
        self.drain()
        return self.report()

    # --- stages ----------------------------------------------------------------------------------

    def wayside(self, name: str, *args: str) -> str:
        self.begin(name, *args)
        return self.processes.finish(name)

    def begin(self, name: str, *args: str) -> None:
        self.processes.start(name, [sys.executable, "-m", "wayside", *args], env=getattr(self, "operator", None))

    def start_hub(self) -> None:
        self.processes.start(
            "hub",
            [sys.executable, "-m", "wayside", "hub", "run", "--data", str(self.home / "hub"), "--port", str(self.port)],
            env=self.operator,
        )
        self.wait("the hub to answer", 30, lambda: self.get("/healthz") is not None)

    def start_nodes(self) -> None:
        # The anchor is when the feeds begin: late enough for enrolment and rollout, so that no window is missed.
        self.anchor = time.time() + 25.0
        self.live_s = max(MIN_LIVE_S, self.ends - time.monotonic() - 25.0 - 12.0)
        for node in self.nodes:
            token = json.loads(
                self.wayside(
                    f"token-{node.name}",
                    "hub",
                    "token",
                    "--data",
                    str(self.home / "hub"),
                    "--node",
                    node.name,
                    "--json",
                )
            )["token"]
            self.path(node, "toml").write_text(
                node.config(
                    state=self.state(node),
                    port=self.path(node, "tty"),
                    hub=self.hub,
                    token=token,
                    speed=self.speed(node),
                    anchor=self.anchor,
                    root=self.home / "keys" / "root.json",
                )
            )
            self.path(node, "plan.csv").write_text(node.board_plan())
            self.processes.start(
                f"board-{node.name}",
                [
                    str(self.home / "firmware" / "board"), "--pty-link", str(self.path(node, "tty")),
                    "--feed", str(self.feed(node)), "--speed", f"{self.speed(node):.6f}",
                    "--anchor", f"{self.anchor:.3f}", "--end", str(int(node.feed.seconds * 1000) + 1000),
                    "--plan", str(self.path(node, "plan.csv")),
                    "--id", node.board, "--ring", str(node.ring), "--stats", str(self.path(node, "json")),
                ],
            )  # fmt: skip
            self.start_agent(node)

    def start_agent(self, node: Node) -> None:
        # -I: nothing but what the edge environment holds can be imported, not even the checkout.
        command = [str(self.edge_python), "-I", "-m", "wayside", "agent", "run", str(self.path(node, "toml"))]
        self.processes.start(f"agent-{node.name}", command)

    def roll_out(self) -> None:
        self.wait("the nodes to enrol", 20, lambda: len(self.heartbeats()) == len(self.nodes))
        for bundle, phases in ((FLOW, "34,100"), (SCORE, "100")):
            start = ("rollout", "start", bundle, VERSION, "--hub", self.hub, "--phases", phases)
            self.wayside(f"rollout-{bundle}", *start)

    def live(self, show: Live) -> None:
        """Let the clock run; restart the hub once, kill one agent once, press a button, open a door."""
        victim = self.nodes[-1]
        events: list[tuple[float, Callable[[], None]]] = [
            (0.2, lambda: self.touch(self.nodes[0], 17)),
            (HUB_RESTART_AT, lambda: self.processes.stop("hub")),
            (HUB_RESTART_AT + HUB_DOWN_S / self.live_s, self.start_hub),
            (0.5, lambda: self.touch(self.nodes[0], 17)),
            (KILL_AT, lambda: self.processes.kill(f"agent-{victim.name}")),
            (self.back_at(victim), lambda: self.start_agent(victim)),
            (0.8, lambda: self.touch(self.nodes[0], 27)),
        ]
        while (done := (time.time() - self.anchor) / self.live_s) < 1.0:
            while events and done >= events[0][0]:
                events.pop(0)[1]()
            self.processes.check()
            show(max(0.0, done), list(self.heartbeats().values()))
            time.sleep(0.5)

    def back_at(self, node: Node) -> float:
        """When to start the killed agent again: when its board has seen half as much again as it can hold."""
        after = [row[0] for row in node.feed.rows if row[0] >= KILL_AT * node.feed.seconds * 1000]
        seen = after[min(len(after) - 1, node.ring * 3 // 2)]
        return max(seen / 1000 / node.feed.seconds, KILL_AT + 3.0 / self.live_s)

    def drain(self) -> None:
        """Wait until every reading is accounted for and every summary acknowledged, then stop agents and boards."""

        def drained() -> bool:
            heartbeats = self.heartbeats()
            for node in self.nodes:
                counters = heartbeats.get(node.name, {}).get("counters", {})
                accounted = counters.get("readings_received", 0) + counters.get("readings_lost", 0)
                if not self.board_stats(node)["produced"] == len(node.feed.rows) == accounted:
                    return False
            return True

        self.wait("the boards' last readings to be accounted for at the hub", DRAIN_S, drained)
        time.sleep(2.5)  # one more sync: the counters of the acknowledgement itself
        self.processes.stop(*(f"agent-{node.name}" for node in self.nodes))
        self.processes.stop(*(f"board-{node.name}" for node in self.nodes))

    def report(self) -> dict[str, Any]:
        heartbeats = self.heartbeats()
        shipped = report.passport(self.path_of(FLOW))
        per_node = []
        totals: dict[str, int] = {}
        absolute = [0.0, 0.0, 0.0]
        for node in self.nodes:
            rows = list(self.rows(node.name))
            reported = {model["bundle"]: model for model in heartbeats[node.name].get("models", [])}
            flow = reported.get(FLOW, {})
            start = int(node.start_unix_s * 1000)
            measured = report.volumes(rows, start, start + int(node.feed.seconds * 1000))
            status = json.loads((self.state(node) / "status.json").read_text())
            counters = status["counters"]
            board = self.board_stats(node)
            sums = report.errors(rows)
            scored = report.scores(rows)
            if node.held_out:
                absolute = [a + b for a, b in zip(absolute, sums, strict=True)]
            entry = {
                "id": node.name,
                "model": shipped.bundle,
                "model version": flow.get("version"),
                "runtime": flow.get("runtime"),
                "variant": flow.get("variant"),
                "models": [
                    {"bundle": bundle, **{key: reported.get(bundle, {}).get(key) for key in ("version", "variant")}}
                    for bundle in node.bundles
                ],
                "readings_sent": board["produced"],
                "readings_received": counters.get("readings_received", 0),
                "readings_lost": counters.get("readings_lost", 0),
                "board_could_not_buffer": board["lost"],
                "gap_recorded": report.gaps(rows),
                "vehicles_fed": sum(node.feed.vehicles.values()),
                "vehicles_stored": round(sum(measured.values())),
                "forecasts": sums[2],
                "forecast_mae": sums[0] / sums[2] if sums[2] else None,
                "naive_mae": sums[1] / sums[2] if sums[2] else None,
                "scores": len(scored),
                "highest_score": max(scored, default=None),
                "summaries_produced": counters.get("summaries_produced", 0),
                "summaries_stored": len(rows),
                "summaries_twice": len(rows) - len({(row["boot"], row["seq"]) for row in rows}),
                "agent_rss_bytes": status.get("rss_bytes"),
            }
            per_node.append(entry)
            for key in ("readings_sent", "readings_received", "readings_lost", "summaries_stored"):
                totals[key] = totals.get(key, 0) + entry[key]
            for key in (
                "proposals_allowed",
                "proposals_refused",
                "summaries_produced",
                "summaries_acknowledged",
                "bytes_sent",
                "raw_bytes",
            ):
                totals[key] = totals.get(key, 0) + counters.get(key, 0)
        rollouts = (self.get("/api/v1/rollouts") or {"rollouts": []})["rollouts"]
        return {
            **totals,
            "forecast_mae": absolute[0] / absolute[2] if absolute[2] else None,
            "naive_mae": absolute[1] / absolute[2] if absolute[2] else None,
            "duplicates": sum(n["summaries_twice"] for n in per_node),
            "lost": totals["summaries_produced"] - totals["summaries_stored"],
            "nodes": per_node,
            "variants": [{"name": v.name, "bytes": v.bytes, "max_abs_diff": v.max_abs_diff} for v in shipped.variants],
            "rollouts": {each["bundle"]: each["state"] for each in rollouts},
            "speed": {node.name: round(self.speed(node), 1) for node in self.nodes},
        }

    # --- where things are ------------------------------------------------------------------------

    def folder(self, bundle: str) -> Path:
        return self.home / "bundles" / bundle

    def path_of(self, bundle: str) -> Path:
        return self.folder(bundle) / f"{bundle}-{VERSION}.bundle"

    def speed(self, node: Node) -> float:
        return node.feed.seconds / self.live_s

    def feed(self, node: Node) -> Path:
        return self.home / "feeds" / f"{node.name}.csv"

    def state(self, node: Node) -> Path:
        return self.home / "run" / node.name

    def path(self, node: Node, suffix: str) -> Path:
        return self.home / "run" / f"{node.name}.{suffix}"

    def board_stats(self, node: Node) -> dict[str, Any]:
        stats: dict[str, Any] = json.loads(self.path(node, "json").read_text())
        return stats

    def touch(self, node: Node, pin: int) -> None:
        """Close a contact for a moment: the mock pin's fifo, as a finger would."""
        fifo = os.open(self.state(node) / "gpio.fifo", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fifo, f"{pin} 0\n".encode())
            time.sleep(0.1)
            os.write(fifo, f"{pin} 1\n".encode())
        finally:
            os.close(fifo)

    def get(self, path: str) -> Any:
        """The hub's answer, or None while it is away."""
        try:
            reply = httpx.get(self.hub + path, timeout=5)
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
