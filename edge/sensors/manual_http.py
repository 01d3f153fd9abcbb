"""HTTP on the node's loopback, for feeding systems: ``POST /v1/values`` with JSON, one request a connection.

Who can reach 127.0.0.1 are programs of this computer, and web pages in a browser on it. A page is kept out by what it
cannot send without being asked for first: a content type of JSON, no ``Origin``, and this host's own name. The answer
200 comes when what was told is on disk; whoever gets no such answer repeats the request, and is counted once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import h11
import msgspec
import structlog

from wayside.contracts.manual_config import ManualConfig
from wayside.contracts.reading import Name
from wayside.contracts.task_config import Finite
from wayside.edge.sources.entry import Entry, EntryRefused
from wayside.edge.sources.manual import Desk, Taken

HOST = "127.0.0.1"
PATH = "/v1/values"
BODY_BYTES = 65_536
HEADER_BYTES = 8192
MAX_ENTRIES = 500
MAX_CONNECTIONS = 32  # more: the one that has waited longest for its own request is closed
REQUEST_S = 5.0  # for a whole request to arrive, and for an answer to be read
DURABLE_S = 15.0  # for what was told to be on disk
LOOK_S = 0.05
RETRY_BASE_S = 5.0
log = structlog.get_logger(__name__)

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Body(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"from_": "from"}):
    """One entry as JSON. Times as RFC 3339 has them, with their zone."""

    datastream: Name
    value: Finite | None = None
    alive: bool = False
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    at: Time | None = None
    from_: Time | None = None
    to: Time | None = None


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


class Refusal(Exception):  # noqa: N818 -- it is an answer
    """Raised where a request is answered early."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


_BODIES = msgspec.json.Decoder(Body | list[Body])


def entries_of(body: bytes) -> list[Entry]:
    """Decode a hostile body: one entry, or a list of them.

    Raises:
        Refusal: 400, naming the field and the rule.
    """
    try:
        decoded = _BODIES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal(400, f"the body is no entry: {str(exc)[:200]}") from exc
    bodies = decoded if isinstance(decoded, list) else [decoded]
    if not 1 <= len(bodies) <= MAX_ENTRIES:
        raise Refusal(400, f"a request has 1 to {MAX_ENTRIES} entries")
    return [_entry(body) for body in bodies]


def _entry(body: Body) -> Entry:
    if body.alive == (body.value is not None):
        raise Refusal(400, f"{body.datastream}: an entry has a value, or alive = true")
    if (body.from_ is None) != (body.to is None) or (body.at is not None and body.to is not None):
        raise Refusal(400, f"{body.datastream}: give at, or from and to, or none of them")
    begin = body.at if body.from_ is None else body.from_
    return Entry(body.datastream, body.value, _unix_ms(begin), _unix_ms(body.to), body.id)


def _unix_ms(at: datetime | None) -> int | None:
    if at is None:
        return None
    try:
        return round(at.astimezone(UTC).timestamp() * 1000)
    except (OverflowError, ValueError) as exc:
        raise Refusal(400, "a time is beyond every calendar") from exc


async def serve(config: ManualConfig, desk: Desk) -> None:
    """Until cancelled. A port that cannot be had is told, and tried again."""
    failures = 0
    while True:
        try:
            door = Door(config, desk)
            server = await asyncio.start_server(door.meet, HOST, config.port, limit=HEADER_BYTES, backlog=64)
        except OSError as exc:
            failures += 1
            if failures == 1:
                log.error("no port for feeding systems", port=config.port, error=str(exc))
            why = f"port {config.port} of {HOST} cannot be had: {exc.strerror or exc}: does another program have it?"
            desk.manual.unreadable((v.datastream for v in config.values), why[:256])
            await asyncio.sleep(RETRY_BASE_S)
            continue
        desk.manual.readable(v.datastream for v in config.values)
        try:
            await server.serve_forever()
        finally:
            server.close()
            door.close()


class Door:
    """Meets connections."""

    def __init__(self, config: ManualConfig, desk: Desk) -> None:
        self._desk = desk
        self._secret = config.secret
        self._hosts = {f"{name}:{config.port}" for name in (HOST, "localhost")}
        self._connections: dict[asyncio.Task[None], bool] = {}  # oldest first → its request has arrived

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._connections[task] = False
        if len(self._connections) > MAX_CONNECTIONS:
            idle = next((t for t, arrived in self._connections.items() if not arrived), task)
            idle.cancel()
        try:
            await self._converse(task, reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # gone, too slow, or one too many; the task ends here, so that nobody misses its cancellation
        finally:
            del self._connections[task]
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    def close(self) -> None:
        for task in self._connections:
            task.cancel()

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)
        try:
            async with asyncio.timeout(REQUEST_S):
                request, body = await self._request(parser, reader)
            self._connections[task] = True
            answer = await self._answer(request, body)
        except Refusal as exc:
            answer = Answer(exc.status, {"error": str(exc)})
        except h11.RemoteProtocolError as exc:
            answer = Answer(exc.error_status_hint, {"error": f"that is no HTTP: {exc}"})
        data = msgspec.json.encode(answer.body) + b"\n"
        headers = [("content-type", "application/json"), ("content-length", str(len(data))), ("connection", "close")]
        headers += [("retry-after", "10")] if answer.status == 503 else []
        with contextlib.suppress(h11.LocalProtocolError):  # it has hung up in the middle
            for event in (h11.Response(status_code=answer.status, headers=headers), h11.Data(data), h11.EndOfMessage()):
                writer.write(parser.send(event) or b"")
            async with asyncio.timeout(REQUEST_S):
                await writer.drain()
                writer.write_eof()
                while await reader.read(BODY_BYTES):  # what it still sends: a reset would take the answer from it
                    pass

    async def _request(self, parser: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
        """Raises: Refusal; RemoteProtocolError: it is no HTTP."""
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await reader.read(HEADER_BYTES))
            elif isinstance(event, h11.Request):
                request = event
                self._admit(event)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_BYTES:
                    raise Refusal(413, f"a body has at most {BODY_BYTES} bytes")
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return request, bytes(body)
            else:
                raise OSError("it hung up")

    def _admit(self, request: h11.Request) -> None:
        """Raises: Refusal: it is answered without being read further."""
        headers = dict(_texts(request.headers))
        if headers.get("host") not in self._hosts:
            raise Refusal(421, f"Host has to be {' or '.join(sorted(self._hosts))}")
        if "origin" in headers:
            raise Refusal(403, "no web page may tell this node")
        given = headers.get("authorization", "")
        if self._secret is not None and not hmac.compare_digest(given.encode(), f"Bearer {self._secret}".encode()):
            raise Refusal(401, "Authorization: Bearer SECRET has to carry manual.secret of the node's file")
        if request.target.partition(b"?")[0] != PATH.encode():
            raise Refusal(404, f"there is {PATH} and nothing else")
        if request.method not in (b"POST", b"GET"):
            raise Refusal(405, "POST tells values, GET shows the last ones")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == b"POST" and kind != "application/json":
            raise Refusal(415, "Content-Type has to be application/json")

    async def _answer(self, request: h11.Request, body: bytes) -> Answer:
        """Raises: Refusal."""
        source = self._desk.manual
        if request.method == b"GET":
            return Answer(200, {t.config.datastream: t.last for t in source.each})
        try:
            taken = self._desk.told(entries_of(body))
        except EntryRefused as exc:
            raise Refusal(503 if exc.passes else 422, str(exc)) from exc
        return await self._when_durable(taken)

    async def _when_durable(self, taken: Taken) -> Answer:
        """Raises: Refusal: the disk does not take it, at least not yet."""
        try:
            async with asyncio.timeout(DURABLE_S):
                while self._desk.manual.durable < taken.number:  # noqa: ASYNC110 -- a source knows no asyncio
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as exc:
            raise Refusal(503, "not yet on disk: send it again, with the same ids") from exc
        return Answer(200, {"taken": taken.taken, "repeated": taken.repeated, "late": taken.late})


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Names in small letters, as h11 gives them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
