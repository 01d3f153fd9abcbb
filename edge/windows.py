"""History of steps and the model's windows over it: ring buffers, no allocation on the hot path.

A row of a window covers ``interval_s``, the sum of ``interval_s / step_s`` steps; rows are ``interval_s`` apart and
the newest ends now, so that consecutive windows overlap when a step is shorter than an interval. The calendar of a
row is that of its **end** (see :class:`wayside.edge.clock.LocalCalendar`). NaN is "not known", never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wayside.contracts.task import TaskSpec
from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.runtime import Float32

NAN = float("nan")


class TaskMismatch(EdgeError):  # noqa: N818
    """The model asks for what this node does not have."""


class History:
    """The last ``capacity`` interval sums of each datastream, with the calendar of their ends.

    Every value is written twice, ``capacity`` apart, so that any window is one slice without wrap-around.
    """

    def __init__(self, datastreams: Sequence[str], capacity: int) -> None:
        self.names = tuple(datastreams)
        self.capacity = capacity
        self.steps = 0
        self.values: Float32 = np.full((len(self.names), 2 * capacity), np.nan, np.float32)
        self.calendar: Float32 = np.full((2, 2 * capacity), np.nan, np.float32)  # hour, weekday
        self.last_gap = [0] * len(self.names)  # steps at which something was last missing, counted from 1
        self.last_timeless = 0

    def push(self, values: Sequence[float | None], hour: float | None, weekday: float | None) -> None:
        """Append one step's interval values, in the order of ``names``."""
        at = self.steps % self.capacity
        self.steps += 1
        for i, value in enumerate(values):
            if value is None:
                self.last_gap[i] = self.steps
                value = NAN  # noqa: PLW2901
            row = self.values[i]
            row[at] = row[at + self.capacity] = value
        self._set_calendar(at, self.steps, hour, weekday)

    def skip(self, steps: int) -> None:
        """``steps`` steps of which nothing is known."""
        for _ in range(min(steps, self.capacity)):
            self.push([None] * len(self.names), None, None)

    def retime(self, back: int, hour: float, weekday: float) -> None:
        """Give the step ``back`` steps ago (0: the newest) its calendar, now that the clock is known."""
        step = self.steps - back
        if step > 0 and back < self.capacity:
            self._set_calendar((step - 1) % self.capacity, step, hour, weekday)

    def _set_calendar(self, at: int, step: int, hour: float | None, weekday: float | None) -> None:
        if hour is None or weekday is None:
            self.last_timeless = max(self.last_timeless, step)
            hour = weekday = NAN
        self.calendar[0, at] = self.calendar[0, at + self.capacity] = hour
        self.calendar[1, at] = self.calendar[1, at + self.capacity] = weekday


class Windows:
    """Windows (1, T, F) of one task over a history."""

    def __init__(self, history: History, task: TaskSpec, steps_per_interval: int, lanes: Mapping[str, float]) -> None:
        """Raises: TaskMismatch."""
        if task.kind != "forecast" or task.lead != 1:
            raise TaskMismatch(
                f"the model is a {task.kind} with lead {task.lead}; this node runs forecasts of the next interval"
            )
        self._history = history
        self._every = steps_per_interval
        self._span = (task.window - 1) * steps_per_interval + 1  # steps from the oldest row's end to the newest's
        if self._span > history.capacity:
            raise TaskMismatch(f"the model's window spans {self._span} steps; this node keeps {history.capacity}")
        names = [i.name for i in task.inputs]
        self._volume = names.index(task.output)
        hour, weekday, lanes_at, site = (
            names.index(n) if n in names else None for n in ("hour", "weekday", "lanes", "site")
        )
        others = []
        for at, name in enumerate(names):
            if at in (self._volume, hour, weekday, lanes_at, site):
                continue
            if task.inputs[at].ahead:
                raise TaskMismatch(f"the model wants {name!r} of the days ahead, which nobody tells this node")
            if name not in history.names:
                raise TaskMismatch(f"the model wants the datastream {name!r}, which this node does not have")
            others.append((at, history.names.index(name)))
        # A datastream that the model was not trained on takes the row after the last: what holds for any site.
        sites = {name: at for at, name in enumerate(task.sites)}
        self._site_of = [float(sites.get(name, len(sites))) for name in history.names]
        self._lanes_of = [float(lanes.get(name, 1)) for name in history.names]
        self._x: Float32 = np.zeros((1, task.window, len(names)), np.float32)
        columns = [self._x[0, :, at] for at in range(len(names))]
        self._column = columns[self._volume]
        self._hours = None if hour is None else columns[hour]
        self._weekdays = None if weekday is None else columns[weekday]
        self._lanes = None if lanes_at is None else columns[lanes_at]
        self._site = None if site is None else columns[site]
        self._others = [(columns[at], other) for at, other in others]
        self._calendar_step = -1
        self._timeless = True

    def fill(self, index: int) -> tuple[Float32, int] | None:  # noqa: PLR0912 -- flat is fast
        """The window of datastream ``index`` that ends now, and how many of its rows are substituted.

        The array is reused by the next call. ``None`` if more than half of the rows are missing, the oldest is, or
        the calendar is needed and not known.
        """
        history = self._history
        if history.steps < self._span:
            return None
        end = (history.steps - 1) % history.capacity + history.capacity + 1
        rows = slice(end - self._span, end, self._every)
        if self._calendar_step != history.steps:  # shared by the datastreams of a step
            self._calendar_step = history.steps
            self._timeless = False
            if self._hours is not None or self._weekdays is not None:
                if self._hours is not None:
                    self._hours[:] = history.calendar[0, rows]
                if self._weekdays is not None:
                    self._weekdays[:] = history.calendar[1, rows]
                if history.last_timeless > history.steps - self._span:
                    self._timeless = bool(np.isnan(history.calendar[:, rows]).any())
            for column, other in self._others:
                column[:] = history.values[other, rows]
        if self._timeless:
            return None
        self._column[:] = history.values[index, rows]
        if self._lanes is not None:
            self._lanes.fill(self._lanes_of[index])
        if self._site is not None:
            self._site.fill(self._site_of[index])
        if history.last_gap[index] <= history.steps - self._span:
            substituted = 0
        else:
            filled = _substitute(self._column)
            if filled is None:
                return None
            substituted = filled
        for column, other in self._others:
            if history.last_gap[other] > history.steps - self._span:
                filled = _substitute(column)
                if filled is None:
                    return None
                substituted += filled
        return self._x, substituted


def _substitute(column: Float32) -> int | None:
    """Put the last good value where one is missing, in place; ``None`` if more than half of them are."""
    missing = 0
    last = NAN
    for row, value in enumerate(column.tolist()):
        if math.isnan(value):
            missing += 1
            column[row] = last
        else:
            last = value
    if missing * 2 > len(column) or math.isnan(float(column[0])):
        return None
    return missing
