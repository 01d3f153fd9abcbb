"""Four nodes over a day, as the page's test and its screenshot show them: three intersections and an air mast."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec

from tests.hub.bundles import AIR, AIR_TASK, MAST, air_offer, bundle_of
from tests.hub.conftest import AUTH, HubProcess
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.node import FLOW, STREAM, SimulatedNode, offer
from wayside.contracts.commissioning import SensorCheck
from wayside.contracts.condition import Condition
from wayside.contracts.rollout import Refusal
from wayside.contracts.summary import Kind
from wayside.contracts.sync import Board, Counters, TaskState

BOTH = offer(FLOW, AIR_TASK, datastreams=(STREAM, MAST))


def demand(hour: float) -> float:
    """Vehicles in 15 minutes: two peaks. Drawn, not measured."""
    return 20 + 150 * math.exp(-((hour - 8) ** 2) / 4) + 190 * math.exp(-((hour - 17.3) ** 2) / 6)


def play(hub: HubProcess) -> list[SimulatedNode]:
    nodes = [replace(hub, hub.node(f"node-{i}")) if i < 3 else hub.node(f"node-{i}") for i in (1, 2, 3)]
    mast = hub.node("park-mast")
    mast.offer = air_offer()
    nodes[0].offer = BOTH
    keys = OfflineKeys(hub.client)
    keys.initialise()
    for version in ("1.0.0", "1.0.1"):
        assert keys.publish(version, bundle_of(version)).status_code == 204
    assert keys.publish("2.0.0", bundle_of("2.0.0", "air-pm25", **AIR), "air-pm25").status_code == 204
    for i, node in enumerate(nodes):
        day(node, i)
    breathe(mast)
    two_models(nodes[0])
    tripped(nodes[1])
    flapping_door(nodes[2])
    air_with_an_exception(hub, mast, nodes[0])
    of_no_use_later(mast)
    refused_at_the_canary(hub, nodes)
    copy = nodes[1].copied()
    copy.machine = "c0ffee" + "5" * 58
    copy.sync()
    tripped(nodes[1])
    return [*nodes, mast]


def day(node: SimulatedNode, i: int) -> None:
    """Volumes with forecasts, two decisions, a gap, a record of commissioning."""
    dice = random.Random(i)
    start_ms = node.wall_ms - 86_400_000
    last, rows = 0.0, []
    for step in range(96):
        node.wall_ms = start_ms + step * 900_000
        expected = demand(step / 4) * (1 - 0.2 * i)
        value: float | None = round(max(0.0, dice.gauss(expected, 6)))
        if i == 0 and 40 <= step < 44:
            value = None
        forecast = round(max(0.0, dice.gauss(expected, 3)), 1) if step > 4 else None
        for stream, share in (("intersection/volume", 1.0), ("detector/2/volume", 0.4), ("detector/6/volume", 0.3)):
            part = None if value is None else float(round(value * share))
            ahead = None if forecast is None else round(forecast * share, 1)
            past = round(last * share, 1) if step else None
            about: dict[str, Any] = {"forecast": ahead, "naive": past, "model": "traffic-flow 1.0.0"}
            rows.append(node.summary(part, datastream=stream, derived=share == 1.0, **about))
        last = value or last
    rows.append(node.summary(3.0, kind=Kind.GAP, datastream="board/events", detail={"first": 1001, "last": 1003}))
    flows = {"flows_veh_h_lane": "2:412 6:388", "attempt": 2}
    said = {"verdict": "allowed", "greens": "2:41.0 4:22.0 6:41.0", **flows}
    why = "phase 2: green 75.0 s is over the maximum 60.0 s"
    no = {"verdict": "refused", "why": why, "greens": "2:75.0 4:15.0", **flows, "attempt": 1}
    for value, detail in ((0.0, no), (1.0, said)):
        plan: dict[str, Any] = {"datastream": "signal/plan", "unit": "1", "model": "traffic-flow 1.0.0"}
        rows.append(node.summary(value, kind=Kind.DECISION, detail=detail, **plan))
    node.run("1.0.0")
    counters = Counters(
        readings_sent=12_400,
        readings_received=12_400 - 3,
        readings_lost=3,
        proposals_allowed=180 + i,
        proposals_refused=7,
        summaries_produced=len(rows),
    )
    if i != 2:  # the third one waits for its technician
        commission(node, failed=i == 0)
    node.beat = {"counters": counters, "board": Board(connected=True, identity=f"WS-0000{i + 1}")}
    for at in range(0, len(rows), 60):
        node.sync(rows[at : at + 60])


def breathe(mast: SimulatedNode) -> None:
    rows = []
    for hour in range(24):
        mast.wall_ms += 3_600_000
        value = 12 + 8 * math.sin(hour / 4)
        about: dict[str, Any] = {"datastream": "mast/pm25", "unit": "ug/m3", "duration_s": 3600.0}
        rows.append(mast.summary(round(value, 1), **about))
    mast.sync(rows)


def two_models(node: SimulatedNode) -> None:
    """A second task, whose model is not there yet: the task says why."""
    node.beat |= {
        "tasks": (
            TaskState(name="flow", bundle="traffic-flow", model="1.0.0"),
            TaskState(name="air", bundle="air-pm25", why="no version of air-pm25 has come to this node yet"),
        ),
        "board": Board(connected=True, identity="WS-00001", signal_mode="run"),
    }
    node.sync()


def tripped(node: SimulatedNode) -> None:
    """The conflict monitor, told as a condition and in the heartbeat."""
    since = node.stamp()
    fault = "the conflict monitor has tripped: the signal flashes until a person resets it"
    if "conditions" not in node.beat:
        detail = {"what": fault, "condition": "signal_fault"}
        node.sync([node.summary(None, kind=Kind.ALERT, datastream="signal/mode", unit="1", detail=detail)])
    node.beat |= {
        "healthy": False,
        "board": Board(connected=True, identity="WS-00002", signal_fault=True, signal_mode="fault"),
        "conditions": (Condition(code="signal_fault", subject="signal/mode", message=fault, since=since),),
    }
    node.sync()


def flapping_door(node: SimulatedNode) -> None:
    """Open and shut in the wind, then quiet: one span, and one thing that only happened."""
    about: dict[str, Any] = {"kind": Kind.ALERT, "datastream": "cabinet/door", "unit": "1"}
    open_ = {"what": "the cabinet's door is open", "condition": "door_open"}
    rows = [node.summary(None, detail=open_, **about)]
    node.wall_ms += 60_000
    again = {**open_, "what": "again: the cabinet's door is open", "times": 2, "flaps": True}
    rows.append(node.summary(None, detail=again, **about))
    node.wall_ms += 900_000
    over = {**open_, "what": "over: the cabinet's door is open", "ended": True, "times": 7, "lasted_s": 960.0}
    rows.append(node.summary(None, detail=over, **about))
    rows.append(node.summary(None, kind=Kind.ALERT, datastream="agent", detail={"what": "the agent was restarted"}))
    node.sync(rows)


def of_no_use_later(mast: SimulatedNode) -> None:
    """The version ran when its rollout ended; what it answers since is not a number."""
    nan = "the model: it answers what is not a number"
    mast.beat |= {
        "healthy": False,
        "tasks": (TaskState(name="air", bundle="air-pm25", model="2.0.0"),),
        "conditions": (Condition(code="model_nan", subject="air", message=nan, since=mast.stamp()),),
    }
    mast.sync()


def air_with_an_exception(hub: HubProcess, mast: SimulatedNode, node: SimulatedNode) -> None:
    """Two nodes can take it; one refuses it for good, and the operator goes on."""
    made = begin(hub, "air-pm25", "2.0.0", [100])
    mast.run("2.0.0", "air-pm25")
    mast.beat |= {"tasks": (TaskState(name="air", bundle="air-pm25", model="2.0.0"),)}
    mast.sync()
    node.refuse("2.0.0", Refusal.GOLDEN, "golden window 1: 9.4 ug/m3 from torch, tolerance 2.0", "air-pm25")
    why = "refused 2.0.0: golden window 1: 9.4 ug/m3 from torch, tolerance 2.0"
    tasks = (*node.beat["tasks"][:1], msgspec.structs.replace(node.beat["tasks"][1], why=why))
    node.beat = node.beat | {"tasks": tasks}
    node.sync()
    answer = hub.client.post(f"/api/v1/rollouts/{made['id']}/resume", headers=AUTH)
    assert answer.json()["state"] == "completed_with_exceptions", answer.text


def refused_at_the_canary(hub: HubProcess, nodes: list[SimulatedNode]) -> None:
    made = begin(hub, "traffic-flow", "1.0.1", [34, 100])
    canary = made["phases"][0]["nodes"][0]["node"]
    node = next(n for n in nodes if n.name == canary)
    reason = "golden window 3: 4.2 vehicles from torch, tolerance 1.0"
    node.refuse("1.0.1", Refusal.GOLDEN, reason)
    node.sync([node.summary(None, kind=Kind.ALERT, datastream="model", detail={"why": f"refused 1.0.1: {reason}"})])


def begin(hub: HubProcess, bundle: str, version: str, phases: list[int]) -> Any:
    target = f"models/{bundle}-{version}.bundle"
    ask = {"bundle": bundle, "version": version, "target": target, "phases": phases}
    answer = hub.client.post("/api/v1/rollouts", json=ask, headers=AUTH)
    assert answer.status_code == 201, answer.text
    return answer.json()


def replace(hub: HubProcess, node: SimulatedNode) -> SimulatedNode:
    """Other hardware in the node's place."""
    about = {"reason": "water in the cabinet"}
    token = hub.client.post(f"/api/v1/nodes/{node.name}/replacement", json=about, headers=AUTH).json()["token"]
    new = SimulatedNode(hub.client, node.name)
    new.machine = "5e" * 32
    assert new.enrol(token).status_code == 200
    return new


def commission(node: SimulatedNode, *, failed: bool) -> None:
    lanes = [
        SensorCheck(datastream="detector/2/volume", kind="detector", channel=2, outcome="passed", actuations=4),
        SensorCheck(datastream="detector/6/volume", kind="detector", channel=6, outcome="passed", actuations=3),
    ]
    if failed:
        swapped = {"elsewhere": ("detector/8/volume",), "said": "channel 8 answered: are the wires of 4 and 8 swapped?"}
        lanes.append(
            SensorCheck(datastream="detector/4/volume", kind="detector", channel=4, outcome="failed", **swapped)
        )
        lanes.append(
            SensorCheck(datastream="ped/1/presses", kind="contact", channel=17, outcome="skipped", said="dug up")
        )
    assert node.hand_in(node.walked(sensors=tuple(lanes), note="hinge of the door is bent")).status_code == 200
