"""The node's own hardware and system: time, disk, supply, temperature."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from wayside.contracts.node_config import NodeConfig
from wayside.edge.clock import ClockError, LocalCalendar, kernel_sync_error_ms
from wayside.edge.doctor.finding import Finding

HOT_C, TOO_HOT_C = 75.0, 85.0  # Raspberry Pi: throttles from 80, hard at 85
SPARE_BYTES = 256_000_000  # beside the outbox: two bundles of the largest size, and the system's own
UNDER_VOLTAGE_FIX = "use the 5.1 V supply and a short, thick cable"
DISK_FIXES = {
    errno.ENOSPC: "free room: the disk is full",
    errno.EDQUOT: "free room: this user's quota is full",
    errno.EROFS: "see `dmesg`: a card that became read-only is dying, and wants to be replaced",
}
UNDER_VOLTAGE, THROTTLED, WAS_UNDER_VOLTAGE = 1 << 0, 1 << 2, 1 << 16  # bits of get_throttled


class Machine(NamedTuple):
    """The kernel's files about the hardware; tests give another root."""

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
        texts = [self.read(str(zone.relative_to(self.root))) for zone in zones]
        return [int(text) / 1000 for text in texts if text and text.lstrip("-").isdecimal()]


def check_time(config: NodeConfig, agent: dict[str, Any] | None) -> Finding:
    try:
        LocalCalendar(config.clock.timezone)
    except ClockError as exc:
        return Finding("time", "fail", str(exc), "correct clock.timezone, or install the package tzdata")
    if config.clock.kind == "scaled":
        return Finding("time", "ok", "is simulated (clock.kind = scaled)")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    error_ms = kernel_sync_error_ms()
    if error_ms is not None and time.time() < Path(__file__).stat().st_mtime:
        wrong = f"the NTP server is wrong: the system's time is {now}, which is before this software was made"
        return Finding("time", "fail", wrong, "use another NTP server")
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


def check_disk(config: NodeConfig, state_dir: Path) -> Finding:
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
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(where, name).lstat().st_size
    return total


def check_power(machine: Machine) -> Finding:
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


def check_temperature(machine: Machine) -> Finding:
    temperatures_c = machine.temperatures_c()
    if not temperatures_c:
        return Finding("temperature", "skip", "this machine does not measure its temperature")
    hottest = max(temperatures_c)
    if hottest >= HOT_C:
        state: Literal["warn", "fail"] = "fail" if hottest >= TOO_HOT_C else "warn"
        return Finding("temperature", state, f"{hottest:.0f} °C", "clean the fan and filter, shade the cabinet")
    return Finding("temperature", "ok", f"{hottest:.0f} °C")
