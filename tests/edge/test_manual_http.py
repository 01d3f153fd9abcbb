"""The port for feeding systems: hostile bytes, web pages, floods, and a feeder whose agent is killed under it."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.edge.sources.test_manual import HOUR_S, Desk
from tests.simulators.agent import AgentProcess, answers_at, free_port
from wayside.contracts.summary import Kind
from wayside.edge.sensors import manual_http
from wayside.edge.sensors.manual_http import BODY_BYTES, MAX_CONNECTIONS, Door, Refusal, entries_of
from wayside.edge.sources.entry import Entry
from wayside.edge.sources.manual import ManualSource, Taken

SECRET = "a-secret-of-the-hospital"


class Counter:
    """A desk whose source commits every 50 ms."""

    def __init__(self, **value: object) -> None:
        self.inner = Desk(**value)  # type: ignore[arg-type]
        self.inner.at(HOUR_S)
        self.commits = True

    @property
    def manual(self) -> ManualSource:
        return self.inner.source

    def told(self, entries: list[Entry]) -> Taken:
        return self.inner.source.take(entries)

    def total(self) -> float:
        return self.inner.source._open[0].total

    async def commit(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            if self.commits:
                self.inner.source.committed()


class Reached:
    """A port that serves, and its desk."""

    def __init__(self, port: int, desk: Counter) -> None:
        self.port, self.desk = port, desk
        self.url = f"http://127.0.0.1:{port}"

    async def post(self, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            given = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
            return await client.post(f"{self.url}/v1/values", content=content, headers=given)

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return answer


@asynccontextmanager
async def serving(secret: str | None = None, **value: object) -> AsyncIterator[Reached]:
    desk = Counter(**value)
    port = free_port()
    config = type(desk.inner.config)(port=port, secret=secret, values=desk.inner.config.values)
    tasks = [asyncio.create_task(manual_http.serve(config, desk)), asyncio.create_task(desk.commit())]
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.02)
        yield Reached(port, desk)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def event(id: str = "a", value: object = 1) -> dict[str, object]:
    return {"datastream": "ed/arrivals", "value": value, "id": id}


async def test_the_answer_says_what_was_taken() -> None:
    async with serving() as port:
        assert (await port.post(event())).json() == {"taken": 1, "repeated": 0, "late": 0}
        assert (await port.post([event(), event("b", 2)])).json() == {"taken": 1, "repeated": 1, "late": 0}
        late = await port.post(event("c") | {"at": "2023-11-14T20:00:00Z"})
        assert late.json() == {"taken": 0, "repeated": 0, "late": 1}
        assert port.desk.total() == 3


async def test_nothing_is_confirmed_that_is_not_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual_http, "DURABLE_S", 0.3)
    async with serving() as port:
        port.desk.commits = False
        answer = await port.post(event())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        port.desk.commits = True
        assert (await port.post(event())).json() == {"taken": 0, "repeated": 1, "late": 0}
        assert port.desk.total() == 1


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "no entry"),
        (b"{", 400, "no entry"),
        (b"[]", 400, "1 to 500"),
        (b"[" * 5000, 400, "no entry"),
        (b'{"datastream": "ed/arrivals", "value": NaN, "id": "a"}', 400, "no entry"),
        (b'{"datastream": "ed/arrivals", "value": 1e999, "id": "a"}', 400, "no entry"),
        (b'{"datastream": "ed/arrivals", "value": 1e300, "id": "a"}', 400, "$.value"),
        (b'{"datastream": "ed/arrivals", "value": "1", "id": "a"}', 400, "$.value"),
        (b'{"datastream": "ed/arrivals", "vlaue": 1, "id": "a"}', 400, "vlaue"),
        (b'{"datastream": "ed/arrivals"}', 400, "alive"),
        (b'{"datastream": "ed/arrivals", "value": 1, "alive": true}', 400, "alive"),
        (b'{"datastream": "ed/arrivals", "value": 1, "id": "a", "at": "2023-11-14T20:00:00"}', 400, "$.at"),
        (b'{"datastream": "ed/arrivals", "value": 1, "id": "a", "from": "2023-11-14T20:00:00Z"}', 400, "from and to"),
        (b'{"datastream": "ed/arrivals", "value": 1, "id": "a", "at": "0001-01-01T00:00:00+14:00"}', 400, "calendar"),
        (b'{"datastream": "ed/arrivals", "value": 1, "id": "a", "at": "1900-01-01T00:00:00Z"}', 422, "before 1970"),
        (b'{"datastream": "ed/beds", "value": 1, "id": "a"}', 422, "ed/beds is no datastream"),
        (b'{"datastream": "ed/arrivals", "value": -1, "id": "a"}', 422, "not within"),
        (b'{"datastream": "ed/arrivals", "value": 1}', 422, "needs an id"),
        (b'{"datastream": "ed/arrivals", "value": 1, "id": "a", "at": "2063-01-01T00:00:00Z"}', 422, "ahead"),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_its_reason(body: bytes, status: int, why: str) -> None:
    async with serving() as port:
        answer = await port.post(body)
        assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text
        assert port.desk.total() == 0


LEAVES = (
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from(["ed/arrivals", "2023-11-14T20Z"])
)
FIELDS = st.sampled_from(["datastream", "value", "alive", "id", "at", "from", "to", "x"])
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=7))


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"datastream": "ed/arrivals", "value": 1}')
@example(b"1" * 4000)
def test_any_body_is_entries_or_refused(body: bytes) -> None:
    try:
        entries = entries_of(body)
    except Refusal as exc:
        assert exc.status == 400
    else:
        assert all(e.value is None or abs(e.value) <= 1e12 for e in entries)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),  # what a page may send without being asked for
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 421),  # a name that resolves to 127.0.0.1
        ({"Host": "evil.example:8040"}, 421),
    ],
)
async def test_a_web_page_on_this_computer_cannot_tell_anything(headers: dict[str, str], status: int) -> None:
    async with serving() as port:
        assert (await port.post(event(), **headers)).status_code == status
        preflight = await port.raw(
            f"OPTIONS /v1/values HTTP/1.1\r\nHost: 127.0.0.1:{port.port}\r\nOrigin: http://evil.example\r\n\r\n".encode()
        )
        assert preflight.startswith(b"HTTP/1.1 403")
        assert b"access-control" not in preflight.lower()
        assert port.desk.total() == 0


async def test_with_a_secret_only_who_knows_it_may_tell() -> None:
    async with serving(secret=SECRET) as port:
        assert (await port.post(event())).status_code == 401
        assert (await port.post(event(), Authorization="Bearer wrong")).status_code == 401
        assert (await port.post(event(), Authorization=f"Bearer {SECRET}")).status_code == 200


async def test_nobody_outside_this_computer_reaches_the_port() -> None:
    async with serving() as port:
        others = {i[4][0] for i in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        others.add("127.0.0.2")  # even another address of the loopback
        for address in others:
            with pytest.raises(OSError):
                await asyncio.open_connection(address, port.port)


async def test_a_body_that_is_too_long_is_told_so() -> None:
    async with serving() as port:
        assert (await port.post(b"[" + b" " * BODY_BYTES + b"]")).status_code == 413


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + secrets.token_bytes(200),  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/values HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/values HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/values HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\nHost: x\r\n\r\n",
        b"GET /v1/values HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"\r\n" * 5000,
    ],
)
async def test_what_is_no_http_gets_an_error_or_nothing_and_the_next_is_served(data: bytes) -> None:
    async with serving() as port:
        answer = await port.raw(data)
        assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:80]
        assert (await port.post(event())).status_code == 200


async def test_a_thousand_connections_that_say_nothing_do_not_keep_a_feeder_out() -> None:
    async with serving() as port:
        writers = []
        for _ in range(1000):
            _, writer = await asyncio.open_connection("127.0.0.1", port.port)
            writer.write(b"POST /v1/values HTTP/1.1\r\n")
            writers.append(writer)
        assert (await port.post(event())).status_code == 200
        for writer in writers:
            writer.close()


async def test_no_more_connections_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    meet = Door.meet

    async def counted(self: Door, *line: object) -> None:
        kept.append(len(self._connections))
        await meet(self, *line)  # type: ignore[arg-type]

    monkeypatch.setattr(Door, "meet", counted)
    async with serving() as port:
        writers = [(await asyncio.open_connection("127.0.0.1", port.port))[1] for _ in range(200)]
        assert (await port.post(event())).status_code == 200
        assert max(kept) <= MAX_CONNECTIONS + 1
        for writer in writers:
            writer.close()


async def test_who_sends_a_byte_now_and_then_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual_http, "REQUEST_S", 0.5)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)

        async def drip() -> None:
            for byte in b"POST /v1/values HTTP/1.1\r\nHost: 127.0.0.1\r\n" * 100:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await asyncio.wait_for(reader.read(), 10) == b""
        dripping.cancel()


async def test_a_port_that_another_program_has_is_told_and_taken_when_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manual_http, "RETRY_BASE_S", 0.05)
    desk = Counter()
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = type(desk.inner.config)(port=other.getsockname()[1], values=desk.inner.config.values)
        task = asyncio.create_task(manual_http.serve(config, desk))
        await asyncio.sleep(0.2)
        assert desk.inner.holds("file_unreadable")
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not desk.inner.holds("file_unreadable"):
            break
    assert not desk.inner.holds("file_unreadable")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# --- a real agent ------------------------------------------------------------------------------------


def forecourt(port: int, *, step_s: int = 60, extra: str = "") -> str:
    return f"""
wire = 1
node = "forecourt-1"
state_dir = "state"
rows_s = {step_s}
[clock]
kind = "scaled"
speed = 60
start_unix_s = 1704067200
anchor_unix_s = {time.time():.6f}
[storage]
checkpoint_s = 0.1
[manual]
port = {port}
wait_s = 10
[[manual.values]]
datastream = "ed/arrivals"
unit = "{{pat}}"
kind = "events"
{extra}
"""


def test_every_arrival_counts_once_however_often_the_agent_is_killed(tmp_path: Path) -> None:
    """A hospital's system that repeats each request until it is answered; the agent dies at any moment."""
    port = free_port()
    agent = AgentProcess(tmp_path, forecourt(port)).start()
    told, stop = 0, threading.Event()

    def feed() -> None:
        nonlocal told
        while not stop.is_set():
            entry, confirmed = event(secrets.token_hex(8)), False
            told += 1
            while not confirmed:
                try:
                    answer = httpx.post(f"http://127.0.0.1:{port}/v1/values", json=entry, timeout=1.0, trust_env=False)
                    confirmed = answer.status_code == 200
                except httpx.HTTPError:
                    time.sleep(0.05)

    feeder = threading.Thread(target=feed)
    try:
        agent.wait(lambda a: "readings" in a.status)
        feeder.start()
        for pause_s in (1.5, 0.9, 1.3):
            time.sleep(pause_s)
            agent.stop(signal.SIGKILL)
            agent.start()
            agent.wait(lambda a: answers_at(port))
        stop.set()
        feeder.join(30)
        assert not feeder.is_alive()
        begun = len(agent.rows())
        agent.wait(lambda a: len([r for r in a.rows()[begun:] if r.kind is Kind.INTERVAL]) >= 2)
    finally:
        stop.set()
        agent.stop(signal.SIGKILL)
    rows = [r for r in agent.rows() if r.datastream == "ed/arrivals" and r.kind in (Kind.INTERVAL, Kind.GAP)]
    assert sum(r.value or 0 for r in rows) == told >= 5
