"""Connections of strangers: each has a deadline for what it began to ask, and an address a bound for how many it holds.

uvicorn bounds idle connections only: one that sends half a head, or nothing at all, would stay until it leaves.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections import Counter
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wayside.cloud.hub.door.limits import network_of

HEAD_S = 10.0  # from the first byte of a request, or from the connection, to the end of its head
HEAD_BYTES = 32_768  # of one request's address and headers
KEEP_ALIVE_S = 20  # a node that comes again sooner keeps its connection
OF_ONE_ADDRESS = 256  # connections; behind one NAT are many nodes, but none of them needs two
SPARE = 64  # descriptors for the database, TUF files and the log


def raise_descriptors() -> int:
    """Raise this process's limit of descriptors as far as it may; returns how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1_048_576
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return min(soft - SPARE, 65_536)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. ``held`` counts those of each address, over all of them."""

    held: Counter[str] = Counter()
    trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()  # proxies: all clients come from there

    _late: asyncio.TimerHandle | None = None
    _network = ""
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._network = network_of(self.client[0]) if self.client else ""
        self.held[self._network] += 1
        if self.held[self._network] > OF_ONE_ADDRESS and not self._is_proxy():
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_late()
        self.held[self._network] -= 1
        if self.held[self._network] <= 0:
            del self.held[self._network]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._no_longer_late()
        else:
            self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        super().on_header(name, value)

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(len(part) + 2 for part in parts)
        if self._head_bytes > HEAD_BYTES:
            raise ValueError("a head without end")  # the parser's caller answers 400

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._no_longer_late()  # from here on uvicorn's own time for idle connections counts

    @classmethod
    def trust(cls, proxies: Iterable[str]) -> None:
        cls.trusted = tuple(ipaddress.ip_network(proxy) for proxy in proxies)

    def _is_proxy(self) -> bool:
        address = ipaddress.ip_address(self.client[0].partition("%")[0]) if self.client else None
        return any(address in network for network in self.trusted)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _no_longer_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
