"""One node's agent: one asyncio process from one configuration. What runs in it is the table :data:`ROUTINES`.

The routines share a :class:`~wayside.edge.node.Node` and an :class:`~wayside.edge.outbox.Outbox`, both of which belong
to the event loop's thread; installing a model and running one happen in others.

Nothing here waits for the hub: without network, model or clock the agent senses, stores and holds the fixed plan.

What only some nodes have is imported where it is used: the hub's HTTP and cryptography, Modbus. A library that nobody
asks costs megabytes on a computer that has few (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.version import VERSION
from wayside.edge.clock import open_clock
from wayside.edge.commit import Committer
from wayside.edge.errors import EdgeError
from wayside.edge.event_log import FOLDER, EventLog
from wayside.edge.node import Node
from wayside.edge.outbox import Outbox
from wayside.edge.report import Health, Reporter
from wayside.edge.runtimes.load import available
from wayside.edge.sensors.camera import Camera, forbid_core_dumps, run_all
from wayside.edge.sensors.gpio import Contacts, GpioError
from wayside.edge.sensors.modbus_lines import ModbusLines
from wayside.edge.sensors.relays import Relays
from wayside.edge.sensors.serial_board import SerialBoard
from wayside.edge.status import LOCK_FILE, OUTBOX_FILE
from wayside.edge.supervisor import outlive
from wayside.edge.tasks.runner import Job, ThreadRunner
from wayside.edge.update.installs import Installs
from wayside.edge.update.updater import Updater
from wayside.paths import placed, settled

if TYPE_CHECKING:
    from wayside.edge.hub_tls import HubTls
    from wayside.edge.sensors.manual import ManualInputs
    from wayside.edge.sensors.uart.sensors import UartSensors
    from wayside.edge.sync import Sync

log = structlog.get_logger(__name__)


class StateDirTaken(EdgeError):  # noqa: N818
    """Another agent runs on this state directory."""


class Routine(NamedTuple):
    """One coroutine of the agent: it runs from start to stop, where the configuration has something for it to do."""

    name: str
    run: Callable[[Agent], Coroutine[Any, Any, None]]
    wanted: Callable[[NodeConfig], bool]
    needed: bool = True  # to sense and decide: where it fails the agent ends, for systemd to start it anew


def always(_: NodeConfig) -> bool:
    return True


def with_board(config: NodeConfig) -> bool:
    return config.board is not None


def with_modbus(config: NodeConfig) -> bool:
    return bool(config.modbus)


def with_relays(config: NodeConfig) -> bool:
    return any(isinstance(a, SetpointConfig) and a.pin is not None for a in config.actuators)


def with_uart(config: NodeConfig) -> bool:
    return bool(config.uart)


def with_cameras(config: NodeConfig) -> bool:
    return bool(config.cameras)


def with_manual(config: NodeConfig) -> bool:
    return config.manual is not None


def with_hub(config: NodeConfig) -> bool:
    return config.hub is not None


ROUTINES = (
    Routine("commit", lambda agent: agent.committer.run(), always),  # what is known becomes durable
    Routine("report", lambda agent: agent.reporter.run(), always),  # status file, watchdog
    Routine("board", lambda agent: agent.board.run(), with_board),  # type: ignore[union-attr]
    Routine("modbus", lambda agent: agent.modbus.run(), with_modbus),
    Routine("relays", lambda agent: agent.relays.run(), with_relays),
    Routine("uart", lambda agent: agent.uart.run(), with_uart),  # type: ignore[union-attr]
    Routine("cameras", lambda agent: run_all(agent.cameras), with_cameras),
    Routine("manual", lambda agent: agent.manual.run(), with_manual),  # type: ignore[union-attr]
    Routine("sync", lambda agent: agent.sync.run(), with_hub, needed=False),  # type: ignore[union-attr]
    Routine("installs", lambda agent: agent.installs.run(), with_hub, needed=False),  # one model at a time
)


class Agent:
    """Raises on construction: EdgeError, naming what is wrong and what to do."""

    def __init__(self, config: NodeConfig, folder: Path) -> None:
        """``folder`` is the configuration file's: relative paths begin there."""
        self._config = config
        state_dir = settled(folder, config.state_dir)
        self._lock = _take(state_dir)
        boot = secrets.token_hex(16)
        self._boot = boot
        self._clock = open_clock(config.clock)
        self.outbox = Outbox(state_dir / OUTBOX_FILE, config.storage.outbox_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.node = node = Node(config, self._clock, boot, ThreadRunner(self._on_answer))
        node.restore({key: self.outbox.load(key) for key in Node.PIECES}, self.outbox.history())
        if self.outbox.recovered:
            node.ledger.alert("storage", self.outbox.recovered)
        self.committer: Committer = Committer(config.storage, node, self.outbox, boot)
        if config.event_log_bytes:
            self.committer.events = EventLog(state_dir / FOLDER, config.event_log_bytes)
        self.board: SerialBoard | None = None
        if config.board is not None:
            self.board = SerialBoard(config.board, node, node.ledger, self.committer.congested)
            self.committer.count_board(self.board)
            self.board.on_loan = self.committer.urgent.set  # the hub shows a loan while it lasts
        self.modbus: ModbusLines = ModbusLines(
            config.modbus,
            lambda index, raw, wraps_at: node.value_read(node.registers, index, raw, wraps_at=wraps_at),
            partial(node.value_failed, node.registers),
            node.outputs.setpoints.values(),
        )
        self.relays: Relays = Relays(config.gpio.factory, node.outputs.setpoints.values())
        self.uart: UartSensors | None = None
        if config.uart:
            from wayside.edge.sensors.uart.sensors import sensors_of

            self.uart = sensors_of(config.uart, node, self._clock)
        self.cameras: list[Camera] = [
            Camera(i, camera, folder, node=node, clock=self._clock, boot=boot, step_s=config.step_s)
            for i, camera in enumerate(config.cameras)
        ]
        if self.cameras:
            forbid_core_dumps()
        self.manual: ManualInputs | None = None
        if config.manual is not None:
            from wayside.edge.sensors.manual import ManualInputs

            self.manual = ManualInputs(config.manual, folder, config.clock.timezone, node)
        self._contacts = Contacts(config.gpio, state_dir, node.contact)
        tls = _hub_tls(config, folder)
        self.installs: Installs = Installs(
            self._open_updater(state_dir, folder, tls), config.tasks, node, self.committer
        )
        self.sync: Sync | None = None if tls is None else self._open_sync(state_dir, tls)
        self.health: Health = Health(
            config,
            node=node,
            committer=self.committer,
            outbox=self.outbox,
            board=self.board,
            installs=self.installs,
        )
        if self.sync is not None:
            self.sync.heartbeat = self.health.heartbeat
        self.reporter: Reporter = Reporter(
            config.node,
            boot,
            state_dir,
            node=node,
            health=self.health,
            sync=self.sync,
            contacts=self._contacts,
            uart=self.uart.status if self.uart is not None else tuple,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then store what is open, try one last sync and return."""
        stop = asyncio.Event()
        loop = self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        log.info("agent starts", node=self._config.node, boot=self._boot, version=VERSION)
        try:
            self._contacts.start()
            for contact in self._config.gpio.contacts:
                if contact.role == "cabinet_door" and not self._contacts.closed[contact.datastream]:
                    self.node.contact(contact, False)  # before the restart it may have been open
        except GpioError as exc:  # the detectors still count
            self.node.ledger.alert("gpio", str(exc))
        try:
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(self._kept(routine), name=routine.name)
                    for routine in ROUTINES
                    if routine.wanted(self._config)
                ]
                self.reporter.notifier.ready()
                await stop.wait()
                self.health.stop()
                self.reporter.notifier.stopping()
                for task in running:
                    task.cancel()
        finally:
            self._contacts.close()
            self.committer.commit()
            if self.committer.events is not None:
                self.committer.events.flush()
            if self.sync is not None:
                await self.sync.last()
            self.reporter.write_status()
            self.close()
            log.info("agent stopped", node=self._config.node)

    def _kept(self, routine: Routine) -> Coroutine[Any, Any, None]:
        if routine.needed:
            return routine.run(self)
        ledger, name = self.node.ledger, routine.name

        def began(fault: str) -> None:
            ledger.begin("routine_fails", name, fault, severe=False)
            if name == "sync" and self.sync is not None:
                self.sync.trouble = fault

        def over() -> None:
            ledger.end("routine_fails", name)

        return outlive(name, lambda: routine.run(self), began, over)

    def close(self) -> None:
        self.outbox.close()
        self._lock.close()

    def _on_answer(self, job: Job) -> None:
        """In the thread of a model."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop ended first
                self._loop.call_soon_threadsafe(self.node.answered, job)

    def _open_sync(self, state_dir: Path, tls: HubTls) -> Sync:
        from wayside.edge.hub_client import HubClient
        from wayside.edge.identity import load_or_create, machine_fingerprint
        from wayside.edge.sync import Sync

        config, identity = self._config, load_or_create(state_dir)
        return Sync(
            tls.hub,
            lambda: HubClient(tls.hub, config.node, identity, tls),
            name=config.node,
            boot=self._boot,
            machine=machine_fingerprint(config.node),
            state_dir=state_dir,
            clock=self._clock,
            node=self.node,
            outbox=self.outbox,
            committer=self.committer,
            installs=self.installs,
            offer=config.offer(VERSION, available()),
        )

    def _open_updater(self, state_dir: Path, folder: Path, tls: HubTls | None) -> Updater | None:
        config = self._config
        url, root = (config.hub.url if config.hub is not None else ""), placed(folder, config.model.tuf_root)
        try:
            return Updater(state_dir, config.model, config.offer(VERSION, available()), root, url, tls=tls, apart=True)
        except OSError as exc:
            log.error("no models", error=str(exc))
            self.node.ledger.alert("model", f"no models: {exc}")
            return None


def _hub_tls(config: NodeConfig, folder: Path) -> HubTls | None:
    if config.hub is None:
        return None
    from wayside.edge.hub_tls import HubTls

    return HubTls(config.hub, folder)


def _take(state_dir: Path) -> Any:
    """The state directory's lock, held until the process ends."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / LOCK_FILE).open("w")
    except OSError as exc:
        raise StateDirTaken(f"state_dir {state_dir}: {exc.strerror}; the agent needs to write there") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise StateDirTaken(f"another agent runs on {state_dir}; stop it first, or give this one its own") from exc
    return lock
