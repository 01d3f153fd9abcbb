"""Nothing hostile stops the hub: the corpus, by an enrolled node and by strangers, to a real process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.conftest import HubProcess, hub_process
from tests.hub.hostile import CORPUS, delivered
from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.door.shares import REFUSED, SHARE, Shares
from wayside.cloud.hub.errors import BadRequestError, TooOftenError

__all__ = ["hub_process"]

GROWN = 200_000_000  # bytes that a hub's memory may grow by under all of it


def peak(hub: HubProcess) -> int:
    assert hub.process is not None
    said = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(said.split("VmHWM:")[1].split()[0]) * 1024


def nonce_of(hub: HubProcess, name: str) -> str:
    return str(hub.client.get("/api/v1/nonce", params={"node": name}).json()["nonce"])


def test_each_is_refused_in_a_sentence_or_stored_and_the_hub_goes_on(hub_process: Callable[[], HubProcess]) -> None:
    hub = hub_process()
    host, port = hub.url.removeprefix("http://").split(":")
    innocent = hub.node("innocent")
    before = peak(hub)
    for group in CORPUS:  # each by a node of its own: one alone would have used up its share before the end
        enrolled = hub.node(group.__name__)
        for name, attack in group(enrolled):
            for by in (enrolled, SimulatedNode(None, enrolled.name), SimulatedNode(None, "nobody")):
                nonce = nonce_of(hub, by.name) if by.name != "nobody" else "none"
                answer = delivered((host, int(port)), attack, by.headers(attack.body, nonce=nonce))
                if attack.whole:
                    check(f"{name} by {by.name}", answer, taken=attack.stored and by is enrolled)
            assert innocent.sync([innocent.summary(1.0)]).stored == 1, f"after {name}"
    assert peak(hub) - before < GROWN


def check(who: str, answer: tuple[int, bytes] | None, *, taken: bool) -> None:
    assert answer is not None, f"{who}: no answer"
    status, said = answer
    assert status == 200 if taken else status != 429 and 400 <= status < 500, f"{who}: {status} {said[:300]!r}"
    assert status == 200 or is_sentence(said), f"{who}: {said[:300]!r}"


def is_sentence(said: bytes) -> bool:
    try:
        return len(json.loads(said)["message"]) > 10
    except ValueError:
        return b" " in said  # what is no HTTP is told so in text


def test_a_node_uses_up_its_own_share_and_nobody_elses() -> None:
    clock, cpu = [0.0], [0.0]
    shares = Shares(lambda: clock[0], lambda: cpu[0])

    def ask(node: int, took_s: float, *, refused: bool = False) -> None:
        with shares.charged(node):
            cpu[0] += took_s
            if refused:
                raise BadRequestError("gzip", "no")

    for _ in range(4):
        ask(1, SHARE.burst / 3.5)
    with pytest.raises(TooOftenError) as told:
        ask(1, 0.0)
    ask(2, 0.01)
    clock[0] += told.value.retry_s
    ask(1, 0.01)
    with pytest.raises(BadRequestError):
        ask(3, SHARE.burst / REFUSED * 1.5, refused=True)
    with pytest.raises(TooOftenError):
        ask(3, 0.0)


def test_a_share_is_used_up_by_its_node_alone(hub_process: Callable[[], HubProcess]) -> None:
    """Who knows a node's name and asks for nonces in it spends nothing of the node's."""
    hub = hub_process()
    node, other = hub.node("node-1"), SimulatedNode(hub.client, "node-1")
    for _ in range(40):
        other.nonce = nonce_of(hub, "node-1")
        assert other.send(b"[" * 60_000, other.headers(b"[" * 60_000)).status_code == 401
    assert node.sync([node.summary(1.0)]).stored == 1
    costly = b'{"summaries":["' + b"\\u0041" * 300_000 + b'"]}'
    said = [node.post(costly) for _ in range(20)]
    assert {a.status_code for a in said} == {422, 429}
    late = next(a for a in said if a.status_code == 429)
    assert int(late.headers["Retry-After"]) >= 1
