"""Build the firmware: as a native process with the system's C compiler, for a real board with avr-gcc."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge.errors import BuildError

SOURCE = Path(__file__).parent / "firmware"
CORE = ("board.c", "detectors.c", "frame.c", "plan.c", "settings.c", "signals.c")
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
BUILD = Path("build") / "firmware"
# What fits into 2 KB and 8 KB of memory: events kept, frames waiting, inputs.
AVR = {
    "atmega328p": {"RING_MAX": 20, "TX_BYTES": 96, "READ_BYTES": 32, "DETECTORS": 6, "PLAN_PHASES": 8},
    "atmega2560": {"RING_MAX": 400, "TX_BYTES": 512, "READ_BYTES": 64, "DETECTORS": 8},
}
AVR_FLAGS = ("-Os", "-fno-inline", "-DF_CPU=16000000UL", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")


def compile_program(
    to: Path, sources: tuple[Path, ...], flags: tuple[str, ...] = ("-O2",), compiler: str | None = None
) -> Path:
    """Compile the core and ``sources`` into the program ``to``; an interrupted build leaves the old one.

    Raises:
        BuildError: there is no compiler, or it refused.
    """
    compiler = compiler or os.environ.get("CC") or "cc"
    if shutil.which(compiler) is None:
        packages = "gcc-avr and avr-libc" if compiler == "avr-gcc" else "gcc and libc6-dev, or set CC"
        raise BuildError(f"there is no C compiler {compiler!r} here: install {packages}")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
        fresh = Path(scratch) / to.name
        files = [*(SOURCE / name for name in CORE), *sources]
        command = [compiler, *WARNINGS, *flags, f"-I{SOURCE}", "-o", str(fresh), *map(str, files)]
        command += [] if compiler == "avr-gcc" else ["-lutil", "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"{compiler} refused the firmware:\n{done.stderr.strip()}")
        fresh.replace(to)
    return to


class AvrProgram(NamedTuple):
    elf: Path
    hex: Path
    flash: int  # bytes
    ram: int  # bytes, without the stack


def build_avr(mcu: str, out: Path = BUILD, defines: tuple[str, ...] = ()) -> AvrProgram:
    """Build the firmware for ``mcu``, one of ``AVR``. ``defines`` are more ``-D`` options.

    Raises:
        BuildError: another chip, no avr-gcc, or it refused.
    """
    if mcu not in AVR:
        raise BuildError(f"there is no firmware for {mcu!r}; boards have {' or '.join(AVR)}")
    sizes = tuple(f"-D{name}={value}u" for name, value in AVR[mcu].items())
    elf = compile_program(
        out / f"{mcu}.elf", (SOURCE / "hal_avr.c",), (f"-mmcu={mcu}", *AVR_FLAGS, *sizes, *defines), compiler="avr-gcc"
    )
    image = elf.with_suffix(".hex")
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        fresh = Path(scratch) / image.name
        subprocess.run(["avr-objcopy", "-O", "ihex", "-R", ".eeprom", str(elf), str(fresh)], check=True)
        fresh.replace(image)
    said = subprocess.run(["avr-size", str(elf)], capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(word) for word in said.splitlines()[1].split()[:3])
    return AvrProgram(elf, image, text + data, data + bss)


def build(out: Path = BUILD) -> Path:
    """Build the board as a process, unless ``out/board`` is newer than its sources. Returns the program."""
    program = out / "board"
    newest = max(p.stat().st_mtime for p in (*SOURCE.glob("*.[ch]"), Path(__file__)))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    return compile_program(program, (SOURCE / "hal_posix.c",))
