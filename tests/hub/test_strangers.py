"""Who has no key gets little: an innocent node beside them does not notice."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.hub.conftest import AUTH, Hub, HubProcess
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub import registry
from wayside.cloud.hub.door.connections import OF_ONE_ADDRESS
from wayside.cloud.hub.door.limits import (
    ADDRESSES,
    FORGET_S,
    LINES,
    LONGEST_PAUSE_S,
    SENTENCES,
    WINDOW_S,
    Rate,
    Refusals,
    What,
    network_of,
)
from wayside.cloud.hub.errors import TooOftenError

STRANGER = "127.0.0.2"  # another address of loopback than the innocent's


def connected(hub: HubProcess, address: str) -> socket.socket:
    host, port = hub.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5, source_address=(address, 0))


def test_half_a_request_holds_no_place_for_long(hub_process: Callable[[], HubProcess]) -> None:
    hub = hub_process()
    node = hub.node("node-1")
    strangers = [connected(hub, STRANGER) for _ in range(1_100)]
    for stranger in strangers:
        try:
            stranger.sendall(b"POST /api/v1/sync HTTP/1.1\r\nHost: x\r\nX-")
        except OSError:  # beyond what one address may hold
            stranger.close()
    assert node.sync([node.summary(1.0)]).stored == 1
    still = [s for s in strangers if s.fileno() >= 0 and not is_closed(s, 0.0)]
    assert len(still) <= OF_ONE_ADDRESS
    deadline = time.monotonic() + 20
    while any(not is_closed(s, 0.1) for s in still[:3]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert all(is_closed(s, 0.1) for s in still[:3]), "what began a request and never ended it is gone"
    assert node.sync([node.summary(2.0)]).stored == 1
    for stranger in strangers:
        stranger.close()


def is_closed(peer: socket.socket, wait_s: float) -> bool:
    peer.settimeout(wait_s or 0.001)
    try:
        return peer.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_junk_never_reaches_the_writer_and_is_told_when_to_come_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    innocent = hub.node()
    token = hub.token(node="node-2")
    written: list[object] = []
    monkeypatch.setattr(registry, "enrol", lambda *what: written.append(what))
    statuses = [SimulatedNode(hub.client, f"junk-{i}").enrol("0123456789abcdef").status_code for i in range(60)]
    assert set(statuses) == {403, 429}
    assert statuses.index(429) >= 10, "a technician may mistype"
    assert written == []
    late = SimulatedNode(hub.client, "node-2").enrol(token)
    assert late.status_code == 429
    assert 1 <= int(late.headers["Retry-After"]) <= 60
    assert innocent.sync([innocent.summary(1.0)]).stored == 1, "who signs is never slowed down by others"


def test_a_flood_from_many_addresses_leaves_those_who_were_not_refused_their_turn() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0], each=Rate(burst=3, per_s=0.1), in_all=Rate(burst=10, per_s=1))
    for i in range(20):
        refusals.note(f"10.0.0.{i}", "enrolment")
    refusals.admit("192.0.2.1")
    with pytest.raises(TooOftenError):
        refusals.admit("10.0.0.1")
    now[0] = 2.0
    refusals.admit("10.0.0.1")
    for _ in range(3):
        refusals.note("10.0.0.1", "enrolment")
    with pytest.raises(TooOftenError) as refused:
        refusals.admit("10.0.0.1")
    now[0] += refused.value.retry_s
    refusals.admit("10.0.0.1")


def test_who_goes_on_being_wrong_waits_twice_as_long_each_time_and_is_forgotten_after_an_hour() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0], each=Rate(burst=3, per_s=0.1))
    waits = []
    for _ in range(12):
        try:
            refusals.wrong("10.0.0.1", "token")
        except TooOftenError as refused:
            waits.append(refused.retry_s)
            now[0] += refused.retry_s
            refusals.wrong("10.0.0.1", "token")
    assert waits[:4] == [20, 40, 80, 160]
    assert max(waits) == 640, "it does not grow for ever"
    refusals.admit("10.0.0.2")
    now[0] += FORGET_S + 1
    refusals.note("10.0.0.1", "token")
    refusals.admit("10.0.0.1")


def test_a_stranger_who_tries_a_name_keeps_its_owner_waiting_for_seconds_and_never_out() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    refusals.right("192.0.2.1", "ada")
    pauses = []
    for i in range(40):
        pauses.append(refusals.pause_s("198.51.100.1", "ada"))
        refusals.note(f"10.0.{i}.1", "password", "ada")
    assert pauses[:5] == [0.0] * 5, "a person may mistype"
    assert pauses == sorted(pauses)
    assert pauses[-1] == refusals.pause_s("198.51.100.1", "ada") == LONGEST_PAUSE_S
    assert refusals.pause_s("192.0.2.1", "ada") == 0.0, "from where the owner logged in before"
    assert refusals.pause_s("198.51.100.1", "bob") == 0.0
    refusals.admit("198.51.100.1")
    now[0] += FORGET_S + 1
    assert refusals.pause_s("198.51.100.1", "ada") == 0.0


def test_wrong_credentials_are_told_once_in_a_window_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    now, counted = [0.0], list[What]()
    refusals = Refusals(lambda: now[0], count=counted.append)
    for _ in range(8):
        refusals.note("10.0.0.1", "token")
    refusals.note("10.0.0.1", "password", "ada")
    now[0] += WINDOW_S
    refusals.note("10.0.0.1", "token")
    for i in range(2 * LINES):
        refusals.note(f"10.1.{i}.1", "token")
    now[0] += WINDOW_S
    refusals.note("10.2.0.1", "token")
    told = [r.getMessage() for r in caplog.records]
    assert told[:2] == [f"refused 10.0.0.1: {SENTENCES['token']}", f"refused 10.0.0.1: {SENTENCES['password']}"]
    assert told[2].endswith(", and 7 times since it was told last")
    assert len(told) == 2 + LINES + 2, "a flood does not fill the log"
    assert told[-2] == f"refused: {LINES + 1} more addresses, in the window before this"
    assert len(counted) == 8 + 1 + 1 + 2 * LINES + 1, "every one is counted"


def test_wrong_tokens_are_counted_and_the_right_one_is_taken_at_once(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = {
        hub.client.get("/api/v1/nodes", headers={"Authorization": f"Bearer {i}wrong"}).status_code for i in range(40)
    }
    assert statuses == {401, 429}
    assert hub.client.get("/api/v1/nodes", headers=AUTH).status_code == 200, "others cannot lock its owner out"
    counted = [
        line for line in hub.client.get("/metrics", headers=AUTH).text.splitlines() if "credentials_refused" in line
    ]
    assert 'wayside_credentials_refused_total{what="token"} 20.0' in counted
    told = [r.getMessage() for r in caplog.records if r.name == "wayside.hub.access"]
    assert len(told) == 1
    assert "wrong" not in told[0]


def test_a_subscriber_of_ipv6_is_one_address_and_the_memory_is_bounded() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    refusals = Refusals()
    for i in range(ADDRESSES + 50):
        refusals.note(f"address-{i}", "token")
    assert len(refusals._by_address) == ADDRESSES
