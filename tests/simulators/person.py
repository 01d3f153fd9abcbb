"""Somebody at a terminal: types keys when they see what they wait for, as pexpect does it."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import pexpect

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


class Person:
    """``with Person("commission", config) as person:`` types into ``wayside commission CONFIG``."""

    def __init__(self, *args: str | Path, rows: int = 24, columns: int = 80, term: str = "xterm-256color") -> None:
        environment: Any = os.environ | {"TERM": term, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        environment |= {"COLUMNS": "", "LINES": ""}  # the terminal's own size
        self.terminal: Any = pexpect.spawn(
            sys.executable,
            [str(ROOT / "wayside.py"), *map(str, args)],
            env=environment,
            dimensions=(rows, columns),
            encoding="utf-8",
            timeout=PATIENCE_S,
        )
        self.terminal.delaybeforesend = None

    def sees(self, *texts: str) -> int:
        """Waits for one of the texts; which one it was."""
        return int(self.terminal.expect_exact(list(texts)))

    def types(self, keys: str) -> None:
        self.terminal.send(keys)

    def interrupts(self) -> None:
        self.terminal.sendintr()

    def resizes(self, rows: int, columns: int) -> None:
        self.terminal.setwinsize(rows, columns)

    def ends(self) -> tuple[int | None, str]:
        """Its exit status, and what was said since the last thing seen, without the terminal's own codes."""
        self.terminal.expect(pexpect.EOF)
        self.terminal.close()
        status = self.terminal.exitstatus
        return status, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.terminal.before)

    def __enter__(self) -> Person:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        if self.terminal.isalive():
            self.terminal.kill(signal.SIGKILL)
        self.terminal.close(force=True)
