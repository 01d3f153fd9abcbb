"""What a technician wants to know at the cabinet: each check, what it found, and what to do about it.

Changes nothing and needs no network, except to ask the hub. Beside a running agent it asks the agent's status file for
what only one program can have at a time, the board's port above all.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx

from wayside.contracts.node_config import BoardConfig, ModbusConfig, NodeConfig
from wayside.contracts.version import VERSION
from wayside.edge.clock import ClockError, LocalCalendar, kernel_sync_error_ms
from wayside.edge.errors import EdgeError
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.identity import KEY_FILE
from wayside.edge.outbox import peek
from wayside.edge.sensors.modbus import LineSilent, Refused, open_port
from wayside.edge.slots import Slots
from wayside.edge.status import OUTBOX_FILE, STATUS_FILE
from wayside.edge.trusted_bundle import open_bundle
from wayside.edge.updater import choose, try_out
from wayside.firmware_bridge.errors import LineError, PortLent, WrongBoard
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.borrow import is_lent
from wayside.firmware_bridge.line.finder import find_board, is_pattern, matching
from wayside.firmware_bridge.line.messages import Identity, Status
from wayside.firmware_bridge.line.transport import open_transport

HOT_C, TOO_HOT_C = 75.0, 85.0  # Raspberry Pi: throttles from 80, hard at 85
FRESH_S = 15.0  # of the agent's status file
SPARE_BYTES = 256_000_000  # beside the outbox: two bundles of the largest size, and the system's own
UNDER_VOLTAGE_FIX = "use the 5.1 V supply and a short, thick cable"
DISK_FIXES = {
    errno.ENOSPC: "free room: the disk is full",
    errno.EDQUOT: "free room: this user's quota is full",
    errno.EROFS: "see `dmesg`: a card that became read-only is dying, and wants to be replaced",
}
DEAD = ("stuck_on", "chatter", "no_hit")  # what the quality rules say of a detector that does not work
UNDER_VOLTAGE, THROTTLED, WAS_UNDER_VOLTAGE = 1 << 0, 1 << 2, 1 << 16  # bits of get_throttled


class Finding(NamedTuple):
    check: str
    state: Literal["ok", "warn", "fail", "skip"]
    said: str
    fix: str = ""


LENT = Finding("board", "warn", "is lent to another command of a technician", "let that command finish")


class Machine(NamedTuple):
    """Where the kernel tells of the hardware; tests give another root."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        try:
            return (self.root / path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def first(self, pattern: str) -> str | None:
        """What the first file of the pattern says."""
        paths = sorted(self.root.glob(pattern))
        return self.read(str(paths[0].relative_to(self.root))) if paths else None

    def temperatures_c(self) -> list[float]:
        zones = sorted((self.root / "sys/class/thermal").glob("thermal_zone*/temp"))
        found = [self.read(str(zone.relative_to(self.root))) for zone in zones]
        return [int(text) / 1000 for text in found if text and text.lstrip("-").isdecimal()]


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
    yield _looked_at("disk", lambda: _disk(config, state_dir))
    yield _power(machine)
    yield _temperature(machine)
    yield _agent_finding(agent, state_dir)
    if config.board is not None:
        yield from _board(config.board, agent, listen_s)
    if config.modbus is not None:
        yield _modbus(config.modbus, agent)
    if config.detectors or config.gpio.contacts:
        yield _sensors(config, agent)
    if config.hub is not None:
        yield _hub(config, folder, agent)
        yield _looked_at("enrolment", lambda: _enrolment(config, state_dir, agent))
        yield _notices(agent)
        yield _root(folder / config.model.tuf_root)
    yield _looked_at("model", lambda: _model(config, state_dir))


def _looked_at(check: str, look: Callable[[], Finding]) -> Finding:
    """A check that this user may not make is no crash, and not passed."""
    try:
        return look()
    except OSError as exc:
        said = f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)
        return Finding(check, "fail", said, "run this as the agent's user, or with sudo")


def running_agent(state_dir: Path) -> dict[str, Any] | None:
    """What the running agent said of itself in the last seconds."""
    path = state_dir / STATUS_FILE
    try:
        if abs(time.time() - path.stat().st_mtime) > FRESH_S:
            return None
        said = json.loads(path.read_bytes())
        return said if isinstance(said, dict) and _lives(int(said["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's process
        return True
    except (OSError, OverflowError):
        return False
    return True


def agent_runs(state_dir: Path) -> bool:
    """Whether an agent holds the state directory."""
    try:
        with (state_dir / "agent.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _agent_finding(agent: dict[str, Any] | None, state_dir: Path) -> Finding:
    if agent is None and agent_runs(state_dir):
        said = f"runs and has said nothing for {FRESH_S:g} s"
        return Finding("agent", "fail", said, "was it started just now? else see `journalctl -u wayside-agent`")
    if agent is None:
        try:
            (state_dir / STATUS_FILE).open().close()
        except PermissionError as exc:
            return Finding(
                "agent", "warn", f"{exc.filename}: {exc.strerror}", "run this as the agent's user, or with sudo"
            )
        except OSError:
            pass
        return Finding("agent", "warn", "is not running", "start it: `systemctl start wayside-agent`")
    trouble = "; ".join(str(v) for v in agent.get("trouble", {}).values() if v)
    if not agent.get("healthy"):
        return Finding("agent", "fail", f"runs and is not healthy: {trouble or 'no readings'}", "mend what fails below")
    return Finding("agent", "ok", f"runs since {agent.get('uptime_s', 0):.0f} s, {agent.get('backlog', 0)} rows wait")


def _time(config: NodeConfig, agent: dict[str, Any] | None) -> Finding:
    try:
        LocalCalendar(config.clock.timezone)
    except ClockError as exc:
        return Finding("time", "fail", str(exc), "correct clock.timezone, or install the package tzdata")
    if config.clock.kind == "scaled":
        return Finding("time", "ok", "is simulated (clock.kind = scaled)")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    error_ms = kernel_sync_error_ms()
    if error_ms is not None and time.time() < Path(__file__).stat().st_mtime:
        said = f"the NTP server is lost in time: the system says {now}, and this software is younger"
        return Finding("time", "fail", said, "ask another NTP server")
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
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"wayside")
            probe.flush()
        free = shutil.disk_usage(there).free
        files = os.statvfs(there)
    except OSError as exc:
        fix = DISK_FIXES.get(exc.errno or 0, "give it to the agent's user with chown, or run this with sudo")
        return Finding("disk", "fail", f"{there} cannot be written: {exc.strerror}", fix)
    need = max(0, config.storage.outbox_bytes + SPARE_BYTES - _stored(state_dir))
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


def _stored(folder: Path) -> int:
    """Bytes of all its files, which come and go beside a running agent."""
    found = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += Path(where, name).lstat().st_size
    return found


def _power(machine: Machine) -> Finding:
    text = machine.first("sys/devices/platform/soc*/*firmware/get_throttled")  # its folder differs from Pi to Pi
    if text is None:
        return _supply_alarm(machine)
    try:
        bits = int(text, 16)
    except ValueError:
        return Finding("power", "warn", f"the supply's register is unreadable: {text[:32]!r}", "update the firmware")
    if bits & UNDER_VOLTAGE:
        return Finding("power", "fail", f"under-voltage now (0x{bits:x})", UNDER_VOLTAGE_FIX)
    if bits & THROTTLED:
        return Finding(
            "power", "warn", f"slowed down now (0x{bits:x})", "is it too hot? clean the fan, shade the cabinet"
        )
    if bits & WAS_UNDER_VOLTAGE:
        return Finding("power", "warn", f"under-voltage since the start (0x{bits:x})", "check supply and cable")
    return Finding("power", "ok", "no under-voltage since the start")


def _supply_alarm(machine: Machine) -> Finding:
    """Of the kernel's own driver (raspberrypi-hwmon), where the kernel is not Raspberry Pi's: Debian's, for example."""
    for chip in sorted((machine.root / "sys/class/hwmon").glob("hwmon*")):
        where = str(chip.relative_to(machine.root))
        alarm = machine.read(f"{where}/in0_lcrit_alarm")
        if machine.read(f"{where}/name") == "rpi_volt" and alarm is not None:
            if alarm != "0":
                return Finding("power", "fail", "under-voltage now", UNDER_VOLTAGE_FIX)
            return Finding("power", "ok", "no under-voltage now; this kernel does not tell what was before")
    return Finding("power", "skip", "this machine does not measure its supply")


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
            yield LENT
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
    if is_lent(port):  # to a flash, perhaps: not a byte
        raise PortLent(port)
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
    """What the quality rules say of each detector in the step that ended last, and which contacts are watched."""
    if agent is None:
        return Finding("sensors", "skip", "only a running agent knows", "start the agent and look again")
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


def _hub(config: NodeConfig, folder: Path, agent: dict[str, Any] | None) -> Finding:
    hub = config.hub
    assert hub is not None  # noqa: S101  (the caller looked)
    trouble = (agent or {}).get("trouble", {}).get("hub")
    tls = HubTls(hub, folder)
    url = f"{hub.url.rstrip('/')}/healthz"
    begun, patience_s = time.monotonic(), 2 * hub.timeout_s
    try:
        verify = tls.context() or True
        status = _in_time(lambda: _status_of(url, hub.timeout_s, verify), patience_s)
    except TlsError as exc:
        return Finding("hub", "fail", str(exc), "copy the authority's certificate there, or correct hub.ca")
    except TimeoutError:
        said = f"{hub.url} has not answered in {patience_s:g} s"
        return Finding("hub", "fail", said, "check the SIM or cable, the name server, and what lies in between")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return _unreachable(hub.url, exc, tls.why(exc))
    took_ms = (time.monotonic() - begun) * 1000
    if status != httpx.codes.OK:
        return Finding("hub", "fail", f"{hub.url} answers {status}", "look at the hub's own log")
    if trouble:
        fix = "see the hub's notices below" if _shut_out(agent) else "wait for the next sync"
        return Finding("hub", "warn", f"{hub.url} answers; the agent last said: {trouble}", fix)
    return Finding("hub", "ok", f"{hub.url} answers in {took_ms:.0f} ms")


def _status_of(url: str, timeout_s: float, verify: ssl.SSLContext | bool) -> int:
    with httpx.stream("GET", url, timeout=timeout_s, follow_redirects=False, verify=verify) as reply:
        return reply.status_code  # nobody reads what a stranger sends


def _in_time(ask: Callable[[], int], seconds: float) -> int:
    """In a thread that is left behind when it is late: looking up a name has no deadline, and who answers a byte at a
    time meets every other one.

    Raises:
        TimeoutError: and whatever ``ask`` raises.
    """
    answer: Future[int] = Future()

    def asks() -> None:
        try:
            answer.set_result(ask())
        except BaseException as exc:  # told to whoever waits
            answer.set_exception(exc)

    threading.Thread(target=asks, daemon=True).start()
    return answer.result(seconds)


def _unreachable(url: str, exc: Exception, untrusted: str | None) -> Finding:
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
            bundle = open_bundle(slot.content, agent_version=VERSION)
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
