"""What feeding systems tell: their port and their files."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wayside.contracts.manual_config import ManualConfig, ManualFileConfig
from wayside.edge.doctor.finding import Finding
from wayside.edge.sensors.csv_rows import LineUnreadable
from wayside.edge.sensors.manual import last_row
from wayside.paths import placed

HOST = "127.0.0.1"


def check_manual(config: ManualConfig, folder: Path, timezone: str, agent: dict[str, Any] | None) -> Iterator[Finding]:
    """The port, each file, and of a running agent what it was told last."""
    if config.port is not None:
        yield _port(config.port, agent is not None)
    for file in config.files:
        yield _file(file, folder, timezone, config)
    if agent is None:
        return
    readings = {r["datastream"]: r for r in agent.get("readings", [])}
    unheard = [v.datastream for v in config.values if readings.get(v.datastream, {}).get("value") is None]
    if unheard:
        fix = "let its system send one, as docs/manual-inputs.md shows, and look again"
        yield Finding("told", "warn", f"nobody has told {', '.join(unheard)} yet", fix)
        return
    silent = [v.datastream for v in config.values if readings[v.datastream]["quality"] == "stale"]
    if silent:
        yield Finding("told", "fail", f"{', '.join(silent)}: silent", "does the system that tells it run?")
        return
    shown = (f"{v.datastream} {readings[v.datastream]['value']:g} {v.unit}" for v in config.values)
    yield Finding("told", "ok", "; ".join(shown))


def _port(port: int, agent: bool) -> Finding:
    if agent:
        try:
            socket.create_connection((HOST, port), 2).close()
        except OSError as exc:
            said = f"the agent does not answer at {HOST}:{port}: {exc.strerror or exc}"
            return Finding("manual", "fail", said, "its log says why; another program may have the port")
        return Finding("manual", "ok", f"the agent listens at {HOST}:{port}")
    try:
        with socket.create_server((HOST, port)):
            return Finding("manual", "ok", f"{HOST}:{port} is free for the agent")
    except OSError as exc:
        said = f"{HOST}:{port} cannot be had: {exc.strerror or exc}"
        return Finding("manual", "fail", said, "stop the program that has it, or choose another manual.port")


def _file(file: ManualFileConfig, folder: Path, timezone: str, config: ManualConfig) -> Finding:
    path = placed(folder, file.path)
    try:
        entries = last_row(file, folder, timezone, config)
    except OSError as exc:
        fix = "correct manual.files, or let the agent's user read it"
        return Finding("file", "fail", f"{path}: {exc.strerror}", fix)
    except LineUnreadable as exc:
        return Finding("file", "fail", f"{path}: {exc}", "correct manual.files, or how its system writes it")
    if not entries:
        return Finding("file", "warn", f"{path} has no row yet", "let its system write one")
    return Finding("file", "ok", f"{path}: {', '.join(f'{e.datastream} {e.value:g}' for e in entries)} last")
