"""The present readings of a node's sensors, while a technician walks them.

The board is borrowed from a running agent and nothing is acknowledged to it: the agent gets every event afterwards, as
far as the board can hold them. Pins and the Modbus line cannot be opened twice, so beside a running agent
their readings come from its status file, which is a few seconds old.

Longer than the house's files: each kind of sensor has its watcher here, and all of them write into one picture.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wayside.contracts.action import Setpoint
from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.modbus_config import ModbusConfig, line_named
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.quantities import is_noise
from wayside.contracts.sensor_config import BoardConfig, ContactConfig
from wayside.contracts.sync import Board
from wayside.contracts.uart_config import UartConfig, uart_values
from wayside.edge.actuators import ReadBackSetpoint
from wayside.edge.clock import open_clock
from wayside.edge.commission.record import BOOT, CommissionError
from wayside.edge.commission.sensor_walk import COMPARED, State, targets
from wayside.edge.commission.setpoint_walk import name_of
from wayside.edge.commission.told import watch_told
from wayside.edge.ledger import Ledger
from wayside.edge.sensors.camera import first_look
from wayside.edge.sensors.folder import CameraError
from wayside.edge.sensors.gpio import Contacts, GpioError
from wayside.edge.sensors.modbus import ModbusLine
from wayside.edge.sensors.relays import Relays
from wayside.edge.status import STATUS_FILE
from wayside.firmware_bridge.errors import BridgeError, LineUnavailable
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.borrow import borrowed
from wayside.firmware_bridge.line.conversation import open_conversation
from wayside.firmware_bridge.line.finder import find_board, is_pattern, matching
from wayside.firmware_bridge.line.messages import DetectorFault, Event, EventKind, Identity, Status
from wayside.text import loads_json, read_file

FIRST_STATUS_S = 8.0  # for the board to identify itself
RETRY_S = 0.2  # before a lost line is opened again
LOOK_S = 0.5  # at the agent's status file
STALE_S = 15.0  # without a new one
LISTEN_S = 3.0  # for a camera's picture

Moved = Callable[[str, bool], None]


class _Unsaid:
    """Conditions are a running agent's to say."""

    def begin(self, code: str, subject: str, message: str, *, severe: bool = True) -> bool:
        return False

    def end(self, code: str, subject: str) -> bool:
        return False


class Live:
    """``states`` by datastream. ``on_move(datastream, level)`` for each change that happens now, not before."""

    def __init__(
        self,
        config: NodeConfig,
        state_dir: Path,
        *,
        agent: bool,
        names: set[str],
        on_move: Moved,
        folder: Path = Path(),
    ) -> None:
        """
        Args:
            agent: one runs here.
            names: the sensors to be walked; the board is borrowed if they need it.
            folder: the configuration file's.
        """
        self.states = {t.datastream: State() for t in targets(config)}
        setpoints = [a for a in config.actuators if isinstance(a, SetpointConfig)]
        self.states |= {name_of(a): State() for a in setpoints}
        self.board: Board | None = None
        self._folder = folder
        self._config, self._state_dir, self._agent, self._on_move = config, state_dir, agent, on_move
        kinds = {t.kind for t in targets(config) if t.datastream in names}
        self._with_board = config.board is not None and bool(kinds & {"detector", "analog"})
        self._analog = {a.channel: a for a in config.analog}
        self._cameras = {c.name for c in config.cameras}
        self._by_channel = {d.channel: d.datastream for d in config.detectors}
        self._tasks: list[asyncio.Task[None]] = []
        self._contacts: Contacts | None = None
        self._lines: dict[str, asyncio.Task[None]] = {}  # by label
        self._switched: ReadBackSetpoint | None = None
        self._switching: asyncio.Task[None] | None = None
        self._held = contextlib.ExitStack()
        self._borrowed: list[str] = []

    def borrow(self) -> None:
        """Take the board's port; blocks until a running agent has let go.

        Raises:
            CommissionError: somebody else has it.
        """
        if not self._with_board or self._config.board is None:
            return
        self._borrowed = borrow_board(self._config.board, self._held)

    async def start(self) -> None:
        """Raises: CommissionError: the board is silent or another. Pins that cannot be had are their own trouble."""
        try:
            if self._with_board and self._config.board is not None:
                first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._tasks.append(asyncio.create_task(self._watch_board(self._config.board, first)))
                async with asyncio.timeout(FIRST_STATUS_S):
                    await first
        except TimeoutError as exc:
            port = self._config.board.port if self._config.board else ""
            raise CommissionError(
                f"the board says nothing on {port}: check its power, its cable, board.port and board.baud"
            ) from exc
        except BridgeError as exc:
            raise CommissionError(f"{exc}") from exc
        if self._agent:
            for name in self.states.keys() - {t.datastream for t in targets(self._config)}:
                self.states[name].trouble = "the agent has it: stop the agent, then walk it"
            self._tasks.append(asyncio.create_task(self._watch_agent()))
            return
        self._watch_contacts()
        for line in self._config.modbus:
            self._lines[line.label] = asyncio.create_task(self._watch_modbus(line))
        for config in self._config.cameras:
            self._tasks.append(asyncio.create_task(self._watch_camera(config)))
        if self._config.uart:
            self._tasks.append(asyncio.create_task(self._watch_uart(self._config.uart)))
        self._tasks.append(asyncio.create_task(watch_told(self._config, self._folder, self.states)))

    def _watch_contacts(self) -> None:
        def moved(contact: ContactConfig, closed: bool) -> None:
            self._move(contact.datastream, closed)

        self._contacts = Contacts(self._config.gpio, self._state_dir, moved)
        try:
            self._contacts.start()
        except GpioError as exc:  # the others can be walked
            for contact in self._config.gpio.contacts:
                self.states[contact.datastream].trouble = str(exc)
        for name, closed in self._contacts.closed.items():
            self.states[name].level = closed

    async def stop(self) -> None:
        """Close every line and pin."""
        tasks = [*self._tasks, *self._lines.values(), *([self._switching] if self._switching is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._contacts is not None:
            self._contacts.close()
            self._contacts = None

    def give_back(self) -> None:
        self._held.close()

    def _move(self, datastream: str, level: bool) -> None:
        self.states[datastream].level = level
        self._on_move(datastream, level)

    # --- the board -------------------------------------------------------------------------------------------------

    async def _watch_board(self, config: BoardConfig, first: asyncio.Future[None]) -> None:
        while True:
            try:
                await self._converse(config, first)
            except (BridgeError, TimeoutError, OSError) as exc:
                why = str(exc) or f"the board says nothing on {config.port}"
                if not first.done():
                    first.set_exception(exc if isinstance(exc, BridgeError) else LineUnavailable(why))
                    return
                for name in (*self._by_channel.values(), *(a.datastream for a in self._analog.values())):
                    self.states[name].trouble = why
            await asyncio.sleep(RETRY_S)

    async def _converse(self, config: BoardConfig, first: asyncio.Future[None]) -> None:
        port = await board_port(config, self._borrowed)
        live_from: int | None = None  # first seq of events that happen now
        with open_conversation(port, config.baud, BoardLink(config.identity)) as conversation:
            while True:
                for message in await conversation.turn():
                    if type(message) is Event and message.kind == EventKind.DETECTOR:
                        is_live = live_from is not None and message.seq >= live_from
                        self._detector(message.channel, bool(message.value), is_live)
                    elif type(message) is Event and message.kind == EventKind.DETECTOR_FAULT:
                        self._fault(message.channel, message.value)
                    elif type(message) is Event and message.kind == EventKind.ANALOG:
                        self._level(message.channel, message.value)
                    elif type(message) is Identity and message.rebooted:
                        live_from = None  # its numbers begin anew
                    elif type(message) is Status and live_from is None and conversation.link.identity is not None:
                        live_from = message.next_seq
                        self._answers(conversation.link.identity, message)
                        if not first.done():
                            first.set_result(None)

    def _answers(self, identity: Identity, status: Status) -> None:
        self.board = Board(
            connected=True, identity=identity.board, firmware=identity.firmware, fail_safe=status.fail_safe
        )
        for name in (*self._by_channel.values(), *(a.datastream for a in self._analog.values())):
            self.states[name].trouble = None

    def _detector(self, channel: int, level: bool, now: bool) -> None:
        name = self._by_channel.get(channel)
        if name is None:
            return
        if now:
            self._move(name, level)
        else:
            self.states[name].level = level

    def _level(self, channel: int, raw: int) -> None:
        config = self._analog.get(channel)
        if config is not None:
            self.states[config.datastream].value = f"{raw * config.scale + config.offset:g} {config.unit}"

    def _fault(self, channel: int, bits: int) -> None:
        name = self._by_channel.get(channel)
        if name is not None:
            faults = ", ".join(str(fault.name).lower().replace("_", " ") for fault in DetectorFault if fault & bits)
            self.states[name].trouble = f"the board reports: {faults}" if faults else None

    # --- the Modbus line -------------------------------------------------------------------------------------------

    async def _watch_modbus(self, config: ModbusConfig, *setpoints: ReadBackSetpoint) -> None:
        values = config.values

        def read(which: int, raw: float | None, _: float | None) -> None:
            state = self.states[values[which].datastream]
            if raw is None:
                state.value, state.trouble = None, "it answers, and says that it has no value"
                return
            number = raw * values[which].scale + values[which].offset
            low, high = values[which].bounds
            outside = values[which].kind == "gauge" and (not low <= number <= high or is_noise(number))
            doubt = ", which is out of range: is the byte order right? `wayside doctor` tries the others"
            state.value, state.trouble = f"{number:g} {values[which].unit}{doubt if outside else ''}", None

        def failed(which: int, why: str) -> None:
            self.states[values[which].datastream].trouble = why

        await ModbusLine(config, read, failed, setpoints).run()

    # --- set-points --------------------------------------------------------------------------------------------------

    async def switch(self, config: SetpointConfig, value: float | None) -> None:
        """Have a set-point hold ``value``; None: let it go, at its safe value. The others are not touched."""
        if self._agent or (value is None and self._switched is None):
            return
        if value is None:
            await self._let_go(config)
            return
        if self._switched is None:
            self._switched = ReadBackSetpoint(config, Ledger(self._config.node, BOOT, open_clock(self._config.clock)))
            await self._take(config, self._switched)
        self._switched.carry(Setpoint(value))
        state = self.states[name_of(config)]
        state.settled = self._switched.held if self._switched.pending() is None else None
        state.trouble = next((c.message for c in self._switched.conditions()), None)

    async def _take(self, config: SetpointConfig, setpoint: ReadBackSetpoint) -> None:
        line = line_named(self._config.modbus, config.register.line) if config.register is not None else None
        if line is not None:
            await _ended(self._lines[line.label])  # a port cannot be opened twice
            self._lines[line.label] = asyncio.create_task(self._watch_modbus(line, setpoint))
        elif config.pin is not None:
            self._switching = asyncio.create_task(Relays(self._config.gpio.factory, [setpoint]).run())

    async def _let_go(self, config: SetpointConfig) -> None:
        """What moves it writes the safe value as it ends, and reads it back."""
        setpoint, self._switched = self._switched, None
        line = line_named(self._config.modbus, config.register.line) if config.register is not None else None
        if line is not None:
            await _ended(self._lines[line.label])
            self._lines[line.label] = asyncio.create_task(self._watch_modbus(line))
        elif self._switching is not None:
            await _ended(self._switching)
            self._switching = None
        state = self.states[name_of(config)]
        state.settled = None
        state.trouble = next((c.message for c in setpoint.conditions()), None) if setpoint is not None else None

    # --- sensors on serial ports -----------------------------------------------------------------------------------

    async def _watch_uart(self, configs: Sequence[UartConfig]) -> None:
        from wayside.edge.sensors.uart.line import Told
        from wayside.edge.sensors.uart.sensors import UartSensors

        values = uart_values(configs)

        def read(which: int, raw: float, doubtful: bool) -> None:
            config = values[which]
            state = self.states[config.datastream]
            state.value = f"{raw * config.scale + config.offset:g} {config.unit}"
            state.trouble = "a rule of its sensor does not believe it; wayside doctor says which" if doubtful else None

        def failed(which: int, why: str) -> None:
            self.states[values[which].datastream].trouble = why

        told = Told(read, failed, self._shows, lambda *_: None, time.monotonic_ns)
        await UartSensors(configs, told, _Unsaid()).run()

    def _shows(self, datastream: str) -> float | None:
        state = self.states.get(datastream)
        if state is None or state.value is None or state.trouble is not None:
            return None
        return float(state.value.split()[0])

    async def _watch_camera(self, config: CameraConfig) -> None:
        """Sizes and qualities; counts only a running agent has, since it has the model."""
        state = self.states[config.name]
        while True:
            try:
                size, seen = await asyncio.to_thread(first_look, config, self._folder, time.monotonic() + LISTEN_S)
            except CameraError as exc:
                state.trouble = str(exc)
            else:
                light = "" if seen is None else f", brightness {seen.brightness:.0f}, sharpness {seen.sharpness:.3f}"
                state.value, state.trouble = f"{size[0]} x {size[1]} pixels{light}", None
            await asyncio.sleep(config.every_s)

    # --- a running agent's status ----------------------------------------------------------------------------------

    async def _watch_agent(self) -> None:
        """A file that was there before the first look may be of an agent that has died: only a later one counts."""
        compared = {t.datastream for t in targets(self._config) if t.role in COMPARED}
        theirs = compared | {c.datastream for c in self._config.gpio.contacts}
        closures: dict[str, int] = {}
        path, loop = self._state_dir / STATUS_FILE, asyncio.get_running_loop()
        written, fresh_s = await asyncio.to_thread(_written, path), loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            last, written = written, await asyncio.to_thread(_written, path)
            if written == last:
                if loop.time() - fresh_s > STALE_S:
                    for name in theirs:
                        self.states[name].trouble = "the agent says nothing any more: does it run?"
                continue
            fresh_s = loop.time()
            for name in theirs:
                self.states[name].trouble = None
            status = await asyncio.to_thread(_status, path)
            watched = {c.get("datastream") for c in status.get("contacts", [])}
            for name in theirs - compared - watched:
                self.states[name].trouble = "the agent does not watch it; its log says why"
            for contact in status.get("contacts", []):
                name = contact.get("datastream")
                if name in self.states:
                    self._contact(name, bool(contact.get("closed")), int(contact.get("closures", 0)), closures)
            for camera in status.get("cameras", []):
                self._camera(camera)
            for reading in status.get("readings", []):
                state = self.states.get(reading.get("datastream"))
                if state is None or reading["datastream"] not in compared:
                    continue
                value, unit = reading.get("value"), reading.get("unit", "")
                state.value = None if value is None else f"{value:g} {unit}"
                state.trouble = "the agent cannot read it; its alerts say why" if value is None else None

    def _camera(self, said: dict[str, Any]) -> None:
        state = self.states.get(said.get("camera", ""))
        if state is None:
            return
        counts = [f"{name} {n:g}" for of in said.get("counts", {}).values() for name, n in of.items()]
        state.value = None
        if said.get("age_s") is not None:
            state.value = ", ".join([f"quality {said.get('quality')}", *counts])
        state.trouble = said.get("trouble") or (None if state.value else "the agent has seen no picture yet")

    def _contact(self, name: str, closed: bool, total: int, seen: dict[str, int]) -> None:
        """Replay the closures since the last look: a button may have been pressed and released in between."""
        state = self.states[name]
        if name not in seen:
            seen[name], state.level = total, closed
            return
        for _ in range(min(8, total - seen[name])):
            if state.level:
                self._move(name, False)
            self._move(name, True)
        seen[name] = total
        if state.level is not closed:
            self._move(name, closed)


def borrow_board(config: BoardConfig, held: contextlib.ExitStack) -> list[str]:
    """The ports that may be the board's, taken from a running agent until ``held`` is closed; blocks until it let go.

    Raises:
        CommissionError: somebody else has it.
    """
    ports = matching(config.port) if is_pattern(config.port) else [config.port]
    borrowed_ports = []
    why = "nothing matches it"
    for port in ports:
        try:
            held.enter_context(borrowed(port))
            borrowed_ports.append(port)
        except LineUnavailable as exc:
            why = str(exc)
    if not borrowed_ports:
        raise CommissionError(f"board.port {config.port}: {why}")
    return borrowed_ports


async def board_port(config: BoardConfig, ports: Sequence[str]) -> str:
    """Where the board answers, of the ports that were borrowed."""
    if is_pattern(config.port) and config.identity is not None:
        return await find_board(config.port, config.baud, config.identity)
    return ports[0]


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _written(path: Path) -> tuple[int, int]:
    """Differs after each time that the agent has written ``path``, whatever the clock says."""
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_ino, stat.st_mtime_ns)


def _status(path: Path) -> dict[str, Any]:
    try:
        status = loads_json(read_file(path))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}
