"""The Modbus lines and relays of a node. Nothing is moved: what a set-point holds is only read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

from wayside.contracts import registers
from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig, SunspecConfig, line_named
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.quantities import is_noise
from wayside.contracts.sensor_config import ValueConfig
from wayside.edge.doctor.finding import Finding
from wayside.edge.errors import EdgeError
from wayside.edge.sensors.gpio import GpioError, open_factory
from wayside.edge.sensors.modbus_port import LineSilent, Port, Refused, open_port

MAX_STEPS = 400  # of a search through a device's SunSpec models


class Looked(NamedTuple):
    """What is there; what is there and looks wrong; what does not answer; what the device refuses."""

    right: list[str]
    doubtful: list[str]
    failed: list[str]
    refused: list[str]  # the device answered: neither wires nor speed are to blame


def check_lines(config: NodeConfig, agent: dict[str, Any] | None) -> Iterator[Finding]:
    """Each line's values, read once; beside a running agent what it read last."""
    for line in config.modbus:
        name = "modbus" if line.name is None else f"modbus {line.name}"
        setpoints = [
            a
            for a in config.actuators
            if isinstance(a, SetpointConfig)
            and a.register is not None
            and line_named(config.modbus, a.register.line) is line
        ]
        yield check_line(line, name, setpoints, agent)


def check_line(line: ModbusConfig, name: str, setpoints: list[SetpointConfig], agent: dict[str, Any] | None) -> Finding:
    if agent is not None:
        return _read_by(agent, line, name)
    try:
        looked = asyncio.run(_look(line, setpoints))
    except EdgeError as exc:
        fix = "correct modbus.port, or stop what else has the port open"
        if line.server is not None:
            fix = "correct modbus.port; check the device's power, cable and address"
        return Finding(name, "fail", str(exc), fix)
    wrong = [*looked.failed, *looked.refused, *looked.doubtful]
    if not wrong:
        return Finding(name, "ok", "; ".join(looked.right))
    fix = "compare with the device's own display, and its manual"
    if looked.refused:
        fix = "correct the register's address, table and type by the device's manual; the line itself works"
    if looked.failed:
        where = "device numbers" if line.server is not None else "wiring, device addresses, modbus.baud and parity"
        fix = f"check {where}"
    return Finding(name, "fail", "; ".join(wrong), fix)


def _read_by(agent: dict[str, Any], line: ModbusConfig, name: str) -> Finding:
    readings = {r["datastream"]: r for r in agent.get("readings", [])}
    silent = [v.datastream for v in line.values if readings.get(v.datastream, {}).get("value") is None]
    if silent:
        message = f"the agent reads nothing from {', '.join(silent)}"
        return Finding(name, "fail", message, "its log and alerts say why; stop it and look again")
    strange = [v.datastream for v in line.values if readings[v.datastream].get("quality") == "out_of_range"]
    if strange:
        message = f"the agent reads what is out of range from {', '.join(strange)}"
        return Finding(name, "warn", message, "stop it and look again: the doctor tries other byte orders")
    return Finding(name, "ok", f"the agent reads all {len(line.values)} values")


async def _look(line: ModbusConfig, setpoints: list[SetpointConfig]) -> Looked:
    port = await open_port(line)
    looked = Looked([], [], [], [])
    gone: set[int] = set()  # a device that does not answer is not asked for each of its registers
    questions = [
        *((r.datastream, r.device, _register(port, r)) for r in line.registers),
        *((s.points[0].datastream, s.device, _sunspec(port, s)) for s in line.sunspec),
        *((s.name, s.register.device, _setpoint(port, s)) for s in setpoints if s.register is not None),
    ]
    try:
        for name, device, question in questions:
            try:
                if device in gone:
                    question.close()
                    looked.failed.append(f"{name}: device {device} does not answer")
                    continue
                right, doubtful = await question
                looked.right.extend(right)
                looked.doubtful.extend(doubtful)
            except LineSilent as exc:
                looked.failed.append(f"{name}: {exc}")
                gone.add(device)
                await port.rest()
                if port.lost:
                    port.close()
                    port = await open_port(line)
            except EdgeError as exc:
                (looked.refused if isinstance(exc, Refused) else looked.failed).append(f"{name}: {exc}")
    finally:
        for _, _, question in questions:
            question.close()
        port.close()
    return looked


async def _register(port: Port, register: RegisterConfig) -> tuple[list[str], list[str]]:
    if register.is_bit:
        bit = await port.read_bit(register.device, register.table, register.address)
        return [_said(register, float(bit))], []
    words = await port.read_words(register.device, register.table, register.address, register.words)
    return judged(register, words)


def judged(register: RegisterConfig, words: list[int]) -> tuple[list[str], list[str]]:
    """(what it shows, why it cannot be believed): one of them is empty."""
    raw = registers.decode(words, register.type, register.word_order, register.byte_order, register.no_value)
    said = _said(register, raw)
    if raw is not None and _plausible(register, raw):
        return [said], []
    why = "has no value" if raw is None else "is out of range"
    hint = ""
    if register.words > 1:
        likely = []
        for order in registers.LETTERS:
            if order == registers.letters(register.word_order, register.byte_order):
                continue
            other = registers.decode(words, register.type, byte_order=order, missing=register.no_value)
            if other and _plausible(register, other):
                value = _said(register, other).removeprefix(f"{register.datastream} ")
                likely.append(f'looks like byte order {order} (byte_order = "{order}"), which gives {value}')
        hint = f": {', or '.join(likely)}" if likely else ""
    return [], [f"{said} {why}{hint}"]


def _plausible(value: ValueConfig, raw: float) -> bool:
    low, high = value.bounds
    number = raw * value.scale + value.offset
    if value.kind == "counter":
        return not is_noise(number) and abs(number) < 1e15
    return low <= number <= high and not is_noise(number)


def _said(value: ValueConfig, raw: float | None) -> str:
    if raw is None:
        return value.datastream
    return f"{value.datastream} {raw * value.scale + value.offset:g} {value.unit}"


async def _sunspec(port: Port, config: SunspecConfig) -> tuple[list[str], list[str]]:
    from wayside.edge.sensors.sunspec import Reader

    reader = Reader(config)
    for _ in range(MAX_STEPS):
        if not reader.is_searching:
            break
        await reader.search(port)
    numbers = await reader.read(port) or []
    right, doubtful = [], []
    for point, number in zip(config.points, numbers, strict=True):
        if number.value is None:
            doubtful.append(f"{point.datastream}: the device does not implement {point.point} now")
        elif not _plausible(point, number.value):
            doubtful.append(f"{_said(point, number.value)} is out of range")
        else:
            right.append(_said(point, number.value))
    return right, doubtful


async def _setpoint(port: Port, config: SetpointConfig) -> tuple[list[str], list[str]]:
    assert config.register is not None  # noqa: S101  (the caller looked)
    held = await port.read_back(config.register)
    unit = "" if config.unit == "1" else f" {config.unit}"
    return [f"{config.name} holds {held:g}{unit}"], []


def check_relays(config: NodeConfig, agent: dict[str, Any] | None) -> Iterator[Finding]:
    """A relay is not touched: to look at an output from another program makes it an input."""
    relays = [a for a in config.actuators if isinstance(a, SetpointConfig) and a.pin is not None]
    if not relays:
        return
    names = ", ".join(f"{a.name} ({a.target.where})" for a in relays)
    if agent is not None:
        shown = {s["name"]: s for s in agent.get("setpoints", [])}
        doubtful = [a.name for a in relays if not shown.get(a.name, {}).get("confirmed")]
        if doubtful:
            said = f"the agent does not read back what it set: {', '.join(doubtful)}"
            yield Finding("relays", "fail", said, "its conditions say why; check pin numbers and wires")
        else:
            yield Finding("relays", "ok", f"the agent reads back {names}")
    else:
        try:
            open_factory(config.gpio.factory).close()
        except GpioError as exc:
            yield Finding("relays", "fail", str(exc), "is this a Pi, and is the user in the group gpio?")
        else:
            yield Finding("relays", "ok", f"{names}: the pins can be had; commissioning switches them")
    for each in relays:
        if each.safe:
            said = f"{each.name} is safe while its relay is energized: without power, or an agent, it drops out"
            yield Finding("relays", "warn", said, "wire the load to the other contact, so that safe is 0")
