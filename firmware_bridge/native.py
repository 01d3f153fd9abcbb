"""Build the firmware as a native process with the system's C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from firmware_bridge.errors import BuildError

SOURCE = Path(__file__).parent / "firmware"
CORE = ("board.c", "detectors.c", "frame.c", "plan.c", "settings.c", "signals.c")
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
BUILD = Path("build") / "firmware"


def compile_program(to: Path, sources: tuple[Path, ...], flags: tuple[str, ...] = ("-O2",)) -> Path:
    """Compile the core and ``sources`` into the program ``to``; an interrupted build leaves the old one.

    Raises:
        BuildError: there is no compiler, or it refused.
    """
    compiler = os.environ.get("CC") or "cc"
    if shutil.which(compiler) is None:
        raise BuildError(f"there is no C compiler {compiler!r} here: install gcc and libc6-dev, or set CC")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
        fresh = Path(scratch) / to.name
        files = [*(SOURCE / name for name in CORE), *sources]
        command = [compiler, *WARNINGS, *flags, f"-I{SOURCE}", "-o", str(fresh), *map(str, files), "-lutil", "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"{compiler} refused the firmware:\n{done.stderr.strip()}")
        fresh.replace(to)
    return to


def build(out: Path = BUILD) -> Path:
    """Build the board as a process, unless ``out/board`` is newer than its sources. Returns the program."""
    program = out / "board"
    newest = max(p.stat().st_mtime for p in (*SOURCE.glob("*.[ch]"), Path(__file__)))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    return compile_program(program, (SOURCE / "hal_posix.c",))
