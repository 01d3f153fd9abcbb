"""What a technician wants to know at the cabinet: each check, what it found, and what to do about it.

Changes nothing and needs no network, except to ask the hub. Beside a running agent it asks the agent's status file for
what only one program can have at a time, the board's port above all.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx

import wayside
from contracts.node_config import BoardConfig, ModbusConfig, NodeConfig
from edge.clock import kernel_sync_error_ms
from edge.errors import EdgeError
from edge.hub_tls import HubTls, TlsError
from edge.identity import KEY_FILE
from edge.outbox import peek
from edge.sensors.modbus import LineSilent, Refused, open_port
from edge.slots import Slots
from edge.status import OUTBOX_FILE, STATUS_FILE
from edge.trusted_bundle import open_bundle
from edge.updater import choose, try_out
from firmware_bridge.board import BoardLink
from firmware_bridge.errors import LineError, WrongBoard
from firmware_bridge.finder import find_board, is_pattern, matching
from firmware_bridge.messages import Identity, Status
from firmware_bridge.transport import open_transport

HOT_C, TOO_HOT_C = 75.0, 85.0  # Raspberry Pi: throttles from 80, hard at 85
FRESH_S = 15.0  # of the agent's status file
SPARE_BYTES = 256_000_000  # beside the outbox: two bundles of the largest size, and the system's own
UNDER_VOLTAGE, THROTTLED, WAS_UNDER_VOLTAGE = 1 << 0, 1 << 2, 1 << 16  # bits of get_throttled


class Finding(NamedTuple):
    check: str
    state: Literal["ok", "warn", "fail", "skip"]
    said: str
    fix: str = ""


class Machine(NamedTuple):
    """Where the kernel tells of the hardware; tests give another root."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        try:
            return (self.root / path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def temperatures_c(self) -> list[float]:
        zones = sorted((self.root / "sys/class/thermal").glob("thermal_zone*/temp"))
        found = [self.read(str(zone.relative_to(self.root))) for zone in zones]
        return [int(text) / 1000 for text in found if text and text.lstrip("-").isdigit()]


def examine(
    config: NodeConfig, folder: Path, *, machine: Machine | None = None, listen_s: float = 3.0
) -> Iterator[Finding]:
    """Every check of a node whose configuration lies in ``folder``, as it is made.

    Args:
        listen_s: how long to wait for the board's word.
    """
    machine = machine or Machine()
    state_dir = (folder / config.state_dir).resolve()
    agent = running_agent(state_dir)
    yield _time(config, agent)
    yield _disk(config, state_dir)
    yield _power(machine)
    yield _temperature(machine)
    yield _agent_finding(agent)
    if config.board is not None:
        yield from _board(config.board, agent, listen_s)
    if config.modbus is not None:
        yield _modbus(config.modbus, agent)
    if config.detectors:
        yield _sensors(config, agent)
    if config.hub is not None:
        yield _hub(config, folder, agent)
        yield _enrolment(config, state_dir, agent)
        yield _notices(agent)
        yield _root(folder / config.model.tuf_root)
    yield _model(config, state_dir)


def running_agent(state_dir: Path) -> dict[str, Any] | None:
    """What the running agent said of itself in the last seconds."""
    path = state_dir / STATUS_FILE
    try:
        said = json.loads(path.read_bytes())
        os.kill(int(said["pid"]), 0)
        if abs(time.time() - path.stat().st_mtime) > FRESH_S:
            return None
    except PermissionError:  # another user's process: it lives
        pass
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, dict) else None


def _agent_finding(agent: dict[str, Any] | None) -> Finding:
    if agent is None:
        return Finding("agent", "warn", "is not running", "start it: `systemctl start wayside-agent`")
    trouble = "; ".join(str(v) for v in agent.get("trouble", {}).values() if v)
    if not agent.get("healthy"):
        return Finding("agent", "fail", f"runs and is not healthy: {trouble or 'no readings'}", "mend what fails below")
    return Finding("agent", "ok", f"runs since {agent.get('uptime_s', 0):.0f} s, {agent.get('backlog', 0)} rows wait")


def _time(config: NodeConfig, agent: dict[str, Any] | None) -> Finding:
    if config.clock.kind == "scaled":
        return Finding("time", "ok", "is simulated (clock.kind = scaled)")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    error_ms = kernel_sync_error_ms()
    if error_ms is not None:
        return Finding("time", "ok", f"{now}, disciplined by NTP, within {error_ms} ms")
    state = (agent or {}).get("at", {}).get("clock")
    if state in ("hub", "held"):
        return Finding("time", "ok", f"the hub's (state {state}); the system's own says {now}")
    return Finding(
        "time",
        "warn",
        f"nobody vouches for it: the system says {now}",
        "connect the node to its hub or an NTP server; until then readings carry monotonic time and are re-stamped",
    )


def _disk(config: NodeConfig, state_dir: Path) -> Finding:
    there = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    try:
        probe = there / ".doctor"
        probe.write_bytes(b"wayside")
        probe.unlink()
        free = shutil.disk_usage(there).free
        files = os.statvfs(there)
    except OSError as exc:
        return Finding(
            "disk", "fail", f"{there} cannot be written: {exc.strerror}", "give it to the agent's user with chown"
        )
    stored = sum(f.stat().st_size for f in state_dir.rglob("*") if f.is_file())
    need = max(0, config.storage.outbox_bytes + SPARE_BYTES - stored)
    if free < need:
        return Finding(
            "disk",
            "fail",
            f"{free / 1e6:.0f} MB free, the node may need {need / 1e6:.0f} MB",
            "free room or lower storage.outbox_bytes",
        )
    if files.f_files and files.f_favail < 1000:
        return Finding("disk", "fail", f"only {files.f_favail} files can still be made", "remove small files")
    return Finding("disk", "ok", f"{free / 1e6:.0f} MB free in {state_dir}")


def _power(machine: Machine) -> Finding:
    text = machine.read("sys/devices/platform/soc/soc:firmware/get_throttled")
    if text is None:
        return Finding("power", "skip", "this machine does not measure its supply")
    try:
        bits = int(text, 16)
    except ValueError:
        return Finding("power", "warn", f"the supply's register is unreadable: {text[:32]!r}", "update the firmware")
    if bits & UNDER_VOLTAGE:
        return Finding(
            "power", "fail", f"under-voltage now (0x{bits:x})", "use the 5.1 V supply and a short, thick cable"
        )
    if bits & THROTTLED:
        return Finding(
            "power", "warn", f"slowed down now (0x{bits:x})", "is it too hot? clean the fan, shade the cabinet"
        )
    if bits & WAS_UNDER_VOLTAGE:
        return Finding("power", "warn", f"under-voltage since the start (0x{bits:x})", "check supply and cable")
    return Finding("power", "ok", "no under-voltage since the start")


def _temperature(machine: Machine) -> Finding:
    found = machine.temperatures_c()
    if not found:
        return Finding("temperature", "skip", "this machine does not measure its temperature")
    hottest = max(found)
    if hottest >= HOT_C:
        state: Literal["warn", "fail"] = "fail" if hottest >= TOO_HOT_C else "warn"
        return Finding("temperature", state, f"{hottest:.0f} °C", "clean the fan and filter, shade the cabinet")
    return Finding("temperature", "ok", f"{hottest:.0f} °C")


def _board(config: BoardConfig, agent: dict[str, Any] | None, listen_s: float) -> Iterator[Finding]:
    said = (agent or {}).get("board")
    if said is not None:
        if said.get("lent"):
            yield Finding("board", "warn", "is lent to another command of a technician", "let that command finish")
            return
        if not said.get("connected"):
            yield Finding("board", "fail", f"the agent does not reach {config.port}", "check the cable and the port")
            return
        safe = ", in fail-safe" if said.get("fail_safe") else ""
        state: Literal["warn", "ok"] = "warn" if safe else "ok"
        yield Finding("board", state, f"{said.get('identity')} firmware {said.get('firmware')} at {config.port}{safe}")
        return
    yield _pattern(config.port) if is_pattern(config.port) else _port(config.port)
    try:
        port, identity, status = asyncio.run(_listen(config, listen_s))
    except WrongBoard as exc:
        yield Finding("board", "fail", str(exc), "plug in the right board, or correct board.identity and board.baud")
    except (LineError, TimeoutError) as exc:
        why = str(exc) or f"nothing heard on {config.port} for {listen_s:g} s"
        yield Finding("board", "fail", why, "check the cable, the board's power, and board.port")
    else:
        yield Finding("board", "ok", f"{identity.board} firmware {identity.firmware} at {port}")
        if status.fail_safe:
            yield Finding("fail-safe", "ok", "holds the fixed plan, as it should without an agent")


def _pattern(pattern: str) -> Finding:
    found = matching(pattern)
    if not found:
        return Finding("port", "fail", f"nothing matches {pattern}", "plug the board in, or correct board.port")
    return Finding("port", "ok", f"{pattern} names {', '.join(found)}")


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


async def _listen(config: BoardConfig, listen_s: float) -> tuple[str, Identity, Status]:
    """Say hello and wait for the board's name and status; acknowledges nothing. Returns the port, too."""
    port = config.port
    if is_pattern(port) and config.identity is not None:
        port = await find_board(port, config.baud, config.identity, listen_s)
    line = open_transport(port, config.baud)
    link = BoardLink(config.identity)
    identity: Identity | None = None
    try:
        line.write(link.hello())
        async with asyncio.timeout(listen_s):
            while True:
                for heard in link.receive(await line.read()):
                    if isinstance(heard, Identity):
                        identity = heard
                    elif isinstance(heard, Status) and identity is not None:
                        return port, identity, heard
    finally:
        line.close()


def _modbus(config: ModbusConfig, agent: dict[str, Any] | None) -> Finding:
    """Each register, read once; beside a running agent what it read last."""
    if agent is not None:
        readings = {r["datastream"]: r for r in agent.get("readings", [])}
        silent = [r.datastream for r in config.registers if readings.get(r.datastream, {}).get("value") is None]
        if silent:
            said = f"the agent reads nothing from {', '.join(silent)}"
            return Finding("modbus", "fail", said, "its log and alerts say why; stop it and look again")
        return Finding("modbus", "ok", f"the agent reads all {len(config.registers)} registers")
    try:
        values, failed = asyncio.run(_read_registers(config))
    except EdgeError as exc:
        return Finding("modbus", "fail", str(exc), "correct modbus.port, or stop what else has the port open")
    if failed:
        return Finding("modbus", "fail", "; ".join(failed), "check wiring, device addresses, modbus.baud and parity")
    return Finding("modbus", "ok", "; ".join(values))


async def _read_registers(config: ModbusConfig) -> tuple[list[str], list[str]]:
    port = await open_port(config)
    values, failed = [], []
    gone: dict[int, str] = {}  # a device that does not answer is not asked for each of its registers
    try:
        for register in config.registers:
            try:
                if register.device in gone:
                    failed.append(f"{register.datastream}: device {register.device} does not answer")
                    continue
                value = await port.read(register) * register.scale + register.offset
                values.append(f"{register.datastream} {value:g} {register.unit}")
            except LineSilent as exc:
                failed.append(f"{register.datastream}: {exc}")
                gone[register.device] = str(exc)
                await port.rest()
            except Refused as exc:
                failed.append(f"{register.datastream}: {exc}")
    finally:
        port.close()
    return values, failed


def _sensors(config: NodeConfig, agent: dict[str, Any] | None) -> Finding:
    if agent is None:
        return Finding("sensors", "skip", "only a running agent knows", "start the agent and look again")
    readings = {r["datastream"]: r for r in agent.get("readings", [])}
    silent = [d.datastream for d in config.detectors if readings.get(d.datastream, {}).get("value") is None]
    doubtful = [
        f"{d.datastream} {readings[d.datastream]['quality']}"
        for d in config.detectors
        if d.datastream in readings and readings[d.datastream]["quality"] not in ("good", "missing")
    ]
    if silent or doubtful:
        said = "; ".join([*(f"{name} has said nothing yet" for name in silent), *doubtful])
        return Finding("sensors", "warn", said, "drive over or trip each one; check wiring and sensitivity")
    return Finding("sensors", "ok", f"{len(config.detectors)} detectors have said something, all good")


def _hub(config: NodeConfig, folder: Path, agent: dict[str, Any] | None) -> Finding:
    hub = config.hub
    assert hub is not None  # noqa: S101  (the caller looked)
    trouble = (agent or {}).get("trouble", {}).get("hub")
    tls = HubTls(hub, folder)
    try:
        reply = httpx.get(
            f"{hub.url.rstrip('/')}/healthz",
            timeout=hub.timeout_s,
            follow_redirects=False,
            verify=tls.context() or True,
        )
    except TlsError as exc:
        return Finding("hub", "fail", str(exc), "copy the authority's certificate there, or correct hub.ca")
    except httpx.HTTPError as exc:
        return _unreachable(hub.url, exc, tls.why(exc))
    if reply.status_code != httpx.codes.OK:
        return Finding("hub", "fail", f"{hub.url} answers {reply.status_code}", "look at the hub's own log")
    if trouble:
        fix = "see the hub's notices below" if _shut_out(agent) else "wait for the next sync"
        return Finding("hub", "warn", f"{hub.url} answers; the agent last said: {trouble}", fix)
    return Finding("hub", "ok", f"{hub.url} answers in {reply.elapsed.total_seconds() * 1000:.0f} ms")


def _unreachable(url: str, exc: httpx.HTTPError, untrusted: str | None) -> Finding:
    if untrusted is not None:
        return Finding("hub", "fail", f"{url} answers and is not trusted", untrusted)
    if isinstance(exc, httpx.ConnectError):
        return Finding("hub", "fail", f"{url}: {exc}", "check the SIM or cable, the address, and the hub itself")
    return Finding("hub", "fail", f"{url}: {type(exc).__name__} {exc}".rstrip(), "is something in between?")


def _enrolment(config: NodeConfig, state_dir: Path, agent: dict[str, Any] | None) -> Finding:
    if not (state_dir / KEY_FILE).exists():
        has = config.hub is not None and config.hub.token
        fix = "start the agent" if has else "put a token into hub.token: `wayside hub token` makes one"
        return Finding("enrolment", "warn", "the node has no key yet; the agent makes it at its first start", fix)
    if "key_revoked" in _shut_out(agent):
        fix = "leave it so, or put a new token of `wayside replace` into hub.token and restart the agent"
        return Finding("enrolment", "fail", "the hub has revoked this computer's key", fix)
    if peek(state_dir / OUTBOX_FILE, "enrolled"):
        return Finding("enrolment", "ok", "the hub knows this node's key")
    fix = "reach the hub" if config.hub is not None and config.hub.token else "put a token into hub.token"
    return Finding("enrolment", "warn", "the node has a key and is not enrolled", fix)


_ACTS = {
    "key_revoked": "switch this computer off: another one is the node now. Its readings are kept",
    "clone": "find out which of the two belongs here, and switch the other one off",
    "other_hardware": "tell the hub's operator that the card was moved",
}


def _shut_out(agent: dict[str, Any] | None) -> set[str]:
    """Codes of the notices by which the hub takes no part of this computer, or of two."""
    notices = [n for n in (agent or {}).get("notices", []) if isinstance(n, dict)]
    return {str(n.get("code")) for n in notices} & {"key_revoked", "clone"}


def _notices(agent: dict[str, Any] | None) -> Finding:
    if agent is None:
        return Finding("hub's notices", "skip", "only a running agent knows", "start the agent and look again")
    notices = [n for n in agent.get("notices", []) if isinstance(n, dict)]
    if not notices:
        return Finding("hub's notices", "ok", "none")
    said = "; ".join(str(n.get("message")) for n in notices)
    codes = {str(n.get("code")) for n in notices}
    fix = "; ".join(_ACTS[code] for code in sorted(codes) if code in _ACTS)
    return Finding("hub's notices", "fail" if _shut_out(agent) else "warn", said, fix)


def _root(path: Path) -> Finding:
    try:
        pinned = json.loads(path.read_bytes())
        version = pinned["signed"]["version"]
    except OSError as exc:
        return Finding("trust root", "fail", f"{path}: {exc.strerror}", "copy the root.json that `release init` made")
    except (ValueError, KeyError, TypeError):
        return Finding("trust root", "fail", f"{path} is no TUF root", "copy the root.json that `release init` made")
    return Finding("trust root", "ok", f"version {version}")


def _model(config: NodeConfig, state_dir: Path) -> Finding:
    """The golden test, here and now, of what would run after a restart."""
    if not (state_dir / "model").is_dir():
        return Finding("model", "skip", "none is installed yet; a rollout brings it")
    slots = Slots(state_dir / "model")
    for slot in slots.sound():
        try:
            bundle = open_bundle(slot.content, agent_version=wayside.__version__)
            variant = choose(config.model, bundle.passport)
            runtime, result = try_out(config.model, bundle, variant)
        except EdgeError as exc:
            return Finding(
                "model", "fail", f"slot {slot.name}: {exc}", "start a rollout of a good version; the agent falls back"
            )
        runtime.close()
        passport = bundle.passport
        said = f"{passport.bundle} {passport.version}, {variant.name} on {config.model.runtime}: golden test passed, "
        return Finding("model", "ok", f"{said}{result.max_abs_diff:.3g} of {variant.tolerance:.3g}")
    if slots.damaged:
        said = "; ".join(f"slot {name}: {why}" for name, why in slots.damaged.items())
        return Finding("model", "fail", said, "the hub sends it again at the next sync; is the card dying?")
    return Finding("model", "skip", "none is installed yet; a rollout brings it")
