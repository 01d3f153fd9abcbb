"""Three intersections over a day, as the page's test and its screenshot show them."""

from __future__ import annotations

import math
import random

from tests.hub.conftest import AUTH, HubProcess
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.node import SimulatedNode
from wayside.contracts.commissioning import SensorCheck
from wayside.contracts.rollout import Refusal
from wayside.contracts.summary import Kind
from wayside.contracts.sync import Board, Counters


def demand(hour: float) -> float:
    """Vehicles in 15 minutes: two peaks. Drawn, not measured."""
    return 20 + 150 * math.exp(-((hour - 8) ** 2) / 4) + 190 * math.exp(-((hour - 17.3) ** 2) / 6)


def play(hub: HubProcess) -> list[SimulatedNode]:
    dice = random.Random(1)
    nodes = [replace(hub, hub.node(f"node-{i}")) if i < 3 else hub.node(f"node-{i}") for i in (1, 2, 3)]
    keys = OfflineKeys(hub.client)
    keys.initialise()
    for version in ("1.0.0", "1.0.1"):
        assert keys.publish(version, b"bundle " + version.encode()).status_code == 204
    start_ms = nodes[0].wall_ms - 86_400_000
    for i, node in enumerate(nodes):
        last, rows = 0.0, []
        for step in range(96):
            node.wall_ms = start_ms + step * 900_000
            expected = demand(step / 4) * (1 - 0.2 * i)
            value: float | None = round(max(0.0, dice.gauss(expected, 6)))
            if i == 0 and 40 <= step < 44:
                value = None
            forecast = round(max(0.0, dice.gauss(expected, 3)), 1) if step > 4 else None
            model = "traffic-flow 1.0.0"
            for stream, share in (("intersection/volume", 1.0), ("detector/2/volume", 0.4), ("detector/6/volume", 0.3)):
                part = None if value is None else float(round(value * share))
                ahead = None if forecast is None else round(forecast * share, 1)
                past = round(last * share, 1) if step else None
                rows.append(node.summary(part, datastream=stream, forecast=ahead, naive=past, model=model))
            last = value or last
        rows.append(node.summary(3.0, kind=Kind.GAP, datastream="board/events", detail={"first": 1001, "last": 1003}))
        flows = {"flows_veh_h_lane": "2:412 6:388", "attempt": 2}
        said = {"verdict": "allowed", "greens": "2:41.0 4:22.0 6:41.0", **flows}
        why = "phase 2: green 75.0 s is over the maximum 60.0 s"
        no = {"verdict": "refused", "why": why, "greens": "2:75.0 4:15.0", **flows, "attempt": 1}
        for value, detail in ((0.0, no), (1.0, said)):
            plan = {"kind": Kind.DECISION, "datastream": "signal/plan", "unit": "1", "model": "traffic-flow 1.0.0"}
            rows.append(node.summary(value, detail=detail, **plan))
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
        for at in range(0, len(rows), 60):
            node.sync(rows[at : at + 60], counters=counters, board=Board(connected=True, identity=f"WS-0000{i + 1}"))
    nodes[2].sync(
        [nodes[2].summary(1.0, kind=Kind.ALERT, datastream="cabinet/door", unit="1", detail={"why": "it is open"})]
    )
    answer = hub.client.post(
        "/api/v1/rollouts",
        json={
            "bundle": "traffic-flow",
            "version": "1.0.1",
            "target": "models/traffic-flow-1.0.1.bundle",
            "phases": [34, 100],
        },
        headers=AUTH,
    )
    assert answer.status_code == 201, answer.text
    canary = answer.json()["phases"][0]["nodes"][0]["node"]
    node = next(n for n in nodes if n.name == canary)
    reason = "golden window 3: 4.2 vehicles from torch, tolerance 1.0"
    node.refuse("1.0.1", Refusal.GOLDEN, reason)
    node.sync([node.summary(None, kind=Kind.ALERT, datastream="model", detail={"why": f"refused 1.0.1: {reason}"})])
    copy = nodes[1].copied()
    copy.machine = "c0ffee" + "5" * 58
    copy.sync()
    nodes[1].sync()
    return nodes


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
