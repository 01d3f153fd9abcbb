"""The board and the contacts: asked of a running agent, else of the lines themselves."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from wayside.contracts.node_config import NodeConfig
from wayside.contracts.sensor_config import BoardConfig
from wayside.edge.doctor.finding import Finding
from wayside.firmware_bridge.errors import LineError, PortLent, WrongBoard
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.borrow import is_lent
from wayside.firmware_bridge.line.conversation import open_conversation
from wayside.firmware_bridge.line.finder import find_board, is_pattern, matching
from wayside.firmware_bridge.line.messages import Identity, Status

DEAD = ("stuck_on", "chatter", "no_hit")  # what the quality rules say of a detector that does not work
SETTLED_S = 10.0  # an agent that runs so long has its board, if it can be had
LENT = Finding("board", "warn", "is lent to another command of a technician", "let that command finish")


def check_board(config: BoardConfig, agent: dict[str, Any] | None, listen_s: float) -> Iterator[Finding]:
    board = (agent or {}).get("board")
    if board is not None:
        if board.get("lent"):
            yield LENT
            return
        if not board.get("connected"):
            yield _unreached(config, (agent or {}).get("uptime_s"))
            return
        safe = ", in fail-safe" if board.get("fail_safe") else ""
        state: Literal["warn", "ok"] = "warn" if safe else "ok"
        yield Finding(
            "board", state, f"{board.get('identity')} firmware {board.get('firmware')} at {config.port}{safe}"
        )
        return
    yield _pattern(config.port) if is_pattern(config.port) else _port(config.port)
    try:
        port, identity, status = asyncio.run(_ask_board(config, listen_s))
    except PortLent:
        yield LENT
    except WrongBoard as exc:
        yield Finding("board", "fail", str(exc), "plug in the right board, or correct board.identity and board.baud")
    except (LineError, TimeoutError) as exc:
        why = str(exc) or f"nothing heard on {config.port} for {listen_s:g} s"
        yield Finding("board", "fail", why, "check the cable, the board's power, and board.port")
    else:
        yield Finding("board", "ok", f"{identity.board} firmware {identity.firmware} at {port}")
        if status.fail_safe:
            yield Finding("fail-safe", "ok", "holds the fixed plan, as it should without an agent")


def _unreached(config: BoardConfig, uptime_s: object) -> Finding:
    fix = "check the cable and the port"
    if isinstance(uptime_s, int | float) and uptime_s < SETTLED_S:
        early = f"the agent runs since {uptime_s:.0f} s and has not reached {config.port} yet"
        return Finding("board", "fail", early, f"ask again in {SETTLED_S:g} s; then {fix}")
    return Finding("board", "fail", f"the agent does not reach {config.port}", fix)


def _pattern(pattern: str) -> Finding:
    ports = matching(pattern)
    if not ports:
        return Finding("port", "fail", f"nothing matches {pattern}", "plug the board in, or correct board.port")
    return Finding("port", "ok", f"{pattern} names {', '.join(ports)}")


def _port(port: str) -> Finding:
    if "://" in port:
        return Finding("port", "ok", f"{port} is an address")
    path = Path(port)
    if not path.exists():
        others = (
            sorted(str(p) for p in Path("/dev/serial/by-id").glob("*")) if Path("/dev/serial/by-id").is_dir() else []
        )
        seen = f"; there is {', '.join(others)}" if others else "; no USB serial device is plugged in"
        return Finding("port", "fail", f"{port} does not exist{seen}", "plug the board in, or correct board.port")
    if path.name.startswith(("ttyUSB", "ttyACM")) and not path.is_symlink():
        return Finding(
            "port", "warn", f"{port} is a number that changes when devices are plugged", "use /dev/serial/by-id/…"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("port", "fail", f"{port} may not be opened by this user", "add the user to the group dialout")
    return Finding("port", "ok", port)


async def _ask_board(config: BoardConfig, patience_s: float) -> tuple[str, Identity, Status]:
    """The board's port, name and status. Acknowledges nothing."""
    port = config.port
    if is_pattern(port) and config.identity is not None:
        port = await find_board(port, config.baud, config.identity, patience_s)
    if is_lent(port):  # to a flash, perhaps: not a byte
        raise PortLent(port)
    with open_conversation(port, config.baud, BoardLink(config.identity), silent_s=math.inf) as conversation:
        async with asyncio.timeout(patience_s):
            while True:
                for message in await conversation.turn():
                    identity = conversation.link.identity
                    if isinstance(message, Status) and identity is not None:
                        return port, identity, message


def check_sensors(config: NodeConfig, agent: dict[str, Any] | None) -> Finding:
    """What the quality rules say of each detector in the step that ended last, and which contacts are watched."""
    if agent is None:
        return Finding("sensors", "skip", "only a running agent knows", "start the agent and look again")
    board = agent.get("board") or {}
    if config.detectors and board.get("connected") is False:  # what they counted last says nothing of now
        away = "is lent to a technician's command" if board.get("lent") else "is not reached"
        return Finding("sensors", "skip", f"nothing of the detectors arrives: the board {away}")
    readings = {r["datastream"]: r for r in agent.get("readings", [])}
    watched = {c["datastream"] for c in agent.get("contacts", [])}
    failed = [f"{c.datastream} is not watched" for c in config.gpio.contacts if c.datastream not in watched]
    doubtful = []
    for name in (d.datastream for d in config.detectors):
        reading = readings.get(name, {})
        value, quality = reading.get("value"), reading.get("quality")
        if quality in DEAD:
            failed.append(f"{name} {quality}")
        elif value is None:
            doubtful.append(f"{name} has said nothing yet")
        elif quality != "good":
            doubtful.append(f"{name} {quality}")
        elif not value:
            doubtful.append(f"{name} has counted nothing in the last step")
    if failed or doubtful:
        fix = "trip each one; check wiring and sensitivity; the agent's log says why a contact is not watched"
        return Finding("sensors", "fail" if failed else "warn", "; ".join([*failed, *doubtful]), fix)
    return Finding("sensors", "ok", f"{len(config.detectors)} detectors count, {len(watched)} contacts are watched")
