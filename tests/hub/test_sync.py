"""Sync: signed, single-use, idempotent, bounded; every answer gives the next nonce."""

from __future__ import annotations

import base64
import gzip
import json
import random
import secrets
from collections.abc import Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.hub.conftest import Hub, miscounted
from tests.simulators.node import SYNC, SimulatedNode
from wayside.contracts.identity import NONCE_HEADER, SIGNATURE_HEADER
from wayside.contracts.summary import Kind
from wayside.contracts.sync import MAX_BODY_BYTES, ErrorReply
from wayside.contracts.wire import decode


def rows_of(hub: Hub, **query: object) -> list[dict[str, object]]:
    return hub.get("/api/v1/summaries", limit=1000, **query)["summaries"]  # type: ignore[return-value]


def refused(answer: object, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
    assert decode(answer.content, ErrorReply).error == code  # type: ignore[attr-defined]


@pytest.mark.both_stores
def test_what_a_node_sends_is_stored_once_and_read_back(hub: Hub) -> None:
    node = hub.node()
    sent = [
        node.summary(41.0, forecast=40.0, naive=38.0, model="traffic-flow 1.0.0"),
        node.summary(None),
        node.summary(kind=Kind.DECISION, datastream="signal/plan", detail={"verdict": "refused", "phase_2_s": 75.0}),
    ]
    reply = node.sync(sent)
    assert (reply.stored, reply.duplicates) == (3, 0)
    read = rows_of(hub)
    same = ("node", "boot", "seq", "kind", "datastream", "duration_s", "value", "unit", "quality", "n")
    same += ("forecast", "naive", "anomaly", "model", "detail")
    assert [{k: r[k] for k in same} for r in read] == [
        {k: msgspec.to_builtins(getattr(s, k)) for k in same} for s in sent
    ]
    assert read[0]["at"] == msgspec.to_builtins(sent[0].at)
    assert read[1]["value"] is None
    assert read[1]["quality"] == "missing"


@pytest.mark.both_stores
def test_repeated_and_reordered_batches_leave_each_row_once(hub: Hub) -> None:
    node = hub.node()
    rows = [node.summary(float(i)) for i in range(150)]
    batches = [rows[i : i + 50] for i in (100, 0, 50, 25, 75, 0)]
    random.Random(7).shuffle(batches)
    replies = [node.sync(batch) for batch in batches]
    assert sum(r.stored for r in replies) == 150
    assert sum(r.duplicates for r in replies) == 150
    assert sorted(r["seq"] for r in rows_of(hub)) == list(range(150))
    (stats,) = hub.get("/api/v1/stats")["nodes"]  # type: ignore[misc]
    assert [stats[k] for k in ("stored", "duplicates_refused", "missing")] == [150, 150, 0]
    assert miscounted(hub.data, hub.database) == []


@pytest.mark.both_stores
def test_rows_of_two_boots_with_the_same_seq_are_two_rows(hub: Hub) -> None:
    node = hub.node()
    node.sync([node.summary(1.0)])
    node.boot, node.seq = secrets.token_hex(16), 0
    assert node.sync([node.summary(2.0)]).stored == 1
    assert len(rows_of(hub)) == 2


@pytest.mark.both_stores
def test_missing_sequence_numbers_are_counted_per_boot(hub: Hub) -> None:
    node = hub.node()
    rows = [node.summary(1.0) for _ in range(10)]
    node.sync(rows[:4] + rows[7:])
    (stats,) = hub.get("/api/v1/stats", node="node-1")["nodes"]  # type: ignore[misc]
    assert stats["missing"] == 3
    assert stats["boots"][0]["last_seq"] == 9


@pytest.mark.both_stores
def test_a_replayed_request_is_refused_and_stores_nothing(hub: Hub) -> None:
    node = hub.node()
    body = node.request([node.summary()])
    headers = node.headers(body)
    assert node.send(body, headers).status_code == 200
    refused(node.send(body, headers), 401, "nonce")
    assert len(rows_of(hub)) == 1


def test_an_older_nonce_than_the_last_used_is_refused(hub: Hub) -> None:
    node = hub.node()
    old, new = (hub.client.get("/api/v1/nonce", params={"node": node.name}).json()["nonce"] for _ in range(2))
    body = node.request([])
    assert node.send(body, node.headers(body, nonce=new)).status_code == 200
    refused(node.send(body, node.headers(body, nonce=old)), 401, "nonce")


def test_a_nonce_of_another_node_is_refused(hub: Hub) -> None:
    one, two = hub.node("node-1"), hub.node("node-2")
    body = one.request([])
    refused(one.send(body, one.headers(body, nonce=two.nonce)), 401, "nonce")


def test_an_expired_nonce_is_refused_and_the_fresh_one_works(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    node = hub.node()
    monkeypatch.setattr("wayside.cloud.hub.auth.NONCE_LIFE_S", -1.0)
    body = node.request([])
    refused(node.send(body, node.headers(body)), 401, "nonce")
    monkeypatch.setattr("wayside.cloud.hub.auth.NONCE_LIFE_S", 900.0)
    assert node.send(body, node.headers(body)).status_code == 200


@pytest.mark.parametrize("nonce", ["", "x", "ü", "A" * 43, "=" * 40, "A" * 5000])
def test_a_garbage_nonce_is_refused(hub: Hub, nonce: str) -> None:
    node = hub.node()
    body = node.request([])
    headers = {k: v.encode() for k, v in node.headers(body, nonce=nonce).items()}
    refused(hub.client.post(SYNC, content=body, headers=headers), 401, "nonce")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda h, b: ({**h, SIGNATURE_HEADER: base64.b64encode(bytes(64)).decode()}, b),
        lambda h, b: ({**h, SIGNATURE_HEADER: "not base64!"}, b),
        lambda h, b: ({k: v for k, v in h.items() if k != SIGNATURE_HEADER}, b),
        lambda h, b: (h, b[:-1] + b" "),
    ],
    ids=["zeros", "not base64", "absent", "body changed"],
)
def test_a_bad_signature_is_refused_with_a_nonce_to_try_again(hub: Hub, spoil: object) -> None:
    node = hub.node()
    body = node.request([node.summary()])
    headers, sent = spoil(node.headers(body), body)  # type: ignore[operator]
    answer = node.send(sent, headers)
    refused(answer, 401, "signature")
    assert answer.headers[NONCE_HEADER]
    assert rows_of(hub) == []
    assert node.send(body, node.headers(body)).status_code == 200


def test_another_key_cannot_speak_for_a_node(hub: Hub) -> None:
    node = hub.node()
    thief = SimulatedNode(hub.client, node.name, Ed25519PrivateKey.generate())
    thief.nonce = node.nonce
    body = thief.request([thief.summary()])
    refused(thief.send(body, thief.headers(body)), 401, "signature")


def test_a_node_cannot_send_rows_of_another(hub: Hub) -> None:
    one = hub.node("node-1")
    other = SimulatedNode(hub.client, "node-2")
    refused(one.post(other.request([other.summary()])), 403, "other_node")
    mixed = json.loads(one.request([one.summary()]))
    mixed["summaries"][0]["node"] = "node-2"
    refused(one.post(json.dumps(mixed).encode()), 422, "broken_contract")
    assert rows_of(hub) == []


def test_an_unknown_node_is_told_to_enrol(hub: Hub) -> None:
    stranger = SimulatedNode(hub.client, "stranger")
    body = stranger.request([])
    refused(stranger.send(body, stranger.headers(body)), 401, "unknown_node")
    refused(hub.client.get("/api/v1/nonce", params={"node": "stranger"}), 404, "unknown_node")


def test_a_body_over_the_limit_is_refused_announced_or_not(hub: Hub) -> None:
    node = hub.node()
    body = b" " * (MAX_BODY_BYTES + 1)
    refused(node.post(body, compress=False), 413, "too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(41):
            yield b" " * 50_000

    refused(hub.client.post(SYNC, content=chunks(), headers=node.headers(b"")), 413, "too_large")


def test_a_compression_bomb_is_refused(hub: Hub) -> None:
    node = hub.node()
    refused(node.post(b" " * (MAX_BODY_BYTES * 20)), 413, "too_large")


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"", None, 422, "broken_contract"),
        (b"\xff\xfe", None, 422, "broken_contract"),
        (b"[]", None, 422, "broken_contract"),
        (b"[" * 50_000, None, 422, "broken_contract"),
        (b"[" * 100_000, None, 413, "too_large"),
        (b'{"wire": 99}', None, 422, "broken_contract"),
        (b"not gzip", "gzip", 400, "gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "gzip"),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", 400, "gzip"),
        (b"{}", "br", 400, "encoding"),
    ],
)
def test_a_garbage_body_is_refused_by_name(hub: Hub, body: bytes, encoding: str | None, status: int, code: str) -> None:
    node = hub.node()
    refused(node.send(body, node.headers(body) | ({"Content-Encoding": encoding} if encoding else {})), status, code)


@pytest.mark.both_stores
def test_unknown_fields_are_kept(hub: Hub) -> None:
    node = hub.node()
    document = json.loads(node.request([node.summary()]))
    document["summaries"][0]["tint"] = "amber"
    document["summaries"][0]["at"]["leap"] = 1
    document["heartbeat"]["fan_rpm"] = 900
    assert node.post(json.dumps(document).encode()).status_code == 200
    (row,) = rows_of(hub)
    assert row["extra"] == {"tint": "amber", "at": {"leap": 1}}
    assert hub.get("/api/v1/nodes/node-1")["heartbeat"]["fan_rpm"] == 900  # type: ignore[index]


def test_the_reply_gives_trusted_time_and_no_desired_state_without_a_rollout(hub: Hub) -> None:
    reply = hub.node().sync()
    assert reply.hub_unix_ms > 1_700_000_000_000
    assert reply.desired is None


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9000) | st.just(2**53)), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.both_stores
def test_whatever_comes_in_whatever_order_is_stored_once_and_counted(hub: Hub, sent: list[tuple[int, int]]) -> None:
    node = hub.node(f"node-{secrets.token_hex(4)}")
    boots = [secrets.token_hex(16) for _ in range(2)]
    rows = [replace(node.summary(1.0), boot=boots[boot], seq=seq) for boot, seq in sent]
    rows = [replace(row, at=replace(row.at, boot=row.boot)) for row in rows]
    half = len(rows) // 2
    stored = sum(node.sync(part).stored for part in (rows[:half], rows[half:], rows) if part)
    assert stored == len(set(sent))
    (mine,) = hub.get("/api/v1/stats", node=node.name)["nodes"]  # type: ignore[misc]
    by_boot = {boot: {seq for b, seq in sent if boots[b] == boot} for boot in boots}
    assert {b["boot"]: b["missing"] for b in mine["boots"]} == {
        boot: max(seqs) + 1 - len(seqs) for boot, seqs in by_boot.items() if seqs
    }
    assert miscounted(hub.data, hub.database) == []
