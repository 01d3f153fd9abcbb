"""Thousands of nodes in one process: each with its own key, connection, address and the agent's own exchange.

What runs is the edge's :class:`~wayside.edge.sync.Sync` over its :class:`~wayside.edge.hub_client.HubClient`: order of
rows, back-off with full jitter, nonces, signatures, checks of the reply, ``not_before_s``. Only what an exchange needs
of an agent stands in for one: the outbox is in memory, and its rows are made when they are sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import ssl
import time
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wayside.contracts.node_config import HubConfig
from wayside.contracts.reading import GOOD, ClockState, Stamp
from wayside.contracts.rollout import UpdateState
from wayside.contracts.summary import INTERVAL, Kind, Summary
from wayside.contracts.sync import Counters, Heartbeat, Reported, SyncReply, SyncRequest
from wayside.contracts.task_config import Datastream, Offer, SiteConfig, TaskOffer
from wayside.edge.clock import Wall
from wayside.edge.hub_client import HubClient, HubRefused, HubUnreachable
from wayside.edge.hub_tls import HubTls
from wayside.edge.identity import Identity
from wayside.edge.outbox import Batch
from wayside.edge.sync import Sync

DETECTORS = 8
STREAMS = tuple(f"detector/{2 * i + 2}/volume" for i in range(DETECTORS))
INTERVAL_MS = 900_000
BUNDLE, VERSION = "traffic-flow", "1.0.0"
MODEL = f"{BUNDLE} {VERSION}"
OFFER = Offer(
    agent="0.1.0",
    runtime="onnxruntime",
    precision="int8",
    datastreams=tuple(Datastream(name=name, unit="{vehicle}", aggregate="sum") for name in STREAMS),
    tasks=(TaskOffer(name="flow", bundle=BUNDLE, sites=tuple(SiteConfig(output=name) for name in STREAMS)),),
)
REPORTED = Reported(
    state=UpdateState.ACTIVE,
    bundle=BUNDLE,
    version=VERSION,
    variant="onnx-int8",
    runtime="onnxruntime",
    attempted=VERSION,
)


def name_of(number: int) -> str:
    return f"node-{number:05d}"


def key_of(seed: int, number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest())


def boot_of(seed: int, number: int) -> str:
    return hashlib.sha256(f"boot {seed} {number}".encode()).hexdigest()[:32]


def address_of(number: int) -> str:
    """Its own on the loopback network: the hub bounds the connections of one address."""
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


@dataclass
class Tally:
    """What the nodes of one process saw of their exchanges."""

    fresh_s: array[float] = field(default_factory=lambda: array("d"))  # of exchanges with rows of the last interval
    backlog_s: array[float] = field(default_factory=lambda: array("d"))
    witness_s: array[float] = field(default_factory=lambda: array("d"))  # of nodes that had no backlog
    rows: int = 0  # acknowledged
    duplicates: int = 0
    steered: int = 0  # replies with ``not_before_s``
    refused: Counter[str] = field(default_factory=Counter)
    unreachable: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)  # exchanges that ended by what no agent catches


class Outbox:
    """Rows that wait, by their sequence numbers; a group of :data:`DETECTORS` rows for each interval."""

    def __init__(self, name: str, boot: str, draw: random.Random) -> None:
        self._name, self._boot = name, boot
        self._ends_ms = array("q")  # of each group
        self._waiting = array("l")
        self._level = draw.uniform(10, 90)
        self.fresh_from = 0  # the first row that is not of the outage
        self.every_s = math.inf
        self._due_s = math.inf  # by time.monotonic(): when the next interval ends
        self.late_ms = 0  # how long ago by the nodes' clock

    def measure(self, every_s: float) -> None:
        """From now on an interval ends every ``every_s``; the first one just has."""
        self.every_s, self._due_s = every_s, time.monotonic()

    def add(self, ends_ms: Sequence[int]) -> None:
        """Intervals that end then, of every detector."""
        first = self.produced
        self._ends_ms.extend(ends_ms)
        self._waiting.extend(range(first, self.produced))

    @property
    def produced(self) -> int:
        return len(self._ends_ms) * DETECTORS

    @property
    def rows(self) -> int:
        return len(self._waiting)

    @property
    def first_waiting(self) -> int:
        return self._waiting[0]  # they rise

    def load(self, key: str) -> Any:
        return key == "enrolled" or None

    def commit(self, *, state: dict[str, Any] | None = None, acknowledged: Sequence[int] = ()) -> None:
        gone = set(acknowledged)
        self._waiting = array("l", (seq for seq in self._waiting if seq not in gone))

    def batch(self, limit: int, max_bytes: int, intervals: int | None = None, without: Collection[str] = ()) -> Batch:
        """The newest, in the order of their numbers, as the agent's outbox has intervals."""
        assert not without, f"the hub takes no rows of {without}"
        self._measured()
        room = min(limit, max_bytes // 450, limit if intervals is None else intervals)
        seqs = list(self._waiting[-room:]) if room else []
        return Batch(seqs, [self._row(seq) for seq in seqs])

    def _measured(self) -> None:
        now_s = time.monotonic()
        while now_s >= self._due_s:
            self._due_s += self.every_s
            self.add([time.time_ns() // 1_000_000 - self.late_ms])

    def _row(self, seq: int) -> Summary:
        group, detector = divmod(seq, DETECTORS)
        value = round(self._level + seq * 7919 % 23, 1)
        at = Stamp(self._boot, group * 900_000_000_000, self._ends_ms[group], ClockState.NTP, 12)
        return Summary(
            self._name,
            self._boot,
            seq,
            INTERVAL,
            STREAMS[detector],
            at,
            900.0,
            value,
            "{vehicle}",
            GOOD,
            60,
            value + 1.5,
            value - 2.0,
            0.2,
            MODEL,
        )


class MeasuredClient(HubClient):
    """The agent's client, from an address of its own; each exchange is timed as the node sees it."""

    def __init__(self, node: FleetNode, config: HubConfig, tally: Tally, trust: ssl.SSLContext) -> None:
        super().__init__(config, node.name, node.identity, HubTls(config, Path()))
        self._node_, self._tally = node, tally
        limits = httpx.Limits(max_connections=2, max_keepalive_connections=1)
        way = httpx.AsyncHTTPTransport(verify=trust, trust_env=False, limits=limits, local_address=node.address)
        self._http = httpx.AsyncClient(base_url=config.url, transport=way, timeout=config.timeout_s, trust_env=False)

    async def sync(self, request: SyncRequest) -> tuple[SyncReply, int]:
        tally, started = self._tally, time.perf_counter()
        try:
            reply, sent = await super().sync(request)
        except HubRefused as exc:
            tally.refused[exc.code] += 1
            raise
        except HubUnreachable as exc:
            tally.unreachable[str(exc.__cause__ or exc)[:80]] += 1
            raise
        seconds = time.perf_counter() - started
        is_fresh = not request.summaries or any(r.seq >= self._node_.outbox.fresh_from for r in request.summaries)
        kind = tally.witness_s if self._node_.witness else tally.fresh_s if is_fresh else tally.backlog_s
        kind.append(seconds)
        tally.rows += reply.stored
        tally.duplicates += reply.duplicates
        tally.steered += reply.not_before_s > 0
        return reply, sent


class _Clock:
    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wall(self, _mono_ns: int) -> Wall:
        return Wall(time.time_ns() // 1_000_000, ClockState.NTP, 12)

    def hear_hub(self, hub_unix_ms: int, sent_ns: int, received_ns: int) -> None:
        pass


class _Ledger:
    def count(self, _what: str, _number: int) -> None:
        pass

    def alert(self, _subject: str, _message: str) -> None:
        pass

    def dropped(self, kind: Kind, number: int) -> None:
        raise AssertionError(f"a node gave up {number} rows of kind {kind.value}")


class _Agent:
    """Of an agent what an exchange touches."""

    ledger = _Ledger()

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.urgent = asyncio.Event()

    def restamp_if_known(self) -> None:
        pass

    def commit(self, batch: Batch | None = None, *_when: object) -> bool:
        if batch is not None:
            self._outbox.commit(acknowledged=batch.ids)
        return True

    def want(self, _wanted: object) -> None:
        pass


class FleetNode:
    """One node; ``witness``: it never was away, and syncs often."""

    def __init__(self, seed: int, number: int, *, witness: bool) -> None:
        self.name, self.address, self.witness = name_of(number), address_of(number), witness
        self.identity = Identity(key_of(seed, number))
        self.boot = boot_of(seed, number)
        self.draw = random.Random(f"{seed} {number}")
        self.outbox = Outbox(self.name, self.boot, self.draw)
        self._started_s = time.monotonic()
        self._sync_s = 300.0

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            agent="0.1.0",
            at=Stamp(self.boot, time.monotonic_ns(), time.time_ns() // 1_000_000, ClockState.NTP, 12),
            uptime_s=time.monotonic() - self._started_s,
            healthy=True,
            reported=REPORTED,
            models=(REPORTED,),
            counters=Counters(summaries_produced=self.outbox.produced, proposals_allowed=self.outbox.produced // 8),
            rss_bytes=90_000_000,
            backlog=self.outbox.rows,
            timezone="Europe/Madrid",
            sync_s=self._sync_s,
        )

    async def run(self, config: HubConfig, tally: Tally, trust: ssl.SSLContext, *, after_s: float) -> None:
        """Measure and sync until it is cancelled, then hand over what still waits."""
        self._sync_s = config.sync_s
        await asyncio.sleep(after_s)
        self.outbox.measure(config.sync_s)
        agent: Any = _Agent(self.outbox)
        outbox: Any = self.outbox
        sync = Sync(
            config,
            lambda: MeasuredClient(self, config, tally, trust),
            name=self.name,
            boot=self.boot,
            machine=None,
            state_dir=Path("/nonexistent"),
            clock=_Clock(),  # type: ignore[arg-type]
            node=agent,
            outbox=outbox,
            committer=agent,
            installs=agent,
            offer=OFFER,
        )
        sync.heartbeat = self.heartbeat
        try:
            while True:
                try:
                    await sync.run()
                except Exception as exc:  # told in the report; the agent's service would start it again
                    tally.broken[repr(exc)[:120]] += 1
                    await asyncio.sleep(1.0)
        finally:
            self.outbox.every_s = self.outbox._due_s = math.inf

    async def hand_over(self, config: HubConfig, tally: Tally, trust: ssl.SSLContext) -> None:
        """What still waits after the end, and rows whose acknowledgement was cut off."""
        client = MeasuredClient(self, config, tally, trust)
        about: dict[str, Any] = {"node": self.name, "boot": self.boot, "heartbeat": self.heartbeat()}
        try:
            while self.outbox.rows:
                batch = self.outbox.batch(1000, 1_500_000)
                try:
                    await client.sync(SyncRequest(**about, summaries=batch.rows))
                except HubRefused as exc:
                    if exc.code != "behind":
                        raise
                    await asyncio.sleep(self.draw.uniform(0.5, 1.5))
                else:
                    self.outbox.commit(acknowledged=batch.ids)
        finally:
            await client.close()
