"""Each cause of a failed request has its own sentence; only what a SIM can cause sends anybody to the SIM."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from wayside.contracts.hub_address import HubAddress
from wayside.hub_http import client as maker
from wayside.hub_http.failure import Failure, failure, unexpected
from wayside.hub_http.proxy import Route, route


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says ``answer`` to whatever it hears, and hangs up; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                with caller:
                    caller.recv(4096)
                    caller.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def why(address: HubAddress, proxy: str | None = None, verify: ssl.SSLContext | None = None) -> Failure:
    with maker.client(address, timeout_s=2, proxy=proxy, verify=verify) as http:
        try:
            reply = http.get("/healthz")
        except httpx.HTTPError as exc:
            return failure(exc, address, route(address, proxy))
    return unexpected(reply.status_code, reply.headers.get("location"), address, route(address, proxy))


def test_nobody_listens_at_the_port() -> None:
    told = why(HubAddress("http", "127.0.0.1", 9))
    assert (told.kind, told.said) == ("refused", "nothing listens at 127.0.0.1:9")
    assert "the port in hub.url" in told.fix


def test_a_server_that_speaks_no_tls() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        told = why(HubAddress("https", "127.0.0.1", port), verify=ssl.create_default_context())
    assert (told.kind, told.said) == ("tls", f"127.0.0.1:{port} speaks no TLS")
    assert "http://" in told.fix


@pytest.mark.parametrize("answer", [b"", b"\x15\x03\x01\x00\x02\x02\x16", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_server_that_speaks_no_http(answer: bytes) -> None:
    with answering(answer) as port:
        told = why(HubAddress("http", "127.0.0.1", port))
    assert told.kind == "protocol"
    assert "https://" in told.fix


@pytest.mark.parametrize(
    ("status", "said", "fix"),
    [
        ("302 Found\r\nLocation: http://portal.example/login", "to http://portal.example/login", "captive portal"),
        ("404 Not Found", "another server than a hub", "hub.url"),
        ("403 Forbidden", "lets nobody pass", "who runs the network"),
        ("511 Network Authentication Required", "lets nobody pass", "who runs the network"),
        ("500 Internal Server Error", "the hub failed", "the hub's own log"),
        ("502 Bad Gateway", "does not reach it", "look at the hub"),
        ("200 OK", "not as a hub does", "captive portal"),
    ],
)
def test_an_answer_that_is_not_a_hubs(status: str, said: str, fix: str) -> None:
    with answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()) as port:
        told = why(HubAddress("http", "127.0.0.1", port))
    assert told.kind == "answer"
    assert said in told.said
    assert fix in told.fix


def test_a_proxy_that_is_not_there_and_one_that_refuses() -> None:
    hub = HubAddress("https", "hub.example", 443)
    told = why(hub, "http://me:secret@127.0.0.1:9")
    assert (told.kind, told.said) == (
        "proxy",
        "the proxy http://127.0.0.1:9 (hub.proxy) is not reached: Connection refused",
    )
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as port:
        told = why(hub, f"http://127.0.0.1:{port}")
    assert told.kind == "proxy"
    assert "407" in told.said


@pytest.mark.parametrize(
    ("cause", "kind", "sim"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name", False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "name", True),
        (OSError(101, "Network is unreachable"), "network", True),
        (OSError(113, "No route to host"), "network", True),
        (ConnectionRefusedError(111, "Connection refused"), "refused", False),
        (TimeoutError(110, "Connection timed out"), "late", True),
    ],
)
def test_only_what_a_sim_can_cause_sends_to_the_sim(cause: OSError, kind: str, sim: bool) -> None:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = ExceptionGroup("all", [cause])
    told = failure(error, HubAddress("http", "hub.example", 80), Route())
    assert (told.kind, "SIM" in told.fix) == (kind, sim)
