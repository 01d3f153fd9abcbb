"""A node of real parts: its key, outbox, connection and download are the agent's own. It senses nothing."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path

from wayside.contracts.node_config import HubConfig
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.rollout import UpdateState
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import Desired, Heartbeat, Reported, SyncReply, SyncRequest
from wayside.edge.hub_client import HubClient, HubRefused, HubUnreachable
from wayside.edge.hub_tls import HubTls
from wayside.edge.identity import load_or_create
from wayside.edge.outbox import Outbox
from wayside.edge.trusted_bundle import BundleRefused
from wayside.edge.update.download import Request
from wayside.edge.update.layout import TrustedMetadata
from wayside.edge.update.trusted_download import download


class KeepingNode:
    """Attributes: ``produced`` rows in all, ``refusals`` what the hub or a download answered no to."""

    def __init__(self, folder: Path, name: str, url: str, token: str, root: bytes) -> None:
        self.folder, self.name = folder / name, name
        hub = HubConfig(url=url, token=token, timeout_s=5.0)
        self.client = HubClient(hub, name, load_or_create(self.folder), HubTls(hub, self.folder))
        self.url = url
        self.outbox = Outbox(self.folder / "outbox.sqlite3", 64_000_000)
        self.trusted = TrustedMetadata(self.folder)
        self.boot = secrets.token_hex(16)
        self.produced = 0
        self.model: str | None = None
        self.wanted: tuple[Desired, ...] = ()
        self.refusals: list[str] = []
        (self.folder / "root.json").write_bytes(root)

    async def enrol(self) -> None:
        await self.client.enrol()

    def produce(self, rows: int) -> None:
        at = Stamp(
            boot=self.boot,
            mono_ns=time.monotonic_ns(),
            wall_ms=time.time_ns() // 1_000_000,
            clock=ClockState.SIMULATED,
            error_ms=5,
        )
        made = [
            Summary(
                node=self.name,
                boot=self.boot,
                seq=self.produced + i,
                kind=Kind.INTERVAL,
                datastream="det/1",
                at=at,
                duration_s=900.0,
                value=1.0,
                unit="{vehicle}",
                n=60,
            )
            for i in range(rows)
        ]
        self.outbox.commit(made)
        self.produced += rows

    def heartbeat(self) -> Heartbeat:
        at = Stamp(boot=self.boot, mono_ns=time.monotonic_ns())
        state = UpdateState.ACTIVE if self.model else UpdateState.IDLE
        reported = Reported(state=state, bundle="traffic-flow", version=self.model, attempted=self.model)
        return Heartbeat(
            agent="0.1.0",
            at=at,
            uptime_s=1.0,
            healthy=True,
            reported=reported,
            models=(reported,),
            trusted=self.trusted.versions(),
        )

    async def sync(self, most: int = 200) -> bool:
        """As ``edge.sync`` does; whether the hub answered."""
        batch = self.outbox.batch(most, 1_000_000)
        request = SyncRequest(node=self.name, boot=self.boot, heartbeat=self.heartbeat(), summaries=batch.rows)
        try:
            reply, _ = await self.client.sync(request)
        except HubUnreachable:
            return False
        except HubRefused as exc:
            if exc.code == "unknown_node":  # a hub that knows less than it did: enrolling is idempotent
                await self.client.enrol()
            else:
                self.refusals.append(str(exc))
            return True
        self._take(reply, batch.ids)
        return True

    def _take(self, reply: SyncReply, ids: list[int]) -> None:
        asked = reply.restored
        restored = asked if asked is not None and asked.at_ms != self.outbox.load("restored") else None
        self.outbox.commit(acknowledged=ids, hub_ms=reply.hub_unix_ms, restored=restored)
        self.wanted = reply.wanted

    def install(self, version: str) -> None:
        """Fetch a bundle as the agent does, and run it."""
        desired = Desired(bundle="traffic-flow", version=version, target=f"models/traffic-flow-{version}.bundle")
        request = Request(
            desired=desired,
            hub_url=self.url,
            root=str(self.folder / "root.json"),
            state_dir=str(self.folder),
            folder=str(self.folder / "incoming"),
        )
        try:
            download(request, threading.Event(), None).unlink()
            self.model = version
        except BundleRefused as exc:
            self.refusals.append(str(exc))
