"""The node's side of the exchange with the hub (docs/wire.md §2): enrol once, then sync, and hand in records."""

from __future__ import annotations

import base64
import gzip
from typing import TypeVar

import httpx

from wayside.contracts.commissioning import CommissioningReply, SignedCommissioning
from wayside.contracts.hub_address import HubAddress, hub_address
from wayside.contracts.identity import NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER, signing_input
from wayside.contracts.node_config import HubConfig
from wayside.contracts.sync import EnrolReply, EnrolRequest, ErrorReply, NonceReply, SyncReply, SyncRequest
from wayside.contracts.wire import ContractError, Document, decode, encode
from wayside.edge.errors import EdgeError
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.identity import Identity
from wayside.hub_http.client import TrustError, async_client
from wayside.hub_http.failure import FAULTS, failure, unexpected
from wayside.hub_http.proxy import ProxyError, Route, route

SYNC = "/api/v1/sync"
COMMISSIONING = "/api/v1/commissioning"
ENROL = "/api/v1/enrol"
NONCE = "/api/v1/nonce"
MAX_REPLY_BYTES = 1_000_000
UNAUTHORIZED = 401

D = TypeVar("D", bound=Document)


def printable(text: str) -> str:
    """What a hub said, for a technician's terminal: one line, no control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


class HubError(EdgeError):
    """The exchange failed; nothing was acknowledged."""


class HubUnreachable(HubError):  # noqa: N818 - it says what is
    """No usable answer: network, time-out, or an answer that is not the hub's."""


class HubRefused(HubError):  # noqa: N818
    """The hub answered no.

    Attributes:
        field: path of what it does not take, ``$.summaries[3].unit``; None: it does not say.
        datastreams: of which it takes no rows for now.
    """

    def __init__(
        self, code: str, message: str, status: int, field: str | None = None, datastreams: tuple[str, ...] = ()
    ) -> None:
        code, message = printable(code), printable(message)
        super().__init__(f"the hub refuses ({status} {code}): {message}")
        self.code = code
        self.message = message
        self.status = status
        self.field = field
        self.datastreams = datastreams


class HubClient:
    """One node's connection. Needs no clock: requests are signed over the hub's nonce.

    Making one raises nothing: an address or a proxy that cannot be used is :class:`HubUnreachable` at each request.
    """

    def __init__(self, config: HubConfig, node: str, identity: Identity, tls: HubTls) -> None:
        self._config = config
        self._tls = tls
        self._node = node
        self._identity = identity
        self._nonce: str | None = None
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def _open(self) -> tuple[httpx.AsyncClient, HubAddress, Route]:
        try:
            address = hub_address(self._config.url)
            way = route(address, self._config.proxy)
            verify = self._tls.context()
            if self._http is None:
                self._http = async_client(
                    address, timeout_s=self._config.timeout_s, verify=verify, proxy=self._config.proxy
                )
        except (ContractError, ProxyError, TrustError, TlsError) as exc:
            raise HubUnreachable(str(exc)) from exc
        return self._http, address, way

    async def enrol(self, hardware: str | None = None, machine: str | None = None) -> EnrolReply:
        """Register the node's public key with its one-time token; the same request may be repeated.

        Raises:
            HubUnreachable: try again later.
            HubRefused: the token is used, expired or another node's, this name has another key, or other hardware has
                replaced this one.
        """
        if self._config.token is None:
            raise HubRefused("no-token", "this node is not enrolled and its configuration has no hub.token", 0)
        request = EnrolRequest(
            node=self._node,
            token=self._config.token,
            public_key=self._identity.public_hex,
            hardware=hardware,
            machine=machine,
        )
        status, body, _ = await self._send("POST", ENROL, encode(request), {"Content-Type": "application/json"})
        return self._decoded(status, body, EnrolReply)

    async def sync(self, request: SyncRequest) -> tuple[SyncReply, int]:
        """Exchange once. A reply means that every summary of ``request`` is on disk at the hub.

        Returns:
            The reply, and the bytes of the body as sent.

        Raises:
            HubUnreachable: no usable answer, or one that does not account for the rows that were sent; send the same
                rows again, the hub takes each once.
            HubRefused: e.g. 401 unknown key, 403 replaced by other hardware, 507 the hub's disk is full.
        """
        reply, sent_bytes = await self._exchange(SYNC, request, SyncReply)
        # Believed as a whole or not at all: what is acknowledged is deleted here.
        told, sent = reply.stored + reply.duplicates, len(request.summaries)
        if told != sent:
            raise HubUnreachable(f"{self._config.url} answers for {told} rows, and {sent} were sent; is it the hub?")
        return reply, sent_bytes

    async def commission(self, signed: SignedCommissioning) -> CommissioningReply:
        """Hand in a record of commissioning. A reply means that it is on disk at the hub; repeating it is harmless.

        Raises:
            HubUnreachable: no usable answer.
            HubRefused: 403 and 422: never as it is; 401: the node is not enrolled.
        """
        reply, _ = await self._exchange(COMMISSIONING, signed, CommissioningReply)
        return reply

    async def _exchange(self, path: str, document: Document, kind: type[D]) -> tuple[D, int]:
        # mtime 0: the same rows give the same bytes.
        body = gzip.compress(encode(document), compresslevel=6, mtime=0)
        nonce, self._nonce = self._nonce, None  # used up, whatever comes back
        if nonce is None:
            status, reply, _ = await self._send("GET", f"{NONCE}?node={self._node}", b"", {})
            nonce = self._decoded(status, reply, NonceReply).nonce
        status, reply, fresh = await self._send("POST", path, body, self._signed(path, nonce, body))
        sent = len(body)
        if status == UNAUTHORIZED and fresh is not None:
            # A restarted hub has forgotten its nonces and offers a fresh one: sign once more.
            status, reply, fresh = await self._send("POST", path, body, self._signed(path, fresh, body))
            sent += len(body)
        self._nonce = fresh
        return self._decoded(status, reply, kind), sent

    def _signed(self, path: str, nonce: str, body: bytes) -> dict[str, str]:
        message = signing_input(node=self._node, nonce=nonce, method="POST", path=path, body=body)
        return {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            NODE_HEADER: self._node,
            NONCE_HEADER: nonce,
            SIGNATURE_HEADER: base64.b64encode(self._identity.sign(message)).decode(),
        }

    async def _send(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, str | None]:
        """Status, body and the next nonce of one exchange."""
        http, address, way = self._open()
        try:
            async with http.stream(method, path, content=body, headers=headers) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_REPLY_BYTES:
                        raise HubUnreachable(f"{address.url}{path} answers without end; is it the hub?")
                nonce = response.headers.get(NONCE_HEADER)
                return response.status_code, bytes(content), nonce if nonce and len(nonce) <= 64 else None
        except FAULTS as exc:  # also a nonce that is no header
            if (untrusted := self._tls.why(exc)) is not None:
                raise HubUnreachable(f"{address.url}: {untrusted}") from exc
            raise HubUnreachable(printable(f"{address.url}: {failure(exc, address, way)}")) from exc

    def _decoded(self, status: int, body: bytes, kind: type[D]) -> D:
        try:
            if status == 200:
                return decode(body, kind)
            error = decode(body, ErrorReply)
        except ContractError as exc:
            _, address, way = self._open()
            raise HubUnreachable(f"{address.url} {unexpected(status, None, address, way)} ({exc})") from exc
        raise HubRefused(error.error, error.message, status, error.field, error.datastreams)
