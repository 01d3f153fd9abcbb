"""What no node can use is not rolled out, what reaches one all the same is refused, what is useless live is noticed:
a real hub, real agents and boards, at 9000 times the pace of a street (a quarter of an hour is a tenth of a second)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.hub.conftest import AUTH, OPERATOR, HubProcess, initialise
from tests.simulators import live_models
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.verb import Done, typed
from wayside.export import release
from wayside.export.keys import make_keys
from wayside.firmware_bridge.line.messages import EventKind, SignalMode

KEPT = Path(__file__).parents[1] / "golden" / "state_1"
SPEED = 9000.0
SYNC_S = 0.25
SLOW_S = 0.95  # that one run of the slow model takes
HOUR_MS = 3_600_000
FAULT_MS = 40 * HOUR_MS
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(240)


def day_and_night(hours: int, *faults: Edge) -> list[Edge]:
    """Vehicles of a detector, many by day and few by night."""
    edges: list[Edge] = []
    ms = 0.0
    while (ms := ms + 90_000 * (1 + 0.6 * math.sin(ms / HOUR_MS * math.pi / 12))) < hours * HOUR_MS:
        edges += [(int(ms), EventKind.DETECTOR, 1, 1), (int(ms) + 800, EventKind.DETECTOR, 1, 0)]
    return sorted([*edges, *faults])


def until(seen: Callable[[], Any], what: Callable[[], Any] = lambda: "not in time") -> Any:
    """What ``seen`` gives, once it is true; ``what`` tells what is there instead."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := seen()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
    return value


class City(NamedTuple):
    hub: HubProcess
    home: Path
    signing: release.Hub
    agents: dict[str, AgentProcess]

    def publish(self, name: str, version: str, **about: Any) -> None:
        path = self.home / "next.bundle"
        path.write_bytes(live_models.made(name, version, **about))
        release.publish(path, self.home / "keys", self.signing)

    def rollout(self, act: str, *words: object) -> Done:
        return typed("rollout", act, *words, "--hub", self.hub.url)

    def start(self, name: str, version: str, phases: str = "100") -> None:
        done = self.rollout("start", name, version, "--phases", phases)
        assert done.status == 0, done

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.hub.client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def reload(self) -> None:
        """The hub reads its rollouts anew, as it does after each write that it refuses."""
        self.rollout("withdraw", "traffic-second", "9.9.9", "--reason", "nothing")

    def shown(self, name: str, version: str) -> dict[str, Any]:
        """The newest rollout of a version."""
        every = self.get("rollouts")["rollouts"]
        return next((r for r in every if (r["bundle"], r["version"]) == (name, version)), {})

    def paused(self, name: str, version: str) -> dict[str, Any]:
        """The rollout, once its canary has stopped it. The node reports a refusal until it hears of that."""
        shown = lambda: self.shown(name, version)  # noqa: E731
        until(lambda: shown().get("state") == "paused", lambda: (shown(), self.log("main-st")))
        return shown()

    def of_no_use(self, name: str, version: str) -> str:
        """What its rollout says of that, once it does; it is paused, or ended before the model proved useless."""
        until(lambda: self.shown(name, version).get("useless"), lambda: self.shown(name, version))
        shown = self.shown(name, version)
        card = self.rollout("show", name).words
        assert str(shown["useless"]).partition(": the model")[0] in card  # the number in the message grows
        assert "next: wayside rollout" in card
        if shown["state"] != "completed":
            assert (shown["state"], "to no use" in shown["reason"]) == ("paused", True)
            assert self.rollout("abort", name).status == 0
        return str(shown["useless"])

    def alerts(self, node: str) -> list[str]:
        return [row["detail"]["what"] for row in self.get("alerts", node=node, limit=1000)["summaries"]]

    def heartbeat(self, node: str) -> dict[str, Any]:
        return self.get(f"nodes/{node}")["heartbeat"] or {}

    def reported(self, node: str, bundle: str) -> dict[str, Any]:
        return next((m for m in self.heartbeat(node).get("models", ()) if m["bundle"] == bundle), {})

    def runs(self, node: str, bundle: str, version: str) -> None:
        until(
            lambda: self.reported(node, bundle).get("version") == version,
            lambda: f"{node} never ran {bundle} {version}: {self.log(node)}",
        )

    def open_at(self, node: str) -> set[tuple[str, str]]:
        return {(c["code"], c["subject"]) for c in self.heartbeat(node).get("conditions", ())}

    def spans(self, node: str, code: str, subject: str) -> list[dict[str, Any]]:
        every = self.get("conditions", node=node, limit=1000)["conditions"]
        return [c for c in every if (c["code"], c["subject"]) == (code, subject)]

    def config(self, node: str) -> Path:
        return self.agents[node].config

    def finding(self, node: str, check: str) -> tuple[dict[str, str], int]:
        """What the doctor says of ``check`` (all of them in one, if there are several), and its exit status."""
        done = typed("doctor", self.config(node), "--json", "--listen", "0.1")
        some = [f for f in json.loads(done.out)["findings"] if f["check"] == check]
        return {k: "; ".join(str(f[k]) for f in some) for k in ("state", "said", "fix")}, done.status

    def log(self, node: str) -> str:
        return (self.home / node / "agent.log").read_text()[-2000:]


def task(name: str, bundle: str, more: str = "") -> str:
    return f'[[tasks]]\nname = "{name}"\nbundle = "{bundle}"\n{more}\nsites = [{{ output = "det/1" }}]\n'


# The task `flow` of each node has a policy; the others look at the same detector.
NODES: dict[str, tuple[str, str, list[Edge]]] = {
    "main-st": ("traffic-flow", task("second", "traffic-second"), []),
    "elm-st": (
        "live-late",
        task("wrong", "street-pictures"),
        [(FAULT_MS, EventKind.SIGNAL_MODE, 0, SignalMode.FAULT)],
    ),
    "oak-st": ("live-nan", task("constant", "live-constant") + task("worse", "live-worse"), []),
}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    home = tmp_path_factory.mktemp("city")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYSIDE_OPERATOR_TOKEN", OPERATOR)
        patch.setenv("COLUMNS", "1000")
        hub = HubProcess(initialise(home / "hub")).start()
        stack.callback(hub.kill)
        here = City(hub, home, release.Hub(hub.url, OPERATOR), {})
        make_keys(home / "keys")
        release.initialize(home / "keys", here.signing)
        anchor = time.time() + 0.5
        for name, (bundle, more, faults) in NODES.items():
            folder = home / name
            folder.mkdir()
            board = stack.enter_context(
                BoardProcess(folder, day_and_night(1000, *faults), speed=SPEED, anchor_s=anchor, board_id=name)
            )
            toml = configured(here, name, bundle, more, board.port, anchor)
            here.agents[name] = stack.enter_context(AgentProcess(folder, toml))
        first_releases(here)
        yield here
        for agent in here.agents.values():
            assert agent.stop() == 0


def hub_section(city: City, node: str) -> str:
    token = city.hub.client.post("/api/v1/tokens", json={"node": node}, headers=AUTH).json()["token"]
    return f'[hub]\nurl = "{city.hub.url}"\ntoken = "{token}"\nsync_s = {SYNC_S}\nbackoff_max_s = 1.0\n'


def configured(city: City, name: str, bundle: str, more: str, port: str, anchor: float) -> str:
    trust = f'[model]\ntuf_root = "{city.home / "keys" / "root.json"}"\n'
    toml = node_toml(
        port, anchor_s=anchor, speed=SPEED, hub=hub_section(city, name), detectors=(1,), extra=trust + more
    )
    deadline = f'bundle = "{bundle}"\ndeadline_s = 0.6' if bundle == "live-late" else f'bundle = "{bundle}"'
    return toml.replace('node = "node-1"', f'node = "{name}"').replace('bundle = "traffic-flow"', deadline)


def first_releases(city: City) -> None:
    """Two good models at main-st, three useless ones at oak-st, and rollouts that an earlier hub began."""
    for name in ("traffic-flow", "traffic-second"):
        city.publish(name, "1.0.0")
    city.publish("live-nan", "1.0.0", content=live_models.answers_nan(), volume=live_models.TOP + 4)
    city.publish("live-constant", "1.0.0", content=live_models.answers_constant())
    city.publish("live-worse", "1.0.0", content=live_models.answers_tenfold())
    city.publish("traffic-flow", "2.0.0", task=live_models.OTHERS["pictures"])
    city.publish("street-pictures", "1.0.0", task=live_models.OTHERS["pictures"])
    for name in NODES:
        until(lambda name=name: city.hub.client.get(f"/api/v1/nodes/{name}").status_code == 200)
        until(lambda name=name: city.heartbeat(name))
    for name in ("traffic-flow", "traffic-second", "live-nan", "live-constant"):
        city.start(name, "1.0.0", "50")


def began_at_an_earlier_hub(city: City, bundle: str, version: str, node: str) -> None:
    """A rollout that nobody compared with what the nodes can take. It is read when another one starts."""
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(city.home / "hub" / "hub.sqlite", timeout=20)) as db, db:
        row = {"bundle": bundle, "version": version, "target": f"models/{bundle}-{version}.bundle", "phases": "[50]"}
        row |= {"deadline_s": 600, "state": "running", "phase": 0, "created_ms": now, "phase_started_ms": now}
        marks = ", ".join("?" * len(row))
        done = db.execute(f"INSERT INTO rollouts ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        db.execute(
            "INSERT INTO rollout_nodes (rollout_id, node, phase, state) VALUES (?, ?, 0, 'waiting')",
            (done.lastrowid, node),
        )


def test_a_picture_classifier_is_refused_by_a_traffic_node_whose_old_model_forecasts_on(city: City) -> None:
    city.runs("main-st", "traffic-flow", "1.0.0")
    began_at_an_earlier_hub(city, "traffic-flow", "2.0.0", "main-st")
    began_at_an_earlier_hub(city, "street-pictures", "1.0.0", "elm-st")
    city.start("live-worse", "1.0.0", "50")
    rollout = city.paused("traffic-flow", "2.0.0")
    both_sides = "this model classifies pictures (class); the task flow forecasts det/1"
    assert f"main-st (unsupported: {both_sides})" in rollout["reason"]
    assert f"traffic-flow 2.0.0 refused: unsupported: {both_sides}" in city.alerts("main-st")
    assert city.reported("main-st", "traffic-flow")["version"] == "1.0.0"
    told = city.get("series", node="main-st", datastream="det/1")["end_ms"][-1]

    def later() -> list[float | None]:
        series = city.get("series", node="main-st", datastream="det/1")
        return [y for ms, y in zip(series["end_ms"], series["forecast"], strict=True) if ms > told]

    forecasts = until(lambda: (some := later()) and len(some) >= 20 and some)
    assert None not in forecasts
    assert city.heartbeat("main-st")["healthy"]
    card = city.rollout("show", "traffic-flow").words
    assert "paused" in card and both_sides in card
    assert "next: wayside rollout resume" in card
    assert city.rollout("abort", "traffic-flow").status == 0


SENTENCES = {
    "pictures": "this model classifies pictures (class); the task flow forecasts det/1",
    "km/h": "the model wants speed in km/h (speed); det/1 is vehicles, {veh}",
    "kW": "the model wants load in kW (power); det/1 is vehicles, {veh}",
    "hourly": "the model's interval is 3600 s, the task's 900 s",
    "elsewhere": "det/1 names no site, and the model's passport does not say how good it is at an unknown one; "
    "it knows Elm St, Oak St",
}


@pytest.mark.parametrize("other", SENTENCES)
def test_a_rollout_that_no_node_can_take_does_not_begin_and_says_why(city: City, other: str) -> None:
    version = f"3.0.{list(live_models.OTHERS).index(other)}"
    city.publish("traffic-flow", version, task=live_models.OTHERS[other])
    before = city.get("rollouts")["rollouts"]
    for words in (("--dry-run",), ()):
        done = city.rollout("start", "traffic-flow", version, *words)
        assert f"0 of 3 nodes can take traffic-flow {version}" in done.words
        assert SENTENCES[other] in done.words
        assert "no task for traffic-flow" in done.words
        assert done.status == (0 if words else 1)
    assert [r["id"] for r in city.get("rollouts")["rollouts"]] == [r["id"] for r in before]


@pytest.mark.parametrize("other", [name for name in SENTENCES if name != "pictures"])
def test_a_node_that_is_told_to_run_it_all_the_same_refuses_it_in_the_same_words(city: City, other: str) -> None:
    version = f"3.0.{list(live_models.OTHERS).index(other)}"
    began_at_an_earlier_hub(city, "traffic-flow", version, "main-st")
    city.reload()
    assert f"main-st (unsupported: {SENTENCES[other]}" in city.paused("traffic-flow", version)["reason"]
    assert city.reported("main-st", "traffic-flow")["version"] == "1.0.0"
    assert city.rollout("abort", "traffic-flow").status == 0


def test_a_task_that_runs_no_model_for_a_bad_reason_says_so_and_the_doctor_fails(city: City) -> None:
    refused = until(lambda: (r := city.reported("elm-st", "street-pictures")).get("refusal") and r)
    assert (refused["refusal"], refused.get("version")) == ("unsupported", None)
    assert city.shown("street-pictures", "1.0.0")["state"] == "paused"
    city.agents["elm-st"].wait(
        lambda a: any(c["subject"] == "wrong" and c.get("severe", True) for c in a.status["conditions"])
    )
    why = "runs no model, because street-pictures 1.0.0 was refused: this model classifies pictures"
    found, status = city.finding("elm-st", "task wrong")
    assert (status, found["state"]) == (1, "fail")
    assert why in found["said"]
    assert why in typed("node", "status", city.config("elm-st")).words
    assert not city.heartbeat("elm-st")["healthy"]
    view = city.get("nodes/elm-st")
    assert view["health"] != "healthy" and any("street-pictures" in line or "wrong" in line for line in view["trouble"])


def test_two_bundles_side_by_side_one_refused_and_the_other_active_under_the_same_number(city: City) -> None:
    city.runs("main-st", "traffic-second", "1.0.0")
    city.publish("traffic-second", "1.1.0", golden_shift=9.0)
    city.publish("traffic-flow", "1.1.0")
    city.start("traffic-second", "1.1.0")
    assert "main-st (golden: " in city.paused("traffic-second", "1.1.0")["reason"]
    city.start("traffic-flow", "1.1.0")
    city.runs("main-st", "traffic-flow", "1.1.0")
    until(lambda: city.shown("traffic-flow", "1.1.0")["state"] == "completed")
    assert city.reported("main-st", "traffic-second")["version"] == "1.0.0"
    assert city.shown("traffic-second", "1.1.0")["state"] == "paused"


def test_a_completed_version_is_taken_back_and_another_withdrawn(city: City) -> None:
    assert city.rollout("back", "traffic-flow", "--now").status == 0
    city.runs("main-st", "traffic-flow", "1.0.0")
    until(lambda: city.shown("traffic-flow", "1.0.0")["state"] == "completed")
    assert city.reported("main-st", "traffic-second")["version"] == "1.0.0", "the other bundle is left alone"
    city.publish("traffic-flow", "1.2.0")
    city.start("traffic-flow", "1.2.0")
    city.runs("main-st", "traffic-flow", "1.2.0")
    done = city.rollout("withdraw", "traffic-flow", "1.2.0", "--reason", "off on holidays")
    assert done.status == 0, done
    city.runs("main-st", "traffic-flow", "1.0.0")
    again = city.rollout("start", "traffic-flow", "1.2.0")
    assert again.status == 1 and "off on holidays" in again.words
    assert "withdrawn: traffic-flow 1.2.0: off on holidays" in city.rollout("list").words


USELESS = {
    "flow": ("model_nan", "live-nan", "it answers what is not a number"),
    "constant": ("model_constant", "live-constant", "answers were all 42"),
    "worse": ("model_worse", "live-worse", "the mean absolute error is"),
}


@pytest.mark.parametrize("subject", USELESS)
def test_a_model_that_is_useless_live_is_a_condition_until_a_good_one_comes(city: City, subject: str) -> None:
    code, bundle, sentence = USELESS[subject]
    city.runs("oak-st", bundle, "1.0.0")
    until(lambda: (code, subject) in city.open_at("oak-st"), lambda: city.open_at("oak-st"))
    (span,) = city.spans("oak-st", code, subject)
    assert span["state"] == "open" and sentence in span["message"]
    agent = city.agents["oak-st"]
    agent.wait(lambda a: (code, subject) in {(c["code"], c["subject"]) for c in a.status.get("conditions", ())})
    found, _ = city.finding("oak-st", "condition")
    assert sentence in found["said"] and code in found["said"]
    assert sentence in typed("node", "status", city.config("oak-st")).words
    if code == "model_nan":
        rows = city.get("summaries", node="oak-st", kind="decision", order="newest", limit=5)["summaries"]
        assert {r["detail"]["verdict"] for r in rows} == {"held"}
        assert all("not a number" in r["detail"]["why"] for r in rows)
    useless = city.of_no_use(bundle, "1.0.0")
    assert useless.startswith(
        f"of no use at 1 of the 1 nodes that run it now: oak-st ({code} in {subject}: the model: "
    )
    city.publish(bundle, "1.0.1")
    city.start(bundle, "1.0.1")
    city.runs("oak-st", bundle, "1.0.1")
    until(lambda: (code, subject) not in city.open_at("oak-st"))
    (over,) = until(lambda: [s for s in city.spans("oak-st", code, subject) if s["state"] == "over"])
    assert over["times"] == 1
    assert over["begin_ms"] == span["begin_ms"]
    assert city.shown(bundle, "1.0.0")["useless"] is None, "nobody runs it any more"
    assert city.shown(bundle, "1.0.1")["useless"] is None


def test_a_model_that_is_late_holds_up_neither_sync_nor_plan_and_is_told(city: City) -> None:
    city.publish("live-late", "1.0.0", content=live_models.answers_after(SLOW_S))
    city.start("live-late", "1.0.0")
    city.runs("elm-st", "live-late", "1.0.0")
    until(lambda: ("model_late", "flow") in city.open_at("elm-st"))
    (span,) = city.spans("elm-st", "model_late", "flow")
    assert "it did not answer within 0.6 s" in span["message"]
    before, began = city.get("nodes/elm-st")["requests"], time.monotonic()
    time.sleep(4 * SLOW_S)
    syncs, passed_s = city.get("nodes/elm-st")["requests"] - before, time.monotonic() - began
    assert syncs > 1.5 * passed_s / SLOW_S, "a loop that the model blocks would sync once a run at most"
    city.agents["elm-st"].wait(lambda a: "model_late" in {c["code"] for c in a.status["conditions"]})
    found, status = city.finding("elm-st", "condition")
    assert (status, "model_late" in found["said"]) == (1, True)
    rows = city.get("summaries", node="elm-st", kind="decision", order="newest", limit=5)["summaries"]
    assert {r["detail"]["verdict"] for r in rows} == {"held"}
    assert "elm-st (model_late in flow: the model: it did not answer" in city.of_no_use("live-late", "1.0.0")
    city.publish("live-late", "1.0.1")
    city.start("live-late", "1.0.1")
    city.runs("elm-st", "live-late", "1.0.1")
    until(lambda: ("model_late", "flow") not in city.open_at("elm-st"))
    mine = [s for s in city.spans("elm-st", "model_late", "flow") if s["begin_ms"] == span["begin_ms"]]
    (over,) = mine  # a busy machine may be late once more
    assert over["state"] == "over"
    assert over["times"] == 1


def test_a_tripped_conflict_monitor_reaches_the_hub(city: City) -> None:
    (span,) = until(lambda: city.spans("elm-st", "signal_fault", "board"), lambda: city.open_at("elm-st"))
    assert "the conflict monitor has tripped" in span["message"]


def test_an_agent_of_old_configuration_and_state_starts_and_loses_nothing(city: City, tmp_path: Path) -> None:
    shutil.copytree(KEPT / "state", tmp_path / "state")
    anchor = time.time()
    clock = f'kind = "scaled"\nspeed = 3600\nanchor_unix_s = {anchor:.6f}'
    with BoardProcess(tmp_path, day_and_night(100), speed=3600.0, anchor_s=anchor) as board:
        toml = (KEPT / "node.toml").read_text().replace('kind = "scaled"', clock).replace("/dev/null", board.port)
        agent = AgentProcess(tmp_path, toml + hub_section(city, "node-1"))
        kept = {(r.boot, r.seq) for r in agent.rows()}
        produced = agent.counters()["summaries_produced"]
        assert kept
        with agent:
            agent.wait(lambda a: a.counters().get("summaries_produced", 0) >= produced + 40, PATIENCE_S)
            assert agent.stop() == 0
        made = agent.counters()["summaries_produced"] - produced
        waiting = len(agent.rows())
    log = (tmp_path / "agent.log").read_text()
    assert "old configuration" in log and "wayside node migrate" in log
    (mine,) = [n for n in city.get("stats")["nodes"] if n["node"] == "node-1"]
    assert mine["stored"] == len(kept) + made - waiting
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = city.get("summaries", node="node-1", limit=1000, **({} if cursor is None else {"cursor": cursor}))
        rows += page["summaries"]
        cursor = page["next"]
        if cursor is None:
            break
    assert kept <= {(r["boot"], r["seq"]) for r in rows}
    boots = {r["boot"] for r in rows} - {boot for boot, _ in kept}
    assert len(boots) == 1
    seqs = sorted(r["seq"] for r in rows if r["boot"] in boots)
    assert seqs == list(range(len(seqs)))
    assert os.stat(tmp_path / "state" / "node.key").st_mode & 0o077 == 0  # noqa: PTH116
