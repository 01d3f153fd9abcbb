"""A SOCKS5 proxy (RFC 1928) behind which every name is one and the same web server; or one that answers nonsense."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRANTED = b"\x05\x00\x00\x01" + bytes(6)


class SocksProxy:
    """Attributes: asked: the host names and ports that somebody wanted to be connected with."""

    def __init__(self, listener: socket.socket, method: bytes, reply: bytes, page: bytes) -> None:
        self.asked: list[tuple[str, int]] = []
        self._listener, self._method, self._reply, self._page = listener, method, reply, page

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the test is over
                return
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        connection.recv(16)  # the methods that are offered
        connection.sendall(self._method)
        if self._method != b"\x05\x00":
            return
        wanted = connection.recv(512)
        if len(wanted) > 5 and wanted[3] == 3:
            self.asked.append((wanted[5:-2].decode(), int.from_bytes(wanted[-2:], "big")))
        connection.sendall(self._reply)
        if self._reply == GRANTED:
            connection.recv(4096)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(self._page)
            connection.sendall(head + self._page)


@contextmanager
def socks_proxy(method: bytes = b"\x05\x00", reply: bytes = GRANTED, page: bytes = b"{}") -> Iterator[SocksProxy]:
    """One on 127.0.0.1.

    Args:
        method: what it chooses; 5 0 is "no authentication".
        reply: to the wish to be connected.
        page: what the web server behind it answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = SocksProxy(listener, method, reply, page)
        thread = threading.Thread(target=proxy.serve, daemon=True)
        thread.start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
