"""Columns of the history → what the model sees, (1, T, F) for each site. No allocation on the way.

A row covers ``interval_s``; rows are an interval apart and the newest ends with the step that has just closed, so that
consecutive windows overlap where a step is shorter than an interval. ``tests/conformance/test_windows.py`` holds that
training makes the same windows of the same values, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wayside.contracts.fit import feed
from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.task_config import CALENDAR, SITE, SiteConfig, TaskConfig
from wayside.contracts.windows import MAX_MISSING, Float32, fill_last
from wayside.edge.errors import EdgeError
from wayside.edge.history import Calendar, Columns, Dated, History

TIMELESS = "no forecast: the time is not known"
SLACK = 64  # base steps that a ring keeps beyond the longest window, for steps that a task has not come to yet


class TaskMismatch(EdgeError):  # noqa: N818
    """The model asks for what this node does not have."""


class _Fed(NamedTuple):
    """A column of the window that comes from the history."""

    columns: Columns
    which: slice | int  # datastreams of the source; a slice where each site has its own
    into: Float32  # (S, T) of all sites, or (T,) of one
    site: int | None  # None: all


class Window:
    """The windows of one task's sites."""

    def __init__(self, spec: TaskSpec, task: TaskConfig, base_s: int, history: History, calendar: Calendar) -> None:
        """
        Args:
            base_s: the node's base step.

        Raises:
            TaskMismatch: the node has no such input.
        """
        self.spec = spec
        self.steps = round(task.interval_s / base_s)  # base steps of a row
        self._window = spec.window
        self.span = (spec.window - 1) * self.steps + 1  # from the oldest row's end to the newest's
        sites = task.sites
        self.x: Float32 = np.zeros((len(sites), spec.window, len(spec.inputs)), np.float32)
        self.views = [self.x[i : i + 1] for i in range(len(sites))]
        self._output = next((at for at, i in enumerate(spec.inputs) if i.name == spec.output), None)
        self.filled = 0
        """Values that stood in for missing ones in the last windows, of all sites."""
        self._history, self._calendar = history, calendar
        history.grow(self.span + SLACK)
        reach = max((0 if spec.kind == "score" else spec.lead) + spec.horizon - 1, 0)
        self._fed: list[_Fed] = []
        self._dated: list[tuple[int, Float32]] = []  # index in the calendar's dates
        self._outputs: list[_Fed] = []  # where the output is an input: one for all sites, or one each
        self._everywhere = range(len(sites))
        for at, column in enumerate(spec.inputs):
            into = self.x[:, :, at]
            if column.name == spec.output:
                self._outputs = self._of_sites([s.output for s in sites], into)
            elif column.name in CALENDAR:
                self._date((column.name, 0, 0), calendar.column(column.name), into)
            elif column.name == SITE:
                into[...] = np.array([site_index(spec, s) for s in sites], np.float32)[:, None]
            else:
                self._feed(column, into, task, self.steps * reach if column.ahead else 0)
        streams = {s.output for s in sites} | self._streams(task)
        self.sources = tuple(sorted({self._source(name) for name in streams}))
        self.known_ahead = not self._fed and not self._outputs
        """Every input is known beforehand: the window may end with the interval that begins now."""
        self.shift = self.steps * spec.lead
        """Base steps from the step that has just closed to the first target."""
        self._newest = 0  # of the window's last row, from the step that has just closed
        if spec.kind == "forecast" and spec.lead == 0 and self.known_ahead:
            self.shift = self._newest = self.steps

    def _source(self, datastream: str) -> int:
        try:
            return self._history.source(datastream)
        except KeyError:
            raise TaskMismatch(f"the model wants the datastream {datastream}, which this node does not have") from None

    def _streams(self, task: TaskConfig) -> set[str]:
        """The datastreams of inputs other than the output."""
        streams = set()
        for column in self.spec.inputs:
            if column.name != self.spec.output and column.name not in CALENDAR and column.name != SITE:
                feeds = [feed(column, task, site, self._calendar.tables) for site in task.sites]
                streams |= {f.name for f in feeds if f.kind == "datastream"}
        return streams

    def _of_sites(self, streams: Sequence[str], into: Float32) -> list[_Fed]:
        """``streams``: each site's own."""
        history = self._history
        sources = {self._source(name) for name in streams}
        which = [history.index(name) for name in streams]
        if len(sources) == 1 and which == list(range(which[0], which[0] + len(which))):
            columns = history.columns(sources.pop(), self.steps)
            return [_Fed(columns, slice(which[0], which[-1] + 1), into, None)]
        return [self._of_site(name, into[i], i) for i, name in enumerate(streams)]

    def _of_site(self, stream: str, into: Float32, site: int | None) -> _Fed:
        columns = self._history.columns(self._source(stream), self.steps)
        return _Fed(columns, self._history.index(stream), into, site)

    def _feed(self, column: Input, into: Float32, task: TaskConfig, ahead: int) -> None:
        """``ahead``: base steps from a row's time to the time that its value is of."""
        feeds = [feed(column, task, site, self._calendar.tables) for site in task.sites]
        table = None
        if any(f.kind == "calendar" for f in feeds):
            table = self._calendar.table(column.name, steps=self.steps, ahead=ahead)
        elif column.ahead and any(f.kind == "datastream" for f in feeds):
            raise TaskMismatch(f"the model wants {column.name!r} of the days ahead, which nobody tells this node")
        shared = len(set(feeds)) == 1 and feeds[0].kind != "constant"
        for i, (one, site) in enumerate(zip(feeds, task.sites, strict=True)):
            if one.kind == "constant":
                into[i] = site.constants[one.name]
            elif table is not None:
                self._date((column.name, self.steps, ahead), table, into if shared else into[i])
            else:
                self._fed.append(self._of_site(one.name, into if shared else into[i], None if shared else i))
            if shared:
                return

    def _date(self, key: tuple[str, int, int], column: Dated, into: Float32) -> None:
        index = self._calendar.dates.add(key, column, self.span + SLACK, self.steps)  # to the interval that begins now
        self._dated.append((index, into))

    def fill(self, number: int) -> str | None:
        """Fill the windows of all sites for the step ``number``.

        Returns:
            Why none of them may be used; None: :meth:`usable` says which may.
        """
        history, last = self._history, number + self._newest
        if not history.holds(self.sources, number - self.span + 1):
            return "the step is too long ago"
        if self._dated:
            if not self._calendar.known:
                return TIMELESS
            dates = self._calendar.dates
            dates.fill(last - self.span + 1, last)
            rows, values = dates.rows(last, self._window, self.steps), dates.values
            for i, into in self._dated:
                into[...] = values[i, rows]
        rows = history.rows(number, self._window, self.steps)
        for columns, which, into, _ in self._fed:
            into[...] = columns.values[which, rows]
        for columns, which, into, _ in self._outputs:
            into[...] = columns.values[which, rows]
        self.filled = 0
        return None

    def usable(self, number: int) -> Sequence[int]:
        """The sites whose windows may go to the model; fills their gaps where the passport says so."""
        oldest = number - self.span
        for fed in self._outputs:
            if fed.columns.gap > oldest:
                break
        else:
            for fed in self._fed:
                if fed.columns.gap > oldest:
                    break
            else:
                return self._everywhere
        return [site for site in self._everywhere if self._usable(site)]

    def _usable(self, site: int) -> bool:
        x = self.x[site]
        if self._output is not None:
            absent = np.isnan(x[:, self._output])
            if np.count_nonzero(absent) > MAX_MISSING * len(x):
                return False
            if self.spec.kind == "score" and absent[-1]:
                return False  # it is the newest interval that is scored
        if self.spec.missing == "graph":
            return True
        self.filled += fill_last(x)
        return not np.isnan(x).any()


def site_index(spec: TaskSpec, site: SiteConfig) -> int:
    """The model's index of a site; one that it does not know takes the row after the last: what holds for any."""
    return spec.sites.index(site.site) if site.site in spec.sites else len(spec.sites)
