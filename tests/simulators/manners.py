"""How a server, or what stands between it and a node, may answer: each a
:data:`tests.simulators.tuf_repository.Manner`, given the right body."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler

PORTAL = b"<!doctype html><title>Free Wi-Fi</title><form>Accept our terms to go on</form>"


def _head(handler: BaseHTTPRequestHandler, status: int = 200, length: int | None = None) -> None:
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.send_header("Connection", "close")
    handler.end_headers()


def short_body(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """The line breaks in the middle."""
    _head(handler, length=len(body))
    handler.wfile.write(body[: len(body) // 2])


def flipped_bit(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    content = bytearray(body)
    content[len(content) // 2] ^= 1
    _head(handler, length=len(content))
    handler.wfile.write(content)


def endless_body(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    _head(handler)
    handler.wfile.write(body)
    while True:
        handler.wfile.write(b"\0" * 65536)


def portal_page(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    _head(handler, length=len(PORTAL))
    handler.wfile.write(PORTAL)


def redirect(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:9/")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def unavailable(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    _head(handler, status=503, length=0)


def empty(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    _head(handler, length=0)


def malformed(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """JSON with the right outline and wrong insides."""
    content = b'{"signatures": [{"keyid": 7, "sig": []}], "signed": {"_type": "snapshot", "version": "x", "meta": [1]}}'
    _head(handler, length=len(content))
    handler.wfile.write(content)


def nested(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    content = b"[" * 20_000
    _head(handler, length=len(content))
    handler.wfile.write(content)


def hangs_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.connection.close()


def drip(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """The right answer, a byte a second."""
    _head(handler, length=len(body))
    for i in range(len(body)):
        handler.wfile.write(body[i : i + 1])
        time.sleep(1.0)


def drip_headers(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """A header that goes on for ever, a byte a second."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"a")
        time.sleep(1.0)


def silence(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.connection.recv(1)  # until the client goes
