"""Request bodies are hostile: bounded while they arrive and while they are decompressed, then held to the contract."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from wayside.cloud.hub.errors import BadRequestError, ContractBrokenError, TooLargeError, TooSlowError
from wayside.cloud.hub.openapi import decoded
from wayside.contracts.reading import BootId, Name, Stamp
from wayside.contracts.summary import Summary
from wayside.contracts.sync import MAX_SUMMARIES, SyncRequest
from wayside.contracts.wire import WIRE_VERSION, ContractError, Document, from_builtins

MAX_VALUES = 64_000
"""Of one request: three times what a thousand rows have. Two kilobytes of gzip may hold a million of them."""
BODY_S = 60.0  # a thousand rows over a bad link take a tenth of it


async def read_body(request: Request, limit: int) -> bytes:
    """The body as sent, at most ``limit`` bytes.

    Raises:
        TooLargeError: announced or arrived larger.
        TooSlowError: it took more than :data:`BODY_S`.
        BadRequestError: the connection broke.
    """
    if (announced := request.headers.get("content-length", "0")).isdigit() and int(announced) > limit:
        raise too_large(limit)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                chunks.append(chunk)
    except TimeoutError as exc:
        raise TooSlowError("too_slow", f"the body took more than {BODY_S:g} s; send less at a time") from exc
    except ClientDisconnect as exc:
        raise BadRequestError("disconnected", "the connection broke before the body was complete") from exc
    return b"".join(chunks)


def decompressed(body: bytes, encoding: str | None, limit: int) -> bytes:
    """Undo ``Content-Encoding``: nothing or gzip, never more than ``limit`` bytes.

    Raises:
        TooLargeError: it grows beyond the limit.
        BadRequestError: another encoding, or not gzip.
    """
    if encoding is None or encoding.lower() == "identity":
        return body
    if encoding.lower() != "gzip":
        raise BadRequestError("encoding", "Content-Encoding is gzip or absent", "Content-Encoding")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as exc:
        raise BadRequestError("gzip", f"the body is not gzip: {exc}") from exc
    if len(plain) > limit:
        raise too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise BadRequestError("gzip", "the gzip body is cut short or has something behind it")
    return plain


class _Stamp(Stamp, frozen=True, gc=False):
    boot: str


class _Row(Summary, frozen=True, gc=False):
    node: str
    boot: str
    datastream: str
    at: _Stamp


class _SyncRequest(SyncRequest, frozen=True, kw_only=True):
    summaries: Annotated[list[_Row], msgspec.Meta(max_length=MAX_SUMMARIES)] = []  # type: ignore[assignment]


class _NewerStamp(_Stamp, frozen=True, gc=False, forbid_unknown_fields=False):
    pass


class _NewerRow(_Row, frozen=True, gc=False, forbid_unknown_fields=False):
    at: _NewerStamp


_rows_unnamed = msgspec.json.Decoder(_SyncRequest)
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_own_rows = msgspec.json.Decoder(Annotated[list[_Row], msgspec.Meta(max_length=MAX_SUMMARIES)])
_newer_rows = msgspec.json.Decoder(Annotated[list[_NewerRow], msgspec.Meta(max_length=MAX_SUMMARIES)])
_fields_of_rows = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ROW = frozenset(f.encode_name for f in msgspec.structs.fields(Summary)) - {"extra"}
_STAMP = frozenset(f.encode_name for f in msgspec.structs.fields(Stamp)) - {"extra"}
_REQUEST = frozenset(f.encode_name for f in msgspec.structs.fields(SyncRequest)) - {"extra"}


def decoded_sync(body: bytes) -> SyncRequest:
    """The same as ``decoded(body, SyncRequest)``, in half of the time.

    Most of decoding is matching the same few names and boots in each row: here each distinct one is matched once.
    Fields of a newer writer are picked out of the few parts that have them, so that a fleet that is a release ahead
    costs what its own costs. What passes neither way is refused by the contract itself, which names the field.

    Raises:
        ContractBrokenError: naming the field and the rule.
        TooLargeError: it has more values than any reader should build.
    """
    # Before each value but the first stands one of these. Text has them, too: who sends much of it sends less at once.
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise TooLargeError("too_large", f"the body has more than {MAX_VALUES} values; send less at a time")
    try:
        try:
            request: SyncRequest = _rows_unnamed.decode(body)
        except msgspec.ValidationError:
            request = _of_newer(body)
        rows = request.summaries
        msgspec.convert({row.datastream for row in rows}, set[Name])
        msgspec.convert({row.boot for row in rows} | {row.at.boot for row in rows}, set[BootId])
    except (ContractError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        _refuse_too_many(body)  # before the contract's own reading builds each of them
        return decoded(body, SyncRequest)
    return request if request.wire == WIRE_VERSION else decoded(body, SyncRequest)


def _refuse_too_many(body: bytes) -> None:
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        if len(_items.decode(_parts.decode(body)["summaries"])) > MAX_SUMMARIES:
            field = "$.summaries"
            rule = f"Expected `array` of length <= {MAX_SUMMARIES}"
            raise ContractBrokenError.of(ContractError(field, rule))


def _of_newer(body: bytes) -> SyncRequest:
    """A request that has fields which this release does not know.

    Raises:
        ContractError, MsgspecError, ValueError: it breaks the contract elsewhere, too.
    """
    parts = _parts.decode(body)
    rows = parts.pop("summaries", None)
    kept = {name: part for name, part in parts.items() if name in _REQUEST}
    small: dict[str, Any] = {name: msgspec.json.decode(part) for name, part in kept.items()}
    request = from_builtins(small, SyncRequest)
    extra = {name: msgspec.json.decode(part) for name, part in parts.items() if name not in _REQUEST}
    return msgspec.structs.replace(request, summaries=_rows(rows) if rows is not None else [], extra=extra)


def _rows(raw: msgspec.Raw) -> list[Summary]:
    with contextlib.suppress(msgspec.ValidationError):
        own: list[Summary] = _own_rows.decode(raw)
        return own
    rows: list[_NewerRow] = _newer_rows.decode(raw)
    for row, fields in zip(rows, _fields_of_rows.decode(raw), strict=True):
        _keep_unknown(row, fields, _ROW)
        _keep_unknown(row.at, _parts.decode(fields["at"]), _STAMP)
    return rows  # type: ignore[return-value]


def _keep_unknown(document: Document, fields: dict[str, msgspec.Raw], known: frozenset[str]) -> None:
    if not fields.keys() <= known:
        extra = {name: msgspec.json.decode(part) for name, part in fields.items() if name not in known}
        msgspec.structs.force_setattr(document, "extra", extra)


def too_large(limit: int) -> TooLargeError:
    return TooLargeError("too_large", f"the body has more than {limit} bytes; send less at a time")
