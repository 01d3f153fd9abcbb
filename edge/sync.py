"""The exchange with the hub, again and again: rows and heartbeat go up, the wanted models and notices come down.

Nothing here is needed for sensing or deciding. A hub that is silent, slow, strange or full is one line in the log, one
sentence in the status file, and is asked again after a pause with full jitter.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import random
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from wayside.contracts.node_config import HubConfig
from wayside.contracts.sync import (
    BACKLOG_ROWS,
    FRESH_ROWS,
    MAX_BODY_BYTES,
    MAX_SUMMARIES,
    Heartbeat,
    Notice,
    SyncReply,
    SyncRequest,
)
from wayside.contracts.task_config import Offer
from wayside.edge.backoff import full_jitter
from wayside.edge.clock import Clock
from wayside.edge.commit import Committer
from wayside.edge.errors import EdgeError
from wayside.edge.hand_in import hand_in
from wayside.edge.hub_client import HubClient, HubError, HubRefused, HubUnreachable, printable
from wayside.edge.node import Node
from wayside.edge.outbox import Batch, Outbox, StorageError
from wayside.edge.update.installs import Installs

RETRY_BASE_S = 1.0
LAST_SYNC_S = 4.0
OFFER_AGAIN_S = 86_400.0  # to a hub that refused it: another release of the hub may take it
SHUT_OUT = ("key_revoked", "node_retired", "clone")  # codes of a hub that lets this computer in no more
LONGEST_WAIT_S = 1800.0  # that a hub may ask for: one that asks for a year keeps nobody silent
PATIENCE = 30  # time-outs that one exchange may take in all: a hub that answers a byte at a time never times out
log = structlog.get_logger(__name__)


class Sync:
    """One node's exchange with its hub.

    Attributes:
        trouble: why the hub does not have what it should; None while it answers.
        notices: what the hub wants people here to know.
    """

    def __init__(
        self,
        hub: HubConfig,
        client: Callable[[], HubClient],
        *,
        name: str,
        boot: str,
        machine: str | None,
        state_dir: Path,
        clock: Clock,
        node: Node,
        outbox: Outbox,
        committer: Committer,
        installs: Installs,
        offer: Offer,
    ) -> None:
        """``client`` makes a connection to ``hub``; ``offer`` is what the node can feed and run."""
        self._hub, self._client = hub, client
        self._name, self._boot, self._machine, self._state_dir = name, boot, machine, state_dir
        self._clock, self._node, self._outbox = clock, node, outbox
        self._committer, self._installs = committer, installs
        self._offer = offer
        self._offer_due = True  # in the first request of a boot
        self._no_offer_before_s = 0.0  # by time.monotonic()
        self._enrolled = bool(outbox.load("enrolled"))
        self._restored = outbox.load("restored")  # the newest restore of the hub that was answered
        self._batch_rows = MAX_SUMMARIES
        # Of intervals. Where a hub comes back, or the power of a city, it first sees how everybody is.
        self._granted: int | None = FRESH_ROWS
        self._unwanted: set[str] = set()  # datastreams of which the hub takes no rows for now
        self._unwanted_until_s = 0.0  # by time.monotonic()
        self.heartbeat: Callable[[], Heartbeat] | None = None
        self.trouble: str | None = None
        self.notices: tuple[Notice, ...] = ()

    async def run(self) -> None:
        hub, urgent = self._hub, self._committer.urgent
        client = self._client()
        draw = random.SystemRandom()
        failures = 0
        try:
            while True:
                urgent.clear()
                enrolled = self._enrolled
                try:
                    pause_s = await self._once_in_time(client)
                    failures = 0
                    if self.trouble is not None:
                        log.info("hub answers again")
                    self.trouble = None
                except (HubError, StorageError) as exc:
                    trouble = str(exc)
                    pause_s = full_jitter(failures, RETRY_BASE_S, hub.backoff_max_s, draw)
                    failures += 1
                    if isinstance(exc, HubRefused) and exc.code in SHUT_OUT:
                        # Until people act, every answer is the same; the rows wait in the outbox.
                        self._notice((Notice(code=exc.code, message=exc.message[:512]),))
                        trouble = f"the hub refuses this computer ({exc.code}), see its notice"
                        if self._enrolled or not enrolled:  # else a new token may help: enrolling is tried first
                            pause_s = draw.uniform(0.5, 1.0) * hub.backoff_max_s
                    if self.trouble is None:
                        log.warning("sync failed", error=trouble)
                    self.trouble = trouble
                    await asyncio.sleep(pause_s)  # also for alerts: the hub may be down for the whole fleet
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await urgent.wait()
                        self._granted = self._sparing()  # it comes before its turn
        finally:
            await client.close()

    async def last(self) -> None:
        """One more exchange before the agent ends, if the hub answered the one before."""
        if not self._enrolled or self.trouble is not None:
            return
        client = self._client()
        try:
            async with asyncio.timeout(LAST_SYNC_S):
                await self._once(client)
                self._committer.commit()
        except (EdgeError, TimeoutError) as exc:
            log.info("last sync failed; the rows are kept", error=str(exc))
        except Exception:  # of ours; the agent ends anyway, and in order
            log.exception("last sync failed; the rows are kept")
        finally:
            await client.close()

    async def _once_in_time(self, client: HubClient) -> float:
        limit_s = PATIENCE * self._hub.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._once(client)
        except TimeoutError as exc:
            raise HubUnreachable(f"{self._hub.url} needs more than {limit_s:g} s for one answer") from exc

    async def _once(self, client: HubClient) -> float:
        """One exchange; seconds until the next."""
        await self._enrol(client)
        # While the time is unknown, ask for it first: rows that go out timeless stay so.
        self._committer.restamp_if_known()
        timeless = self._clock.wall(self._clock.mono_ns()).ms is None
        batch = Batch([], []) if timeless else self._next_rows()
        sent_ns = self._clock.mono_ns()
        self._granted = self._sparing()  # until the hub says more
        try:
            reply, sent_bytes = await client.sync(self._request(batch))
        except HubRefused as exc:
            self._on_refused(exc, batch)
            raise
        self._clock.hear_hub(reply.hub_unix_ms, sent_ns, self._clock.mono_ns())
        # A hub that always asks gets it at its usual pace.
        asked_anew = reply.offer_wanted and not self._offer_due
        self._offer_due = reply.offer_wanted
        self._node.ledger.count("bytes_sent", sent_bytes)
        self._batch_rows = min(MAX_SUMMARIES, self._batch_rows * 2)
        self._granted = reply.grant
        restored = reply.restored if reply.restored and reply.restored.at_ms != self._restored else None
        if batch.ids or restored:
            kept = self._committer.commit(batch if batch.ids else None, reply.hub_unix_ms, restored)
            if kept and restored:
                log.warning("the hub was restored from a backup: what it may have lost goes out again")
                self._restored = restored.at_ms
        self._take(reply)
        try:
            await hand_in(client, self._state_dir)
        except (HubError, OSError) as exc:  # the sync itself was good
            log.warning("commissioning records wait", error=str(exc))
        drains = bool(batch.ids) and self._granted != 0 and self._outbox.rows >= BACKLOG_ROWS
        more = drains or timeless or asked_anew
        pause_s = 0.05 if more else random.uniform(0.9, 1.1) * self._hub.sync_s  # noqa: S311
        return max(min(reply.not_before_s, LONGEST_WAIT_S), pause_s)

    def _sparing(self) -> int:
        return FRESH_ROWS if self._granted is None else min(FRESH_ROWS, self._granted)

    def _next_rows(self) -> Batch:
        if time.monotonic() >= self._unwanted_until_s:
            self._unwanted.clear()
        return self._outbox.batch(self._batch_rows, MAX_BODY_BYTES * 3 // 4, self._granted, self._unwanted)

    async def _enrol(self, client: HubClient) -> None:
        if self._enrolled:
            return
        try:
            enrolled = await client.enrol(hardware=platform.machine(), machine=self._machine)
        except HubRefused:
            # The hub may have been the wrong one for a while: whoever is enrolled syncs again the next time.
            self._enrolled = bool(self._outbox.load("enrolled"))
            raise
        self._clock.hear_hub(enrolled.hub_unix_ms, self._clock.mono_ns(), self._clock.mono_ns())
        self._outbox.commit(state={"enrolled": True})
        self._enrolled = True

    def _request(self, batch: Batch) -> SyncRequest:
        assert self.heartbeat is not None  # noqa: S101  (the agent sets it before it starts)
        return SyncRequest(
            node=self._name,
            boot=self._boot,
            machine=self._machine,
            heartbeat=self.heartbeat(),
            offer=self._offer if self._offer_due and time.monotonic() >= self._no_offer_before_s else None,
            summaries=batch.rows,
        )

    def _take(self, reply: SyncReply) -> None:
        # A hub that knows one model for each node fills ``desired`` alone.
        self._installs.want(reply.wanted or ((reply.desired,) if reply.desired else ()))
        self._notice(reply.notices)

    def _notice(self, notices: tuple[Notice, ...]) -> None:
        notices = tuple(Notice(code=printable(n.code), message=printable(n.message)) for n in notices)
        for news in (n for n in notices if n not in self.notices):
            log.warning("the hub's notice", code=news.code, message=news.message)
        if self.notices and not notices:
            log.info("no more notices of the hub")
        self.notices = notices

    def _on_refused(self, exc: HubRefused, batch: Batch) -> None:
        # A nonce is lost when two computers use one key; that says nothing about the enrolment.
        anew = exc.code == "unknown_node" or (exc.status in (401, 403) and exc.code != "nonce")
        if anew and self._hub.token:
            self._enrolled = False  # another hub, or one that was set up anew: enrolling is idempotent
        elif exc.status == 422 and (exc.field or "").startswith("$.offer"):
            # The rows go without it; the hub then knows no more than the tasks' bundles.
            self._node.ledger.alert("hub", f"the hub does not take what this node offers: {exc.message}")
            self._no_offer_before_s = time.monotonic() + OFFER_AGAIN_S
        elif exc.code == "quota":
            # The rows stay here. Until the hub grants some, what happened goes, and none of what it does not take.
            self._granted = 0
            self._unwanted.update(exc.datastreams)
            self._unwanted_until_s = time.monotonic() + LONGEST_WAIT_S
        elif exc.status in (400, 413, 422) and batch.ids and _is_about_rows(exc.field):
            # Something in it the hub will never take: halve until it is alone, then give up that row, and say so.
            if len(batch.ids) > 1:
                self._batch_rows = max(1, len(batch.ids) // 2)
                return
            self._node.ledger.dropped(batch.rows[0].kind, 1)
            with contextlib.suppress(StorageError):
                self._outbox.commit(acknowledged=batch.ids)


def _is_about_rows(field: str | None) -> bool:
    """Whether leaving rows out may help. Where the hub names another part of the request, it would only lose them."""
    return field is None or field == "$" or field.startswith("$.summaries")
