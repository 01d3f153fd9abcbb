"""What must agree between the sections of a node's file that are each right: a node with such a mistake does not start.

Each rule names the sections that it compares (:class:`~wayside.contracts.mistakes.Mistake`).
"""

from __future__ import annotations

import datetime
import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Protocol

from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.manual_config import ManualConfig
from wayside.contracts.mistakes import Mistake, Place
from wayside.contracts.modbus_config import ModbusConfig, line_named
from wayside.contracts.sensor_config import AnalogConfig, BoardConfig, DetectorConfig, GpioConfig
from wayside.contracts.task_config import CALENDAR, SITE, Datastream, SumConfig, TaskConfig
from wayside.contracts.uart_config import UartConfig

MAX_ROW_NAME = 64
"""Characters of a row's datastream: contracts.reading.Name."""
_SOURCES = frozenset({"detectors", "analog", "gpio", "modbus", "uart", "manual", "cameras"})


class Sections(Protocol):
    """What is compared: those of :class:`contracts.node_config.NodeConfig`, which calls this."""

    @property
    def board(self) -> BoardConfig | None: ...
    @property
    def gpio(self) -> GpioConfig: ...
    @property
    def modbus(self) -> tuple[ModbusConfig, ...]: ...
    @property
    def uart(self) -> tuple[UartConfig, ...]: ...
    @property
    def analog(self) -> tuple[AnalogConfig, ...]: ...
    @property
    def manual(self) -> ManualConfig | None: ...
    @property
    def detectors(self) -> tuple[DetectorConfig, ...]: ...
    @property
    def cameras(self) -> tuple[CameraConfig, ...]: ...
    @property
    def state_dir(self) -> str: ...
    @property
    def tasks(self) -> tuple[TaskConfig, ...]: ...
    @property
    def actuators(self) -> tuple[ActuatorConfig, ...]: ...
    @property
    def sums(self) -> tuple[SumConfig, ...]: ...
    @property
    def calendar(self) -> dict[str, tuple[str, ...]]: ...
    def datastreams(self) -> tuple[Datastream, ...]: ...


def disagreements(config: Sections) -> Iterator[Mistake]:
    """Every one, in the order of the sections."""
    yield from _given_twice(config)
    yield from _lines(config)
    yield from _humidity(config)
    yield from _cameras(config)
    yield from _actuators(config)
    yield from _tasks(config)
    yield from _waits(config)
    yield from _sums(config)
    yield from _calendar(config)


def named_datastreams(config: Sections) -> list[tuple[Place, str]]:
    """Each datastream that a file names, with the place where it does."""
    named: list[tuple[Place, str]] = []
    named += [(("detectors", i, "datastream"), d.datastream) for i, d in enumerate(config.detectors)]
    named += [(("analog", i, "datastream"), a.datastream) for i, a in enumerate(config.analog)]
    named += [(("gpio", "contacts", i, "datastream"), c.datastream) for i, c in enumerate(config.gpio.contacts)]
    for i, line in enumerate(config.modbus):
        of_line: Place = ("modbus", i)
        named += [((*of_line, "registers", j, "datastream"), r.datastream) for j, r in enumerate(line.registers)]
        for j, device in enumerate(line.sunspec):
            points = (*of_line, "sunspec", j, "points")
            named += [((*points, k, "datastream"), p.datastream) for k, p in enumerate(device.points)]
    for i, sensor in enumerate(config.uart):
        named += [(("uart", i, "values", j, "datastream"), v.datastream) for j, v in enumerate(sensor.values)]
    named += [(("cameras", i, "name"), c.name) for i, c in enumerate(config.cameras)]
    told = config.manual.values if config.manual else ()
    named += [(("manual", "values", i, "datastream"), v.datastream) for i, v in enumerate(told)]
    return named


def _given_twice(config: Sections) -> Iterator[Mistake]:
    sums = [(("sums", i, "name"), s.name) for i, s in enumerate(config.sums)]
    groups: tuple[tuple[str, list[tuple[Place, object]]], ...] = (
        ("channel", [(("detectors", i, "channel"), d.channel) for i, d in enumerate(config.detectors)]),
        ("analogue channel", [(("analog", i, "channel"), a.channel) for i, a in enumerate(config.analog)]),
        ("datastream", [*named_datastreams(config), *sums]),
        ("pin", [*_pins(config)]),
        ("line", [(("modbus", i, "name"), line.name) for i, line in enumerate(config.modbus) if line.name is not None]),
        ("task", [(("tasks", i, "name"), t.name) for i, t in enumerate(config.tasks)]),
        ("bundle", [(("tasks", i, "bundle"), t.bundle) for i, t in enumerate(config.tasks)]),
        ("actuator", [(("actuators", i, "name"), a.name) for i, a in enumerate(config.actuators)]),
    )
    for what, values in groups:
        first: dict[object, Place] = {}
        for place, value in values:
            if value in first:
                compares = frozenset({str(place[0]), str(first[value][0])})
                yield Mistake(place, f"the {what} {value} is given twice; it has to be distinct", compares)
            first.setdefault(value, place)


def _lines(config: Sections) -> Iterator[Mistake]:
    if config.detectors and config.board is None:
        yield Mistake(("detectors",), "need a [board] that counts for them", frozenset({"detectors", "board"}))
    if config.analog and config.board is None:
        yield Mistake(("analog",), "need a [board] that reads them", frozenset({"analog", "board"}))
    taken = {config.board.port: "board"} if config.board is not None else {}
    ports: list[tuple[Place, str]] = [(("modbus", i, "port"), line.port) for i, line in enumerate(config.modbus)]
    ports += [(("uart", i, "port"), sensor.port) for i, sensor in enumerate(config.uart)]
    for place, port in ports:
        owner = str(place[0])
        if port in taken:
            whose = "the board's" if taken[port] == "board" else f"that of [{taken[port]}], too"
            yield Mistake(place, f"is {whose}; each needs its own", frozenset({taken[port], owner}))
        taken.setdefault(port, owner)
    targets = [a.register for a in config.actuators if isinstance(a, SetpointConfig) and a.register is not None]
    written = [line_named(config.modbus, target.line) for target in targets]
    for i, line in enumerate(config.modbus):
        if line.name is None and len(config.modbus) > 1:
            yield Mistake(("modbus", i), "misses name: of several lines each has one", frozenset({"modbus"}))
        if not line.values and line not in written:
            rule = "has nothing to do: it needs registers or sunspec to read, or a set-point that writes to it"
            yield Mistake(("modbus", i), rule, frozenset({"modbus", "actuators"}))


def _pins(config: Sections) -> Iterator[tuple[Place, int]]:
    for i, contact in enumerate(config.gpio.contacts):
        yield ("gpio", "contacts", i, "pin"), contact.pin
    for i, actuator in enumerate(config.actuators):
        if isinstance(actuator, SetpointConfig) and actuator.pin is not None:
            yield ("actuators", i, "pin", "number"), actuator.pin.number


def _humidity(config: Sections) -> Iterator[Mistake]:
    """What a correction takes has to be a relative humidity of this node."""
    units = {d.name: d.unit for d in config.datastreams()}
    for i, sensor in enumerate(config.uart):
        for j, value in enumerate(sensor.values):
            place, name = ("uart", i, "values", j, "humidity"), value.humidity
            if name is not None and name not in units:
                yield Mistake(place, _unknown(name, units), _SOURCES)
            elif name is not None and units[name] != "%":
                yield Mistake(place, f"{name} is in {units[name]}; relative humidity is in %", _SOURCES)


def _cameras(config: Sections) -> Iterator[Mistake]:
    state = PurePosixPath(config.state_dir)
    first: dict[PurePosixPath, str] = {}
    for i, camera in enumerate(config.cameras):
        if camera.phase is not None and config.board is None:
            rule = "needs a [board] that tells what it drives"
            yield Mistake(("cameras", i, "phase"), rule, frozenset({"cameras", "board"}))
        if camera.folder is None:
            continue
        folder = PurePosixPath(camera.folder)
        if folder == state or state in folder.parents or folder in state.parents:
            rule = f"{camera.folder} and state_dir are in each other's way: no picture may lie beside the node's state"
            yield Mistake(("cameras", i, "folder"), rule, frozenset({"cameras", "state_dir"}))
        if folder in first:
            rule = f"is that of {first[folder]}, too; each camera has its own"
            yield Mistake(("cameras", i, "folder"), rule, frozenset({"cameras"}))
        first.setdefault(folder, camera.name)
    names = [c.name for c in config.cameras]
    for i, task in enumerate(config.tasks):
        for j, site in enumerate(task.sites):
            if names and task.kind in ("classify", "count") and site.output not in names:
                rule = f"{site.output} is no camera of this file; it has {', '.join(names)}"
                yield Mistake(("tasks", i, "sites", j, "output"), rule, frozenset({"cameras", "tasks"}))


def _actuators(config: Sections) -> Iterator[Mistake]:
    signals = [i for i, a in enumerate(config.actuators) if isinstance(a, SignalConfig)]
    for i in signals[1:]:
        yield Mistake(("actuators", i), "is a second signal; a board drives one", frozenset({"actuators"}))
    both = frozenset({"tasks", "actuators"})
    users = Counter(t.actuator for t in config.tasks if t.actuator is not None)
    for i, actuator in enumerate(config.actuators):
        if users[actuator.name] and isinstance(actuator, SignalConfig) and actuator.beat is not None:
            rule = (
                f"decides about {actuator.name}: no task proposes to it, its forecasts reach the policy by themselves"
            )
            yield Mistake(("actuators", i, "beat"), rule, both)
        elif users[actuator.name] > 1 and not isinstance(actuator, NoticeConfig):
            rule = f"{actuator.name} takes proposals of one task, not of {users[actuator.name]}"
            yield Mistake(("actuators", i, "name"), rule, both)
    names = {a.name for a in config.actuators}
    for i, task in enumerate(config.tasks):
        if task.actuator is not None and task.actuator not in names:
            rule = f"{task.actuator} is no actuator of this file; it has {', '.join(sorted(names)) or 'none'}"
            yield Mistake(("tasks", i, "actuator"), rule, both)


def _tasks(config: Sections) -> Iterator[Mistake]:
    streams = {d.name for d in config.datastreams()}
    compares = _SOURCES | {"tasks"}
    written: set[str] = set()  # datastreams whose interval rows an earlier task writes
    for i, task in enumerate(config.tasks):
        for place, name in _taken(task, i):
            if name not in streams:
                yield Mistake(place, _unknown(name, streams), compares)
        for j, site in enumerate(task.sites):
            row = f"{task.name}/{site.output}"
            if site.output in written and len(row) > MAX_ROW_NAME:
                rule = f"{row} names its rows, and has more than {MAX_ROW_NAME} characters"
                yield Mistake(("tasks", i, "sites", j, "output"), rule, frozenset({"tasks"}))
            for place, names in (
                (("tasks", i, "sites", j, "inputs"), site.inputs),
                (("tasks", i, "sites", j, "constants"), site.constants),
                (("tasks", i, "inputs"), task.inputs if j == 0 else {}),
            ):
                for name in names:
                    if name in CALENDAR or name == SITE:
                        rule = f"the node makes {name} itself: remove it"
                        yield Mistake((*place, name), rule, frozenset({"tasks"}))
        written |= {site.output for site in task.sites}


def _waits(config: Sections) -> Iterator[Mistake]:
    """A task goes on without a source that is later than its ``wait_s``: what others tell must come before that."""
    if config.manual is None:
        return
    told, late_s = {v.datastream for v in config.manual.values}, config.manual.wait_s
    for i, task in enumerate(config.tasks):
        wait_s = task.every_s if task.wait_s is None else task.wait_s
        taken = sorted({name for _, name in _taken(task, i)} & told)
        if taken and wait_s <= late_s:
            rule = f"is over before manual.wait_s ({late_s:g} s): the task would always go on without {taken[0]}"
            yield Mistake(("tasks", i, "wait_s"), rule, frozenset({"tasks", "manual"}))


def _taken(task: TaskConfig, i: int) -> Iterator[tuple[Place, str]]:
    """Each datastream that a task names."""
    for column, name in task.inputs.items():
        yield ("tasks", i, "inputs", column), name
    for j, site in enumerate(task.sites):
        if task.kind not in ("classify", "count"):  # their output is a camera
            yield ("tasks", i, "sites", j, "output"), site.output
        for column, name in site.inputs.items():
            yield ("tasks", i, "sites", j, "inputs", column), name


def _sums(config: Sections) -> Iterator[Mistake]:
    streams = {d.name: d for d in config.datastreams()}
    compares = _SOURCES | {"sums"}
    for i, one in enumerate(config.sums):
        for j, name in enumerate(one.of):
            if name not in streams:
                rule = _unknown(name, streams)
                yield Mistake(("sums", i, "of", j), rule, compares)
        units = sorted({streams[n].unit for n in one.of if n in streams})
        if len(units) > 1:
            yield Mistake(("sums", i, "of"), f"adds {' to '.join(units)}; a sum is of one unit", compares)


def _calendar(config: Sections) -> Iterator[Mistake]:
    streams = {name for _, name in named_datastreams(config)}
    for name, dates in config.calendar.items():
        if name in (*CALENDAR, SITE):
            yield Mistake(("calendar", name), "is an input that the node makes itself", frozenset({"calendar"}))
        elif name in streams:
            yield Mistake(("calendar", name), "is the name of a datastream, too", _SOURCES | {"calendar"})
        for i, date in enumerate(dates):
            try:
                datetime.date.fromisoformat(date)
            except ValueError as exc:
                rule = f"{date} is no date ({exc})"
                yield Mistake(("calendar", name, i), rule, frozenset({"calendar"}))


def _unknown(name: str, streams: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(streams), n=2)
    return f"no source of this file gives {name}; " + (f"is {' or '.join(near)} meant?" if near else _given(streams))


def _given(streams: Iterable[str]) -> str:
    known = sorted(streams)
    more = f" and {len(known) - 6} more" if len(known) > 6 else ""
    return f"they give {', '.join(known[:6])}{more}" if known else "it has none"
