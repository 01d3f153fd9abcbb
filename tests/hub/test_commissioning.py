"""Records of commissioning at the hub: verified, kept to the byte, once; listed with the node."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.hub.conftest import Hub
from tests.hub.test_replacement import node_of, said
from tests.simulators.node import SYNC, SimulatedNode
from wayside.contracts.commissioning import MAX_RECORD_BYTES, SensorCheck, SignedCommissioning, commissioning_input
from wayside.contracts.wire import encode


def records_of(hub: Hub, name: str = "node-1", **query: object) -> list[dict[str, Any]]:
    return hub.get(f"/api/v1/nodes/{name}/commissioning", **query)["records"]  # type: ignore[return-value]


def changed(signed: SignedCommissioning, **news: Any) -> SignedCommissioning:
    return msgspec.structs.replace(signed, **news)


def test_a_record_is_kept_to_the_byte_and_anybody_can_verify_it(hub: Hub) -> None:
    node = hub.node()
    signed = node.walked(note="Tür klemmt – “hinge”")
    answer = node.hand_in(signed)
    assert (answer.status_code, answer.json()["new"]) == (200, True)
    (found,) = records_of(hub)
    kept = found["signed"]
    assert kept["record"] == signed.record
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(kept["public_key"])).verify(
        base64.b64decode(kept["signature"]), commissioning_input(kept["record"].encode())
    )
    assert (found["by"], found["passed"], found["sensors_passed"], found["sensors"]) == ("R. Vega", True, 2, 2)
    assert node_of(hub)["commissioned"] == {k: v for k, v in found.items() if k != "signed"}


@pytest.mark.both_stores
def test_the_same_record_again_is_stored_once(hub: Hub) -> None:
    node = hub.node()
    signed = node.walked()
    assert [node.hand_in(signed).json()["new"] for _ in range(3)] == [True, False, False]
    assert len(records_of(hub)) == 1


@pytest.mark.both_stores
def test_another_record_cannot_take_an_id(hub: Hub) -> None:
    node, other = hub.node("node-1"), hub.node("node-2")
    first = node.walked()
    number = json.loads(first.record)["id"]
    assert node.hand_in(first).status_code == 200
    assert said(node.hand_in(node.walked(id=number, by="somebody else"))) == (409, "record_exists")
    assert said(other.hand_in(other.walked(id=number))) == (409, "record_exists")
    assert [r["by"] for r in records_of(hub)] == ["R. Vega"]


@pytest.mark.both_stores
def test_the_last_record_is_the_nodes_and_all_are_listed_newest_first(hub: Hub) -> None:
    node = hub.node()
    failed = SensorCheck(datastream="detector/6/volume", kind="detector", channel=6, outcome="failed")
    for by, sensors in (("A", (failed,)), ("B", ()), ("C", (failed,))):
        assert node.hand_in(node.walked(by=by, sensors=sensors)).status_code == 200
    assert [(r["by"], r["passed"]) for r in records_of(hub)] == [("C", False), ("B", True), ("A", False)]
    page = hub.get("/api/v1/nodes/node-1/commissioning", limit=2)
    rest = records_of(hub, limit=2, cursor=page["next"])
    assert [r["by"] for r in rest] == ["A"]
    assert node_of(hub)["commissioned"]["by"] == "C"  # type: ignore[index]
    (listed,) = hub.get("/api/v1/nodes")["nodes"]  # type: ignore[misc]
    assert listed["commissioned"]["passed"] is False


def test_a_record_whose_time_is_unknown_is_a_record(hub: Hub) -> None:
    node = hub.node()
    from wayside.contracts.reading import Stamp

    dark = Stamp(boot=node.boot, mono_ns=5)
    assert node.hand_in(node.walked(started=dark, finished=dark)).status_code == 200
    assert records_of(hub)[0]["finished_ms"] is None


def test_work_that_the_replaced_hardware_signed_is_taken_from_the_new_one(hub: Hub) -> None:
    """The walk was offline, the computer died, its card's records were copied over."""
    old = hub.node()
    signed = old.walked()
    new = SimulatedNode(hub.client)
    assert new.enrol(hub.replacement("node-1")).status_code == 200
    assert new.hand_in(signed).status_code == 200
    assert said(old.hand_in(old.walked())) == (403, "key_revoked"), "it may not come by itself"


def test_what_is_not_signed_by_the_node_is_refused(hub: Hub) -> None:
    node, other = hub.node("node-1"), hub.node("node-2")
    signed = node.walked()
    foreign = other.walked()
    zeros = base64.b64encode(bytes(64)).decode()
    for bad, code in (
        (changed(signed, record=signed.record.replace("R. Vega", "R. Vaga")), "record_signature"),
        (changed(signed, signature=zeros), "record_signature"),
        (changed(signed, signature="not base64!"), "record_signature"),
        (changed(signed, public_key=other.public_key), "record_key"),
        (foreign, "record_key"),
        (node.walked(node="node-2"), "other_node"),
    ):
        assert said(node.hand_in(bad)) == (403, code)
    request = node.request([])  # a signature over a request is none over a record
    as_record = changed(signed, signature=node.headers(request)["X-Wayside-Signature"])
    assert said(node.hand_in(as_record)) == (403, "record_signature")
    assert records_of(hub) == records_of(hub, "node-2") == []


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", b'{"wire": 99}', b"[" * 50_000])
def test_a_signed_record_that_breaks_the_contract_is_refused_by_name(hub: Hub, record: bytes) -> None:
    node = hub.node()
    assert said(node.hand_in(node.signed_record(record))) == (422, "broken_contract")


def test_a_record_has_a_largest_size(hub: Hub) -> None:
    node = hub.node()
    assert said(node.hand_in(node.signed_record(b" " * (MAX_RECORD_BYTES + 1)))) == (422, "broken_contract")
    umlauts = ("ü" * (MAX_RECORD_BYTES - 10)).encode()  # few characters enough, too many bytes
    assert said(node.hand_in(node.signed_record(umlauts))) == (413, "too_large")
    body = b" " * (4 * MAX_RECORD_BYTES + 1)
    path = "/api/v1/commissioning"
    assert said(hub.client.post(path, content=body, headers=node.headers(body, path=path))) == (413, "too_large")


def test_the_request_itself_is_signed_for_its_path(hub: Hub) -> None:
    node = hub.node()
    body = encode(node.walked())
    headers = node.headers(body, path=SYNC)
    assert said(hub.client.post("/api/v1/commissioning", content=body, headers=headers)) == (401, "signature")
    stranger = SimulatedNode(hub.client, "stranger")
    assert said(stranger.hand_in(stranger.walked())) == (401, "unknown_node")


def test_asking_for_the_records_of_nobody_is_told(hub: Hub) -> None:
    assert hub.client.get("/api/v1/nodes/nobody/commissioning").status_code == 404
    hub.node("main/5th")
    assert records_of(hub, "main/5th") == []
