"""Request bodies are hostile: bounded while they arrive, bounded again while they are decompressed."""

from __future__ import annotations

import zlib

from fastapi import Request
from starlette.requests import ClientDisconnect

from cloud.hub.errors import BadRequestError, TooLargeError


async def read_body(request: Request, limit: int) -> bytes:
    """The body as sent, at most ``limit`` bytes.

    Raises:
        TooLargeError: announced or arrived larger.
        BadRequestError: the connection broke.
    """
    if (announced := request.headers.get("content-length", "0")).isdigit() and int(announced) > limit:
        raise too_large(limit)
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
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


def too_large(limit: int) -> TooLargeError:
    return TooLargeError("too_large", f"the body has more than {limit} bytes; send less at a time")
