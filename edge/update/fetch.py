"""HTTP for python-tuf, with a limit on everything that a server can make last: see :class:`Fetcher`.

A server that sends a byte a second never times out, neither in its headers nor in its body. So the exchange runs on an
event loop of its own, which looks at the clock and at the cancel flag every :data:`POLL_S`, whatever the server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import httpx
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from wayside.contracts.hub_address import hub_address
from wayside.contracts.node_config import HubConfig
from wayside.edge.hub_tls import HubTls
from wayside.hub_http.client import async_client
from wayside.hub_http.failure import FAULTS, failure
from wayside.hub_http.proxy import route

POLL_S = 0.2
SILENCE_S = 20.0  # without a byte
FLOOR_BYTES, FLOOR_S = 60_000, 60.0
"""Fewer bytes in so many seconds, and the server is given up: 1 kB/s is a tenth of what GPRS reaches at a cell's edge,
and a minute outlasts a handover."""
BASE_S, PACE_BYTES_S = 120.0, 2000.0
"""All requests for so many bytes together may take ``BASE_S`` and their time at this pace: a usual bundle of 200 kB
under four minutes, the largest of 64 MB nine hours: within a night."""

T = TypeVar("T")


class RequestCancelled(DownloadError):  # noqa: N818
    """``cancel`` was set. A DownloadError, since python-tuf lets no other pass."""


class Fetcher(FetcherInterface):
    """One install's requests, one at a time, on connections that verify the hub as the sync does.

    Given up are: a request that is silent for :data:`SILENCE_S`, slower than the floor, or at work after
    the deadline of :meth:`allow`; any, as soon as ``cancel`` is set. No redirects: the hub sends nobody elsewhere.
    """

    def __init__(self, hub: HubConfig, tls: HubTls | None, cancel: threading.Event | None = None) -> None:
        """Belongs to one thread, which has no event loop running.

        Raises:
            ContractError: ``hub.url`` is no address.
            ProxyError, TrustError: its way leads through a proxy, or by authorities, that cannot be used.
            TlsError: ``hub.ca`` cannot be used.
        """
        self._address = hub_address(hub.url)
        self._way = route(self._address, hub.proxy)
        context = tls.context() if tls is not None else None
        self._cancel = cancel or threading.Event()
        self._loop = asyncio.new_event_loop()
        self._http = async_client(
            self._address,
            timeout_s=SILENCE_S,
            verify=context,
            proxy=hub.proxy,
            headers={"Accept-Encoding": "identity"},  # lengths and hashes are of what is sent
        )
        self._deadline = float("inf")
        self._progress: deque[tuple[float, int]] = deque()  # (when, bytes so far) of the present request
        self._bytes = 0
        self._response: httpx.Response | None = None

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end(self._http.aclose())
        finally:
            self._loop.close()

    def allow(self, size: int) -> None:
        """From now on, ``size`` bytes may take as long as a slow line needs for them."""
        self._deadline = time.monotonic() + BASE_S + size / PACE_BYTES_S

    def _fetch(self, url: str) -> Iterator[bytes]:
        self._bytes = 0
        self._progress = deque([(time.monotonic(), 0)])
        if self._response is not None:  # whoever read it may have broken off
            self._end(self._response.aclose())
        self._response = response = self._wait(self._http.send(self._http.build_request("GET", url), stream=True))
        if response.status_code != httpx.codes.OK:
            raise DownloadHTTPError(f"HTTP error occurred with status {response.status_code}", response.status_code)
        return self._chunks(response)

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        raw = response.aiter_raw()
        while chunk := self._wait(_next(raw)):
            self._bytes += len(chunk)
            self._check()
            yield chunk

    def _end(self, closing: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(Exception):  # nothing depends on how a connection ends
            self._loop.run_until_complete(asyncio.wait_for(closing, POLL_S))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(self._watched(work))

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=POLL_S))[0]:
                self._check()
            return task.result()
        except DownloadError:
            raise
        except httpx.TimeoutException as exc:
            raise SlowRetrievalError(f"no byte for {SILENCE_S:g} s") from exc
        except FAULTS as exc:
            raise DownloadError(str(failure(exc, self._address, self._way))) from exc
        except Exception as exc:  # whatever a hostile answer does to the parsers below
            raise DownloadError(_deepest(exc)) from exc
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=POLL_S)

    def _check(self) -> None:
        """Raises: RequestCancelled, SlowRetrievalError."""
        if self._cancel.is_set():
            raise RequestCancelled("cancelled")
        now = time.monotonic()
        if now > self._deadline:
            raise SlowRetrievalError("the download takes longer than its size allows")
        self._progress.append((now, self._bytes))
        while len(self._progress) > 1 and self._progress[1][0] <= now - FLOOR_S:
            self._progress.popleft()
        since, before = self._progress[0]
        if now - since >= FLOOR_S and self._bytes - before < FLOOR_BYTES:
            raise SlowRetrievalError(f"{self._bytes - before} bytes in {now - since:.0f} s; that is too slow")


def _deepest(exc: BaseException) -> str:
    """The words of what all the others were made from: "Connection refused", not "All connection attempts failed"."""
    while (cause := exc.__cause__ or exc.__context__) is not None:
        exc = cause
    return f"{exc or type(exc).__name__}"


async def _next(raw: Any) -> bytes:
    chunk: bytes = await anext(raw, b"")
    return chunk
