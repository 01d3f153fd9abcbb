"""What commands print on: tables and progress on a terminal, plain lines everywhere else.

Plain is a pipe, a file, a terminal that says it is dumb, and whoever sets ``NO_COLOR``: no escape sequence, no box
drawing, nothing cut off at a width.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleDimensions, Group
from rich.progress import (
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

PLAIN_WIDTH = 1000  # columns: one record, one line
SILENT_S = 2.0  # shorter work tells nothing of its progress, and no two lines come closer
REPEAT_S = 10.0  # what goes on without a new word is told again


class Screen(Console):
    """A rich console for results (stdout) or for talk (stderr)."""

    def __init__(self, *, stderr: bool = False) -> None:
        wanted = not os.environ.get("NO_COLOR")  # rich alone would still write bold
        # No markup: names of files, sites and nodes have brackets, too. What is coloured is a ``Text``.
        super().__init__(
            stderr=stderr, highlight=False, emoji=False, markup=False, color_system="auto" if wanted else None
        )

    @property
    def plain(self) -> bool:
        return not self.is_terminal or self.is_dumb_terminal or bool(os.environ.get("NO_COLOR"))

    @property
    def size(self) -> ConsoleDimensions:
        if self.is_terminal or "COLUMNS" in os.environ:
            return super().size
        return ConsoleDimensions(PLAIN_WIDTH, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def print(self, *objects: Any, **options: Any) -> None:
        if self.plain:
            for each in objects:
                _unbox(each)
        super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704  (inside rich's own `except`: wayside.exits knows what to do with it)


def _unbox(thing: object) -> None:
    if isinstance(thing, Group):
        for each in thing.renderables:
            _unbox(each)
    elif isinstance(thing, Table):
        thing.box, thing.pad_edge, thing.padding = None, False, (0, 2, 0, 0)
        thing.title_justify = thing.caption_justify = "left"


@contextmanager
def working(what: str) -> Iterator[None]:
    """On a terminal: that something goes on, and for how long; for work that cannot tell how far it is."""
    columns = SpinnerColumn("line"), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bars(*columns, screen=Screen(stderr=True), transient=True) as bars:
        bars.add_task(what, total=None)
        yield


class Bars(Progress):
    """Progress bars of long work on a terminal; elsewhere a line every few seconds.

    A task's field ``status``, if it has one, is told behind its description.
    """

    def __init__(self, *columns: str | ProgressColumn, screen: Screen, transient: bool = False) -> None:
        for column in columns:
            if isinstance(column, TextColumn):
                column.markup = False
        self._plain = screen.plain
        self._lines: dict[TaskID, tuple[float, str]] = {}  # when a task last had a line, and its words
        super().__init__(*columns, console=screen, transient=transient, disable=self._plain)

    def add_task(self, description: str, **options: Any) -> TaskID:  # type: ignore[override]
        task = super().add_task(description, **options)
        self._lines[task] = (time.monotonic(), "")
        return task

    def update(self, task_id: TaskID, **options: Any) -> None:
        ended_before = self._tasks[task_id].finished
        super().update(task_id, **options)
        if self._plain and not ended_before:
            with self._lock:
                self._tell(self._tasks[task_id])

    def _tell(self, task: Task) -> None:
        at, before = self._lines[task.id]
        words = " ".join(f"{task.description} {task.fields.get('status') or ''}".split())
        silent_s = time.monotonic() - at
        ends = task.finished and before != ""
        if ends or silent_s >= (REPEAT_S if words == before else SILENT_S):
            self._lines[task.id] = (time.monotonic(), words)
            share = f" {task.percentage:.0f} %" if task.total and task.completed else ""
            self.console.print(f"{words}{share}", soft_wrap=True)
