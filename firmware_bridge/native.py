"""Build the firmware: with the system's C compiler as a process or a shared library, with avr-gcc for a real board."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge.errors import BuildError

SOURCE = Path(__file__).parent / "firmware"
SIGNALS = ("signals.c", "signal_table.c", "actuation.c", "overlaps.c", "preemption.c")
CORE = ("board.c", "detectors.c", "frame.c", "plan.c", "settings.c", *SIGNALS)
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
BUILD = Path("build") / "firmware"
# What fits into 2 KB and 8 KB of memory: events kept, frames waiting, inputs.
AVR = {
    "atmega328p": {"RING_MAX": 20, "TX_BYTES": 96, "READ_BYTES": 32, "DETECTORS": 6, "PLAN_PHASES": 8},
    "atmega2560": {"RING_MAX": 400, "TX_BYTES": 512, "READ_BYTES": 64, "DETECTORS": 24},
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
    files = [*(SOURCE / name for name in CORE), *sources]
    command = [compiler, *WARNINGS, *flags, f"-I{SOURCE}", *map(str, files)]
    command += [] if compiler == "avr-gcc" else ["-lutil", "-lm"]
    with _replaced(to) as fresh:
        _run(*command, "-o", str(fresh))
    return to


@contextlib.contextmanager
def _replaced(to: Path) -> Iterator[Path]:
    """A path to write to, whose file becomes ``to`` at the end. Raises: BuildError: the folder cannot be written."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
            yield Path(scratch) / to.name
            (Path(scratch) / to.name).replace(to)
    except OSError as exc:
        raise BuildError(f"cannot build into {to.parent}: {exc.strerror}; name another folder with --out") from exc


def _run(program: str, *arguments: str) -> str:
    """What ``program`` prints. Raises: BuildError: it is not there, or fails."""
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as exc:
        raise BuildError(f"{program} is not installed here: sudo apt-get install gcc-avr binutils-avr") from exc
    if done.returncode:
        raise BuildError(f"{program} refused the firmware:\n{done.stderr.strip()}")
    return done.stdout


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
    with _replaced(image) as fresh:
        _run("avr-objcopy", "-O", "ihex", "-R", ".eeprom", str(elf), str(fresh))
    sizes_table = _run("avr-size", str(elf))
    text, data, bss = (int(word) for word in sizes_table.splitlines()[1].split()[:3])
    return AvrProgram(elf, image, text + data, data + bss)


def build(out: Path = BUILD) -> Path:
    """Build the board as a process, unless ``out/board`` is newer than its sources. Returns the program."""
    return _built(out / "board", "hal_posix.c", ("-O2",))


def build_library(out: Path = BUILD) -> Path:
    """Build boards in memory (``hal_sim.c``), unless ``out/board.so`` is newer than its sources. Returns it."""
    return _built(out / "board.so", "hal_sim.c", ("-O2", "-shared", "-fPIC"))


def _built(to: Path, hal: str, flags: tuple[str, ...]) -> Path:
    newest = max(p.stat().st_mtime for p in (*SOURCE.glob("*.[ch]"), Path(__file__)))
    with contextlib.suppress(OSError):  # not there, or nowhere to be: the compiler's folder is checked
        if to.stat().st_mtime > newest:
            return to
    return compile_program(to, (SOURCE / hal,), flags)
