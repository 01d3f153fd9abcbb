"""Build the firmware with the system's C compiler, as a process or a shared library."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wayside.firmware_bridge.errors import BuildError

SOURCE = Path(__file__).parent / "firmware"
SIGNALS = ("signals.c", "signal_table.c", "actuation.c", "overlaps.c", "preemption.c")
CORE = ("board.c", "detectors.c", "frame.c", "plan.c", "settings.c", *SIGNALS)
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
BUILD = Path("build") / "firmware"


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
    with replaced(to) as fresh:
        run_tool(*command, "-o", str(fresh))
    return to


@contextlib.contextmanager
def replaced(to: Path) -> Iterator[Path]:
    """A path to write to, whose file becomes ``to`` at the end. Raises: BuildError: the folder cannot be written."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
            yield Path(scratch) / to.name
            (Path(scratch) / to.name).replace(to)
    except OSError as exc:
        raise BuildError(f"cannot build into {to.parent}: {exc.strerror}; name another folder with --out") from exc


def run_tool(program: str, *arguments: str) -> str:
    """What ``program`` prints. Raises: BuildError: it is not there, or fails."""
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as exc:
        raise BuildError(f"{program} is not installed here: sudo apt-get install gcc-avr binutils-avr") from exc
    if done.returncode:
        raise BuildError(f"{program} refused the firmware:\n{done.stderr.strip()}")
    return done.stdout


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
