"""The least hub that an agent can talk to: it enrols and takes everything, wants what it is told to want, and is a
:class:`TufRepository` as well. For what a node does; what a hub does is tested on the real one."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable

from tests.simulators.tuf_repository import TufRepository
from wayside.contracts.sync import Desired, EnrolReply, ErrorReply, NonceReply, Restored, SyncReply, SyncRequest
from wayside.contracts.wire import decode, encode


class PlainHub(TufRepository):
    def __init__(self) -> None:
        super().__init__()
        self.wanted: tuple[Desired, ...] = ()
        self.old = False  # it knows one model for each node
        self.offer_wanted = False
        self.refuses: Callable[[SyncRequest], str | None] = lambda _: None  # the field that it does not take
        self.turn: tuple[float, int | None] = (0.0, None)  # not_before_s and grant of its replies
        self.restored: Restored | None = None
        self.syncs: list[SyncRequest] = []

    def get(self, path: str) -> tuple[int, bytes]:
        if path.startswith("/api/v1/nonce"):
            self.requests.append(path)
            return 200, encode(NonceReply(nonce="n"))
        return super().get(path)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.requests.append(path)
        now_ms = int(time.time() * 1000)
        if path == "/api/v1/enrol":
            return 200, encode(EnrolReply(node="node-1", hub_unix_ms=now_ms))
        request = decode(gzip.decompress(body), SyncRequest)
        if (field := self.refuses(request)) is not None:
            return 422, encode(ErrorReply(error="broken_contract", message=f"{field}: is not taken", field=field))
        self.syncs.append(request)
        reply = SyncReply(
            stored=len(request.summaries),
            duplicates=0,
            hub_unix_ms=now_ms,
            desired=next(iter(self.wanted), None),
            wanted=() if self.old else self.wanted,
            offer_wanted=self.offer_wanted,
            not_before_s=self.turn[0],
            grant=self.turn[1],
            restored=self.restored,
        )
        return 200, encode(reply)
