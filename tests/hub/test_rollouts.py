"""Rollouts as stories: who gets a version, what stops it, what is said of it, and the ways back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.hub.bundles import AIR, AIR_TASK, MAST, PICTURES, air_offer, bundle_of
from tests.hub.conftest import AUTH, NOBODY, Hub, store_of
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.node import FLOW, STREAM, SimulatedNode, offer
from wayside.cloud.hub.store import nodes
from wayside.contracts.condition import MODEL_CONDITIONS, Condition
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.sync import Reported, TaskState
from wayside.contracts.task_config import Datastream

SINCE = Stamp(boot="00" * 16, mono_ns=1, wall_ms=1_715_300_000_000, clock=ClockState.SIMULATED)


def ask(
    bundle: str = "traffic-flow", version: str = "1.0.0", phases: tuple[int, ...] = (34, 100), **other: object
) -> dict[str, object]:
    target = f"models/{bundle}-{version}.bundle"
    return {"bundle": bundle, "version": version, "target": target, "phases": phases, **other}


def post(hub: Hub, path: str, document: object = None) -> Any:
    answer = hub.client.post(f"/api/v1/{path}", json=document if document is not None else {}, headers=AUTH)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def refused(hub: Hub, path: str, document: object = None) -> tuple[str, str]:
    answer = hub.client.post(f"/api/v1/{path}", json=document if document is not None else {}, headers=AUTH)
    assert answer.status_code >= 400, answer.text
    return answer.json()["error"], answer.json()["message"]


def start(
    hub: Hub, version: str, phases: tuple[int, ...] = (34, 100), bundle: str = "traffic-flow", **other: object
) -> Any:
    return post(hub, "rollouts", ask(bundle, version, phases, **other))


def shown(hub: Hub, rollout: Any) -> Any:
    return hub.get(f"/api/v1/rollouts/{rollout['id']}")


def states(hub: Hub, rollout: Any) -> dict[str, str]:
    return {n["node"]: n["state"] for p in shown(hub, rollout)["phases"] for n in p["nodes"]}


def wanted(node: SimulatedNode, bundle: str = "traffic-flow") -> str | None:
    """The version that the hub wants ``node`` to run."""
    return next((d.version for d in node.sync().wanted if d.bundle == bundle), None)


def follow(nodes: list[SimulatedNode], rounds: int = 6) -> None:
    """Nodes sync and do what they are told."""
    for _ in range(rounds):
        for node in nodes:
            for desired in node.sync().wanted:
                if desired.bundle not in node.models or node.models[desired.bundle].version != desired.version:
                    node.run(desired.version, desired.bundle)


def wait_for(hub: Hub, rollout: Any, state: str) -> Any:
    for _ in range(100):
        if (found := shown(hub, rollout))["state"] == state:
            return found
        time.sleep(0.1)
    raise AssertionError(f"still {found['state']}: {found['summary']}")


@pytest.fixture
def keys(hub: Hub) -> OfflineKeys:
    """A repository with three versions of the forecast, and one each of another domain."""
    keys = OfflineKeys(hub.client)
    keys.initialise()
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        assert keys.publish(version, bundle_of(version)).status_code == 204
    assert keys.publish("1.0.0", bundle_of("1.0.0", "air-pm25", **AIR), "air-pm25").status_code == 204
    assert keys.publish("1.0.0", bundle_of("1.0.0", "pictures", **PICTURES), "pictures").status_code == 204
    return keys


@pytest.fixture
def fleet(hub: Hub, keys: OfflineKeys) -> list[SimulatedNode]:
    """Three nodes that forecast traffic; each has said so."""
    nodes = [hub.node(f"node-{i}") for i in range(3)]
    for node in nodes:
        node.sync()
    return nodes


def canary_of(rollout: Any, fleet: list[SimulatedNode]) -> tuple[SimulatedNode, list[SimulatedNode]]:
    name = rollout["phases"][0]["nodes"][0]["node"]
    return next(n for n in fleet if n.name == name), [n for n in fleet if n.name != name]


# --- who gets it --------------------------------------------------------------------------------------


def test_a_picture_classifier_does_not_begin_on_traffic_nodes_and_it_is_said_why(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    code, message = refused(hub, "rollouts", ask("pictures"))
    assert code == "no_fit"
    assert "0 of 3 nodes can take pictures 1.0.0" in message
    assert "3: no task for pictures" in message
    assert hub.get("/api/v1/rollouts")["rollouts"] == []


def test_a_model_under_the_right_name_that_does_not_fit_the_task_does_not_begin(
    hub: Hub, keys: OfflineKeys, fleet: list[SimulatedNode]
) -> None:
    """The classifier was exported as traffic-flow: its passport tells it apart."""
    keys.publish("1.1.0", bundle_of("1.1.0", **PICTURES))
    code, message = refused(hub, "rollouts", ask(version="1.1.0"))
    assert code == "no_fit"
    assert "this model classifies pictures (scene); the task flow forecasts detector/2/volume" in message


def test_a_rollout_goes_to_the_nodes_that_can_take_it_and_names_the_others_with_the_reason(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    fleet[0].reconfigure(air_offer())
    kilograms = Datastream(name="mast/pm25", unit="kg", aggregate="mean")
    fleet[1].reconfigure(offer(AIR_TASK, datastreams=(kilograms,)))
    for node in fleet:
        node.sync()
    made = start(hub, "1.0.0", bundle="air-pm25")
    assert states(hub, made) == {"node-0": "waiting"}
    why = {group["why"]: group["nodes"] for group in made["cannot"]}
    assert why["no task for air-pm25"] == ["node-2"]
    assert ["node-1"] in why.values()
    assert any("the model wants pm25 in ug/m3" in reason for reason in why)
    assert made["fleet"] == 3
    assert wanted(fleet[0], "air-pm25") == "1.0.0"
    assert wanted(fleet[1], "air-pm25") is None


def test_a_preview_says_the_same_and_starts_nothing(hub: Hub, fleet: list[SimulatedNode]) -> None:
    hub.node("node-new")
    look = lambda target, **q: hub.client.get("/api/v1/rollouts/preview", params={"target": target}, **q)  # noqa: E731
    seen = look("models/traffic-flow-1.0.0.bundle", headers=AUTH).json()
    assert seen["candidates"]["can"] == ["node-0", "node-1", "node-2"]
    assert seen["candidates"]["unknown"] == ["node-new"]
    assert seen["summary"].startswith("3 of 4 nodes can take traffic-flow 1.0.0; 1 have not said what they offer")
    assert "3: no task for pictures" in look("models/pictures-1.0.0.bundle", headers=AUTH).json()["summary"]
    assert look("models/none-1.0.0.bundle", headers=AUTH).json()["error"] == "not_published"
    assert look("models/traffic-flow-1.0.0.bundle", headers=NOBODY).status_code == 401
    assert hub.get("/api/v1/rollouts")["rollouts"] == []


def test_an_agent_that_says_nothing_of_its_tasks_takes_part_only_in_the_bundle_that_it_reports(
    hub: Hub, keys: OfflineKeys
) -> None:
    old, empty = hub.node("node-old"), hub.node("node-empty")
    old.old = empty.old = True
    old.run("0.9.0")
    for node in (old, empty):
        node.sync()
    made = start(hub, "1.0.0", (100,))
    assert states(hub, made) == {"node-old": "waiting"}
    assert made["unknown"] == ["node-empty"]
    reply = old.sync()
    assert reply.desired is not None
    assert (reply.desired.version, reply.offer_wanted) == ("1.0.0", True)
    assert refused(hub, "rollouts", ask("air-pm25"))[0] == "no_fit"


@pytest.mark.both_stores
def test_a_node_that_comes_later_or_is_configured_later_takes_part(hub: Hub, fleet: list[SimulatedNode]) -> None:
    fleet[2].reconfigure(air_offer())
    fleet[2].sync()
    made = start(hub, "1.0.0", (50, 100))
    follow(fleet)
    assert shown(hub, made)["state"] == "completed"
    fleet[2].reconfigure(offer(FLOW, AIR_TASK, datastreams=(STREAM, MAST)))
    late = hub.node("node-late")
    assert wanted(fleet[2]) == wanted(late) == "1.0.0"
    after = shown(hub, made)
    assert after["summary"] == "completed: all 2 nodes ran it"
    assert {n["node"]: n["state"] for n in after["joined_later"]} == {"node-2": "waiting", "node-late": "waiting"}
    follow([late])
    assert {n["node"]: n["state"] for n in shown(hub, made)["joined_later"]}["node-late"] == "active"


def test_a_node_whose_task_is_taken_away_is_no_longer_told_to_run_the_bundle(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    made = start(hub, "1.0.0", (100,))
    fleet[0].reconfigure(air_offer())
    assert wanted(fleet[0]) is None
    follow(fleet[1:])
    after = shown(hub, made)
    assert after["state"] == "completed_with_exceptions"
    assert after["summary"] == "completed, 1 excused: node-0 (it can no longer take it: no task for traffic-flow)"


@pytest.mark.both_stores
def test_what_a_node_offers_is_asked_for_in_each_boot_and_kept(hub: Hub, fleet: list[SimulatedNode]) -> None:
    node = fleet[0]
    assert not node.sync().offer_wanted
    node.restart()
    node.offer_due = False
    assert node.sync().offer_wanted
    assert not node.sync().offer_wanted
    kept = hub.get(f"/api/v1/nodes/{node.name}")["offer"]
    assert [task["bundle"] for task in kept["tasks"]] == ["traffic-flow"]  # type: ignore[index]


# --- what is said of it -------------------------------------------------------------------------------


@pytest.mark.both_stores
def test_a_good_version_reaches_every_node_canary_first(hub: Hub, fleet: list[SimulatedNode]) -> None:
    made = start(hub, "1.0.0")
    assert [len(p["nodes"]) for p in made["phases"]] == [1, 2]
    assert sum(wanted(node) is not None for node in fleet) == 1
    follow(fleet)
    after = shown(hub, made)
    assert (after["state"], after["summary"]) == ("completed", "completed: all 3 nodes ran it")
    assert [p["state"] for p in after["phases"]] == ["complete", "complete"]


@pytest.mark.both_stores
def test_a_version_that_a_node_refuses_for_good_stops_at_the_canary(hub: Hub, fleet: list[SimulatedNode]) -> None:
    follow_first = start(hub, "1.0.0")
    follow(fleet)
    assert shown(hub, follow_first)["state"] == "completed"
    made = start(hub, "1.0.1")
    canary, others = canary_of(made, fleet)
    assert wanted(canary) == "1.0.1"
    canary.refuse("1.0.1", Refusal.UNSUPPORTED, "the model wants speed; detector/2/volume is vehicles")
    canary.sync()
    after = shown(hub, made)
    assert after["state"] == "paused"
    assert "the model wants speed" in after["reason"]
    assert {wanted(node) for node in others} == {"1.0.0"}
    assert "0 of 3 nodes run it" in after["summary"]


def beat_of(version: str, *codes: str) -> dict[str, Any]:
    """What a node says whose task runs ``version`` with these conditions open."""
    conditions = tuple(
        Condition(code=code, subject="flow", message="the model: as it is", since=SINCE, severe=False) for code in codes
    )
    return {"tasks": (TaskState(name="flow", bundle="traffic-flow", model=version),), "conditions": conditions}


@pytest.mark.parametrize("code", MODEL_CONDITIONS)
def test_a_version_that_is_of_no_use_at_the_canary_stops_there_and_goes_on_only_when_it_is(
    hub: Hub, fleet: list[SimulatedNode], code: str
) -> None:
    made = start(hub, "1.0.1")
    canary, others = canary_of(made, fleet)
    canary.run("1.0.1")
    canary.beat = beat_of("1.0.1", code)
    follow(fleet)
    paused = shown(hub, made)
    assert paused["state"] == "paused"
    assert paused["reason"] == (
        f"phase 1: 1 of 1 nodes do not run, or run to no use, 1.0.1: {canary.name} "
        f"({code} in flow: the model: as it is)"
    )
    assert states(hub, made)[canary.name] == "useless"
    assert paused["summary"] == "paused: 1 of 3 nodes run it and keep it, nobody else is offered it"
    assert [wanted(node) for node in others] == [None, None]
    assert "to any use" in refused(hub, f"rollouts/{made['id']}/resume")[1]
    canary.beat = beat_of("1.0.1")
    follow(fleet)
    assert states(hub, made)[canary.name] == "active"
    assert shown(hub, made)["useless"] is None
    post(hub, f"rollouts/{made['id']}/resume")
    follow(fleet)
    assert shown(hub, made)["state"] == "completed"


def test_an_ended_rollout_says_where_its_version_is_of_no_use_now(hub: Hub, fleet: list[SimulatedNode]) -> None:
    made = start(hub, "1.0.1")
    follow(fleet)
    assert shown(hub, made)["useless"] is None
    fleet[1].beat = beat_of("1.0.1", "model_nan", "model_worse")
    fleet[2].beat = beat_of("1.0.0", "model_nan")  # not of this version
    follow(fleet, rounds=1)
    now = shown(hub, made)
    assert (now["state"], now["summary"]) == ("completed", "completed: all 3 nodes ran it")
    assert now["useless"] == (
        "of no use at 1 of the 3 nodes that run it now: node-1 (model_nan in flow: the model: as it is; model_worse in "
        "flow: the model: as it is)"
    )
    follow(fleet, rounds=1)
    assert states(hub, made)["node-1"] == "active", "history stays"


def test_a_node_where_it_is_of_no_use_may_be_excused_beyond_the_canary_and_is_named(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    made = start(hub, "1.0.1")
    _, others = canary_of(made, fleet)
    others[0].beat = beat_of("1.0.1", "model_worse")
    follow(fleet)
    assert shown(hub, made)["state"] == "paused"
    post(hub, f"rollouts/{made['id']}/resume")
    follow(fleet)
    ended = shown(hub, made)
    assert ended["state"] == "completed_with_exceptions"
    assert ended["summary"].startswith(f"completed, 1 excused: {others[0].name} (model_worse in flow")
    assert ended["useless"] is not None


@pytest.mark.parametrize("passing", [Refusal.DOWNLOAD, Refusal.METADATA, Refusal.HASH, Refusal.STORAGE])
def test_what_may_pass_by_itself_is_tried_until_the_deadline(
    hub: Hub, fleet: list[SimulatedNode], passing: Refusal
) -> None:
    made = start(hub, "1.0.0", (100,))
    fleet[0].refuse("1.0.0", passing, "a portal's page")
    fleet[0].sync()
    after = shown(hub, made)
    assert after["state"] == "running"
    assert {n["node"]: (n["state"], n["reason"]) for n in after["phases"][0]["nodes"]}["node-0"] == (
        "trying",
        f"{passing.value}: a portal's page",
    )
    follow(fleet)
    assert shown(hub, made)["state"] == "completed"


def test_a_refusal_counts_for_its_own_bundle_only_also_under_the_same_version_number(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    both = offer(FLOW, AIR_TASK, datastreams=(STREAM, MAST))
    for node in fleet:
        node.reconfigure(both)
        node.sync()
    flow, air = start(hub, "1.0.0", (100,)), start(hub, "1.0.0", (100,), "air-pm25")
    assert {d.bundle for d in fleet[0].sync().wanted} == {"traffic-flow", "air-pm25"}
    for node in fleet:
        node.refuse("1.0.0", Refusal.GOLDEN, bundle="air-pm25")
        node.run("1.0.0")
        node.sync()
    assert shown(hub, flow)["state"] == "completed"
    assert shown(hub, air)["state"] == "paused"


def test_two_bundles_may_be_under_way_at_once_and_two_versions_of_one_may_not(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    for node in fleet:
        node.reconfigure(offer(FLOW, AIR_TASK, datastreams=(STREAM, MAST)))
        node.sync()
    flow, air = start(hub, "1.0.0"), start(hub, "1.0.0", bundle="air-pm25")
    code, message = refused(hub, "rollouts", ask(version="1.0.1"))
    assert (code, f"rollout {flow['id']}" in message) == ("running", True)
    post(hub, f"rollouts/{flow['id']}/pause")
    assert refused(hub, "rollouts", ask(version="1.0.1"))[0] == "running"
    post(hub, f"rollouts/{flow['id']}/resume")
    follow(fleet)
    assert [shown(hub, r)["state"] for r in (flow, air)] == ["completed", "completed"]
    reply = fleet[0].sync()
    assert {(d.bundle, d.version) for d in reply.wanted} == {("traffic-flow", "1.0.0"), ("air-pm25", "1.0.0")}
    assert reply.desired == reply.wanted[0]


def test_a_node_that_runs_the_version_is_active_whatever_it_refused_otherwise(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    for node in fleet:
        node.run("1.0.0")
        node.refuse("0.9.9")
    made = start(hub, "1.0.0", (100,))
    follow(fleet)
    assert shown(hub, made)["state"] == "completed"


def test_a_second_attempt_is_not_stopped_by_the_refusal_of_the_first(hub: Hub, fleet: list[SimulatedNode]) -> None:
    first = start(hub, "1.0.1", (100,))
    fleet[0].refuse("1.0.1")
    fleet[0].sync()
    post(hub, f"rollouts/{first['id']}/abort")
    second = start(hub, "1.0.1", (100,))
    fleet[0].sync()  # still says what it said before
    assert shown(hub, second)["state"] == "running"
    fleet[0].try_("1.0.1")
    fleet[0].sync()
    fleet[0].refuse("1.0.1")  # tried again, refused again: that is news
    fleet[0].sync()
    assert shown(hub, second)["state"] == "paused"


@pytest.mark.both_stores
def test_completed_is_not_said_while_nodes_are_excused(hub: Hub, fleet: list[SimulatedNode]) -> None:
    made = start(hub, "1.0.0")
    canary, others = canary_of(made, fleet)
    follow([canary])
    others[0].refuse("1.0.0", Refusal.GOLDEN, "window 3 is 4.2 off")
    others[0].sync()
    assert shown(hub, made)["state"] == "paused"
    post(hub, f"rollouts/{made['id']}/resume")
    follow([others[1]])
    after = shown(hub, made)
    assert after["state"] == "completed_with_exceptions"
    assert after["summary"] == f"completed, 1 excused: {others[0].name} (golden: window 3 is 4.2 off)"
    assert after["phases"][1]["state"] == "over"


def test_failures_within_the_stated_share_do_not_pause_and_are_named_at_the_end(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    made = start(hub, "1.0.0", (100,), max_failed_percent=34)
    fleet[0].refuse("1.0.0")
    fleet[0].sync()
    assert shown(hub, made)["state"] == "running"
    follow(fleet[1:])
    assert shown(hub, made)["summary"] == "completed, 1 failed: node-0 (golden: window 3 is 4.2 off)"


def test_an_ended_rollout_is_history_that_later_reports_do_not_rewrite(hub: Hub, fleet: list[SimulatedNode]) -> None:
    made = start(hub, "1.0.0", (100,))
    follow(fleet)
    before = shown(hub, made)
    fleet[0].models["traffic-flow"] = Reported(
        bundle="traffic-flow", version="0.9.0", state=UpdateState.ROLLED_BACK, attempted="1.0.0"
    )
    fleet[1].refuse("1.0.0")
    for node in fleet:
        node.sync()
    after = shown(hub, made)
    assert (after["state"], after["summary"]) == (before["state"], before["summary"])
    members = {n["node"]: n for n in after["phases"][0]["nodes"]}
    assert (members["node-0"]["state"], members["node-0"]["runs"]) == ("active", "0.9.0"), "then, and now"


# --- dead nodes ---------------------------------------------------------------------------------------


def test_a_dead_node_does_not_hold_the_others_beyond_the_deadline_and_gets_it_when_it_comes_back(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    made = start(hub, "1.0.0", (34, 67, 100), deadline_s=2.5)
    canary, _ = canary_of(made, fleet)
    dead = next(n for n in fleet if n.name == made["phases"][1]["nodes"][0]["node"])
    last = next(n for n in fleet if n not in (canary, dead))
    follow([canary])
    for _ in range(100):
        last.sync()
        if shown(hub, made)["phase"] == 3:
            break
        time.sleep(0.1)
    follow([last])
    after = shown(hub, made)
    assert after["state"] == "completed_with_exceptions"
    assert after["summary"].startswith(f"completed, 1 silent: {dead.name} (not heard from for ")
    assert wanted(dead) == "1.0.0"
    follow([dead])
    members = {n["node"]: n for p in shown(hub, made)["phases"] for n in p["nodes"]}
    assert (members[dead.name]["state"], members[dead.name]["runs"]) == ("silent", "1.0.0")


def test_the_first_phase_does_not_end_with_a_silent_canary(hub: Hub, fleet: list[SimulatedNode]) -> None:
    made = start(hub, "1.0.0", deadline_s=0.2)
    canary, others = canary_of(made, fleet)
    after = wait_for(hub, made, "paused")
    assert after["reason"].startswith(f"no node of the first phase runs 1.0.0: {canary.name} (not heard from")
    assert [wanted(n) for n in others] == [None, None]
    post(hub, f"rollouts/{made['id']}/resume")  # waits for it once more
    follow([canary], 1)
    canary.sync()
    assert shown(hub, made)["phase"] == 2


def test_a_node_that_answers_and_does_not_run_it_is_late_and_that_is_no_silence(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    made = start(hub, "1.0.0", (100,), deadline_s=4)
    follow(fleet[1:])
    fleet[0].refuse("1.0.0", Refusal.STORAGE, "the disk is full")
    while shown(hub, made)["state"] == "running":
        fleet[0].sync()
        time.sleep(0.1)
    after = shown(hub, made)
    assert after["state"] == "paused"
    assert "node-0 (not active after 4 s: storage: the disk is full)" in after["reason"]


@pytest.mark.both_stores
def test_a_canary_is_a_node_that_is_alive(hub: Hub, fleet: list[SimulatedNode]) -> None:
    first = start(hub, "1.0.0")
    canary, _ = canary_of(first, fleet)
    post(hub, f"rollouts/{first['id']}/abort")
    with store_of(hub) as connection:
        connection.execute(nodes.update().where(nodes.c.name == canary.name).values(last_seen_ms=1))
    again = start(hub, "1.0.1")
    assert again["phases"][0]["nodes"][0]["node"] != canary.name
    assert again["phases"][1]["nodes"]


# --- ways back ----------------------------------------------------------------------------------------


def test_abort_moves_nobody_those_who_run_it_keep_it_and_nobody_else_gets_it(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    """Aborting a good one once put the fleet back on the bad one before it."""
    start(hub, "1.0.0")
    follow(fleet)
    made = start(hub, "1.0.1")
    canary, others = canary_of(made, fleet)
    follow([canary], 1)
    canary.sync()
    done = post(hub, f"rollouts/{made['id']}/abort")
    assert done["summary"] == "aborted: 1 of 3 nodes run it and keep it, nobody else gets it"
    assert wanted(canary) == "1.0.1"
    assert {wanted(n) for n in others} == {"1.0.0"}
    assert refused(hub, f"rollouts/{made['id']}/resume")[0] == "state"


@pytest.mark.both_stores
def test_back_returns_the_fleet_to_the_version_before_and_twice_is_once(hub: Hub, fleet: list[SimulatedNode]) -> None:
    start(hub, "1.0.0")
    follow(fleet)
    bad = start(hub, "1.0.1")
    follow(fleet)
    assert shown(hub, bad)["state"] == "completed"
    made = post(hub, f"rollouts/{bad['id']}/back")
    assert (made["version"], made["back_of"], made["state"]) == ("1.0.0", bad["id"], "running")
    assert [len(p["nodes"]) for p in made["phases"]] == [1, 2], "phase by phase, as it came"
    assert sorted(str(wanted(n)) for n in fleet) == ["1.0.0", "1.0.1", "1.0.1"]
    assert post(hub, f"rollouts/{bad['id']}/back")["id"] == made["id"]
    follow(fleet)
    assert shown(hub, made)["summary"] == "completed: all 3 nodes ran it"
    assert post(hub, f"rollouts/{bad['id']}/back")["id"] == made["id"]
    assert {wanted(n) for n in fleet} == {"1.0.0"}
    assert shown(hub, bad)["summary"] == "completed: all 3 nodes ran it", "its history stays"


def test_back_at_once_stops_a_rollout_that_is_under_way(hub: Hub, fleet: list[SimulatedNode]) -> None:
    for node in fleet:
        node.run("1.0.0")  # brought by hand, by no rollout
        node.sync()
    bad = start(hub, "1.0.1")
    canary, _ = canary_of(bad, fleet)
    follow([canary], 1)
    canary.sync()
    made = post(hub, f"rollouts/{bad['id']}/back", {"now": True})
    assert shown(hub, bad)["state"] == "aborted"
    assert [p["percent"] for p in made["phases"]] == [100]
    assert {wanted(n) for n in fleet} == {"1.0.0"}
    follow(fleet)
    assert shown(hub, made)["state"] == "completed"


def test_back_needs_something_to_go_back_to_and_goes_from_the_newest(hub: Hub, fleet: list[SimulatedNode]) -> None:
    first = start(hub, "1.0.0", (100,))
    assert refused(hub, f"rollouts/{first['id']}/back")[0] == "nothing_before"
    assert shown(hub, first)["state"] == "running", "a refused back changes nothing"
    follow(fleet)
    start(hub, "1.0.1", (100,))
    assert refused(hub, f"rollouts/{first['id']}/back")[0] == "not_newest"
    assert refused(hub, "rollouts/99/back")[0] == "rollout"


@pytest.mark.both_stores
def test_a_withdrawn_version_is_gone_from_every_node_and_nobody_gets_it_again(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    start(hub, "1.0.0")
    follow(fleet)
    bad = start(hub, "1.0.1")
    follow(fleet)
    about = {"bundle": "traffic-flow", "version": "1.0.1", "reason": "forecasts double in rain"}
    done = post(hub, "withdrawals", about)
    assert done["returning"] == {f"node-{i}": "1.0.0" for i in range(3)}
    assert "3 nodes that run it are wanted back on 1.0.0" in done["summary"]
    assert {wanted(n) for n in fleet} == {"1.0.0"}
    code, message = refused(hub, "rollouts", ask(version="1.0.1"))
    assert (code, "forecasts double in rain" in message, "--undo" in message) == ("withdrawn", True, True)
    assert shown(hub, bad)["summary"] == "completed: all 3 nodes ran it; the version was withdrawn since"
    assert shown(hub, bad)["withdrawn"] == "forecasts double in rain"
    late = hub.node("node-late")
    assert wanted(late) == "1.0.0"
    follow(fleet)
    again = post(hub, "withdrawals", about | {"reason": "said again"})
    assert again["returning"] == {}
    (listed,) = hub.get("/api/v1/withdrawals")["withdrawals"]  # type: ignore[misc]
    assert listed["reason"] == "forecasts double in rain"


def test_withdrawing_stops_the_rollout_and_a_node_without_an_earlier_version_is_named(
    hub: Hub, fleet: list[SimulatedNode]
) -> None:
    made = start(hub, "1.0.0")
    canary, _ = canary_of(made, fleet)
    follow([canary], 1)
    canary.sync()
    done = post(hub, "withdrawals", {"bundle": "traffic-flow", "version": "1.0.0", "reason": "wrong data"})
    assert done["aborted"] == [made["id"]]
    assert done["stranded"] == [canary.name]
    assert "keep running it" in done["summary"]
    assert {wanted(n) for n in fleet} == {None}


def test_a_node_that_was_away_goes_back_when_it_returns(hub: Hub, fleet: list[SimulatedNode]) -> None:
    for node in fleet:
        node.run("1.0.0")
        node.sync()
    start(hub, "1.0.1", (100,))
    follow(fleet)
    post(hub, "withdrawals", {"bundle": "traffic-flow", "version": "1.0.1", "reason": "wrong"})
    assert wanted(fleet[2]) == "1.0.0", "what it ran before, though no rollout brought that"


def test_an_undone_withdrawal_moves_nobody_by_itself(hub: Hub, fleet: list[SimulatedNode]) -> None:
    start(hub, "1.0.0")
    follow(fleet)
    start(hub, "1.0.1")
    follow(fleet)
    post(hub, "withdrawals", {"bundle": "traffic-flow", "version": "1.0.1", "reason": "wrong"})
    follow(fleet[:2])
    undo = {"bundle": "traffic-flow", "version": "1.0.1"}
    for _ in range(2):
        answer = hub.client.delete("/api/v1/withdrawals", params=undo, headers=AUTH)
        assert answer.status_code == 200
    assert [wanted(n) for n in fleet] == ["1.0.0", "1.0.0", "1.0.1"]
    assert start(hub, "1.0.1")["state"] == "running"


def test_only_a_version_that_somebody_knows_can_be_withdrawn(hub: Hub, fleet: list[SimulatedNode]) -> None:
    about = {"bundle": "traffic-flow", "version": "9.9.9", "reason": "typed wrong"}
    assert refused(hub, "withdrawals", about)[0] == "unknown_version"


# --- the API's own -----------------------------------------------------------------------------------


def test_a_rollout_needs_a_published_version_and_nodes(hub: Hub) -> None:
    assert refused(hub, "rollouts", ask("flow"))[0] == "not_published"
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", bundle_of("1.0.0", "flow"), bundle="flow")
    assert refused(hub, "rollouts", ask("flow"))[0] == "no_nodes"
    other = ask("other") | {"target": "models/flow-1.0.0.bundle"}
    assert refused(hub, "rollouts", other)[0] == "not_that_version"


@pytest.mark.parametrize("phases", [[], [0], [101], [50, 50], [100, 50], ["all"], [1.5]])
def test_phases_that_make_no_sense_are_refused(hub: Hub, phases: list[object]) -> None:
    assert refused(hub, "rollouts", ask() | {"phases": phases})[0] == "broken_contract"
