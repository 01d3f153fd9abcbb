"""One node's agent: one asyncio process from one configuration.

Tasks: the board's line, the Modbus line, the contacts, the committer (what is durable), the sync with the hub (with
updates), the reporter (status file, watchdog). They share a :class:`~wayside.edge.tasks.Pipeline` and an
:class:`~wayside.edge.outbox.Outbox`, both of which belong to the event loop's thread; only installing a model runs in
another.

Nothing here waits for the hub: without network, model or clock the agent senses, stores and holds the fixed plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import random
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog

from wayside.contracts.node_config import HubConfig, NodeConfig
from wayside.contracts.rollout import Refusal
from wayside.contracts.summary import Kind
from wayside.contracts.sync import (
    MAX_BODY_BYTES,
    MAX_SUMMARIES,
    Board,
    Counters,
    Desired,
    Heartbeat,
    Notice,
    Reported,
    SyncRequest,
)
from wayside.contracts.version import VERSION
from wayside.edge.backoff import full_jitter
from wayside.edge.clock import open_clock, stamp
from wayside.edge.errors import EdgeError
from wayside.edge.hand_in import hand_in
from wayside.edge.hub_client import HubClient, HubError, HubRefused, HubUnreachable, printable
from wayside.edge.hub_tls import HubTls
from wayside.edge.identity import load_or_create, machine_fingerprint
from wayside.edge.outbox import Batch, Outbox, StorageError
from wayside.edge.sensors.gpio import Contacts, GpioError
from wayside.edge.sensors.modbus import ModbusLine
from wayside.edge.sensors.serial_board import SILENT_S, SerialBoard
from wayside.edge.status import OUTBOX_FILE, STATUS_FILE, replace_status
from wayside.edge.supervisor import Notifier
from wayside.edge.tasks import Pipeline
from wayside.edge.update.updater import Updater

MAX_PENDING = 20_000  # rows in memory while the disk is full; beyond that the board keeps its events
IDLE_COMMIT_S = 10.0
REPORT_S = 2.0
STORE_LATE_S = 60.0
RETRY_BASE_S = 1.0
LAST_SYNC_S = 5.0
SHUT_OUT = ("key_revoked", "clone")  # codes of a hub that takes other hardware for this node
PATIENCE = 30  # time-outs that one exchange may take in all: who answers a byte at a time is given up, too
log = structlog.get_logger(__name__)


class StateDirTaken(EdgeError):  # noqa: N818
    """Another agent runs on this state directory."""


class Agent:
    """Raises on construction: EdgeError, naming what is wrong and what to do."""

    def __init__(self, config: NodeConfig, folder: Path) -> None:
        """``folder`` is the configuration file's: relative paths begin there."""
        self._config = config
        self._state_dir = (folder / config.state_dir).resolve()
        self._lock = _take(self._state_dir)
        self._identity = load_or_create(self._state_dir)
        self._machine = machine_fingerprint(config.node)
        self._began = time.monotonic()
        self._boot = secrets.token_hex(16)
        self._clock = open_clock(config.clock)
        self._outbox = Outbox(self._state_dir / OUTBOX_FILE, config.storage.outbox_bytes)
        self._pipeline = Pipeline(config, self._clock, self._boot)
        counters = self._outbox.load("counters")
        self._pipeline.restore(self._outbox.load("pipeline"), counters, self._outbox.history())
        self._pipeline.restore_registers(self._outbox.load("registers"))
        if self._outbox.recovered:
            self._pipeline.alert("storage", self._outbox.recovered[:256])
        self._board = (
            SerialBoard(config.board, self._pipeline, self._pipeline, self._congested) if config.board else None
        )
        self._modbus: ModbusLine | None = None
        if config.modbus is not None:
            pipeline = self._pipeline
            self._modbus = ModbusLine(config.modbus, pipeline.register_read, pipeline.register_failed)
        totals = self._pipeline.counters
        self._raw_before, self._errors_before = totals.get("raw_bytes", 0), totals.get("decode_errors", 0)
        self._contacts = Contacts(config.gpio, self._state_dir, self._pipeline.contact)
        self._enrolled = bool(self._outbox.load("enrolled"))
        self._tls = HubTls(config.hub, folder) if config.hub is not None else None
        self._updater = self._open_updater(folder)
        self._installing: asyncio.Task[None] | None = None
        self._retry_install_at = 0.0
        self._install_failures = 0
        self._urgent = asyncio.Event()
        self._stop = asyncio.Event()
        self._stored_at = time.monotonic()
        self._storage_trouble: str | None = None
        self._hub_trouble: str | None = None
        self._notices: tuple[Notice, ...] = ()
        self._batch_rows = MAX_SUMMARIES
        self._notifier = Notifier()

    # --- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then store what is open, try one last sync and return."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        log.info("agent starts", node=self._config.node, boot=self._boot, version=VERSION)
        contacts = self._contacts
        try:
            contacts.start()
        except GpioError as exc:  # the detectors still count
            self._pipeline.alert("gpio", str(exc)[:256])
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._commit_loop()), group.create_task(self._report_loop())]
                if self._board is not None:
                    tasks.append(group.create_task(self._board.run()))
                if self._modbus is not None:
                    tasks.append(group.create_task(self._modbus.run()))
                if self._config.hub is not None:
                    tasks.append(group.create_task(self._sync_loop(self._config.hub)))
                self._notifier.ready()
                await self._stop.wait()
                self._notifier.stopping()
                for task in tasks:
                    task.cancel()
        finally:
            contacts.close()
            self._commit()
            await self._last_sync()
            self._write_status()
            self._outbox.close()
            self._lock.close()
            log.info("agent stopped", node=self._config.node)

    # --- durable ------------------------------------------------------------------------------------------------

    def _congested(self) -> bool:
        return len(self._pipeline.rows) > MAX_PENDING

    async def _commit_loop(self) -> None:
        pipeline = self._pipeline
        while True:
            await asyncio.sleep(self._config.storage.checkpoint_s)
            if self._config.board is None:
                pipeline.pass_time(self._clock.mono_ns() // 1_000_000)
            pipeline.pass_register_time()
            idle = time.monotonic() - self._stored_at < IDLE_COMMIT_S
            if pipeline.rows or pipeline.ahead() or not idle:
                self._commit()
            if pipeline.clock_arrived():
                self._restamp()

    def _commit(self, acknowledged: Batch | None = None) -> bool:
        """Make everything so far durable, or keep it in memory and say why."""
        pipeline = self._pipeline
        self._tally()
        totals = pipeline.counters
        before = dict(totals)
        doomed: dict[Kind, list[int]] = {}
        try:
            doomed = self._outbox.over_limit() if acknowledged is None else {}
            for kind, ids in doomed.items():
                pipeline.dropped(kind, len(ids))
            gone = acknowledged.ids if acknowledged else [i for ids in doomed.values() for i in ids]
            totals["summaries_produced"] = totals.get("summaries_produced", 0) + len(pipeline.rows)
            if acknowledged:
                totals["summaries_acknowledged"] = totals.get("summaries_acknowledged", 0) + len(acknowledged.ids)
            self._outbox.commit(pipeline.rows, pipeline.state(), pipeline.steps, gone)
        except StorageError as exc:
            totals.clear()
            totals.update(before)
            if doomed:
                del pipeline.rows[-len(doomed) :]
            if self._storage_trouble is None:
                log.error("storage failed", error=str(exc))
                pipeline.alert("storage", str(exc)[:256])
            self._storage_trouble = str(exc)
            return False
        if self._storage_trouble is not None:
            log.info("storage works again")
        self._storage_trouble = None
        self._stored_at = time.monotonic()
        pipeline.rows.clear()
        pipeline.steps.clear()
        pipeline.committed()
        if pipeline.urgent:
            pipeline.urgent = False
            self._urgent.set()
        return True

    def _tally(self) -> None:
        if self._board is not None:
            totals = self._pipeline.counters
            totals["raw_bytes"] = self._raw_before + self._board.raw_bytes
            totals["decode_errors"] = self._errors_before + self._board.decode_errors

    def _restamp(self) -> None:
        """A trusted time arrived: the rows of this boot that wait get their wall time, once."""
        try:
            rows = [(id_, self._pipeline.restamp(row)) for id_, row in self._outbox.timeless(self._boot)]
            self._outbox.rewrite(rows)
            log.info("clock known", restamped=len(rows))
        except StorageError as exc:
            log.error("rows keep their unknown time", error=str(exc))

    # --- hub ----------------------------------------------------------------------------------------------------

    async def _sync_loop(self, hub: HubConfig) -> None:
        client = self._client(hub)
        draw = random.SystemRandom()
        failures = 0
        try:
            while True:
                self._urgent.clear()
                enrolled = self._enrolled
                try:
                    pause_s = await self._sync_in_time(client, hub)
                    failures = 0
                    if self._hub_trouble is not None:
                        log.info("hub answers again")
                    self._hub_trouble = None
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
                    if self._hub_trouble is None:
                        log.warning("sync failed", error=trouble)
                    self._hub_trouble = trouble
                    await asyncio.sleep(pause_s)  # also for alerts: the hub may be down for the whole fleet
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._urgent.wait()
        finally:
            await client.close()

    def _client(self, hub: HubConfig) -> HubClient:
        assert self._tls is not None  # noqa: S101  (there is a hub)
        return HubClient(hub, self._config.node, self._identity, self._tls)

    async def _sync_in_time(self, client: HubClient, hub: HubConfig) -> float:
        try:
            async with asyncio.timeout(PATIENCE * hub.timeout_s):
                return await self._sync_once(client, hub)
        except TimeoutError as exc:
            raise HubUnreachable(f"{hub.url} needs more than {PATIENCE * hub.timeout_s:g} s for one answer") from exc

    async def _sync_once(self, client: HubClient, hub: HubConfig) -> float:
        """One exchange; seconds until the next."""
        if not self._enrolled:
            try:
                enrolled = await client.enrol(hardware=platform.machine(), machine=self._machine)
            except HubRefused:
                # The hub may have been the wrong one for a while: whoever is enrolled syncs again the next time.
                self._enrolled = bool(self._outbox.load("enrolled"))
                raise
            self._clock.hear_hub(enrolled.hub_unix_ms, self._clock.mono_ns(), self._clock.mono_ns())
            self._outbox.commit(state={"enrolled": True})
            self._enrolled = True
        # While the time is unknown, ask for it first: rows that go out timeless stay so.
        if self._pipeline.clock_arrived():
            self._restamp()
        timeless = self._clock.wall(self._clock.mono_ns()).ms is None
        rows = 0 if timeless else self._batch_rows
        batch = self._outbox.batch(rows, MAX_BODY_BYTES * 3 // 4) if rows else Batch([], [])
        request = SyncRequest(
            node=self._config.node,
            boot=self._boot,
            machine=self._machine,
            heartbeat=self._heartbeat(),
            summaries=batch.rows,
        )
        sent_ns = self._clock.mono_ns()
        try:
            reply, sent_bytes = await client.sync(request)
        except HubRefused as exc:
            self._on_refused(exc, batch)
            raise
        self._clock.hear_hub(reply.hub_unix_ms, sent_ns, self._clock.mono_ns())
        totals = self._pipeline.counters
        totals["bytes_sent"] = totals.get("bytes_sent", 0) + sent_bytes
        self._batch_rows = min(MAX_SUMMARIES, self._batch_rows * 2)
        if batch.ids:
            self._commit(batch)
        self._want(reply.desired)
        self._notice(reply.notices)
        try:
            await hand_in(client, self._state_dir)
        except (HubError, OSError) as exc:  # the sync itself was good
            log.warning("commissioning records wait", error=str(exc))
        more = self._outbox.rows >= MAX_SUMMARIES // 4 or timeless
        return max(reply.not_before_s, 0.05 if more else random.uniform(0.9, 1.1) * hub.sync_s)  # noqa: S311

    def _notice(self, notices: tuple[Notice, ...]) -> None:
        notices = tuple(Notice(code=printable(n.code), message=printable(n.message)) for n in notices)
        for news in (n for n in notices if n not in self._notices):
            log.warning("the hub's notice", code=news.code, message=news.message)
        if self._notices and not notices:
            log.info("no more notices of the hub")
        self._notices = notices

    def _on_refused(self, exc: HubRefused, batch: Batch) -> None:
        # A nonce is lost when two computers use one key; that says nothing about the enrolment.
        anew = exc.code == "unknown_node" or (exc.status in (401, 403) and exc.code != "nonce")
        if anew and self._config.hub is not None and self._config.hub.token:
            self._enrolled = False  # another hub, or one that was set up anew: enrolling is idempotent
        elif exc.status in (400, 413, 422) and batch.ids:
            # Something in it the hub will never take: halve until it is alone, then give up that row, and say so.
            if len(batch.ids) > 1:
                self._batch_rows = max(1, len(batch.ids) // 2)
                return
            self._pipeline.dropped(batch.rows[0].kind, 1)
            with contextlib.suppress(StorageError):
                self._outbox.commit(acknowledged=batch.ids)

    async def _last_sync(self) -> None:
        hub = self._config.hub
        if hub is None or not self._enrolled or self._hub_trouble is not None:
            return
        client = self._client(hub)
        try:
            async with asyncio.timeout(LAST_SYNC_S):
                await self._sync_once(client, hub)
                self._commit()
        except (EdgeError, TimeoutError) as exc:
            log.info("last sync failed; the rows are kept", error=str(exc))
        finally:
            await client.close()

    def _heartbeat(self) -> Heartbeat:
        board = None
        if self._board is not None:
            identity, status = self._pipeline.board, self._pipeline.status
            board = Board(
                connected=self._board.connected,
                lent=self._board.lent,
                identity=identity.board if identity else None,
                firmware=identity.firmware if identity else None,
                fail_safe=bool(status and status.fail_safe),
            )
        self._tally()
        return Heartbeat(
            agent=VERSION,
            at=stamp(self._clock, self._boot, self._clock.mono_ns()),
            uptime_s=time.monotonic() - self._began,
            healthy=self._healthy(),
            timezone=self._config.clock.timezone,
            reported=self._reported(),
            counters=msgspec.convert(self._pipeline.count(), Counters),
            board=board,
            rss_bytes=_rss_bytes(),
            backlog=self._outbox.rows,
        )

    # --- model --------------------------------------------------------------------------------------------------

    def _open_updater(self, folder: Path) -> Updater | None:
        hub = self._config.hub
        root = folder / self._config.model.tuf_root
        try:
            updater = Updater(
                self._state_dir,
                self._config.model,
                root.read_bytes() if hub is not None else b"",
                hub.url if hub is not None else "",
                VERSION,
                tls=self._tls,
            )
        except OSError as exc:
            log.error("no models", error=str(exc), root=str(root))
            self._pipeline.alert("model", f"no models: {exc}"[:256])
            return None
        self._pipeline.set_model(updater.active())
        return updater

    def _reported(self) -> Reported:
        return self._updater.reported() if self._updater else Reported()

    def _want(self, desired: Desired | None) -> None:
        """Start an update if the hub wants another model, it was not refused before, and none runs."""
        if desired is None or self._updater is None or (self._installing and not self._installing.done()):
            return
        active, reported = self._updater.active(), self._updater.reported()
        # Also while a refusal is reported: people must see it until another model has come in.
        if active and (active.passport.bundle, active.passport.version) == (desired.bundle, desired.version):
            return
        early = time.monotonic() < self._retry_install_at
        tried = reported.attempted == desired.version and reported.refusal is not None
        if tried and (reported.refusal is not Refusal.DOWNLOAD or early):
            return
        self._installing = asyncio.create_task(self._install(self._updater, desired))

    async def _install(self, updater: Updater, desired: Desired) -> None:
        reported = await asyncio.to_thread(updater.install, desired)
        active = updater.active()
        if reported.refusal is None:
            self._install_failures = 0
            self._pipeline.set_model(active)
        else:
            pause = full_jitter(self._install_failures, 5.0, 900.0, random.SystemRandom())
            self._install_failures += 1
            self._retry_install_at = time.monotonic() + pause
            if reported.refusal is not Refusal.DOWNLOAD or self._install_failures == 1:
                what = f"{desired.bundle} {desired.version} refused: {reported.refusal.value}: {reported.reason or ''}"
                self._pipeline.alert("model", what[:256], refusal=reported.refusal.value)
        self._commit()
        self._urgent.set()  # the hub waits for the outcome

    # --- reporting ----------------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        """Readings flow from the sensor to the disk."""
        if self._board is None:
            return self._stores()
        heard = asyncio.get_running_loop().time() - self._board.heard_at < 2 * SILENT_S
        return self._stores() and self._board.connected and heard

    def _stores(self) -> bool:
        return self._storage_trouble is None and time.monotonic() - self._stored_at < STORE_LATE_S

    async def _report_loop(self) -> None:
        while True:
            lent = self._board is not None and self._board.lent
            if self._healthy() or (lent and self._stores()):  # a restart would not bring a lent board back
                self._notifier.pet()
            unplugged = self._board is not None and not self._board.connected
            board = "board lent to a technician" if lent else "board not connected" if unplugged else None
            said = self._storage_trouble or board or self._hub_trouble or "ok"
            self._notifier.status(f"{said}; {self._outbox.rows} rows wait")
            self._write_status()
            await asyncio.sleep(REPORT_S)

    def _write_status(self) -> None:
        beat = self._heartbeat()
        document: dict[str, Any] = {
            "node": self._config.node,
            "boot": self._boot,
            **msgspec.to_builtins(beat),
            "counters": {name: getattr(beat.counters, name) for name in Counters.__struct_fields__ if name != "extra"},
            "readings": self._pipeline.readings(),
            "contacts": [
                {"datastream": name, "closed": closed, "closures": self._pipeline.closures.get(name, 0)}
                for name, closed in self._contacts.closed.items()
            ],
            "pid": os.getpid(),
            "notices": [{"code": n.code, "message": n.message} for n in self._notices],
            "trouble": {"storage": self._storage_trouble, "hub": self._hub_trouble},
        }
        try:
            replace_status(self._state_dir / STATUS_FILE, document)
        except OSError as exc:
            log.debug("no status file", error=str(exc))


def _take(state_dir: Path) -> Any:
    """The state directory's lock, held until the process ends."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "agent.lock").open("w")
    except OSError as exc:
        raise StateDirTaken(f"state_dir {state_dir}: {exc.strerror}; the agent needs to write there") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise StateDirTaken(f"another agent runs on {state_dir}; stop it first, or give this one its own") from exc
    return lock


def _rss_bytes() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
