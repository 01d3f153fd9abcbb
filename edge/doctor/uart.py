"""The sensors on serial ports: asked of a running agent, else listened to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from wayside.contracts.uart_config import KINDS, MEASURES, UartConfig
from wayside.edge.doctor.finding import Finding
from wayside.edge.errors import EdgeError
from wayside.edge.sensors.uart.listen import Heard, listen
from wayside.firmware_bridge.errors import LineError

WIRES = "power and ground; its TX to our RX and its RX to our TX (they may be swapped); 3.3 V levels"
PINS = {
    "pms": "; its pin SET open or high",
    "sps30": "; its pin SEL open (grounded, it speaks I2C)",
    "dsmr": "; its request line high, its inverted signal turned back; from version 4 on (before, it had no checksum)",
}
DUSTY = ("pms", "sds011", "sps30")
MAX_REFUSED = 0.01  # of a running agent's frames


def check_uart(sensors: tuple[UartConfig, ...], agent: dict[str, Any] | None, listen_s: float) -> Iterator[Finding]:
    """One finding for each sensor."""
    told = (agent or {}).get("uart", [])
    for i, config in enumerate(sensors):
        check = f"uart {config.subject}"
        if agent is not None:
            yield _of_agent(check, config, told[i] if i < len(told) else {}, agent)
            continue
        try:
            heard = asyncio.run(listen(config, listen_s))
        except (EdgeError, LineError) as exc:
            yield Finding(check, "fail", str(exc), "correct uart.port, or stop what else has the port open")
            continue
        yield _of_line(check, config, heard)


def _of_agent(check: str, config: UartConfig, status: dict[str, Any], agent: dict[str, Any]) -> Finding:
    if not status.get("connected"):
        message = f"the agent does not reach {config.port}"
        return Finding(check, "fail", message, "plug the sensor in, or correct uart.port")
    readings = {r["datastream"]: r for r in agent.get("readings", [])}
    silent = [
        v.datastream
        for v in config.values
        if readings.get(v.datastream, {}).get("quality") in (None, "missing", "stale")
    ]
    if silent:
        message = f"the agent reads nothing of {', '.join(silent)}"
        return Finding(
            check, "fail", message, "its alerts say why; stop it and look again: then the line itself is heard"
        )
    doubted = [v.datastream for v in config.values if readings[v.datastream].get("quality") != "good"]
    if doubted:
        return Finding(check, "warn", f"{', '.join(doubted)} cannot be right", _cure(config))
    frames, refused = status.get("frames", 0), status.get("refused", 0)
    counts = f"{frames} frames, {refused} refused, {status.get('set_aside', 0)} set aside"
    if refused > MAX_REFUSED * (frames + refused) and refused > 20:
        return Finding(check, "warn", f"many frames are damaged: {counts}", "look at cable, shield and ground")
    return Finding(check, "ok", f"{KINDS[config.protocol].what} on {config.port}: {counts}")


def _of_line(check: str, config: UartConfig, heard: Heard) -> Finding:
    what, port = config.kind.what, config.port
    if heard.echo and not heard.frames:
        return Finding(check, "fail", f"{port} hears itself", "RX and TX of the port touch: separate the two wires")
    if heard.protocol is None:
        return _of_no_frame(check, config, heard)
    if heard.protocol != config.protocol:
        fix = f'write protocol = "{heard.protocol}", or plug in the right sensor'
        return Finding(check, "fail", f"{KINDS[heard.protocol].what} speaks on {port}, not {what}", fix)
    if heard.baud != config.rate:
        return Finding(check, "fail", f"{what} on {port} speaks at {heard.baud} baud", f"write baud = {heard.baud}")
    return _of_values(check, config, heard)


def _of_no_frame(check: str, config: UartConfig, heard: Heard) -> Finding:
    what, port = config.kind.what, config.port
    if heard.note:
        return Finding(check, "warn", f"{what} on {port} {heard.note}", _cure(config))
    if heard.received:
        message = f"{len(heard.received)} bytes came from {port}, and nothing that is known speaks so"
        return Finding(check, "fail", message, "is it that sensor? else noise: look at ground and shield")
    silence = "does not answer" if config.kind.asked else "says nothing"
    return Finding(check, "fail", f"{what} on {port} {silence}", f"check {WIRES}{PINS.get(config.protocol, '')}")


def _of_values(check: str, config: UartConfig, heard: Heard) -> Finding:
    last = heard.frames[-1]
    if last.doubt is not None:
        return Finding(check, "warn", f"{config.kind.what}: {last.doubt}", _cure(config))
    missing = [v.measure for v in config.values if v.measure not in last.values]
    if missing:
        message = f"{config.kind.what} on {config.port} does not give {', '.join(missing)}"
        return Finding(check, "fail", message, "remove what it has not, or plug in the right sensor")
    shown = []
    for value in config.values:
        reading = last.values[value.measure]
        of = MEASURES[value.measure]
        if (of.low is not None and reading < of.low) or (of.high is not None and reading > of.high):
            return Finding(check, "warn", f"{value.measure} of {reading:g} {of.unit} cannot be right", _cure(config))
        shown.append(f"{value.measure} {reading:g} {of.unit}")
    if config.protocol in DUSTY and not any(last.values.values()):
        return Finding(check, "warn", f"{config.kind.what} counts no particle at all", _cure(config))
    return Finding(check, "ok", f"{config.kind.what} on {config.port}: {', '.join(shown) or 'its frames arrive'}")


def _cure(config: UartConfig) -> str:
    if config.protocol in DUSTY:
        return "does its fan turn? clean the inlet, blow the dust out; a laser lasts about 8000 hours: exchange it"
    if config.protocol == "mhz19":
        return "it warms up for 3 minutes; later: calibrate it in fresh air (400 ppm), or exchange it"
    if config.protocol == "nmea":
        return "give its antenna a view of the sky; a cold start takes some minutes"
    return "compare with the meter's display"
