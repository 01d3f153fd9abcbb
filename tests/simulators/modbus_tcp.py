"""The network between a node and a Modbus TCP server: it can be late, spoilt, cut, unplugged or answer nobody."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Network:
    """Carries bytes between ``port``, which the node opens, and ``server``, a port on this machine.

    ``to_node`` and ``to_server`` may change what passes; ``silent`` lists units whose requests are lost.
    """

    def __init__(self, server: int, silent: tuple[int, ...] = ()) -> None:
        self.port, self.server, self.silent = free_port(), server, silent
        self.to_node: Callable[[bytes], bytes] = lambda data: data
        self.to_server: Callable[[bytes], bytes] = lambda data: data
        self.late_s = 0.0
        self.unplugged = False  # nothing passes, and nobody is told
        self.opened = 0
        self.heard: list[bytes] = []
        self._late: list[tuple[float, socket.socket, bytes]] = []
        self._pairs: list[tuple[socket.socket, socket.socket | None]] = []
        self._listener: socket.socket | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.listen()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def listen(self) -> None:
        with self._lock:
            self._listener = socket.create_server(("127.0.0.1", self.port))

    def refuse(self) -> None:
        """Nobody listens any more, and every connection is reset."""
        with self._lock:
            assert self._listener is not None
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        with self._lock:
            for pair in self._pairs:
                for end in filter(None, pair):
                    end.close()
            self._pairs = []

    def _carry(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                self._turn()
            self._ended.wait(0.002)

    def _turn(self) -> None:
        with selectors.DefaultSelector() as ready:
            if self._listener is not None:
                ready.register(self._listener, selectors.EVENT_READ)
            for node, server in self._pairs:
                ready.register(node, selectors.EVENT_READ, (node, server, True))
                if server is not None:
                    ready.register(server, selectors.EVENT_READ, (server, node, False))
            for key, _ in ready.select(0):
                if key.data is None:
                    self._accept()
                else:
                    self._pass(*key.data)
        while self._late and self._late[0][0] <= time.monotonic():
            _, node, data = self._late.pop(0)
            with contextlib.suppress(OSError):
                node.sendall(data)

    def _accept(self) -> None:
        assert self._listener is not None
        node, _ = self._listener.accept()
        self.opened += 1
        server = None
        with contextlib.suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self.server), 1)
        self._pairs.append((node, server))

    def _pass(self, source: socket.socket, target: socket.socket | None, from_node: bool) -> None:
        if self.unplugged:
            return
        try:
            data = source.recv(4096)
        except OSError:
            data = b""
        if not data:
            for pair in [p for p in self._pairs if source in p]:
                self._pairs.remove(pair)
                for end in filter(None, pair):
                    end.close()
            return
        if not from_node:
            assert target is not None
            self._late.append((time.monotonic() + self.late_s, target, self.to_node(data)))
            return
        self.heard.append(data)
        if target is not None and data[6] not in self.silent:
            with contextlib.suppress(OSError):
                target.sendall(self.to_server(data))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.cut()
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()
