"""Single keys, for gloves, and a screen.

On a terminal that can, the screen is redrawn and follows its size; elsewhere (``TERM=dumb``, a pipe) what is new is
printed line by line, and the same keys work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import termios
import textwrap
import tty
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live as Redrawn
from rich.text import Text

END = ""  # of the input
FUNCTION_KEYS = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)")  # arrows and such mean nothing here (ECMA-48 5.4)
COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


class Keys:
    """Single keys of ``fd`` while the block runs, without waiting for Enter; ``END`` when there are no more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[asyncio.Queue[str]]:
        loop = asyncio.get_running_loop()
        before: list[Any] | None = None
        if os.isatty(self._fd):
            before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)  # Ctrl-C still interrupts
            termios.tcflush(self._fd, termios.TCIFLUSH)  # what was typed before there was a question
        try:
            loop.add_reader(self._fd, self._read)
        except PermissionError:  # a file cannot be waited for
            self._read()
            self.queue.put_nowait(END)
        try:
            yield self.queue
        finally:
            loop.remove_reader(self._fd)
            if before is not None:
                termios.tcsetattr(self._fd, termios.TCSAFLUSH, before)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
            self.queue.put_nowait(END)
        else:
            for key in FUNCTION_KEYS.sub(b"", data).decode(errors="replace"):
                self.queue.put_nowait(key)


class Screen:
    """Redraws, or prints what is new."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = not console.is_terminal or console.is_dumb_terminal
        self._printed: list[str] = []
        self._redrawn: Redrawn | None = None

    def __enter__(self) -> Screen:
        if not self._plain:
            self._redrawn = Redrawn(console=self._console, screen=True, auto_refresh=False)
            self._redrawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._redrawn is not None:
            self._redrawn.stop()

    def show(self, title: str, body: Sequence[str], keys: str, rows: Sequence[tuple[str, str]], at: int) -> None:
        """``rows``: every sensor with its outcome; ``at`` is asked for."""
        if self._redrawn is None:
            lines = [line for line in (title, *body, keys) if line]
            for line in (line for line in lines if line not in self._printed):
                self._console.print(line, markup=False, soft_wrap=True)
            self._printed = lines
            return
        width, height = self._console.size
        parts = [Text(title, style="bold"), Text()]
        parts += [Text(line, style="red" if line.startswith("!") else "") for line in body]
        parts += [Text(), Text(keys, style="bold cyan"), Text()]
        used = sum(max(1, len(textwrap.wrap(part.plain, max(10, width)))) for part in parts)
        room = max(1, height - used)
        first = max(0, min(at - room // 2, len(rows) - room))
        for i, (name, outcome) in enumerate(rows[first : first + room], start=first):
            mark = ">" if i == at else " "
            row = Text(f"{mark} {name:<40.40} {outcome}", style=COLOURS.get(outcome.split(":")[0], ""), no_wrap=True)
            row.truncate(max(10, width - 1), overflow="ellipsis")
            parts.append(row)
        self._redrawn.update(Group(*parts), refresh=True)
