"""``python -m tests.command_line.forks``: commands with streams as shells leave them, each in a fork of one process.

Reads ``[[how, argv], …]`` as JSON and prints ``[[status, stdout, stderr], …]``. A process of its own for each command
would import everything anew, and take minutes.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import IO

from wayside.__main__ import main
from wayside.shell.tree import commands


def _closed(number: int, name: str) -> None:
    os.close(number)
    setattr(sys, name, None)  # as Python itself begins with a closed stream


def _to(number: int, encoding: str = "utf-8") -> None:
    os.dup2(number, 1)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding=encoding)


def _reader_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    _to(write)


HOW: dict[str, Callable[[], None]] = {
    "closed stdin": lambda: _closed(0, "stdin"),
    "closed stdout": lambda: _closed(1, "stdout"),
    "closed stderr": lambda: _closed(2, "stderr"),
    "reader gone": _reader_gone,
    "full disk": lambda: _to(os.open("/dev/full", os.O_WRONLY)),
    "latin-1": lambda: _to(1, "latin-1"),
}


def forked(how: str, argv: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os._exit(_run(how, argv, out, err))
        _, status = os.waitpid(child, 0)
        texts = [file.seek(0) or file.read().decode("latin-1" if how == "latin-1" else "utf-8") for file in (out, err)]
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def _run(how: str, argv: list[str], out: IO[bytes], err: IO[bytes]) -> int:
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
    HOW[how]()
    try:
        status = main(argv)
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    for stream in (sys.stdout, sys.stderr):  # as the interpreter does at its end
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            return 120
    return int(status)


if __name__ == "__main__":
    commands()  # everything that help needs is imported once
    print(json.dumps([forked(how, argv) for how, argv in json.load(sys.stdin)]))
